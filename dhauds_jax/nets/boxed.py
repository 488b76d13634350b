"""Models in the box: small trained classifiers that come with the package, their weights in half precision.

A new one is a folder in `boxes/`: config.json, weights.npz (leaves by their paths, float16) and card.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dhauds_jax.errors import BadInput
from dhauds_jax.nets.config import ClassifierConfig, bare_text
from dhauds_jax.registry import unknown
from dhauds_jax.types import Variables

BOXES = Path(__file__).resolve().parent / "boxes"


def names() -> dict[str, str]:
    """Name -> the first sentence of its card."""
    return {path.name: _summary(path) for path in sorted(BOXES.iterdir()) if path.is_dir()}


def _summary(box: Path) -> str:
    paragraphs = (box / "card.md").read_text(encoding="utf-8").split("\n\n")
    return " ".join(paragraphs[1].split()).partition(". ")[0].rstrip(".")


def is_one(name: str) -> bool:
    """Whether a model has this name."""
    return name.isidentifier() and (BOXES / name / "config.json").is_file()


def config(name: str) -> ClassifierConfig:
    """A model's config alone; raises `BadInput` where there is no such model."""
    if not is_one(name):
        raise BadInput(f"--model: {unknown('model', name, names())}")
    file = BOXES / name / "config.json"
    return ClassifierConfig.from_json(bare_text(file.read_text(encoding="utf-8"), str(file)), str(file))


def load(name: str) -> tuple[Variables, ClassifierConfig]:
    """A model's variables (float32) and config.

    Raises:
      BadInput: there is no such model.
    """
    found = config(name)
    variables: dict[str, Any] = {"params": {}, "batch_stats": {}}
    with np.load(BOXES / name / "weights.npz") as stored:
        for path in stored.files:
            _put(variables, path.split("/"), stored[path].astype(np.float32))
    return variables, found


def _put(tree: dict[str, Any], path: list[str], leaf: np.ndarray) -> None:
    for name in path[:-1]:
        tree = tree.setdefault(name, {})
    tree[path[-1]] = leaf
