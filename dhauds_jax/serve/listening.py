"""Windows of a sound that does not stop: a ring of the last seconds, windows hop by hop, and what became of each.

What reads the sound and what computes are two threads with an `Intake` between them. While the sound is live nothing
waits for the computation: what does not fit into the ring is dropped, counted and told with the next window. Else the
reader waits and nothing is dropped.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from dhauds_jax import calibration
from dhauds_jax.dsp.clip_layout import lay_out
from dhauds_jax.model.rejecting import Rejecting
from dhauds_jax.serve.contracts import Predictor
from dhauds_jax.serve.naming import named


class Window(NamedTuple):
    """A window of the sound.

    Attributes:
      wave: (length,).
      start: its first sample, counted from the beginning of the sound.
      end: the first sample after its sound; less than `length` after `start` where the whole sound is shorter.
      came: when its last sample came, in seconds of the reader's clock.
      dropped: windows between the one before and this one, which nobody heard.
    """

    wave: Float[np.ndarray, " length"]
    start: int
    end: int
    came: float
    dropped: int = 0


class Ring:
    """The last seconds of a sound, and which of its windows are due; no thread and no clock.

    Windows begin every `hop` samples; at the end a last one ends with the sound, as `dsp.clip_layout.cut` has it. A
    sound that is shorter than a window is laid out in one.

    Args:
      length: samples of a window.
      hop: samples from one to the next, `length` at the most.
      spare: samples that are kept beyond a window before any are dropped; two hops at the least.
      layout: of a sound that is shorter than a window, see `dsp.clip_layout.lay_out`.
    """

    def __init__(self, length: int, hop: int, spare: int, layout: str = "centre") -> None:
        if not 1 <= hop <= length:
            raise ValueError(f"a hop of {hop} samples, expected 1 to {length}")
        self.length, self.hop, self.layout = length, hop, layout
        self.end, self.closed, self.dropped = 0, False, 0
        self._ring = np.zeros(length + max(spare, 2 * hop), np.float32)
        self._next, self._untold, self._ended = 0, 0, False
        self._arrivals: deque[tuple[int, float]] = deque()

    @property
    def room(self) -> int:
        """Samples that fit without dropping any that no window has had."""
        return len(self._ring) - (self.end - self._next)

    def add(self, block: Float[np.ndarray, " time"], now: float) -> None:
        """The next samples, which came at `now`; where they do not fit, all windows but the newest are dropped."""
        for first in range(0, len(block), self.hop):
            self._add(block[first : first + self.hop], now)

    def _add(self, block: np.ndarray, now: float) -> None:
        overflow = len(block) > self.room
        at = np.arange(self.end, self.end + len(block)) % len(self._ring)
        self._ring[at] = block
        self.end += len(block)
        self._arrivals.append((self.end, now))
        if overflow:
            # What is whole by now is old, but for the last: after it the sound is heard as it comes again.
            left_out = (self.end - self.length - self._next) // self.hop
            self._next += left_out * self.hop
            self._untold += left_out
            self.dropped += left_out
        while self._arrivals and self._arrivals[0][0] < min(self._next + self.length, self.end):
            self._arrivals.popleft()

    def close(self) -> None:
        """The sound has ended."""
        self.closed = True

    @property
    def due(self) -> int:
        """Windows that are whole and were not taken, without the last one of an ended sound."""
        return max(0, (self.end - self.length - self._next) // self.hop + 1)

    def take(self, most: int) -> list[Window]:
        """The next windows, `most` at the most; of an ended sound the last one too."""
        found = [self._window(self._next + number * self.hop) for number in range(min(most, self.due))]
        self._next += len(found) * self.hop
        if self.closed and len(found) < most and not self._ended:
            self._ended = True
            found += self._last()
        if found and self._untold:
            found[0], self._untold = found[0]._replace(dropped=self._untold), 0
        return found

    @property
    def finished(self) -> bool:
        """Whether the sound has ended and all of its windows were taken."""
        return self.closed and self._ended

    def _last(self) -> list[Window]:
        """The window with which the sound ends, where that is none of the others."""
        if not self.end:
            return []
        if self.end < self.length:
            wave = lay_out(self._part(0, self.end), self.length, layout=self.layout)
            return [Window(wave, 0, self.end, self._came(self.end))]
        heard = self._next - self.hop + self.length  # where the last one ended
        return [self._window(self.end - self.length)] if self.end > heard else []

    def _window(self, start: int) -> Window:
        end = start + self.length
        return Window(self._part(start, end), start, end, self._came(end))

    def _part(self, start: int, end: int) -> np.ndarray:
        return self._ring[np.arange(start, end) % len(self._ring)]

    def _came(self, sample: int) -> float:
        """When the sample before `sample` came."""
        return next(now for end, now in self._arrivals if end >= sample)


class Intake:
    """A ring between the thread that reads and the one that computes.

    Args:
      ring: what lies between them, empty.
      live: whether samples are dropped where there is no room; else the reader waits.
      clock: seconds.
    """

    def __init__(self, ring: Ring, live: bool, clock: Callable[[], float]) -> None:
        self.ring, self.live, self.clock = ring, live, clock
        self.error: Exception | None = None
        self._changed, self._stopped = threading.Condition(), False

    def feed(self, blocks: Iterable[np.ndarray]) -> None:
        """Puts blocks into the ring until they end, which an exception of theirs does too; the reader's thread."""
        try:
            for block in blocks:
                for first in range(0, len(block), self.ring.hop):
                    if not self._put(block[first : first + self.ring.hop]):
                        return
        except Exception as error:  # told to the other thread, when it has had what came before
            self.error = error
        finally:
            with self._changed:
                self.ring.close()
                self._changed.notify_all()

    def _put(self, piece: np.ndarray) -> bool:
        with self._changed:
            while not self.live and self.ring.room < len(piece) and not self._stopped:
                self._changed.wait(0.1)
            if not self._stopped:
                self.ring.add(piece, self.clock())
                self._changed.notify_all()
            return not self._stopped

    def take(self, most: int, wait_s: float) -> list[Window]:
        """Windows that are due, waited for so long; none where there are none by then."""
        with self._changed:
            if not self.ring.due and not self.ring.closed and wait_s:
                self._changed.wait(wait_s)
            found = self.ring.take(most)
            self._changed.notify_all()
            return found

    def stop(self) -> None:
        """Nothing more is read."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()


def paced(
    blocks: Iterable[np.ndarray], rate: float, clock: Callable[[], float], sleep: Callable[[float], object]
) -> Iterator[np.ndarray]:
    """Blocks when they would have been recorded: each when `rate` samples a second have come to its end.

    Pieces last a fiftieth of a second, so that hops do not come in heaps.
    """
    begun, came, size = clock(), 0, max(1, round(rate / 50))
    for block in blocks:
        for first in range(0, len(block), size):
            piece = block[first : first + size]
            came += len(piece)
            if (left := begun + came / rate - clock()) > 0:
                sleep(left)
            yield piece


class Listener:
    """What says probabilities of windows, of the model or of one session that learns from them.

    A session learns from windows that share no sound; those between them are predicted alone.

    Args:
      predictor: of the source model, or `serve.sessions.Sessions`.
      shapes: numbers of rows that it takes.
      length: samples of a window.
      session: its name; "" for the source model.
      says: what the session says of any number of clips, from which it does not learn; None without a session.
    """

    def __init__(
        self,
        predictor: Predictor,
        shapes: Sequence[int],
        length: int,
        session: str = "",
        says: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> None:
        self.predictor, self.shapes, self.session = predictor, tuple(shapes), session
        self._length, self._says, self._learnt_to = length, says, 0

    @property
    def most(self) -> int:
        """Windows that are predicted at once."""
        return self.shapes[-1]

    def predict(self, windows: Sequence[Window]) -> Float[np.ndarray, "windows columns"]:
        """Their answers (`contracts.Served.answers`), in their order; a session may learn from them afterwards."""
        alone = [self._alone(window) for window in windows]
        found = []
        for apart, group in itertools.groupby(zip(alone, windows, strict=True), key=lambda pair: pair[0]):
            waves = np.stack([window.wave for _, window in group])
            found.append(self._says(waves) if apart and self._says is not None else self._answers(waves))
        return np.concatenate(found)

    def _alone(self, window: Window) -> bool:
        """Whether nothing is learnt from a window, whose sound begins within one that was learnt from."""
        if self._says is None:
            return False
        overlaps = window.start < self._learnt_to
        self._learnt_to = self._learnt_to if overlaps else window.start + self._length
        return overlaps

    def _answers(self, waves: np.ndarray) -> np.ndarray:
        rows = next(shape for shape in self.shapes if shape >= len(waves))
        padded = np.zeros((rows, self._length), np.float32)
        padded[: len(waves)] = waves
        weights = (np.arange(rows) < len(waves)).astype(np.float32)
        return self.predictor.predict(self.session, padded, weights)[0][: len(waves)]


class Label(NamedTuple):
    """What is said of a window.

    Attributes:
      name: the class, or the unknown one.
      confidence: the probability of the best class, the mean over the windows that are smoothed.
      changed: whether the last one was another, or windows were dropped since.
    """

    name: str
    confidence: float
    changed: bool


class Labels:
    """Labels of windows in their order.

    Args:
      classes: their names.
      smooth: windows, the last ones, whose answers are averaged; dropped ones begin anew.
      threshold: a label whose probability is lower is unknown; None: none is.
      rule: which windows are unknown by what held-out clips say, without a threshold; None: none is.
    """

    def __init__(
        self,
        classes: Sequence[str],
        smooth: int = 1,
        threshold: float | None = None,
        rule: Rejecting | None = None,
    ) -> None:
        self._classes, self._threshold, self._rule = tuple(classes), threshold, rule
        self._last: deque[np.ndarray] = deque(maxlen=smooth)
        self._name = ""

    def begin_anew(self) -> None:
        """The next window is the first one again: the one before it has no answer."""
        self._last.clear()
        self._name = ""

    def label(self, window: Window, answer: Float[np.ndarray, " columns"]) -> Label:
        """The label of the next window, of the answer to it."""
        if window.dropped:
            self._last.clear()
        self._last.append(np.asarray(answer))
        said = named(np.stack(self._last), self._classes, self._rule)
        name = said.label
        if self._threshold is not None:
            sure = np.array([said.confidence])
            (name,) = calibration.labels(self._classes, np.array([said.best]), sure, self._threshold)
        changed, self._name = name != self._name or window.dropped > 0, name
        return Label(name, said.confidence, changed)
