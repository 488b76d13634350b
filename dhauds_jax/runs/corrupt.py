"""Writing and verifying corrupted sets."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from dhauds_jax.cells import targets
from dhauds_jax.data import sets
from dhauds_jax.data.clip_source import ClipSource, open_clips
from dhauds_jax.data.corrupted import files as cell_files
from dhauds_jax.data.corrupted import verifying
from dhauds_jax.data.corrupted import writing as cells
from dhauds_jax.data.corrupted.cell import CellSpec, cell_folder, content_of, identity, plug_ins
from dhauds_jax.data.corrupted.files import Difference, write_manifests
from dhauds_jax.data.corrupted.layouts import cell_path, layout_of
from dhauds_jax.data.corruptions import is_own, made_with, needs_noise, public, quirks_of
from dhauds_jax.data.corruptions.noise import NoiseBank
from dhauds_jax.data.pipeline import to_int16
from dhauds_jax.data.sets.base import check_split
from dhauds_jax.errors import BadInput
from dhauds_jax.estimates import Estimate, say, within
from dhauds_jax.names import CLEAN, LEVELS
from dhauds_jax.runs.requests.corrupt import CorruptRun
from dhauds_jax.wording import counted
from dhauds_jax.workdir import locks, records

__all__ = ["CorruptRun", "run_command", "to_int16", "verify_set", "write_set"]

SHOWN = 20
"""Files that differ and are named, a cell."""


def run_command(run: CorruptRun) -> str:
    """Verifies or writes, as `run.verify` says."""
    return verify_set(run) if run.verify else write_set(run)


def cells_of(run: CorruptRun, dataset: sets.DataSet) -> list[CellSpec]:
    """The cells of the flags' lists; "all" stands for every corruption that the data set has.

    Raises:
      BadInput: unknown names.
    """
    check_split(dataset, run.split)
    quirks_of(run.profile)
    layout = layout_of(dataset, run.split)
    names = [c for name in run.corruption for c in (layout.corruptions if name == "all" else (name,))]
    pairs = _pairs(names, run.level)
    for pair in pairs:
        cell_path(layout, *pair)
    settings = {"seed": run.seed, "profile": run.profile, "split": run.split}
    return [CellSpec(dataset, *pair, **settings, plug_ins=plug_ins(run.dataset, pair[0])) for pair in pairs]


def _pairs(names: Sequence[str], levels: Sequence[str]) -> list[tuple[str, str]]:
    """(corruption, level) of the cells; raises `BadInput` for unknown names and for the one that is no corruption."""
    pairs = targets.expand(names, levels)
    if (CLEAN, "-") in pairs:
        raise BadInput("--corruption=clean writes no corrupted set: name some of the corruptions, or all")
    return pairs


@locks.holding("output")
def write_set(run: CorruptRun) -> str:
    """Writes every cell that is not there yet; returns the sentence that says where they are.

    Raises:
      BadInput: bad input, before anything is written.
    """
    if run.runner == "beam" and importlib.util.find_spec("apache_beam") is None:
        raise BadInput("--runner=beam: apache_beam is not installed, expected: pip install dhauds_jax[beam]")
    dataset = _dataset(run)
    wanted = cells_of(run, dataset)
    missing = [cell for cell in wanted if not _is_there(cell, run.output)]
    finished = [cell for cell in wanted if cell not in missing]
    for cell in missing:
        targets.check_noise(dataset, run.noise_dir, cell.corruption, cell.level, dataset.sample_rate)
    source = _open(run, dataset) if missing or run.data_dir or dataset.generate else None
    if source is not None:
        for cell in finished:
            _check_content(run, cell, source)
    for cell in finished:
        _say_versions(cell, run.output)
        print(f"already there: {cell_folder(cell, run.output)}")
    if missing:
        _write_cells(run, dataset, missing, source)
    there = len(wanted) - len(missing)
    return f"{counted(len(missing), 'cell')} written, {counted(there, 'was', 'were')} there already: {run.output}"


def _write_cells(run: CorruptRun, dataset: sets.DataSet, missing: Sequence[CellSpec], source: ClipSource) -> None:
    where = {"ids": source.ids, "labels": source.labels, "split": run.split}
    write_manifests(dataset, run.data_dir, run.output, **where)
    printed: set[str] = set()
    say(f"work: {counted(len(missing), 'cell')} of {counted(len(source.ids), 'clip')} each")
    estimate = Estimate(len(missing), "cell", few=True)
    for cell in missing:
        with within(len(missing) > 1):
            written = _write(run, cell, source)
        estimate.part()
        _print_notices(written, printed)
        records.note_bad_files(Path(run.output), [(source.ids[row], error.reason) for row, error in written.bad])
        record = written.record
        print(
            f"{cell.corruption}-{cell.level}, seed {run.seed}: {counted(record['clips'], 'clip')}, checksum of the "
            f"draws {record['draws_sha256'][:16]}, of the samples {record['samples_sha256'][:16]}"
        )


class Verified(NamedTuple):
    """A cell to verify: what it is called, where it lies, and what compares it."""

    title: str
    folder: Path
    compare: Callable[[], list[Difference]]


def verify_set(run: CorruptRun) -> str:
    """Compares every cell of the flags' lists with a fresh computation, or with the checksums stored beside it.

    Checksums need no data set: without one, the cells are those whose records lie below `run.output`.

    Raises:
      BadInput: bad input, a cell that is absent or was made with other settings, or files that differ.
    """
    cells = _recorded(run) if run.verify == "checksum" and not run.dataset else _asked_for(run)
    wrong, estimate = 0, Estimate(len(cells), "cell", few=True)
    for cell in cells:
        with within(len(cells) > 1):
            found = cell.compare()
        estimate.part()
        wrong += len(found)
        for difference in found[:SHOWN]:
            print(f"{cell.folder / difference.file}: {difference.reason}")
        most = max((difference.steps for difference in found), default=0)
        far = f", by up to {counted(most, 'step')} of 16 bit" if most else ""
        differ = counted(len(found), "file differs", "files differ")
        print(f"{cell.title}: {f'{differ}{far}' if found else 'all files agree'}")
    if wrong:
        differ = counted(wrong, "file differs", "files differ")
        raise BadInput(f"{run.output}: {differ}, expected none; remove their cells to make them anew")
    return f"{counted(len(cells), 'cell agrees', 'cells agree')}: {run.output}"


def _asked_for(run: CorruptRun) -> list[Verified]:
    """The cells of the flags' lists where their data set's layout has them."""
    dataset = _dataset(run)
    wanted = cells_of(run, dataset)
    for cell in wanted:
        if not _is_there(cell, run.output):
            raise BadInput(f"{cell_folder(cell, run.output)}: no such cell, expected it to verify it")
    source = _open(run, dataset) if run.verify == "samples" else None

    def compare(cell: CellSpec) -> list[Difference]:
        if source is None:
            return verifying.verify_checksums(cell_folder(cell, run.output))
        _say_versions(cell, run.output)
        return verifying.verify_samples(cell, source, _bank(cell, run.noise_dir), run.output)

    return [
        Verified(f"{cell.corruption}-{cell.level}", cell_folder(cell, run.output), functools.partial(compare, cell))
        for cell in wanted
    ]


def _recorded(run: CorruptRun) -> list[Verified]:
    """The cells of the flags' lists by their records below the set's folder; "all" are those that there are."""
    found: dict[tuple[str, str], list[Path]] = {}  # several sets may lie below one folder
    for path in sorted(Path(run.output).rglob(cell_files.RECORD)):
        record = cell_files.read_record(path.parent) or {}
        found.setdefault((str(record.get("corruption")), str(record.get("level"))), []).append(path.parent)
    pairs = _pairs([name for name in run.corruption if name != "all"], run.level)
    pairs = [(public(corruption), level) for corruption, level in pairs]
    absent = [f"{corruption}-{level}" for corruption, level in pairs if (corruption, level) not in found]
    if "all" in run.corruption:
        pairs += [pair for pair in found if pair[1] in run.level or pair[1] not in LEVELS]
    if absent or not pairs:
        raise BadInput(f"--output={run.output}: holds no cell {absent[0] if absent else ''}".rstrip() + _NO_RECORD)
    out = []
    for corruption, level in dict.fromkeys(pairs):
        folders = found[corruption, level]
        for folder in folders:
            title = f"{corruption}-{level}" + (f" in {folder}" if len(folders) > 1 else "")
            out.append(Verified(title, folder, functools.partial(verifying.verify_checksums, folder)))
    return out


_NO_RECORD = f" with a {cell_files.RECORD}, expected what experiments.corrupt has written"


def _dataset(run: CorruptRun) -> sets.DataSet:
    if not run.dataset:
        raise BadInput("--dataset: missing, expected a data set (--verify=checksum alone needs none)")
    dataset = sets.get(run.dataset, run.data_dir)
    for what, kinds in (("Hz", {p.sample_rate for p in dataset.parts}), ("samples", {p.length for p in dataset.parts})):
        if len(kinds) > 1:
            raise BadInput(
                f"--dataset={run.dataset}: clips of its parts have {' and '.join(map(str, sorted(kinds)))} {what}, "
                "expected the same, as a -C set is drawn and written at one; write one of each part"
            )
    return dataset


def _is_there(cell: CellSpec, output: str) -> bool:
    """Whether a cell is finished; raises `BadInput` if it was made with other settings."""
    folder = cell_folder(cell, output)
    if not folder.is_dir():
        return False
    record = cell_files.read_record(folder)
    for name, value in identity(cell).items() if record else ():
        if record.get(name) != value:
            raise BadInput(f"{folder}: made with {name} {record.get(name)}, expected {value}; give another --output")
    return True


def _say_versions(cell: CellSpec, output: str) -> None:
    """Says where a finished cell's samples were made with other versions of what they depend on than are here."""
    folder = cell_folder(cell, output)
    then = (cell_files.read_record(folder) or {}).get("made_with", {})
    for name, here in made_with(cell.corruption):
        if then.get(name, here) != here:
            print(f"note: {folder}: made with {name} {then[name]}, here is {here}: samples may differ, draws do not")


