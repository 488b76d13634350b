"""Checkpoints: a folder with the variables (Orbax) beside `config.json`, of a classifier or of an audio-text model.

What reads a classifier also takes the name of one that comes with the package (`boxed.names()`), where no such folder
is. An audio-text model has `"kind": "audio_text"` in its config, and `tokenizer/` and `prompts.npz` beside it
(`clap_prompts`).
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dhauds_jax import files, json_texts, parallel
from dhauds_jax.errors import BadInput, unreadable
from dhauds_jax.nets import boxed, clap_zoo, zoo
from dhauds_jax.nets.audio_text_config import KIND, AudioTextConfig
from dhauds_jax.nets.config import ClassifierConfig, bare_text, described, file_text
from dhauds_jax.types import Variables
from dhauds_jax.wording import kind_of

CONFIG = "config.json"
EXTRA = "extra.json"


def save(
    folder: str | Path,
    variables: Variables,
    config: ClassifierConfig | AudioTextConfig,
    extra: Mapping[str, Any] | None = None,
    beside: Callable[[Path], object] | None = None,
) -> Path:
    """Writes a checkpoint; arrays and config appear together, an older one of that name is replaced.

    Of a run of several processes all must call, for Orbax waits for all of them; the first one writes, and all return
    when it is there.

    Args:
      folder: where; made with its parents.
      variables: `{"params", "batch_stats"}`, arrays of any kind.
      config: the classifier's or the audio-text model's record.
      extra: anything else: nested dicts of arrays and of what JSON holds. Names must not contain "|".
      beside: called with the folder before it is put in place, to write more files into it (in the first process).

    Returns:
      The folder, absolute.
    """
    from orbax.checkpoint import v1 as ocp

    folder = Path(folder).absolute()
    # One name in all processes, which Orbax compares; no other run has it.
    temporary = folder.with_name(f"{folder.name}.tmp-{parallel.of_first(secrets.randbits(31)):08x}")
    arrays, rest = _split(extra or {})
    # Host arrays only: jax arrays would tie the files to this machine's device layout.
    tree = {"variables": jax.tree.map(np.asarray, jax.device_get(_nested(variables))), "extra": arrays}
    try:
        if parallel.writes():
            temporary.mkdir(parents=True)
        parallel.wait("checkpoint.begin")
        ocp.save(temporary / "variables", tree)
        if parallel.writes():
            (temporary / EXTRA).write_text(json.dumps(rest, indent=2, sort_keys=True) + "\n", encoding="utf-8")
            (temporary / CONFIG).write_text(file_text(config.to_dict()), encoding="utf-8")
            if beside is not None:
                beside(temporary)
            files.put_in_place(temporary, folder)
        parallel.wait("checkpoint.end")
    finally:
        if parallel.writes():
            shutil.rmtree(temporary, ignore_errors=True)  # there only when something went wrong
    return folder


def load(folder: str | Path) -> tuple[Variables, ClassifierConfig, dict[str, Any]]:
    """Reads a classifier's checkpoint back: variables and extra hold NumPy arrays.

    Raises:
      BadInput: no folder, no `config.json`, a damaged one, one that a newer version wrote, an audio-text model (what to
        do with it), an unknown family, or leaves that do not fit the network of the config (they are named).
    """
    if is_boxed(folder):
        return *boxed.load(str(folder)), {}
    config = load_config(folder)
    variables, extra = _arrays(Path(folder).absolute())
    with described(config.places(), f"checkpoint {folder}"):
        expected = zoo.shapes(zoo.build(config))
    _check_shapes(folder, variables, expected, f"net {config.net!r} with {len(config.classes)} classes")
    return variables, config, extra


def load_audio_text(folder: str | Path) -> tuple[Variables, AudioTextConfig, dict[str, Any]]:
    """Reads an audio-text model's checkpoint back: variables and extra hold NumPy arrays.

    Raises:
      BadInput: as `load`, and for a classifier.
    """
    config = load_audio_text_config(folder)
    variables, extra = _arrays(Path(folder).absolute())
    with described((config.front_end["kind"],), f"checkpoint {folder}"):
        expected = clap_zoo.shapes(clap_zoo.build_audio_text(config))
    _check_shapes(folder, variables, expected, f"audio-text net {config.net!r}")
    return variables, config, extra


def _arrays(folder: Path) -> tuple[Variables, dict[str, Any]]:
    """Variables and extra as they lie there."""
    from orbax.checkpoint import v1 as ocp

    try:
        tree = ocp.load(folder / "variables")
        variables, arrays = dict(tree["variables"]), dict(tree["extra"])
    except Exception as error:  # of a damaged file: whatever Orbax's parts raise
        raise BadInput(f"checkpoint {folder}: its arrays {unreadable(error)}") from error
    try:
        extra = _join(arrays, load_extra(folder))
    except (TypeError, AttributeError) as error:
        raise BadInput(f"checkpoint {folder}: its {EXTRA} does not fit its arrays, expected what was saved") from error
    return {"params": {}, "batch_stats": {}, **variables}, extra


def is_boxed(folder: str | Path) -> bool:
    """Whether this is the name of a model in the package, and no folder here."""
    return boxed.is_one(str(folder)) and not Path(folder).is_dir()


def place_of(folder: str | Path) -> Path:
    """Where a checkpoint's files lie, of a model in the package too."""
    return boxed.BOXES / str(folder) if is_boxed(folder) else Path(folder).absolute()


