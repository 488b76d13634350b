"""Folders of tones that experiments.learn is given, and its runs over them."""

import soundfile

from dhauds_jax.runs.requests.learn import LearnRun
from tests.runs import tiny

PITCHES = {"low": 0, "mid": 4, "high": 9, "top": 14, "dog": 20}


def sounds(folder, classes, takes, samples=4000):
    """Noisy tones, a folder a class; a take's number is its seed."""
    for name in classes:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for take in takes:
            wave = tiny.tone(PITCHES.get(name, 17), take, samples)
            soundfile.write(folder / name / f"{take}.wav", wave, tiny.RATE, subtype="PCM_16")
    return str(folder)


def a_run(place, output, **changes):
    """A first session on `place`'s checkpoint and folder `first`."""
    changes = {"audio_dir": str(place / "first"), "learner": "prototype", **changes}
    if not changes.keys() & {"checkpoint", "merge", "model"}:
        changes["checkpoint"] = str(place / "checkpoint")
    return LearnRun(output=str(output), **changes)


def later(place, output, **changes):
    """A run on a checkpoint that has learnt."""
    return a_run(place, output, **{"learner": None, "audio_dir": None, **changes})
