"""What `experiments.soundscapes` is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dhauds_jax.names import PROFILES
from dhauds_jax.requests import ON_BAD_FILE, Request, flag, like
from dhauds_jax.train.request import TrainRun

REVERBS = ("none", "sox0")
_LAWS = "const:VALUE, uniform:MIN,MAX or truncnorm:MEAN,STD,MIN,MAX"


@dataclass(frozen=True, kw_only=True)
class SoundscapesRun(Request):
    """The flags of `experiments.soundscapes`."""

    foreground: str = flag(
        "Data set of the events (--list names them); folder: a folder with one folder a class.",
        "folder",
        names="data set",
    )
    foreground_dir: str | None = flag("Folder of that set.", None)
    split: Sequence[str] = flag("Splits of the foreground that are taken (all).", ())
    background: str = flag(
        "Data set of the backgrounds, its classes are the scenes; folder: a folder in it is a scene, or it is itself.",
        "folder",
        names="data set",
    )
    background_dir: str | None = flag("Folder of that set.", None)
    scene: Sequence[str] = flag("Scenes to make soundscapes in (all of the background).", ())
    output: str = flag("Folder of the soundscapes, one folder a scene.")
    n: int = flag("Soundscapes of each clip and scene.", 1)
    snr: str = flag(f"Loudness of the event over its background (LU): {_LAWS}.", "uniform:6,10")
    onset: str = flag(f"Where the event begins (seconds): {_LAWS}; it ends with the scene.", "truncnorm:3,1.5,0,6")
    seconds: float = flag("Length of a soundscape.", 10.0)
    event_seconds: float = flag("Longest event (seconds): of a longer clip the head is taken.", 4.0)
    ref_db: float = flag("Loudness of the background (LUFS).", -36.0)
    sample_rate: int = flag("Of the soundscapes (Hz).", 44_100)
    seed: int = flag("Seed of the draws; what is drawn depends on it and on the clip's name alone.", 123)
    profile: str = flag(
        "reference (as Scaper: a background is the head of a recording, drawn anew each time, a short one is repeated "
        "with jumps; reverb sox0; 32-bit wav) or corrected (any piece of a recording, another for each soundscape of a "
        "clip, repeats are blended; no reverb; 24 bit).",
        "corrected",
        choices=PROFILES,
    )
    reverb: str = flag(
        "none, or sox0: through the program sox at reverberance 0, as Scaper's reverb=0 goes (the profile's).",
        "",
        choices=("", *REVERBS),
    )
    fix_clipping: bool = flag("Scale a soundscape down that goes beyond full scale (it is counted in any case).", False)
    parts: bool = flag("Write foreground and background too, which sum to the mix, into SCENE.parts.", False)
    allow_partial: bool = like(TrainRun, "allow_partial")
    on_bad_file: str = flag("At a clip that cannot be used: stop, or leave it out.", "stop", choices=ON_BAD_FILE)
    verify: bool = flag("Write nothing; make every soundscape again and compare it with its files.", False)
