"""Mixes the clips of one data set into the recordings of another: soundscapes, as Scaper makes them, without it.

Example: python -m experiments.soundscapes --foreground=esc50 --foreground_dir=ESC-50 --background_dir=field_recordings
--snr=const:6 --output=out/soundscapes
A scene lies in OUTPUT/SCENE/CLASS/, so --dataset=folder --data_dir=OUTPUT/SCENE takes it. A soundscape that is there is
skipped, and nothing that is there is deleted. --verify makes all again and compares them with their files.
"""

from __future__ import annotations

from dhauds_jax.command import app, flags
from dhauds_jax.runs.requests.soundscapes import SoundscapesRun

flags.flags_of(SoundscapesRun)


def main() -> str:
    flags.start()
    from dhauds_jax.runs.soundscapes import run_command

    return run_command(flags.from_flags(SoundscapesRun))


if __name__ == "__main__":
    app.run(main, stopped=app.THE_REST)
