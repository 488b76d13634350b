"""Numbers of classes and mistakes, by hand and against scikit-learn; figures that no screen knows of."""

import numpy as np
import pytest
from sklearn import metrics as sklearn

from dhauds_jax import metrics
from dhauds_jax.report import evaluation

CLASSES = ("a", "b", "c")
LABELS = np.array([0, 0, 0, 1, 1, 2])
LOGITS = np.eye(3)[[0, 1, 1, 1, 0, 2]] * 4


def test_confusions_by_hand():
    found = evaluation.confusion(LOGITS, LABELS)
    assert found.tolist() == [[1, 2, 0], [1, 1, 0], [0, 0, 1]]
    assert evaluation.confusions(found, CLASSES, 5) == [("a", "b", 2), ("b", "a", 1)]
    assert evaluation.confusions(found, CLASSES, 1) == [("a", "b", 2)]


def test_every_class_is_measured_as_scikit_learn_does():
    rng = np.random.default_rng(0)
    labels, logits = rng.integers(0, 4, 50), rng.normal(size=(50, 5))
    lines = evaluation.class_lines(logits, labels, tuple("abcde"))
    wanted = sklearn.precision_recall_fscore_support(labels, logits.argmax(-1), labels=range(5), zero_division=0)
    assert np.allclose([line[2:] for line in lines], np.array(wanted[:3]).T)
    assert [line.clips for line in lines] == wanted[3].tolist()
    rows = rng.random((50, 5)) > 0.6
    several = evaluation.class_lines(logits, rows.astype(int), tuple("abcde"))
    wanted = sklearn.precision_recall_fscore_support(rows, logits > 0, zero_division=0)
    assert np.allclose([line[2:] for line in several], np.array(wanted[:3]).T)


@pytest.mark.parametrize("classes", [3, 60])
def test_figures_are_written_whatever_the_backend(tmp_path, monkeypatch, classes):
    monkeypatch.setenv("MPLBACKEND", "module://not_installed.backend")
    labels = np.arange(200) % classes
    logits = np.random.default_rng(0).normal(size=(200, classes))
    names = [f"class {k}" for k in range(classes)]
    evaluation.draw_confusion(evaluation.confusion(logits, labels), names, tmp_path / "confusion.png")
    evaluation.draw_calibration(metrics.reliability(logits, labels), tmp_path / "calibration.png")
    for name in ("confusion", "calibration"):
        assert (tmp_path / f"{name}.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
