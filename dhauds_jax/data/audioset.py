"""AudioSet's temporally strong labels as a manifest of clips, and the list of what has to be fetched for it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from dhauds_jax.data.sets import tomofun
from dhauds_jax.data.sets.base import read_text
from dhauds_jax.errors import BadInput
from dhauds_jax.files import printable

CLIP_SECONDS = 5.0
"""Of a longer event the central 5 s are taken; a shorter one is a clip as it is."""
OVERLAPS = ("drop", "keep")
"""drop: no stretch of sound is in two clips or in one of another class; keep: every event is a clip (quirk T28)."""
MAPPINGS: Mapping[str, Mapping[str, str]] = {
    "tomofun": {
        "/m/05tny_": "Barking",
        "/m/07qf0zm": "Howling",
        "/t/dd00136": "Crying",  # Whimper (dog)
        "/m/01y3hg": "CO_Smoke",
        "/m/07rn7sz": "GlassBreaking",
        "/m/03wwcy": "Doorbell",
        "/m/015p6": "Bird",
        "/m/01j3sz": "Laugh_Shout_Scream",
        "/m/07sq110": "Laugh_Shout_Scream",
        "/m/07p6fty": "Laugh_Shout_Scream",
        "/m/03qc9zr": "Laugh_Shout_Scream",
        "/m/0d31p": "Vacuum",
        "/m/02pjr4": "Blender",
        "/m/01yg9g": "Electrics",  # Lawn mower
        "/m/02g901": "Electrics",  # Electric shaver
        "/m/01yrx": "Cat",
        "/m/04brg2": "Dishes",
    }
}
"""Machine ids of AudioSet's classes -> remarks, of team ADEE; nothing is Music_Instrument or Other."""
COLUMNS = ("segment_id", "start_time_seconds", "end_time_seconds", "label")
FOLDER = "raw"
"""Where clips shall lie beside the manifest: no file's path begins with the "-" or "_" of an id."""
_SEGMENT = re.compile(r"([A-Za-z0-9_-]{11})_(\d{1,9})")
_MID = re.compile(r"/[a-z]/\w+")


class Event(NamedTuple):
    """A labelled stretch of a video.

    Attributes:
      video: YouTube's id, eleven characters.
      start, end: ms from the beginning of the video, not of its ten labelled seconds.
      remark: sub-class of the mapping.
    """

    video: str
    start: int
    end: int
    remark: str


class Clip(NamedTuple):
    """What is to be cut from a video: `start` to `end` (ms) of it, as `file` (from the manifest's folder on)."""

    video: str
    start: int
    end: int
    remark: str
    file: str


def read_names(path: Path) -> dict[str, str]:
    """Names by machine id, from a table of both separated by a tab, without a header.

    Raises:
      BadInput: a line that is no machine id and a name, or no line.
    """
    names = {}
    for number, line in _lines(path):
        mid, tab, name = line.partition("\t")
        if not (tab and name.strip() and _MID.fullmatch(mid)):
            raise BadInput(
                f"{printable(path)}, line {number}: {printable(line)!r}, expected a machine id such as /m/05tny_ and a "
                "name, separated by a tab, as in AudioSet's mid_to_display_name.tsv"
            )
        names[mid] = name.strip()
    if not names:
        raise BadInput(f"{printable(path)}: no lines, expected AudioSet's mid_to_display_name.tsv")
    return names


def read_events(path: Path, mapping: Mapping[str, str], others: Counter[str] | None = None) -> list[Event]:
    """The events of a table of strong labels that a mapping knows, in its order; others are passed over.

    Times in the table are counted from the beginning of the ten labelled seconds, which the segment's id ends with (in
    ms of the video); ours from the beginning of the video, which is what has to be cut. The published scripts cut the
    video at the table's times.

    Args:
      path: columns segment_id, start_time_seconds, end_time_seconds and label, separated by tabs.
      mapping: machine id -> remark.
      others: counts the events that are passed over, by machine id.

    Raises:
      BadInput: other columns, or a line whose id, times or label are none; in lines of other labels too.
    """
    lines = _lines(path)
    header = next(lines, (1, ""))[1].split("\t")
    if tuple(header) != COLUMNS:
        raise BadInput(
            f"{printable(path)}: its first line is {printable(chr(9).join(header))!r}, expected {', '.join(COLUMNS)} "
            "separated by tabs, as in AudioSet's audioset_train_strong.tsv"
        )
    events = []
    for number, line in lines:
        fields = line.split("\t")
        segment = _SEGMENT.fullmatch(fields[0])
        times = tuple(map(_milliseconds, fields[1:3]))
        if len(fields) != 4 or not segment or None in times or times[0] > times[1] or not _MID.fullmatch(fields[3]):
            raise BadInput(
                f"{printable(path)}, line {number}: {printable(line)!r}, expected an id such as b0RFKhbpFJA_30000, a "
                "start and a later end in s, and a machine id such as /m/05tny_, separated by tabs"
            )
        if fields[3] in mapping:
            begin = int(segment[2])
            events.append(Event(segment[1], begin + times[0], begin + times[1], mapping[fields[3]]))
        elif others is not None:
            others[fields[3]] += 1
    return events