def load_extra(folder: str | Path) -> dict[str, Any]:
    """Reads what JSON holds of a checkpoint's extra: neither its arrays nor the weights are read for that.

    Raises:
      BadInput: no such file, or a damaged one.
    """
    if is_boxed(folder):
        return {}
    path = Path(folder).absolute() / EXTRA
    try:
        found = json_texts.read(path)
    except (OSError, ValueError) as error:
        raise BadInput(f"checkpoint {folder}: its {EXTRA} cannot be read ({error})") from error
    if not isinstance(found, dict):
        raise BadInput(f"checkpoint {folder}: its {EXTRA} holds {kind_of(found)}, expected an object")
    return found


def load_config(folder: str | Path) -> ClassifierConfig:
    """Reads the config of a classifier's checkpoint alone.

    Raises:
      BadInput: no folder, no `config.json`, a damaged one, or an audio-text model.
    """
    if is_boxed(folder):
        return boxed.config(str(folder))
    text, where = _config_text(folder)
    if _is_audio_text(text):
        raise BadInput(
            f"checkpoint {folder}: is an audio-text model, which has no classes, expected a classifier; experiments."
            "classify makes one of it with --class_names=FILE, dhauds_jax.load with class_names=[...], and what they "
            "write is a classifier's checkpoint"
        )
    return ClassifierConfig.from_json(text, where)


def load_audio_text_config(folder: str | Path) -> AudioTextConfig:
    """Reads the config of an audio-text model's checkpoint alone.

    Raises:
      BadInput: no folder, no `config.json`, a damaged one, or a classifier.
    """
    text, where = ("{}", "") if is_boxed(folder) else _config_text(folder)
    if not _is_audio_text(text):
        raise BadInput(
            f"checkpoint {folder}: is a classifier, expected an audio-text model, such as converters.convert "
            "--family=clap writes"
        )
    return AudioTextConfig.from_json(text, where)


def is_audio_text(folder: str | Path) -> bool:
    """Whether a checkpoint is an audio-text model's.

    Raises:
      BadInput: no folder, or no `config.json`.
    """
    return not is_boxed(folder) and _is_audio_text(_config_text(folder)[0])


def _is_audio_text(text: str) -> bool:
    try:
        record = json_texts.parsed(text)
    except json_texts.NotJson:  # which reading it as a classifier's says
        return False
    return isinstance(record, Mapping) and record.get("kind") == KIND


def _config_text(folder: str | Path) -> tuple[str, str]:
    """The text of a `config.json` in the form of now, and what to call the file."""
    folder = Path(folder).absolute()
    if folder.is_file():
        raise BadInput(
            f"checkpoint {folder}: is a file, expected a folder, which converters.convert makes of PyTorch's"
        )
    if not folder.is_dir():
        raise BadInput(
            f"checkpoint {folder}: no such folder, expected one folder with {CONFIG} and variables/, or a model that "
            f"comes with the package ({', '.join(boxed.names())})"
        )
    if not (folder / CONFIG).is_file():
        inside = folder / "checkpoint"  # what train, classify and learn write lies in their output
        meant = f"; {inside} is one" if (inside / CONFIG).is_file() else ""
        raise BadInput(f"checkpoint {folder}: has no {CONFIG}, expected a folder that train or convert wrote{meant}")
    path = folder / CONFIG
    try:
        return bare_text(path.read_text(encoding="utf-8"), str(path)), str(path)
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: is not UTF-8 ({error}), expected a config as train or convert wrote it") from error


def variables_hash(variables: Variables) -> str:
    """SHA-256 over the leaves in the order of their paths: path, dtype, shape and bytes (hex digits)."""
    digest = hashlib.sha256()
    for path, leaf in sorted(_flat(_nested(variables)).items()):
        array = np.ascontiguousarray(jax.device_get(leaf))
        digest.update(f"{path} {array.dtype.name} {np.shape(leaf)}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _nested(tree: Any) -> Any:
    return {str(k): _nested(v) for k, v in tree.items()} if isinstance(tree, Mapping) else tree


def _flat(tree: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{above}{name}/"))
        else:
            flat[f"{above}{name}"] = value
    return flat


def _split(extra: Mapping[str, Any], above: str = "") -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays under flat names, and everything else as it was."""
    arrays: dict[str, np.ndarray] = {}
    rest: dict[str, Any] = {}
    for name, value in extra.items():
        if isinstance(value, Mapping):
            below, rest[name] = _split(value, f"{above}{name}|")
            arrays.update(below)
        elif isinstance(value, jax.Array | np.ndarray | np.generic):
            arrays[f"{above}{name}"] = np.asarray(jax.device_get(value))
        else:
            rest[name] = value
    return arrays, rest


def _join(arrays: Mapping[str, Any], rest: dict[str, Any]) -> dict[str, Any]:
    for path, array in arrays.items():
        node = rest
        *above, name = path.split("|")
        for step in above:
            node = node.setdefault(step, {})
        node[name] = array
    return rest


def _check_shapes(folder: str | Path, variables: Variables, shapes: Variables, what: str) -> None:
    """Compares every leaf with the network that the config describes: Orbax loads any shape without a word."""
    expected, found = _flat(shapes), _flat(variables)
    missing = sorted(set(expected) - set(found))
    foreign = sorted(set(found) - set(expected))
    if missing or foreign:
        raise BadInput(f"checkpoint {folder}: leaves missing {missing}, foreign {foreign}; expected those of {what}")
    for path, leaf in expected.items():
        if np.shape(found[path]) != leaf.shape:
            raise BadInput(f"checkpoint {folder}: {path} is {np.shape(found[path])}, expected {leaf.shape} for {what}")
