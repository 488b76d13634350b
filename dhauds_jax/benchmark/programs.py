"""Forward passes and updates of the benchmark: the program of a net and a method, its times and its counts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from dhauds_jax.benchmark.timing import Program
from dhauds_jax.dsp.views import rolled_views
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import precision, zoo
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.nets.normalisers import EVAL
from dhauds_jax.tta import methods
from dhauds_jax.tta.options import parse_options
from dhauds_jax.types import AdaptState, Batch, Classifier, Method, RunInfo, SourceData

WITHOUT_VIEWS = ("source", "norm", "tent", "sar")
"""Methods that hand their batch to the network as it is, so features do as well as waves."""


class Sizes(NamedTuple):
    """What makes the program of a net; each is the flag of that name of `experiments.benchmark`."""

    classes: int
    batch: int
    seconds: float
    dtype: str
    compute: Sequence[str]
    layer_drop: float | None = None
    from_features: bool = False
    updates_per_dispatch: int = 1


def compute_options(sizes: Sizes) -> dict[str, Any]:
    """How the network is computed, from `--dtype` and `--compute`.

    Raises:
      BadInput: not written as key=value.
    """
    options = precision.compute_options(sizes.dtype)
    for text in sizes.compute:
        key, equals, value = text.partition("=")
        if not equals:
            raise BadInput(f"--compute: {text!r}, expected key=value such as attention=cudnn or scan=false")
        options[key] = {"true": True, "false": False}.get(value.lower(), value)
    return options


def config_of(net: str, sizes: Sizes) -> ClassifierConfig:
    """A net's record at the asked clip length and LayerDrop.

    Raises:
      BadInput: an unknown net, or a LayerDrop for one without.
    """
    config = zoo.preset(net, [f"class{i}" for i in range(sizes.classes)])
    if sizes.seconds:
        config = config.replace(length=round(sizes.seconds * config.sample_rate))
    if sizes.layer_drop is not None:
        if "layer_drop" not in config.geometry:
            raise BadInput(f"--layer_drop: net {net!r} has no LayerDrop, expected a HuBERT or the flag left out")
        config = config.replace(geometry={**config.geometry, "layer_drop": sizes.layer_drop})
    return config


def build(net: str, sizes: Sizes, **more: Any) -> Classifier:
    """The network of a benchmark, from waves or, as asked, from features; `more` goes before `--compute`.

    Raises:
      BadInput: an unknown net, or an option that the net's family does not have.
    """
    classifier = zoo.build(config_of(net, sizes), **{**compute_options(sizes), **more})
    return classifier._replace(apply=classifier.apply_features) if sizes.from_features else classifier


def unrolled(net: str, sizes: Sizes, classifier: Classifier) -> tuple[Classifier, bool]:
    """The network without a loop over its blocks, and whether it had one."""
    if "scan" not in zoo.family(classifier.config.family).compute:
        return classifier, False
    return build(net, sizes, scan=False), compute_options(sizes).get("scan", True)


def framed_views(
    key: PRNGKeyArray,
    features: Float[Array, "batch frames mels"] | Float[Array, "batch examples frames mels"],
    index: Int[Array, " batch"],
    limit: float,
) -> tuple[Array, Array]:
    """Two views of each clip's features, rolled over whole frames as `rolled_views` rolls samples.

    Args:
      key: random key.
      features: (batch, frames, mels); those of examples one after the other are rolled as one.
      index: (batch,) position of each clip in its set.
      limit: largest shift as a share of the frames.
    """
    joined = features.reshape(len(features), -1, features.shape[-1])
    pair = jax.vmap(lambda band: rolled_views(key, band, index, limit), in_axes=2, out_axes=2)(joined)
    return pair[0].reshape(features.shape), pair[1].reshape(features.shape)


def make_method(name: str, classifier: Classifier, options: Mapping[str, Any], axes: int | None) -> tuple[Method, str]:
    """A method, and what its views are made of.

    Args:
      name: the method's.
      classifier: the network.
      options: all options of the method.
      axes: of the features that it is fed with, batch included (None: waves).

    Raises:
      BadInput: the method cannot be fed with features.
    """
    if axes is None or axes == 2:
        return methods.make(name, classifier, options), "waves"
    if name in WITHOUT_VIEWS:
        return methods.make(name, classifier, options), "none"
    factory = methods.factory(name)
    if "views" not in inspect.signature(factory).parameters:
        raise BadInput(f"--from_features: method {name} makes its views of waves, expected dhauds, ntta, " + _PLAIN)

    def views(key: PRNGKeyArray, batch: Batch) -> tuple[Array, Array]:
        return framed_views(key, batch.wave, batch.index, options["limit"])

    return factory(classifier, **options, views=views, axis_name=None), "frames"


_PLAIN = f"{', '.join(WITHOUT_VIEWS)} and features of frames"


class Given(NamedTuple):
    """A built net with its inputs."""

    net: str
    classifier: Classifier
    variables: Any
    inputs: Array
    row: dict[str, Any]


def prepare(net: str, sizes: Sizes) -> Given:
    """A net with random weights and a batch of noise (its features with `from_features`)."""
    classifier = build(net, sizes)
    config = classifier.config
    wave = jnp.asarray(0.1 * np.random.default_rng(0).normal(size=(sizes.batch, config.length)), jnp.float32)
    variables = classifier.init(jax.random.key(0), wave)
    row = {"net": net, "batch": sizes.batch, "clip_seconds": config.length / config.sample_rate}
    row["input"] = "features" if sizes.from_features else "wave"
    if "layer_drop" in config.geometry:
        row["layer_drop"] = config.geometry["layer_drop"]
    inputs = jax.jit(classifier.features)(wave) if sizes.from_features else wave
    return Given(net, classifier, variables, inputs, row)


def forward_program(given: Given, sizes: Sizes) -> Program:
    """The evaluation pass: `(variables, inputs) -> logits`."""
    plain, looped = unrolled(given.net, sizes, given.classifier)

    def logits(classifier: Classifier) -> Callable[..., Array]:
        return lambda variables, inputs: classifier.apply(variables, inputs, mode=EVAL)[0].logits

    row = {"what": "forward", **given.row}
    args = (given.variables, given.inputs)
    return Program(row, logits(given.classifier), args, False, logits(plain), 1, looped)


def adapt_program(given: Given, name: str, options: Mapping[str, Any], sizes: Sizes) -> Program:
    """One or several updates of a method: `(state, batch, key) -> (state, prediction)`.

    Methods that look at the set first have looked at the batch; source clips are made up.

    Args:
      given: the net and its inputs.
      name: of the method.
      options: all options of the method.
      sizes: of the program.

    Raises:
      BadInput: the net lacks what the method needs, an option that it refuses, no way to be fed with features.
    """
    axes = given.inputs.ndim if sizes.from_features else None
    method, views = make_method(name, given.classifier, options, axes)
    labels = jnp.arange(sizes.batch, dtype=jnp.int32) % sizes.classes
    source = SourceData(given.inputs, labels) if given.inputs.ndim == 2 else None
    info = RunInfo(1, sizes.batch, sizes.classes, source, sizes.batch)
    methods.check_needs(name, method, given.variables, info)
    batch = Batch(given.inputs, jnp.ones(sizes.batch), jnp.arange(sizes.batch, dtype=jnp.int32))
    state = jax.tree.map(jnp.copy, method.init(given.variables, info))
    if method.begin_epoch is not None:
        observed = jax.jit(method.observe or method.predict)(state, batch)
        state = method.begin_epoch(state, observed, jax.random.key(2))
    plain, looped = unrolled(given.net, sizes, given.classifier)
    updates = sizes.updates_per_dispatch
    row = {"what": "adapt", "method": name, **given.row, "updates_per_dispatch": updates, "views_of": views}
    function = method.step if updates == 1 else several(method, updates)
    once = make_method(name, plain, options, axes)[0].step
    return Program(row, function, (state, batch, jax.random.key(1)), True, once, updates, looped or updates > 1)


def several(method: Method, updates: int) -> Callable[[AdaptState, Batch, PRNGKeyArray], tuple[AdaptState, Any]]:
    """That many updates on one batch in one dispatch, a key each; predictions are stacked."""

    def step(state: AdaptState, batch: Batch, key: PRNGKeyArray) -> tuple[AdaptState, Any]:
        return jax.lax.scan(lambda s, k: method.step(s, batch, k), state, jax.random.split(key, updates))

    return step


def rows(
    nets: Sequence[str],
    what: Sequence[str],
    names: Sequence[str],
    options: Sequence[str],
    sizes: Sizes,
    measure: Callable[[Program, Given], dict[str, Any]],
) -> Iterator[dict[str, Any]]:
    """Rows of every net, forward and with every method, as `measure` makes them.

    With several nets or methods, what cannot run gives a row with `reason`, and the others go on.

    Raises:
      BadInput: the only one asked for cannot run.
    """
    alone = len(nets) == 1 and ("adapt" not in what or len(names) == 1)
    for net in nets:
        works: list[tuple[dict[str, Any], Callable[[Given], Program]]] = []
        if "forward" in what:
            works.append(({"what": "forward"}, lambda given: forward_program(given, sizes)))
        for name in names if "adapt" in what else ():
            works.append(
                (
                    {"what": "adapt", "method": name},
                    lambda given, name=name: adapt_program(
                        given, name, parse_options(name, "reference", options, names), sizes
                    ),
                )
            )
        given: Given | None = None
        for row, program in works:
            try:
                given = given or prepare(net, sizes)
                yield measure(program(given), given)
            except (BadInput, jax.errors.JaxRuntimeError) as error:
                if alone and isinstance(error, BadInput):
                    raise
                yield {**row, "net": net, "reason": " ".join(str(error).split())[:300]}
