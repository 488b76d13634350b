"""A scene: events over its backgrounds; what is drawn for each soundscape, and what that sounds like."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from dhauds_jax.data.audio import BadFile
from dhauds_jax.data.soundscapes import draws, mixing, reverb, sources
from dhauds_jax.data.soundscapes.draws import Law
from dhauds_jax.data.soundscapes.mixing import Mixed
from dhauds_jax.data.soundscapes.sources import Part, Piece, Sound
from dhauds_jax.errors import BadInput
from dhauds_jax.files import printable

TRIES = 1_000
"""Backgrounds drawn for one soundscape before all are taken to be silent."""
KEPT = 16
"""Backgrounds that are kept, resampled, for the next soundscapes."""
OFF_LU = 0.1
"""A soundscape whose measured SNR is further from the one asked for is said."""


class Settings(NamedTuple):
    """What decides a soundscape beside the two recordings.

    Attributes:
      seed: of the draws.
      snr: law of the event's loudness over the background's (LU).
      onset: law of its beginning (seconds).
      seconds: of a soundscape.
      event_seconds: of an event at the most; of a longer clip the head is the event.
      ref_db: loudness of the background (LUFS).
      sample_rate: Hz.
      profile: "reference": a background is the head of a recording, drawn anew for each soundscape, a short one is
        repeated with jumps, and levels are set by one gain; "corrected": any piece of a recording, another for each
        soundscape of a clip, repeats of a short one are blended, and levels are met after the gain.
      reverb: "none", or "sox0": through sox's reverb at reverberance 0, as `reverb=0` of Scaper goes.
      fix_clipping: scale down what goes beyond full scale.
    """

    seed: int
    snr: Law
    onset: Law
    seconds: float = 10.0
    event_seconds: float = 4.0
    ref_db: float = -36.0
    sample_rate: int = 44_100
    profile: str = "corrected"
    reverb: str = "none"
    fix_clipping: bool = False

    @property
    def is_reference(self) -> bool:
        """Whether Scaper's way is taken where the two differ."""
        return self.profile == "reference"

    @property
    def samples(self) -> int:
        """Of a soundscape."""
        return int(self.seconds * self.sample_rate)


class Event(NamedTuple):
    """What one soundscape is made of: all that was drawn.

    Attributes:
      clip: id of the event's recording.
      label: its class.
      fold: its fold, or "".
      number: which of the clip's soundscapes it is, from 0.
      background: id of the background's recording.
      background_start: where in it the background begins (seconds).
      onset: where the event begins (seconds), it ends with the scene at the latest.
      seconds: how long it is.
      snr: LU over the background, as asked for.
    """

    clip: str
    label: str
    fold: str
    number: int
    background: str
    background_start: float
    onset: float
    seconds: float
    snr: float


class Made(NamedTuple):
    """A soundscape with what was drawn for it, and what must be said of its files."""

    event: Event
    sound: Mixed
    notices: tuple[str, ...] = ()


