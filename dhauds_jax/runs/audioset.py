"""AudioSet's strong labels as a manifest and a fetch list."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from dhauds_jax import files
from dhauds_jax.data import audioset
from dhauds_jax.errors import BadInput
from dhauds_jax.runs.requests.audioset import AudiosetRun
from dhauds_jax.wording import counted


def make_lists(run: AudiosetRun) -> str:
    """Writes both lists, prints the clips of each class; returns the sentence that says where they are.

    Raises:
      BadInput: one file for both lists, tables that cannot be read, a class of the mapping without a name, or no event
        of the mapping.
    """
    output, fetch_list = Path(run.output), Path(run.fetch_list)
    if output.resolve() == fetch_list.resolve():
        raise BadInput(f"--output and --fetch_list: both are {run.output}, expected two files")
    mapping = audioset.MAPPINGS[run.mapping]
    names = audioset.read_names(Path(run.names))
    if nameless := [mid for mid in mapping if mid not in names]:
        absent = ", ".join(f"{mid} ({mapping[mid]})" for mid in nameless)
        raise BadInput(f"--names={run.names}: has no {absent}, expected all of AudioSet's")
    others: Counter[str] = Counter()
    clips, notices = audioset.clips_of(audioset.read_events(Path(run.strong), mapping, others), run.overlap)
    if not clips:
        raise BadInput(f"--strong={run.strong}: no clip of the {len(mapping)} classes of {run.mapping}, expected some")
    for notice in notices:
        print(f"note: {notice}")
    if others:
        what = f"{counted(others.total(), 'event')} of {counted(len(others), 'label')}"
        print(f"note: {what} that --mapping={run.mapping} does not map passed over")
    found = Counter(clip.remark for clip in clips)
    for remark in dict.fromkeys(mapping.values()):
        of = ", ".join(names[mid] for mid in mapping if mapping[mid] == remark)
        print(f"{remark}: {counted(found[remark], 'clip')} ({of})")
    files.write_csv(output, audioset.manifest_rows(clips), exact=True)
    files.write_csv(fetch_list, audioset.fetch_rows(clips), exact=True)
    videos = len({clip.video for clip in clips})
    return (
        f"{counted(len(clips), 'clip')} of {counted(videos, 'video')}: {output}; what to fetch, with a tool of yours, "
        f"into {output.parent / audioset.FOLDER}: {fetch_list}"
    )
