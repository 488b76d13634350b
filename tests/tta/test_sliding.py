"""The sliding window of single clips against NumPy, on the linear network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.cells.checking import check
from dhauds_jax.cells.request import AdaptRun
from dhauds_jax.errors import BadInput
from dhauds_jax.tta import protocols, sliding
from dhauds_jax.types import Batch
from tests.tta import linear

WAVES = np.random.default_rng(3).normal(0.3, 1.2, (10, 2)).astype(np.float32)
NUMBERS = np.concatenate([linear.SCALE, linear.BIAS])


def stream(method, window, clips=10, batch_size=4):
    """Rows as they came, the logits of each, and the state of the end."""
    run = protocols.compiled(method, classifier=linear.classifier())
    state = method.init(linear.VARIABLES, linear.INFO._replace(clips=clips))
    given = {"batch_size": batch_size, "key": jax.random.key(0), "alone": True, "window": window}
    rows, logits = [], []
    for step in protocols.online(run, state, WAVES[:clips], **given):
        rows.append(step.rows)
        logits.append(np.asarray(step.logits))
        state = step.state
    return np.concatenate(rows), np.concatenate(logits), state


@pytest.mark.parametrize("window", [1, 3, 12])
def test_each_clip_is_normalised_by_itself_and_those_before_it(window):
    """Biased variance; batches do not end a window, and the first clips have fewer before them."""
    rows, found, _ = stream(linear.compiled("norm", statistics="running"), window)
    for place, row in enumerate(rows):
        last = WAVES[rows[max(0, place - window + 1) : place + 1]].astype(np.float64)
        expected = linear.logits(WAVES[row], NUMBERS, last.mean(0), last.var(0))
        np.testing.assert_allclose(found[place], expected, rtol=2e-5, atol=2e-5)


def test_without_a_window_the_running_statistics_follow_each_full_buffer():
    rows, found, _ = stream(linear.compiled("norm", statistics="running"), 0)
    np.testing.assert_allclose(found[:4], linear.logits(WAVES[rows[:4]], NUMBERS), rtol=1e-6, atol=1e-6)
    seen = WAVES[rows[:4]].astype(np.float64)
    mean, var = 0.9 * linear.MEAN + 0.1 * seen.mean(0), 0.9 * linear.VAR + 0.1 * seen.var(0, ddof=1)
    np.testing.assert_allclose(found[4:8], linear.logits(WAVES[rows[4:8]], NUMBERS, mean, var), rtol=1e-5, atol=1e-5)


def test_updates_are_those_without_a_window_and_predictions_use_what_was_learnt():
    method = linear.compiled("tent", lr=0.1)
    _, _, plain = stream(method, 0)
    rows, found, state = stream(method, 4)
    np.testing.assert_array_equal(linear.affine(state.variables), linear.affine(plain.variables))
    _, _, first = stream(method, 0, clips=10, batch_size=10)  # one update, of all clips
    assert not np.allclose(linear.affine(first.variables), NUMBERS, atol=1e-3)
    np.testing.assert_allclose(
        found[3], linear.logits(WAVES[rows[3]], NUMBERS, WAVES[rows[:4]].mean(0), WAVES[rows[:4]].var(0)), atol=2e-5
    )
    after_two = found[9] - linear.logits(WAVES[rows[9]], NUMBERS, WAVES[rows[6:10]].mean(0), WAVES[rows[6:10]].var(0))
    assert np.abs(after_two).max() > 0.05, "after two updates the scales are others"


def test_a_method_that_corrects_within_its_batch_corrects_within_the_window():
    """`lame` with batch statistics says of a window of one what the clip's own statistics leave: nothing."""
    _, alone, _ = stream(linear.compiled("lame", statistics="batch", k=1), 1)
    assert np.ptp(alone, axis=0).max() == 0
    _, wide, _ = stream(linear.compiled("lame", statistics="batch", k=1), 6)
    assert np.ptp(wide, axis=0).max() > 0.1


OTHER = {"encoder": {"batch_norm": {"mean": jnp.asarray([5.0, -7.0]), "var": jnp.asarray([9.0, 0.01])}}}


def other_statistics(tree):
    """The state with other running statistics wherever it has some."""
    same = lambda one: jax.tree.structure(one) == jax.tree.structure(OTHER)  # noqa: E731
    is_stats = lambda one: same(one) and "mean" in one["encoder"]["batch_norm"]  # noqa: E731
    return jax.tree.map(lambda one: OTHER if is_stats(one) else one, tree, is_leaf=is_stats)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("auto", {"candidates": "norm+tent", "leave": False}),
        ("auto", {"candidates": "tent"}),  # too few clips to choose it: the source, under the window too
        ("rmt", {"lr": 0.1, "prototypes": "head", "replay": 0.0, "warm_up": 0, "projection": 2}),
    ],
)
def test_every_network_of_a_method_is_under_the_window(name, options):
    """Auto predicts with one of several networks, RMT with two: of none the running statistics count."""
    method = linear.compiled(name, **options)
    state = method.init(linear.VARIABLES, linear.INFO)
    state, _ = method.step(state, linear.BATCH, jax.random.key(1))
    predict = jax.jit(sliding.predictor(linear.classifier(), method))
    batch, before = (Batch(*(x[some] for x in linear.BATCH[:3])) for some in (slice(6, 8), slice(1, 6)))
    found = np.asarray(predict(state, batch, before))
    np.testing.assert_array_equal(found, predict(other_statistics(state), batch, before))
    networks = [state.variables, *([state.memory.teacher] if name == "rmt" else [])]
    for row, last in enumerate((linear.WAVE[1:7], linear.WAVE[2:8])):
        x, last = linear.WAVE[6 + row], last.astype(np.float64)
        each = [linear.logits(x, linear.affine(one), last.mean(0), last.var(0)) for one in networks]
        np.testing.assert_allclose(found[row], sum(each), rtol=2e-5, atol=2e-5)


def test_the_option_is_left_out_at_its_default_and_checked():
    assert protocols.resolve_options("batch1", {}) == {"reset": "none"}
    assert protocols.resolve_options("batch1", {"window": "16"}) == {"reset": "none", "window": 16}
    with pytest.raises(BadInput, match=r"option window is -1, expected a number from 0 on"):
        protocols.resolve_options("batch1", {"window": -1})
    run = AdaptRun(dataset="synthetic", checkpoint="c", corruption=["WHN"], protocol=["batch1"], workdir="w")
    with pytest.raises(BadInput, match=r"^--parallel=pmap: window of protocol batch1 is for one device, expected jit$"):
        check(run.replace(parallel="pmap", protocol_options=["batch1.window=4"]))
