"""Every network by name: `build(preset("amaut_sc2"))`.

A new family is one `Family` record beside its sizes and presets, and one line in `names.FAMILIES`. A user's own is
written "module:attribute": a preset as `preset`'s name, a `Family` as a config's `family`.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from dhauds_jax import digests, registry
from dhauds_jax.errors import BadInput
from dhauds_jax.names import FAMILIES, READS
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.nets.dual_embedding import INITIAL
from dhauds_jax.nets.family import Family
from dhauds_jax.nets.front_ends import front_end
from dhauds_jax.nets.heads import build_head
from dhauds_jax.nets.normalisers import EVAL, keeping
from dhauds_jax.nets.precision import precision_of_products
from dhauds_jax.types import Apply, Classifier, Linear, Mode, Outputs, Tap, Variables
from dhauds_jax.wording import kind_of

TAPPED = tuple(what for what in READS if what != "wave")
"""What `Classifier.tap` gives."""


def family(name: str) -> Family:
    """The record of a family, imported when it is asked for.

    Raises:
      BadInput: an unknown name (the nearest ones are given), or a "module:attribute" that is no `Family`.
    """
    found = registry.find("net family", name, FAMILIES)
    if not isinstance(found, Family):
        raise BadInput(f"net family {name!r} is {kind_of(found)}, expected a dhauds_jax.nets.family.Family")
    return found


def names() -> list[str]:
    """Names of all presets, sorted."""
    return sorted(preset for each in FAMILIES for preset in family(each).presets)


def preset(name: str, classes: Sequence[str] | None = None) -> ClassifierConfig:
    """The record of a named network.

    Args:
      name: one of `names()`, or "module:function", a `Preset` of the user's own.
      classes: class names in the order of the logits; None takes those of the published checkpoint.

    Raises:
      BadInput: the name is unknown (the nearest ones are given), the network has no classes of its own, or what the
        user's own name stands for gives no record.
    """
    chosen = None if classes is None else tuple(classes)
    if registry.is_foreign(name):
        return _own_preset(name, chosen)
    for each in FAMILIES:
        if name in family(each).presets:
            return family(each).presets[name](chosen)
    raise BadInput(registry.unknown("net", name, names()))


def _own_preset(name: str, classes: tuple[str, ...] | None) -> ClassifierConfig:
    """What a "module:function" gives, under that name, so that its checkpoints say where it comes from."""
    make = registry.find("net", name, {})
    if callable(make) and "classes" not in _parameters(make):  # before it is called: a checkpoint's file may name it
        raise BadInput(
            f"net {name!r}: has no parameter `classes`, expected a function of them that gives a ClassifierConfig"
        )
    made = make(classes) if callable(make) else make
    if not isinstance(made, ClassifierConfig):
        raise BadInput(
            f"net {name!r}: gives {kind_of(made)}, expected a function of class names that gives a ClassifierConfig"
        )
    return made.replace(net=name)


def _parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    """Names of a function's parameters; none where Python cannot say."""
    try:
        return tuple(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return ()


def at_length(config: ClassifierConfig, seconds: float) -> ClassifierConfig:
    """The record of a network for clips of another length, which has as many frames as they have.

    Args:
      config: the record; as it is where its clips are that long already.
      seconds: of the clips.

    Raises:
      BadInput: clips so short that the network has nothing to look at, or of a length that its layers do not take.
    """
    samples = round(seconds * config.sample_rate)
    if samples == config.length:
        return config
    constants = dict(config.front_end)
    if constants.get("frames") is not None:
        constants["frames"] = None
    longer = family(config.family).fitted(config.replace(length=samples, front_end=constants))
    try:
        shapes(build(longer))
    except (TypeError, ValueError) as error:  # of layers; at its own length the network is known to be sound
        if isinstance(error, BadInput):
            raise
        first = str(error).partition("\n")[0]
        raise BadInput(f"its layers do not go together there ({first}), expected another length") from error
    return longer


def own_settings(config: ClassifierConfig) -> str | None:
    """The digest of a config that is not its net's preset; None where it is.

    Constants of the front end, dropouts and the like count; where the weights come from does not.
    """
    try:
        ordinary = preset(config.net, config.classes)
    except BadInput:  # "custom", or a preset of one's own that is not here
        ordinary = None
    config = config.replace(source={})
    if ordinary is not None and config == ordinary.replace(source={}):
        return None
    return digests.of_texts(config.to_json())


class _Net(nn.Module):
    """The encoder and its head.

    `initial` is a second, frozen encoder for heads that join two (`dual_embedding`); `reads` says what of the encoder
    the head is given beside the tokens.
    """

    encoder: nn.Module
    head: nn.Module
    aux: nn.Module | None = None
    beside: bool = False
    initial: nn.Module | None = None
    reads: str | None = None

    def __call__(self, features: Array, *, mode: Mode, weights: Array | None, axis_name: str | None) -> Outputs:
        batch = {"mode": mode, "weights": weights, "axis_name": axis_name}
        if self.reads:
            return self._read(features, self.reads, batch)
        encoded = self.encoder(features, **batch)
        tokens, shared = (encoded, None) if self.aux is None else encoded
        beside = {"features": features} if self.beside else {}
        logits, embedding = self.head(tokens, **batch, **beside)
        if self.aux is None:
            return Outputs(logits, embedding, tokens)
        aux_mode = mode._replace(norm=mode.aux or keeping(mode.norm))
        return Outputs(logits, embedding, tokens, self.aux(shared, **{**batch, "mode": aux_mode}))

    def _read(self, features: Array, reads: str, batch: dict[str, Any]) -> Outputs:
        """With a head that reads more than the tokens."""
        tokens, read = self.encoder.tap(features, reads, **batch)
        first = tokens if self.initial is None else self.initial(features, **{**batch, "mode": EVAL})
        logits, embedding = self.head(first, **batch, read=read)
        return Outputs(logits, embedding, tokens)


def _exact(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    def exact(wave: Array) -> Array:
        with precision_of_products("highest"):
            return function(wave)

    return exact


def _init_of(net: _Net, features: Callable[[Array], Array]) -> Callable[..., Variables]:
    def init(key: PRNGKeyArray, wave: Float[Array, "batch time"]) -> Variables:
        def draw(key: PRNGKeyArray) -> Variables:
            inputs = jnp.zeros(jax.eval_shape(features, wave).shape)
            variables = net.init({"params": key}, inputs, mode=EVAL, weights=None, axis_name=None)
            return {"batch_stats": {}, **(variables if net.aux is None else net.aux.begun(variables))}

        if isinstance(key, jax.core.Tracer):
            return draw(key)
        # Run once: optimising the many small random draws would take most of the time.
        return jax.jit(draw, compiler_options={"xla_backend_optimization_level": 0})(key)

    return init


def build(config: ClassifierConfig, *, matmul_precision: str | None = None, **compute: Any) -> Classifier:
    """The network of a record as pure functions (see `dhauds_jax.types.Classifier`).

    Args:
      config: the record.
      matmul_precision: JAX's name for how the network's float32 products are computed, in both directions (None: as
        is in force where it is traced). The front end and the last layer are exact whatever it is.
      compute: how to compute it (`family(name).compute` has the names, e.g. `dtype=jnp.bfloat16`; see also
        `dhauds_jax.nets.precision`).

    Raises:
      BadInput: an unknown family or option, a size that is missing, foreign or impossible.
    """
    kind = family(config.family)
    foreign = sorted(set(compute) - set(kind.compute))
    if foreign:
        raise BadInput(f"net: family {config.family!r} has no options {foreign}, only {kind.compute}")
    head = build_head(config.head, len(config.classes), compute.get("dtype"))
    beside = getattr(head, "needs_features", False)
    encoder = kind.build_encoder(config, **compute)
    reads = getattr(head, "reads", None)
    if reads:
        _check_tapped(encoder, config, reads)
    initial = kind.build_encoder(config, **compute) if getattr(head, INITIAL, False) else None
    net = _Net(encoder, head, kind.build_aux(config), beside, initial, reads)
    features = _exact(front_end(config))

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

    tap = _tap_of(encoder, apply_features, config, matmul_precision)
    return Classifier(_init_of(net, features), apply, features, apply_features, last_layer, config, tap)


def _tap_of(encoder: nn.Module, apply_features: Apply, config: ClassifierConfig, matmul_precision: str | None) -> Tap:
    """What learners read, evaluated as in a prediction; encoders with more than an embedding have a method `tap`."""

    def tap(variables: Variables, features: Float[Array, "batch ..."], what: str) -> Array:
        if what == "embedding":
            return apply_features(variables, features, mode=EVAL)[0].embedding
        if what not in TAPPED:
            raise BadInput(f"net: {what!r} cannot be read of a network, expected one of {', '.join(TAPPED)}")
        _check_tapped(encoder, config, what)

        def run(name: str, *given: Any, **method: Any) -> Any:
            own = {kind: jax.tree.map(jnp.asarray, tree[name]) for kind, tree in variables.items() if name in tree}
            return encoder.apply(own, features, *given, mode=EVAL, **method)

        with precision_of_products(matmul_precision):
            read = run("encoder", what, method="tap")[1]
            if what == "tokens" and INITIAL in variables["params"]:
                read = jnp.concatenate([read, run(INITIAL).mean(1, keepdims=True)], 1)
        return read

    return tap


def _check_tapped(encoder: nn.Module, config: ClassifierConfig, what: str) -> None:
    """Raises `BadInput` unless the encoder gives more than an embedding."""
    if not hasattr(encoder, "tap"):
        raise BadInput(
            f"net {config.net!r}: family {config.family!r} has no {what} to read, expected a spectrogram "
            "transformer, an AMAuT or a HuBERT: take a learner that reads embeddings"
        )
    if what == "rows" and not hasattr(encoder, "grid"):
        raise BadInput(
            f"net {config.net!r}: family {config.family!r} has no rows of patches to read, expected a spectrogram "
            "transformer: read its bands, or the network"
        )


def shapes(classifier: Classifier) -> Variables:
    """The variables as `jax.ShapeDtypeStruct`, nothing computed."""
    wave = jax.ShapeDtypeStruct((1, classifier.config.length), jnp.float32)
    return jax.eval_shape(classifier.init, jax.random.key(0), wave)


def parameter_count(variables: Variables) -> int:
    """Trainable values in a variables tree (running statistics are not counted)."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(variables["params"]))


def published_parameter_count(config: ClassifierConfig) -> int:
    """What a published table says: the tree's parameters, and what the reference counts beyond them."""
    return parameter_count(shapes(build(config))) + family(config.family).dead(config)
