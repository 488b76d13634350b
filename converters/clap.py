"""CLAP's weight maps from LAION's names and Hugging Face's, and what a file's keys and shapes tell of its towers.

One file holds both towers. Keys below are canonical: DataParallel's `module.` is gone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from converters.hubert import fused
from converters.mapping import (
    LINEAR,
    SAME,
    Leaf,
    StateDict,
    Transform,
    batch_norm,
    dense,
    leaf,
    norm,
    prefixed,
    stack,
)
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import clap_mel
from dhauds_jax.nets.audio_text_config import AudioTextConfig, audio_geometry, projection, text_geometry


class Names(NamedTuple):
    """Where a key style keeps the parts; parts of a block are below `layers.{stage}.blocks.{block}.`."""

    audio: str
    batch_norm: str
    norms: tuple[str, str]
    qkv: tuple[str, ...]
    out: str
    bias_table: str
    mlp: tuple[str, str]
    text: str
    projections: tuple[str, str]


STYLES: dict[str, Names] = {
    "laion": Names(
        "audio_branch.",
        "bn0",
        ("norm1", "norm2"),
        ("attn.qkv",),
        "attn.proj",
        "attn.relative_position_bias_table",
        ("mlp.fc1", "mlp.fc2"),
        "text_branch.",
        ("0", "2"),
    ),
    "huggingface": Names(
        "audio_model.audio_encoder.",
        "batch_norm",
        ("layernorm_before", "layernorm_after"),
        ("attention.self.query", "attention.self.key", "attention.self.value"),
        "attention.output.dense",
        "attention.self.relative_position_bias_table",
        ("intermediate.dense", "output.dense"),
        "text_model.",
        ("linear1", "linear2"),
    ),
}
"""Key styles by the package that writes them."""

EPSILONS = {"laion": 1e-5, "huggingface": 1e-12}
"""Epsilon of the text tower's layer norms by key style; the audio tower's is 1e-5 in both."""

IGNORE: dict[str, tuple[str, ...]] = {
    "laion": (
        r"audio_branch\.(spectrogram_extractor|logmel_extractor)\..*",
        r"audio_branch\.layers\.\d+\.blocks\.\d+\.(attn_mask|attn\.relative_position_index)",
        r"audio_branch\.(tscam_conv|head)\.(weight|bias)",
        r"(audio|text)_transform\.sequential\.\d+\.(weight|bias)",
        r"text_branch\.embeddings\.(position_ids|token_type_ids)",
        r".*\.num_batches_tracked",
    ),
    "huggingface": (
        r".*\.relative_position_index",
        r"text_model\.embeddings\.(position_ids|token_type_ids)",
        r".*\.num_batches_tracked",
    ),
}
"""Keys set aside: tables that we compute, AudioSet's head, and the transforms that no embedding goes through."""

MEL_TABLE = "audio_branch.logmel_extractor.melW"
"""LAION's table of mel filters, (bins, mels); nets with fusion have it too and do not use it."""

_POINT = Transform(
    lambda arrays: [a[:, :, 0, 0].T for a in arrays], lambda arrays: [a.T[:, :, None, None] for a in arrays]
)
"""A 1 x 1 convolution as a linear layer: (outputs, inputs, 1, 1) -> (inputs, outputs)."""

_QKV = Transform(
    lambda arrays: [part[0] for part in fused(1).there(arrays)], lambda arrays: fused(1).back([a[None] for a in arrays])
)
"""Queries, keys and values side by side."""


def _patch(down: int, across: int) -> Transform:
    """A convolution of one channel over patches as a linear layer: (outputs, 1, down, across) -> (values, outputs)."""
    return Transform(
        lambda arrays: [a.reshape(a.shape[0], -1).T for a in arrays],
        lambda arrays: [a.T.reshape(-1, 1, down, across) for a in arrays],
    )


def _linear(path: str, key: str, transform: Transform) -> list[Leaf]:
    return [leaf(f"params/{path}/kernel", f"{key}.weight", transform), leaf(f"params/{path}/bias", f"{key}.bias")]


def leaves(config: AudioTextConfig, style: str) -> list[Leaf]:
    """The weight map of a file that holds both towers."""
    names = STYLES[style]
    found = prefixed(audio_leaves(config.audio, style, "audio/encoder"), names.audio)
    found += prefixed(text_leaves(config.text, "text/encoder"), names.text)
    for tower, letter in (("audio", "a"), ("text", "t")):
        for ours, theirs in zip(("dense1", "dense2"), names.projections):
            found += dense(f"{tower}/projection/{ours}", f"{tower}_projection.{theirs}")
        found.append(leaf(f"params/scale/{tower}", f"logit_scale_{letter}"))
    return found


