"""Listening to a sound that does not stop, or to a recording as if it were one."""

from __future__ import annotations

import contextlib
import csv
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from dhauds_jax import interrupts
from dhauds_jax.data.streaming import resample_stream
from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.files import check_file, check_no_link, for_spreadsheet
from dhauds_jax.runs import serve_unknown
from dhauds_jax.runs.listen_setup import Ears, as_served, ears_of, heading, hop_of, sound_of, warm
from dhauds_jax.runs.requests.listen import ListenRun
from dhauds_jax.serve import pcm
from dhauds_jax.serve.contracts import Served
from dhauds_jax.serve.listening import Intake, Label, Labels, Ring, Window, paced
from dhauds_jax.wording import counted

COLUMNS = ("start", "end", "label", "confidence", "delay_ms", "dropped")
"""Of the csv file, seconds of the sound the first two; behind them `p_CLASS`, the window's own probabilities."""

WAIT_S = 0.1
"""Seconds after which it is looked whether the user has stopped it."""

STOPS = "\nCtrl-C: ends after this window; once more ends at once"


class Course:
    """How it went so far: numbers of windows, and the longest delay from a window's last sample to its label."""

    def __init__(self, late_s: float) -> None:
        """A window is late whose label takes longer than `late_s`: the next one was there before."""
        self.late_s, self.windows, self.late, self.dropped, self.changes = late_s, 0, 0, 0, 0
        self.longest_s, self.heard, self.unanswered = 0.0, 0, 0

    def pass_over(self, window: Window) -> None:
        """A window has no answer."""
        self.unanswered += 1
        self.heard = max(self.heard, window.end)

    def add(self, window: Window, label: Label, delay: float) -> None:
        """A window has its label."""
        self.windows += 1
        self.dropped += window.dropped
        self.changes += label.changed
        self.late += delay > self.late_s
        self.longest_s = max(self.longest_s, delay)
        self.heard = max(self.heard, window.end)


def listen(run: ListenRun, clock: Callable[[], float] = time.monotonic) -> str:
    """Listens until the sound ends or the user stops it; returns what was heard.

    Raises:
      BadInput: what cannot be listened to, before anything is compiled; or a sound that is none, after what was heard.
    """
    check(run)
    raw = pcm.is_raw(run.input)
    if raw and run.speed not in (0.0, 1.0):
        raise BadInput(f"--speed={run.speed:g}: a pipe comes as fast as it comes, expected 1 (drop) or 0 (wait)")
    if run.output is not None:
        check_file(Path(run.output), "output")
    ears = ears_of(run)
    sound = sound_of(run, raw, ears.served.sample_rate)
    hop = hop_of(run.hop, ears.served)
    took = warm(ears)
    _say(heading(run, ears, sound, hop, took))
    speed = run.speed or 1.0
    course = Course(hop / ears.served.sample_rate / speed if run.speed else float("inf"))
    pieces = sound.blocks if raw or not run.speed else paced(sound.blocks, sound.rate * speed, clock, time.sleep)
    ring = Ring(ears.served.length, hop, round(run.buffer * ears.served.sample_rate), ears.read_as["layout"])
    intake = Intake(ring, bool(run.speed), clock)
    heard = resample_stream(pieces, sound.rate, ears.served.sample_rate, ears.read_as["resampler"])
    with _written(run.output, ears.served) as write, interrupts.deferred(STOPS) as stopped:
        # A thread that ends with the process: nothing wakes it while a pipe is silent.
        threading.Thread(target=intake.feed, args=(heard,), name="reader", daemon=True).start()
        _listen(run, ears, intake, course, write, stopped)
    said = summary(run, ears, course, () if stopped() else sound.notices())
    if stopped():
        return f"stopped by the user; {said}"
    if intake.error is not None:
        _say(said)
        raise intake.error
    if not course.windows:
        found = "has a finite answer in no window" if course.unanswered else "ended without a sample"
        raise BadInput(f"--input={run.input}: {found}, expected sound")
    return said


def check(run: ListenRun) -> None:
    """Raises `BadInput` for numbers out of their range."""
    pcm.check(pcm.Raw(16_000 if run.rate is None else run.rate, run.format, run.channels))
    check_number("--hop", run.hop, 0.0)
    check_number("--smooth", run.smooth, 1)
    check_number("--speed", run.speed, 0.0)
    check_number("--buffer", run.buffer, 0.0, 3600.0)
    check_number("--max_batch", run.max_batch, 1, 4_096)
    if run.threshold is not None:
        check_number("--threshold", run.threshold, 0.0, 1.0)
    if run.threshold is not None and (asked := serve_unknown.asked(as_served(run))):
        raise BadInput(f"--threshold and --{asked[0]}: two rules for what is unknown, expected one of them")
    if len(run.checkpoint) > 1 and run.adapt != "none":
        raise BadInput(f"--adapt={run.adapt}: a session adapts one network, expected one --checkpoint")


