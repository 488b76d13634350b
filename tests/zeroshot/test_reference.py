"""The published script's own numbers (golden `audiotext_reference`), and the compiled grid against them."""

import functools
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.types import ScorerInfo
from dhauds_jax.zeroshot import background, choose, grid, prototypes, reference, scorers, scoring

GOLDEN = Path(__file__).parents[1] / "goldens" / "audiotext_reference.npz"
MODES = {"zs": ("zs", 35), "tgap": ("tgap", 35), "tgap5": ("tgap", 5), "sv": ("sv", 35)}
WEIGHTS = (0.2, 0.5, 1.0)


@functools.cache
def golden():
    with np.load(GOLDEN) as file:
        return dict(file)


def backgrounds(data):
    return {
        "text": background.from_text(data["background_prompts"]),
        "audio": background.oracle(data["backgrounds"], data["background_of_clip"]),
    }


def published(data, mode, background=None, weight=0.5, topn=35):
    return reference.published(
        mode, data["embeddings"], data["class_gt"], data["fold"], data["text"], background, weight, topn
    )


@pytest.mark.parametrize("tag", MODES)
def test_scores_predictions_confidence_and_accuracy_are_the_published_ones(tag):
    data = golden()
    mode, topn = MODES[tag]
    rows = {tag: (None, 0.5)}
    rows |= {f"{tag}_{kind}_{w}": (one, w) for kind, one in backgrounds(data).items() for w in WEIGHTS}
    for name, (one, weight) in rows.items():
        found = published(data, mode, one, weight, topn)
        np.testing.assert_allclose(found.scores, data[f"scores_{name}"], rtol=0, atol=1e-6)
        np.testing.assert_allclose(found.confidence, data[f"confidence_{name}"], rtol=0, atol=1e-6)
        np.testing.assert_array_equal(found.predictions, data[f"pred_{name}"])
        np.testing.assert_allclose(found.accuracy, data[f"accuracy_{name}"], rtol=1e-12)


@pytest.mark.parametrize("tag", MODES)
def test_prototypes_and_profiles_are_the_published_ones(tag):
    data = golden()
    found = published(data, MODES[tag][0], topn=MODES[tag][1]).prototypes
    if tag != "zs":
        np.testing.assert_allclose(found, data[f"prototypes_{tag}"], rtol=0, atol=1e-6)
    folder = background.from_audio(data["backgrounds"])
    for kind, one in {"text": backgrounds(data)["text"], "folder": folder}.items():
        profiles = np.stack([choose.profile(one, each) for each in found])
        np.testing.assert_allclose(profiles, data[f"profile_{kind}_{tag}"], rtol=0, atol=1e-6)


def test_tgap_takes_the_published_clips_best_first():
    data = golden()
    _, train = prototypes.fold_weights(data["fold"])
    vectors, text = jnp.asarray(data["embeddings"]), jnp.asarray(data["text"])
    for weights, rows in zip(train, data["tgap5_rows"], strict=True):
        np.testing.assert_array_equal(prototypes.tgap_rows(vectors, text, weights, topn=5), rows)


def test_scorers_on_unnormalised_prototypes_give_the_published_scores():
    data = golden()
    names, train = prototypes.fold_weights(data["fold"])
    labels, vectors = jnp.asarray(data["class_gt"]), jnp.asarray(data["embeddings"])
    of_folds = prototypes.by_fold(
        lambda weights: prototypes.supervised(vectors, labels, weights, classes=8, normalised=False), train
    )
    scorer, fold = scorers.make("subtract", {"weight": 0.2}), np.searchsorted(names, data["fold"])
    for kind, one in backgrounds(data).items():
        scores = scoring.score_folds(scorer, of_folds, one, ScorerInfo(1.0), data["embeddings"], fold)
        np.testing.assert_allclose(scores, data[f"scores_sv_{kind}_0.2"], rtol=0, atol=1e-6)