def _check_content(run: CorruptRun, cell: CellSpec, source: ClipSource) -> None:
    """Raises `BadInput` if a finished cell was made from other clips, other noise or other code than there is now.

    What is not at hand is not compared: the noise without `--noise_dir`, and cells that were not made here; without
    `--data_dir` nobody asks.
    """
    folder = cell_folder(cell, run.output)
    made = (cell_files.read_record(folder) or {}).get("content")
    if made is None:
        return
    at_hand = run.noise_dir or cell.dataset.generate is not None or is_own(cell.corruption)
    now = content_of(cell, source, _bank(cell, run.noise_dir) if at_hand else None)
    if "files" not in made:  # of a cell that an earlier version made, which knew names and sizes alone
        now.pop("files", None)
    words = {"clips": "clips", "files": "clips", "noise": "noise recordings", "plug_ins": "files of your own"}
    other = list(dict.fromkeys(word for name, word in words.items() if made.get(name) != now.get(name)))
    if needs_noise(cell.corruption) and not at_hand:
        other = [word for word in other if word != words["noise"]]
    if other:
        raise BadInput(
            f"{folder}: made from other {' and '.join(other)} than are given now, expected the same; "
            "give another --output"
        )


def _bank(cell: CellSpec, noise_dir: str | None) -> NoiseBank | None:
    return targets.bank_for(cell.dataset, noise_dir, cell.corruption, cell.level, cell.dataset.sample_rate)


