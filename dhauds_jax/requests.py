"""Requests: what a command is asked for, as records whose fields are its flags (`dhauds_jax.command.flags`).

Nothing heavy is imported, so a command's `--help` answers at once. A request is a frozen dataclass; a field
made by `flag` says its help, and with its type and default is all that there is to know about the flag.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass
from typing import Any, NamedTuple, TypeVar

from dhauds_jax.errors import BadInput

R = TypeVar("R", bound="Request")

PARALLEL = ("jit", "pmap", "mesh")
"""Ways to run an update."""

PRECISIONS = ("float32", "tf32", "bfloat16")
"""Of the products of a network."""

ON_BAD_FILE = ("stop", "skip")
"""What to do at a file that cannot be read."""


class Flag(NamedTuple):
    """What a field's metadata says about its flag.

    Attributes:
      help: the text of `--help`.
      choices: values that it may have; a mapping gives what each stands for.
      names: what its values are names of, a key of `dhauds_jax.command.listing.KINDS` ("": no names).
      left_out: whether the flag's own default is None, for which `from_flags` leaves the field at its default.
      alone: what the flag stands for when it is given without a value (None: it cannot be).
    """

    help: str
    choices: tuple[str, ...] | Mapping[str, Any] = ()
    names: str = ""
    left_out: bool = False
    alone: str | None = None


def flag(help: str, default: Any = MISSING, **about: Any) -> Any:
    """A field that is a flag; without a default it must be given. `about` are the other attributes of `Flag`."""
    return dataclasses.field(default=default, metadata={"flag": Flag(help, **about)})


def like(record: type[Request], name: str, **changes: Any) -> Any:
    """A field like another record's, its text written once; `changes` replace its default or parts of its `Flag`."""
    other = record.__dataclass_fields__[name]
    default = changes.pop("default", other.default)
    return dataclasses.field(default=default, metadata={"flag": other.metadata["flag"]._replace(**changes)})


@dataclass(frozen=True, kw_only=True)
class Request:
    """A record of flags; fields that are no flags are set by the program."""

    def replace(self: R, **changes: Any) -> R:
        """The same request but for some fields."""
        return dataclasses.replace(self, **changes)

    def as_dict(self) -> dict[str, Any]:
        """Field -> value, in the order of the fields."""
        return {name: getattr(self, name) for name in self.names()}

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names of the fields, in their order."""
        return tuple(field.name for field in dataclasses.fields(cls))

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Field -> default, of those that have one."""
        return {field.name: field.default for field in dataclasses.fields(cls) if field.default is not MISSING}


JOIN = "+"
"""What stands between the names of joined data sets: `A+B`."""

APART = "apart"
"""The last word of the name of joined sets whose classes stay apart: `A+B+apart`."""

JOINS = ("by_name", APART)
"""Values of `OfDataSet.join`."""


def set_names(dataset: str) -> tuple[str, ...]:
    """The sets that a `--dataset` names, without their variants: one, or the parts of joined ones."""
    return tuple(part.partition("/")[0] for part in dataset.split(JOIN) if part != APART)


@dataclass(frozen=True, kw_only=True)
class OfDataSet(Request):
    """A request with a `dataset`. How sets are joined goes into its text, and so into all that is named by it."""

    join: str = flag(
        "Data sets with + between them (--dataset=A+B --data_dir=X,Y) are one: by_name, classes of equal name are the "
        "same; apart, each set has its own, called set/class (docs/data.md).",
        JOINS[0],
        choices=JOINS,
    )

    def __post_init__(self) -> None:
        dataset = getattr(self, "dataset", None)
        if self.join != APART or not dataset:
            return
        if JOIN not in dataset:
            raise BadInput(f"--join={APART}: --dataset={dataset} is one set, expected several, such as A{JOIN}B")
        if dataset.split(JOIN)[-1] != APART:
            object.__setattr__(self, "dataset", f"{dataset}{JOIN}{APART}")
        object.__setattr__(self, "join", JOINS[0])


@dataclass(frozen=True, kw_only=True)
class Processes(Request):
    """What processes of one run must know of each other."""

    coordinator: str | None = flag(
        "HOST:PORT of the first of several processes, one a host; all share --workdir.", None
    )
    num_processes: int = flag("Processes of this run; each is given the same flags but for --process_id.", 1)
    process_id: int = flag("Number of this process, from 0; process 0 prints and writes.", 0)


@dataclass(frozen=True, kw_only=True)
class Devices(Request):
    """On which devices and with what precision a network is computed."""

    parallel: str = flag(
        "How updates run: jit on one device; pmap or mesh (jit with NamedSharding) on all, a batch shared out over "
        "them.",
        "jit",
        choices=PARALLEL,
    )
    updates_per_dispatch: int = flag(
        "Updates of an offline epoch in one dispatch (lax.scan); more pays where updates are short.", 1
    )
    precision: str = flag(
        "Products of the network: exact float32, tf32 (10 bits, on GPUs that have it; on a CPU the same as float32) or "
        "bfloat16 (7 bits). Parameters, norms, softmax and losses are float32 in all.",
        "float32",
        choices=PRECISIONS,
    )
    remat: bool = flag(
        "Recompute blocks in the backward pass: slower, but long clips (10 s) then fit into less memory.", False
    )


def listed(names: Sequence[str] | Mapping[str, Any]) -> str:
    """Names in a help text: "a, b, c"."""
    return ", ".join(names)