def _milliseconds(text: str) -> int | None:
    """Whole ms of a decimal number of seconds, exactly where it has up to three decimals; None for another text."""
    found = re.fullmatch(r"(\d{1,6})(?:\.(\d{1,9}))?", text)
    if not found:
        return None
    decimals = (found[2] or "").ljust(4, "0")
    return 1000 * int(found[1]) + int(decimals[:3]) + (decimals[3] >= "5")


def _lines(path: Path):
    """Numbers and texts of the lines that are not empty."""
    if not path.is_file():
        raise BadInput(f"{printable(path)}: no such file, expected a table of AudioSet")
    lines = enumerate(read_text(path).splitlines(), 1)
    return ((number, line) for number, line in lines if line.strip())


def clips_of(events: Sequence[Event], overlap: str = "drop") -> tuple[list[Clip], tuple[str, ...]]:
    """Clips of up to 5 s of events, in their order, and what was left out.

    With "drop", a clip into which an event of another class reaches is left out, since one label would be wrong; then
    one that overlaps an earlier clip of its class (by start), since the same sound would count twice. Events without a
    length are always left out.

    Args:
      events: `read_events`.
      overlap: of `OVERLAPS`.
    """
    lasting = [event for event in events if event.end > event.start]
    cut = list(map(_cut, lasting))
    kept = range(len(cut))
    said = [(len(events) - len(lasting), "without a length")]
    if overlap == "drop":
        alone = _alone(cut, lasting)
        kept = _once(cut, alone)
        said += [
            (len(cut) - len(alone), "into which an event of another class reaches"),
            (len(alone) - len(kept), "that overlap an earlier one of their class"),
        ]
    number: Counter[str] = Counter()
    clips = []
    for k in kept:
        one = cut[k]
        number[one.video] += 1
        clips.append(Clip(*one, f"{FOLDER}/{one.video}_{one.start}_{number[one.video]}.wav"))
    return clips, tuple(f"{count:,} {what} left out" for count, what in said if count)


def _cut(event: Event) -> Event:
    excess = event.end - event.start - round(1000 * CLIP_SECONDS)
    if excess <= 0:
        return event
    start = event.start + excess // 2
    return event._replace(start=start, end=start + round(1000 * CLIP_SECONDS))


def _by_video(events: Sequence[Event], rows: Sequence[int]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for k in rows:
        found.setdefault(events[k].video, []).append(k)
    return found


def _overlap(one: Event, other: Event) -> bool:
    return one.start < other.end and other.start < one.end


def _alone(cut: Sequence[Event], whole: Sequence[Event]) -> list[int]:
    """Rows of the clips into which no event of another class reaches."""
    near = _by_video(whole, range(len(whole)))
    return [
        k
        for k, one in enumerate(cut)
        if not any(whole[j].remark != one.remark and _overlap(one, whole[j]) for j in near[one.video])
    ]


def _once(cut: Sequence[Event], rows: Sequence[int]) -> list[int]:
    """Rows of the clips that overlap none that starts earlier, of those that are kept."""
    kept = []
    for some in _by_video(cut, rows).values():
        taken: list[int] = []
        for k in sorted(some, key=lambda row: (cut[row].start, cut[row].end, row)):
            if not any(_overlap(cut[k], cut[j]) for j in taken):
                taken.append(k)
        kept += taken
    return sorted(kept)


def manifest_rows(clips: Sequence[Clip]) -> list[tuple[str, ...]]:
    """A manifest of the set `tomofun`: a header, then path, label, remark and the video as group of each clip."""
    of = tomofun.GROUPS["of"]
    rows = [(clip.file, str(of[tomofun.CLASSES.index(clip.remark)]), clip.remark, clip.video) for clip in clips]
    return [(*tomofun.MANIFESTS["manifest.csv"], tomofun.GROUP), *rows]


def fetch_rows(clips: Sequence[Clip]) -> list[tuple[str, ...]]:
    """What to cut from which video: a header, then id, start and end (s of the video) and file of each clip."""
    return [("id", "start", "end", "file"), *((c.video, _seconds(c.start), _seconds(c.end), c.file) for c in clips)]


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds // 1000}.{milliseconds % 1000:03d}"
