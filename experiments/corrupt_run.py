"""Writing corrupted sets."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from dhauds_jax.data import draws as drawing
from dhauds_jax.data import sets
from dhauds_jax.data.corruptions import corrupt
from dhauds_jax.data.loading import load_split
from experiments import records, targets

MANIFEST = "manifest.jsonl"


class CorruptRun(NamedTuple):
    """The flags of `experiments.corrupt` (see its `--help`)."""

    dataset: str
    data_dir: str | None
    noise_dir: str | None
    corruption: Sequence[str]
    level: Sequence[str]
    output: str
    profile: str
    seed: int
    split: str
    allow_partial: bool


def to_int16(wave: np.ndarray) -> np.ndarray:
    """Samples as 16-bit integers, times 32768, rounded to the nearest even; values beyond [-1, 1) saturate."""
    return np.clip(np.rint(np.asarray(wave, np.float64) * 32768), -32768, 32767).astype(np.int16)


def write_set(run: CorruptRun) -> str:
    """Writes every cell that is not there yet; returns the sentence that says where they are.

    Raises:
      ValueError: bad input, before anything is written.
    """
    dataset = sets.get(run.dataset, run.data_dir)
    pairs = targets.expand(run.corruption, run.level)
    if (records.CLEAN, "-") in pairs:
        raise ValueError("--corruption=clean writes no corrupted set: name some of the corruptions, or all")
    banks = {p: targets.bank_for(dataset, run.noise_dir, *p, dataset.sample_rate) for p in pairs}
    clips = load_split(
        dataset,
        run.data_dir,
        run.split,
        sample_rate=dataset.sample_rate,
        length=dataset.length + dataset.length // 8,
        allow_partial=run.allow_partial,
    )
    for notice in clips.notices:
        print(f"note: {notice}")
    written = 0
    for (corruption, level), bank in banks.items():
        folder = Path(run.output) / corruption / level
        if folder.exists():
            print(f"already there: {folder}")
            continue
        waves, draws = corrupt(
            clips.waves,
            clips.ids,
            dataset=dataset,
            corruption=corruption,
            level=level,
            seed=run.seed,
            profile=run.profile,
            bank=bank,
            sample_rate=dataset.sample_rate,
            length=dataset.length,
            lengths=clips.lengths,
            progress=True,
        )
        entries = drawing.records(
            clips.ids, draws, corruption=corruption, level=level, noise_names=bank.names if bank else ()
        )
        _write_cell(folder, waves, entries, clips.labels, clips.classes, dataset.sample_rate, run)
        digest = drawing.checksum(clips.ids, draws, corruption=corruption, level=level)
        print(f"{corruption}-{level}: {len(waves)} clips, checksum of the draws {digest[:16]}")
        written += 1
    return f"{written} cells written, {len(pairs) - written} were there already: {run.output}"


def _write_cell(
    folder: Path,
    waves: np.ndarray,
    entries: list[dict],
    labels: np.ndarray,
    classes: Sequence[str],
    rate: int,
    run: CorruptRun,
) -> None:
    """Writes a cell under a temporary name and renames it, so that a cell that is there is whole."""
    import soundfile

    temporary = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    lines = []
    for wave, entry, label in zip(tqdm(waves, desc="write", unit="clip"), entries, labels, strict=True):
        file = PurePosixPath(entry["id"]).with_suffix(".wav")
        path = temporary / file
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, to_int16(wave), rate, subtype="PCM_16")
        lines.append({**entry, "file": str(file), "class": classes[label], "seed": run.seed, "profile": run.profile})
    (temporary / MANIFEST).write_text("".join(json.dumps(line) + "\n" for line in lines))
    os.rename(temporary, folder)
