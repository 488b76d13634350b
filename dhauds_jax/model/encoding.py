"""Recordings of any number and length to vectors, in little memory: rows in batches of one shape, filled across files.

A recording's vector is the mean over its rows (the network's windows) of what the network gives before any
normalisation. It follows from the recording alone, bit for bit, whatever lies beside it in a batch: on a CPU rows are
computed one by one inside one program, since products of a batch have other last digits (relative 1e-6) in its last
rows. A GPU computes them together, by a program of one shape; there a row's place may show in the last digits.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32

from dhauds_jax.model.record import Model
from dhauds_jax.nets import clap_layout
from dhauds_jax.nets.clap_layout import LongRule
from dhauds_jax.nets.config import reading
from dhauds_jax.nets.normalisers import EVAL
from dhauds_jax.types import AudioText, Variables

Blocks = Callable[[], Iterable[np.ndarray]]
"""What gives a recording, float32 (time,) block by block, from its beginning whenever it is called."""

Row = tuple[np.ndarray, ...]
"""What a network takes of a recording at once, without the axis of the batch: of a classifier (window,), of an
audio-text model (wave (1, samples) or features (4, frames, mels), whether all channels count)."""

BEHIND = 2
"""Batches in the making: the next one is begun before the last one is fetched, so that no core waits."""


class Encoder(NamedTuple):
    """What makes vectors of recordings.

    Attributes:
      sample_rate: of the recordings that it takes, in Hz.
      length: of the network's clip, in samples: a longer recording is `longer`.
      rows: `(name, blocks) -> rows`: a recording in the rows that the network takes; not all blocks need be asked for.
      vectors: `(rows stacked (size, ...), count) -> (size, width)`, those after the first `count` being padding.
      how: what a manifest says of how rows are computed: their bits follow from nothing else beside weights and rows.
      front_end: of the network's config.
    """

    sample_rate: int
    length: int
    rows: Callable[[str, Blocks], Iterator[Row]]
    vectors: Callable[[Row, int], Array]
    how: str
    front_end: Mapping[str, Any]

    @property
    def layout(self) -> str:
        """What becomes of recordings shorter than the network's clip, of `names.LAYOUTS`."""
        return reading(self.front_end)["layout"]

    @property
    def resampler(self) -> str:
        """How recordings get the network's rate, of `names.RESAMPLERS`."""
        return reading(self.front_end)["resampler"]


def of_model(model: Model, rule: LongRule, batch_size: int) -> Encoder:
    """The encoder of a classifier: the input of its last linear layer.

    Args:
      model: as it was trained; what a method keeps beside its weights is not asked.
      rule: of long recordings; those of fusion are for audio-text models.
      batch_size: windows in a dispatch.
    """
    config, apply = model.config, model.classifier.apply

    def rows(name: str, blocks: Blocks) -> Iterator[Row]:
        found = clap_layout.rows_of(blocks, rule, config.front_end, config.length, name)
        return ((wave[0],) for wave, _ in found)

    def function(variables: Variables, waves: Array) -> Array:
        return apply(variables, waves, mode=EVAL)[0].embedding

    return _encoder(config, rows, function, model.variables, batch_size)


def of_audio_text(model: AudioText, variables: Variables, rule: LongRule, batch_size: int) -> Encoder:
    """The encoder of an audio-text model's audio tower: its projection, before the L2 norm.

    Args:
      model: the towers.
      variables: their weights.
      rule: of long recordings.
      batch_size: rows in a dispatch.
    """
    config = model.config

    def rows(name: str, blocks: Blocks) -> Iterator[Row]:
        found = clap_layout.rows_of(blocks, rule, config.front_end, config.length, name)
        return ((inputs, np.asarray(longer)) for inputs, longer in found)

    def function(variables: Variables, inputs: Array, longer: Array) -> Array:
        features = model.features(inputs[:, 0])[:, None] if inputs.ndim == 3 else inputs
        return model.audio(variables, features, longer)

    own = {"params": {"audio": variables["params"]["audio"]}, "batch_stats": variables["batch_stats"]}
    return _encoder(config, rows, function, own, batch_size)


def _encoder(
    config: Any, rows: Callable[..., Any], function: Callable[..., Array], variables: Any, batch_size: int
) -> Encoder:
    vectors, how = compiled(function, batch_size)
    held = jax.device_put(variables)

    def computed(stacked: Row, count: int) -> Array:
        return vectors(held, stacked, count)

    return Encoder(config.sample_rate, config.length, rows, computed, how, config.front_end)


def beginning(blocks: Iterable[Float[np.ndarray, " _"]], length: int) -> Float32[np.ndarray, " _"]:
    """The first `length` samples of a recording, or all that there are."""
    kept, count = [], 0
    for block in blocks:
        if count < length:
            kept.append(np.array(block[: length - count], np.float32))
            count += len(kept[-1])
    return np.concatenate(kept) if kept else np.zeros(0, np.float32)


