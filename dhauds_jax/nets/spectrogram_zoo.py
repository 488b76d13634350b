"""Sizes and presets of AST and SSAST, and one very small transformer for tests."""

from __future__ import annotations

from typing import Any

import jax

from dhauds_jax import class_names
from dhauds_jax.dsp.kaldi import FbankSpec, frame_count
from dhauds_jax.errors import BadInput
from dhauds_jax.nets.config import ClassifierConfig, take
from dhauds_jax.nets.family import Family, Preset, preset
from dhauds_jax.nets.front_ends import FEW_SHOT_SETS, few_shot_log_mel
from dhauds_jax.nets.layers import check_activations
from dhauds_jax.nets.spectrogram_transformer import ATTENTION, Compute, SpectrogramTransformer, grid_of

GEOMETRY = ("width", "depth", "heads", "mlp", "patch", "stride", "prefix", "epsilon")
"""The keys of the geometry; `geometry` explains them."""

OPTIONAL = {"activation": "gelu"}
"""What a geometry may hold besides (the feed-forward's non-linearity), with what holds where it is absent."""

PATCH, FRAME = (16, 16), (128, 2)
"""Published patches: bins of frequency by frames of time."""


def geometry(
    *,
    width: int,
    heads: int,
    patch: tuple[int, int] = PATCH,
    stride: tuple[int, int] = (10, 10),
    depth: int = 12,
    mlp: int | None = None,
    prefix: int = 2,
    epsilon: float = 1e-6,
) -> dict[str, Any]:
    """The sizes of a spectrogram transformer as a plain dict, for `ClassifierConfig.geometry`.

    Args:
      width: of the transformer blocks.
      depth: their number.
      heads: of their attention.
      mlp: width inside their feed-forward, None for four times `width`.
      patch: bins of frequency and frames of time in a patch.
      stride: distance of patches along both.
      prefix: 2 for a cls and a distillation token, 1 for a cls token alone (base_nokd), 0 for patches alone (MAR).
      epsilon: of the layer norms: 1e-6 in the original AST and in SSAST, 1e-12 in Hugging Face's AST.
    """
    values = {**locals(), "mlp": mlp or 4 * width}
    return {key: list(values[key]) if key in ("patch", "stride") else values[key] for key in GEOMETRY}


SIZES: dict[str, dict[str, int]] = {
    "tiny": {"width": 192, "heads": 3},
    "small": {"width": 384, "heads": 6},
    "base": {"width": 768, "heads": 12},
    "base_nokd": {"width": 768, "heads": 12, "prefix": 1},
}
"""SSAST's sizes; all have 12 blocks."""

KINDS = {
    "patch": {"patch": PATCH, "stride": (10, 10)},
    "frame": {"patch": FRAME, "stride": (128, 1)},
}
"""SSAST's tokens with the strides of fine-tuning; pretraining's stride is the patch."""

STATISTICS = {
    "audioset": (-4.2677393, 4.5689974),
    "esc50": (-6.6268077, 5.358466),
    "speech_commands": (-6.845978, 5.5654526),
}
"""Mean and deviation of filter banks by data set; "audioset" is also LibriSpeech's and pretraining's."""


def fbank(frames: int | None, statistics: str, sample_rate: int = 16000, n_mels: int = 128) -> dict[str, Any]:
    """The front end of AST and SSAST: 25 ms frames every 10 ms, `(x - mean) / (2 std)` after padding."""
    mean, std = STATISTICS[statistics]
    length, hop = sample_rate // 40, sample_rate // 100
    spec = FbankSpec(sample_rate, n_mels, length, hop, frames, mean, std)
    return {"kind": "kaldi_fbank", **spec._asdict()}


def head(pool: str = "average", prefix: int = 2, epsilon: float = 1e-5) -> dict[str, Any]:
    """Mean over the patches ("average") or the first `prefix` tokens ("cls"), layer norm, linear layer.

    `epsilon` is PyTorch's default in the original AST and in SSAST, 1e-12 in Hugging Face's AST.
    """
    return {"kind": "token_pool", "pool": pool, "prefix": prefix, "epsilon": epsilon}


def config_grid(config: ClassifierConfig) -> tuple[int, int]:
    """Patches along frequency and time of a config's clips.

    Raises:
      BadInput: the front end is no filter bank, or the spectrogram is smaller than one patch.
    """
    front_end, sizes = config.front_end, config.geometry
    if front_end["kind"] not in ("kaldi_fbank", "log_mel"):
        raise BadInput(
            f"config: family {config.family!r} has front end {front_end['kind']!r}, expected 'kaldi_fbank' or 'log_mel'"
        )
    frames = front_end.get("frames")
    if frames is None and front_end["kind"] == "kaldi_fbank":
        frames = frame_count(config.length, front_end["frame_length"], front_end["hop"])
    elif frames is None:
        frames = 1 + config.length // front_end["hop"]
    grid = grid_of(front_end["n_mels"], frames, tuple(sizes["patch"]), tuple(sizes["stride"]))
    if min(grid) < 1:
        raise BadInput(
            f"config: the spectrogram has {front_end['n_mels']} mels and {frames} frames, expected at least one patch "
            f"of {sizes['patch'][0]} x {sizes['patch'][1]}: choose another length, frames or patch"
        )
    return grid