class Scene:
    """A scene's recordings and settings: makes its soundscapes, in any order and in any thread.

    Args:
      name: of the scene.
      foreground: name of the event's data set, which keys the draws.
      backgrounds: recordings of the scene.
      settings: what else decides a soundscape.

    Raises:
      BadFile: a background whose header cannot be read.
    """

    def __init__(self, name: str, foreground: str, backgrounds: tuple[Sound, ...], settings: Settings):
        self.name, self.foreground, self.settings = name, foreground, settings
        self.pieces = sources.pieces(backgrounds, settings.seconds, settings.is_reference)
        self._paths = {sound.id: sound.path for sound in backgrounds}
        self._bed = functools.lru_cache(KEPT)(self._read_bed)
        self._silent: dict[Piece, bool] = {}

    def check(self) -> None:
        """Raises `BadInput` where all backgrounds are silent; `BadFile` where the first ones cannot be read."""
        if all(map(self._is_silent, self.pieces)):
            raise BadInput(f"scene {self.name}: all its backgrounds are silent, expected some that can be heard")

    def make(self, clip: Sound, number: int) -> Made:
        """Draws and mixes one of a clip's soundscapes.

        Raises:
          BadFile: a file that cannot be used, or an event without a sound. BadInput: all backgrounds are silent.
        """
        made = self.settings
        part = sources.read(clip.path, made.event_seconds)
        if part.is_silent:
            raise BadFile(clip.path, f"silent in its first {made.event_seconds:g} s, expected a sound")
        key = (made.seed, self.foreground, clip.id, number)
        seconds = len(part.wave) / part.rate
        asked = made.onset.at(draws.share(*key, "onset"))
        piece = self._piece(clip, number)
        event = Event(
            clip=clip.id,
            label=clip.label,
            fold=clip.fold,
            number=number,
            background=piece.sound.id,
            background_start=piece.start,
            onset=mixing.placed(asked, seconds, made.seconds),
            seconds=seconds,
            snr=made.snr.at(draws.share(*key, "snr")),
        )
        return self._mixed(event, part, piece)

    def replay(self, event: Event, clip: Sound) -> Made:
        """Mixes what was drawn before (`record.event_of` reads it from a file), whatever the laws are now."""
        piece = Piece(Sound(event.background, self._paths[event.background], self.name), event.background_start)
        return self._mixed(event, sources.read(clip.path, event.seconds), piece)

    def _mixed(self, event: Event, part: Part, piece: Piece) -> Made:
        made, rate = self.settings, self.settings.sample_rate
        bed, notices = self._bed(piece)
        sound = mixing.mix(
            mixing.at_rate(part.wave, part.rate, rate),
            bed,
            onset=event.onset,
            snr=event.snr,
            ref_db=made.ref_db,
            rate=rate,
            exact=not made.is_reference,
            fix_clipping=made.fix_clipping and made.reverb == "none",
        )
        if made.reverb == "sox0":
            sound = reverb.through_sox0(sound, rate, made.fix_clipping)
        return Made(event, sound, (*part.notices, *notices))

    def _piece(self, clip: Sound, number: int) -> Piece:
        """The background of a clip's soundscape; silent ones are passed over.

        Corrected, the clip's first soundscapes have different pieces, until there are none left.
        """
        key = (self.settings.seed, self.foreground, self.name, clip.id)
        count = len(self.pieces)
        if self.settings.is_reference:
            rows, wanted = itertools.islice(draws.again(count, *key, number, "background"), TRIES), 1
        else:
            rows, wanted = draws.order(count, *key, "background"), number + 1
        heard = list(itertools.islice(self._heard(rows), wanted))
        if not heard:
            self.check()
            raise BadInput(
                f"scene {self.name}: {TRIES} of its backgrounds were drawn and all are silent, expected fewer"
            )
        return heard[number % len(heard)]

    def _heard(self, rows: Iterator[int]) -> Iterator[Piece]:
        return (self.pieces[row] for row in rows if not self._is_silent(self.pieces[row]))

    def _is_silent(self, piece: Piece) -> bool:
        if piece not in self._silent:
            self._silent[piece] = float(np.ptp(self._bed(piece)[0])) < sources.SILENT
        return self._silent[piece]

    def _read_bed(self, piece: Piece) -> tuple[Float[np.ndarray, " samples"], tuple[str, ...]]:
        """A background as long as the scene, at its rate, before its gain."""
        made, rate = self.settings, self.settings.sample_rate
        part = sources.read(piece.sound.path, made.seconds, piece.start)
        if made.is_reference:  # repeated at its own rate, then resampled, as Scaper does
            whole = mixing.tiled(part.wave, max(1, int(made.seconds * part.rate)))
            bed = mixing.tiled(mixing.at_rate(whole, part.rate, rate), made.samples)
        else:
            bed = mixing.looped(mixing.at_rate(part.wave, part.rate, rate), made.samples, rate)
        bed.flags.writeable = False  # several soundscapes share it
        return bed, part.notices


def file_name(event_clip: str, label: str, scene: str, number: int) -> PurePosixPath:
    """Where a soundscape lies below its scene's folder: `<class>/<folders of the clip>/<clip>-<scene>-<number>.wav`.

    A folder of the clip that is called as its class is left out.
    """
    path = PurePosixPath(event_clip)
    folders = path.parent.parts
    if folders[:1] == (label,):
        folders = folders[1:]
    return PurePosixPath(printable(label), *folders, f"{path.stem}-{scene}-{number}.wav")
