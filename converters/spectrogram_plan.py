"""How a file of AST or SSAST becomes the classifier that was asked for: two configs and the way between them.

The first describes the file as it is (its patches, its classes), the second is wanted (`--preset`, `--config`).
`nets.spectrogram_transfer.for_clips` leads from one to the other: any clip length, any classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax

from converters import huggingface, presets, spectrogram
from converters.families import Content, Family, Part, Planned, Request
from converters.mapping import Converted, to_flax
from converters.read import Source
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import ssast_pretrain, zoo
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.nets.spectrogram_transfer import for_clips, keeps_head
from dhauds_jax.nets.spectrogram_zoo import GEOMETRY, KINDS, OPTIONAL, STATISTICS, config_grid, fbank, head

EPSILONS = {"original": (1e-6, 1e-5)}
"""Layer norms' epsilon by key style, in the encoder and in the head; Hugging Face's folders state theirs."""
HUGGING_FACE_EPSILON = 1e-12


class Plan(NamedTuple):
    """The configs of a conversion: the file's and the wanted one, and what a user should know of the file's own."""

    source: ClassifierConfig
    target: ClassifierConfig
    notes: tuple[str, ...] = ()


def plan(name: str, kind: Family, file: Source, part: Part, preset: str | None, given: Mapping[str, Any]) -> Plan:
    """The two configs of a conversion.

    Args:
      name: of the family, "ast" or "ssast".
      kind: its record.
      file: the source.
      part: of the source.
      preset: name of the network wanted, or None.
      given: the record of --config, or {}.

    Raises:
      BadInput: a file of the other family, sizes that disagree, values that nothing gives, patches that do not fill
        the position table, or the file's own classes in another order.
    """
    state, style = part.state, part.style
    pretraining = spectrogram.has_predictors(state)
    if name == "ast" and pretraining:
        raise BadInput(f"{file.path}: is a self-supervised checkpoint, expected a classifier; use --family=ssast")
    if name == "ssast" and style != "original":
        raise BadInput(f"{file.path}: has Hugging Face's names, expected SSAST's own; use --family=ast")
    geometry, top = stated(name, file, style)
    inferred = {**kind.infer(part), "epsilon": geometry["epsilon"]}
    geometry = {**_default_stride(inferred), **geometry}
    if preset is None and "preset" not in given and "heads" not in {**geometry, **given.get("geometry", {})}:
        geometry["heads"] = max(1, inferred["width"] // 64)  # as in every published size
    explicit = "classes" in given
    if not explicit and "classes" in top and presets.lacks_classes(preset or given.get("preset")):
        given = {**given, "classes": top["classes"]}
    said: list[str] = []
    if style != "original":
        given, said = _with_statistics(file, presets.preset_record(kind, preset, given), given, top)
    target = presets.resolve(kind, inferred, None, preset, given, geometry, top)
    epsilon = top["head"]["epsilon"]
    chosen = {**target.head, "prefix": inferred["prefix"], **({"epsilon": epsilon} if "head" not in given else {})}
    target = target.replace(head=chosen)
    outputs = spectrogram.classes_of(state, style)
    labels, counts = huggingface.labels_of(file.record or {})
    names = _class_names(outputs, labels, target.classes, counts)
    target = _with_the_files_order(target, names, explicit)
    source = _file_config(target, file, part, geometry, pretraining).replace(classes=names)
    if name == "ast":
        source = source.replace(head={**source.head, "pool": "cls"})
    return Plan(source, target, tuple([*said, *huggingface.notes_of(file.record or {})]))


def stated(name: str, file: Source, style: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the key style and a Hugging Face folder say: geometry, and top-level values of the config."""
    record, extra = file.record or {}, file.preprocessor or {}
    if style == "original":
        encoder, last = EPSILONS[style]
        top: dict[str, Any] = {"head": head("average" if name == "ssast" else "cls", epsilon=last)}
        if name == "ast":  # the original files are AudioSet's
            top["front_end"] = fbank(1024, "audioset")
            top["sample_rate"] = 16000
        return {"epsilon": encoder}, top
    geometry = {"epsilon": HUGGING_FACE_EPSILON, **huggingface.geometry_of(huggingface.AST, record, file.path)}
    top = {"head": head("cls", epsilon=geometry["epsilon"])}
    labels, _ = huggingface.labels_of(record)
    if labels is not None:
        top["classes"] = labels
    if "mean" in extra and "std" in extra:
        rate = extra.get("sampling_rate", 16000)
        front_end = fbank(extra.get("max_length", 1024), "audioset", rate, extra.get("num_mel_bins", 128))
        mean, std = (extra["mean"], extra["std"]) if extra.get("do_normalize", True) else (0.0, 0.5)
        top |= {"front_end": {**front_end, "mean": mean, "std": std}, "sample_rate": rate}
    return geometry, top


