"""experiments.zeroshot on chunks with any number of labels: top-k share and mAP by hand, event-free backgrounds."""

import numpy as np
import pytest

from dhauds_jax import metrics
from dhauds_jax.errors import BadInput
from dhauds_jax.runs import zeroshot_towers
from dhauds_jax.runs.report import write_report
from dhauds_jax.runs.requests.zeroshot import ZeroshotRun
from dhauds_jax.runs.zeroshot import zeroshot
from dhauds_jax.runs.zeroshot_towers import Towers
from dhauds_jax.workdir import records, vectors
from dhauds_jax.zeroshot import reference
from tests.runs.zeroshot_sets import CLASSES, WIDTH, unit

ROWS = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 1, 1], [0, 0, 0], [0, 0, 1], [1, 0, 1], [0, 1, 0]], np.uint8)
GROUPS = ("a", "a", "a", "b", "b", "b", "c", "c")  # all chunks of c have events
DRAW = np.random.default_rng(5)
ANCHORS = unit(DRAW.normal(size=(3, WIDTH)))
BEDS = {name: DRAW.normal(size=WIDTH) for name in "abc"}
VECTORS = ROWS @ ANCHORS + np.stack([BEDS[name] for name in GROUPS]) + 0.3 * DRAW.normal(size=(8, WIDTH))


@pytest.fixture
def place(tmp_path, monkeypatch):
    write(tmp_path / "tut.npz", label_rows=ROWS)
    towers = Towers("clap", "hash", anchors=ANCHORS[None].astype("f4"), scale=20.0, template=("{}",))
    monkeypatch.setattr(zeroshot_towers, "load", lambda *given: towers)
    return tmp_path


def write(path, rows=ROWS, **arrays):
    labels = np.where(rows.any(1), rows.argmax(1), -1)
    known = {"ids": np.array([f"{group}{k}" for k, group in enumerate(GROUPS)]), "groups": np.array(GROUPS)}
    np.savez(path, vectors=VECTORS.astype("f4"), labels=labels, classes=np.array(CLASSES), **known, **arrays)


def run_of(place, **changes):
    given = {"embeddings": (str(place / "tut.npz"),), "workdir": str(place / "out"), "scorer": ("plain", "subtract")}
    return ZeroshotRun(**{**given, "background": ("chunks",), **changes})


def test_numbers_by_hand(place, capsys):
    zeroshot(run_of(place), "c")
    printed = capsys.readouterr().out
    assert "note: tut: 1 recording has no chunk without an event and stays out of all rows" in printed
    clips = unit(VECTORS)
    tested = [0, 1, 3, 5]
    plain = clips @ ANCHORS.T
    own = np.stack([clips[2], clips[2], clips[4], clips[4]])
    moved = plain[tested] - 0.5 * own @ ANCHORS.T
    found = {row["scorer"]: row for row in records.read(place / "out", "zeroshot")}
    for row, scores in ((found["plain"], plain[tested]), (found["subtract"], moved)):
        assert (row["metric"], row["n"]) == ("top_k_share", 4)
        assert row["adapted_last"] == pytest.approx(reference.top_k_share(scores, ROWS[tested]))
        assert row["mean_average_precision"] == pytest.approx(
            [metrics.mean_average_precision(each, ROWS[tested]) for each in (plain[tested], scores)]
        )
        assert row["nll"] == pytest.approx(metrics.nll(20 * scores, ROWS[tested]), rel=1e-5)
        for k in range(3):
            one = [
                metrics.mean_average_precision(each[:, [k]], ROWS[tested][:, [k]]) for each in (plain[tested], scores)
            ]
            assert [each[k] for each in row["per_class"]] == pytest.approx(one)
    assert found["plain"]["uses"] == ["text"]
    assert found["subtract"]["uses"] == ["text", "background", "own_background", "annotations"]
    assert found["subtract"]["non_adapted"] == found["plain"]["adapted_last"] != found["subtract"]["adapted_last"]
    assert f"; mAP {100 * found['subtract']['mean_average_precision'][1]:.1f} (plain " in printed
    zeroshot(run_of(place), "c")
    assert len(records.read(place / "out", "zeroshot")) == 2


def test_the_report_says_what_is_measured(place):
    zeroshot(run_of(place, weight=("0.5", "auto")), "c")
    write_report([str(place / "out")], str(place / "report"))
    text = (place / "report" / "report.md").read_text()
    assert "| plain | top-k share |" in text and " mAP |" in text and "Average precision of each class" in text
    assert "| annotations | which chunks of a recording have no event |" in text


def test_what_several_labels_do_not_allow_is_said(place):
    with pytest.raises(BadInput, match=r"--prototypes=supervised .*: clips of .*tut\.npz have several labels"):
        zeroshot(run_of(place, prototypes=("supervised",), folds="2"), "c")
    with pytest.raises(BadInput, match="--scale=nll: is the likelihood of one label a clip"):
        zeroshot(run_of(place, scale="nll"), "c")
    full = np.maximum(ROWS, [1, 0, 0]).astype(np.uint8)
    write(place / "tut.npz", full, label_rows=full)
    with pytest.raises(BadInput, match=r"no recording of .* has chunks with and without events"):
        zeroshot(run_of(place), "c")
    write(place / "tut.npz", label_rows=ROWS, folds=np.array(["1", "1", "1", "1", "1", "1", "2", "2"]))
    with pytest.raises(BadInput, match="fold 2 has 0 clips, expected at least two in each"):  # those of recording c
        zeroshot(run_of(place), "c")
    write(place / "tut.npz")
    assert vectors.read(place / "tut.npz").label_rows is None
    with pytest.raises(BadInput, match="--background=chunks: no set says which chunks of a recording have no event"):
        zeroshot(run_of(place), "c")
