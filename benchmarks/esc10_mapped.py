"""The path from recordings to a service's answers on real sounds, a check of plumbing.

    python -m benchmarks.esc10_mapped --esc50=data/ESC-50 --output=work/esc10_mapped

50 clips of ESC-10 as the ten classes of the dog-sound challenge (dog -> Barking, rooster -> Bird, all others -> Other),
in ESC's own five folds. Seven of the ten classes have no clip, so no accuracy here is a result.

Writes OUTPUT/clips (a manifest and links), trains by experiments.crossval (OUTPUT/crossval), serves each fold's
checkpoint with the copies it was measured by, asks it for the clips that it was not trained on, and compares the
answers with the table of the cross-validation. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import csv
import json
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.esc10_folder import esc10
from dhauds_jax import metrics
from dhauds_jax.class_names import TOMOFUN, TOMOFUN_GROUPS, TOMOFUN_MERGED
from dhauds_jax.files import write_csv
from dhauds_jax.runs.crossval import crossval
from dhauds_jax.runs.requests.crossval import CrossvalRun
from dhauds_jax.serve.started import started

REMARKS = {"dog": "Barking", "rooster": "Bird"}
"""Category of ESC-10 -> sub-class; the others are "Other"."""


def link(esc50: Path, place: Path) -> None:
    """The manifest, whose groups are ESC's folds, with links to the clips that are there."""
    place.mkdir(parents=True, exist_ok=True)
    rows = []
    for row, clip in esc10(esc50):
        if not (target := place / row["filename"]).exists():
            target.symlink_to(clip)
        remark = REMARKS.get(row["category"], "Other")
        label = TOMOFUN_GROUPS["of"][TOMOFUN.index(remark)]
        rows.append((row["filename"], str(label), remark, f"fold{row['fold']}"))
    write_csv(place / "manifest.csv", [("path", "label", "remark", "group"), *rows], exact=True)


def answered(checkpoint: Path, views: str, clips: list[Path]) -> dict[str, dict[str, Any]]:
    """What a service of the checkpoint says of each clip, by name."""
    with started([f"--checkpoint={checkpoint}", f"--views={views}"]) as service:
        found = {}
        for clip in clips:
            asked = urllib.request.Request(f"{service.url}/v1/classify", clip.read_bytes())
            with urllib.request.urlopen(asked, timeout=60) as answer:
                found[clip.name] = json.load(answer)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--esc50", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--net", default="cnn_small")
    parser.add_argument("--epochs", type=int, default=40)
    given = parser.parse_args()
    clips, workdir = given.output / "clips", given.output / "crossval"
    link(given.esc50, clips)
    how = {"net": given.net, "epochs": given.epochs, "batch_size": 8, "lr": 3e-3, "workdir": str(workdir)}
    run = CrossvalRun(dataset="tomofun", data_dir=str(clips), **how)
    crossval(run, "python -m benchmarks.esc10_mapped")
    with (workdir / "out_of_fold.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    served: dict[str, dict[str, Any]] = {}
    for fold in sorted({row["fold"] for row in table}):
        mine = [clips / row["clip"] for row in table if row["fold"] == fold]
        served |= answered(workdir / f"fold{fold}", run.views, mine)
    written = np.array([[float(row[name]) for name in TOMOFUN_MERGED] for row in table])
    told = np.array([[served[row["clip"]]["probabilities"][name] for name in TOMOFUN_MERGED] for row in table])
    labels = np.array([TOMOFUN_MERGED.index(row["truth"]) for row in table])
    counts = Counter(row["truth"] for row in table)
    found = {
        "clips": {name: counts.get(name, 0) for name in TOMOFUN_MERGED},
        "accuracy": metrics.accuracy(written, labels),
        "accuracy_of_always_other": counts["Other"] / len(table),
        "auc": metrics.weighted_roc_auc(written, labels),
        "answers": len(served),
        "same_label_as_the_table": int((told.argmax(1) == written.argmax(1)).sum()),
        "largest_difference": float(np.abs(told - written).max()),
    }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
