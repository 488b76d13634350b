"""Runs a main: flags in, one sentence and exit code 2 for bad input, the place of the output at the end.

Only absl is imported here, so `--help` answers at once.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from absl import app, flags, logging

from dhauds_jax import __version__, errors
from dhauds_jax.command import allocator, terminal
from dhauds_jax.files import one_line, printable

FLAGS = flags.FLAGS
flags.DEFINE_bool(
    "compilation_cache",
    True,
    "Keep compiled programs in the user's cache folder (~/.cache/dhauds_jax), so that the same command starts faster "
    "the next time. JAX_COMPILATION_CACHE_DIR takes precedence.",
)


class _Version(flags.BooleanFlag):
    """`--version`: prints the version and ends; other flags need not be given."""

    def __init__(self) -> None:
        super().__init__("version", False, "Print the version, and stop.")

    def parse(self, argument: Any) -> None:
        if self._parse(argument):
            print(f"dhauds_jax {__version__}", flush=True)
            sys.exit(0)


flags.DEFINE_flag(_Version())

LESS = ("batch_size", "batch", "copies", "updates_per_dispatch")
"""Flags whose number the memory of a device grows with."""

GOES_ON = "the same command goes on from the state that was kept last"
"""What a command that keeps states says at a Ctrl-C that no state was written for."""

THE_REST = "what is finished is kept, and the same command does the rest"
"""The same, of a command that skips what is finished and keeps nothing of what is not."""

WINDOWS = (
    "dhauds_jax runs on Linux and macOS, and nobody has tried it on Windows itself: give the command in the Windows "
    "Subsystem for Linux (wsl --install)"
)

BUG = 1
"""Exit code for an error that is nobody's input: its traceback is shown."""

BAD_INPUT = 2
"""Exit code for input that its user can mend: an unknown name, a missing folder, a broken file."""

DIVERGED = 3
"""Exit code for a run that stopped because a loss or a prediction was not finite."""

SAVING_S = 5.0
"""Seconds that a command which came to no good end waits for what still saves."""

NO_READER = 141
"""Exit code where nobody reads the output any more (`| head`): what a shell has for a program that ends so."""


_MISSING = re.compile(r"^flag (--\w+)=None(?=: must be given)", re.MULTILINE)


def _parse(argv: list[str]) -> list[str]:
    try:
        rest = FLAGS(argv)
    except flags.Error as error:
        # absl has a line for each flag that is wrong, and calls one that is missing --name=None.
        wrong = _MISSING.sub(r"\1", str(error)).replace("\n", "; ")
        print(one_line(f"error: {wrong}"), file=sys.stderr)
        sys.exit(BAD_INPUT)
    _expand_home(FLAGS)
    if len(rest) > 1:
        print(f"error: {rest[1]!r} belongs to no flag; flags are written --name=value (see --help)", file=sys.stderr)
        sys.exit(BAD_INPUT)
    return rest


def _expand_home(values: flags.FlagValues) -> None:
    """Replaces `~` at the beginning of a flag's value, or of one of a list, as a shell does where it stands alone.

    No value of another kind begins so, and no command has to know which of its flags are paths.
    """
    for name in values:
        value = values[name].value
        several = isinstance(value, list)
        texts = value if several else [value]
        if not any(isinstance(text, str) and text.startswith("~") for text in texts):
            continue
        found = [os.path.expanduser(text) for text in texts]
        for text in found:
            if text.startswith("~"):
                user = text.partition("/")[0]
                lacks = "HOME is not set" if user == "~" else "there is no such user"
                print(f"error: --{name}={text}: {user} stands for no folder here ({lacks})", file=sys.stderr)
                sys.exit(BAD_INPUT)
        values[name].value = found if several else found[0]


def _help_or_parse(argv: list[str]) -> list[str]:
    app.define_help_flags()
    # `--help` shows the flags of the main module: this one belongs to all of them.
    FLAGS.register_key_flag_for_module(argv[0], FLAGS["compilation_cache"])
    try:
        return _parse(argv)
    except SystemExit as end:
        if end.code == 1:  # absl's --help, which has done its work
            sys.exit(0)
        raise


def program() -> str:
    """The module that is being run, "experiments.adapt"; "" for a file or a piece of text."""
    spec = sys.modules["__main__"].__spec__
    return "" if spec is None else spec.name


def command() -> str:
    """The command line as a user would type it, for records."""
    words = ["python", "-m", program()] if program() else sys.argv[:1]
    return printable(shlex.join([*words, *sys.argv[1:]]))


def bug_report(error: BaseException) -> str:
    """The line below the traceback of what is nobody's input: whose it is, and what to do."""
    from dhauds_jax.command import bugs

    return bugs.report(error, command())


def said(error: BaseException, values: flags.FlagValues = FLAGS) -> str | None:
    """`errors.sentence` with the flag that named the path, or the one that leaves a bad file out."""
    sentence = errors.sentence(error)
    if sentence is None:
        return None
    # TensorStore calls all three RESOURCE_EXHAUSTED.
    if not (errors.full_disk(error) or errors.few_files(error)) and (short := errors.no_memory(error)):
        less = [f"--{name}={values[name].value}" for name in LESS if name in values and values[name].value > 1]
        ways = [f"lower {' or '.join(less)}"] * bool(less) + ["give --remat"] * ("remat" in values)
        return f"{short}: {', or '.join(ways)}" if ways else sentence
    if getattr(error, "skippable", False) and "on_bad_file" in values:
        return f"{sentence}; --on_bad_file=skip leaves such files out"
    flag = _flag_of(error, values) if isinstance(error, OSError) else ""
    return f"{flag}: {sentence.removeprefix(f'{error.filename}: ')}" if flag else sentence


