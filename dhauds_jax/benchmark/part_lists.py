"""The parts of networks that `experiments.benchmark --what=parts` times: one `Part` each, a list for each family."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from dhauds_jax.benchmark import programs
from dhauds_jax.benchmark.programs import Given, Sizes
from dhauds_jax.dsp.stretch import griffin_lim, time_stretch
from dhauds_jax.nets import amaut, amaut_zoo, hubert, hubert_zoo, positional_conv
from dhauds_jax.nets.heads import build_head
from dhauds_jax.nets.layers import Bottleneck, Dense, Stem
from dhauds_jax.nets.normalisers import EVAL, TRAIN
from dhauds_jax.tta.methods.dhauds import PROFILES, two_view_losses

DIRECTIONS = ("forward", "gradient", "inputs", "weights")
"""Forward in evaluation mode; forward in training mode and gradients by inputs and weights, by inputs, by weights."""

Function = Callable[[Any, Array, Array | None], Array]
"""`(params, inputs, key) -> array`: in training mode with a key, in evaluation mode with None."""


class Part(NamedTuple):
    """A piece of a network.

    Attributes:
      name: for the table.
      function: what it computes.
      params: its weights, () for none.
      inputs: what it takes.
      times: how often a pass of the whole has it.
      directions: what is timed, some of `DIRECTIONS`.
      plain: the same without a loop, for counting (None: `function` has none).
      counted: whether operations and bytes are counted; not where a loop cannot be avoided.
    """

    name: str
    function: Function
    params: Any
    inputs: Array
    times: int = 1
    directions: tuple[str, ...] = DIRECTIONS
    plain: Function | None = None
    counted: bool = True


def _noise(*shape: int, dtype: Any = jnp.float32) -> Array:
    return jnp.asarray(np.random.default_rng(0).normal(size=shape), dtype)


def _module(module: Any, **call: Any) -> Function:
    """A module without statistics as a part's function."""
    return lambda params, inputs, key: module.apply({"params": params}, inputs, **call)


def whole(given: Given, sizes: Sizes) -> Part:
    """The net from its features; gradients in training mode, of one view."""

    def logits(classifier: Any) -> Function:
        def function(params: Any, inputs: Array, key: Array | None) -> Array:
            variables = {**given.variables, "params": params}
            mode, rngs = (EVAL, None) if key is None else (TRAIN, {"dropout": key})
            return classifier.apply(variables, inputs, mode=mode, rngs=rngs)[0].logits

        return function

    plain, looped = programs.unrolled(given.net, sizes._replace(from_features=True), given.classifier)
    function = logits(given.classifier)
    directions = ("forward", "gradient", "weights")
    return Part(
        "whole", function, given.variables["params"], given.inputs, 1, directions, logits(plain) if looped else None
    )


def _compute(sizes: Sizes) -> dict[str, Any]:
    """What an encoder's builder takes; the precision of products is set around the whole benchmark."""
    options = programs.compute_options(sizes)
    return {name: value for name, value in options.items() if name != "matmul_precision"}


def _ends(given: Given, tokens: int, width: int) -> list[Part]:
    """Head and two-view loss, which all families share."""
    config, batch = given.classifier.config, given.inputs.shape[0]
    head, held = build_head(config.head, len(config.classes)), given.variables["batch_stats"]
    statistics = {"batch_stats": held["head"]} if "head" in held else {}

    def logits(params: Any, inputs: Array, key: Array | None) -> Array:
        mode = EVAL if key is None else TRAIN
        return head.apply({"params": params, **statistics}, inputs, mode=mode, mutable=["batch_stats"])[0][0]

    rates = dict(nucnm=1.0, ent=0.5, gent=0.5, q=1.1, mse=0.1, epsilon=1e-8)
    choices = {key: PROFILES["reference"][key] for key in ("gent_views", "partial_batch")}

    def loss(params: Any, inputs: Array, key: Array | None) -> Array:
        return two_view_losses(inputs[0], inputs[1], jnp.ones(batch), None, **rates, **choices)["total"]

    pair = _noise(2, batch, len(config.classes))
    return [
        Part("head", logits, given.variables["params"]["head"], _noise(batch, tokens, width)),
        Part("two-view loss", loss, (), pair, 1, ("forward", "inputs")),
    ]