def compiled(
    function: Callable[..., Array], batch_size: int
) -> tuple[Callable[[Any, tuple[np.ndarray, ...], int], Array], str]:
    """One program for batches of one shape, and how it computes rows.

    Args:
      function: `(variables, *rows (batch, ...)) -> (batch, width)`, row by row without parameters of the batch.
      batch_size: rows of a batch.
    """
    if jax.default_backend() != "cpu":
        together = jax.jit(lambda variables, rows: function(variables, *rows))
        return (lambda variables, rows, count: together(variables, rows)), f"batches of {batch_size}"

    def one_by_one(variables: Any, rows: tuple[Array, ...], count: Array) -> Array:
        def one(i: Array, out: Array) -> Array:
            row = (jax.lax.dynamic_slice_in_dim(leaf, i, 1) for leaf in rows)
            return jax.lax.dynamic_update_slice_in_dim(out, function(variables, *row), i, 0)

        each = jax.eval_shape(function, variables, *(jax.ShapeDtypeStruct((1, *x.shape[1:]), x.dtype) for x in rows))
        return jax.lax.fori_loop(0, count, one, jnp.zeros((rows[0].shape[0], each.shape[1]), each.dtype))

    return jax.jit(one_by_one), "one by one"


class Recording(NamedTuple):
    """A recording to be encoded.

    Attributes:
      position: its place in the list.
      rows: what the network takes of it; reading them raises `BadInput` where it cannot be used.
      told: what is to be kept of it, asked for when all rows have been read.
    """

    position: int
    rows: Iterator[Row]
    told: Callable[[], Any]


class Encoded(NamedTuple):
    """A recording's vector, the mean over so many `windows`, and what was `told` of it."""

    position: int
    vector: Float32[np.ndarray, " width"]
    windows: int
    told: Any


class Encoding:
    """Encodes recordings as they come; the rows of several fill a batch, and a long one fills several.

    Rows of another shape are batches, and a program, of their own.

    Args:
      encoder: what encodes.
      batch_size: rows of a batch.
    """

    def __init__(self, encoder: Encoder, batch_size: int) -> None:
        self._encoder, self._size = encoder, batch_size
        self._open: dict[tuple[Any, ...], list[tuple[int, Row]]] = {}
        self._coming: collections.deque[tuple[list[int], Array]] = collections.deque()
        self._sums: dict[int, np.ndarray] = {}
        self._seen: collections.Counter[int] = collections.Counter()
        self._read: dict[int, tuple[int, Any]] = {}
        self.windows = 0

    def take(self, recording: Recording) -> None:
        """Reads a recording; where that raises, nothing of it is left."""
        count = 0
        try:
            for row in recording.rows:
                shapes = tuple((leaf.shape, leaf.dtype) for leaf in row)
                batch = self._open.setdefault(shapes, [])
                batch.append((recording.position, row))
                count += 1
                if len(batch) == self._size:
                    self._run(self._open.pop(shapes))
            told = recording.told()
        except BaseException:
            self._forget(recording.position)
            raise
        self.windows += count
        self._read[recording.position] = count, told

    def _forget(self, position: int) -> None:
        for shapes, batch in list(self._open.items()):
            self._open[shapes] = [(owner, row) for owner, row in batch if owner != position]
        self._coming = collections.deque(
            ([-1 if owner == position else owner for owner in owners], found) for owners, found in self._coming
        )
        self._sums.pop(position, None)
        self._seen.pop(position, None)

    def _run(self, batch: list[tuple[int, Row]]) -> None:
        """Begins a batch, and fetches those before it."""
        if not batch:
            return
        owners = [owner for owner, _ in batch]
        stacked = tuple(_stacked(leaves, self._size) for leaves in zip(*(row for _, row in batch), strict=True))
        self._coming.append((owners, self._encoder.vectors(stacked, len(batch))))
        while len(self._coming) > BEHIND - 1:
            self._fetch()

    def _fetch(self) -> None:
        owners, found = self._coming.popleft()
        for owner, vector in zip(owners, np.asarray(found, np.float64), strict=False):
            if owner >= 0:
                self._sums[owner] = self._sums[owner] + vector if owner in self._sums else vector
                self._seen[owner] += 1

    def flush(self) -> None:
        """Computes all rows that wait for others, so that every recording taken is `finished`."""
        while self._open:
            self._run(self._open.popitem()[1])
        while self._coming:
            self._fetch()

    def finished(self) -> Iterator[Encoded]:
        """The recordings of which every row has been computed, in no particular order, each once."""
        for position in [position for position, (count, _) in self._read.items() if self._seen[position] == count]:
            count, told = self._read.pop(position)
            del self._seen[position]
            vector = (self._sums.pop(position) / count).astype(np.float32)
            yield Encoded(position, vector, count, told)


def _stacked(leaves: tuple[np.ndarray, ...], size: int) -> np.ndarray:
    """Rows below each other, zeros after them."""
    out = np.zeros((size, *leaves[0].shape), leaves[0].dtype)
    out[: len(leaves)] = leaves
    return out
