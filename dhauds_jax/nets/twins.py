"""A checkpoint's network for another front end: the same weights, its position table fitted to the other clips."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from dhauds_jax.errors import BadInput
from dhauds_jax.nets import spectrogram_transfer, zoo
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.types import Variables

STATISTICS = ("mean", "std")
"""Constants of filter banks that go with the weights."""


def twin(
    variables: Mapping[str, Any], source: ClassifierConfig, name: str, key: PRNGKeyArray
) -> tuple[ClassifierConfig, Variables]:
    """The net `name` with the weights of a checkpoint: its config, for the checkpoint's classes, and its variables.

    The position table is cut in the middle where there are fewer patches and interpolated linearly where there are
    more, along time and frequency; cls, distillation and tail tokens keep their rows, and are left out of a net that
    has none. The head is kept where both nets have the same one.

    Args:
      variables: of the checkpoint.
      source: its config.
      name: a preset of the same family and sizes, e.g. "ssast_tiny_nsynth100".
      key: for a head that starts afresh.

    Raises:
      BadInput: another family, or sizes that differ.
    """
    config = _with_statistics(zoo.preset(name, source.classes), source)
    if config.family != source.family:
        raise BadInput(
            f"net {name!r} is of family {config.family!r}, the checkpoint of {source.family!r} ({source.net}), "
            "expected a net of the checkpoint's family"
        )
    if config.family == spectrogram_transfer.FAMILY:
        return config, spectrogram_transfer.for_clips(variables, source, config, key)
    return config, _along_time(variables, source, config)


def _with_statistics(config: ClassifierConfig, source: ClassifierConfig) -> ClassifierConfig:
    """Filter banks are normalised as the weights have known them, not as the preset of the twin has it."""
    if {config.front_end["kind"], source.front_end["kind"]} != {"kaldi_fbank"}:
        return config
    return config.replace(front_end={**config.front_end, **{name: source.front_end[name] for name in STATISTICS}})


def _along_time(variables: Mapping[str, Any], source: ClassifierConfig, config: ClassifierConfig) -> Variables:
    """Of nets whose tokens run along time alone: all leaves are kept, the table has a token before and one behind."""
    had = jax.tree.map(np.asarray, {kind: dict(tree) for kind, tree in variables.items()})
    wanted = zoo.shapes(zoo.build(config))
    encoder = dict(had["params"]["encoder"])
    if "positions" in encoder and encoder["positions"].shape[1:] == wanted["params"]["encoder"]["positions"].shape[1:]:
        cut, table = spectrogram_transfer.CUTS["corrected"], encoder["positions"]
        columns = wanted["params"]["encoder"]["positions"].shape[0] - 2
        middle = spectrogram_transfer.fit_grid(table[None, 1:-1], 1, columns, cut)[0]
        encoder["positions"] = np.concatenate([table[:1], middle, table[-1:]]).astype(table.dtype)
    made = {**had, "params": {**had["params"], "encoder": encoder}}
    sizes = [
        {jax.tree_util.keystr(path): leaf.shape for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]}
        for tree in (made, wanted)
    ]
    differing = sorted(leaf for leaf in sizes[0].keys() | sizes[1].keys() if sizes[0].get(leaf) != sizes[1].get(leaf))
    if differing:
        where = differing[0]
        raise BadInput(
            f"weights of {source.net!r} do not fit {config.net!r}: {where} is {sizes[0].get(where)} there and "
            f"{sizes[1].get(where)} here, expected a net of the same sizes and mel bands"
        )
    return made
