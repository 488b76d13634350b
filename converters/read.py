"""Reads checkpoints as NumPy arrays: .pt/.bin/.pth, .safetensors and .npz files and Hugging Face folders.

PyTorch files are read by a machine of this package (`torch_file`), of any pickle protocol: tensors and plain
containers, nothing that runs, and PyTorch is not needed. fairseq's files also hold configuration objects, and those of
training programs NumPy's scalars; of a short list of their classes the contents are dropped, any other is refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import pickle
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from converters import torch_file
from converters.pickles import Refused
from converters.torch_values import NumpyArray, Tensor
from dhauds_jax import json_texts
from dhauds_jax.errors import BadInput

EXTRA_HINT = "pip install 'dhauds_jax[convert]'"
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
INDEX = ".index.json"
"""What follows the name of weights that are spread over several files, in the name of their index."""
NESTED = ("model", "state_dict", "model_state_dict")
"""Entries under which training programs keep a state dict beside other things."""


class Source(NamedTuple):
    """One checkpoint as it was read.

    Attributes:
      path: the file or folder that was named.
      state: tensor names, as in the file, to arrays.
      sha256: of the weight file, hex digits; of several files one after the other in the order of their names.
      types: names of the tensors' types, sorted, e.g. ("float16", "int64").
      record: a Hugging Face folder's `config.json`, else None.
      preprocessor: its `preprocessor_config.json` where there is one, else None.
    """

    path: Path
    state: dict[str, np.ndarray]
    sha256: str
    types: tuple[str, ...]
    record: dict[str, Any] | None = None
    preprocessor: dict[str, Any] | None = None


def check_there(path: str | Path) -> None:
    """Raises `BadInput` for a source that is neither a file nor a folder."""
    if not Path(path).is_file() and not Path(path).is_dir():
        raise BadInput(f"--source: {path} does not exist, expected a PyTorch or safetensors file or a folder")


def read(path: str | Path) -> Source:
    """Reads one checkpoint.

    Args:
      path: a .safetensors or .npz file, any file that `torch.save` wrote, or a Hugging Face folder (`config.json`
        with `model.safetensors` or `pytorch_model.bin`, or an index of several such files).

    Raises:
      BadInput: nothing there, an HTML page, a truncated or foreign file, a class that is not on the list, or a
        package that is missing (its extra is named).
    """
    path = Path(path)
    check_there(path)
    if path.is_dir():
        return _read_folder(path)
    return _source(path, {path: _weights(path)})


def _source(path: Path, files: Mapping[Path, dict[str, np.ndarray]]) -> Source:
    """The record of the weights in some files."""
    state = {key: array for weights in files.values() for key, array in weights.items()}
    types = tuple(sorted({str(array.dtype) for array in state.values()}))
    return Source(path, state, _sha256(files), types)


def _weights(path: Path) -> dict[str, np.ndarray]:
    _check_start(path)
    return {".safetensors": _safetensors, ".npz": _npz}.get(path.suffix, _torch)(path)


def _check_start(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(512)
    if not start:
        raise BadInput(f"{path}: is empty, expected a PyTorch or safetensors file")
    if start.lstrip()[:1] == b"<" and re.search(rb"<(!doctype|html|head|body|\?xml)", start, re.IGNORECASE):
        raise BadInput(f"{path}: is an HTML page, expected a PyTorch file; the download failed, fetch it again")


def _read_folder(path: Path) -> Source:
    if not (path / "config.json").is_file():
        raise BadInput(f"{path}: has no config.json, expected a Hugging Face folder with config.json and weights")
    found = [path / name for name in WEIGHT_FILES if (path / name).is_file()][:1]
    indices = [path / f"{name}{INDEX}" for name in WEIGHT_FILES if (path / f"{name}{INDEX}").is_file()]
    if not found and not indices:
        raise BadInput(
            f"{path}: has no weights, expected one of {', '.join(WEIGHT_FILES)} beside config.json, or an index of "
            f"several files ({WEIGHT_FILES[0]}{INDEX})"
        )
    files = {file: _weights(file) for file in found} or _shards(indices[0])
    extra = path / "preprocessor_config.json"
    record = _json(path / "config.json")
    preprocessor = _json(extra) if extra.is_file() else None
    return _source(path, files)._replace(record=record, preprocessor=preprocessor)


def _shards(index: Path) -> dict[Path, dict[str, np.ndarray]]:
    """The weights of each file that an index names, all of them checked against it."""
    where = _json(index).get("weight_map")
    if not isinstance(where, dict) or not all(isinstance(name, str) for name in where.values()) or not where:
        raise BadInput(f"{index}: has no weight_map, expected the name of a file for each tensor")
    names = sorted(set(where.values()))
    absent = [name for name in names if Path(name).name != name or not (index.parent / name).is_file()]
    if absent:
        raise BadInput(f"{index}: names {', '.join(absent)}, which is not beside it: {len(names)} files are expected")
    files = {index.parent / name: _weights(index.parent / name) for name in names}
    lacking = sorted(key for key, name in where.items() if key not in files[index.parent / name])
    if lacking:
        raise BadInput(f"{index}: says that {lacking[:4]} are in files that do not hold them; fetch the files again")
    return files


def _json(path: Path) -> dict[str, Any]:
    try:
        record = json_texts.read(path)
    except json_texts.NotJson as error:
        raise BadInput(f"{path}: is not JSON ({error}), expected an object") from None
    if not isinstance(record, dict):
        raise BadInput(f"{path}: holds a {type(record).__name__}, expected an object")
    return record


def _sha256(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()


def _safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError:
        raise BadInput(f"{path}: reading it needs safetensors, which is not installed: {EXTRA_HINT}") from None
    try:
        return load_file(path)
    except (SafetensorError, ValueError, KeyError) as error:
        raise BadInput(f"{path}: is truncated or no safetensors file ({_first_line(error)})") from None


def _npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise BadInput(f"{path}: is truncated or no .npz file ({_first_line(error)})") from None
    other = [name for name, value in found.items() if not isinstance(value, np.ndarray)]
    if other:  # NumPy gives the bytes of such a member
        raise BadInput(f"{path}: holds {other[0]}, which is no array, expected arrays as NumPy writes them")
    return found


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Any]:
    """What a file of `torch.save` holds, as `torch_file.opened` gives it; its tensors are read inside the block.

    Raises:
      BadInput: an empty file, an HTML page, a truncated or foreign one, or a class that is not on the list.
    """
    _check_start(path)
    try:
        with torch_file.opened(path) as loaded:
            yield loaded
    except BadInput:
        raise
    except Refused as error:
        raise BadInput(
            f"{path}: holds an object of class {error.name}, which is refused; expected tensors and plain containers "
            f"(save `model.state_dict()`), NumPy's scalars, or fairseq's and Lightning's settings"
        ) from None
    except pickle.UnpicklingError:
        raise BadInput(f"{path}: is truncated or no PyTorch file (its pickle cannot be read)") from None
    except torch_file.ERRORS as error:
        raise BadInput(f"{path}: is truncated or no PyTorch file ({_first_line(error)})") from None


def _torch(path: Path) -> dict[str, np.ndarray]:
    with opened(path) as loaded:
        return _arrays(path, loaded)


def _arrays(path: Path, loaded: Any) -> dict[str, np.ndarray]:
    """The tensors of a state dict, or of the one under an entry of `NESTED`."""
    for name in NESTED:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(name), Mapping):
            loaded = loaded[name]
            break
    if not isinstance(loaded, Mapping) or not loaded:
        raise BadInput(f"{path}: holds a {type(loaded).__name__}, expected a state dict (names to tensors)")
    foreign = [str(name) for name, value in loaded.items() if not isinstance(value, Tensor | NumpyArray)]
    if foreign:
        raise BadInput(f"{path}: the entries {foreign[:8]} are no tensors, expected a state dict (names to tensors)")
    return {str(name): value.array() for name, value in loaded.items()}


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
