"""The training-free scorers by name. A new one: its file, one line in `names.SCORERS`, one row in docs/zeroshot.md.

A name is one of ours, "my_package.my_module:factory" of the user's own, or "chain:subtract+em".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jaxtyping import Array, Float

from dhauds_jax import factory_options, names, registry
from dhauds_jax.errors import BadInput
from dhauds_jax.types import Background, Linear, Scorer
from dhauds_jax.wording import kind_of
from dhauds_jax.zeroshot.scorers import chained

SCORERS: Mapping[str, Callable[..., Scorer]] = registry.Registry("scorer", names.SCORERS)
"""Scorer name -> factory `(*, options...) -> Scorer`, imported when it is taken."""

USES = ("text", "background", "own_background", "set", "past", "train_labels")
"""What a scorer may look at beside the prototypes and the clip itself, in the order of records."""


def members(name: str) -> tuple[str, ...]:
    """The scorers of a name: those of a chain in their order, else the name alone.

    Raises:
      BadInput: a chain of fewer than two.
    """
    if not name.startswith(chained.PREFIX):
        return (name,)
    found = tuple(part.strip() for part in name.removeprefix(chained.PREFIX).split("+"))
    if len(found) < 2 or not all(found):
        raise BadInput(f"scorer {name!r}: expected scorers with + between, such as {chained.PREFIX}subtract+em")
    return found


def factory(name: str) -> Callable[..., Scorer]:
    """The factory of a single scorer.

    Raises:
      BadInput: an unknown name (the nearest ones are given), or a "module:attribute" that is no factory.
    """
    found = SCORERS[name]
    if not callable(found):
        raise BadInput(f"scorer {name!r} is {kind_of(found)}, expected a factory (*, options...) -> Scorer")
    return found


def default_options(name: str) -> dict[str, Any]:
    """A scorer's options with their values; a chain's are written `scorer.option`."""
    found = members(name)
    if len(found) > 1:
        return {f"{one}.{key}": value for one in found for key, value in default_options(one).items()}
    return factory_options.defaults(factory(name))


def resolve_options(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Defaults overlaid with `given`, whose texts are converted by the default's type.

    In a chain an option without a scorer's name is that of every member that has it.

    Raises:
      BadInput: an option that the scorer does not have (the valid ones are listed), a value of the wrong kind, a number
        that is not finite.
    """
    options = default_options(name)
    for key, value in given.items():
        places = [one for one in options if key in (one, one.rpartition(".")[2])]
        if not places:
            valid = ", ".join(f"{k}={v}" for k, v in options.items()) or "none"
            raise BadInput(f"scorer {name} has no option {key!r}: valid ones with their values are {valid}")
        for place in places:
            options[place] = factory_options.converted(f"scorer {name}", key, value, options[place])
    return options


def make(name: str, options: Mapping[str, Any] | None = None) -> Scorer:
    """A scorer from its name and options (texts or values; those that are not given have their defaults).

    Raises:
      BadInput: as `members`, `factory` and `resolve_options`, or what the factory or the chain refuses.
    """
    resolved = resolve_options(name, options or {})
    found = members(name)
    if len(found) == 1:
        build = factory(name)
        if registry.is_foreign(name):
            factory_options.check_call(f"scorer {name}", build, **resolved)
        made = build(**resolved)
        if not isinstance(made, Scorer):
            raise BadInput(f"scorer {name}: its factory returned {kind_of(made)}, expected a types.Scorer")
        return made
    parts = []
    for one in found:
        mine = {key.removeprefix(f"{one}."): value for key, value in resolved.items() if key.startswith(f"{one}.")}
        parts.append(make(one, mine))
    return chained.chain(found, parts)


def uses(scorer: Scorer, background: Background | None) -> tuple[str, ...]:
    """What a scorer looks at with this background, in the order of `USES`: what a record says.

    A background with a row for each clip adds "own_background", one of the clips' own quiet windows adds "set".
    """
    found = set(scorer.uses)
    if background is not None and "background" in found:
        found |= {"own_background"} if background.mean.ndim == 2 else set()
        found |= {"set"} if background.kind == "quiet" else set()
    return tuple(one for one in USES if one in found)


def linear_head(name: str, scorer: Scorer, state: Any, scale: float | Float[Array, ""] = 1.0) -> Linear:
    """A linear scorer as the last layer of a classifier: `scale * scores = a @ kernel + bias`.

    `s - tau b = (a - tau e) . P`: what is taken off the embeddings is a bias, `-scale * offset @ kernel`.

    Args:
      name: of the scorer, for the sentence.
      scorer: what `make` made.
      state: of the scorer; of `centre` after the clips whose mean it takes off.
      scale: what scores are multiplied by to be logits.

    Raises:
      BadInput: a scorer, or a state of it, that is no linear layer.
    """
    if scorer.linear is None:
        raise BadInput(
            f"scorer {name} is not linear and cannot be a classifier's last layer: expected plain, subtract, centre or "
            "drift, or a chain of them"
        )
    offset, kernel = scorer.linear(state)
    return Linear(scale * kernel, -scale * (offset[None] @ kernel)[0])