def test_the_grid_in_one_program_has_the_published_accuracies():
    data = golden()
    _, train = prototypes.fold_weights(data["fold"])
    found = grid.accuracies(
        jnp.asarray(np.stack([data["embeddings"]] * 2)),
        jnp.asarray(data["class_gt"]),
        train,
        jnp.asarray(data["text"]),
        jnp.asarray(np.stack([data["background_prompts"].mean(0)] * 2)),
        jnp.asarray(data["backgrounds"]),
        jnp.asarray(np.stack([data["background_of_clip"]] * 2)),
        jnp.asarray(WEIGHTS),
    )
    rows = grid.rows(WEIGHTS)
    assert found.shape == (2, len(rows), 3) and len(rows) == 21
    tags = {kind: tag for tag, kind in reference.MODES.items()}
    for row, each in zip(rows, found[1], strict=True):
        name = tags[row.kind] if row.background == "none" else f"{tags[row.kind]}_{row.background}_{row.weight}"
        np.testing.assert_allclose(each, data[f"accuracy_{name}"][:3], rtol=1e-6)


def test_prototypes_of_the_clean_set_and_one_program_for_all_weights():
    """Clean -> noisy (D24): the rows of prototypes made by hand from other vectors; new weights compile nothing."""
    data = golden()
    names, train = prototypes.fold_weights(data["fold"])
    labels, vectors, clean = (jnp.asarray(data[key]) for key in ("class_gt", "embeddings", "embeddings"))
    clean = clean[::-1]
    given = (
        vectors[None],
        labels,
        train,
        jnp.asarray(data["text"]),
        jnp.asarray(data["background_prompts"].mean(0))[None],
    )
    given += (jnp.asarray(data["backgrounds"]), jnp.asarray(data["background_of_clip"])[None])
    found = grid.accuracies(*given, jnp.asarray([0.5]), kinds=("supervised",), source=clean)
    before = grid.accuracies._cache_size()
    grid.accuracies(*given, jnp.asarray([0.7]), kinds=("supervised",), source=clean)
    assert grid.accuracies._cache_size() == before
    for fold, name in enumerate(names):
        means = prototypes.supervised(clean, labels, train[fold], classes=8, normalised=False)
        test = data["fold"] == name
        right = np.mean((data["embeddings"][test] @ np.asarray(means).T).argmax(-1) == data["class_gt"][test])
        assert found[0, 0, fold] == pytest.approx(100 * right, rel=1e-6)


def test_the_share_of_labels_among_the_top_ones_by_hand():
    scores = np.array([[0.9, 0.1, 0.5, 0.3], [0.2, 0.2, 0.2, 0.1], [0.9, 0.1, 0.5, 0.3]])
    rows = np.array([[1, 1, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]])
    assert reference.top_k_share(scores, rows) == pytest.approx((2 / 3 + 0) / 2)
    np.testing.assert_allclose(reference.top_k_shares(scores, rows)[:2], [2 / 3, 0])
    assert reference.top_k_share(scores, np.eye(4)[[0, 0, 2]]) == pytest.approx(2 / 3)
    with pytest.raises(BadInput, match="no chunk has a label"):
        reference.top_k_share(scores, np.zeros((3, 4)))


def test_unnormalised_prototypes_are_a_quirk_that_changes_predictions():
    """D19: what the seed's shorter and longer prototypes are worth on these clips."""
    data = golden()
    _, train = prototypes.fold_weights(data["fold"])
    fold = jnp.asarray(np.searchsorted(np.unique(data["fold"]), data["fold"]))
    vectors = jnp.asarray(data["embeddings"])
    of_folds = grid.fold_prototypes(
        "supervised", vectors, jnp.asarray(data["class_gt"]), train, jnp.asarray(data["text"]), 35, True
    )
    np.testing.assert_allclose(np.linalg.norm(of_folds, axis=-1), 1.0, atol=1e-6)
    said = np.asarray(grid.own_fold_scores(vectors, of_folds, fold)).argmax(-1)
    assert (said != data["pred_sv"]).sum() > 0


def test_what_the_published_script_dies_of_is_said():
    data = golden()
    with pytest.raises(BadInput, match="mode 'ta': expected one of zs, tgap, sv"):
        published(data, "ta")
    with pytest.raises(BadInput, match="topn=39 of 38 training clips, expected from 1 to 38: give --topn"):
        published(data, "tgap", topn=39)
    lacking = data | {"class_gt": np.where(data["class_gt"] == 3, 2, data["class_gt"])}
    with pytest.raises(BadInput, match="no training clips of 3 outside one of the folds"):
        published(lacking, "sv")
    alone = data | {"fold": np.where(np.arange(60) == 7, 9, data["fold"])}
    with pytest.raises(BadInput, match="fold 9 has one clip"):
        published(alone, "zs")
    with pytest.raises(BadInput, match="all clips are of fold 1, expected at least two folds"):
        published(data | {"fold": np.ones(60, int)}, "zs")
