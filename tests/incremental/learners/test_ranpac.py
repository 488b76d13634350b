"""RanPAC against the primal solution in numpy on the same random features."""

import jax
import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.incremental import learners
from dhauds_jax.incremental.learners import ranpac
from tests.incremental.learning import KEY, begun, embeddings, info_for, leaves_equal, taught, three_sessions

ROWS, LABELS = embeddings()
SESSIONS = three_sessions(LABELS)
TESTED = embeddings(seed=5)[0]


@pytest.mark.parametrize("features", [20, 60], ids=["sums kept", "rows kept"])
def test_logits_are_those_of_ridge_on_relu_features(features):
    drawn = np.asarray(ranpac.projection(jax.random.key_data(KEY), 24, features), np.float64)
    assert abs(drawn.std() - 1) < 0.1
    made, tested = (np.maximum(x.astype(np.float64) @ drawn, 0) for x in (ROWS, TESTED))
    weights = np.linalg.solve(made.T @ made + 0.3 * np.eye(features), made.T @ np.eye(8)[LABELS])
    learner, state = begun("ranpac", info_for(24), M=features, lambda_="0.3")
    state, _ = taught(learner, state, ROWS, LABELS, SESSIONS)
    logits = np.asarray(learner.predict(state, TESTED)["ridge"])[:, :6]
    np.testing.assert_allclose(logits, 16 * (tested @ weights)[:, :6], rtol=1e-6, atol=1e-6)


def test_features_drawn_piece_by_piece_are_those_of_the_whole_projection():
    """2,500 features are two pieces and a half."""
    words = jax.random.key_data(KEY)
    with jax.enable_x64(True):
        made = jax.jit(ranpac.features_of, static_argnums=2)(words, ROWS.astype(np.float64), 2500)
    drawn = np.asarray(ranpac.projection(words, 24, 2500), np.float64)
    assert made.shape == (len(ROWS), 2500) and made.dtype == np.float64
    np.testing.assert_allclose(made, np.maximum(ROWS.astype(np.float64) @ drawn, 0), rtol=0, atol=1e-13)


def test_no_features_is_ridge():
    ends = []
    for name, options in (("ranpac", {"M": 0}), ("ridge", {})):
        learner, state = begun(name, info_for(24), **options)
        ends.append(taught(learner, state, ROWS, LABELS, SESSIONS))
    assert leaves_equal(*ends)


def test_neither_the_projection_nor_the_square_matrix_is_held():
    _, state = begun("ranpac", info_for(24), M=2000)
    sizes = {leaf.shape for leaf in jax.tree.leaves(state)}
    assert (24, 2000) not in sizes and (2000, 2000) not in sizes


def test_fewer_than_no_features():
    with pytest.raises(BadInput, match="learner ranpac: option M"):
        learners.make("ranpac", None, {"M": "-1"})
