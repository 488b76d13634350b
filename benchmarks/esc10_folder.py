"""Training on 30 recordings of one's own: the ESC-10 clips of a copy of ESC-50, five folds, beside a kernel ridge.

Example: python benchmarks/esc10_folder.py --esc50=data/ESC-50 --output=work/esc10 --seeds=0,1,2
Fold k is tested on, fold k + 1 validates, the other three are trained on (OUTPUT/foldK has the links).
Each seed is a training by `experiments.train --dataset=folder`, which keeps the epoch with the likeliest labels of the
validation fold. The kernel ridge sees mean and deviation over time of 64 log-mel bins; its width and its penalty are
those that are best on the validation fold. Intervals are Student's over the five folds, each the mean of its seeds.
"""

from __future__ import annotations

import argparse
import csv
import functools
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import librosa
import numpy as np
from scipy import stats
from sklearn.kernel_ridge import KernelRidge
from sklearn.preprocessing import StandardScaler

from dhauds_jax import metrics
from dhauds_jax.data import sets
from dhauds_jax.data.loading import load_split
from dhauds_jax.nets import checkpoint, zoo
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.nets.normalisers import EVAL

FOLDS = (1, 2, 3, 4, 5)
TRAIN = (
    "--dataset=folder --net=cnn_small --views=shift --shift=0.5 --batch_size=8 --optimiser=adamw --lr=5e-3 --epochs=80 "
    "--selection=best_nll"
)
"""What docs/own_recordings.md says of few recordings."""


def esc10(esc50: Path) -> list[tuple[dict[str, str], Path]]:
    """The rows of ESC-50's table that are of ESC-10 and whose clips are there, each with its clip."""
    with (esc50 / "meta" / "esc50.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["esc10"] == "True"]
    found = [(row, (esc50 / "audio" / row["filename"]).resolve()) for row in rows]
    return [(row, clip) for row, clip in found if clip.exists()]


def link(esc50: Path, place: Path, fold: int) -> Path:
    """The folders of a fold: links to the clips that are there, of the classes of ESC-10."""
    splits = {fold: "test", fold % 5 + 1: "val"}
    for row, clip in esc10(esc50):
        target = place / splits.get(int(row["fold"]), "train") / row["category"] / row["filename"]
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(clip)
    return place


def pooled(path: Path) -> np.ndarray:
    """Mean and deviation over time of 64 log-mel bins, (128,)."""
    wave, rate = librosa.load(path, sr=16_000)
    mel = librosa.power_to_db(librosa.feature.melspectrogram(y=wave, sr=rate, n_mels=64), top_db=80.0)
    return np.concatenate([mel.mean(1), mel.std(1)])


def kernel_ridge(place: Path) -> float:
    """Accuracy on the test fold."""
    classes = sorted(path.name for path in (place / "train").iterdir())
    found = {}
    for split in ("train", "val", "test"):
        paths = sorted((place / split).glob("*/*"))
        found[split] = np.stack([pooled(p) for p in paths]), np.array([classes.index(p.parent.name) for p in paths])
    scaler = StandardScaler().fit(found["train"][0])
    (x, y), val, test = ((scaler.transform(values), labels) for values, labels in found.values())

    def score(model: KernelRidge, part: tuple[np.ndarray, np.ndarray]) -> float:
        return float(np.mean(model.predict(part[0]).argmax(1) == part[1]))

    grid = [(gamma, alpha) for gamma in (1e-4, 1e-3, 1e-2) for alpha in (1e-2, 1e-1, 1.0)]
    models = [KernelRidge(kernel="rbf", gamma=g, alpha=a).fit(x, np.eye(len(classes))[y]) for g, a in grid]
    return score(max(models, key=lambda model: score(model, val)), test)


@functools.cache
def predictor(config: ClassifierConfig) -> Any:
    """`(variables, waves) -> logits`, compiled once for all folds and seeds."""
    classifier = zoo.build(config)
    return jax.jit(lambda variables, waves: classifier.apply(variables, waves, mode=EVAL)[0].logits)


def trained(place: Path, workdir: Path, seed: int, flags: str) -> float:
    """Accuracy on the test fold of the network that `experiments.train` makes with the flags."""
    words = [*flags.split(), f"--data_dir={place}", f"--seed={seed}", f"--workdir={workdir}"]
    subprocess.run([sys.executable, "-m", "experiments.train", *words], check=True, stdout=subprocess.DEVNULL)
    variables, config, _ = checkpoint.load(workdir / "checkpoint")
    given = {"sample_rate": config.sample_rate, "length": config.length, "progress": False}
    clips = load_split(sets.get("folder", place), place, "test", **given)
    logits = predictor(config)(variables, clips.waves)
    return metrics.accuracy(np.asarray(logits), clips.labels)


def interval(values: list[float]) -> str:
    """Mean and 95 % interval over folds, in %."""
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return f"{100 * np.mean(values):.1f} +- {100 * half:.1f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--esc50", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--train", default=TRAIN, help="flags of experiments.train")
    given = parser.parse_args()
    places = {fold: link(given.esc50, given.output / f"fold{fold}", fold) for fold in FOLDS}
    ridge = [kernel_ridge(place) for place in places.values()]
    print(f"kernel ridge: {interval(ridge)} ({', '.join(f'{100 * r:.0f}' for r in ridge)})", flush=True)
    nets = {fold: [] for fold in FOLDS}
    for seed in map(int, given.seeds.split(",")):
        for fold, place in places.items():
            workdir = given.output / f"train{fold}_{seed}"
            nets[fold].append(trained(place, workdir, seed, given.train))
            print(f"seed {seed}, fold {fold}: {100 * nets[fold][-1]:.0f}", flush=True)
    means = [float(np.mean(found)) for found in nets.values()]
    print(f"network: {interval(means)}; kernel ridge: {interval(ridge)}")
    print(f"difference: {interval([a - b for a, b in zip(means, ridge, strict=True)])}")


if __name__ == "__main__":
    main()
