"""CLAP's sizes and presets, and the pair of towers of a record as pure functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from dhauds_jax import registry
from dhauds_jax.dsp.mel import mel_filters
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import clap_mel
from dhauds_jax.nets.audio_text_config import (
    AUDIO_GEOMETRY,
    AudioTextConfig,
    audio_geometry,
    check_audio,
    projection,
    text_geometry,
)
from dhauds_jax.nets.clap import AudioTower, Projection, TextTower
from dhauds_jax.nets.clap_layout import LongRule, lay_out_recording
from dhauds_jax.nets.config import ClassifierConfig, take
from dhauds_jax.nets.front_ends import front_end
from dhauds_jax.nets.htsat import HTSAT
from dhauds_jax.nets.precision import precision_of_products
from dhauds_jax.nets.roberta import Roberta
from dhauds_jax.nets.swin import Compute
from dhauds_jax.types import AudioText, Variables

FIRST_SCALE = math.log(1 / 0.07)
"""Where the logarithms of the scales start."""


def mel_kind(table: Float[np.ndarray, "bins mels"]) -> str | None:
    """Which of CLAP's two tables of mel filters (bins, mels) this is, "slaney" or "htk", to 1e-6; None: neither."""
    for scale in ("slaney", "htk"):
        record = clap_mel.record(fused=scale == "htk", quantise=True, n_mels=table.shape[1])
        ours = mel_filters(clap_mel.spec_of(record).mel)
        if ours.shape == table.shape and np.max(np.abs(ours - table)) <= 1e-6:
            return scale
    return None


def _htsat(sizes: Mapping[str, Any], compute: Compute) -> HTSAT:
    return HTSAT(**{**sizes, "depths": tuple(sizes["depths"]), "heads": tuple(sizes["heads"])}, compute=compute)


def build_encoder(config: ClassifierConfig, **compute: Any) -> HTSAT:
    """The audio encoder alone, of a classifier whose `geometry` is that of an `AudioTextConfig`'s `audio`.

    Args:
      config: the classifier's record.
      compute: fields of `swin.Compute`.

    Raises:
      BadInput: a size is missing, foreign or impossible.
    """
    sizes = take(config.geometry, AUDIO_GEOMETRY, "config geometry of family 'clap'")
    check_audio(sizes, config.front_end)
    return _htsat(sizes, Compute(**compute))


def build_towers(config: AudioTextConfig, **compute: Any) -> tuple[AudioTower, TextTower]:
    """The linen modules of a record; `compute` are fields of `swin.Compute`.

    Raises:
      BadInput: an unknown option.
    """
    foreign = sorted(set(compute) - set(Compute._fields))
    if foreign:
        raise BadInput(f"net: audio-text models have no options {foreign}, only {Compute._fields}")
    how = Compute(**compute)
    made = [Projection(**config.projection, dtype=how.dtype) for _ in range(2)]
    return AudioTower(_htsat(config.audio, how), made[0]), TextTower(Roberta(**config.text, compute=how), made[1])


def build_audio_text(config: AudioTextConfig, *, matmul_precision: str | None = None, **compute: Any) -> AudioText:
    """The towers of a record as pure functions (see `dhauds_jax.types.AudioText`).

    Args:
      config: the record.
      matmul_precision: JAX's name for how float32 products are computed (None: as is in force where it is traced). The
        front end and the last layers are exact whatever it is.
      compute: how to compute them, e.g. `dtype=jnp.bfloat16` (fields of `swin.Compute`).

    Raises:
      BadInput: an unknown option.
    """
    sounds, sentences = build_towers(config, **compute)
    hear = front_end(config)

    def features(wave: Float[Array, "batch time"]) -> Float[Array, "batch frames mels"]:
        with precision_of_products("highest"):
            return hear(wave)

    def layout(recording: np.ndarray, rule: LongRule, name: str = "") -> tuple[np.ndarray, np.ndarray]:
        return lay_out_recording(recording, rule, config.front_end, config.length, name)

    def audio(
        variables: Variables, inputs: Float[Array, "batch channels frames mels"], longer: Bool[Array, " batch"]
    ) -> Float[Array, "batch width"]:
        own = {"params": variables["params"]["audio"], "batch_stats": variables["batch_stats"]["audio"]}
        with precision_of_products(matmul_precision):
            return sounds.apply(_on_device(own), inputs, longer)

    def text(
        variables: Variables, ids: Int[Array, "batch tokens"], mask: Bool[Array, "batch tokens"]
    ) -> Float[Array, "batch width"]:
        with precision_of_products(matmul_precision):
            return sentences.apply(_on_device({"params": variables["params"]["text"]}), ids, mask)

    def scale(variables: Variables) -> Float[Array, ""]:
        return jnp.exp(jnp.asarray(variables["params"]["scale"]["audio"]))

    return AudioText(_init_of(sounds, sentences, config), layout, features, audio, text, scale, config)


