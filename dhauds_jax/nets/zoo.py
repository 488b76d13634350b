"""Every network by name: `build(preset("amaut_sc2"))`.

A new family is one entry in `FAMILIES` (its encoder), one in `AUX_HEADS` if it may have an auxiliary head, one in
`DEAD_PARAMETERS` if published totals count more than the tree holds, and its presets in `PRESETS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from dhauds_jax.dsp.kaldi import FbankSpec
from dhauds_jax.dsp.kaldi import fbank as _fbank
from dhauds_jax.dsp.mel import MelSpec
from dhauds_jax.dsp.mel import log_mel as _log_mel
from dhauds_jax.nets import amaut, conmix_zoo, hubert_zoo, mel_image, presets, resnet_zoo, spectrogram_zoo
from dhauds_jax.nets.config import ClassifierConfig, take
from dhauds_jax.nets.heads import build_head
from dhauds_jax.nets.normalisers import EVAL
from dhauds_jax.nets.precision import precision_of_products
from dhauds_jax.types import Classifier, Linear, Mode, Outputs, Variables

FAMILIES: dict[str, Callable[..., nn.Module]] = {
    "amaut": amaut.build_encoder,
    "conmix": conmix_zoo.build_encoder,
    "hubert": hubert_zoo.build_encoder,
    "resnet": resnet_zoo.build_resnet,
    "cnn": resnet_zoo.build_cnn,
    "spectrogram_transformer": spectrogram_zoo.build_encoder,
}
"""Family -> builder of its encoder, a module called `(features, *, mode, weights, axis_name) -> tokens`; with an
auxiliary head, `-> (tokens, what that head takes)`."""

AUX_HEADS: dict[str, Callable[[ClassifierConfig], nn.Module | None]] = {"resnet": resnet_zoo.build_aux}
"""Family -> builder of its auxiliary head, called as an encoder, whose `begun(variables)` makes the first variables of
drawn ones; None where a config has none (absent: never)."""

COMPUTE: dict[str, tuple[str, ...]] = {
    "amaut": amaut.COMPUTE,
    "cnn": resnet_zoo.COMPUTE,
    "conmix": conmix_zoo.COMPUTE,
    "hubert": hubert_zoo.COMPUTE,
    "resnet": resnet_zoo.COMPUTE,
    "spectrogram_transformer": spectrogram_zoo.COMPUTE,
}
"""Family -> names of the options that its builder takes beside the config: how to compute, not what (absent: none)."""

DEAD_PARAMETERS: dict[str, Callable[[ClassifierConfig], int]] = {
    "amaut": amaut.dead_parameters,
    "conmix": conmix_zoo.dead_parameters,
    "resnet": resnet_zoo.counted_twice,
}
"""Family -> what published totals count beyond the tree: parameters that nothing reads, or twice (absent: 0)."""

PRESETS: dict[str, Callable[[tuple[str, ...] | None], ClassifierConfig]] = {
    **presets.PRESETS,
    **conmix_zoo.PRESETS,
    **hubert_zoo.PRESETS,
    **resnet_zoo.PRESETS,
    **spectrogram_zoo.PRESETS,
}
"""Name -> a function from class names (None: the published ones) to the classifier's record."""


def names() -> list[str]:
    """Names of all presets, sorted."""
    return sorted(PRESETS)


def preset(name: str, classes: Sequence[str] | None = None) -> ClassifierConfig:
    """The record of a named network.

    Args:
      name: one of `names()`.
      classes: class names in the order of the logits; None takes those of the published checkpoint.

    Raises:
      ValueError: the name is unknown (the valid ones are listed), or the network has no classes of its own.
    """
    if name not in PRESETS:
        raise ValueError(f"net: {name!r} is unknown, expected one of {', '.join(names())}")
    return PRESETS[name](None if classes is None else tuple(classes))


class _Net(nn.Module):
    encoder: nn.Module
    head: nn.Module
    aux: nn.Module | None = None

    def __call__(self, features: Array, *, mode: Mode, weights: Array | None, axis_name: str | None) -> Outputs:
        batch = {"mode": mode, "weights": weights, "axis_name": axis_name}
        encoded = self.encoder(features, **batch)
        tokens, shared = (encoded, None) if self.aux is None else encoded
        logits, embedding = self.head(tokens, **batch)
        if self.aux is None:
            return Outputs(logits, embedding, tokens)
        aux_mode = mode if mode.aux is None else mode._replace(norm=mode.aux)
        return Outputs(logits, embedding, tokens, self.aux(shared, **{**batch, "mode": aux_mode}))