def _open(run: CorruptRun, dataset: sets.DataSet) -> ClipSource:
    source = open_clips(dataset, run.data_dir, run.split, allow_partial=run.allow_partial, on_bad_file=run.on_bad_file)
    print(f"split {run.split} of {dataset.name}: {counted(len(source.ids), 'clip')}")
    for notice in source.notices:
        print(f"note: {notice}")
    return source


def _write(run: CorruptRun, cell: CellSpec, source: ClipSource) -> cells.Written:
    if run.runner == "direct":
        return cells.write_cell(cell, source, _bank(cell, run.noise_dir), run.output)
    from dhauds_jax.data.corrupted import beam

    names = ("dataset", "data_dir", "noise_dir", "seed", "profile", "split", "on_bad_file")
    settings = {name: getattr(run, name) for name in names}
    job = beam.Job(corruption=cell.corruption, level=cell.level, **settings)
    return beam.write_cell(job, source, run.output, options=run.beam_options)


def _print_notices(written: cells.Written, printed: set[str]) -> None:
    """Prints what had to be done to the files and which were left out, once for all cells."""
    lines = (*written.notices, *(f"left out: {error}" for _, error in written.bad))
    for line in _new(lines, printed):
        print(f"note: {line}")


def _new(lines: Sequence[str], printed: set[str]) -> Iterator[str]:
    for line in lines:
        if line not in printed:
            printed.add(line)
            yield line
