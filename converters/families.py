"""What each `--family` takes: its files, what keys and shapes tell of them, and its weight map."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from converters import amaut, conmix, hubert, spectrogram
from converters.mapping import Leaf, canonical
from dhauds_jax.nets import conmix_zoo, hubert_zoo, spectrogram_zoo
from dhauds_jax.nets.amaut_zoo import GEOMETRY as AMAUT_GEOMETRY
from dhauds_jax.nets.config import ClassifierConfig

Arrays = Mapping[str, np.ndarray]


class Part(NamedTuple):
    """One source file, its keys in the one style that the maps use.

    Attributes:
      state: canonical names without prefixes -> arrays.
      style: key style of a HuBERT ("torchaudio", ...), a spectrogram transformer ("original", ...) or a CoNMix ("npz",
        "torch"), else "".
      original: canonical name -> name in the file.
      wrapper: prefix under which a larger model keeps the encoder, "" for none.
    """

    state: dict[str, np.ndarray]
    style: str
    original: dict[str, str]
    wrapper: str = ""


class Family(NamedTuple):
    """One choice of `--family`.

    Attributes:
      net: the family of the network in the zoo.
      files: what the sources are, in order ("encoder", "head").
      holds: what `describe` says of each of them.
      geometry: keys of the network's geometry.
      infer: encoder's Part -> the geometry that its shapes show.
      leaves: (config, key style) -> the weight map of encoder and, where it has a file, head.
      ignore: (config, key style) -> patterns of keys that are set aside.
      fresh: config -> tensors that PyTorch's modules have and our tree has not, under `encoder/...`, `head/...`.
      ours: leaves of our tree that no file holds, by the beginnings of their paths ("params/head").
    """

    net: str
    files: tuple[str, ...]
    holds: tuple[str, ...]
    geometry: tuple[str, ...]
    infer: Callable[[Part], dict[str, Any]]
    leaves: Callable[[ClassifierConfig, str], list[Leaf]]
    ignore: Callable[[ClassifierConfig, str], tuple[str, ...]]
    fresh: Callable[[ClassifierConfig], dict[str, np.ndarray]]
    ours: tuple[str, ...] = ()


def part_of(state: Arrays) -> Part:
    """A state dict with DataParallel and wrapper prefixes off and one style of weight-norm names."""
    bare, wrapper = conmix.unwrapped(canonical(state))
    if not wrapper:
        bare, wrapper = hubert.unwrapped(state)
    original = {}
    for key in state:
        name = next(iter(canonical({key: state[key]})))
        original[name.removeprefix(wrapper) if wrapper else name] = key
    style = hubert.style_of(bare) or spectrogram.style_of(bare) or conmix.style_of(bare)
    return Part(bare, style or "", original, wrapper)


_WEIGHT_NORM = tuple(f"parametrizations.weight.original{i}" for i in (0, 1))


def describe(state: Arrays) -> str:
    """What a file holds, by its keys, e.g. "HuBERT encoder", a part of CoNMix, "head" or "unknown network"."""
    if hubert.style_of(state):
        return "HuBERT encoder"
    if conmix.style_of(state):
        return "CoNMix encoder" if conmix.style_of(state) == "torch" else "ImageNet-21k hybrid"
    if "bottleneck.weight" in state and "bn.weight" in state:
        return "CoNMix bottleneck"
    if set(state) == {f"fc.{name}" for name in (*_WEIGHT_NORM, "bias")}:
        return "CoNMix classifier"
    if "cls_token" in state and "embedding.restnet.root.0.weight" in state:
        return "AMAuT encoder"
    if spectrogram.style_of(state):
        return "spectrogram transformer"
    if head_kind(state):
        return "head"
    return "unknown network"


def head_kind(state: Arrays) -> str | None:
    """The kind of head that a state dict holds (a key of `config.HEADS`), None if it is none."""
    if "fc3.parametrizations.weight.original1" in state and "bn2.weight" in state:
        return "audio_classifier"
    if "root.0.weight" in state and "norm1.weight" in state and "fc2.weight" in state:
        return "hub_classifier"
    if "merge.weight" in state and "fc.weight" in state:
        return "fce"
    return None


def inferred_head(state: Arrays) -> tuple[dict[str, Any], int]:
    """The head that a state dict (canonical names) holds and its number of classes.

    Raises:
      ValueError: the keys are those of no known head.
    """
    kind = head_kind(state)
    if kind == "audio_classifier":
        last = state["fc3.parametrizations.weight.original1"]
        return {"kind": kind, "hidden": state["fc1.weight"].shape[0], "features": last.shape[1]}, last.shape[0]
    if kind == "hub_classifier":
        return {"kind": kind, "stages": _hub_stages(state)}, state["fc2.weight"].shape[0]
    if kind == "fce":
        return {"kind": kind}, state["fc.weight"].shape[0]
    raise ValueError(
        f"head: its keys {sorted(state)[:6]} are of no known head, expected one of the PyTorch benchmark's"
    )


def head_of(parts: Mapping[str, Part]) -> tuple[dict[str, Any], int] | None:
    """The head that a conversion's files hold and its number of classes; None where they hold none."""
    if "classifier" in parts:
        return conmix.inferred_head(parts["bottleneck"].state, parts["classifier"].state)
    return inferred_head(parts["head"].state) if "head" in parts else None


