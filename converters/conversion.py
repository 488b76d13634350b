"""PyTorch checkpoint to Orbax checkpoint and back: the two library functions behind `converters.convert`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from converters import presets, report, torch_clap
from converters.families import Family, Part, Planned, Request, find, part_of
from converters.mapping import Converted, flatten, split, to_torch, unflatten
from converters.read import EXTRA_HINT, Source, check_there, read
from converters.verify import NOTHING, compared
from dhauds_jax import registry
from dhauds_jax.errors import BadInput, told
from dhauds_jax.files import write_atomically
from dhauds_jax.names import PROFILES
from dhauds_jax.nets import checkpoint, zoo
from dhauds_jax.nets.audio_text_config import AudioTextConfig
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.types import Variables
from dhauds_jax.wording import counted

HEAD_SEED = 0
"""Seed of the head's random weights where the source has no head."""


def convert(
    family: str,
    sources: Sequence[str | Path],
    output: str | Path,
    *,
    config: str | Path | None = None,
    preset: str | None = None,
    verify: bool = False,
    profile: str = "reference",
    tokenizer: str | Path | None = None,
) -> report.Report:
    """Turns PyTorch files into a checkpoint folder with `config.json`, `report.json` and `report.md`.

    Args:
      family: a key of `names.FAMILIES`, or "module:attribute", a `Family` of the user's own.
      sources: one path, or several (encoder, head), as the family has it.
      output: folder of the checkpoint; one that is there is replaced, but only once all is converted.
      config: JSON file with what the files do not show (see `presets.read_config`).
      preset: name of the network to take such things from.
      verify: run the source's own PyTorch module on noise too and report the largest difference by layer.
      profile: "reference" or "corrected", how SSAST's positions are cut (`nets.spectrogram_transfer.CUTS`).
      tokenizer: folder with the tokenizer of an audio-text model, which is copied in; without it that of the source.

    Raises:
      BadInput: anything that the user can mend, in one sentence; nothing is written then.
    """
    kind = find(family)
    if profile not in PROFILES:
        raise BadInput(f"--profile: {profile!r}, expected {' or '.join(PROFILES)}")
    for path in sources:  # what is not there is said before how many there should be
        check_there(path)
    _check_count(family, kind, len(sources))
    if tokenizer is not None and not kind.audio_text:
        raise BadInput(f"--tokenizer: family {family} has no text tower, expected --family=clap, or no --tokenizer")
    given = {} if config is None else presets.read_config(config, kind.settings)
    presets.check_preset(kind, preset, given)
    files = [read(path) for path in sources]
    parts = {name: part_of(file.state, kind) for name, file in zip(kind.files, files)}
    _check_contents(family, kind, files, parts)
    source = _source_record(family, kind, files, parts)
    folder = None if tokenizer is None else Path(tokenizer)
    planned = _planned(Request(family, kind, files, parts, preset, given, profile, HEAD_SEED, folder))
    resolved, converted = planned.config.replace(source=source), planned.converted
    for held in (*(file.state for file in files), *(part.state for part in parts.values())):
        held.clear()  # saving then needs the room of one copy of the weights, not two
    beside = torch_clap.compared if kind.audio_text else compared
    verified = beside(converted.variables, resolved, files, parts) if verify else NOTHING
    aside = {f"{part}/{parts[part].original[key]}": array for part, key, array in _ignored(converted)}
    extra = {"conversion": {"ignored": {name: array for name, array in aside.items() if array.size}}, **planned.extra}
    folder = checkpoint.save(output, converted.variables, resolved, extra, planned.beside)
    made = report.Report(
        family=family,
        output=str(output),
        files=resolved.source["files"],
        used=len(converted.used),
        ignored=sorted(aside),
        parameters=zoo.parameter_count(converted.variables),
        checksum=checkpoint.variables_hash(converted.variables),
        notes=[*_notes(files, resolved), *planned.notes, *verified.notes],
        verified=verified.differences,
        beside=verified.beside,
    )
    report.write(made, folder)
    return made


def _planned(request: Request) -> Planned:
    """The plan of the request's family.

    Raises:
      BadInput: what it refuses; or tensors, or a config's values, that nobody expected and that led one of our own
        families astray.
    """
    try:
        return request.kind.plan(request)
    except BadInput:
        raise
    except Exception as error:
        if registry.is_foreign(request.family):  # the traceback is for whoever wrote it
            raise
        where = ", ".join(str(file.path) for file in request.files)
        raise BadInput(
            f"{where}: cannot be converted for family {request.family} ({told(error)}), expected tensors of the shapes "
            "that it has, and in --config values of the kinds that config.json has"
        ) from error


