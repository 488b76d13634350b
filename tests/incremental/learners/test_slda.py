"""Linear discriminants against numpy, where shots are taken class by class."""

import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.incremental import learners
from tests.incremental.learning import begun, embeddings, info_for, shots, taught, three_sessions

ROWS, LABELS = embeddings()
TESTED = embeddings(seed=5)[0]
SESSIONS = three_sessions(LABELS)


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


@pytest.mark.parametrize("shrinkage", ["oas", pytest.param("1e-4", marks=pytest.mark.slow)])
def test_means_and_covariance_run_through_sessions(shrinkage):
    learner, state = begun("slda", info_for(24), shrinkage=shrinkage)
    state, losses = taught(learner, state, ROWS, LABELS, SESSIONS)
    wanted, share = logits_of(ROWS, LABELS, TESTED, None if shrinkage == "oas" else float(shrinkage))
    np.testing.assert_allclose(losses["shrinkage"], share, rtol=1e-9)
    np.testing.assert_allclose(learner.predict(state, TESTED)["lda"], wanted, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("shrinkage", ["oas", pytest.param("0.05", marks=pytest.mark.slow)])
def test_left_out_clips_are_predicted_as_without_them(shrinkage):
    chosen = np.append(SESSIONS[0], SESSIONS[1][:1])  # of the third class a single clip
    learner, state = begun("slda", info_for(24), shrinkage=shrinkage)
    state, losses = taught(learner, state, ROWS, LABELS, [chosen])
    logits = np.asarray(learner.held_out(state, shots(ROWS[chosen], LABELS[chosen], 10))["lda"])
    for row, i in enumerate(chosen):
        rest = chosen[chosen != i]
        wanted, _ = logits_of(ROWS[rest], LABELS[rest], ROWS[i : i + 1], float(losses["shrinkage"]))
        np.testing.assert_allclose(logits[row], wanted[0], rtol=1e-6, atol=1e-6)


def test_a_shot_a_class_is_the_nearest_mean():
    """Nothing is known of the covariance, so it is the identity."""
    learner, state = begun("slda", info_for(24))
    state, losses = taught(learner, state, ROWS, LABELS, [np.array([0, 4, 8])])
    assert float(losses["shrinkage"]) == 1.0
    means = ROWS[[0, 4, 8]].astype(np.float64)
    wanted = TESTED @ means.T - np.square(means).sum(1) / 2
    np.testing.assert_allclose(np.asarray(learner.predict(state, TESTED)["lda"])[:, :3], wanted, rtol=1e-9)


@pytest.mark.parametrize("text", ["much", "0", "1.5"])
def test_a_shrinkage_that_is_none(text):
    with pytest.raises(BadInput, match="learner slda: option shrinkage"):
        learners.make("slda", None, {"shrinkage": text})
