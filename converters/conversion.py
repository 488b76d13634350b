"""PyTorch checkpoint to Orbax checkpoint and back: the two library functions behind `converters.convert`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from converters import hubert, presets, report, spectrogram, spectrogram_plan
from converters.families import FAMILIES, Family, Part, describe, head_of, part_of
from converters.mapping import Converted, flatten, split, to_flax, to_torch, unflatten
from converters.read import EXTRA_HINT, Source, read
from converters.verify import largest_differences
from dhauds_jax.files import write_atomically
from dhauds_jax.nets import checkpoint, mel_image, zoo
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.nets.heads import build_head
from dhauds_jax.nets.hubert import frames_of
from dhauds_jax.nets.layers import Dense
from dhauds_jax.nets.normalisers import EVAL

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
) -> report.Report:
    """Turns PyTorch files into a checkpoint folder with `config.json`, `report.json` and `report.md`.

    Args:
      family: a key of `families.FAMILIES`.
      sources: one path, or several (encoder, head), as the family has it.
      output: folder of the checkpoint; one that is there is replaced, but only once all is converted.
      config: JSON file with what the files do not show (see `presets.read_config`).
      preset: name of the network to take such things from.
      verify: run the PyTorch side on noise too and report the largest difference by layer.
      profile: "reference" or "corrected", how SSAST's positions are cut (`nets.spectrogram_transfer.CUTS`).

    Raises:
      ValueError: anything that the user can mend, in one sentence; nothing is written then.
    """
    kind = _family(family, len(sources), "--source")
    files = [read(path) for path in sources]
    parts = {name: part_of(file.state) for name, file in zip(kind.files, files)}
    _check_contents(family, kind, files, parts)
    given = {} if config is None else presets.read_config(config)
    source = _source_record(family, kind, files, parts)
    if kind.net == "spectrogram_transformer":
        resolved, converted, more, notes = _whole_network(family, kind, files[0], parts, preset, given, profile)
        resolved = resolved.replace(source=source)
    else:
        head = head_of(parts)
        elsewhere = hubert.huggingface_geometry(files[0].record or {})
        resolved = presets.resolve(kind, kind.infer(parts["encoder"]), head, preset, given, elsewhere)
        resolved = resolved.replace(source=source)
        converted, more, notes = _to_variables(kind, resolved, files, parts), {}, []
    for held in (*(file.state for file in files), *(part.state for part in parts.values())):
        held.clear()  # saving then needs the room of one copy of the weights, not two
    verified = largest_differences(family, converted.variables, resolved) if verify else {}
    aside = {f"{part}/{parts[part].original[key]}": array for part, key, array in _ignored(converted)}
    extra = {"conversion": {"ignored": {name: array for name, array in aside.items()}}, **more}
    folder = checkpoint.save(output, converted.variables, resolved, extra)
    made = report.Report(
        family=family,
        output=str(output),
        files=resolved.source["files"],
        used=len(converted.used),
        ignored=sorted(aside),
        parameters=zoo.parameter_count(converted.variables),
        checksum=checkpoint.variables_hash(converted.variables),
        notes=[*_notes(kind, files, resolved), *notes],
        verified=verified,
    )
    report.write(made, folder)
    return made


def reverse(family: str, source: str | Path, output: str | Path) -> list[Path]:
    """Turns a checkpoint folder into safetensors files under the names that its PyTorch files had.

    Args:
      family: as at the conversion; "hubert" writes the encoder alone, "ast" and "ssast" a file with the head, or, for
        pretraining's checkpoints, with the mask's embedding and the predictors.
      source: folder of the checkpoint (converted, trained or adapted).
      output: folder for the files, made with its parents.

    Returns:
      The files, one per part.

    Raises:
      ValueError: a checkpoint of another family, or safetensors is not installed.
    """
    try:
        from safetensors.numpy import save
    except ImportError:
        raise ValueError(f"--reverse: needs safetensors, which is not installed: {EXTRA_HINT}") from None
    kind = _family(family, None, "--source")
    variables, config, extra = checkpoint.load(source)
    if config.family != kind.net:
        raise ValueError(f"--family: {family}, but the checkpoint {source} is of family {config.family!r}")
    origin = {file["part"]: file for file in config.source.get("files", [])}
    style = origin.get("encoder", {}).get("style", "")
    kept = extra.get("conversion", {}).get("ignored", {})
    fresh = {} if kept else kind.fresh(config)
    if "pretraining" not in extra:  # a classifier whose patches lie side by side
        fresh = {name: array for name, array in fresh.items() if not name.startswith("encoder/p_input_")}
    if "pretraining" in extra and kind.net == "spectrogram_transformer":
        variables = {**variables, "pretraining": extra["pretraining"]}
        leaves = spectrogram.leaves(config, style, pretraining=True)
    else:
        leaves = kind.leaves(config, style)
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
    for part in kind.files:
        record = origin.get(part, {})
        tensors = {_original_name(key, record): array for key, array in state[part].items()}
        tensors.update(record.get("kept", {}))
        path = output / f"{Path(record.get('name', part)).stem}.safetensors"
        write_atomically(path, save({key: np.ascontiguousarray(a).reshape(a.shape) for key, a in tensors.items()}))
        written.append(path)
    return written


def _family(name: str, sources: int | None, flag: str) -> Family:
    if name not in FAMILIES:
        raise ValueError(f"--family: {name!r} is unknown, expected one of {', '.join(FAMILIES)}")
    expected = FAMILIES[name].files
    if sources is not None and sources != len(expected):
        what = " and ".join(expected)
        raise ValueError(f"{flag}: {sources} paths, but family {name} takes {len(expected)} ({what}), comma between")
    return FAMILIES[name]


def _check_contents(family: str, kind: Family, files: Sequence[Source], parts: dict[str, Part]) -> None:
    for name, file, expected in zip(kind.files, files, kind.holds):
        found = describe(parts[name].state)
        if found != expected:
            keys = ", ".join(sorted(parts[name].state)[:4])
            raise ValueError(f"{file.path}: holds {found} ({keys}, ...), expected {expected} for family {family}")


def _source_record(family: str, kind: Family, files: Sequence[Source], parts: dict[str, Part]) -> dict[str, Any]:
    """What travels in the config: enough to find the files again and to write their names back."""
    records = []
    for name, file in zip(kind.files, files):
        part = parts[name]
        original = list(part.original.values())
        module = "module." if all(key.startswith("module.") for key in original) else ""
        old = any(key.endswith(".weight_g") for key in original)
        records.append(
            {
                "part": name,
                "name": file.path.name,
                "sha256": file.sha256,
                "types": list(file.types),
                "style": part.style,
                "prefix": module + part.wrapper,
                "weight_norm": "weight_g" if old else "parametrizations",
            }
        )
    return {"converted_from": family, "files": records}


def _original_name(key: str, record: dict[str, Any]) -> str:
    if record.get("weight_norm") == "weight_g":
        key = key.replace("parametrizations.weight.original0", "weight_g")
        key = key.replace("parametrizations.weight.original1", "weight_v")
    return record.get("prefix", "") + key


def _to_variables(kind: Family, config: ClassifierConfig, files: Sequence[Source], parts: dict[str, Part]) -> Converted:
    """Every key used or on the ignore list; what no file has starts from `HEAD_SEED`, or as the config says."""
    merged = {f"{name}/{key}": array for name, part in parts.items() for key, array in part.state.items()}
    style = parts["encoder"].style
    shapes = flatten(zoo.shapes(zoo.build(config)))
    ours = [path for path in shapes if any(f"{'/'.join(path)}/".startswith(f"{each}/") for each in kind.ours)]
    expected = unflatten({path: shape for path, shape in shapes.items() if path not in ours})
    where = ", ".join(file.path.name for file in files)
    converted = to_flax(merged, kind.leaves(config, style), kind.ignore(config, style), expected, where)
    if ours:
        fresh = _fresh(config)
        filled = {**flatten(converted.variables), **{path: fresh[path] for path in ours}}
        converted = converted._replace(variables=unflatten(filled))
    return converted


def _whole_network(
    family: str,
    kind: Family,
    file: Source,
    parts: dict[str, Part],
    preset: str | None,
    given: dict[str, Any],
    profile: str,
) -> tuple[ClassifierConfig, Converted, dict[str, Any], list[str]]:
    """AST and SSAST, whose one file holds encoder and head: config, variables, extra arrays and notes."""
    part = parts["encoder"]
    plan = spectrogram_plan.plan(family, kind, file, part, preset, given)
    converted, extra = spectrogram_plan.carry_out(plan, part, file.path.name, HEAD_SEED, profile)
    return plan.target, converted, extra, spectrogram_plan.notes(plan, part, HEAD_SEED)


def _fresh(config: ClassifierConfig) -> dict[tuple[str, ...], np.ndarray]:
    """Leaves that a file may lack: a random head, for CoNMix its encoder's last layer and the config's statistics."""
    sizes, head = config.geometry, build_head(config.head, len(config.classes))
    key, flat = jax.random.key(HEAD_SEED), {}
    if config.family == "conmix":
        last = Dense(sizes["features"]).init(jax.random.fold_in(key, 1), jnp.zeros((1, sizes["width"])))["params"]
        flat = {("params", "encoder", "expand", name): array for name, array in last.items()}
        for name in ("mean", "deviation"):
            flat["batch_stats", "encoder", mel_image.NAME, name] = np.full((1,), config.front_end[name], np.float32)
        tokens = jnp.zeros((1, 1, sizes["features"]))
    else:
        tokens = jnp.zeros((1, max(2, frames_of(config.length, sizes["convs"])), sizes["width"]))
    variables = jax.jit(lambda key: head.init({"params": key}, tokens, mode=EVAL))(key)
    for kind, tree in variables.items():
        flat |= {(kind, "head", *path): array for path, array in flatten(tree).items()}
    return {path: np.asarray(array) for path, array in flat.items()}


def _ignored(converted: Converted) -> list[tuple[str, str, np.ndarray]]:
    return [(*key.split("/", 1), array) for key, array in converted.ignored.items()]


def _notes(kind: Family, files: Sequence[Source], config: ClassifierConfig) -> list[str]:
    notes = []
    dead = zoo.DEAD_PARAMETERS.get(config.family, lambda _: 0)(config)
    if dead:
        notes.append(f"{dead:,} more parameters that nothing reads (they count in published totals) were set aside")
    for file in files:
        low = [name for name in file.types if name in ("float16", "bfloat16", "float64")]
        if low:
            notes.append(
                f"{file.path.name} has {', '.join(low)} tensors; they became float32 (--reverse writes float32)"
            )
        states = (file.preprocessor or {}).get("do_normalize")
        if states is not None and states != config.front_end.get("normalise"):
            notes.append(
                f"{file.path.name}: preprocessor_config.json has do_normalize={states}, the preset's or --config's "
                f"normalise={config.front_end.get('normalise')} was kept"
            )
    if "params/head" in kind.ours:
        notes.append(f"the source has no classification head: random weights, seed {HEAD_SEED}; train before use")
    if config.front_end["kind"] == mel_image.KIND:
        mean, deviation = (config.front_end[name] for name in ("mean", "deviation"))
        notes.append(
            f"the files hold no statistics of the input: images are normalised with the config's mean {mean} and "
            f"deviation {deviation} dB, or in profile reference with those of the evaluated set"
        )
    return notes
