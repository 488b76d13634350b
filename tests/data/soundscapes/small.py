"""A small folder of events and one of backgrounds, for soundscapes of a second at 8 kHz."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from dhauds_jax.data.soundscapes import draws, sources
from dhauds_jax.data.soundscapes.scene import Scene, Settings
from tests.data.fakes.audio import write_clip

RATE = 8_000
EVENTS = {"bell": (0.2, 0.3, 0.7), "dog": (0.25, 0.45)}
"""Class -> seconds of its clips; one is longer than an event may be."""
BACKGROUNDS = {
    "hall": ((3.2, 8_000, 1), (1.0, 11_025, 2)),
    "park": ((1.1, 12_000, 2), (0.4, 8_000, 1), (2.0, 8_000, 1)),
}
"""Scene -> (seconds, Hz, channels) of its recordings: longer and shorter than a soundscape."""


def make(folder: Path) -> Path:
    """Writes both, in `events/` and `backgrounds/`."""
    for label, lengths in EVENTS.items():
        for take, seconds in enumerate(lengths):
            rate = 8_000 if take else 16_000
            write_clip(folder / "events" / label / f"{take}.wav", 10 * len(label) + take, rate=rate, seconds=seconds)
    for scene, recordings in BACKGROUNDS.items():
        for take, (seconds, rate, channels) in enumerate(recordings):
            rng = np.random.default_rng([len(scene), take, ord(scene[0])])
            hum = np.sin(2 * np.pi * (90 + 30 * take) * np.arange(round(seconds * rate)) / rate)
            wave = 0.1 * hum[:, None] + 0.05 * rng.normal(size=(len(hum), channels))
            path = folder / "backgrounds" / scene / f"{take}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, wave, rate, subtype="PCM_16")
    return folder


def settings(**changes) -> Settings:
    """Of a second, with the usual laws."""
    snr, onset = draws.law("snr", "uniform:6,10"), draws.law("onset", "uniform:0,0.6")
    made = Settings(123, snr, onset, seconds=1.0, event_seconds=0.5, sample_rate=RATE)
    return made._replace(**changes)


def events(folder: Path) -> dict[str, sources.Sound]:
    """The clips by their ids."""
    return {sound.id: sound for sound in sources.foregrounds("folder", str(folder / "events")).all}


def scene(folder: Path, name: str = "park", **changes) -> Scene:
    """A scene of the folder."""
    found = sources.backgrounds("folder", str(folder / "backgrounds"))
    return Scene(name, "folder", tuple(sound for sound in found.all if sound.label == name), settings(**changes))
