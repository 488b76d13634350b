"""Scores of zero-shot rows: a scale of each fold, curves that hang on no other row, nothing computed twice."""

import numpy as np
import pytest

from dhauds_jax import digests, metrics
from dhauds_jax.runs import zeroshot_scores
from dhauds_jax.runs.zeroshot import zeroshot
from dhauds_jax.zeroshot import choose
from tests.runs.zeroshot_sets import CLIPS, FOLD, FOLDS, LABELS, by_hand, drawn, rows, run_of, unit, write


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return write(tmp_path_factory.mktemp("zeroshot"))


def test_a_row_hangs_on_no_other_weight_of_its_command(place, tmp_path):
    given = {"background": ("audio",), "scorer": ("subtract",)}
    zeroshot(run_of(place, tmp_path / "alone", **given, weight=("0.55",)), "zeroshot")
    zeroshot(run_of(place, tmp_path / "beside", **given, weight=("0.33", "3", "0.55", "auto")), "zeroshot")
    (alone,), (_, far, same, auto) = rows(tmp_path / "alone"), rows(tmp_path / "beside")
    for key in ("cell", "curve", "selection", "adapted_oracle", "adapted_last", "adapted_selected"):
        assert alone[key] == same[key], key
    assert [point["weight"] for point in same["curve"]] == sorted([*choose.WEIGHTS, 0.55])
    assert [point["weight"] for point in auto["curve"]] == list(choose.WEIGHTS)
    assert far["curve"][-1]["weight"] == 3.0 and far["adapted_last"] == far["curve"][-1]["metric"]


def test_a_set_is_hashed_once_and_a_profile_is_computed_once(place, tmp_path, monkeypatch):
    hashed, taken, of_arrays, profile = [], [], digests.of_arrays, zeroshot_scores.profile
    monkeypatch.setattr(digests, "of_arrays", lambda *arrays: hashed.append(arrays[0].shape) or of_arrays(*arrays))
    monkeypatch.setattr(zeroshot_scores, "profile", lambda *given: taken.append(given) or profile(*given))
    zeroshot(run_of(place, tmp_path, background=("audio",), scorer=("subtract", "centre"), weight=("0.5", "1")), "z")
    assert (len(taken), hashed.count((CLIPS, 8))) == (1, 1)


def test_a_scale_of_each_folds_own_training_clips(place, tmp_path):
    zeroshot(run_of(place, tmp_path, scale="nll"), "zeroshot")
    zeroshot(run_of(place, tmp_path, scale="30"), "zeroshot")
    _, park, *_ = drawn()
    vectors, made = unit(park.astype(np.float64)), by_hand(park, park)[1]
    fitted, given = rows(tmp_path)
    assert (given["scale"], given["scale_chosen_by"], fitted["scale_chosen_by"]) == (30.0, "fixed", "nll")
    assert given["scales"] == [30.0] * FOLDS and fitted["scale"] == pytest.approx(np.mean(fitted["scales"]))
    for f, scale in enumerate(fitted["scales"]):
        scores, labels = vectors[f != FOLD] @ made[f].T, LABELS[f != FOLD]
        best = metrics.nll(scale * scores, labels)
        assert all(best <= metrics.nll(factor * scale * scores, labels) for factor in (0.97, 1.03))
    assert len(set(fitted["scales"])) == FOLDS
    logits = np.array(fitted["scales"])[FOLD, None] * np.einsum("nd,nkd->nk", vectors, made[FOLD])
    assert fitted["nll"] == pytest.approx(metrics.nll(logits, LABELS), abs=1e-5)
