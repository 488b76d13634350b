"""How `embed` ends: its parts become one folder, and what must be said of the clips is said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dhauds_jax import digests
from dhauds_jax.data.corruptions import made_with
from dhauds_jax.data.notices import Notice, Said
from dhauds_jax.data.recordings import none_read, silence
from dhauds_jax.runs import embed_reading
from dhauds_jax.runs.embed_reading import Work
from dhauds_jax.runs.embed_sources import Source
from dhauds_jax.wording import counted, plural
from dhauds_jax.workdir import provenance, vector_files
from dhauds_jax.workdir.vector_files import MANIFEST, SEVERAL
from dhauds_jax.workdir.vector_parts import Clip, Parts

SHOWN = 10
"""Bad files that are named at the end; the manifest has all."""


def join(work: Work, parts: Parts) -> None:
    """Writes the folder from its parts; all that is in it follows from clips, flags and code."""
    source, clips, empty = work.source, [], []
    for clip in (clip for some in parts.read() for clip in some):
        if clip.vector is not None and not clip.vector.any():
            empty.append(source.names[len(clips)])
        clips.append(clip._replace(vector=None))
    good = [i for i, clip in enumerate(clips) if not clip.bad]
    bad = [[source.names[i], clip.bad] for i, clip in enumerate(clips) if clip.bad]
    if not good:
        parts.remove()
        raise none_read(str(work.folder), len(clips), bad[0])
    drawn, backgrounds = {}, None
    if work.cell is not None:
        ids = [source.ids[i] for i in good]
        checksum, backgrounds = embed_reading.drawn(source, work.cell, work.encoder.length, ids)
        drawn = {"draw_checksum": checksum, **dict(made_with(work.cell.corruption, "draw_"))}
    told = {"zeros": empty, "bad_files": bad, **drawn, **_facts(source, clips, good), **provenance.code()}
    rows = _rows(source, clips, good, backgrounds)
    found = (np.stack(some) for some in _vectors(parts))
    vector_files.write(work.folder, found, rows, _width(parts), {**work.identity, **work.asked, **told})


def _facts(source: Source, clips: Sequence[Clip], good: Sequence[int]) -> dict[str, Any]:
    """What a manifest says of the clips."""
    said = Said()
    for i in good:
        said.add(source.names[i], [Notice(*notice) for notice in clips[i].notices])
    together = source.dataset.label_rows if source.dataset is not None else None
    return {
        **({} if source.labels is None else {"classes": list(source.classes)}),
        **({"label_rows": together} if together else {}),
        **({} if source.label_sets is None else {"several_labels": True}),
        "content": digests.of_texts(*(clip.digest for clip in clips)),
        "longer": sum(clips[i].longer for i in good),
        "seconds": round(sum(clips[i].seconds for i in good), 3),
        "silent": [source.names[i] for i in good if clips[i].silent],
        "notices": list(said.sentences(len(clips))),
    }


def _vectors(parts: Parts) -> Iterator[list[np.ndarray]]:
    for some in parts.read():
        good = [clip.vector for clip in some if not clip.bad]
        if good:
            yield good


def _width(parts: Parts) -> int:
    return len(next(_vectors(parts))[0])


def _rows(
    source: Source, clips: Sequence[Clip], good: Sequence[int], backgrounds: Sequence[str] | None
) -> list[tuple[object, ...]]:
    """The lines of the index."""

    def known(values: Sequence[str] | Mapping[int, str] | None, i: int) -> str:
        return "" if values is None else values[i]

    mixed = source.backgrounds if backgrounds is None else dict(zip(good, backgrounds, strict=True))
    sets = source.label_sets
    if sets is None:
        sets = [() if source.labels is None or source.labels[i] < 0 else (source.labels[i],) for i in range(len(clips))]
    return [
        (
            source.names[i],
            SEVERAL.join(source.classes[k] for k in sets[i]),
            known(source.folds, i),
            f"{clips[i].seconds:.4f}",
            clips[i].windows,
            known(mixed, i),
            known(source.splits, i),
            known(source.groups, i),
        )
        for i in good
    ]


def say_of(manifest: Mapping[str, Any]) -> None:
    """What must be said of the clips: notices, heads, silence, files that were left out."""
    for notice in (*manifest["notices"], *silence(manifest["silent"])):
        print(f"note: {notice}")
    if manifest["zeros"]:
        count = counted(len(manifest["zeros"]), "vector is all zeros", "vectors are all zeros")
        print(f"note: {count} (the first: {manifest['zeros'][0]}), which has no direction")
    if manifest["longer"] and manifest["long"] == "first":
        are = plural(manifest["longer"], "clip is", "clips are")
        print(f"note: {manifest['longer']:,} {are} longer than the network's: their heads are embedded (--long=first)")
    bad = manifest["bad_files"]
    for name, reason in bad[:SHOWN]:
        print(f"skipped: {name}: {reason}")
    if len(bad) > SHOWN:
        print(f"skipped: {len(bad) - SHOWN:,} more, see {MANIFEST}")
