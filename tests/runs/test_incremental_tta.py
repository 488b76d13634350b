"""Adaptation between sessions: before and after stand side by side, and what is carried on is read anew."""

import jax
import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.nets import zoo
from dhauds_jax.report.incremental import adaptation_table
from dhauds_jax.runs import incremental as runner
from dhauds_jax.runs import incremental_measures as measures
from dhauds_jax.runs import incremental_tta
from dhauds_jax.runs.incremental import incremental
from dhauds_jax.runs.incremental_readings import CLEAN_ONE, Readings
from dhauds_jax.workdir import records
from tests.runs import tiny
from tests.runs.test_incremental import of_tones, tones, without_times

__all__ = ["tones"]

NOISY = {"corruption": ("WHN",), "sessions": 2}
FAST = {"options": ("tent.lr=0.05",)}


def by_tta(workdir):
    return {one["tta"]: one for one in records.read(workdir, "incremental")}


@pytest.fixture(scope="module")
def adapted(tones, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("adapted")
    asked = {"tta": ("none", "t3a", "tent"), "tta_sessions": "all"}
    incremental(of_tones(tones, workdir, **asked, **NOISY, **FAST), "the command")
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
        assert session["all"] != session["before_all"] and found[name]["tta_sessions"] == "all"
    incremental(of_tones(tones, tmp_path, **NOISY), "the command")
    (alone,) = records.read(tmp_path, "incremental")
    assert without_times([alone]) == without_times([found["none"]])


@pytest.mark.slow
def test_the_last_session_adapted_alone_gives_what_it_gives_after_others(adapted, tones, tmp_path):
    incremental(of_tones(tones, tmp_path, tta=("tent",), **NOISY, **FAST), "the command")
    found, wanted = by_tta(tmp_path)["tent"], by_tta(adapted)["tent"]
    assert found["tta_sessions"] == "last" and found["cell"] != wanted["cell"]
    last = [one["per_session"]["per_class"][-1] for one in (found, wanted)]
    assert found["per_session"]["per_class"][0] is None and last[0] == last[1]


def test_sessions_without_an_adaptation_have_no_numbers(tones, tmp_path, monkeypatch):
    ran, after = [], {"t3a": "all", "tent": "last"}

    def logits_alone(run, course, backbone, readings, now, place, options):
        ran.append((place.tta, len(now.sessions)))
        return measures.logits_of(course, readings, now, place.condition)[place.head], backbone.variables

    monkeypatch.setattr(incremental_tta, "_after", logits_alone)
    incremental(of_tones(tones, tmp_path, tta=("none", *after), sessions=2), "the command")
    found, wanted = by_tta(tmp_path), {"all": [1, 2], "last": [2]}
    for name, when in after.items():
        one, plain = found[name], found["none"]
        assert one["tta_sessions"] == when and [at for who, at in ran if who == name] == wanted[when]
        assert one["last"] == plain["last"] == one["per_session"]["all"][-1]
        if when == "all":
            assert one["matrix"] == plain["matrix"] and one["AA"] == plain["AA"]
            continue
        assert one["matrix"] == [[None, None], plain["matrix"][1]]
        assert [one[key] for key in ("AA", "PD", "forgetting", "bwt")] == [None] * 4
        assert {key for key, values in one["per_session"].items() if values[0] is not None} == {"seconds"}
    assert found["none"]["tta_sessions"] is None
    (line,) = [one for one in adaptation_table(list(found.values())).splitlines() if "+ tent" in one]
    assert line.split("|")[5:8] == [" 0.0 "] * 3


def test_a_network_that_is_carried_on_is_adapted_after_every_session(tones, tmp_path):
    run = of_tones(tones, tmp_path, tta=("tent",), tta_reset="never", sessions=2)
    classifier, adapting = zoo.build(tiny.smallest(("a", "b"))), incremental_tta.adapting(run)
    assert incremental_tta.after_all(run, adapting, classifier) == ("tent",)
    assert incremental_tta.after_all(run.replace(tta_reset="session"), adapting, classifier) == ()
    with pytest.raises(BadInput, match=r"--tta_sessions=last: --tta_reset=never goes on from the network"):
        incremental(run.replace(tta_sessions="last"), "the command")


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


def test_what_was_read_of_a_moved_network_leaves_no_file(tones, tmp_path):
    readings = runner._inputs(of_tones(tones, tmp_path, sessions=1, memory_budget_mb=0.0)).readings
    moved = jax.tree.map(lambda leaf: 1.01 * leaf, readings._backbone.variables)
    for variables in (None, moved):
        readings.of("embedding", CLEAN_ONE, variables)
    files = [len(list((tmp_path / "cache").rglob("*.npy")))]
    readings.drop_moved()
    assert [*files, len(list((tmp_path / "cache").rglob("*.npy")))] == [2, 1]


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


def test_a_network_without_what_a_method_adapts_is_refused_before_anything_is_learnt(tones, tmp_path, monkeypatch):
    """Said after the last session, as it was, it cost the whole course."""
    monkeypatch.setattr(runner, "step", lambda *given: pytest.fail("a session was learnt"))
    run = of_tones(tones, tmp_path, tta=("none", "tent"), options=("tent.group=aux_path",), **NOISY)
    with pytest.raises(
        BadInput, match=r"^--tta=tent: method tent adapts the group 'aux_path', but this network has no"
    ):
        incremental(run, "the command")
    with pytest.raises(BadInput, match=r"^--tta=rmt: method rmt needs "):
        incremental(run.replace(tta=("rmt",), options=()), "the command")
