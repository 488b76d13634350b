"""Clusters of points that learners are taught, without a network."""

import jax.numpy as jnp
import numpy as np

from dhauds_jax.incremental import learners, precision, rooms

WIDTH = 6


def clips(names, count=3, seed=0, windows=1):
    """(inputs, names of rows, owner, clips): `count` clips of each class, around a centre that its name says."""
    inputs, rows, owner, made = [], [], [], []
    for name in names:
        centre = np.random.default_rng([ord(letter) for letter in name]).normal(size=WIDTH)
        draw = np.random.default_rng([seed, *(ord(letter) for letter in name)])
        for take in range(count):
            for _ in range(windows):
                inputs.append(centre + 0.6 * draw.normal(size=WIDTH))
                rows.append(name)
                owner.append(len(made))
            made.append(rooms.Clip(f"{name}/{take}", f"{name}{seed}{take}"))
    return np.float32(inputs), rows, np.int32(owner), made


def begun(name="prototype", given=None, **about):
    options = learners.resolve_options(name, given or {})
    learner = precision.compiled(learners.make(name, None, options))
    return rooms.begun(name, options, learner.heads[0], learner, {}, (WIDTH,), **about)


def taught(learned, names, count=3, seed=0, windows=1, some=slice(None)):
    """After one session of `clips`, or of some of their rows."""
    inputs, rows, owner, made = clips(names, count, seed, windows)
    ones, owner = np.ones(len(rows), np.float32), owner[some]
    kept, owner = np.unique(owner, return_inverse=True)
    made = [made[k] for k in kept]
    return rooms.taught(learned, inputs[some], rows[some], ones[some], np.int32(owner), made)[0]


def logits(learned, seed=9):
    """What is said of new points of the classes a to e, in the order of the classes' names."""
    inputs, *_ = clips("abcde", 2, seed)
    found = np.asarray(learned.learner.predict(learned.state, jnp.asarray(inputs))[learned.head])
    return found[:, [learned.classes.index(name) for name in sorted(learned.known)]]