def front_end(config: ClassifierConfig) -> Callable[[Array], Array]:
    """The function from waveforms (batch, time) to what the encoder takes.

    Raises:
      ValueError: a constant of the front end is missing or foreign, or its rate is not the config's.
    """
    constants = {key: value for key, value in config.front_end.items() if key != "kind"}
    if config.front_end["kind"] == "wave":
        normalise = take(constants, ("normalise",), "config front_end")["normalise"]
        return normalise_wave if normalise else lambda wave: wave
    kind, compute = (FbankSpec, _fbank) if config.front_end["kind"] == "kaldi_fbank" else (MelSpec, _log_mel)
    image = mel_image.spec_of(config.front_end)
    if image is None:
        spec = kind(**take({**kind._field_defaults, **constants}, kind._fields, "config front_end"))
    else:
        spec = image.mel
    if spec.sample_rate != config.sample_rate:
        raise ValueError(f"config: front_end.sample_rate is {spec.sample_rate} Hz, sample_rate {config.sample_rate} Hz")
    return (lambda wave: compute(wave, spec)) if image is None else (lambda wave: mel_image.images(wave, image))


def _exact(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    def exact(wave: Array) -> Array:
        with precision_of_products("highest"):
            return function(wave)

    return exact


def normalise_wave(wave: Float[Array, "batch time"]) -> Float[Array, "batch time"]:
    """Every clip with mean 0 and variance 1 (biased, + 1e-5), as HuBERT large and x-large want it."""
    centred = wave - wave.mean(-1, keepdims=True)
    return centred * jax.lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + 1e-5)


def build(config: ClassifierConfig, *, matmul_precision: str | None = None, **compute: Any) -> Classifier:
    """The network of a record as pure functions (see `dhauds_jax.types.Classifier`).

    Args:
      config: the record.
      matmul_precision: JAX's name for how the network's float32 products are computed, in both directions (None: as
        is in force where it is traced). The front end and the last layer are exact whatever it is.
      compute: how to compute it (`COMPUTE` has the names by family, e.g. `dtype=jnp.bfloat16`; see also
        `dhauds_jax.nets.precision`).

    Raises:
      ValueError: an unknown family or option, a size that is missing, foreign or impossible.
    """
    if config.family not in FAMILIES:
        raise ValueError(f"config: family {config.family!r} is unknown, expected one of {sorted(FAMILIES)}")
    foreign = sorted(set(compute) - set(COMPUTE.get(config.family, ())))
    if foreign:
        raise ValueError(
            f"net: family {config.family!r} has no options {foreign}, only {COMPUTE.get(config.family, ())}"
        )
    head = build_head(config.head, len(config.classes), compute.get("dtype"))
    aux = AUX_HEADS.get(config.family, lambda _: None)(config)
    net = _Net(FAMILIES[config.family](config, **compute), head, aux)
    features = _exact(front_end(config))

    def init(key: PRNGKeyArray, wave: Float[Array, "batch time"]) -> Variables:
        def draw(key: PRNGKeyArray) -> Variables:
            inputs = jnp.zeros(jax.eval_shape(features, wave).shape)
            variables = net.init({"params": key}, inputs, mode=EVAL, weights=None, axis_name=None)
            return {"batch_stats": {}, **(variables if aux is None else aux.begun(variables))}

        if isinstance(key, jax.core.Tracer):
            return draw(key)
        # Run once: optimising the many small random draws would take most of the time.
        return jax.jit(draw, compiler_options={"xla_backend_optimization_level": 0})(key)

    def apply_features(
        variables: Variables,
        inputs: Float[Array, "batch ..."],
        *,
        mode: Mode,
        weights: Float[Array, " batch"] | None = None,
        rngs: Mapping[str, PRNGKeyArray] | None = None,
        axis_name: str | None = None,
    ) -> tuple[Outputs, Mapping[str, Any]]:
        batch = {"mode": mode, "weights": weights, "axis_name": axis_name}
        variables = jax.tree.map(jnp.asarray, dict(variables))  # checkpoints give NumPy
        with precision_of_products(matmul_precision):
            outputs, updated = net.apply(variables, inputs, **batch, rngs=rngs, mutable=["batch_stats"])
        return outputs, updated.get("batch_stats", variables.get("batch_stats", {}))

    def apply(
        variables: Variables,
        wave: Float[Array, "batch time"],
        *,
        mode: Mode,
        weights: Float[Array, " batch"] | None = None,
        rngs: Mapping[str, PRNGKeyArray] | None = None,
        axis_name: str | None = None,
    ) -> tuple[Outputs, Mapping[str, Any]]:
        return apply_features(variables, features(wave), mode=mode, weights=weights, rngs=rngs, axis_name=axis_name)

    def last_layer(variables: Variables) -> Linear:
        return head.linear(jax.tree.map(jnp.asarray, variables["params"]["head"]))

    return Classifier(init, apply, features, apply_features, last_layer, config)


def shapes(classifier: Classifier) -> Variables:
    """The variables as `jax.ShapeDtypeStruct`, nothing computed."""
    wave = jax.ShapeDtypeStruct((1, classifier.config.length), jnp.float32)
    return jax.eval_shape(classifier.init, jax.random.key(0), wave)


def parameter_count(variables: Variables) -> int:
    """Trainable values in a variables tree (running statistics are not counted)."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(variables["params"]))


def published_parameter_count(config: ClassifierConfig) -> int:
    """What a published table says: the tree's parameters, and what the reference counts beyond them."""
    dead = DEAD_PARAMETERS.get(config.family, lambda _: 0)(config)
    return parameter_count(shapes(build(config))) + dead