def _with_statistics(
    file: Source, base: Mapping[str, Any], given: Mapping[str, Any], top: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """--config with the file's own mean and deviation in place of a preset's, and what to say of it.

    Raises:
      BadInput: the file is for another rate.
    """
    own = top.get("front_end") if file.record is not None and "mean" in (file.preprocessor or {}) else None
    if own is None:
        return dict(given), []
    rate = given.get("sample_rate", base.get("sample_rate", top["sample_rate"]))
    if rate != top["sample_rate"]:
        raise BadInput(
            f"{file.path.name}: preprocessor_config.json has sampling_rate {top['sample_rate']}, the preset or "
            f"--config {rate}; expected one rate (Hz)"
        )
    held = given.get("front_end", base.get("front_end", own))
    numbers = [f"mean {each.get('mean')}, std {each.get('std')}" for each in (own, held)]
    if numbers[0] == numbers[1]:
        return dict(given), []
    said = f"{file.path.name}: preprocessor_config.json normalises with {numbers[0]}"
    if "front_end" in given:
        return dict(given), [f"{said}, but --config's {numbers[1]} was kept"]
    front_end = {**held, "mean": own["mean"], "std": own["std"]}
    return {**given, "front_end": front_end}, [f"{said}, which was taken in place of the preset's {numbers[1]}"]


def _default_stride(inferred: Mapping[str, Any]) -> dict[str, Any]:
    """The published stride of fine-tuning for a patch, {} where there is none."""
    for kind in KINDS.values():
        if list(kind["patch"]) == list(inferred["patch"]):
            return {"stride": list(kind["stride"])}
    return {}


def _class_names(outputs: int | None, own: list[str] | None, wanted: tuple[str, ...], counts: bool) -> tuple[str, ...]:
    """Names of the file's outputs: its own, or the wanted ones where it only counts and the number agrees, or numbers.

    `counts`: its own are LABEL_0, LABEL_1, ...
    """
    if outputs is None or (counts and outputs == len(wanted)):
        return wanted
    if own is not None and len(own) == outputs:
        return tuple(own)
    return tuple(f"output {i}" for i in range(outputs))


def _with_the_files_order(target: ClassifierConfig, names: tuple[str, ...], explicit: bool) -> ClassifierConfig:
    """The file's order where a preset has the same classes in another one; --config must have the file's."""
    if target.classes == names or sorted(target.classes) != sorted(names):
        return target
    if explicit:
        raise BadInput(
            f"--config: classes are the file's in another order ({', '.join(target.classes[:4])}, ...), expected "
            f"{', '.join(names[:4])}, ... or other names (the head then starts afresh)"
        )
    return target.replace(classes=names)


def _file_config(
    target: ClassifierConfig, file: Source, part: Part, geometry: Mapping[str, Any], pretraining: bool
) -> ClassifierConfig:
    """The config of the file as it is: the strides, mels and frames that its position table was made for.

    Raises:
      BadInput: they do not give as many patches as the table has.
    """
    state, style = part.state, part.style
    patch, prefix = target.geometry["patch"], target.geometry["prefix"]
    patches = spectrogram.patches_of(state, style, prefix)
    mels, frames, stride = target.front_end["n_mels"], None, target.geometry["stride"]
    if pretraining:
        stride = patch
        mels = int(state.get("p_input_fdim", mels))
        frames = int(state["p_input_tdim"]) if "p_input_tdim" in state else None
    elif file.record and "max_length" in file.record:
        stride = geometry["stride"]
        mels, frames = file.record.get("num_mel_bins", mels), file.record["max_length"]
    if frames is None:
        rows = (mels - patch[0]) // stride[0] + 1
        frames = (max(1, patches // max(1, rows)) - 1) * stride[1] + patch[1]
    front_end = {**target.front_end, "n_mels": mels, "frames": frames}
    config = target.replace(geometry={**target.geometry, "stride": stride}, front_end=front_end)
    rows, columns = config_grid(config)
    if rows * columns != patches:
        raise BadInput(
            f"{file.path}: its position table has {patches} patches, but {mels} mels and {frames} frames give {rows} x "
            f"{columns} at a stride of {stride[0]} x {stride[1]}; expected the file's own stride and n_mels in --config"
        )
    return config


def carry_out(made: Plan, part: Part, where: str, seed: int, profile: str) -> tuple[Converted, dict[str, Any]]:
    """The wanted classifier's variables, and extra arrays for its checkpoint.

    Raises:
      BadInput: the full list of keys that are left over, missing or of another shape; an unknown profile.
    """
    pretraining = spectrogram.has_predictors(part.state)
    with_head = spectrogram.classes_of(part.state, part.style) is not None
    shapes = zoo.shapes(zoo.build(made.source))
    expected: dict[str, Any] = {"params": {"encoder": shapes["params"]["encoder"]}}
    wanted = spectrogram.encoder_leaves(made.source.geometry, part.style)
    if with_head:
        expected["params"]["head"] = shapes["params"]["head"]
        wanted += spectrogram.head_leaves(part.style)
    if pretraining:
        net = ssast_pretrain.build(made.source)
        drawn = jax.eval_shape(lambda: ssast_pretrain.init(net, made.source, jax.random.key(0)))
        expected["pretraining"] = {name: drawn["params"][name] for name in ssast_pretrain.EXTRA}
        wanted += spectrogram.pretraining_leaves()
    ignore = spectrogram.IGNORE if part.style == "original" else ()
    found = to_flax(part.state, wanted, ignore, expected, where)
    variables = for_clips(found.variables, made.source, made.target, jax.random.key(seed), profile)
    ignored = {f"encoder/{key}": array for key, array in found.ignored.items()}
    stays = pretraining and made.target.geometry["stride"] == made.target.geometry["patch"]
    extra = {"pretraining": found.variables["pretraining"]} if stays else {}
    used = found.used if stays or not pretraining else tuple(key for key in found.used if not _of_pretraining(key))
    return Converted(variables, used, ignored), extra


def _of_pretraining(key: str) -> bool:
    return key == "mask_embed" or key.startswith(tuple(spectrogram.PREDICTORS.values()))


def notes(made: Plan, part: Part, seed: int) -> list[str]:
    """What a user should know of the conversion."""
    found = list(made.notes)
    had, has = config_grid(made.source), config_grid(made.target)
    if had != has:
        found.append(f"positions of {had[0]} x {had[1]} patches were cut or interpolated to {has[0]} x {has[1]}")
    outputs = spectrogram.classes_of(part.state, part.style)
    head = {"params": {} if outputs is None else {"head": None}}
    if outputs is None:
        found.append(f"the source has no classification head: random weights, seed {seed}; train before use")
    elif not keeps_head(head, made.source, made.target):
        found.append(
            f"the source's head is another (its {outputs} classes, its pooling): random weights for the "
            f"{len(made.target.classes)} classes wanted, seed {seed}; train before use"
        )
    if spectrogram.has_predictors(part.state) and made.target.geometry["stride"] != made.target.geometry["patch"]:
        found.append("the mask's embedding and the two predictors of pretraining were left out")
    statistics = {key: made.target.front_end.get(key) for key in ("mean", "std")}
    if tuple(statistics.values()) not in STATISTICS.values():
        found.append(f"filter banks are normalised with mean {statistics['mean']}, std {statistics['std']}")
    return found


def _planned(request: Request) -> Planned:
    file, part = request.files[0], request.parts["encoder"]
    made = plan(request.family, request.kind, file, part, request.preset, request.given)
    converted, extra = carry_out(made, part, file.path.name, request.seed, request.profile)
    return Planned(made.target, converted, extra, notes(made, part, request.seed))


FAMILY = Family(
    net="spectrogram_transformer",
    files=("encoder",),
    holds=(Content("spectrogram transformer", spectrogram.style_of),),
    geometry=GEOMETRY,
    infer=lambda part: spectrogram.inferred_geometry(part.state, part.style),
    leaves=lambda config, style, held: spectrogram.leaves(config, style or "original", pretraining=bool(held)),
    ignore=lambda config, style: tuple(f"encoder/{pattern}" for pattern in spectrogram.IGNORE),
    fresh=lambda config, held: spectrogram.fresh_ignored(config, pretraining=bool(held)),
    plan=_planned,
    extra=("pretraining",),
    optional=OPTIONAL,
)
