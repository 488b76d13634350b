"""VGGish's weight maps: torchvggish's file, Google's variables as an .npz, and the dog-sound classifier around it.

`vggish` takes the encoder (vggish-10086976.pth, or an .npz of Google's names) and, after it, the principal components
of its embeddings where there are any (vggish_pca_params-970ea276.pth or .npz), which become `extra["pca"]` of the
checkpoint. `tomofun` takes one of team ADEE's Best{k}.ckpt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from converters import by_map
from converters.conmix import CONV2D
from converters.families import SETTINGS, Content, Family, Part, Planned, Request
from converters.mapping import LINEAR, Leaf, Path, StateDict, Transform, dense, leaf, prefixed
from dhauds_jax import calibration, class_names
from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.nets.vggish_zoo import GEOMETRY, HEAD, LENGTH, SAMPLE_RATE, front_end
from dhauds_jax.types import Calibration

PCA = {"eigen_vectors": "pca_eigen_vectors", "means": "pca_means"}
"""The principal components, by our names and the files'."""

WRAPPER = "feature_extractor."
"""Where the dog-sound classifier keeps its encoder."""

STATED = {"front_end": front_end(), "sample_rate": SAMPLE_RATE, "length": LENGTH}
"""What holds for every file, where neither preset nor --config says something else."""

_QKV = Transform(
    lambda arrays: [part.T for part in np.split(arrays[0], 3)],
    lambda arrays: [np.concatenate([array.T for array in arrays])],
)
_THREE = Transform(lambda arrays: np.split(arrays[0], 3), lambda arrays: [np.concatenate(arrays)])


def _layers(geometry: Mapping[str, Any], style: str) -> dict[str, str]:
    """Our layer -> the file's, in order."""
    found, number, place = {}, 0, 0
    for stage, convs in enumerate(geometry["convs"], 1):
        for i in range(convs):
            number += 1
            google = f"vggish/conv{stage}" + (f"/conv{stage}_{i + 1}" if convs > 1 else "")
            found[f"conv{number}"] = google if style == "npz" else f"features.{place}"
            place += 2  # a ReLU follows
        place += 1  # a pool follows
    last = len(geometry["dense"])
    for i in range(1, last + 1):
        google = "vggish/fc2" if i == last else f"vggish/fc1/fc1_{i}"
        found[f"dense{i}"] = google if style == "npz" else f"embeddings.{2 * (i - 1)}"
    return found


def encoder_leaves(geometry: Mapping[str, Any], style: str) -> list[Leaf]:
    """The leaves of the encoder; Google's kernels are laid out as ours.

    Raises:
      BadInput: a network with BatchNorms, which no published file has.
    """
    if geometry["batch_norm"]:
        raise BadInput("conversion: the network has BatchNorms, expected one without: the published files have none")
    leaves = []
    for ours, theirs in _layers(geometry, style).items():
        kernel, bias = f"params/encoder/{ours}/kernel", f"params/encoder/{ours}/bias"
        if style == "npz":
            leaves += [leaf(kernel, f"{theirs}/weights"), leaf(bias, f"{theirs}/biases")]
        else:
            leaves.append(leaf(kernel, f"{theirs}.weight", CONV2D if ours.startswith("conv") else LINEAR))
            leaves.append(leaf(bias, f"{theirs}.bias"))
    return leaves


def head_leaves() -> list[Leaf]:
    """The leaves of attention pooling, whose three projections are one matrix in the file."""
    leaves = dense("head/attention/o", "attnpooling.out_proj") + dense("head/classifier", "classifier")
    for name, theirs, transform in (("kernel", "weight", _QKV), ("bias", "bias", _THREE)):
        paths = tuple(("params", "head", "attention", part, name) for part in "qkv")
        leaves.append(Leaf(paths, (f"attnpooling.in_proj_{theirs}",), transform))
    return leaves


def style_of(state: StateDict) -> str | None:
    """ "torch" for torchvggish's names, "npz" for Google's, None for anything else."""
    if {"features.0.weight", "embeddings.0.weight"} <= set(state):
        return "torch"
    return "npz" if {"vggish/conv1/weights", "vggish/fc2/weights"} <= set(state) else None


def inferred_geometry(state: StateDict, style: str) -> dict[str, Any]:
    """What names and shapes show: channels and convolutions of the stages, and the linear layers.

    Raises:
      BadInput: convolutions of other channels in one stage, or linear layers that are missing.
    """
    stages: list[list[int]] = []
    if style == "npz":
        while found := sorted(key for key in state if key.startswith(f"vggish/conv{len(stages) + 1}/")):
            stages.append([state[key].shape[-1] for key in found if key.endswith("/weights")])
        names = [key for key in sorted(state) if key.startswith("vggish/fc1/") and key.endswith("/weights")]
        linear = [state[key].shape[1] for key in [*names, "vggish/fc2/weights"]]
    else:
        before = -3
        for place in sorted(int(key.split(".")[1]) for key in state if _is_weight(key, "features")):
            if place - before > 2:
                stages.append([])
            stages[-1].append(state[f"features.{place}.weight"].shape[0])
            before = place
        places = sorted(int(key.split(".")[1]) for key in state if _is_weight(key, "embeddings"))
        linear = [state[f"embeddings.{place}.weight"].shape[0] for place in places]
    if any(len(set(stage)) != 1 for stage in stages):
        raise BadInput(f"VGGish: its stages have {stages} channels, expected one width a stage")
    widths, convs = [stage[0] for stage in stages], [len(stage) for stage in stages]
    return {"widths": widths, "convs": convs, "dense": linear, "batch_norm": False}