def _listen(
    run: ListenRun,
    ears: Ears,
    intake: Intake,
    course: Course,
    write: Callable[[Window, Label, float, np.ndarray], None],
    stopped: Callable[[], bool],
) -> None:
    """Labels windows until there are no more, and works on the session where none waits."""
    labels = Labels(ears.served.classes, run.smooth, run.threshold, ears.rule)
    rate, refused, idle = ears.served.sample_rate, 0, False
    while not intake.ring.finished and not stopped():
        windows = intake.take(ears.listener.most, WAIT_S if idle else 0.0)
        if windows:
            ears.now[0] = windows[-1].end / rate
            answers = ears.listener.predict(windows)
            delay = intake.clock()
            for window, row in zip(windows, answers, strict=True):
                if not np.isfinite(row).all():
                    _pass_over(window, labels, course, rate)
                    continue
                label = labels.label(window, row)
                course.add(window, label, delay - window.came)
                write(window, label, delay - window.came, row)
                _tell(run, window, label, rate)
        # Where nothing is live, nothing would ever be idle: what waits is done at once.
        idle = not windows and not ears.listener.predictor.work()
        while windows and not run.speed and ears.listener.predictor.work():
            pass
        refused = _refusals(ears, refused)
    intake.stop()


def _pass_over(window: Window, labels: Labels, course: Course, rate: int) -> None:
    """A window without an answer ends nothing: the sound goes on, and labels begin anew behind it."""
    if not course.unanswered:
        _say(
            f"no answer to {window.start / rate:.3f} to {window.end / rate:.3f} s: samples up to "
            f"{np.abs(window.wave).max():.3g} (full scale is 1), of which the network makes no finite numbers; "
            "further ones are counted"
        )
    labels.begin_anew()
    course.pass_over(window)


def _refusals(ears: Ears, before: int) -> int:
    """Says which update was refused since the last time; how many there are."""
    if ears.sessions is None or (count := ears.sessions.totals()["rollbacks"]) == before:
        return before
    reasons = ears.sessions.totals()["rollbacks_by_reason"]
    source = "; the model answers as it was given from now on" if ears.sessions.totals()["from_source"] else ""
    _say(f"an update was refused at {ears.now[0]:.3f} s ({', '.join(f'{k}: {v}' for k, v in reasons.items())}){source}")
    return count


def _tell(run: ListenRun, window: Window, label: Label, rate: int) -> None:
    if window.dropped:
        lost = f"{counted(window.dropped, 'window')} dropped before {window.start / rate:.3f} s"
        _say(f"{lost}: the sound comes faster than it is computed (--speed=0 waits)")
    if label.changed or run.every:
        at = f"{window.start / rate:10.3f} {window.end / rate:10.3f}"
        print(f"{at}  {label.name}  {label.confidence:.3f}", flush=True)


def _say(text: str) -> None:
    """Prints lines that are no labels."""
    print("\n".join(f"# {line}" for line in text.splitlines()), flush=True)


def summary(run: ListenRun, ears: Ears, course: Course, notices: Sequence[str]) -> str:
    """What was heard, what was late or left out, and what a session learnt."""
    live = f"{course.late} late, {course.dropped} dropped, the longest delay {1e3 * course.longest_s:.0f} ms"
    parts = [
        f"heard {course.heard / ears.served.sample_rate:.3f} s in {counted(course.windows, 'window')}, "
        f"{counted(course.changes, 'label')} in turn; {live if run.speed else 'nothing dropped'}"
    ]
    if told := ears.told():
        reasons = ", ".join(f"{key}: {count}" for key, count in told["rollbacks_by_reason"].items())
        left_out = ", ".join(f"{key}: {count}" for key, count in told["clips_left_out"].items())
        parts.append(
            f"the session learnt {counted(told['updates'], 'time')} from {counted(told['clips_learnt_from'], 'window')}"
            f"{left_out and f' (left out: {left_out})'}, {counted(told['rollbacks'], 'update')} refused"
            f"{reasons and f' ({reasons})'}; it answers from the {told['answers_from']}"
        )
    if course.unanswered:
        parts.append(f"{counted(course.unanswered, 'window')} without an answer")
    parts += [*notices, *([run.output] if run.output else [])]
    return "; ".join(parts)


@contextlib.contextmanager
def _written(output: str | None, served: Served) -> Iterator[Callable[[Window, Label, float, np.ndarray], None]]:
    """What writes a row of the csv file, which a kill leaves there."""
    if output is None:
        yield lambda *_: None
        return
    check_no_link(Path(output))
    with open(output, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow([*COLUMNS, *(f"p_{name}" for name in served.classes)])
        file.flush()

        def write(window: Window, label: Label, delay: float, row: np.ndarray) -> None:
            at = [f"{sample / served.sample_rate:.4f}" for sample in (window.start, window.end)]
            said = [for_spreadsheet(label.name), f"{label.confidence:.6f}", f"{1e3 * delay:.1f}", window.dropped]
            table.writerow([*at, *said, *(f"{one:.7f}" for one in row[: len(served.classes)])])
            file.flush()

        yield write
