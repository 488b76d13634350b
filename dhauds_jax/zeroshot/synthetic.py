"""Embeddings from a model of them: when taking off the background helps, and when it harms.

`a = unit(offset + class + noise + g * (background + own))`, `g = 10^(-SNR / 20)`: a modality's offset, a class's
direction, what is a clip's own, and a background that all clips of a place share but for each recording's own part.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dhauds_jax.dsp.unit_rows import unit_rows
from dhauds_jax.types import Background
from dhauds_jax.zeroshot import background as backgrounds
from dhauds_jax.zeroshot import choose, reference

SNRS = (20.0, 10.0, 5.0, 0.0, -5.0)
"""Of the study, in dB."""


class World(NamedTuple):
    """What the embeddings are made of: lengths of the parts, and their numbers.

    Attributes:
      classes: number of classes; directions of their own.
      clips: number of clips, classes in turn.
      width: of the embeddings.
      recordings: of the background, of which every clip lies over one.
      offset: length of each modality's own direction; 0: no modality gap.
      spread: length of what is a clip's own.
      vague: length of what a sentence says beside its class.
      own: length of what is a background recording's own, beside the part that all of the place share (length 1).
      leak: how much of the background's direction lies along one of the classes, 0 to 1: what makes it harmful.
    """

    classes: int = 10
    clips: int = 1000
    width: int = 64
    recordings: int = 20
    offset: float = 1.0
    spread: float = 2.5
    vague: float = 0.7
    own: float = 0.5
    leak: float = 0.6


class Embedded(NamedTuple):
    """Embeddings of one world at one SNR.

    Attributes:
      vectors: the clips' unit vectors.
      labels: their classes.
      text: the classes' unit text anchors.
      recordings: unit vectors of the background's recordings.
      own: the recording that each clip lies over.
      sentences: (3, width) unit vectors of the background's sentences.
      elsewhere: unit vectors of recordings of another place.
    """

    vectors: Float[Array, "clips width"]
    labels: Int[Array, " clips"]
    text: Float[Array, "classes width"]
    recordings: Float[Array, "recordings width"]
    own: Int[Array, " clips"]
    sentences: Float[Array, "sentences width"]
    elsewhere: Float[Array, "recordings width"]


def embed(key: Array, snr_db: float, world: World = World()) -> Embedded:  # noqa: B008 (a record that never changes)
    """Embeddings of a world; the same key is the same world and the same clips at every SNR.

    Args:
      key: all randomness.
      snr_db: of the class over the background, in dB.
      world: lengths and numbers of the parts.
    """
    return _embed(key, jnp.float32(10 ** (-snr_db / 20)), world)


@functools.partial(jax.jit, static_argnames="world")
def _embed(key: Array, gain: Float[Array, ""], world: World) -> Embedded:
    keys = iter(jax.random.split(key, 12))

    def directions(*shape: int) -> Array:
        return unit_rows(jax.random.normal(next(keys), (*shape, world.width)))

    classes, places = directions(world.classes), directions(2)
    places = unit_rows(jnp.sqrt(1 - world.leak**2) * places + world.leak * classes[:2])
    sound, word = world.offset * directions(2)
    labels = jnp.arange(world.clips, dtype=jnp.int32) % world.classes
    own = jax.random.randint(next(keys), (world.clips,), 0, world.recordings)
    here, there = (place[None] + world.own * directions(world.recordings) for place in places)
    clips = classes[labels] + world.spread * directions(world.clips) + gain * here[own]
    return Embedded(
        unit_rows(sound[None] + clips),
        labels,
        unit_rows(word[None] + classes + world.vague * directions(world.classes)),
        unit_rows(sound[None] + here),
        own,
        unit_rows(word[None] + places[:1] + world.vague * directions(3)),
        unit_rows(sound[None] + there),
    )


class Point(NamedTuple):
    """Accuracies (0 to 1) at one SNR.

    Attributes:
      snr_db: of the class over the background.
      plain: without correction.
      centre: the set's mean is taken off.
      fixed: kind of background -> accuracy at weight 0.5, the seed's default.
      best: kind of background -> (weight that is best by labels, its accuracy).
      chosen: kind of background -> (weight that is chosen without labels, its accuracy).
    """

    snr_db: float
    plain: float
    centre: float
    fixed: dict[str, float]
    best: dict[str, tuple[float, float]]
    chosen: dict[str, tuple[float, float]]


def study(
    key: Array,
    snrs: Sequence[float] = SNRS,
    world: World = World(),  # noqa: B008
    weights: Sequence[float] = choose.WEIGHTS,
) -> list[Point]:
    """What a correction is worth at every SNR: by words, by recordings of the place, by the very one, by another's."""
    return [_point(snr_db, embed(key, snr_db, world), choose.with_none(weights)) for snr_db in snrs]


def _point(snr_db: float, made: Embedded, weights: Sequence[float]) -> Point:
    labels, anchors = np.asarray(made.labels), np.asarray(made.text, np.float64)
    vectors = np.asarray(made.vectors, np.float64)
    plain = vectors @ anchors.T

    def accuracy(scores: np.ndarray) -> float:
        return float(np.mean(scores.argmax(-1) == labels))

    kinds: dict[str, Background] = {
        "text": backgrounds.from_text(made.sentences),
        "audio": backgrounds.from_audio(made.recordings),
        "oracle": backgrounds.oracle(made.recordings, np.asarray(made.own)),
        "wrong": backgrounds.from_audio(made.elsewhere),
    }
    fixed, best, chosen = {}, {}, {}
    for kind, one in kinds.items():
        scores = choose.weighted(plain, choose.profile(one, anchors), weights)
        right = [accuracy(each) for each in scores]
        fixed[kind] = accuracy(plain - reference.WEIGHT * choose.profile(one, anchors))
        for table, index in ((best, int(np.argmax(right))), (chosen, choose.choose(scores).index)):
            table[kind] = (weights[index], right[index])
    centred = (vectors - vectors.mean(0)) @ anchors.T
    return Point(float(snr_db), accuracy(plain), accuracy(centred), fixed, best, chosen)
