"""The one exception that is the user's to mend, and what tells such errors from bugs."""

from __future__ import annotations

import errno
import math


class BadInput(ValueError):
    """Input that its user can mend: an unknown name, a missing folder, a broken file, options that do not go together.

    Its text is one sentence: what was found (and in which file or flag), what was expected, what to do. Commands print
    that sentence and end with code 2. Every other exception, a bare `ValueError` of a library included, is a bug, shows
    its traceback and ends with code 1.
    """


_PATHS = (FileNotFoundError, NotADirectoryError, IsADirectoryError, FileExistsError, PermissionError)
_NO_MEMORY = "RESOURCE_EXHAUSTED"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def sentence(error: BaseException) -> str | None:
    """What to tell the user where an error is theirs to mend; None for a bug.

    Theirs are `BadInput`, a path that is absent, of the wrong kind, or closed to them, a disk that is full or may not
    be written, and memory that does not suffice. The system's own errors come with their path in front.
    """
    if isinstance(error, BadInput):
        return str(error)
    if isinstance(error, MemoryError) or str(error).startswith(_NO_MEMORY):  # JAX's error is known by its text
        said = " ".join(str(error).split()) or "no more to be had"
        return f"out of memory ({said[:200]}): ask for less at once, such as a smaller batch or fewer clips"
    if not isinstance(error, _PATHS) and not (isinstance(error, OSError) and error.errno in _FULL):
        return None
    if error.errno is None:  # raised by a library, with a text of its own
        return " ".join(str(error).split()) or None
    paths = [str(path) for path in (error.filename, error.filename2) if path is not None]
    if not paths and error.errno not in _FULL:
        return None
    return f"{' -> '.join(paths) or 'the disk'}: {error.strerror}"


def check_number(
    name: str,
    value: float,
    lowest: float = -math.inf,
    highest: float = math.inf,
    *,
    above: bool = False,
    below: bool = False,
    because: str = "",
) -> None:
    """Raises `BadInput`, which says name and value, unless `value` is a finite number from `lowest` to `highest`.

    Args:
      name: what has the value, such as "--lr".
      value: the number.
      lowest, highest: the ends of the range.
      above, below: whether the number must lie above `lowest`, below `highest`.
      because: why, for the end of the sentence.
    """
    low = value > lowest if above else value >= lowest
    high = value < highest if below else value <= highest
    if low and high and (isinstance(value, int) or math.isfinite(value)):
        return
    first = f"{'above' if above else 'at least'} {lowest:g}" if lowest > -math.inf else ""
    last = f"{'below' if below else 'at most'} {highest:g}" if highest < math.inf else ""
    ends = " and ".join(end for end in (first, last) if end)
    if not isinstance(value, int):
        ends = f"a finite number {'of ' if ends.startswith('at') else ''}{ends}".strip()
    raise BadInput(f"{name}={value}: expected {ends}{f' ({because})' if because else ''}")
