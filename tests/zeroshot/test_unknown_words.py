"""benchmarks/zeroshot_unknown.py: a row by hand."""

import numpy as np
import pytest

from benchmarks import zeroshot_unknown as unknown
from benchmarks.zeroshot_unknown_table import COLUMNS
from tests.zeroshot.tiny import unit


@pytest.fixture(scope="module")
def place():
    draw = np.random.default_rng(3)

    def rows(count):
        return unit(draw.normal(size=(count, 6))).astype("f4")

    anchors = rows(3)
    labels, held = np.arange(60) % 3, np.arange(40) % 3
    known = unit(anchors[labels] + 0.8 * rows(60))
    kept = unit(anchors[held] + 0.8 * rows(40))
    return anchors, unknown.Place(known, rows(30), rows(20), labels, kept, kept, held, rows(8), rows(20))


def test_a_row_by_hand(place):
    anchors, it = place
    kernel, bias, weight = unknown.layer("plain", anchors, it)
    np.testing.assert_allclose(kernel, anchors.T, atol=1e-6)
    row = unknown.row_of(it, kernel, bias)
    assert weight is None and set(row) == set(COLUMNS[5:])
    assert row["accuracy"] == np.mean((it.known @ anchors.T).argmax(1) == it.labels)
    best = {name: (getattr(it, name) @ anchors.T).max(1) for name in ("known", "words", "noise")}
    pairs = best["known"][:, None] > best["words"][None]
    assert row["auroc_words_score"] == pytest.approx(pairs.mean(), abs=1e-6)
    assert row["reject_known_held"] == row["reject_known_clean"] > 0.8 > row["reject_words_held"]
    assert row["background_noise_held"] < row["background_known_held"]


@pytest.mark.parametrize("name", ["subtract", "centre", "whiten"])
def test_every_scorer_is_a_layer_of_what_is_recorded(place, name):
    anchors, it = place
    kernel, bias, weight = unknown.layer(name, anchors, it)
    recorded = np.concatenate([it.known, it.words, it.noise])
    off = {"subtract": weight and weight * it.profile.mean(0), "centre": recorded.mean(0)}.get(name)
    if off is not None:
        np.testing.assert_allclose(recorded @ kernel + bias, (recorded - off) @ anchors.T, atol=1e-5)
    assert (recorded @ kernel + bias).shape == (110, 3) and (weight is not None) == (name == "subtract")