class _Attend(hubert.Block):
    """The attention of a block alone, its products included."""

    @nn.compact
    def __call__(self, x: Array, key: Array | None) -> Array:
        return self._attend(x, key)


class _Feed(hubert.Block):
    """The feed-forward of a block alone."""

    @nn.compact
    def __call__(self, x: Array, key: Array | None) -> Array:
        return self._feed(x, key)


class _Stack(hubert.Hubert):
    """The blocks alone."""

    @nn.compact
    def __call__(self, x: Array, key: Array | None) -> Array:
        return self._blocks(x, key, None, False)[0]


def _keyed(module: Any, *more: Any) -> Function:
    """A module called `(x, key, *more)` as a part's function, dropout on in training."""

    def function(params: Any, inputs: Array, key: Array | None) -> Array:
        out = module.apply({"params": params}, inputs, key, *more)
        return out[0] if isinstance(out, tuple) else out

    return function


def _core(implementation: str) -> Function:
    """Scores, softmax and weighted sum of ready queries, keys and values (3, batch, frames, heads, channels)."""
    return lambda params, qkv, key: jax.nn.dot_product_attention(*qkv, implementation=implementation)


def _hubert(given: Given, sizes: Sizes) -> list[Part]:
    net = hubert_zoo.build_encoder(given.classifier.config, **_compute(sizes))
    params, dtype, batch = given.variables["params"]["encoder"], net.compute.dtype, given.inputs.shape[0]
    frames = hubert.frames_of(given.inputs.shape[1], net.convs)
    x = _noise(batch, frames, net.width, dtype=dtype or jnp.float32)
    front = functools.partial(hubert.FrontEnd, use_bias=net.conv_bias, norm=net.conv_norm, dtype=dtype)
    first = {name: params["front_end"][name] for name in params["front_end"] if name.endswith("0")}
    block = {name: getattr(net, name) for name in hubert.BLOCK_SIZES} | {"dtype": dtype}
    one = jax.tree.map(lambda leaf: leaf[0], params["blocks"])
    stack = {name: getattr(net, name) for name in hubert_zoo.GEOMETRY}

    def blocks(scan: bool) -> Function:
        return _keyed(_Stack(**stack, compute=net.compute._replace(scan=scan)))

    def project(p: Any, inputs: Array, key: Array | None) -> Array:
        normed = hubert.Norm().apply({"params": p["projection_layer_norm"]}, inputs)
        return Dense(net.width, dtype=dtype).apply({"params": p["projection"]}, normed)

    projection = {name: params[name] for name in ("projection_layer_norm", "projection")}
    qkv = _noise(3, batch, frames, net.heads, net.width // net.heads, dtype=dtype or jnp.float32)
    cores = ["xla"] + ["cudnn"] * (jax.default_backend() == "gpu" and dtype is not None)
    twice = ("forward", "inputs")
    return [
        Part("front end, all convolutions", _module(front(net.convs)), params["front_end"], given.inputs),
        Part("front end, first with norm and GELU", _module(front(net.convs[:1])), first, given.inputs),
        Part("projection with norm", project, projection, _noise(batch, frames, net.convs[-1][0], dtype=x.dtype)),
        *(
            Part(
                f"positional convolution, {way}",
                _module(positional_conv.PositionalConv(net.positional_taps, net.positional_groups, way, dtype)),
                params["positional"],
                x,
            )
            for way in ("direct", "fft")
        ),
        Part("attention of a block", _keyed(_Attend(**block)), {k: one[k] for k in ("qkv", "out")}, x, net.depth),
        *(Part(f"attention core, {way}", _core(way), (), qkv, net.depth, twice) for way in cores),
        Part(
            "feed-forward of a block",
            _keyed(_Feed(**block)),
            {k: one[k] for k in ("intermediate", "output")},
            x,
            net.depth,
        ),
        Part("GELU of a block", lambda _, y, key: hubert.gelu(y), (), jnp.tile(x, 4), net.depth, twice),
        Part("norm", _module(hubert.Norm()), params["layer_norm"], x, 2 * net.depth + 1),
        Part("block", _keyed(hubert.Block(**block), False), one, x, net.depth),
        Part("blocks, scan", blocks(True), {"blocks": params["blocks"]}, x, plain=blocks(False)),
        Part("blocks, unrolled", blocks(False), {"blocks": params["blocks"]}, x),
        *_ends(given, frames, net.width),
    ]


def _amaut(given: Given, sizes: Sizes) -> list[Part]:
    config = given.classifier.config
    net = amaut_zoo.build_encoder(config, **_compute(sizes))
    params, held = given.variables["params"]["encoder"], given.variables["batch_stats"]["encoder"]
    batch, frames, _ = given.inputs.shape

    def normed(modules: Mapping[str, Any]) -> Function:
        """Modules with BatchNorm, one after the other."""

        def function(p: Any, x: Array, key: Array | None) -> Array:
            mode = EVAL if key is None else TRAIN
            for name, module in modules.items():
                variables = {"params": p[name], "batch_stats": held[name]}
                x, _ = module.apply(variables, x, mode=mode, mutable=["batch_stats"])
            return x

        return function

    x = jax.eval_shape(lambda y: normed({"stem": Stem(net.width)})(params, y, None), given.inputs)
    parts = [Part("stem", normed({"stem": Stem(net.width)}), {"stem": params["stem"]}, given.inputs)]
    block, middle = 0, net.width
    for stage, blocks in enumerate(net.stages):
        modules = {}
        for i in range(1 + blocks):
            modules[f"block{block}"] = Bottleneck(4 * middle, middle, 2 if stage > 0 and i == 0 else 1)
            block += 1
        middle *= 2
        function, own = normed(modules), {name: params[name] for name in modules}
        parts.append(Part(f"residual stage {stage}", function, own, _noise(*x.shape)))
        x = jax.eval_shape(lambda p, y, f=function: f(p, y, None), own, x)
    tokens = _noise(batch, amaut.tokens(config, frames), net.embed)
    layer = amaut.TransformerBlock(net.heads, net.mlp, net.mlp_norm)
    return [
        *parts,
        Part("embedding", _module(Dense(net.embed)), params["embed"], _noise(*x.shape)),
        Part("transformer block", _module(layer), params["layer0"], tokens, net.depth),
        *_ends(given, tokens.shape[1], net.embed),
        *_signal_parts(given),
    ]


def _signal_parts(given: Given) -> list[Part]:
    """The front end, and time stretch, which is no part of the network (its share says how it compares)."""
    config, batch = given.classifier.config, given.inputs.shape[0]
    wave = 0.1 * _noise(batch, config.length)
    n_fft = 2 ** min(10, int(math.log2(config.length)) - 1)
    hop = n_fft // 4
    magnitude = jnp.abs(_noise(batch, 1 + config.length // hop, n_fft // 2 + 1))

    def stretched(iterations: int) -> Function:
        return lambda _, x, key: griffin_lim(x, n_fft=n_fft, hop=hop, power=2.0, iterations=iterations)

    def whole_stretch(_: Any, x: Array, key: Array | None) -> Array:
        return time_stretch(x, 1.06, n_fft=n_fft, hop=hop)

    once = ("forward",)
    return [
        Part("log-mel", lambda _, x, key: given.classifier.features(x), (), wave, 1, once),
        Part("Griffin-Lim, no round", stretched(0), (), magnitude, 1, once),
        Part("Griffin-Lim, one round", stretched(1), (), magnitude, 1, once),
        Part("time stretch, 32 rounds", whole_stretch, (), wave, 1, once, counted=False),
    ]


FAMILIES: dict[str, Callable[[Given, Sizes], list[Part]]] = {"hubert": _hubert, "amaut": _amaut}
"""Family -> its parts beside the whole."""
