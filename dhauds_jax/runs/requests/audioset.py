"""What `experiments.audioset` is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from dhauds_jax.requests import Request, flag

MAPPINGS = ("tomofun",)
"""Mappings of AudioSet's classes, those of `dhauds_jax.data.audioset`."""
OVERLAPS = ("drop", "keep")
"""What becomes of clips that overlap, likewise."""


@dataclass(frozen=True, kw_only=True)
class AudiosetRun(Request):
    """The flags of `experiments.audioset`."""

    strong: str = flag(
        "Table of strong labels, such as audioset_train_strong.tsv: segment_id (video and start in ms), "
        "start_time_seconds, end_time_seconds (s of the segment), label."
    )
    names: str = flag("Table of machine ids and names, mid_to_display_name.tsv.")
    mapping: str = flag("Which of the labels are which classes.", "tomofun", choices=MAPPINGS)
    overlap: str = flag(
        "drop leaves out clips into which an event of another class reaches, and clips that overlap an earlier one of "
        "their class; keep makes a clip (of up to 5 s) of every event, as published.",
        "drop",
        choices=OVERLAPS,
    )
    output: str = flag("The manifest to write (csv: path, label 0 to 9, remark, group), for --dataset=tomofun.")
    fetch_list: str = flag(
        "The list of what to fetch to write (csv: id of the video, start and end in s of the video, file to make, "
        "from the manifest's folder on)."
    )
