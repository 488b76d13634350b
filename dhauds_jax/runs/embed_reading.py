"""How `embed` reads clips while the network computes: files ahead in threads, corrupted clips in slices."""

from __future__ import annotations

import collections
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dhauds_jax.cells.targets import Noise
from dhauds_jax.data.corruptions import checksum, corrupt, draw_clips, needs_noise
from dhauds_jax.data.corruptions.applying import CHUNK
from dhauds_jax.data.layout import lay_out
from dhauds_jax.data.mixdown import SILENT
from dhauds_jax.data.opening import BadFile
from dhauds_jax.data.sets.base import draw_name
from dhauds_jax.model.encoding import Encoder, Recording, Row, beginning
from dhauds_jax.processors import available_cores
from dhauds_jax.runs.embed_sources import Source
from dhauds_jax.workdir.vector_parts import Clip

THREADS = min(8, 2 * available_cores())
"""Files that are read at a time."""
ROWS_AHEAD = 4
"""Rows of a file that wait for the network: what bounds the memory of a file of any length."""
SLICE_BYTES = 32 << 20
"""Float samples of the clips that are corrupted at once (bytes)."""


class Cell(NamedTuple):
    """A corruption of a data set's clips: its names, the draw's seed and profile, and the recordings mixed in."""

    corruption: str
    level: str
    seed: int
    profile: str
    noise: Noise


class Work(NamedTuple):
    """What is to be embedded, and where.

    Attributes:
      folder: of the embeddings.
      source: the clips.
      encoder: what embeds them.
      cell: what corrupts them first; None for clean ones.
      title: of the progress bar.
      identity: what the embeddings follow from; "listing" in it may change while files stay what they are.
      asked: what the manifest says of the flags beside it.
      batch_size: rows of a batch.
      save_every_s: least seconds between two parts.
      skip: whether bad files are left out.
    """

    folder: Path
    source: Source
    encoder: Encoder
    cell: Cell | None
    title: str
    identity: Mapping[str, Any]
    asked: Mapping[str, Any]
    batch_size: int
    save_every_s: float
    skip: bool


class _Read:
    """A recording that is read as often as somebody asks for its blocks, and what is known of it then."""

    def __init__(self, source: Source, encoder: Encoder, position: int) -> None:
        self._source, self._encoder, self._position = source, encoder, position
        self._blocks, self._notices = source.open(position, (encoder.sample_rate, encoder.resampler))
        self._begun = False
        self._coming: Iterator[np.ndarray] = iter(())

    def blocks(self) -> Iterator[np.ndarray]:
        """The blocks, from the beginning."""
        if self._begun:
            again = (self._encoder.sample_rate, self._encoder.resampler)
            self._blocks, self._notices = self._source.open(self._position, again)
        self._begun, self._samples, self._lowest, self._highest = True, 0, np.inf, -np.inf
        self._coming = self._seen()
        return self._coming

    def _seen(self) -> Iterator[np.ndarray]:
        for block in self._blocks:
            if len(block):
                self._samples += len(block)
                self._lowest, self._highest = min(self._lowest, block.min()), max(self._highest, block.max())
                yield block

    def told(self) -> Clip:
        """What is known when all that was needed has been read; the rest is read for it, and found whole."""
        for _ in self._coming:
            pass
        silent = bool(self._highest - self._lowest < SILENT)
        said = tuple((str(notice), float(getattr(notice, "value", 0.0))) for notice in self._notices())
        seconds, longer = self._samples / self._encoder.sample_rate, self._samples > self._encoder.length
        return Clip(None, seconds, 0, longer, silent, self._source.content(self._position), said)


def clean(source: Source, encoder: Encoder, first: int) -> Iterator[Recording]:
    """The clips from position `first` on, each to be read before the next one is asked for; files are read ahead."""

    def read(position: int) -> Iterator[Row | Clip]:
        reading = _Read(source, encoder, position)
        yield from encoder.rows(source.names[position], reading.blocks)
        yield reading.told()

    for position, found in ahead(read, range(first, len(source.names))):
        last: list[Clip] = []

        def rows(found: Iterator[Row | Clip] = found, last: list[Clip] = last) -> Iterator[Row]:
            for one in found:
                if isinstance(one, Clip):
                    last.append(one)
                else:
                    yield one

        yield Recording(position, rows(), lambda last=last: last[0])


_END = object()


class _Raised(NamedTuple):
    error: BaseException


class _Stopped(BaseException):
    """Nobody asks any more."""


