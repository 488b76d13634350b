"""The learners by name. A new one: its file, one line in `names.LEARNERS`, one row in docs/incremental.md.

A name is one of ours, or "my_package.my_module:factory" of the user's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dhauds_jax import factory_options, names, registry
from dhauds_jax.errors import BadInput
from dhauds_jax.types import Classifier, Learner
from dhauds_jax.wording import kind_of

LEARNERS: Mapping[str, Callable[..., Learner]] = registry.Registry("learner", names.LEARNERS)
"""Learner name -> factory `(classifier, *, options...) -> Learner`, imported when it is taken."""


def factory(name: str) -> Callable[..., Learner]:
    """The factory of a learner.

    Raises:
      BadInput: an unknown name (the nearest ones are given), or a "module:attribute" that is no factory.
    """
    found = LEARNERS[name]
    if not callable(found):
        raise BadInput(f"learner {name!r} is {kind_of(found)}, expected a factory (classifier) -> Learner")
    return found


def resolve_options(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """A learner's options, its defaults overlaid with `given`, whose texts are converted by the default's type.

    The underscore behind an argument that would be a word of Python's is not part of the option: `lambda`.

    Raises:
      BadInput: an option that the learner does not have (the valid ones are listed), a value of the wrong kind, a
        number that is not finite.
    """
    options = factory_options.defaults(factory(name))
    for key, value in ((key.rstrip("_"), value) for key, value in given.items()):
        if key not in options:
            valid = ", ".join(f"{k}={v}" for k, v in options.items()) or "none"
            raise BadInput(f"learner {name} has no option {key!r}: valid ones with their values are {valid}")
        options[key] = factory_options.converted(f"learner {name}", key, value, options[key])
    return options


def make(name: str, classifier: Classifier | None, options: Mapping[str, Any] | None = None) -> Learner:
    """A learner from its name and options (texts or values; those that are not given have their defaults).

    Args:
      name: of `names.LEARNERS`, or "module:factory".
      classifier: the network that it learns on; None where embeddings came without one.
      options: the given ones.

    Raises:
      BadInput: as `factory` and `resolve_options`, or what the factory refuses.
    """
    build, given = factory(name), factory_options.arguments(resolve_options(name, options or {}))
    if registry.is_foreign(name):
        factory_options.check_call(f"learner {name}", build, classifier, **given)
    made = build(classifier, **given)
    if not isinstance(made, Learner):
        raise BadInput(f"learner {name}: its factory returned {kind_of(made)}, expected a types.Learner")
    if made.reads not in names.READS:
        raise BadInput(f"learner {name}: reads {made.reads!r}, expected one of {', '.join(names.READS)}")
    return made
