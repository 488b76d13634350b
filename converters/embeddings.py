"""Published embeddings of clips, a `.pt` of the PyTorch system's extraction, as the `.npz` that `--embeddings` reads.

The file is a dict: name of a clip -> {"embd": float32 (512,), "class_gt": int, "fold": int}, or "embd" alone for clips
without labels (Acevedo et al., arXiv 2506.04376). It is read without running anything and without PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from converters.pickles import Inert
from converters.read import check_there, opened
from converters.torch_values import NumpyArray, Tensor
from dhauds_jax.errors import BadInput
from dhauds_jax.files import write_atomically
from dhauds_jax.wording import counted, plural

VECTOR, LABEL, FOLD = "embd", "class_gt", "fold"
EXPECTED = f"a dict of clips' names to {{{VECTOR!r}, {LABEL!r}, {FOLD!r}}}"


def convert(source: str | Path, output: str | Path, classes: Sequence[str] | None = None) -> str:
    """Writes `vectors` (clips, width) float32, `ids`, and, where the file has them, `labels`, `classes`, `folds`.

    Args:
      source: the `.pt`.
      output: the `.npz`; an older one is replaced.
      classes: names in the order of the file's class numbers; None takes the numbers as names.

    Returns:
      One sentence on what was found.

    Raises:
      BadInput: what `read.opened` refuses, a file of something else, clips that differ in what they hold, vectors that
        differ in length or are not finite, or a class number that has no name.
    """
    arrays = read(source, classes)
    write_atomically(Path(output), lambda file: np.savez(file, **arrays))
    rows, width = arrays["vectors"].shape
    parts = [f"{counted(rows, 'clip')} of width {width}"]
    parts += [counted(len(arrays["classes"]), "class", "classes")] if "classes" in arrays else ["no labels"]
    parts += [f"folds {', '.join(sorted(set(arrays['folds']), key=int))}"] if "folds" in arrays else []
    return ", ".join(parts)


def read(source: str | Path, classes: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays that `convert` writes; arguments and what is raised are the same."""
    path = Path(source)
    check_there(path)
    with opened(path) as loaded:
        clips = loaded if isinstance(loaded, Mapping) else {}
        if not clips or not all(isinstance(clip, Mapping) and VECTOR in clip for clip in clips.values()):
            raise BadInput(f"{path}: holds no clips with an {VECTOR!r}, expected {EXPECTED}")
        vectors = [_vector(path, name, clip[VECTOR]) for name, clip in clips.items()]
    widths = sorted({len(vector) for vector in vectors})
    if len(widths) > 1:
        raise BadInput(f"{path}: vectors have {widths} numbers, expected one width")
    found = {"vectors": np.stack(vectors), "ids": _texts(clips)}
    bad = [str(name) for name, vector in zip(clips, vectors) if not np.isfinite(vector).all()]
    if bad:
        raise BadInput(f"{path}: the vectors of {bad[:4]} are not finite, expected numbers; leave these clips out")
    labels, folds = (_numbers(path, clips, key) for key in (LABEL, FOLD))
    if labels is not None:
        found |= _named(path, labels, classes)
    return found | ({} if folds is None else {"folds": _texts(folds)})


def _named(path: Path, labels: Sequence[int], classes: Sequence[str] | None) -> dict[str, np.ndarray]:
    """Labels and the names of classes; without given names the numbers that there are."""
    if classes is None:
        numbers, places = np.unique(labels, return_inverse=True)
        return {"labels": places.astype(np.int32), "classes": _texts(numbers)}
    if isinstance(classes, str) or not all(isinstance(name, str) for name in classes):
        raise BadInput(f"--config: classes are {classes!r}, expected a list of names")
    if min(labels) < 0 or max(labels) >= len(classes):
        raise BadInput(
            f"{path}: class numbers go from {min(labels)} to {max(labels)}, but {counted(len(classes), 'class name')} "
            f"{plural(len(classes), 'was', 'were')} given; expected a name for each, in the order of the numbers"
        )
    return {"labels": np.array(labels, np.int32), "classes": _texts(classes)}


def _vector(path: Path, name: Any, value: Any) -> np.ndarray:
    array = value.array() if isinstance(value, NumpyArray | Tensor) else np.zeros(0)
    if array.size == 0 or array.size != max(array.shape) or array.dtype.kind != "f":
        raise BadInput(f"{path}: {VECTOR!r} of {name!r} is no vector of numbers, expected {EXPECTED}")
    return np.array(array, np.float32).reshape(-1)


def _numbers(path: Path, clips: Mapping[Any, Mapping[Any, Any]], key: str) -> list[int] | None:
    """The whole numbers that all clips have under a key, None where none has."""
    values = {name: clip[key] for name, clip in clips.items() if not isinstance(clip.get(key), Inert | None)}
    if not values:
        return None
    if len(values) < len(clips):
        lacking = [str(name) for name in clips if name not in values]
        raise BadInput(f"{path}: {lacking[:4]} have no {key!r} and other clips have, expected it of all or of none")
    strange = [name for name, value in values.items() if not isinstance(value, int | np.integer)]
    if strange:
        raise BadInput(f"{path}: {key!r} of {strange[0]!r} is {values[strange[0]]!r}, expected a whole number")
    return [int(value) for value in values.values()]


def _texts(values: Any) -> np.ndarray:
    return np.array([str(value) for value in values])