def audio_leaves(geometry: Mapping[str, Any], style: str, ours: str) -> list[Leaf]:
    """The leaves of an HTSAT below the path `ours`, source keys without the tower's prefix."""
    names, patch = STYLES[style], geometry["patch"]
    found = [
        *batch_norm(f"{ours}/batch_norm", names.batch_norm),
        *_linear(f"{ours}/patch_embed/whole", "patch_embed.proj", _patch(patch, patch)),
        *norm(f"{ours}/patch_embed/layer_norm", "patch_embed.norm"),
        *norm(f"{ours}/layer_norm", "norm"),
    ]
    if geometry["fusion"] is not None:
        found += _linear(f"{ours}/patch_embed/crops", "patch_embed.mel_conv2d", _patch(patch, 3 * patch))
        for branch, first in (("local", 0), ("global", 1)):
            here = f"{ours}/patch_embed/fusion/{branch}_attention"
            there = f"patch_embed.fusion_model.{branch}_att"
            for i, place in enumerate((first, first + 3)):
                found += _linear(f"{here}/dense{i + 1}", f"{there}.{place}", _POINT)
                found += batch_norm(f"{here}/batch_norm{i + 1}", f"{there}.{place + 1}")
    for stage, depth in enumerate(geometry["depths"]):
        for block in range(depth):
            found += _block(f"{ours}/stage{stage}/block{block}", f"layers.{stage}.blocks.{block}", names)
        if stage + 1 < len(geometry["depths"]):
            there = f"layers.{stage}.downsample"
            found += norm(f"{ours}/stage{stage}/merging/layer_norm", f"{there}.norm")
            found += dense(f"{ours}/stage{stage}/merging/reduction", f"{there}.reduction", bias=False)
    return found


def _block(ours: str, theirs: str, names: Names) -> list[Leaf]:
    found = [leaf(f"params/{ours}/attention/position_bias", f"{theirs}.{names.bias_table}")]
    for ending, name in (("weight", "kernel"), ("bias", "bias")):
        keys = tuple(f"{theirs}.{part}.{ending}" for part in names.qkv)
        single = LINEAR if ending == "weight" else SAME
        found.append(
            Leaf((tuple(f"params/{ours}/attention/qkv/{name}".split("/")),), keys, single if len(keys) == 1 else _QKV)
        )
    found += dense(f"{ours}/attention/out", f"{theirs}.{names.out}")
    for i in range(2):
        found += norm(f"{ours}/layer_norm{i + 1}", f"{theirs}.{names.norms[i]}")
        found += dense(f"{ours}/mlp{i + 1}", f"{theirs}.{names.mlp[i]}")
    return found


def text_leaves(geometry: Mapping[str, Any], ours: str) -> list[Leaf]:
    """The leaves of a RoBERTa below the path `ours`, source keys without the tower's prefix."""
    blocks = [f"encoder.layer.{i}" for i in range(geometry["depth"])]
    found = [
        leaf(f"params/{ours}/words", "embeddings.word_embeddings.weight"),
        leaf(f"params/{ours}/places", "embeddings.position_embeddings.weight"),
        leaf(f"params/{ours}/kinds", "embeddings.token_type_embeddings.weight"),
        *norm(f"{ours}/layer_norm", "embeddings.LayerNorm"),
        *dense(f"{ours}/pooler", "pooler.dense"),
    ]
    for ending, name in (("weight", "kernel"), ("bias", "bias")):
        keys = tuple(f"{b}.attention.self.{part}.{ending}" for b in blocks for part in ("query", "key", "value"))
        found.append(Leaf((tuple(f"params/{ours}/blocks/qkv/{name}".split("/")),), keys, fused(len(blocks))))
    linear = {"out": "attention.output.dense", "mlp1": "intermediate.dense", "mlp2": "output.dense"}
    for name, part in linear.items():
        found.append(stack(f"params/{ours}/blocks/{name}/kernel", [f"{b}.{part}.weight" for b in blocks], LINEAR))
        found.append(stack(f"params/{ours}/blocks/{name}/bias", [f"{b}.{part}.bias" for b in blocks]))
    for name, part in {"layer_norm1": "attention.output.LayerNorm", "layer_norm2": "output.LayerNorm"}.items():
        found.append(stack(f"params/{ours}/blocks/{name}/scale", [f"{b}.{part}.weight" for b in blocks]))
        found.append(stack(f"params/{ours}/blocks/{name}/bias", [f"{b}.{part}.bias" for b in blocks]))
    return found


