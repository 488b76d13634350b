"""Twenty clips of four classes in eight dimensions over a background, with all that a scorer may be given."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from dhauds_jax.types import Background, ScorerInfo
from dhauds_jax.zeroshot import prototypes

CLASSES, WIDTH, CLIPS, SCALE = 4, 8, 20, 20.0


class Tiny(NamedTuple):
    """Arrays of the set; `info` and `background` are what `Scorer.init` takes."""

    vectors: np.ndarray
    labels: np.ndarray
    folds: np.ndarray
    prototypes: dict
    background: Background
    own: Background
    info: ScorerInfo


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


@functools.cache
def tiny():
    draw = np.random.default_rng(7)
    classes, place = unit(draw.normal(size=(CLASSES, WIDTH))), unit(draw.normal(size=WIDTH))
    labels = np.arange(CLIPS) % CLASSES
    vectors = unit(classes[labels] + 0.6 * place + 0.3 * draw.normal(size=(CLIPS, WIDTH))).astype(np.float32)
    text = unit(classes + 0.2 * draw.normal(size=(CLASSES, WIDTH))).astype(np.float32)
    noisy = unit(text[None] + 0.5 * place + 0.1 * draw.normal(size=(3, CLASSES, WIDTH))).astype(np.float32)
    shots = unit(classes[labels[:8]] + 0.2 * draw.normal(size=(8, WIDTH))).astype(np.float32)
    recordings = unit(place + 0.2 * draw.normal(size=(CLIPS, WIDTH))).astype(np.float32)
    made = {
        "text": jnp.asarray(text),
        "supervised": prototypes.supervised(jnp.asarray(shots), jnp.asarray(labels[:8]), jnp.ones(8), classes=CLASSES),
        "head": prototypes.head(jnp.asarray(draw.normal(size=(WIDTH, CLASSES)), jnp.float32), normalised=False),
    }
    info = ScorerInfo(
        SCALE, jnp.asarray(text), jnp.asarray(noisy), (jnp.asarray(shots), jnp.asarray(labels[:8])), clips=CLIPS
    )
    shared = Background(jnp.asarray(recordings.mean(0)), "audio", jnp.asarray(recordings))
    own = Background(jnp.asarray(recordings), "oracle", jnp.asarray(recordings))
    return Tiny(vectors, labels, np.arange(CLIPS) // 4 % 3, made, shared, own, info)
