"""Flags from the fields of requests (`dhauds_jax.requests`), and requests from flags.

The flags belong to the main that calls `flags_of`, so that `--help` of that main shows them. Only absl and the
standard library are imported here, so `--help` answers at once.
"""

from __future__ import annotations

import dataclasses
import re
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from absl import flags

from dhauds_jax.errors import BadInput
from dhauds_jax.requests import Flag, Processes, Request
from dhauds_jax.wording import plural

flags.disclaim_key_flags()

FLAGS = flags.FLAGS
R = TypeVar("R", bound=Request)


def flags_of(*records: type[Request], values: flags.FlagValues = FLAGS) -> None:
    """Defines a flag for every field of the records that is one; fields without a default must be given.

    A record that holds names gets `--list` too, unless it has a field of that name.
    """
    kinds: dict[str, None] = {}
    for record in records:
        for field, kind, about in _fields(record):
            _define(field, kind, about, values)
            if field.default is dataclasses.MISSING and not about.left_out:
                flags.register_validator(
                    field.name,
                    lambda value: value is not None,
                    f"must be given: {_NAMED.match(about.help)[0]} (--help)",
                    flag_values=values,
                )
            if about.names:
                kinds[about.names] = None
    if kinds and "list" not in values:
        flags.DEFINE_flag(_List(tuple(kinds)), flag_values=values)


def from_flags(record: type[R], values: flags.FlagValues = FLAGS) -> R:
    """The record of what the flags say.

    Raises:
      BadInput: a list of numbers that holds something else.
    """
    found: dict[str, Any] = {}
    for field, kind in _typed(record):
        if isinstance(kind, type) and issubclass(kind, Request):
            found[field.name] = from_flags(kind, values)
            continue
        about = field.metadata.get("flag")
        if about is None:
            continue
        value = values[field.name].value
        if value is None and about.left_out:
            continue
        found[field.name] = _value(field.name, value, kind, about)
    return record(**found)


def given(record: type[Request], values: flags.FlagValues = FLAGS) -> frozenset[str]:
    """The names of the record's flags that the command line has, whatever their values."""
    return frozenset(field.name for field, _, _ in _fields(record) if values[field.name].present)


def start(values: flags.FlagValues = FLAGS) -> None:
    """Joins the processes that the flags of `Processes` name, before anything computes, and says on what and with
    which seed it will be computed.

    Raises:
      BadInput: flags that do not fit together.
    """
    from dhauds_jax import parallel

    if "coordinator" in values:
        parallel.start(**from_flags(Processes, values).as_dict())
    runs = not any(name in values and values[name].value for name in _NOTHING_RUNS)
    if runs and parallel.writes():
        print(opening(values), file=sys.stderr, flush=True)


_NAMED = re.compile(r"(?:[^:;.(]|\.(?=\S))*(?<! )")
"""The words of a help text that name what the flag takes."""
_NOTHING_RUNS = ("list", "dry_run", "cost")


def opening(values: flags.FlagValues = FLAGS) -> str:
    """The line that a command which computes begins with: device, and seed where it has one."""
    from dhauds_jax import processors

    seeds = [values[name].value for name in ("seed", "seeds") if name in values]
    each = [str(seed) for found in seeds for seed in (found if isinstance(found, list) else [found])]
    said = f"; {plural(len(each), 'seed', 'seeds')} {', '.join(each)}" if each else ""
    return f"device: {processors.device()}{said}"


def _typed(record: type[Request]) -> Iterator[tuple[dataclasses.Field, Any]]:
    """Every field with its type, without `| None`."""
    hints = typing.get_type_hints(record)
    for field in dataclasses.fields(record):
        kind = hints[field.name]
        if isinstance(kind, types.UnionType):
            kind = next(one for one in typing.get_args(kind) if one is not type(None))
        yield field, kind


def _fields(record: type[Request]) -> Iterator[tuple[dataclasses.Field, Any, Flag]]:
    """The fields that are flags, those of records inside the record among them."""
    for field, kind in _typed(record):
        if isinstance(kind, type) and issubclass(kind, Request):
            yield from _fields(kind)
        elif "flag" in field.metadata:
            yield field, kind, field.metadata["flag"]


def _define(field: dataclasses.Field, kind: Any, about: Flag, values: flags.FlagValues) -> None:
    missing = field.default is dataclasses.MISSING or about.left_out
    default = None if missing else field.default
    if about.alone is not None:
        parser = _Alone(about)
        one = flags.Flag(parser, None, field.name, default, about.help, boolean=True)
        flags.DEFINE_flag(one, flag_values=values)
    elif about.choices:
        if isinstance(about.choices, Mapping) and not missing:
            default = next(word for word, stands_for in about.choices.items() if stands_for == field.default)
        flags.DEFINE_enum(field.name, default, list(about.choices), about.help, flag_values=values)
    elif typing.get_origin(kind) is not None:  # Sequence[str], tuple[int, ...]
        default = default if default is None else [str(one) for one in default]
        flags.DEFINE_list(field.name, default, about.help, flag_values=values)
    elif kind is int:
        parser = _Whole(0 if field.name.endswith("seed") else None)
        flags.DEFINE(parser, field.name, default, about.help, values, flags.ArgumentSerializer())
    else:
        _DEFINE[kind](field.name, default, about.help, flag_values=values)


_DEFINE: dict[type, Callable[..., Any]] = {
    bool: flags.DEFINE_bool,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
}


def _value(name: str, value: Any, kind: Any, about: Flag) -> Any:
    """A flag's value as the record's field holds it."""
    if isinstance(about.choices, Mapping):
        return about.choices[value]
    if value is None or typing.get_origin(kind) is None:
        return value
    number = typing.get_args(kind)[0]
    try:
        return tuple(number(text) for text in value)
    except ValueError:
        word = "whole numbers" if number is int else "numbers"
        raise BadInput(f"--{name}={','.join(value)}: expected {word} separated by commas, such as 5,10") from None


class _Whole(flags.IntegerParser):
    """Of a flag that is one whole number."""

    def convert(self, argument: Any) -> int:
        try:
            return super().convert(argument)
        except ValueError:
            several = "; one command a number" if isinstance(argument, str) and "," in argument else ""
            raise ValueError(f"expected one whole number{several}") from None


class _Alone(flags.ArgumentParser):
    """Of a flag that may be given without a value, or with one of its choices."""

    def __init__(self, about: Flag) -> None:
        self.choices, self.alone = about.choices, about.alone
        self.syntactic_help = f"<{'|'.join(about.choices)}>"

    def parse(self, argument: str) -> str:
        found = {"true": self.alone, "false": ""}.get(str(argument), str(argument))
        if found not in ("", *self.choices):
            raise ValueError(f"expected nothing, or one of {', '.join(self.choices)}")
        return found


class _List(flags.BooleanFlag):
    """`--list`: prints all names of the kinds that a command takes, and ends; other flags need not be given."""

    def __init__(self, kinds: tuple[str, ...]) -> None:
        self.kinds = kinds
        super().__init__("list", False, f"Print all names ({', '.join(kinds)}) with a line each, and stop.")

    def parse(self, argument: Any) -> None:
        if self._parse(argument):
            from dhauds_jax.command import listing

            print(listing.text(self.kinds), flush=True)
            sys.exit(0)
