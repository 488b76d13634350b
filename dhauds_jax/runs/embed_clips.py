"""The loop of `embed`: clips read, computed and kept in parts, joined when all of them are done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np

from dhauds_jax import digests, interrupts
from dhauds_jax.data.opening import BadFile
from dhauds_jax.errors import BadInput
from dhauds_jax.estimates import say
from dhauds_jax.interrupts import KEPT, BetweenSteps
from dhauds_jax.model.encoding import Encoding, Recording, Row
from dhauds_jax.progress import FIRST, Bar, progress_bar
from dhauds_jax.runs import embed_joining, embed_reading
from dhauds_jax.runs.embed_reading import Work
from dhauds_jax.wording import counted
from dhauds_jax.workdir import vector_files
from dhauds_jax.workdir.vector_files import INDEX, MANIFEST, VECTORS
from dhauds_jax.workdir.vector_parts import Clip, Parts


def embed_clips(work: Work) -> str:
    """Embeds the clips that are not embedded yet and writes the folder; returns the sentence that says where it is.

    Raises:
      BadInput: the folder holds something else, a bad file that is not to be skipped, or no file that could be read.
      FloatingPointError: an embedding is not finite. BetweenSteps: Ctrl-C, after what there was has been kept.
    """
    parts = Parts(work.folder, work.identity, alike=("listing",))
    if not parts.same_listing:
        _check_content(work, parts)
    before = parts.finished
    if not before:
        if parts.clips:
            say(f"{counted(parts.clips, 'clip')} of {len(work.source.names):,} done before")
        _compute(work, parts)
        embed_joining.join(work, parts)
        parts.remove()
    manifest = vector_files.read_manifest(work.folder)
    embed_joining.say_of(manifest)
    bad = len(manifest["bad_files"])
    skipped = f", {counted(bad, 'file')} skipped" if bad else ""
    return (
        f"{counted(manifest['rows'], 'clip')} {'were embedded already' if before else 'embedded'}{skipped}: "
        f"{work.folder / VECTORS} ({manifest['rows']} x {manifest['width']}; {INDEX} and {MANIFEST} beside it)"
    )


def _check_content(work: Work, parts: Parts) -> None:
    """Raises `BadInput` where files are not what they were; those of equal content may have moved or been copied."""
    source = work.source
    if parts.finished:
        now = digests.of_texts(*map(source.content, range(len(source.names))))
        same, first = vector_files.read_manifest(work.folder).get("content") == now, ""
    else:
        found = (clip for some in parts.read(vectors=False) for clip in some)
        other = next((i for i, clip in enumerate(found) if clip.digest != source.content(i)), None)
        same, first = other is None, "" if other is None else f" (the first: {source.names[other]})"
    if not same:
        raise BadInput(
            f"--output={work.folder}: made from files of the same names that hold something else{first}, expected "
            "those that are given now; give another folder"
        )


class _Keeping:
    """Clips that are done, and those of them that no part holds yet."""

    def __init__(self, work: Work, parts: Parts, bar: Bar) -> None:
        self._work, self._parts, self._bar = work, parts, bar
        self._encoding = Encoding(work.encoder, work.batch_size)
        self._waiting: dict[int, Clip] = {}
        self._since, self._skipped = time.monotonic(), parts.skipped

    def take(self, recording: Recording, asked: Callable[[], bool]) -> None:
        """A recording is read, and its rows are on their way; a bad one is left out, or raises."""
        try:
            self._encoding.take(recording._replace(rows=_until(asked, recording.rows)))
        except BadFile as error:
            if not self._work.skip:
                error.skippable = True
                raise
            digest = self._work.source.content(recording.position)
            self._done(recording.position, Clip(None, digest=digest, bad=error.reason))
        self._fetch()
        if time.monotonic() - self._since >= self._work.save_every_s:
            self.keep()

    def _fetch(self) -> None:
        for position, vector, windows, clip in self._encoding.finished():
            if not np.isfinite(vector).all():
                told = f"the embedding of {self._work.source.names[position]} is not finite"
                raise FloatingPointError(f"{told}; expected a checkpoint of finite weights")
            self._done(position, clip._replace(vector=vector, windows=windows))

    def _done(self, position: int, clip: Clip) -> None:
        self._waiting[position] = clip
        self._skipped += bool(clip.bad)
        skipped = f", {self._skipped:,} skipped" if self._skipped else ""
        self._bar.set_postfix_str(f"{counted(self._encoding.windows, 'window')}{skipped}")
        self._bar.update()

    def keep(self) -> None:
        """All that has been taken becomes a part."""
        self._encoding.flush()
        self._fetch()
        first = self._parts.clips
        following = []
        while first + len(following) in self._waiting:
            following.append(self._waiting.pop(first + len(following)))
        self._parts.add(following)
        self._since = time.monotonic()


def _until(asked: Callable[[], bool], rows: Iterator[Row]) -> Iterator[Row]:
    """The rows, until Ctrl-C comes."""
    for row in rows:
        if asked():
            raise BetweenSteps
        yield row


def _compute(work: Work, parts: Parts) -> None:
    """Computes the clips that no part holds."""
    source, encoder, first = work.source, work.encoder, parts.clips
    if parts.skipped and not work.skip:
        clips = (clip for some in parts.read(vectors=False) for clip in some)
        name, reason = next((name, clip.bad) for name, clip in zip(source.names, clips, strict=False) if clip.bad)
        raise BadInput(f"{name}: {reason}; an earlier command left it out, give --on_bad_file=skip as that did")
    if work.cell is None:
        recordings = embed_reading.clean(source, encoder, first)
    else:
        recordings = embed_reading.corrupted(source, work.cell, encoder, first)
    shown = {"desc": work.title, "unit": "clip", "whole": True, "awaited": FIRST.format("batch"), "initial": first}
    with interrupts.deferred() as asked, progress_bar(total=len(source.names), **shown) as bar:
        keeping = _Keeping(work, parts, bar)
        try:
            for recording in recordings:
                keeping.take(recording, asked)
                if asked():
                    raise BetweenSteps
        except BetweenSteps:
            keeping.keep()
            raise BetweenSteps(KEPT) from None
        except BadFile:
            keeping.keep()
            raise
        finally:
            recordings.close()
        keeping.keep()
    if work.cell is not None and work.cell.noise.bank is not None:
        for notice in work.cell.noise.bank.later_notices():
            print(f"note: {notice}")