def _flag_of(error: OSError, values: flags.FlagValues) -> str:
    """The flag, with its value, that is the path which the system refused; "" where none is."""
    path = os.path.abspath(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes | os.PathLike) else ""
    for name in values if path else ():
        value = values[name].value
        if isinstance(value, str) and value and os.path.abspath(value) == path:
            return f"--{name}={value}"
    return ""


def run(main: Callable[[], str], greeting: Callable[[], str] | None = None, stopped: str = "") -> None:
    """Calls `main`, which returns the sentence that says where the output lies.

    `greeting` gives a line that is printed at once, before anything heavy is imported; `stopped` says what the same
    command does after a Ctrl-C (`GOES_ON`, `THE_REST`, or nothing), where the exception does not say it.

    `BadInput`, missing files and the like end with one sentence and exit code 2, a loss or a prediction that is not
    finite with 3, Ctrl-C with 130 after saying how to go on, and output that nobody reads any more with 141, silently.
    Every other exception is a bug: it is raised on, so that Python shows its traceback, with a line that says what to
    report, or in which file of the user's own it came up, and ends with 1.
    """

    if sys.platform == "win32":
        print(f"error: {WINDOWS}", file=sys.stderr)
        sys.exit(BAD_INPUT)

    def guarded(_: list[str]) -> None:
        try:
            # Before anything is said or allocated: it may start this process again, in its own place.
            allocator.use(program())
            if greeting is not None:
                print(greeting(), flush=True)
            _start()
            text = main()
            if text:
                print(text)
        except FloatingPointError as error:
            print(one_line(f"stopped: {error}"), file=sys.stderr)
            sys.exit(DIVERGED)
        except KeyboardInterrupt as error:
            then = str(error) or stopped
            print(f"\nstopped by the user{then and f'; {then}'}", file=sys.stderr)
            sys.exit(130)
        except Exception as error:
            sentence = said(error)
            if sentence is None:
                error.add_note(bug_report(error))
                raise
            print(one_line(f"error: {sentence}"), file=sys.stderr)
            sys.exit(BAD_INPUT)
        finally:
            # All is done: Ctrl-C ends what libraries do at the end, and shows no traceback of it. The last one that is
            # registered is called first.
            atexit.register(signal.signal, signal.SIGINT, signal.SIG_DFL)

    terminal.use()
    try:
        try:
            app.run(guarded, flags_parser=_help_or_parse)
        except BaseException as end:
            if not isinstance(end, SystemExit) or end.code:
                _to_no_good_end(end)
            sys.stdout.flush()
            raise
    except BrokenPipeError:  # a reader such as `head` has seen enough; what is left is for nobody
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        atexit.register(_end_alone, NO_READER)  # the last one is called first
        sys.exit(NO_READER)


def _to_no_good_end(end: BaseException) -> None:
    """Sees to it that the process waits for nobody at its end: at once where a save waits, else when Python ends."""
    code = end.code if isinstance(end, SystemExit) and isinstance(end.code, int) else 1
    atexit.register(_end_alone, code)
    if _saving_waits():
        if not isinstance(end, SystemExit):
            sys.excepthook(type(end), end, end.__traceback__)
        _end_now(code)


def _end_alone(code: int) -> None:
    """Ends at once, with `code`, a process of several that came to no good end.

    At the end of Python it would wait for the others, as they wait for it: for five minutes, then all are aborted. What
    the others say of it is their library's where they are computing when the first process, which holds them together,
    goes; one that waits for a lost process says so in a sentence (`errors.lost_process`).
    """
    jax = sys.modules.get("jax")
    if jax is not None and jax.distributed.is_initialized():
        _end_now(code)


def _saving_waits() -> bool:
    """Whether threads of Orbax's wait for what comes no more: those of a save whose folder could not be made.

    Python would wait for them at its end, for many minutes. Threads that write something end within `SAVING_S`.
    """
    theirs = [one for one in threading.enumerate() if type(one).__module__.partition(".")[0] == "orbax"]
    deadline = time.monotonic() + SAVING_S
    for one in theirs:
        threading.Thread.join(one, max(0.0, deadline - time.monotonic()))  # theirs raises what they raised
    return any(one.is_alive() and not one.daemon for one in theirs)


def _end_now(code: int) -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _start() -> None:
    # Before anything imports TensorFlow, which talks on stderr, and of oneDNN, on some processors, at every level. It
    # reads and writes records here, and computes nothing.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    if FLAGS.compilation_cache:
        from dhauds_jax.command import compilation_cache

        compilation_cache.use()
    if not FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)  # Orbax reports every file at level info
    # Its thread logs a traceback of the exception that it hands on.
    logging.get_absl_logger().addFilter(lambda record: "_SignalingThread.run() raised" not in record.getMessage())
