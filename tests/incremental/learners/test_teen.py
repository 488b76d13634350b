"""TEEN against numpy in float64."""

import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.incremental import learners
from tests.incremental.learning import begun, embeddings, info_for, shots, taught, three_sessions

ROWS, LABELS = embeddings()
TESTED = embeddings(seed=5)[0]
SESSIONS = three_sessions(LABELS)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def logits_of(rows, labels, tested, alpha=0.5, temperature=16.0):
    """16 cos with the calibrated means; classes 0 and 1 are those of the first session."""
    rows, known = rows.astype(np.float64), np.unique(labels)
    means = {k: unit(rows[labels == k].mean(0)) for k in known}
    base = [means[k] for k in known if k < 2]
    out = np.full((len(tested), 8), -np.inf)
    for k in known:
        shares = np.exp([temperature * means[k] @ b for b in base])
        pulled = alpha * means[k] + (1 - alpha) * (shares / shares.sum()) @ np.stack(base)
        out[:, k] = 16 * unit(tested.astype(np.float64)) @ unit(means[k] if k < 2 else pulled)
    return out


@pytest.mark.parametrize("alpha", [0.5, pytest.param(1.0, marks=pytest.mark.slow)])
def test_later_prototypes_are_pulled_to_those_of_the_first_session(alpha):
    learner, state = begun("teen", info_for(24), alpha=alpha)
    state, _ = taught(learner, state, ROWS, LABELS, SESSIONS)
    wanted = logits_of(ROWS, LABELS, TESTED, alpha)
    np.testing.assert_allclose(learner.predict(state, TESTED)["prototype"], wanted, rtol=1e-5, atol=1e-5)
    if alpha == 1.0:
        plain, other = begun("prototype", info_for(24), unit=False)
        other, _ = taught(plain, other, ROWS, LABELS, SESSIONS)
        np.testing.assert_allclose(plain.predict(other, TESTED)["prototype"], wanted, rtol=1e-5, atol=1e-5)


def test_a_shot_left_out_moves_the_prototypes_that_it_pulled():
    learner, state = begun("teen", info_for(24))
    state, _ = taught(learner, state, ROWS, LABELS, SESSIONS)
    logits = np.asarray(learner.held_out(state, shots(ROWS[SESSIONS[0]], LABELS[SESSIONS[0]], 10))["prototype"])
    for row, i in enumerate(SESSIONS[0]):
        rest = np.arange(len(ROWS)) != i
        wanted = logits_of(ROWS[rest], LABELS[rest], ROWS[i : i + 1])[0]
        np.testing.assert_allclose(logits[row], wanted, rtol=1e-5, atol=1e-5)


def test_a_share_that_is_none():
    with pytest.raises(BadInput, match="learner teen: option alpha"):
        learners.make("teen", None, {"alpha": "1.5"})
