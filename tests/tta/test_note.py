"""NOTE: instance-aware BatchNorm, prediction-balanced reservoir sampling and an update, each worked out in numpy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.tta import memory, methods
from dhauds_jax.tta.methods.note import balanced_slot, instance_aware
from dhauds_jax.types import Batch, RunInfo, Running
from tests.tta import linear, spread, tiny

X = np.random.default_rng(2).normal(0.3, 1.4, (6, 9, 3)).astype(np.float32)
STATS = Running(jnp.asarray([0.1, 0.4, -3.0]), jnp.asarray([1.0, 2.0, 0.3]))


def shrunk(x, by):
    return np.sign(x) * np.maximum(np.abs(x) - by, 0)


def by_hand(x, mean, var, k):
    """Clip by clip and channel by channel, as the paper writes it."""
    out, length = np.zeros_like(x, dtype=np.float64), x.shape[1]
    for b, c in np.ndindex(x.shape[0], x.shape[2]):
        row, v = x[b, :, c].astype(np.float64), var[c] + 1e-5
        m = mean[c] + shrunk(row.mean() - mean[c], k * np.sqrt(v / length))
        s = max(var[c] + shrunk(row.var(ddof=1) - var[c], k * v * np.sqrt(2 / (length - 1))), 0)
        out[b, :, c] = (row - m) / np.sqrt(s + 1e-5)
    return out


def test_instance_aware_batch_norm_over_running_statistics():
    y, kept = jax.jit(instance_aware(1.5), static_argnums=2)(X, STATS, 1e-5)
    wanted = by_hand(X, np.asarray(STATS.mean), np.asarray(STATS.var), 1.5)
    np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=1e-4)
    assert np.array_equal(kept.mean, STATS.mean) and np.array_equal(kept.var, STATS.var)
    plain = (X - np.asarray(STATS.mean)) / np.sqrt(np.asarray(STATS.var) + 1e-5)
    np.testing.assert_allclose(
        jax.jit(instance_aware(1e3), static_argnums=2)(X, STATS, 1e-5)[0], plain, rtol=1e-5, atol=1e-5
    )
    assert np.abs(wanted - plain).max() > 0.1


def test_instance_aware_batch_norm_over_the_batch_leaves_padded_rows_out():
    weights = np.float32([1, 1, 1, 1, 0, 0])
    y, kept = jax.jit(instance_aware(1.5, 0.01), static_argnums=2)(X, STATS, 1e-5, weights)
    real = X[:4].reshape(-1, 3).astype(np.float64)
    mean, var = real.mean(0), real.var(0, ddof=1)
    np.testing.assert_allclose(np.asarray(y)[:4], by_hand(X[:4], mean, var, 1.5), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(kept.mean, 0.99 * np.asarray(STATS.mean) + 0.01 * mean, rtol=1e-5)
    np.testing.assert_allclose(kept.var, 0.99 * np.asarray(STATS.var) + 0.01 * var, rtol=1e-5)


@functools.partial(jax.jit, static_argnums=(2, 3))
def sampled(key, stream, slots, classes):
    """Position in the stream of each slot's clip, and the slots' classes."""

    def decide(state, row):
        (held, predicted), (label, row_key) = state, row
        predicted = predicted.at[label].add(1)
        slot = balanced_slot(row_key, label, held, predicted)
        return (held.at[slot].set(label, mode="drop"), predicted), slot

    rows = (jnp.asarray(stream, jnp.int32), jax.random.split(key, len(stream)))
    start = (memory.empty_labels(slots), jnp.zeros(classes, jnp.int32))
    (held, _), origin = memory.filled_by(decide, start, rows, jnp.ones(len(stream)), slots)
    return origin, held


def test_sampling_balances_the_predicted_classes():
    stream = np.repeat([0, 1, 2], [50, 10, 10])
    origin, held = sampled(jax.random.key(0), stream, 12, 4)
    assert np.array_equal(np.bincount(held, minlength=4), [4, 4, 4, 0])
    assert np.array_equal(stream[np.asarray(origin)], held)


def test_within_a_class_every_clip_is_as_likely_to_stay():
    """A stream of one class is plain reservoir sampling: 5 slots for 20 clips keep each with probability 1/4."""
    runs = 2000
    many = jax.jit(jax.vmap(lambda key: sampled(key, np.zeros(20), 5, 2)))
    origin, _ = many(jax.random.split(jax.random.key(1), runs))
    kept = np.bincount(np.asarray(origin).ravel(), minlength=20) / runs
    # five standard deviations of a share of 2000
    assert np.abs(kept - 0.25).max() < 5 * np.sqrt(0.25 * 0.75 / runs)


def run(capacity, every, batch=linear.BATCH, **options):
    method = linear.compiled("note", capacity=capacity, every=every, **options)
    return method, *method.step(method.init(linear.VARIABLES, linear.INFO), batch, jax.random.key(0))


def test_a_step_predicts_then_minimises_the_entropy_of_the_memory():
    """Twelve slots take the eight clips in their order; the four free ones count for nothing."""
    method, state, prediction = run(12, 8, lr=0.01)
    start = linear.affine(linear.VARIABLES)
    np.testing.assert_allclose(prediction.logits, linear.logits(linear.WAVE, start), rtol=1e-5)
    mean, var = linear.WAVE.mean(0, dtype=np.float64), linear.WAVE.astype(np.float64).var(0, ddof=1)

    def loss(numbers):
        return linear.entropy(linear.logits(linear.WAVE, numbers, mean, var)).mean()

    assert float(prediction.losses["total"]) == pytest.approx(loss(start), rel=1e-5)
    moved = linear.adams_first_step(start, linear.gradient(loss, start), 0.01)
    np.testing.assert_allclose(linear.affine(state.variables), moved, rtol=1e-4)
    stats = state.variables["batch_stats"]["encoder"]["batch_norm"]
    np.testing.assert_allclose(stats["mean"], 0.99 * linear.MEAN + 0.01 * mean, rtol=1e-5)
    np.testing.assert_allclose(stats["var"], 0.99 * linear.VAR + 0.01 * var, rtol=1e-5)
    assert np.array_equal(np.asarray(state.memory.waves)[:8], linear.WAVE)
    assert np.array_equal(state.memory.labels, [*np.argmax(prediction.logits, -1), -1, -1, -1, -1])
    now = jax.tree.map(np.asarray, stats)
    after = linear.logits(linear.WAVE, linear.affine(state.variables), now["mean"], now["var"])
    np.testing.assert_allclose(method.predict(state, linear.BATCH), after, rtol=1e-4, atol=1e-5)


def test_padded_rows_stay_out_of_the_memory_and_count_for_no_update():
    batch = linear.BATCH._replace(weights=jnp.asarray([1.0] * 5 + [0.0] * 3))
    _, state, prediction = run(12, 6, batch)
    assert int(state.memory.seen) == 5 and int((np.asarray(state.memory.labels) != memory.EMPTY).sum()) == 5
    assert np.array_equal(np.asarray(state.memory.waves)[5:], np.zeros((7, 2)))
    assert np.array_equal(linear.affine(state.variables), linear.affine(linear.VARIABLES))
    assert float(prediction.losses["total"]) == 0


@pytest.mark.slow
def test_updates_come_every_so_many_clips():
    """Of 22 clips in batches of 8, 8 and 6, every=10 updates after the second and the third."""
    classifier, waves = tiny.NETS["batch_norm"](), tiny.waves()
    method = methods.make("note", classifier, methods.resolve_options("note", "reference", {"every": 10}))
    state = method.init(tiny.variables_of(classifier, tiny.LENGTH), RunInfo(3, tiny.CLIPS, tiny.CLASSES))
    step, moved = jax.jit(method.step), []
    for i in range(3):
        rows = np.arange(8 * i, 8 * i + 8) % tiny.CLIPS
        weights = jnp.asarray(np.arange(8 * i, 8 * i + 8) < tiny.CLIPS, jnp.float32)
        before = state.variables["params"]["encoder"]["batch_norm"]["scale"]
        batch = Batch(jnp.asarray(waves[rows]), weights, jnp.asarray(rows, jnp.int32))
        state, _ = step(state, batch, jax.random.key(i))
        moved.append(not np.array_equal(before, state.variables["params"]["encoder"]["batch_norm"]["scale"]))
    assert moved == [False, True, True]


@pytest.mark.slow
def test_a_spread_batch_gives_the_same():
    spread.check("note", RunInfo(1, 7, tiny.CLASSES), capacity=5, every=7)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: run(0, 8), "note: capacity is 0, expected at least 1 clip"),
        (lambda: run(4, 0), "note: every is 0, expected at least 1 clip"),
        (
            lambda: run(4, 8, linear.BATCH._replace(wave=jnp.zeros((8, 1)))),
            r"method note keeps clips of 2 samples \(the classifier's config.length\), but the batch has rows",
        ),
    ],
)
def test_impossible_memories_get_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()
