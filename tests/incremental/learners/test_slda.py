"""Linear discriminants against numpy, where shots are taken class by class."""

import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.incremental import kept_rows, learners
from tests.incremental.learning import begun, embeddings, info_for, shots, taught, three_sessions

ROWS, LABELS = embeddings(width=30)
TESTED = embeddings(width=30, seed=5)[0]
SESSIONS = three_sessions(LABELS)
KEPT, SUMS = info_for(30, sessions=3, rows=8), info_for(30, sessions=3)
"""Rooms for fewer clips than numbers in an embedding, and for as many."""

BOTH = pytest.mark.parametrize("info", [KEPT, SUMS], ids=["rows kept", "sums kept"])


def logits_of(rows, labels, tested, share=None):
    """(logits, share): every class by itself, the covariance inverted."""
    rows, tested, known = rows.astype(np.float64), tested.astype(np.float64), np.unique(labels)
    means = {k: rows[labels == k].mean(0) for k in known}
    around = np.concatenate([rows[labels == k] - means[k] for k in known])
    covariance, d = around.T @ around / len(rows), rows.shape[1]
    if share is None:
        n, square, trace = len(rows) - len(known), np.trace(covariance @ covariance), np.trace(covariance)
        share = min(1, ((1 - 2 / d) * square + trace**2) / ((n + 1 - 2 / d) * (square - trace**2 / d)))
    inverse = np.linalg.inv((1 - share) * covariance + share * np.trace(covariance) / d * np.eye(d))
    out = np.full((len(tested), 8), -np.inf)
    for k in known:
        out[:, k] = tested @ inverse @ means[k] - means[k] @ inverse @ means[k] / 2
    return out, share


@BOTH
@pytest.mark.parametrize("shrinkage", ["oas", pytest.param("1e-4", marks=pytest.mark.slow)])
def test_means_and_covariance_run_through_sessions(shrinkage, info):
    learner, state = begun("slda", info, shrinkage=shrinkage)
    state, losses = taught(learner, state, ROWS, LABELS, SESSIONS, info.max_rows)
    wanted, share = logits_of(ROWS, LABELS, TESTED, None if shrinkage == "oas" else float(shrinkage))
    np.testing.assert_allclose(losses["shrinkage"], share, rtol=1e-9)
    np.testing.assert_allclose(learner.predict(state, TESTED)["lda"], wanted, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("width", [6, *(pytest.param(width, marks=pytest.mark.slow) for width in (30, 96))])
def test_rows_and_sums_are_the_same_discriminant(width):
    """24 clips, more and fewer than numbers in an embedding, in a room for 30."""
    rows, labels = embeddings(width=width)
    chosen, info = three_sessions(labels), info_for(width, sessions=10)
    learner, empty = begun("slda", info)
    assert not isinstance(empty.memory, kept_rows.KeptRows)
    sums, losses = taught(learner, empty, rows, labels, chosen)
    kept, own = taught(learner, empty._replace(memory=kept_rows.empty(info, 30)), rows, labels, chosen)
    assert float(own["shrinkage"]) == pytest.approx(float(losses["shrinkage"]), rel=1e-10)
    given = shots(rows[chosen[1]], labels[chosen[1]], 10)
    tested = embeddings(width=width, seed=5)[0]
    for said in (lambda state: learner.predict(state, tested), lambda state: learner.held_out(state, given)):
        one, other = said(kept)["lda"], said(sums)["lda"]
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-8)


@BOTH
@pytest.mark.parametrize("shrinkage", ["oas", pytest.param("0.05", marks=pytest.mark.slow)])
def test_left_out_clips_are_predicted_as_without_them(shrinkage, info):
    info = info._replace(max_rows=info.max_rows + 1)  # 27 clips are fewer than 30 as well
    chosen = np.append(SESSIONS[0], SESSIONS[1][:1])  # of the third class a single clip
    learner, state = begun("slda", info, shrinkage=shrinkage)
    state, losses = taught(learner, state, ROWS, LABELS, [chosen], info.max_rows)
    logits = np.asarray(learner.held_out(state, shots(ROWS[chosen], LABELS[chosen], 10))["lda"])
    for row, i in enumerate(chosen):
        rest = chosen[chosen != i]
        wanted, _ = logits_of(ROWS[rest], LABELS[rest], ROWS[i : i + 1], float(losses["shrinkage"]))
        np.testing.assert_allclose(logits[row], wanted[0], rtol=1e-6, atol=1e-6)


@BOTH
def test_a_shot_a_class_is_the_nearest_mean(info):
    """Nothing is known of the covariance, so it is the identity."""
    learner, state = begun("slda", info)
    state, losses = taught(learner, state, ROWS, LABELS, [np.array([0, 4, 8])], info.max_rows)
    assert float(losses["shrinkage"]) == 1.0
    means = ROWS[[0, 4, 8]].astype(np.float64)
    wanted = TESTED @ means.T - np.square(means).sum(1) / 2
    np.testing.assert_allclose(np.asarray(learner.predict(state, TESTED)["lda"])[:, :3], wanted, rtol=1e-9)


def test_kept_rows_forget_and_join():
    learner, empty = begun("slda", KEPT)
    state, _ = taught(learner, empty, ROWS, LABELS, SESSIONS, 8)
    rest = np.flatnonzero(LABELS != 1)
    forgotten = learner.forget(state, jnp.int32(1))
    wanted, share = logits_of(ROWS[rest], LABELS[rest], TESTED)
    np.testing.assert_allclose(learner.predict(forgotten, TESTED)["lda"], wanted, rtol=1e-9, atol=1e-9)
    assert float(forgotten.heads.share) == pytest.approx(share, rel=1e-9)
    first, _ = taught(learner, empty, ROWS, LABELS, SESSIONS[:2], 8)
    last, _ = taught(learner, empty, ROWS, LABELS - 4, SESSIONS[2:], 8)
    joined = learner.merge(first, last, jnp.asarray([4, 5, 2, 3, 0, 1, 6, 7], jnp.int32))
    wanted, _ = logits_of(ROWS, LABELS, TESTED)
    np.testing.assert_allclose(learner.predict(joined, TESTED)["lda"], wanted, rtol=1e-9, atol=1e-9)
    assert learner.bytes_held(forgotten) == 20 * (30 * 4 + 4)
    assert learner.bytes_held(joined) == 24 * (30 * 4 + 4)


def test_sums_forget_no_class():
    learner, state = begun("slda", SUMS)
    state, _ = taught(learner, state, ROWS, LABELS, SESSIONS)
    assert learner.bytes_held(state) == 8 * (30 * 31 // 2 + 6 * 31)
    with pytest.raises(BadInput, match="learner slda: the state keeps sums of clips"):
        learner.forget(state, jnp.int32(1))


def test_only_rows_are_kept_of_wide_embeddings():
    """No matrix of width x width: of 3,072 numbers it would be 75 MB."""
    info = info_for(3072, sessions=6, rows=25)
    _, state = begun("slda", info)
    assert max(leaf.size for leaf in (*state.memory, *state.heads)) == 150 * 3072


@pytest.mark.parametrize("text", ["much", "0", "1.5"])
def test_a_shrinkage_that_is_none(text):
    with pytest.raises(BadInput, match="learner slda: option shrinkage"):
        learners.make("slda", None, {"shrinkage": text})
