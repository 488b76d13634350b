"""Adaptation between sessions: before and after stand side by side, and what is carried on is read anew."""

import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.runs.incremental import incremental
from dhauds_jax.runs.incremental_readings import Readings
from dhauds_jax.workdir import records
from tests.runs.test_incremental import of_tones, tones, without_times

__all__ = ["tones"]

NOISY = {"corruption": ("WHN",), "sessions": 2}
FAST = {"options": ("tent.lr=0.05",)}


def by_tta(workdir):
    return {one["tta"]: one for one in records.read(workdir, "incremental")}


@pytest.fixture(scope="module")
def adapted(tones, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("adapted")
    incremental(of_tones(tones, workdir, tta=("none", "t3a", "tent"), **NOISY, **FAST), "the command")
    return workdir


@pytest.mark.slow
def test_every_adaptation_stands_beside_what_it_started_from(adapted, tones, tmp_path):
    found = by_tta(adapted)
    assert sorted(found) == ["none", "t3a", "tent"]
    for name in ("t3a", "tent"):
        session = found[name]["per_session"]
        assert session["before_all"] == found["none"]["per_session"]["all"]
        assert min(session["seconds_tta"]) > 0 and found[name]["tta_reset"] == "session"
        assert session["auroc_unknown"][0] is not None and session["auroc_unknown"][1] is None
        assert session["all"] != session["before_all"]
    incremental(of_tones(tones, tmp_path, **NOISY), "the command")
    (alone,) = records.read(tmp_path, "incremental")
    assert without_times([alone]) == without_times([found["none"]])


@pytest.mark.slow
def test_a_network_that_is_carried_on_is_read_anew(adapted, tones, tmp_path, monkeypatch):
    seen = []
    of = Readings.of
    monkeypatch.setattr(
        Readings,
        "of",
        lambda self, what, c, variables=None: seen.append((what, variables is None)) or of(self, what, c, variables),
    )
    incremental(of_tones(tones, tmp_path, tta=("tent",), tta_reset="never", **NOISY, **FAST), "the command")
    (found,) = records.read(tmp_path, "incremental")
    reset = by_tta(adapted)["tent"]["per_session"]["all"]
    assert found["tta_reset"] == "never"
    assert found["per_session"]["all"][0] == reset[0]  # until then nothing differs
    assert ("embedding", True) in seen and ("embedding", False) in seen
    assert np.isfinite(found["per_session"]["all"]).all()


def test_a_learner_that_cannot_be_adapted_is_left_out_with_a_note(tones, tmp_path, capsys):
    incremental(of_tones(tones, tmp_path, learner=("fecam",), tta=("none", "t3a"), sessions=1), "the command")
    assert [one["tta"] for one in records.read(tmp_path, "incremental")] == ["none"]
    assert "left out: fecam with t3a: it cannot be the last layer" in capsys.readouterr().out


def test_what_cannot_be_adapted_is_refused(tones, tmp_path):
    with pytest.raises(BadInput, match=r"--learner=fecam cannot be the last layer of a classifier"):
        incremental(of_tones(tones, tmp_path, learner=("fecam",), tta=("t3a",)), "the command")
    with pytest.raises(BadInput, match=r"unknown method 'tint'"):
        incremental(of_tones(tones, tmp_path, tta=("tint",)), "the command")
    with pytest.raises(BadInput, match=r"--options: method tent has no option 'rl'"):
        incremental(of_tones(tones, tmp_path, tta=("tent",), options=("tent.rl=1",)), "the command")
