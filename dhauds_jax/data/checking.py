"""Checking a copy of a data set: its lists, its counts and every one of its files."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from dhauds_jax.data import sets
from dhauds_jax.data.audio import FULL_SCALE
from dhauds_jax.data.measuring import MeasuredFile, measure_files
from dhauds_jax.data.mixdown import SILENT
from dhauds_jax.data.sets.base import ClipRef, DataSet, check_split, list_split
from dhauds_jax.errors import BadInput
from dhauds_jax.estimates import say
from dhauds_jax.files import printable
from dhauds_jax.wording import counted, plural

KINDS = (
    "list",
    "absent",
    "count",
    "missing class",
    "class count",
    "listed twice",
    "unreadable",
    "empty",
    "silent",
    "loud",
    "cancelling",
    "off-rate",
    "off-length",
    "duplicated",
)
"""What can be found, in the order of a report."""
QUIET = 10 ** (-60 / 20)
"""A clip whose root mean square is lower (-60 dB of full scale) is counted as quiet; such clips are no fault."""


class Finding(NamedTuple):
    """One thing that is not as published.

    Attributes:
      kind: one of `KINDS`.
      split: the split it was found in.
      file: the file (from `data_dir` on), split or class that it is about.
      found, expected: what is there and what should be.
      fatal: whether the copy cannot serve because of it.
    """

    kind: str
    split: str
    file: str
    found: str
    expected: str
    fatal: bool

    def __str__(self) -> str:
        return f"{self.kind}: {self.file}: {self.found}" + (f", expected {self.expected}" if self.expected else "")


class Report(NamedTuple):
    """A checked copy.

    Attributes:
      dataset: the data set's name.
      clips: clips of each split.
      published: published clips of each split, where they are known.
      files: files that were read.
      audio_seconds: how long they last together.
      quiet: how many of them have a root mean square below -60 dB of full scale, and are not silent.
      notices: what the listings said.
      findings: what is not as published, in the order of `KINDS`.
      seconds: how long the check took.
    """

    dataset: str
    clips: Mapping[str, int]
    published: Mapping[str, int]
    files: int
    audio_seconds: float
    quiet: int
    notices: tuple[str, ...]
    findings: tuple[Finding, ...]
    seconds: float

    @property
    def serves(self) -> bool:
        """Whether runs on this copy give what they would on a whole one, but for what the warnings say."""
        return not any(finding.fatal for finding in self.findings)


def check_copy(
    dataset: str | DataSet,
    data_dir: Path | str | None,
    *,
    splits: Sequence[str] | None = None,
    allow_partial: bool = False,
    progress: bool = True,
    workers: int | None = None,
) -> Report:
    """Reads every file of every split and compares lists, counts, rates and lengths with what is published.

    Args:
      dataset: name or record of a set on disk.
      data_dir: its folder.
      splits: those to check; all of the set's when not given.
      allow_partial: absent files, missing classes and other counts do not keep the copy from serving.
      progress: say how much is to be read, and show a progress bar.
      workers: files read at once; as many as there are cores when not given.

    Raises:
      BadInput: an unknown or generated set, an unknown split, or a folder of which none can be listed.
    """
    begun = time.perf_counter()
    dataset = sets.get(dataset, data_dir) if isinstance(dataset, str) else dataset
    if dataset.listing is None:
        raise BadInput(f"{dataset.name} is made in memory, so there is no copy to check")
    for split in splits or ():
        check_split(dataset, split)
    listed, notices, findings = _list_all(dataset, data_dir, splits or dataset.splits, allow_partial)
    findings += _check_counts(dataset, listed, allow_partial)
    findings += _check_ids(listed, dataset.val_within)
    paths = {ref.path: split for split, refs in listed.items() for ref in refs}  # a file of two splits is read once
    if progress:
        say(f"work: {counted(len(paths), 'file')} in {counted(len(listed), 'split')}, each read once")
    measured = dict(zip(paths, measure_files(list(paths), f"check {dataset.name}", progress, workers)))
    named = {path: _name(path, data_dir) for path in paths}
    findings += [found for path in paths for found in _check_file(dataset, paths[path], named[path], measured[path])]
    findings += _check_duplicates(paths, named, measured)
    return Report(
        dataset=dataset.name,
        clips={split: len(refs) for split, refs in listed.items()},
        published=dataset.counts,
        files=len(paths),
        audio_seconds=sum(one.samples / one.sample_rate for one in measured.values() if one.sample_rate),
        quiet=sum(one.span >= SILENT and one.rms < QUIET for one in measured.values()),
        notices=tuple(dict.fromkeys([*notices, *_rates(dataset, measured.values())])),
        findings=tuple(sorted(findings, key=lambda found: KINDS.index(found.kind))),
        seconds=time.perf_counter() - begun,
    )


def _list_all(
    dataset: DataSet, data_dir: Path | str | None, splits: Sequence[str], allow_partial: bool
) -> tuple[dict[str, list[ClipRef]], list[str], list[Finding]]:
    """The clips of the splits that can be listed, notices, and what is wrong with the lists."""
    listed, notices, findings, errors = {}, [], [], []
    for split in splits:
        complaint = ""
        try:
            refs, said = list_split(dataset, data_dir, split, False)
        except BadInput as strict:
            complaint = str(strict)
            try:
                refs, said = list_split(dataset, data_dir, split, True)
            except BadInput as error:
                errors.append(error)
                # Of a folder of one's own only training needs its splits, and it needs no test.
                fatal = dataset.at is None or split != "test"
                findings.append(Finding("list", split, split, str(error), "", fatal))
                continue
            findings.append(Finding("absent", split, split, complaint, "", not allow_partial))
        listed[split] = refs
        notices += [text for text in said if text.partition(";")[0] != complaint.partition(";")[0]]
    if not listed:
        raise errors[0]
    return listed, notices, findings


def _check_counts(dataset: DataSet, listed: dict[str, list[ClipRef]], allow_partial: bool) -> list[Finding]:
    findings = []
    for split, refs in listed.items():
        published = dataset.counts.get(split)
        if published not in (None, len(refs)):
            clips = f"{len(refs)} {plural(len(refs), 'clip')}"  # plain digits, like what is expected
            findings.append(Finding("count", split, split, clips, str(published), not allow_partial))
        counts = Counter(ref.label for ref in refs)
        expected = dataset.class_counts.get(split, {})
        for label, name in enumerate(dataset.classes):
            wanted, found = expected.get(name), counts[label]
            if not found and wanted != 0:
                what, wanted = "missing class", wanted or "some"
            elif wanted not in (None, found):
                what = "class count"
            else:
                continue
            clips = f"{found} {plural(found, 'clip')}"
            # A folder of one's own promises nothing of what it holds, and training takes it as it is.
            fatal = not allow_partial and dataset.at is None
            findings.append(Finding(what, split, f"{split}/{name}", clips, str(wanted), fatal))
    return findings


def _check_ids(listed: dict[str, list[ClipRef]], val_within: str) -> list[Finding]:
    """Clips that are listed more than once; a validation split inside another one as published is only a warning."""
    findings = []
    places: dict[str, list[str]] = {}
    for split, refs in listed.items():
        ids = {ref.id for ref in refs}
        same = ids == {ref.id for ref in listed.get("test", [])}
        inside = val_within and ids <= {ref.id for ref in listed.get(val_within, [])}
        if split == "val" and (same or inside):
            clips = counted(len(refs), "clip is", "clips are")
            found = f"its {clips} {'those of test' if same else f'in {val_within} too'}"
            findings.append(Finding("listed twice", split, split, found, "a split of its own", False))
            continue
        for ref in refs:
            places.setdefault(ref.id, []).append(split)
    for name, where in places.items():
        if len(where) > 1:
            found = f"listed {len(where)} times, in {' and '.join(where)}"
            findings.append(Finding("listed twice", where[-1], printable(name), found, "once", True))
    return findings


def _check_file(dataset: DataSet, split: str, name: str, measured: MeasuredFile) -> list[Finding]:
    """What is wrong with one file by itself."""
    if measured.kind:
        found, _, expected = measured.reason.partition(", expected ")
        return [Finding(measured.kind, split, name, found, expected or "a whole file", True)]
    findings = []
    if measured.span < SILENT:
        found = f"its {measured.samples} samples differ by less than a step of 16 bit"
        findings.append(Finding("silent", split, name, found, "sound", False))
    if measured.peak > FULL_SCALE:
        found, expected = f"samples up to {measured.peak:.4g}", "at most 1, full scale (they are taken as they are)"
        findings.append(Finding("loud", split, name, found, expected, False))
    if measured.cancels:
        found = "its channels cancel: their mean, which is taken, is over 20 dB quieter than they are"
        findings.append(Finding("cancelling", split, name, found, "channels in phase, or one", False))
    if measured.sample_rate != dataset.sample_rate and dataset.at is None:  # else the files' own rates are the set's
        expected = f"{dataset.sample_rate} Hz (it is resampled)"
        findings.append(Finding("off-rate", split, name, f"{measured.sample_rate} Hz", expected, False))
    if dataset.seconds is not None:
        low, high = dataset.seconds
        seconds, step = measured.samples / measured.sample_rate, 1 / measured.sample_rate
        if not low - step <= seconds <= high + step:  # rates that do not divide round by a sample
            expected = f"{low:g} s" if low == high else f"{low:g} to {high:g} s"
            findings.append(Finding("off-length", split, name, f"{seconds:.3f} s", expected, False))
    return findings


def _rates(dataset: DataSet, measured: Iterable[MeasuredFile]) -> list[str]:
    """A notice about a set that has no published rate and files of several rates."""
    counts = Counter(one.sample_rate for one in measured if one.sample_rate)
    if dataset.at is None or len(counts) < 2:
        return []
    found = ", ".join(f"{counted(count, 'file')} at {rate} Hz" for rate, count in counts.most_common())
    return [f"{found}; the set's rate is {dataset.sample_rate} Hz, the commonest, and the others are resampled"]


def _check_duplicates(
    splits: Mapping[Path, str], named: Mapping[Path, str], measured: Mapping[Path, MeasuredFile]
) -> list[Finding]:
    """Files that hold the same samples at the same rate as an earlier one; silent ones do not count."""
    findings: list[Finding] = []
    first: dict[bytes, Path] = {}
    for path, one in measured.items():
        if one.kind or one.span < SILENT:
            continue
        twin = first.setdefault(one.digest, path)
        if twin != path:
            found = f"the same samples as {named[twin]}"
            if splits[twin] != splits[path]:
                found += f", which is in {splits[twin]}"
            findings.append(Finding("duplicated", splits[path], named[path], found, "another recording", False))
    return findings


def _name(path: Path, data_dir: Path | str | None) -> str:
    """The path from `data_dir` on, printable even where the file's name is not Unicode."""
    with contextlib.suppress(ValueError):
        path = path.relative_to(data_dir or ".")
    return printable(path.as_posix())