def reverse(family: str, source: str | Path, output: str | Path) -> list[Path]:
    """Turns a checkpoint folder into safetensors files under the names that its PyTorch files had.

    Args:
      family: as at the conversion; "hubert" writes the encoder alone, "ast" and "ssast" a file with the head, or, for
        pretraining's checkpoints, with the mask's embedding and the predictors.
      source: folder of the checkpoint (converted, trained or adapted).
      output: folder for the files, made with its parents.

    Returns:
      The files, one per part: named by the stems of the sources, each with its part after it where stems are equal.

    Raises:
      BadInput: a checkpoint of another family, or safetensors is not installed.
    """
    try:
        from safetensors.numpy import save
    except ImportError:
        raise BadInput(f"--reverse: needs safetensors, which is not installed: {EXTRA_HINT}") from None
    kind = find(family)
    variables, config, extra = _stored(family, kind, source)
    origin = {file["part"]: file for file in config.source.get("files", [])}
    style = origin.get(kind.files[0], {}).get("style", "")
    kept = extra.get("conversion", {}).get("ignored", {})
    held = tuple(name for name in kind.extra if name in extra)
    fresh = {} if kept else kind.fresh(config, held)
    leaves = kind.leaves(config, style, held)
    variables = {**variables, **{name: extra[name] for name in held}}
    wanted = {path for each in leaves for path in each.paths}
    flat = {path: leaf for path, leaf in flatten(variables).items() if path in wanted or "head" in kind.files}
    state = split({**fresh, **to_torch(unflatten(flat), leaves)})
    for name, array in kept.items():
        part, key = name.split("/", 1)
        if part in kind.files:
            origin.setdefault(part, {}).setdefault("kept", {})[key] = array
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    written = []
    parts = [part for part in kind.files if part in state]
    stems = [Path(origin.get(part, {}).get("name", part)).stem for part in parts]
    alike = len(set(stems)) < len(stems)
    for part, stem in zip(parts, stems):
        record = origin.get(part, {})
        tensors = {_original_name(key, record, kind): array for key, array in state[part].items()}
        tensors = {**record.get("kept", {}), **tensors}
        path = output / (f"{stem}-{part}.safetensors" if alike else f"{stem}.safetensors")
        write_atomically(path, save({key: np.ascontiguousarray(a).reshape(a.shape) for key, a in tensors.items()}))
        written.append(path)
    return written


def _stored(
    family: str, kind: Family, source: str | Path
) -> tuple[Variables, ClassifierConfig | AudioTextConfig, dict[str, Any]]:
    """A checkpoint of the family's kind."""
    found = "an audio-text model" if checkpoint.is_audio_text(source) else "a classifier"
    if checkpoint.is_audio_text(source) != kind.audio_text:
        raise BadInput(
            f"--family: {family}, but the checkpoint {source} is {found}'s, expected the family that it is of"
        )
    if kind.audio_text:
        return checkpoint.load_audio_text(source)
    variables, config, extra = checkpoint.load(source)
    if config.family != kind.net:
        raise BadInput(f"--family: {family}, but the checkpoint {source} is of family {config.family!r}")
    return variables, config, extra


def _check_count(name: str, kind: Family, sources: int) -> None:
    least, most = kind.least or len(kind.files), len(kind.files)
    if not least <= sources <= most:
        what, paths = " and ".join(kind.files), counted(sources, "path")
        takes = most if least == most else f"{least} to {most}"
        raise BadInput(f"--source: {paths}, but family {name} takes {takes} ({what}), comma between")


def _check_contents(family: str, kind: Family, files: Sequence[Source], parts: dict[str, Part]) -> None:
    for name, file, expected in zip(kind.files, files, kind.holds):
        part = parts[name]
        if part.holds != expected.name:
            keys = ", ".join(sorted(part.state)[:4])
            raise BadInput(
                f"{file.path}: holds {part.holds} ({keys}, ...), expected {expected.name} for family {family}"
            )


def _source_record(family: str, kind: Family, files: Sequence[Source], parts: dict[str, Part]) -> dict[str, Any]:
    """What travels in the config: enough to find the files again and to write their names back."""
    records = []
    for name, file in zip(kind.files, files):
        part = parts[name]
        old = any(key.endswith(".weight_g") for key in part.original.values())
        records.append(
            {
                "part": name,
                "name": file.path.name,
                "sha256": file.sha256,
                "types": list(file.types),
                "style": part.style,
                "prefix": part.outer + part.wrapper,
                "outer": part.outer,
                "weight_norm": "weight_g" if old else "parametrizations",
            }
        )
    return {"converted_from": family, "files": records}


def _original_name(key: str, record: dict[str, Any], kind: Family) -> str:
    if record.get("weight_norm") == "weight_g":
        key = key.replace("parametrizations.weight.original0", "weight_g")
        key = key.replace("parametrizations.weight.original1", "weight_v")
    return record.get("outer" if key.startswith(kind.beside) else "prefix", "") + key


def _ignored(converted: Converted) -> list[tuple[str, str, np.ndarray]]:
    return [(*key.split("/", 1), array) for key, array in converted.ignored.items()]


def _notes(files: Sequence[Source], config: ClassifierConfig | AudioTextConfig) -> list[str]:
    """What holds for every family; a family's own notes are its plan's."""
    notes = []
    dead = zoo.family(config.family).dead(config) if isinstance(config, ClassifierConfig) else 0
    if dead:
        notes.append(f"{dead:,} more parameters that nothing reads (they count in published totals) were set aside")
    for file in files:
        low = [name for name in file.types if name in ("float16", "bfloat16", "float64")]
        if low:
            notes.append(
                f"{file.path.name} has {', '.join(low)} tensors; they became float32 (--reverse writes float32)"
            )
    return notes