def style_of(state: StateDict) -> str | None:
    """The key style of a state dict (canonical names), None if it has no audio tower of CLAP's."""
    for style, names in STYLES.items():
        if f"{names.audio}patch_embed.proj.weight" in state:
            return style
    return None


def _shape(state: StateDict, key: str) -> tuple[int, ...]:
    if key not in state:
        raise BadInput(f"CLAP: {key!r} is missing, expected it in a file that holds both towers")
    return tuple(np.shape(state[key]))


def _count(state: StateDict, pattern: str) -> int:
    """How many numbers 0, 1, ... the pattern (a `{}` for the number) leads to keys with."""
    count = 0
    while any(key.startswith(pattern.format(count)) for key in state):
        count += 1
    return count


def inferred_audio(state: StateDict, style: str) -> dict[str, Any]:
    """What the shapes show of the audio tower; the image's side is four times the mel bands where nothing shows it.

    Raises:
      BadInput: a tensor that the inference needs is missing; it is named.
    """
    names = STYLES[style]
    top = names.audio
    width, _, patch, _ = _shape(state, f"{top}patch_embed.proj.weight")
    stages = _count(state, f"{top}layers.{{}}.")
    firsts = [f"{top}layers.{stage}.blocks.0." for stage in range(stages)]
    tables = [_shape(state, f"{first}{names.bias_table}") for first in firsts]
    window = (math.isqrt(tables[0][0]) + 1) // 2
    mels = _shape(state, f"{top}{names.batch_norm}.weight")[0]
    mask = state.get(f"{top}layers.0.blocks.1.attn_mask")
    inner = state.get(f"{top}patch_embed.fusion_model.local_att.0.weight")
    return audio_geometry(
        width=width,
        depths=tuple(_count(state, f"{top}layers.{stage}.blocks.{{}}.") for stage in range(stages)),
        heads=tuple(table[1] for table in tables),
        fusion=None if inner is None else int(np.shape(inner)[0]),
        spec=4 * mels if mask is None else math.isqrt(np.shape(mask)[0]) * window * patch,
        mels=mels,
        patch=patch,
        window=window,
        mlp_ratio=_shape(state, f"{firsts[0]}{names.mlp[0]}.weight")[0] // width,
    )


def inferred_text(state: StateDict, style: str) -> dict[str, Any]:
    """What shapes and style show of the text tower; heads are 64 wide, as published, where a config says nothing else.

    Raises:
      BadInput: a tensor that the inference needs is missing; it is named.
    """
    top = STYLES[style].text
    vocabulary, width = _shape(state, f"{top}embeddings.word_embeddings.weight")
    return text_geometry(
        width=width,
        depth=_count(state, f"{top}encoder.layer.{{}}."),
        heads=max(1, width // 64),
        mlp=_shape(state, f"{top}encoder.layer.0.intermediate.dense.weight")[0],
        vocabulary=vocabulary,
        positions=_shape(state, f"{top}embeddings.position_embeddings.weight")[0],
        types=_shape(state, f"{top}embeddings.token_type_embeddings.weight")[0],
        epsilon=EPSILONS[style],
    )


def inferred_projection(state: StateDict, style: str) -> dict[str, Any]:
    """The sizes of the projections.

    Raises:
      BadInput: a tensor that the inference needs is missing; it is named.
    """
    first, last = STYLES[style].projections
    hidden = _shape(state, f"audio_projection.{first}.weight")[0]
    return projection(hidden, _shape(state, f"audio_projection.{last}.weight")[0])


def inferred(state: StateDict, style: str, net: str = "custom") -> AudioTextConfig:
    """The record that keys and shapes show: towers, and the front end of the net's kind.

    Nets with fusion hear HTK mels, those without Slaney's, LAION's after an int16 step and Hugging Face's without.

    Raises:
      BadInput: a tensor that the inference needs is missing, or the sizes fit no net; they are named.
    """
    audio, text = inferred_audio(state, style), inferred_text(state, style)
    front_end = clap_mel.record(fused=audio["fusion"] is not None, quantise=style == "laion", n_mels=audio["mels"])
    sizes = (audio, text, inferred_projection(state, style))
    return AudioTextConfig(net, *sizes, front_end, front_end["sample_rate"], 480000)
