"""Tables as LaTeX: a `tabular` with the rules of booktabs, to be put into a document by \\input."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from dhauds_jax.files import printable
from dhauds_jax.report.tidy import EPOCH, FRACTION, NATS, SCORE, SECONDS, Row

_SCALE_AND_DIGITS = {FRACTION: (100.0, 1), NATS: (1.0, 2), SECONDS: (1.0, 1), EPOCH: (1.0, 0), SCORE: (1.0, 3)}
NOTHING = "--"
"""What stands where there is no number."""

_ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        **{char: f"\\{char}" for char in "&%$#_{}"},
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': "''",
        # At the beginning of a row these would be an option of the \\ before it.
        "[": "{[}",
        "*": "{*}",
    }
)


_SPACES = str.maketrans(dict.fromkeys("\n\r\t", " "))


def escape(text: str) -> str:
    """A text that LaTeX prints as it is; what is no character (a byte of a file name) as an escape."""
    return printable(text.translate(_SPACES)).translate(_ESCAPES)


def number(value: float, unit: str = FRACTION, half: float = np.nan, signed: bool = False) -> str:
    """A number in mathematics, with half its interval behind a plus-minus; fractions in %.

    Args:
      value: in `unit`; NaN is `NOTHING`.
      unit: of `tidy`.
      half: half the width of its interval; NaN for none.
      signed: whether a positive number has its sign.
    """
    if np.isnan(value):
        return NOTHING
    scale, digits = _SCALE_AND_DIGITS[unit]
    text = f"{scale * value:{'+' if signed else ''}z.{digits}f}"
    return f"${text}$" if np.isnan(half) else f"${text} \\pm {scale * half:.{digits}f}$"


def estimate(row: Row, signed: bool = False) -> str:
    """A row of `tidy` with its interval, as a number."""
    return number(row["mean"], row["unit"], (row.get("high", np.nan) - row["mean"]), signed)


def words(text: str) -> str:
    """A text escaped, its numbers with a sign in mathematics, where a minus is one."""
    return re.sub(r"(?<![\w.+-])([+-]\d+(?:\.\d+)?)(?![\w.])", r"$\1$", escape(text))


def tabular(header: Sequence[str], rows: Sequence[Sequence[str] | None], texts: int, says: str) -> str:
    """A fragment that compiles where `\\usepackage{booktabs}` is.

    Args:
      header: names of the columns, escaped here.
      rows: cells that are LaTeX already; None is a rule between rows.
      texts: how many columns, from the first, hold words; the others are numbers, to the right.
      says: what the numbers are, as comments above the table.
    """
    comments = [f"% {line}" for line in says.splitlines()]
    lines = [*comments, rf"\begin{{tabular}}{{{'l' * texts}{'r' * (len(header) - texts)}}}", r"\toprule"]
    lines += [" & ".join(escape(name) for name in header) + r" \\", r"\midrule"]
    lines += [r"\midrule" if row is None else " & ".join(row) + r" \\" for row in rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"
