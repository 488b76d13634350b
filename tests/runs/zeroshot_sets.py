"""Small embedded sets for zero-shot rows: 36 clips of three classes in three folds, clean and over a place."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dhauds_jax.runs.requests.zeroshot import ZeroshotRun
from dhauds_jax.workdir import records

CLASSES, WIDTH, CLIPS, FOLDS = ("dog_bark", "rain", "siren"), 8, 36, 3
LABELS = np.arange(CLIPS) % 3
FOLD = np.arange(CLIPS) // 4 % FOLDS


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def drawn():
    """(clean, over the place, recordings of two scenes, which recording each clip lies over), raw vectors."""
    draw = np.random.default_rng(11)
    classes, place = unit(draw.normal(size=(3, WIDTH))), unit(draw.normal(size=WIDTH))
    recordings = unit(place + 0.5 * draw.normal(size=(5, WIDTH)))
    own = draw.integers(0, 5, CLIPS)
    clips = classes[LABELS] + 0.45 * draw.normal(size=(CLIPS, WIDTH))
    return (2 * clips).astype("f4"), (2 * (clips + 1.2 * recordings[own])).astype("f4"), recordings.astype("f4"), own


def write(folder: Path, **changes) -> Path:
    """`clean.npz`, `park.npz` and `places.npz`; changes replace arrays of `park.npz`, None takes one out."""
    clean, park, recordings, own = drawn()
    names = np.array([f"place{k}.wav" for k in range(5)])
    common = {
        "ids": np.array([f"clip{k}" for k in range(CLIPS)]),
        "labels": LABELS,
        "classes": np.array(CLASSES),
        "folds": FOLD.astype(str),
    }
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "clean.npz", vectors=clean, **common)
    over = {"vectors": park, **common, "backgrounds": names[own], **changes}
    np.savez(folder / "park.npz", **{key: value for key, value in over.items() if value is not None})
    scenes = {"labels": np.array([0, 0, 0, 1, 1]), "classes": np.array(["park", "metro_station"])}
    np.savez(folder / "places.npz", vectors=recordings, ids=names, **scenes)
    return folder


def run_of(place, workdir, sets=("park",), **changes):
    given = {
        "embeddings": tuple(str(place / f"{name}.npz") for name in sets),
        "background_embeddings": (str(place / "places.npz"),),
        "prototypes": ("supervised",),
        "workdir": str(workdir),
    }
    return ZeroshotRun(**{**given, **changes})


def rows(workdir):
    return records.read(workdir, "zeroshot")


def by_hand(vectors, source, normalised=True):
    """Scores of every clip by the mean embeddings of the other folds, and those prototypes, in float64."""
    vectors, source = unit(vectors.astype(np.float64)), unit(source.astype(np.float64))
    made = np.stack([[source[(f != FOLD) & (k == LABELS)].mean(0) for k in range(3)] for f in range(FOLDS)])
    made = unit(made) if normalised else made
    return np.einsum("nd,nkd->nk", vectors, made[FOLD]), made