def build_encoder(config: ClassifierConfig, **compute: Any) -> SpectrogramTransformer:
    """The encoder that a config's `geometry` describes; `compute` replaces fields of `spectrogram_transformer.Compute`.

    Raises:
      BadInput: a size or option is missing, foreign or out of its choices, or the front end gives no patches.
    """
    sizes = take(
        {**OPTIONAL, **config.geometry}, (*GEOMETRY, *OPTIONAL), "config geometry of family 'spectrogram_transformer'"
    )
    check_activations(sizes, ("activation",))
    if sizes["width"] % sizes["heads"]:
        raise BadInput(f"config geometry: width {sizes['width']} is no multiple of {sizes['heads']} heads")
    if sizes["prefix"] not in (0, 1, 2):
        raise BadInput(f"config geometry: prefix is {sizes['prefix']}, expected 0, 1 (cls) or 2 (cls and distillation)")
    if config.head.get("prefix", sizes["prefix"]) != sizes["prefix"]:
        raise BadInput(f"config: head.prefix is {config.head['prefix']}, geometry.prefix {sizes['prefix']}")
    options = Compute(**compute)
    if options.attention not in ATTENTION:
        raise BadInput(f"net: attention is {options.attention!r}, expected one of {', '.join(ATTENTION)}")
    if options.attention == "cudnn" and options.dtype is None:
        raise BadInput("net: attention 'cudnn' computes in half types only, expected dtype=bfloat16 beside it")
    if options.attention == "cudnn" and jax.default_backend() != "gpu":
        raise BadInput(f"net: attention 'cudnn' needs a GPU, found {jax.default_backend()!r}, expected attention='xla'")
    pairs = {key: tuple(sizes[key]) for key in ("patch", "stride")}
    return SpectrogramTransformer(**{**sizes, **pairs}, grid=config_grid(config), compute=options)


# Data set: (class names or None, samples at 16 kHz, frames or None for as many as the clip has, statistics)
_TASKS: dict[str, tuple[tuple[str, ...] | None, int, int, str]] = {
    "sc2": (class_names.SPEECH_COMMANDS_V2, 16000, 128, "speech_commands"),
    "sc1": (class_names.SPEECH_COMMANDS_V1, 16000, 128, "speech_commands"),
    "rs": (class_names.REEF_SET, 30080, 186, "audioset"),
    "us8": (class_names.URBAN_SOUND_8K, 64000, 400, "audioset"),
    "vs": (class_names.VOCAL_SOUND, 160000, 1024, "audioset"),
    "esc50": (None, 80000, 512, "esc50"),
}
_SECOND = (None, 16000, None, "audioset")
_AUDIOSET = (None, 160000, 1024, "audioset")
_UNLABELLED = (("unlabelled",), 163840, 1024, "audioset")


def _preset(
    name: str, sizes: dict[str, Any], head: dict[str, Any], task: tuple[tuple[str, ...] | None, int, int | None, str]
) -> Preset:
    classes, length, frames, statistics = task
    return preset(name, "spectrogram_transformer", classes, sizes, head, fbank(frames, statistics), length)


def _presets() -> dict[str, Preset]:
    table = {}
    for size, sizes in SIZES.items():
        pooled = head(prefix=sizes.get("prefix", 2))
        for kind, tokens in KINDS.items():
            name = f"ssast_{size}_{kind}"
            table[name] = _preset(name, geometry(**sizes, **tokens), pooled, _SECOND)
            unmoved = geometry(**sizes, patch=tokens["patch"], stride=tokens["patch"])
            table[f"{name}_pretrain"] = _preset(f"{name}_pretrain", unmoved, pooled, _UNLABELLED)
            for task, values in _TASKS.items() if size in ("tiny", "base") else ():
                table[f"{name}_{task}"] = _preset(f"{name}_{task}", geometry(**sizes, **tokens), pooled, values)
        table[f"ssast_{size}"] = _preset(f"ssast_{size}", geometry(**sizes, **KINDS["patch"]), pooled, _SECOND)
    # Less than half of the patches of overlapping ones: for training on a CPU.
    apart = geometry(**SIZES["tiny"], patch=PATCH, stride=PATCH)
    table["ssast_tiny_stride16"] = _preset("ssast_tiny_stride16", apart, head(), _SECOND)
    published, pooled = geometry(**SIZES["base"], epsilon=1e-12), head("cls", epsilon=1e-12)
    table["ast_sc2"] = _preset("ast_sc2", published, pooled, _TASKS["sc2"])
    table["ast_audioset"] = _preset("ast_audioset", published, pooled, _AUDIOSET)
    table |= _few_shot_presets()
    # For tests: 4000 samples, 5 x 3 patches, two blocks of width 16.
    sizes, front_end = (
        geometry(width=16, heads=2, depth=2, patch=(8, 8), stride=(6, 6)),
        fbank(None, "audioset", n_mels=32),
    )
    table["ssast_test"] = preset("ssast_test", "spectrogram_transformer", None, sizes, head(), front_end, 4000)
    return table


def _few_shot_presets() -> dict[str, Preset]:
    """AST as EDE has it for its three sets, the same without prefix as MAR has it, and a small twin."""
    twins = {
        "ast_base_{}": (geometry(**SIZES["base"]), head("cls")),
        "ast_base_{}_patches": (geometry(**SIZES["base"], prefix=0), head(prefix=0)),
        "ssast_tiny_{}": (geometry(**SIZES["tiny"]), head()),
    }
    table = {}
    for name, (rate, length, _, _) in FEW_SHOT_SETS.items():
        for form, (sizes, pooled) in twins.items():
            net, front_end = form.format(name), few_shot_log_mel(name)
            table[net] = preset(net, "spectrogram_transformer", None, sizes, pooled, front_end, length, rate)
    return table


PRESETS = _presets()

FAMILY = Family(build_encoder, Compute._fields, PRESETS)
