"""Embeddings of a few classes, and sessions of them, for the tests of learners."""

import jax
import jax.numpy as jnp
import numpy as np

from dhauds_jax.incremental import learners, regressing
from dhauds_jax.incremental.descent import draw_orders
from dhauds_jax.incremental.precision import compiled
from dhauds_jax.types import LearnerInfo, Shots

KEY = jax.random.key(7)


def embeddings(classes=6, each=4, width=24, spread=1.5, seed=0):
    """(rows of all classes, class after class), (labels): noisy points around a centre a class."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, width))
    rows = centres.repeat(each, 0) + spread * rng.normal(size=(classes * each, width))
    return rows.astype(np.float32), np.arange(classes).repeat(each).astype(np.int32)


def shots(rows, labels, room, *, new=None, first=0, junk=3.0):
    """Rows as a session's shots; free places hold `junk`."""
    count = len(rows)
    padded = np.full((room, *rows.shape[1:]), junk, np.float32)
    padded[:count] = rows
    ends = np.zeros(room, np.int32)
    ends[:count] = labels
    weights = (np.arange(room) < count).astype(np.float32)
    clip = np.where(weights > 0, first + np.arange(room), -1).astype(np.int32)
    fresh = weights if new is None else np.pad(np.asarray(new, np.float32), (0, room - count))
    return Shots(*(jnp.asarray(leaf) for leaf in (padded, ends, weights, fresh, clip)))


def info_for(width, classes=8, sessions=4, rows=10, **more):
    shape = (width,) if isinstance(width, int) else width
    return LearnerInfo(max_classes=classes, max_sessions=sessions, max_rows=rows, shape=shape, **more)


def begun(name, info, classifier=None, variables=None, **options):
    """(compiled learner, its state before the first session)."""
    learner = compiled(learners.make(name, classifier, {key.rstrip("_"): value for key, value in options.items()}))
    return learner, learner.init(variables or {}, info, KEY)


def taught(learner, state, rows, labels, sessions, room=10):
    """The state after sessions, each an array of positions among the rows, and the losses of the last."""
    losses = {}
    for number, chosen in enumerate(sessions):
        state, losses = learner.learn(state, shots(rows[chosen], labels[chosen], room), jax.random.fold_in(KEY, number))
    return state, losses


def placed_to_be_drawn(order, key, first=0):
    """The rows so placed that `last_fifth`, with this key, looks at them in the given order."""
    ids = jnp.arange(first, first + len(order), dtype=jnp.int32)
    drawn = draw_orders(jax.random.fold_in(key, regressing.ORDER), ids, jnp.ones(len(order)), 1)[0]
    return np.asarray(order)[np.argsort(drawn)]


def three_sessions(labels):
    """Positions of classes 0-1, 2-3 and 4-5."""
    return [np.flatnonzero(labels // 2 == session) for session in range(3)]


def leaves_equal(a, b):
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.array_equal(np.asarray(x), np.asarray(y)) for x, y in pairs)
