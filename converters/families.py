"""What each `--family` takes: its files, what keys and shapes tell of them, and its weight map."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from converters import amaut, hubert, spectrogram
from converters.mapping import Leaf, canonical
from dhauds_jax.nets import hubert_zoo, spectrogram_zoo
from dhauds_jax.nets.amaut import GEOMETRY as AMAUT_GEOMETRY
from dhauds_jax.nets.config import ClassifierConfig

Arrays = Mapping[str, np.ndarray]


class Part(NamedTuple):
    """One source file, its keys in the one style that the maps use.

    Attributes:
      state: canonical names without prefixes -> arrays.
      style: key style of a HuBERT ("torchaudio", ...) or a spectrogram transformer ("original", ...), else "".
      original: canonical name -> name in the file.
    """

    state: dict[str, np.ndarray]
    style: str
    original: dict[str, str]


class Family(NamedTuple):
    """One choice of `--family`.

    Attributes:
      net: the family of the network in the zoo.
      files: what the sources are, in order ("encoder", "head").
      geometry: keys of the network's geometry.
      infer: encoder's Part -> the geometry that its shapes show.
      leaves: (config, key style) -> the weight map of encoder and, where it has a file, head.
      ignore: (config, key style) -> patterns of keys that are set aside.
      fresh: config -> tensors that PyTorch's modules have and our tree has not, under `encoder/...`, `head/...`.
    """

    net: str
    files: tuple[str, ...]
    geometry: tuple[str, ...]
    infer: Callable[[Part], dict[str, Any]]
    leaves: Callable[[ClassifierConfig, str], list[Leaf]]
    ignore: Callable[[ClassifierConfig, str], tuple[str, ...]]
    fresh: Callable[[ClassifierConfig], dict[str, np.ndarray]]


def part_of(state: Arrays) -> Part:
    """A state dict with DataParallel and wrapper prefixes off and one style of weight-norm names."""
    bare, wrapper = hubert.unwrapped(state)
    original = {}
    for key in state:
        name = next(iter(canonical({key: state[key]})))
        original[name.removeprefix(wrapper) if wrapper else name] = key
    return Part(bare, hubert.style_of(bare) or spectrogram.style_of(bare) or "", original)


def describe(state: Arrays) -> str:
    """What a file holds, by its keys, e.g. "HuBERT encoder", "head" or "unknown network"."""
    if hubert.style_of(state):
        return "HuBERT encoder"
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
        hubert_zoo.GEOMETRY,
        lambda part: hubert.inferred_geometry(part.state, part.style),
        lambda config, style: hubert.leaves(config, style or "torchaudio", head),
        lambda config, style: hubert.ignore(style or "torchaudio"),
        _counters if head else lambda config: {},
    )


def _spectrogram() -> Family:
    return Family(
        "spectrogram_transformer",
        ("encoder",),
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
        AMAUT_GEOMETRY,
        _amaut_geometry,
        lambda config, style: amaut.leaves(config),
        lambda config, style: amaut.ignore(config),
        amaut.fresh_ignored,
    ),
    "ast": _spectrogram(),
    "ssast": _spectrogram(),
}
"""The choices of `--family`."""
