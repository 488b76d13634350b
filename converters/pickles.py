"""Reads pickles without running anything: the opcodes of all protocols, over plain values, by a small machine.

Python's own unpickler calls what a file names. Here a global is a name and nothing more: what is made of it, and of its
arguments, is a function of this package (`Meanings.calls`), an inert stand-in, or a refusal that says the name, also
where the file would never have called it.
"""

from __future__ import annotations

import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

OLD_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg"}
"""Names that protocols below 3 write for modules of today's."""
SCALARS = (str, int, float, bool, bytes, type(None))


class Global(NamedTuple):
    """A name in a pickle, "module.attribute", of which nothing has been imported."""

    name: str


class Inert:
    """Stands in for an object of a foreign class: takes anything, keeps nothing, runs nothing."""


class Meanings(NamedTuple):
    """What the names of a pickle stand for.

    Attributes:
      calls: name -> what a call of it with arguments gives.
      inert: names whose objects are dropped.
      values: names that only stand as values (types of numbers, ...), each with what is put there.
      persistent: what an object gives that lies outside the pickle, by its identifier.
      filled: `(object, state) -> None` for objects that `calls` made and that are filled afterwards.
    """

    calls: Mapping[str, Callable[..., Any]]
    inert: frozenset[str]
    values: Mapping[str, Any]
    persistent: Callable[[Any], Any]
    filled: Callable[[Any, Any], None]


class Refused(pickle.UnpicklingError):
    """A global that has no meaning here; `name` is "module.attribute"."""

    def __init__(self, name: str) -> None:
        super().__init__(f"global {name} is refused")
        self.name = name


def load(stream: Any, meanings: Meanings) -> Any:
    """The one value of a pickle.

    Args:
      stream: bytes, or what has `read`, `readline` and `tell`; it is left behind the pickle's end.
      meanings: of the names in it.

    Raises:
      Refused: a global that has no meaning.
      pickle.UnpicklingError: an opcode that no plain data needs, or one that finds other things than it expects.
      ValueError: a truncated pickle, or arguments that a call does not take (or another error of arguments).
    """
    machine = _Machine(meanings)
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name == "STOP":
            break
        if opcode.name in _VALUES:
            machine.stack.append(argument)
        elif opcode.name in _MAKERS:
            machine.stack.append(_MAKERS[opcode.name]())
        elif opcode.name in _STEPS:
            _STEPS[opcode.name](machine, argument)
        else:
            raise pickle.UnpicklingError(f"opcode {opcode.name}")
    return machine.pop()