def _hub_stages(state: Arrays) -> list[int]:
    """Blocks after the first of each stage: a stage begins and ends with a block that has a shortcut convolution."""
    stages, start, block = [], None, 0
    while f"layers.{block}.conv1.weight" in state:
        if f"layers.{block}.downsample.weight" in state:
            if start is None:
                start = block
            else:
                stages.append(block - start)
                start = None
        block += 1
    return stages


def _amaut_geometry(part: Part) -> dict[str, Any]:
    state = part.state
    stages: list[int] = []
    block = 0
    while f"embedding.restnet.layers.{block}.conv1.weight" in state:
        if f"embedding.restnet.layers.{block}.downsample.weight" in state or not stages:
            stages.append(0)
        else:
            stages[-1] += 1
        block += 1
    depth = 0
    while f"layers.{depth}.ffn.fc1.weight" in state:
        depth += 1
    found: dict[str, Any] = {
        "width": state["embedding.restnet.root.0.weight"].shape[0],
        "stages": stages,
        "embed": state["cls_token"].shape[-1],
        "depth": depth,
    }
    return {**found, "mlp": state["layers.0.ffn.fc1.weight"].shape[0]} if depth else found


def _counters(config: ClassifierConfig) -> dict[str, np.ndarray]:
    leaves = hubert.leaves(config, "torchaudio", head=True)
    keys = [key for each in leaves for key in each.keys if key.endswith("running_mean")]
    return {f"{key.removesuffix('running_mean')}num_batches_tracked": np.zeros((), np.int64) for key in keys}


def _hubert(files: tuple[str, ...]) -> Family:
    head = "head" in files
    return Family(
        "hubert",
        files,
        ("HuBERT encoder", "head")[: len(files)],
        hubert_zoo.GEOMETRY,
        lambda part: hubert.inferred_geometry(part.state, part.style),
        lambda config, style: hubert.leaves(config, style or "torchaudio", head),
        lambda config, style: hubert.ignore(style or "torchaudio"),
        _counters if head else lambda config: {},
        () if head else _HEAD,
    )


_HEAD = ("params/head", "batch_stats/head")


def _conmix(files: tuple[str, ...], holds: tuple[str, ...], style: str, ours: tuple[str, ...]) -> Family:
    return Family(
        "conmix",
        files,
        holds,
        conmix_zoo.GEOMETRY,
        lambda part: conmix.inferred_geometry(part.state, part.style),
        lambda config, _: conmix.leaves(config, style),
        lambda config, _: conmix.ignore(style),
        conmix.fresh if style == "torch" else lambda config: {},
        ("batch_stats/encoder/input_norm", *ours),
    )


def _spectrogram() -> Family:
    return Family(
        "spectrogram_transformer",
        ("encoder",),
        ("spectrogram transformer",),
        spectrogram_zoo.GEOMETRY,
        lambda part: spectrogram.inferred_geometry(part.state, part.style),
        lambda config, style: spectrogram.leaves(config, style or "original", pretraining=False),
        lambda config, style: tuple(f"encoder/{pattern}" for pattern in spectrogram.IGNORE),
        spectrogram.fresh_ignored,
    )


FAMILIES: dict[str, Family] = {
    "hubert": _hubert(("encoder",)),
    "hubert_classifier": _hubert(("encoder", "head")),
    "amaut": Family(
        "amaut",
        ("encoder", "head"),
        ("AMAuT encoder", "head"),
        AMAUT_GEOMETRY,
        _amaut_geometry,
        lambda config, style: amaut.leaves(config),
        lambda config, style: amaut.ignore(config),
        amaut.fresh_ignored,
    ),
    "ast": _spectrogram(),
    "ssast": _spectrogram(),
    "conmix": _conmix(("encoder",), ("ImageNet-21k hybrid",), "npz", ("params/encoder/expand", *_HEAD)),
    "conmix_classifier": _conmix(
        ("encoder", "bottleneck", "classifier"),
        ("CoNMix encoder", "CoNMix bottleneck", "CoNMix classifier"),
        "torch",
        (),
    ),
}
"""The choices of `--family`."""
