"""The one exception that is the user's to mend, and what tells such errors from bugs."""

from __future__ import annotations

import errno
import math
import os


class BadInput(ValueError):
    """Input that its user can mend: an unknown name, a missing folder, a broken file, options that do not go together.

    Its text is one sentence: what was found (and in which file or flag), what was expected, what to do. Commands print
    that sentence and end with code 2. Every other exception, a bare `ValueError` of a library included, is a bug, shows
    its traceback and ends with code 1.
    """


_PATHS = (FileNotFoundError, NotADirectoryError, IsADirectoryError, FileExistsError, PermissionError)
_NAMES = (errno.ENAMETOOLONG, errno.ELOOP)
"""Of a path that is no name, or a link to itself: no exception of their own."""
_LONGEST = 2_000
"""Characters of a sentence; what a file holds may stand in it, and may be of any length."""
_FULL = (errno.ENOSPC, errno.EDQUOT)
_TEXTS = {os.strerror(number): number for number in (*_FULL, errno.EROFS)}
"""The system's words, which are all that errors of the library that writes checkpoints have of a full disk."""


def sentence(error: BaseException) -> str | None:
    """What to tell the user where an error is theirs to mend; None for a bug.

    Theirs are `BadInput`, a path that is absent, of the wrong kind, no name, or closed to them, a disk that is full or
    may not be written, files and memory that do not suffice, a process of the run that is lost. The system's own errors
    come with their path in front. The middle of a sentence of thousands of characters is left out.
    """
    said = _sentence(error)
    if said is None or len(said) <= _LONGEST:
        return said
    return f"{said[: _LONGEST // 2]} ... {said[-_LONGEST // 2 :]}"


def _sentence(error: BaseException) -> str | None:
    if isinstance(error, BadInput):
        return str(error)
    if said := full_disk(error):
        return said
    if said := few_files(error):
        return said
    if lost_process(error):
        return (
            "another process of this run ended, and said why if it could: give the same command to all of them again, "
            "and what is finished is kept"
        )
    if said := no_memory(error):
        return f"{said}: ask for less at once, such as a smaller batch or fewer clips"
    if not isinstance(error, _PATHS) and not (isinstance(error, OSError) and error.errno in _NAMES):
        return None
    if error.errno is None:  # raised by a library, with a text of its own
        return " ".join(str(error).split()) or None
    return f"{_paths(error)}: {error.strerror}" if _paths(error) else None


def _paths(error: OSError) -> str:
    return " -> ".join(os.fsdecode(path) for path in (error.filename, error.filename2) if path is not None)


def told(error: BaseException, most: int = 160) -> str:
    """An error that a file led to somewhere in the code, for the brackets of a sentence: kind, first line, place.

    The place stands for the traceback, which nobody sees: what looks like a bad file may be a bug.
    """
    lines = str(error).strip().splitlines()
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = "" if frame is None else f", {os.path.basename(frame.tb_frame.f_code.co_filename)}:{frame.tb_lineno}"
    return f"{type(error).__name__}{f': {lines[0][:most]}' if lines else ''}{place}"


def unreadable(error: BaseException) -> str:
    """What an array file's error comes to: it cannot be read, or it does not fit, or says that it is larger than it is.

    A want of memory may be the machine's or the file's, whose sizes may be damaged; the sentence says both.
    """
    if no_memory(error) and not (full_disk(error) or few_files(error)):
        return f"do not fit into the memory there is, or are damaged and say too large a size ({told(error)})"
    return f"cannot be read ({told(error)})"


def full_disk(error: BaseException) -> str | None:
    """Says that a disk is full or may not be written, and what is kept; None for another error."""
    said = error.strerror if isinstance(error, OSError) else None
    text = said or (str(error) if isinstance(error, ValueError | RuntimeError | OSError) else "")
    reason = next((reason for reason in _TEXTS if reason in text), None)
    if reason is None:
        return None
    paths = [part for part in text.split('"') if os.path.isabs(part)]
    where = (isinstance(error, OSError) and _paths(error)) or next(iter(paths), "the disk")
    kept = "; what is finished is kept: make room, and give the same command again" if _TEXTS[reason] in _FULL else ""
    return f"{where}: {reason}{kept}"


def few_files(error: BaseException) -> str | None:
    """Says that no more files may be open at once, and how more may be; None for another error."""
    reasons = [os.strerror(number) for number in (errno.EMFILE, errno.ENFILE)]
    # Libraries that write checkpoints have the system's words alone.
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    if not isinstance(error, OSError | RuntimeError | ValueError) or not any(reason in said for reason in reasons):
        return None
    where = (isinstance(error, OSError) and _paths(error)) or "this command"
    return f"{where}: {reasons[0]}: what is finished is kept; allow more at once (ulimit -n 1024), and give it again"


def no_memory(error: BaseException) -> str | None:
    """Says that the memory of the host or of the device did not suffice; None for another error."""
    # JAX's error is known by its text, which may stand behind that of a step around it.
    device = isinstance(error, RuntimeError) and any(text in str(error) for text in _NO_MEMORY)
    if not device and not isinstance(error, MemoryError):
        return None
    return f"out of memory ({' '.join(str(error).split())[:200] or 'no more to be had'})"


# Of a program, of JAX while it starts, and of Python, which gives each thread a stack.
_NO_MEMORY = ("RESOURCE_EXHAUSTED", "std::bad_alloc", "can't start new thread")


def lost_process(error: BaseException) -> bool:
    """Whether an error is that another process of the run cannot be reached: JAX's, which is known by its text."""
    text = str(error) if isinstance(error, RuntimeError) else ""
    return any(words[0] in text and any(word in text for word in words[1:]) for words in _LOST)


_LOST = (
    ("Gloo", "reset by peer", "closed by peer", "Broken pipe"),  # between processes on CPUs
    ("NCCL", "remote process exited", "remote error"),  # on GPUs
    ("coordination service", "heartbeat", "unreachable", "UNAVAILABLE"),
)
"""Libraries with what each says of a process that has gone."""


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
      lowest: the lower end of the range.
      highest: the upper end.
      above: whether the number must lie above `lowest`.
      below: whether it must lie below `highest`.
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
