"""A soundscape's file of annotation: JSON in the shape of JAMS as Scaper writes it, with the class of the event.

It names recordings by their ids, so it is equal on every machine, and holds all that is needed to mix the soundscape
again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dhauds_jax import json_texts
from dhauds_jax.data.soundscapes.scene import Event, Made, Settings
from dhauds_jax.errors import BadInput
from dhauds_jax.files import printable

ENDING = ".jams"
_BACKGROUND, _FOREGROUND = "background", "foreground"


def document(made: Made, scene: str, foreground: str, settings: Settings, sha256: str) -> dict[str, Any]:
    """The annotation of a soundscape.

    Args:
      made: the soundscape.
      scene: name of its scene.
      foreground: name of the event's data set.
      settings: what it was made with.
      sha256: digest of its wav file.
    """
    event, sound = made.event, made.sound
    rows = [
        _row(_BACKGROUND, scene, event.background, event.background_start, 0.0, settings.seconds, 0.0),
        _row(_FOREGROUND, event.label, event.clip, 0.0, event.onset, event.seconds, event.snr),
    ]
    ours = {
        "seed": settings.seed,
        "profile": settings.profile,
        "foreground": foreground,
        "fold": event.fold,
        "number": event.number,
        "sample_rate": settings.sample_rate,
        "ref_db": settings.ref_db,
        "reverb": settings.reverb,
        "fix_clipping": settings.fix_clipping,
        "onset_sample": sound.first,
        "snr_measured": round(sound.snr, 6),
        "peak": round(sound.peak, 6),
        "scaled_db": round(sound.scaled_db, 6),
        "sha256": sha256,
    }
    annotation = {
        "namespace": "scaper",
        "annotation_metadata": {"annotator": {}, "version": "", "data_source": "dhauds_jax", "annotation_tools": ""},
        "time": 0.0,
        "duration": settings.seconds,
        "data": rows,
        "sandbox": {"dhauds_jax": ours},
    }
    return {
        "annotations": [annotation],
        "file_metadata": {
            "title": "",
            "artist": "",
            "release": "",
            "duration": settings.seconds,
            "jams_version": "0.3.4",
        },
        "sandbox": {},
    }


def _row(
    role: str, label: str, source: str, source_time: float, time: float, seconds: float, snr: float
) -> dict[str, Any]:
    """An event of the namespace "scaper"."""
    value = {
        "label": label,
        "source_file": printable(source),
        "source_time": source_time,
        "event_time": time,
        "event_duration": seconds,
        "snr": snr,
        "role": role,
        "pitch_shift": None,
        "time_stretch": None,
    }
    return {"time": time, "duration": seconds, "value": value, "confidence": 1.0}


def text(found: Mapping[str, Any]) -> str:
    """As it is written."""
    return json.dumps(found, indent=1) + "\n"


def read(path: Path) -> dict[str, Any]:
    """The annotation in a file.

    Raises:
      BadInput: it is no JSON, or not of the shape that is written here.
    """
    try:
        found = json_texts.read(path)
        event_of(found)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise BadInput(
            f"{path}: is no annotation of a soundscape ({error}), expected what experiments.soundscapes has written; "
            "remove it to make it anew"
        ) from error
    return found


def ours(found: Mapping[str, Any]) -> dict[str, Any]:
    """What only this package writes into an annotation."""
    return found["annotations"][0]["sandbox"]["dhauds_jax"]


def event_of(found: Mapping[str, Any]) -> Event:
    """What was drawn for a soundscape, from its annotation; raises `KeyError` and its like where it is no such one."""
    roles = {row["value"]["role"]: row["value"] for row in found["annotations"][0]["data"]}
    event, background = roles[_FOREGROUND], roles[_BACKGROUND]
    return Event(
        clip=event["source_file"],
        label=event["label"],
        fold=ours(found)["fold"],
        number=ours(found)["number"],
        background=background["source_file"],
        background_start=float(background["source_time"]),
        onset=float(event["event_time"]),
        seconds=float(event["event_duration"]),
        snr=float(event["snr"]),
    )
