"""What one choice of `--family` is: its files, what keys and shapes tell of them, its weight map, its config."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path as Folder
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from converters.mapping import Converted, Leaf, Path, StateDict, canonical, canonical_name
from converters.names import FAMILIES
from converters.read import Source
from dhauds_jax import registry
from dhauds_jax.errors import BadInput
from dhauds_jax.nets.audio_text_config import AudioTextConfig
from dhauds_jax.nets.config import ClassifierConfig

SETTINGS = ("geometry", "head", "front_end", "sample_rate", "length", "classes")
"""What `--config` may have for a classifier, beside `preset` and `net`."""


def _bare(state: StateDict) -> tuple[dict[str, np.ndarray], str]:
    return dict(state), ""


class Content(NamedTuple):
    """What a source file may hold.

    Attributes:
      name: for sentences, e.g. "HuBERT encoder".
      style_of: state dict (canonical names, no prefix) -> its key style, "" where there is only one; None: it holds
        something else.
      unwrapped: state dict (canonical names) -> without the prefix under which a larger model keeps it, that prefix.
    """

    name: str
    style_of: Callable[[StateDict], str | None]
    unwrapped: Callable[[StateDict], tuple[dict[str, np.ndarray], str]] = _bare


class Part(NamedTuple):
    """One source file, its keys in the one style that the maps use.

    Attributes:
      state: canonical names without prefixes -> arrays.
      style: key style by its `Content` ("torchaudio", "original", "npz", ...), else "".
      original: canonical name -> name in the file.
      wrapper: prefix under which a larger model keeps the encoder, "" for none.
      holds: name of its `Content`, or "unknown network".
      outer: what the program that saved the file put before every key ("module.", ...), "" for nothing.
    """

    state: dict[str, np.ndarray]
    style: str
    original: dict[str, str]
    wrapper: str = ""
    holds: str = "unknown network"
    outer: str = ""


class Request(NamedTuple):
    """What a conversion was asked for, its files read.

    Attributes:
      family, kind: the name of `--family` and its record.
      files: the sources in order; parts: by the names of `Family.files`.
      preset: name of the network wanted, or None; given: the record of --config, or {}.
      profile: "reference" or "corrected".
      seed: of random weights where the files have none.
      tokenizer: folder of `--tokenizer`, or None.
    """

    family: str
    kind: Family
    files: Sequence[Source]
    parts: Mapping[str, Part]
    preset: str | None
    given: Mapping[str, Any]
    profile: str
    seed: int
    tokenizer: Folder | None = None


class Planned(NamedTuple):
    """A conversion that is done but for writing.

    Attributes:
      config, converted: the checkpoint's record and variables.
      extra: trees of the checkpoint beside them.
      notes: for a user.
      beside: writes more files into the checkpoint's folder (`checkpoint.save`), or None.
    """

    config: ClassifierConfig | AudioTextConfig
    converted: Converted
    extra: dict[str, Any]
    notes: list[str]
    beside: Callable[[Folder], object] | None = None


def no_head(parts: Mapping[str, Part]) -> None:
    """The `head` of a family whose files hold none."""


def nothing_fresh(config: ClassifierConfig, seed: int) -> dict[Path, np.ndarray]:
    """The `fresh_leaves` of a family whose files hold all leaves."""
    return {}


class Family(NamedTuple):
    """One choice of `--family`.

    Attributes:
      net: the family of the network in the zoo.
      files: what the sources are, in order ("encoder", "head").
      holds: the `Content` of each of them.
      geometry: keys of the network's geometry.
      optional: keys that it may hold besides, with what holds where they are absent.
      infer: encoder's Part -> the geometry that its shapes show.
      leaves: (config, key style of the first file, names of `extra` in the checkpoint) -> the weight map of all files.
      ignore: (config, key style) -> patterns of keys that are set aside.
      fresh: (config, names of `extra` that the checkpoint has) -> tensors that PyTorch's modules have and our tree has
        not, under `encoder/...`, `head/...`.
      plan: how files become a checkpoint: `by_map.plan`, or what goes before or after it.
      fresh_leaves: (config, seed) -> leaves of our tree that no file holds, by their paths.
      head: parts -> the head that the files hold and its number of classes, None where they hold none.
      extra: trees of a checkpoint beside its variables that its files hold too.
      beside: beginnings of keys that stand beside the encoder in a larger model, without its prefix.
      least: how many of the files, from the first on, there must be (None: all).
      audio_text: whether the checkpoint is an audio-text model's; its record is then an `AudioTextConfig`, and what is
        said of geometry, head and classes above does not concern it.
      settings: what `--config` may have, beside `preset` and `net`.
    """

    net: str
    files: tuple[str, ...]
    holds: tuple[Content, ...]
    geometry: tuple[str, ...]
    infer: Callable[[Part], dict[str, Any]]
    leaves: Callable[[Any, str, tuple[str, ...]], list[Leaf]]
    ignore: Callable[[Any, str], tuple[str, ...]]
    fresh: Callable[[Any, tuple[str, ...]], dict[str, np.ndarray]]
    plan: Callable[[Request], Planned]
    fresh_leaves: Callable[[ClassifierConfig, int], dict[Path, np.ndarray]] = nothing_fresh
    head: Callable[[Mapping[str, Part]], tuple[dict[str, Any], int] | None] = no_head
    extra: tuple[str, ...] = ()
    optional: Mapping[str, Any] = MappingProxyType({})
    beside: tuple[str, ...] = ()
    least: int | None = None
    audio_text: bool = False
    settings: tuple[str, ...] = SETTINGS


def find(name: str) -> Family:
    """The record of a choice of `--family`, or of a "module:attribute" of the user's own.

    Raises:
      BadInput: an unknown name (the nearest ones are given), or one that stands for something else.
    """
    found = registry.find("--family", name, {each: choice.place for each, choice in FAMILIES.items()})
    if not isinstance(found, Family):
        raise BadInput(f"--family: {name!r} is a {type(found).__name__}, expected a converters.families.Family")
    return found


def part_of(state: StateDict, kind: Family) -> Part:
    """A state dict without the prefixes of wrappers and with one style of weight-norm names.

    It is told apart from what the files of every family hold, so that a wrong file can be named.
    """
    contents = list(kind.holds)
    for each in map(find, FAMILIES):
        contents += [content for content in each.holds if content not in contents]
    for prefix in _prefixes(state):
        names = canonical({_without(key, prefix): value for key, value in state.items()})
        for content in contents:
            bare, wrapper = content.unwrapped(names)
            style = content.style_of(bare)
            if style is not None:
                originals = {canonical_name(_without(key, prefix)).removeprefix(wrapper): key for key in state}
                return Part(bare, style, originals, wrapper, content.name, _outer(state, prefix))
    return Part(canonical(state), "", {canonical_name(key): key for key in state}, outer=_outer(state, ""))


def _prefixes(state: StateDict) -> Iterator[str]:
    """Nothing, then what DataParallel, `torch.compile` and training frameworks put before keys, one after the other."""
    prefix: str | None = ""
    while prefix is not None:
        yield prefix
        longer = [f"{prefix}{each}" for each in ("module.", "_orig_mod.", "model.")]
        prefix = next((each for each in longer if any(key.startswith(each) for key in state)), None)


def _without(key: str, prefix: str) -> str:
    """A key without an outer prefix and without the marks of compiled parts."""
    return key.removeprefix(prefix).replace("_orig_mod.", "")


def _outer(state: StateDict, prefix: str) -> str:
    """The outer prefix that every key of a file has, so that it can be written back; "" where they differ."""
    tokens = r"(?:module\.|_orig_mod\.|model\.)*" if "model." in prefix else r"(?:module\.|_orig_mod\.)*"
    found = {re.match(tokens, key)[0] for key in state}
    return found.pop() if len(found) == 1 else ""
