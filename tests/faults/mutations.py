"""Damage to files: bytes flipped, cut, doubled, spliced, sizes that lie; texts, numbers and JSON gone wrong.

Everything is drawn from the generator that is given, so a seed names a damaged file for good.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Draws = np.random.Generator

SIZES = (0, 1, 2, 3, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
"""Numbers that sizes in headers are replaced by."""

HOSTILE = (
    *("", " ", "\t", "nan", "NaN", "inf", "-inf", "-1", "0", "1e309", "-1e309", "1e-400", "9" * 40, "9" * 5000, "0x10"),
    *("1,2", "1;2", "1.5", "True", "null", "None", "\0", "a\0b", "a\nb", "a\rb", "a\x1b[2Jb", "\u202eabc", "\ufeffa"),
    *("../../etc/passwd", "/etc/passwd", "/", ".", "..", "~", "~nobody", "$HOME", "$x$", r"$\frac{", "%s%s%n", "{0}"),
    *(
        "<script>",
        "=cmd()",
        "@a",
        "-x",
        "--",
        "a" * 300,
        "a/" * 200,
        "\ud800",
        "音",
        "é",
        "١٢",
        "☃" * 50,
        "'",
        '"',
        "a,b",
    ),
    *(
        "[]",
        "{}",
        "[",
        "{",
        ":",
        "a:b",
        "os:system",
        "subprocess:call",
        "a=b",
        "=",
        "+",
        "synthetic+synthetic",
        "*",
        "?",
    ),
)
"""Texts in place of names, numbers and paths."""


def draws(seed: int, case: str, number: int) -> Draws:
    """The generator of one try."""
    return np.random.default_rng([seed, number, *case.encode()])


def one_of(rng: Draws, values: Sequence[Any]) -> Any:
    """One of some values, as it is."""
    return values[int(rng.integers(len(values)))]


def _place(rng: Draws, data: bytes) -> int:
    """Somewhere in a file; in every second case in its head, where the numbers are that are believed."""
    end = len(data) if rng.random() < 0.5 else min(len(data), 128)
    return int(rng.integers(max(1, end)))


def _flip(rng: Draws, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 9))):
        if out:
            out[_place(rng, data)] ^= 1 << int(rng.integers(8))
    return bytes(out)


def _overwrite(rng: Draws, data: bytes) -> bytes:
    at = _place(rng, data)
    return data[:at] + rng.bytes(int(rng.integers(1, 65))) + data[at + int(rng.integers(0, 65)) :]


def _cut(rng: Draws, data: bytes) -> bytes:
    return data[: int(rng.integers(len(data) + 1))] if rng.random() < 0.7 else data[_place(rng, data) :]


def _double(rng: Draws, data: bytes) -> bytes:
    at, length = _place(rng, data), int(rng.integers(1, max(2, len(data) // 2)))
    return data[: at + length] + data[at : at + length] * int(rng.integers(1, 4)) + data[at + length :]


def _remove(rng: Draws, data: bytes) -> bytes:
    at = _place(rng, data)
    return data[:at] + data[at + int(rng.integers(1, 129)) :]


def _lie(rng: Draws, data: bytes) -> bytes:
    """A number of the header is another: at the edges of its type, or a drawn one."""
    at = int(rng.integers(max(1, min(len(data), 256))))
    value = one_of(rng, SIZES) if rng.random() < 0.7 else int(rng.integers(1 << 32))
    form = one_of(rng, ("<I", ">I", "<H", ">H", "<Q", ">Q"))
    written = struct.pack(form, value & ((1 << 8 * struct.calcsize(form)) - 1))
    return data[:at] + written + data[at + len(written) :]


def _noise(rng: Draws, data: bytes) -> bytes:
    head = data[: int(rng.integers(0, 64))]
    return head + rng.bytes(int(rng.integers(0, 2000)))


def _zeros(rng: Draws, data: bytes) -> bytes:
    at, length = _place(rng, data), int(rng.integers(1, 1025))
    return data[:at] + bytes(length) + data[at + length :]


def _nothing(rng: Draws, data: bytes) -> bytes:
    return b""


DAMAGE: tuple[Callable[[Draws, bytes], bytes], ...] = (
    *(_flip, _flip, _flip, _overwrite, _cut, _cut, _double, _remove, _lie, _lie, _lie, _noise, _zeros),
)


def damaged(rng: Draws, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """A file that something happened to: one to three kinds of damage, or halves of two files.

    Args:
      rng: what is drawn from.
      data: the file.
      others: files that it may be spliced with.
    """
    if rng.random() < 0.005:
        return _nothing(rng, data)
    if others and rng.random() < 0.1:
        other = one_of(rng, others)
        data = data[: _place(rng, data)] + other[_place(rng, other) :]
    for _ in range(int(rng.integers(1, 4))):
        data = one_of(rng, DAMAGE)(rng, data)
    return data


def value(rng: Draws) -> Any:
    """A value that JSON can hold and nobody expects."""
    kind = int(rng.integers(10))
    if kind < 4:
        return one_of(rng, HOSTILE)
    plain = (None, True, False, -1, 0, 1, 2**31, 2**63, 10**30, 1e308, -1e308, 0.5, float("nan"), float("inf"), [], {})
    nested = ([[]], [None], ["a", 1], {"a": {"b": [1]}}, [[1, 2], [3]], [float("nan")] * 3, {"": ""}, [1e308] * 4)
    return one_of(rng, plain) if kind < 8 else one_of(rng, nested)


def places(tree: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values in nested lists and dicts."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [path for key, one in items for path in ((*above, key), *places(one, (*above, key)))]


def bent(rng: Draws, tree: Any, times: int = 0) -> Any:
    """A copy of what JSON holds, of which a few values are others, missing, or called something else."""
    tree = json.loads(json.dumps(tree))
    for _ in range(times or int(rng.integers(1, 4))):
        paths = places(tree)
        if not paths:
            return value(rng)
        *above, last = one_of(rng, paths)
        node = tree
        for step in above:
            node = node[step]
        kind = rng.random()
        if kind < 0.6:
            node[last] = value(rng)
        elif kind < 0.85:
            node.pop(last)
        elif isinstance(node, dict):
            node[one_of(rng, HOSTILE)] = node.pop(last)
        else:
            node.append(node[last])
    return tree


def text_of(rng: Draws, tree: Any) -> bytes:
    """JSON of a tree, in some cases none: damaged, in another encoding, nested beyond measure, numbers without end."""
    text = json.dumps(tree).encode("utf-8", "surrogatepass")
    kind = rng.random()
    if kind < 0.6:
        return text
    if kind < 0.9:
        return damaged(rng, text)
    deep = int(one_of(rng, (200, 2_000, 100_000)))
    return one_of(
        rng,
        (
            b"[" * deep,
            b"[" * deep + b"]" * deep,
            b'{"a":' * deep + b"1" + b"}" * deep,
            text[:-1] + b', "n": ' + b"9" * 5_000 + b"}",
            text.decode("utf-8", "replace").encode("utf-16"),
            b"\xef\xbb\xbf" + text,
            text + b"\xff\xfe",
            text + text,
        ),
    )


def table(rng: Draws, rows: Sequence[Sequence[Any]], comma: str = ",") -> bytes:
    """A csv of rows of which some cells, rows or columns are others; in every third case its bytes are damaged too."""
    rows = [[str(cell) for cell in row] for row in rows]
    for _ in range(int(rng.integers(1, 5))):
        row = one_of(rng, rows) if rows else []
        kind = int(rng.integers(6))
        if kind <= 2 and row:
            row[int(rng.integers(len(row)))] = one_of(rng, HOSTILE)
        elif kind == 3 and row:
            row.pop(int(rng.integers(len(row))))
        elif kind == 4:
            rows.append(list(row))
        elif kind == 5 and rows:
            rows.pop(int(rng.integers(len(rows))))
    text = "".join(comma.join(_quoted(cell) for cell in row) + "\n" for row in rows).encode("utf-8", "surrogatepass")
    return damaged(rng, text) if rng.random() < 0.3 else text


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if any(mark in cell for mark in ',"\n\r;') else cell
