"""What can be said of a run before a recording is read: its corruptions, its options, and whether they go together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from dhauds_jax.cells import subsets, targets
from dhauds_jax.cells.request import DRAWS, AdaptRun
from dhauds_jax.data import sets
from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.names import CLEAN
from dhauds_jax.nets import precision
from dhauds_jax.tta import protocols, selection, wrappers
from dhauds_jax.tta.options import parse_options, parse_protocol_options


class Checked(NamedTuple):
    """What the texts of a run's flags mean; each was read once.

    Attributes:
      pairs: (corruption, level) of its cells.
      options: of each method, resolved.
      protocol_options: of each protocol, resolved.
    """

    pairs: list[tuple[str, str]]
    options: dict[str, dict[str, Any]]
    protocol_options: dict[str, dict[str, Any]]


def check(run: AdaptRun) -> Checked:
    """Everything that can be said before a recording is read.

    Raises:
      BadInput: unknown names, options that a method or protocol does not have, flags that do not go together, a
        `--subset` without ids.
    """
    for name in ("method", "corruption", "level", "protocol"):
        if not getattr(run, name):
            raise BadInput(f"--{name} is empty: expected at least one name")
    sets.get(run.dataset)
    precision.check_precision(run.precision)
    options = {name: parse_options(name, run.profile, run.options, run.method) for name in run.method}
    protocol_options = {}
    for name in run.protocol:
        protocols.check_protocol(name)
        protocol_options[name] = parse_protocol_options(name, run.protocol_options, run.protocol)
        reset = protocol_options[name].get("reset", "none")
        if reset == "domain" and protocols.PROTOCOLS[name].domains == "one":
            raise BadInput(
                f"--protocol_options: reset=domain, but protocol {name} has one domain; expected another rule"
            )
        wrappers.check_rule(reset)
        if protocol_options[name].get("window", 0) and run.parallel != "jit":
            raise BadInput(f"--parallel={run.parallel}: window of protocol {name} is for one device, expected jit")
    if run.draw not in DRAWS:
        raise BadInput(f"--draw={run.draw}: expected {' or '.join(DRAWS)}")
    _check_criterion(run)
    if run.subset:
        subsets.ids_of(run.subset)
    for name in ("epochs", "updates_per_dispatch", "source_clips"):
        check_number(f"--{name}", getattr(run, name), 1)
    check_number("--batch_size", run.batch_size, 2, because="batch statistics need two clips")
    pairs = targets.expand(run.corruption, run.level)
    _check_streams(run, pairs)
    return Checked(pairs, options, protocol_options)


def _check_streams(run: AdaptRun, pairs: Sequence[tuple[str, str]]) -> None:
    """A protocol over several corruptions or levels has something to stream over."""
    if any(corruption != CLEAN for corruption, _ in pairs):
        return
    for name in run.protocol:
        if protocols.PROTOCOLS[name].domains != "one":
            raise BadInput(f"--protocol={name}: its stream is of corruptions, but --corruption=clean names none")


def _check_criterion(run: AdaptRun) -> None:
    """The label-free choice is a known one, and its second view is looked at."""
    selection.check(run.criterion)
    if run.criterion in selection.WITH_VIEWS and not run.agreement:
        raise BadInput(f"--criterion={run.criterion} is recorded with --agreement alone: give it too")
