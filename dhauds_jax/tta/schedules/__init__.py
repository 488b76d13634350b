"""The protocols as data: which clip comes when, and when a method starts anew. `tta.protocols` runs them.

A new one: a `Protocol` in a file here, one line in `names.PROTOCOLS`, one row in docs/methods.md. Every function takes
a name of ours or "my_package.my_module:ATTRIBUTE", a `Protocol` of the user's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from dhauds_jax import names, registry
from dhauds_jax.errors import BadInput
from dhauds_jax.tta.schedules.protocol import ORDERS, Protocol
from dhauds_jax.tta.streams import Stream
from dhauds_jax.wording import kind_of

PROTOCOLS: Mapping[str, Protocol] = registry.Registry("protocol", names.PROTOCOLS)
"""Protocol name -> its record, imported when it is taken."""


def check_protocol(name: str) -> None:
    """Raises `BadInput` unless `name` is a protocol: with the nearest names, or with what it is instead."""
    found = PROTOCOLS[name]
    if not isinstance(found, Protocol):
        raise BadInput(f"protocol {name!r} is {kind_of(found)}, expected a dhauds_jax.tta.protocols.Protocol")


def resolve_options(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """A protocol's options overlaid with `given` (texts are converted by the default's type).

    Raises:
      BadInput: unknown protocol, an option it does not have, a value of the wrong kind or out of range.
    """
    check_protocol(name)
    protocol = PROTOCOLS[name]
    options = dict(protocol.options)
    for key, value in given.items():
        if key not in options:
            valid = ", ".join(f"{k}={v}" for k, v in options.items()) or "none"
            raise BadInput(f"protocol {name} has no option {key!r}: valid ones with their values are {valid}")
        try:
            options[key] = type(options[key])(value)
        except ValueError:
            raise BadInput(f"protocol {name}: option {key} is {value!r}, expected {kind_of(options[key])}") from None
    if "order" in options:
        registry.check(f"order of protocol {name}", options["order"], ORDERS)
    for key, allowed in protocol.ranges.items():
        if not allowed.holds(options[key]):
            raise BadInput(f"protocol {name}: option {key} is {options[key]}, expected {allowed}")
    # Younger than the first records, whose cells keep their names: it is left out where it changes nothing.
    return {key: value for key, value in options.items() if (key, value) != ("window", 0)}


def make_stream(
    name: str, key: PRNGKeyArray, *, clips: int, domains: int, labels: np.ndarray, options: Mapping[str, Any]
) -> Stream:
    """The stream of a one-pass protocol over `domains` stacked copies of `clips` clips (see `tta.streams`).

    Args:
      name: the protocol.
      key: of the run.
      clips: clips of one domain.
      domains: corruptions or levels, stacked one after the other.
      labels: (clips,) classes; only protocols whose order depends on them look at them.
      options: resolved options of the protocol.
    """
    order_key, _ = jax.random.split(key)
    return PROTOCOLS[name].stream(order_key, clips, domains, labels, options)