def _is_weight(key: str, part: str) -> bool:
    return key.startswith(f"{part}.") and key.endswith(".weight") and key.count(".") == 2


def _plan(request: Request) -> Planned:
    """Google's embeddings are those before the last ReLU, torchvggish's those after it, if --config says nothing."""
    part = request.parts["encoder"]
    geometry = {"final_relu": part.style == "torch", **request.given.get("geometry", {})}
    pca = request.parts.get("pca")
    alone = request._replace(given={**request.given, "geometry": geometry}, parts={"encoder": part})
    planned = by_map.plan(alone, stated={**STATED, "head": HEAD})
    if pca is None:
        return planned
    width, found = planned.config.geometry["dense"][-1], {}
    for ours, theirs in PCA.items():
        found[ours] = np.array(pca.state[theirs], np.float32)
    if found["eigen_vectors"].shape != (width, width) or found["means"].size != width or len(pca.state) != 2:
        shapes = {name: np.shape(array) for name, array in pca.state.items()}
        raise BadInput(f"principal components: {shapes}, expected ({width}, {width}) and {width} means alone")
    used = (*planned.converted.used, *(f"pca/{theirs}" for theirs in PCA.values()))
    return planned._replace(converted=planned.converted._replace(used=used), extra={"pca": found})


def _fresh_head(config: ClassifierConfig, seed: int) -> dict[Path, np.ndarray]:
    return by_map.drawn_head(config, 1, config.geometry["dense"][-1], seed)


def _leaves(config: ClassifierConfig, style: str, held: tuple[str, ...]) -> list[Leaf]:
    pca = [leaf(f"pca/{ours}", f"pca/{theirs}") for ours, theirs in PCA.items()] if held else []
    return [*prefixed(encoder_leaves(config.geometry, style or "torch"), "encoder/"), *pca]


def _dog_sounds(state: StateDict) -> str | None:
    keys = {f"{WRAPPER}features.0.weight", "attnpooling.in_proj_weight", "classifier.weight"}
    return "" if keys <= set(state) else None


def _dog_sound_geometry(part: Part) -> dict[str, Any]:
    bare = {key.removeprefix(WRAPPER): array for key, array in part.state.items() if key.startswith(WRAPPER)}
    return {**inferred_geometry(bare, "torch"), "final_relu": True}


def _dog_sound_plan(request: Request) -> Planned:
    """In profile "reference" no token is masked, as in the published code; its temperature is no part of the file.

    The fifteen sub-classes are reported as the challenge's ten classes.
    """
    mask = {"reference": "none", "corrected": "trailing_zeros"}[request.profile]
    head = {**HEAD, "mask": mask, **request.given.get("head", {})}
    stated = {**STATED, "classes": class_names.TOMOFUN}
    planned = by_map.plan(request._replace(given={**request.given, "head": head}), stated=stated)
    if planned.config.classes == class_names.TOMOFUN:
        planned = planned._replace(config=planned.config.replace(groups=dict(class_names.TOMOFUN_GROUPS)))
    temperature = request.given.get("temperature")
    if temperature is None:
        return planned
    check_number("--config: temperature", temperature, 0.0, above=True)
    made = Calibration(float(temperature), "config", "max_probability")
    return planned._replace(extra={"calibration": calibration.to_extra(made)})


def _dog_sound_leaves(config: ClassifierConfig, style: str, held: tuple[str, ...]) -> list[Leaf]:
    if config.head["kind"] != HEAD["kind"]:
        raise BadInput(f"conversion: the head is of kind {config.head['kind']!r}, expected {HEAD['kind']!r}")
    encoder = prefixed(encoder_leaves(config.geometry, "torch"), WRAPPER)
    return prefixed([*encoder, *head_leaves()], "encoder/")


def _fresh_pca(config: ClassifierConfig, held: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The components that the classifier's module holds and never uses: those that change nothing."""
    width = config.geometry["dense"][-1]
    made = {"pca_eigen_vectors": np.eye(width, dtype=np.float32), "pca_means": np.zeros((width, 1), np.float32)}
    return {f"encoder/{WRAPPER}pproc.{name}": array for name, array in made.items()}


_UNUSED = rf"encoder/({WRAPPER})?pproc\.pca_(eigen_vectors|means)"

ENCODER = Family(
    net="vggish",
    files=("encoder", "pca"),
    least=1,
    holds=(
        Content("VGGish", style_of),
        Content("principal components", lambda state: "" if set(PCA.values()) <= set(state) else None),
    ),
    geometry=GEOMETRY,
    infer=lambda part: inferred_geometry(part.state, part.style),
    leaves=_leaves,
    ignore=lambda config, style: (_UNUSED,),
    fresh=lambda config, held: {},
    plan=_plan,
    fresh_leaves=_fresh_head,
    extra=("pca",),
)

DOG_SOUNDS = Family(
    net="vggish",
    files=("encoder",),
    holds=(Content("dog-sound classifier", _dog_sounds),),
    geometry=GEOMETRY,
    infer=_dog_sound_geometry,
    leaves=_dog_sound_leaves,
    ignore=lambda config, style: (_UNUSED,),
    fresh=_fresh_pca,
    plan=_dog_sound_plan,
    head=lambda parts: ({"kind": HEAD["kind"]}, len(parts["encoder"].state["classifier.weight"])),
    settings=(*SETTINGS, "temperature"),
)
