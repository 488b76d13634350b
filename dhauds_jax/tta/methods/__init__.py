"""The adaptation methods by name. A new one: its file, one line in `names.METHODS`, one row in docs/methods.md.

Every function here takes a name of ours or "my_package.my_module:factory", a factory of the user's own.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

from dhauds_jax import factory_options, names, registry
from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.nets import masks, mel_image
from dhauds_jax.tta.declared import OURS, declared, said
from dhauds_jax.tta.plugged import held
from dhauds_jax.types import Classifier, Method, RunInfo, Variables
from dhauds_jax.wording import kind_of

METHODS: Mapping[str, Callable[..., Method]] = registry.Registry("method", names.METHODS)
"""Method name -> factory `(classifier, *, options..., axis_name=None) -> Method`, imported when it is taken."""

NEEDS: Mapping[str, tuple[Callable[[Variables, RunInfo], bool], str]] = {
    "batch_norm": (lambda v, info: masks.has_batch_norm(v), "a network with BatchNorm layers, and this one has none"),
    "source_data": (lambda v, info: info.source is not None, "labelled source batches, and this run has none"),
    "aux_head": (
        lambda v, info: "aux" in v["params"],
        "a network trained with an auxiliary head, and this one has none",
    ),
    "input_norm": (
        lambda v, info: mel_image.has_statistics(v),
        "a network that normalises its images with statistics in its variables (input_norm), and this one has none; "
        "give input_statistics=checkpoint",
    ),
}
"""What `Method.needs` may name -> (whether it is there, the end of the sentence where it is not)."""

RANGES: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys(("lr", "momentum", "weight_decay"), (0.0, math.inf)),
    **dict.fromkeys(("b1", "b2"), (0.0, 1.0)),
}
"""Options that mean the same in every method -> their least value, and what they lie below."""


def factory(name: str) -> Callable[..., Method]:
    """The factory of a method.

    Raises:
      BadInput: an unknown name (the nearest ones are given), or a "module:attribute" that is no factory.
    """
    found = METHODS[name]
    if not callable(found):
        raise BadInput(
            f"method {name!r} is {kind_of(found)}, expected a factory "
            "(classifier, *, options..., axis_name=None) -> Method"
        )
    return found


def contract_options(name: str) -> dict[str, Any]:
    """The options that a method's declaration has for the contract table."""
    return dict(declared(factory(name)).contract_options)


def default_options(name: str, profile: str) -> dict[str, Any]:
    """A method's options with the values that `profile` gives them.

    Options are the factory's keyword arguments with a number, a text or a truth value as their default; others, such as
    `axis_name`, are for code.
    """
    registry.check("profile", profile, names.PROFILES)
    made = factory(name)
    signature = inspect.signature(made).parameters
    options = {key: p.default for key, p in signature.items() if isinstance(p.default, bool | int | float | str)}
    return {**options, **declared(made).profiles.get(profile, {})}


def _converted(name: str, key: str, text: Any, default: Any) -> Any:
    if not isinstance(text, str) or isinstance(default, str):
        return text
    try:
        if isinstance(default, bool):
            return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
        return type(default)(text)
    except (KeyError, ValueError):
        raise BadInput(
            f"method {name}: option {key} is {text!r}, expected {kind_of(default)} such as {default}"
        ) from None


def _check(key: str, value: Any, default: Any, name: str) -> None:
    """What an option may be by its name alone; the method's factory knows the rest, such as whether it may be inf."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value == default:
        return
    lowest, highest = RANGES.get(key, (-math.inf, math.inf))
    check_number(f"method {name}: option {key}", value, lowest, highest, below=highest < math.inf)


def resolve_options(name: str, profile: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Profile defaults overlaid with `given` (texts are converted by the default's type).

    `recipe=NAME` of `given` is no option of its own: it stands for those that the method's declaration has under that
    name, and the other ones of `given` go before them.

    Raises:
      BadInput: an option the method does not have (the valid ones are listed) or a value of the wrong kind, a
        number that is not finite or out of `RANGES`.
    """
    recipes = {OURS: {}, **found} if (found := declared(factory(name)).recipes) else {}
    options, given = default_options(name, profile), dict(given)
    if recipes and "recipe" in given:
        recipe = given.pop("recipe")
        registry.check(f"recipe of method {name}", recipe, recipes)
        options |= recipes[recipe]
    for key, value in given.items():
        if key == "recipe" and not recipes:
            able = ", ".join(one for one in METHODS if declared(factory(one)).recipes)
            raise BadInput(f"method {name} has no recipes, expected options of its own; those of {able} have some")
        if key not in options:
            valid = ", ".join(f"{k}={v}" for k, v in options.items()) or "none"
            valid += f", recipe={OURS} (or {', '.join(list(recipes)[1:])})" if recipes else ""
            raise BadInput(f"method {name} has no option {key!r}: valid ones with their values are {valid}")
        default = options[key]
        options[key] = _converted(name, key, value, default)
        _check(key, options[key], default, name)
    return said(factory(name), options)


def make(name: str, classifier: Classifier, options: Mapping[str, Any], axis_name: str | None = None) -> Method:
    """Builds a method from resolved options.

    Raises:
      BadInput: as `factory`, a batch to be spread by a factory without `axis_name`, or what the factory refuses.
    """
    made = factory(name)
    spread = {"axis_name": axis_name} if "axis_name" in inspect.signature(made).parameters else {}
    if axis_name is not None and not spread:
        raise BadInput(f"method {name}: its factory takes no axis_name: it runs on one device (--parallel=jit)")
    if registry.is_foreign(name):
        factory_options.check_call(f"method {name}", made, classifier, **options, **spread)
    method = made(classifier, **options, **spread)
    if not isinstance(method, Method):
        raise BadInput(f"method {name}: its factory returned {kind_of(method)}, expected a types.Method")
    return held(name, method, len(classifier.config.classes)) if registry.is_foreign(name) else method


def check_needs(name: str, method: Method, variables: Variables, info: RunInfo | None) -> None:
    """Raises `BadInput` in one sentence when the network or the run lacks what the method needs.

    Before a run has its data `info` is None: then the network alone is looked at, its arrays or their shapes.
    """
    for need in method.needs:
        registry.check(f"need of method {name}", need, NEEDS)
        is_there, what = NEEDS[need]
        if info is None and need == "source_data":
            continue
        if not is_there(variables, info):
            raise BadInput(f"method {name} needs {what}")