class _Machine:
    """A pickle's stack, its marks and its memo."""

    def __init__(self, meanings: Meanings) -> None:
        self.meanings = meanings
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.protocol = 0

    def pop(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise pickle.UnpicklingError("the stack is empty")
        return self.stack.pop()

    def top(self) -> Any:
        self.stack.append(value := self.pop())
        return value

    def since_mark(self) -> list[Any]:
        if not self.marks:
            raise pickle.UnpicklingError("no mark")
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def called(self, function: Any, arguments: Any) -> Any:
        if not isinstance(function, Global) or not isinstance(arguments, tuple):
            raise pickle.UnpicklingError("a call of what is no name")
        if function.name in self.meanings.inert:
            return Inert()
        if function.name not in self.meanings.calls:
            raise Refused(function.name)
        return self.meanings.calls[function.name](*arguments)


def _mention(machine: _Machine, module: Any, attribute: Any) -> None:
    if not isinstance(module, str) or not isinstance(attribute, str):
        raise pickle.UnpicklingError("a global without a name")
    if machine.protocol < 3:
        module = OLD_MODULES.get(module, module)
    name, meanings = f"{module}.{attribute}", machine.meanings
    if name in meanings.values:
        machine.stack.append(meanings.values[name])
    elif name in meanings.calls or name in meanings.inert:
        machine.stack.append(Global(name))
    else:
        raise Refused(name)


def _global(machine: _Machine, argument: str) -> None:
    _mention(machine, *argument.split(" ", 1))


def _stack_global(machine: _Machine, _: None) -> None:
    attribute, module = machine.pop(), machine.pop()
    _mention(machine, module, attribute)


def _reduce(machine: _Machine, _: None) -> None:
    arguments, function = machine.pop(), machine.pop()
    machine.stack.append(machine.called(function, arguments))


def _newobj_ex(machine: _Machine, _: None) -> None:
    machine.pop()  # the keywords: no call here has any, and a stand-in drops them
    _reduce(machine, None)


def _build(machine: _Machine, _: None) -> None:
    state, made = machine.pop(), machine.top()
    if not isinstance(made, Inert | OrderedDict):  # of these the attributes are dropped
        machine.meanings.filled(made, state)


def _extend(made: Any, values: list[Any]) -> None:
    if type(made) is list:
        made.extend(values)
    elif type(made) is set:
        made.update(map(plain_key, values))
    elif not isinstance(made, Inert):
        raise pickle.UnpicklingError(f"items for a {type(made).__name__}")


def _set_items(made: Any, values: list[Any]) -> None:
    if type(made) in (dict, OrderedDict) and len(values) % 2 == 0:
        made.update((plain_key(key), value) for key, value in zip(values[::2], values[1::2]))
    elif not isinstance(made, Inert):
        raise pickle.UnpicklingError(f"named items for a {type(made).__name__}")


def plain_key(value: Any) -> Any:
    """A key or an item of a set; an inert one for what is no plain value, for hashing deep tuples can crash."""
    plain = isinstance(value, SCALARS) or (isinstance(value, tuple) and all(isinstance(v, SCALARS) for v in value))
    return value if plain else Inert()


def _items(fill: Callable[[Any, list[Any]], None], count: int | None) -> Callable[[_Machine, Any], None]:
    def step(machine: _Machine, _: None) -> None:
        values = machine.since_mark() if count is None else [machine.pop() for _ in range(count)][::-1]
        fill(machine.top(), values)

    return step


def _collected(make: Callable[[list[Any]], Any], fixed: int | None = None) -> Callable[[_Machine, Any], None]:
    def step(machine: _Machine, _: None) -> None:
        values = machine.since_mark() if fixed is None else [machine.pop() for _ in range(fixed)][::-1]
        machine.stack.append(make(values))

    return step


def _as_dict(values: list[Any]) -> dict[Any, Any]:
    made: dict[Any, Any] = {}
    _set_items(made, values)
    return made


def _put(machine: _Machine, argument: int | None) -> None:
    machine.memo[len(machine.memo) if argument is None else argument] = machine.top()


def _get(machine: _Machine, argument: int) -> None:
    machine.stack.append(machine.memo[argument])


def _persistent(machine: _Machine, _: None) -> None:
    machine.stack.append(machine.meanings.persistent(machine.pop()))


def _protocol(machine: _Machine, argument: int) -> None:
    machine.protocol = argument


_VALUES = (
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
)
_MAKERS: Mapping[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
}
_STEPS: Mapping[str, Callable[[_Machine, Any], None]] = {
    "PROTO": _protocol,
    "FRAME": lambda machine, _: None,
    "MARK": lambda machine, _: machine.marks.append(len(machine.stack)),
    "POP": lambda machine, _: machine.pop(),
    "POP_MARK": lambda machine, _: machine.since_mark(),
    "DUP": lambda machine, _: machine.stack.append(machine.top()),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _get),
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _reduce,
    "NEWOBJ": _reduce,  # a class and its arguments: the same call by name
    "NEWOBJ_EX": _newobj_ex,
    "BUILD": _build,
    "BINPERSID": _persistent,
    "APPEND": _items(_extend, 1),
    "APPENDS": _items(_extend, None),
    "ADDITEMS": _items(_extend, None),
    "SETITEM": _items(_set_items, 2),
    "SETITEMS": _items(_set_items, None),
    "TUPLE": _collected(tuple),
    "TUPLE1": _collected(tuple, 1),
    "TUPLE2": _collected(tuple, 2),
    "TUPLE3": _collected(tuple, 3),
    "LIST": _collected(list),
    "DICT": _collected(_as_dict),
    "FROZENSET": _collected(lambda values: frozenset(map(plain_key, values))),
}
