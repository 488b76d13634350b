"""The contract table: every scorer on prototypes of every kind; a new one is taken up by its name."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax import names
from dhauds_jax.errors import BadInput
from dhauds_jax.zeroshot import scorers, scoring
from tests.zeroshot.tiny import CLASSES, CLIPS, SCALE, tiny

SCORERS = {
    **{name: (name, {}) for name in names.SCORERS},
    "centre, running": ("centre", {"running": True}),
    "chain:subtract+em": ("chain:subtract+em", {}),
    "chain:centre+treff": ("chain:centre+treff", {}),
    "chain:plain+subtract": ("chain:plain+subtract", {}),
    "of one's own": ("tests.zeroshot.foreign:sharper", {}),
}
ROWS = pytest.mark.parametrize(
    ("scorer", "prototypes"),
    [
        pytest.param(scorer, prototypes, marks=[] if prototypes == "text" else [pytest.mark.slow])
        for scorer in SCORERS
        for prototypes in ("text", "supervised", "head")
    ],
)
# One unit of float32 in sums of eight products and a softmax at 20.
close = functools.partial(np.testing.assert_allclose, rtol=0, atol=2e-6)


@functools.cache
def made(scorer):
    return scorers.make(*SCORERS[scorer])


def step_of(scorer):
    return jax.jit(made(scorer).step)


def start(scorer, prototypes, background=None, info=None):
    data = tiny()
    return made(scorer).init(data.prototypes[prototypes], background or data.background, info or data.info)


def run(scorer, prototypes, vectors=None, weights=None, background=None, info=None):
    """(state after one step, its scores)."""
    vectors = tiny().vectors if vectors is None else vectors
    weights = np.ones(len(vectors), np.float32) if weights is None else weights
    state = start(scorer, prototypes, background, info)
    return step_of(scorer)(state, jnp.asarray(vectors), jnp.asarray(weights))


def same_states(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        close(x, y)


@ROWS
def test_a_step_repeats_to_the_bit_and_keeps_its_state_s_shape(scorer, prototypes):
    state, scores = run(scorer, prototypes)
    again, scores_again = run(scorer, prototypes)
    assert scores.shape == (CLIPS, CLASSES) and np.isfinite(scores).all()
    assert np.array_equal(scores, scores_again)
    assert all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(state), jax.tree.leaves(again), strict=True))
    shapes = [jax.tree.map(lambda x: (x.shape, x.dtype), s) for s in (start(scorer, prototypes), state)]
    assert shapes[0] == shapes[1]


@ROWS
def test_padded_rows_change_nothing_whatever_they_hold(scorer, prototypes):
    state, scores = run(scorer, prototypes)
    padded = np.insert(tiny().vectors, [3, 3, 9, CLIPS], np.nan, 0)
    weights = np.insert(np.ones(CLIPS, np.float32), [3, 3, 9, CLIPS], 0.0)
    padded_state, padded_scores = run(scorer, prototypes, padded, weights)
    close(padded_scores[weights > 0], scores)
    same_states(padded_state, state)


@ROWS
def test_order_changes_nothing_where_the_past_is_not_used(scorer, prototypes):
    order = np.random.default_rng(0).permutation(CLIPS)
    _, scores = run(scorer, prototypes)
    _, mixed = run(scorer, prototypes, tiny().vectors[order])
    if "past" not in made(scorer).uses:
        close(mixed, scores[order])


@ROWS
def test_a_scan_is_a_loop(scorer, prototypes):
    data = tiny()
    batches = (jnp.asarray(data.vectors).reshape(4, 5, -1), jnp.ones((4, 5)))
    first = start(scorer, prototypes)
    state, scanned = scoring.stream(made(scorer).step, first, *batches)
    looped = first
    for i in range(4):
        looped, scores = step_of(scorer)(looped, batches[0][i], batches[1][i])
        close(scanned[i], scores)
    same_states(state, looped)


def changed(x):
    """Other numbers in place of what a scorer may look at."""
    return jax.tree.map(lambda y: y[::-1] if y.dtype == jnp.int32 else jnp.roll(y, 1, -1), x)


def nan(x):
    return jax.tree.map(lambda y: jnp.full_like(y, -1 if y.dtype == jnp.int32 else jnp.nan), x)


@ROWS
def test_uses_is_true(scorer, prototypes):
    """What is not named may be NaN; what is named matters."""
    data, used = tiny(), made(scorer).uses
    assert set(used) <= set(scorers.USES)
    _, scores = run(scorer, prototypes)

    def given(what, how):
        info, background, vectors = data.info, data.background, data.vectors
        if what == "text":
            info = info._replace(text=how(info.text), noisy_text=how(2 * info.noisy_text))
        elif what == "train_labels":
            info = info._replace(shots=how(info.shots))
        elif what == "background":
            background = background._replace(mean=how(background.mean), vectors=how(background.vectors))
        elif what == "set":
            vectors = np.concatenate([vectors[:1], np.asarray(how(jnp.asarray(vectors[1:])))])
        if what == "past":
            first, _ = step_of(scorer)(start(scorer, prototypes), how(jnp.asarray(vectors)), jnp.ones(CLIPS))
            return step_of(scorer)(first, jnp.asarray(vectors), jnp.ones(CLIPS))[1]
        if what == "set" and "past" in used:  # goes clip by clip: those of a step are past to its last one
            data_of = data.prototypes[prototypes], background, info, vectors
            return scoring.score_online(made(scorer), *data_of)[1][:1]
        found = run(scorer, prototypes, vectors, background=background, info=info)[1]
        return found[:1] if what == "set" else found

    for what in ("text", "background", "set", "past", "train_labels"):
        before = given("set", lambda x: x) if what == "set" else scores
        if what in used:
            assert np.abs(np.asarray(given(what, changed)) - before).max() > 1e-4, what
        else:
            close(given(what, nan), before, err_msg=what)


@ROWS
def test_a_linear_scorer_is_the_last_layer_of_a_classifier(scorer, prototypes):
    state, scores = run(scorer, prototypes)
    if made(scorer).linear is None:
        with pytest.raises(BadInput, match="is not linear and cannot be a classifier's last layer: expected plain"):
            scorers.linear_head(scorer, made(scorer), state)
        return
    head = scorers.linear_head(scorer, made(scorer), state, SCALE)
    np.testing.assert_allclose(
        tiny().vectors @ head.kernel + head.bias[None], SCALE * scores, rtol=0, atol=SCALE * 1e-6
    )
