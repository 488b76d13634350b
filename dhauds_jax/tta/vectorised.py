"""Studies: one compiled step for many copies of a run that differ in seed or learning rate (`vmap`).

Only what a method moves has copies (its group of parameters, BatchNorm statistics, optimiser, memory); the frozen
leaves are there once. Copies lie on a grid of seeds x rates. Those of one seed see the same clips in the same order,
so a batch, its front end and the layers before the first copied leaf are computed once for all rates.

`tta.vectorised_protocols` runs them. Copy (k, r) is the plain run of `tta.protocols` with key k and rate r: the keys
are derived alike. The numbers differ by rounding alone, since sums run in another order and the rate is a float32
number instead of a folded constant; tests/tta/test_vectorised.py states how little.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.nets import masks
from dhauds_jax.tta import methods
from dhauds_jax.tta.declared import declared
from dhauds_jax.tta.evaluation import own
from dhauds_jax.types import AdaptState, Batch, Classifier, Method, Prediction, RunInfo, Variables

Copy = tuple[int, int]
"""Which copy: (position of its seed, position of its rate)."""


class Shared(NamedTuple):
    """What is there once: the frozen parameters, and the (rates,) learning rates (0 where the option's is used)."""

    frozen: Any
    rates: Float[Array, " rates"]


class Study(NamedTuple):
    """A method with its jitted functions over copies; made by `study`.

    All take `copies` (an `AdaptState` whose leaves are (seeds, rates, ...) and whose parameters are the moving ones
    alone) and `shared`, both of `start`. Arrays for each seed are (seeds, ...); a batch whose `weights` have one axis
    is for all seeds. With `_replace(seeds=..., rates=...)` another grid uses the same functions.

    Attributes:
      method: the method with the first rate.
      seeds: number of seeds.
      rates: learning rates, None for the method's own option (or for methods without one).
      step: `(copies, shared, batch, keys) -> (copies, Prediction)`, copies donated.
      predict: `(copies, shared, batch) -> logits` (seeds, rates, batch, classes).
      observe: `(copies, shared, batch) -> pytree` of (seeds, rates, batch, ...), what `begin_epoch` looks at.
      begin_epoch: `(copies, shared, observed, keys) -> copies`, None where the method has none.
      begun: `(variables, info, rates) -> states` before the first update, one for all rates or one a rate.
    """

    method: Method
    seeds: int
    rates: tuple[float, ...] | None
    step: Callable[..., tuple[AdaptState, Any]]
    predict: Callable[..., Array]
    observe: Callable[..., Any]
    begin_epoch: Callable[..., AdaptState] | None
    begun: Callable[[Variables, RunInfo, tuple[float, ...] | None], list[AdaptState]]

    @property
    def shape(self) -> Copy:
        """The grid: (seeds, rates)."""
        return self.seeds, 1 if self.rates is None else len(self.rates)


def check_rates(name: str, options: Mapping[str, Any], rates: Sequence[float] | None) -> None:
    """Raises `BadInput` in one sentence when these rates cannot be studied with this method."""
    if rates is None:
        return
    if "lr" not in options:
        able = [m for m in methods.METHODS if "lr" in methods.default_options(m, "reference")]
        raise BadInput(f"method {name} has no learning rate to vary: expected one of {', '.join(able)}")
    if not len(rates):
        raise BadInput("--lr is empty: expected at least one number above 0")
    for rate in rates:
        check_number("--lr", rate, 0.0, above=True)


def study(
    name: str,
    classifier: Classifier,
    options: Mapping[str, Any],
    *,
    rates: Sequence[float] | None = None,
    seeds: int = 1,
    compiler_options: Mapping[str, Any] | None = None,
) -> Study:
    """A method over a grid of seeds x learning rates.

    Args:
      name: of the method.
      classifier: the network.
      options: the method's resolved options, for all copies; `lr` gives way to `rates`.
      rates: learning rates; None keeps the option.
      seeds: number of seeds.
      compiler_options: for XLA, as in `evaluation.compiled`.

    Raises:
      BadInput: no rate or seed, a rate that is not above 0, rates for a method without `lr`.
    """
    check_rates(name, options, rates)
    if seeds < 1:
        raise BadInput(f"a study over {seeds} seeds: expected at least 1")

    def made(rate: Array | float) -> Method:
        return methods.make(name, classifier, options if rates is None else {**options, "lr": rate})

    method = made(0.0 if rates is None else float(rates[0]))

    def over_copies(function: Callable[..., Any], *by_rate: int | None) -> Callable[..., Any]:
        """Maps `function(method, state, *rest)` over the grid; `by_rate` are the axes of `rest` over a seed's rates."""

        def one(copy: AdaptState, shared: Shared, *rest: Any) -> Any:
            return function(made(shared.rates), joined(copy, shared.frozen), *rest)

        def mapped(copies: AdaptState, shared: Shared, *rest: Any) -> Any:
            of_a_seed = jax.vmap(one, (0, Shared(None, 0), *by_rate))
            by_seed = (None if isinstance(part, Batch) and part.weights.ndim == 1 else 0 for part in rest)
            return jax.vmap(of_a_seed, (0, None, *by_seed))(copies, shared, *rest)

        return mapped

    def step(method: Method, state: AdaptState, batch: Batch, key: PRNGKeyArray) -> tuple[AdaptState, Prediction]:
        state, prediction = method.step(state, batch, key)
        return parted(state, method.adapts)[0], prediction

    def predict(method: Method, state: AdaptState, batch: Batch) -> Array:
        return method.predict(state, batch)

    def observe(method: Method, state: AdaptState, batch: Batch) -> Any:
        return method.observe(state, batch)

    def begin_epoch(method: Method, state: AdaptState, observed: Any, key: PRNGKeyArray) -> AdaptState:
        return parted(method.begin_epoch(state, observed, key), method.adapts)[0]

    def begun(variables: Variables, info: RunInfo, at: tuple[float, ...] | None) -> list[AdaptState]:
        apart = at is not None and declared(methods.factory(name)).begins_at_rate
        return [one.init(variables, info) for one in ([made(rate) for rate in at or ()] if apart else [method])]

    jit = functools.partial(jax.jit, compiler_options=None if compiler_options is None else dict(compiler_options))
    jitted = jit(over_copies(predict, None))
    return Study(
        method,
        seeds,
        None if rates is None else tuple(float(rate) for rate in rates),
        jit(over_copies(step, None, None), donate_argnums=0),
        jitted,
        jitted if method.observe is None else jit(over_copies(observe, None)),
        None if method.begin_epoch is None else jit(over_copies(begin_epoch, 0, None)),
        begun,
    )


def parted(state: AdaptState, group: masks.Group) -> tuple[AdaptState, dict[str, Any]]:
    """(the state with the moving parameters alone, the frozen parameters)."""
    moving, frozen = masks.split(state.variables["params"], group)
    return state._replace(variables={**state.variables, "params": moving}), frozen


def joined(copy: AdaptState, frozen: Mapping[str, Any]) -> AdaptState:
    """The inverse of `parted`."""
    return copy._replace(variables={**copy.variables, "params": masks.merge(copy.variables["params"], frozen)})


def start(study: Study, variables: Variables | Sequence[Variables], info: RunInfo) -> tuple[AdaptState, Shared]:
    """(copies, what they share) before the first update.

    Args:
      study: what is to run.
      variables: the classifier's, for all seeds, or a list of one tree a seed (equal in their parameters).
      info: of the run.

    Raises:
      BadInput: not as many trees as seeds, or what the method's own `init` says.
    """
    trees = [variables] if isinstance(variables, Mapping) else list(variables)
    if len(trees) not in (1, study.seeds):
        raise BadInput(f"{len(trees)} trees of variables for {study.seeds} seeds: expected one, or one a seed")
    parts = [[parted(state, study.method.adapts) for state in study.begun(tree, info, study.rates)] for tree in trees]
    rows = [jax.tree.map(lambda *leaves: jnp.stack(leaves), *(copy for copy, _ in part)) for part in parts]
    first = jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows)
    spread = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (*study.shape, *leaf.shape[2:])), first)
    rates = jnp.zeros(1, jnp.float32) if study.rates is None else jnp.asarray(study.rates, jnp.float32)
    return own(spread), Shared(parts[0][0][1], rates)


def state_of(copies: AdaptState, shared: Shared, copy: Copy) -> AdaptState:
    """The whole state of one copy, as the plain run has it."""
    return joined(jax.tree.map(lambda leaf: leaf[copy], copies), shared.frozen)
