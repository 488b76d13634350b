"""How fast soundscapes are made, from files to files; for `experiments.benchmark --what=soundscapes`."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dhauds_jax.benchmark import device
from dhauds_jax.data.soundscapes import draws, sources, writing
from dhauds_jax.data.soundscapes.scene import Scene, Settings
from dhauds_jax.names import PROFILES

SECONDS = 10.0
EVENT_SECONDS = 4.0


def rows(seconds: float, batch: int, rounds: int) -> Iterator[dict[str, Any]]:
    """A row for each profile, without sox: events at 44.1 kHz over backgrounds in stereo, 24 bit, 48 kHz, all of noise.

    There are as many backgrounds as events, so about a third of those drawn were drawn before and are not read anew.

    Args:
      seconds: of a soundscape; 0 for 10 s.
      batch: soundscapes that are written; `seconds` of a row are those of all, as are `cpu_seconds` (of all threads,
        which a busy machine does not lengthen).
      rounds: how often; medians count.
    """
    seconds = seconds or SECONDS
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        _make(place, seconds, batch)
        clips = sources.foregrounds("folder", str(place / "events")).all
        backgrounds = sources.backgrounds("folder", str(place / "noises")).all
        for profile in PROFILES:
            laws = draws.law("snr", "uniform:6,10"), draws.law("onset", "const:0")
            settings = Settings(0, *laws, seconds, min(EVENT_SECONDS, seconds), profile=profile)
            cpu = []

            def write(profile: str = profile, settings: Settings = settings, cpu: list[float] = cpu) -> None:
                start = time.process_time()
                scene = Scene("noises", "folder", backgrounds, settings)
                output = place / f"{profile}{len(cpu)}"
                tasks = writing.tasks_of(clips, 1, scene.name)
                for _ in writing.write(writing.Work(scene, tasks, output)):
                    pass
                cpu.append(time.process_time() - start)

            timed = device.timed(write, rounds)
            used = statistics.median(cpu[1:])
            shared = {"of": profile, "batch": batch, "clip_seconds": seconds, "cpu_seconds": used}
            yield {"what": "soundscapes", **shared, **timed, "ms_per_clip": 1000 * used / batch}


def _make(folder: Path, seconds: float, batch: int) -> None:
    """Writes events and backgrounds, as many of each as soundscapes."""
    import soundfile

    rng = np.random.default_rng(0)
    for name in ("events/noise", "noises"):
        (folder / name).mkdir(parents=True)
    for row in range(batch):
        event = 0.05 * rng.normal(size=round(min(EVENT_SECONDS, seconds) * 44_100))
        soundfile.write(folder / "events" / "noise" / f"{row}.wav", event, 44_100, subtype="PCM_16")
        noise = 0.05 * rng.normal(size=(round(seconds * 48_000), 2))
        soundfile.write(folder / "noises" / f"{row}.wav", noise, 48_000, subtype="PCM_24")