def _on_device(tree: Any) -> Any:
    return jax.tree.map(jnp.asarray, tree)  # checkpoints give NumPy


def _init_of(sounds: AudioTower, sentences: TextTower, config: AudioTextConfig) -> Callable[[PRNGKeyArray], Variables]:
    frames, mels = config.audio["spec"] ** 2 // config.audio["mels"], config.audio["mels"]

    def draw(key: PRNGKeyArray) -> Variables:
        keys = jax.random.split(key)
        heard = sounds.init(keys[0], jnp.zeros((1, 1, frames, mels)), jnp.zeros((1,), bool))
        read = sentences.init(keys[1], jnp.zeros((1, 4), int), jnp.ones((1, 4), bool))
        scales = {name: jnp.full((), FIRST_SCALE) for name in ("audio", "text")}
        params = {"audio": heard["params"], "text": read["params"], "scale": scales}
        return {"params": params, "batch_stats": {"audio": heard["batch_stats"]}}

    def init(key: PRNGKeyArray) -> Variables:
        if isinstance(key, jax.core.Tracer):
            return draw(key)
        # Run once: optimising the many small random draws would take most of the time.
        return jax.jit(draw, compiler_options={"xla_backend_optimization_level": 0})(key)

    return init


def shapes(model: AudioText) -> Variables:
    """The variables as `jax.ShapeDtypeStruct`, nothing computed."""
    return jax.eval_shape(model.init, jax.random.key(0))


def _preset(
    net: str, audio: dict[str, Any], *, text: dict[str, Any] | None = None, width: int = 512, length: int = 480000
) -> AudioTextConfig:
    heard = clap_mel.record(fused=audio["fusion"] is not None, quantise=True, n_mels=audio["mels"])
    sizes = (audio, text or text_geometry(), projection(width, width))
    return AudioTextConfig(net, *sizes, heard, heard["sample_rate"], length)


def _presets() -> dict[str, AudioTextConfig]:
    sizes = {"tiny": (96, (2, 2, 6, 2)), "base": (128, (2, 2, 12, 2)), "large": (256, (2, 2, 12, 2))}
    small = text_geometry(width=16, depth=2, heads=2, mlp=32, vocabulary=512, positions=80)
    made = {}
    for ending, share in (("", None), ("_fused", 4)):
        for size, (width, depths) in sizes.items():
            audio = audio_geometry(width=width, depths=depths, fusion=share and width // share)
            made[f"clap_htsat_{size}{ending}"] = _preset(f"clap_htsat_{size}{ending}", audio)
        # For tests: a second at 48 kHz, images of 64 x 64 pixels, one block a stage.
        blocks = {"width": 16, "depths": (1, 1, 1, 1), "heads": (2, 2, 4, 4), "fusion": share and 4}
        audio = audio_geometry(**blocks, spec=64, mels=16, window=4)
        made[f"clap_test{ending}"] = _preset(f"clap_test{ending}", audio, text=small, width=16, length=48000)
    return made


PRESETS = _presets()
"""Name -> the record of LAION's sizes, each without and with the fusion of long clips, and two for tests.

Published are `clap_htsat_tiny` (630k, not fused), `clap_htsat_tiny_fused` and `clap_htsat_base` (music and speech).
"""


def audio_text_preset(name: str) -> AudioTextConfig:
    """The record of a named pair of towers.

    Raises:
      BadInput: an unknown name (the nearest ones are given).
    """
    if name not in PRESETS:
        raise BadInput(registry.unknown("audio-text net", name, sorted(PRESETS)))
    return PRESETS[name]