def ahead(
    read: Callable[[int], Iterator[Any]], positions: Iterable[int], threads: int = THREADS, held: int = ROWS_AHEAD
) -> Iterator[tuple[int, Iterator[Any]]]:
    """`(position, what read(position) yields)` in order, while others are read in threads, `held` things of each.

    What a reading raises is raised where it is asked for. The next one may be asked for when the last one has ended.
    """
    stopped = threading.Event()

    def put(to: queue.Queue, one: Any) -> None:
        while not stopped.is_set():
            try:
                return to.put(one, timeout=0.1)
            except queue.Full:
                continue
        raise _Stopped

    def fill(position: int, to: queue.Queue) -> None:
        try:
            for one in read(position):
                put(to, one)
            put(to, _END)
        except _Stopped:
            return
        except BaseException as error:  # whoever asks for it raises it
            put(to, _Raised(error))

    def drained(to: queue.Queue) -> Iterator[Any]:
        while (one := to.get()) is not _END:
            if isinstance(one, _Raised):
                raise one.error
            yield one

    waiting: collections.deque[tuple[int, queue.Queue]] = collections.deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for position in positions:
            waiting.append((position, queue.Queue(held)))
            pool.submit(fill, *waiting[-1])
            if len(waiting) > threads:
                position, filled = waiting.popleft()
                yield position, drained(filled)
        while waiting:
            position, filled = waiting.popleft()
            yield position, drained(filled)
    finally:
        stopped.set()
        pool.shutdown(cancel_futures=True)


def corrupted(source: Source, cell: Cell, encoder: Encoder, first: int) -> Iterator[Recording]:
    """The clips from position `first` on, corrupted as `adapt` corrupts them; a slice of them is in memory.

    A clip's samples follow from the cell, its id and its own recording: slices change no bit of them. Of a clip that is
    longer than the network's, the head is corrupted (of TST: of the head and an eighth more).
    """
    width = encoder.length + encoder.length // 8
    size = max(2, SLICE_BYTES // (4 * width * CHUNK)) * CHUNK

    def read(position: int) -> tuple[np.ndarray, Clip] | BadFile:
        try:
            reading = _Read(source, encoder, position)
            wave = beginning(reading.blocks(), width)
            return wave, reading.told()
        except BadFile as error:
            return error

    with ThreadPoolExecutor(THREADS) as pool:
        for begin in range(first, len(source.names), size):
            positions = range(begin, min(begin + size, len(source.names)))
            found = list(pool.map(read, positions))
            good = [row for row, one in enumerate(found) if not isinstance(one, BadFile)]
            ids = [source.ids[positions[row]] for row in good]
            waves = iter(_corrupt(source, cell, encoder, ids, [found[row][0] for row in good]) if good else ())
            for position, one in zip(positions, found, strict=True):
                if isinstance(one, BadFile):
                    yield Recording(position, _raising(one), lambda: None)
                else:
                    wave = next(waves)
                    rows = encoder.rows(source.names[position], lambda wave=wave: [wave])
                    yield Recording(position, rows, lambda told=one[1]: told)


def _corrupt(
    source: Source, cell: Cell, encoder: Encoder, ids: Sequence[str], waves: Sequence[np.ndarray]
) -> np.ndarray:
    width = encoder.length + encoder.length // 8
    return corrupt(
        np.stack([lay_out(wave, width) for wave in waves]),
        ids,
        dataset=source.dataset,
        corruption=cell.corruption,
        level=cell.level,
        seed=cell.seed,
        profile=cell.profile,
        bank=cell.noise.bank,
        sample_rate=encoder.sample_rate,
        length=encoder.length,
        lengths=np.array([len(wave) for wave in waves]),
        layout=encoder.layout,
    )[0]


def _raising(error: BaseException) -> Iterator[Row]:
    raise error
    yield


def drawn(source: Source, cell: Cell, length: int, ids: Sequence[str]) -> tuple[str, tuple[str, ...] | None]:
    """The checksum of what was drawn for clips, as `adapt` records it, and the recording that each has mixed in."""
    bank = cell.noise.bank
    draws = draw_clips(
        ids,
        bank,
        dataset=draw_name(source.dataset),
        corruption=cell.corruption,
        level=cell.level,
        seed=cell.seed,
        profile=cell.profile,
        length=length,
        stretch_both_ways=source.dataset.order.stretch_both_ways,
    )
    named = checksum(ids, draws, corruption=cell.corruption, level=cell.level)[:16]
    if bank is None or not needs_noise(cell.corruption):
        return named, None
    return named, tuple(bank.names[int(index)] for index in draws.noise_index)
