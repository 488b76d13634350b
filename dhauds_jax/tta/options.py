"""Options of methods and protocols as `key=value` texts, and which methods a network can run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dhauds_jax.errors import BadInput
from dhauds_jax.nets import zoo
from dhauds_jax.tta import methods, protocols
from dhauds_jax.types import Classifier


def parse_options(method: str, profile: str, given: Sequence[str], all_methods: Sequence[str]) -> dict[str, Any]:
    """A method's options from `key=value` and `method.key=value` texts.

    Raises:
      BadInput: a text without "=", a key that the method does not have, a value that it cannot have, a prefix that is
        no method of this run.
    """
    methods.default_options(method, profile)  # an unknown method is not the option's fault
    texts = given_for(method, given, all_methods)
    try:
        return methods.resolve_options(method, profile, texts)
    except BadInput as error:
        raise BadInput(f"--options: {error}") from None


def given_for(method: str, given: Sequence[str], all_methods: Sequence[str]) -> dict[str, str]:
    """The texts of `--options` that are for a method, by their keys, not looked at otherwise.

    Raises:
      BadInput: a text without "=", a prefix that is no method of this run.
    """
    return _texts_for("--options", method, given, all_methods)


def parse_protocol_options(protocol: str, given: Sequence[str], all_protocols: Sequence[str]) -> dict[str, Any]:
    """A protocol's options, as `parse_options` for methods."""
    protocols.check_protocol(protocol)
    texts = _texts_for("--protocol_options", protocol, given, all_protocols)
    try:
        return protocols.resolve_options(protocol, texts)
    except BadInput as error:
        raise BadInput(f"--protocol_options: {error}") from None


def _texts_for(flag: str, name: str, given: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """The `key=value` texts that are for everyone or, with a prefix, for `name`.

    A prefix is a whole name of the run: those of one's own ("package.module:factory") hold dots themselves.
    """
    mine = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals:
            raise BadInput(f"{flag}: {text!r} has no value, expected key=value or NAME.key=value")
        whose, dot, option = key.rpartition(".")
        if dot and whose not in names:
            raise BadInput(f"{flag}: {whose!r} in {text!r} is not of this run, expected one of {', '.join(names)}")
        if not dot or whose == name:
            mine[option] = value
    return mine


def able(names: Sequence[str], classifier: Classifier, profile: str = "reference") -> list[str]:
    """The methods that the network has what they need for; the others are said with the reason."""
    variables, kept = zoo.shapes(classifier), []
    for name in names:
        method = methods.make(name, classifier, methods.default_options(name, profile))
        try:
            methods.check_needs(name, method, variables, None)
            kept.append(name)
        except BadInput as error:
            print(f"note: {name} is left out: {error}")
    return kept
