"""An estimate of the whole: said once, of what was measured, by a clock that the test turns."""

import io
import sys

import pytest

from dhauds_jax import estimates, progress
from dhauds_jax.estimates import Estimate


@pytest.fixture
def said(capsys):
    return lambda: capsys.readouterr().err.splitlines()


class Clock:
    """Seconds that pass when the test says so."""

    now = 0.0

    def __call__(self):
        return self.now


def ends(estimate, clock, seconds, **part):
    for second in seconds:
        clock.now = second
        estimate.part(**part)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1, "5 s"),
        (44, "45 s"),
        (89, "90 s"),
        (90, "2 min"),
        (12.4 * 60, "12 min"),
        (2 * 3600, "2 h"),
        (7_900, "2 h 10 min"),
        (36 * 3600, "1 day 12 h"),
        (72 * 3600, "3 days"),
    ],
)
def test_a_time_is_said_as_roughly_as_it_is_known(seconds, text):
    assert estimates.duration(seconds) == text


def test_steps_are_measured_without_the_first_which_compiles(said):
    estimate = Estimate(100, "step", clock=(clock := Clock()))
    ends(estimate, clock, [30.0, 31.0, 32.0, 33.0, 34.0])
    assert said() == []  # four seconds are too few
    ends(estimate, clock, [35.0, 36.0, 90.0])
    assert said() == [
        "estimate: about 2 min for all 100 steps, from 5 steps after the first, which took 30 s and may have compiled"
    ], "30 s and 99 steps of 1 s, once"


def test_few_large_parts_are_measured_from_the_first_by_their_work(said):
    estimate = Estimate(3, "cell", work=40, few=True, clock=(clock := Clock()))
    ends(estimate, clock, [600.0], work=10)
    ends(estimate, clock, [660.0], work=10)
    assert said() == ["estimate: about 40 min for all 3 cells, from the first, reading and compiling included"]


def test_what_an_earlier_sitting_did_is_not_counted(said):
    estimate = Estimate(5, "row", few=True, clock=(clock := Clock()))
    estimate.there(parts=2, work=2)
    ends(estimate, clock, [1.0, 60.0])
    assert said() == [
        "estimate: about 2 min for the 3 rows that were left, from the first 2, reading and compiling included"
    ]


def test_what_failed_says_nothing_about_the_others(said):
    estimate = Estimate(11, "row", few=True, clock=(clock := Clock()))
    clock.now = 3_600.0  # an hour of a row that ended in an error
    estimate.there()
    ends(estimate, clock, [3_660.0])
    line = "estimate: about 70 min for the 10 rows that were left, from the first, reading and compiling included"
    assert said() == [line]


def test_where_nothing_was_there_all_parts_are_to_do(said):
    estimate = Estimate(5, "run", few=True, clock=(clock := Clock()))
    estimate.there(0, 0)
    ends(estimate, clock, [60.0])
    assert said() == ["estimate: about 5 min for all 5 runs, from the first, reading and compiling included"]


def test_after_the_last_part_nothing_is_left_to_estimate(said):
    """0.3 - 0.1 - 0.2 is not 0."""
    estimate = Estimate(3, "row", work=0.6, few=True, clock=(clock := Clock()))
    for second, work in ((1.0, 0.1), (2.0, 0.2), (40.0, 0.3)):
        ends(estimate, clock, [second], work=work)
    assert said() == []


def test_short_work_and_the_end_of_work_have_no_line(said):
    short = Estimate(12, "step", clock=(clock := Clock()))
    ends(short, clock, [1.0 + k for k in range(12)])
    last = Estimate(2, "cell", few=True, clock=clock)
    ends(last, clock, [12.0, 500.0])
    one = Estimate(1, "cell", few=True, clock=clock)
    ends(one, clock, [2000.0])
    assert said() == []


def test_a_part_of_something_larger_stays_silent(said):
    with estimates.within():
        estimates.say("work: 3 epochs")
        inner = Estimate(10, "epoch", few=True, clock=(clock := Clock()))
        with estimates.within(False):  # still inside
            estimates.say("work: 3 epochs")
    outer = Estimate(10, "cell", few=True, clock=clock)
    with estimates.within():
        ends(inner, clock, [100.0])
        clock.now = 200.0
        outer.part()
    with estimates.within(False):
        estimates.say("work: 3 epochs")
    assert said() == [
        "estimate: about 33 min for all 10 cells, from the first, reading and compiling included",
        "work: 3 epochs",
    ]


def test_processes_without_bars_say_nothing(said, monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    estimates.say("work: 3 epochs")
    assert said() == []
    monkeypatch.setattr(sys, "stderr", None)
    monkeypatch.delenv("TQDM_DISABLE")
    estimates.say("work: 3 epochs")


def bar_lines(monkeypatch, seconds, **options):
    """What a log file holds of a bar of the whole work, whose steps end at these seconds."""
    now = [0.0]
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])
    monkeypatch.setattr(progress, "LINE_EVERY_S", 3600.0)
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    with progress.progress_bar(desc="train", unit="step", whole=True, **options) as bar:
        for second in seconds:
            now[0] = second
            bar.update()
    return stream.getvalue().splitlines()


def test_a_bar_of_all_there_is_says_it_on_a_line_of_its_own(monkeypatch):
    wanted = (
        "estimate: about 3 min for all 20 steps, from 1 step after the first, which took 15 s and may have compiled"
    )
    assert bar_lines(monkeypatch, [15.0, 25.0, 35.0], total=20) == [wanted]


def test_a_bar_that_goes_on_counts_what_is_left(monkeypatch):
    line = (
        "estimate: about 3 min for the 14 steps that were left, from 1 step after the first, which took 60 s and may "
    )
    assert bar_lines(monkeypatch, [60.0, 70.0], total=20, initial=6) == [f"{line}have compiled"]


def test_a_bar_that_is_not_shown_has_no_line(monkeypatch):
    assert bar_lines(monkeypatch, [15.0, 25.0], total=20, disable=True) == []


def test_a_terminal_gets_the_line_above_its_bar(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    now = [0.0]
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with progress.progress_bar(desc="train", unit="step", whole=True, total=50) as bar:
        for second in (15.0, 25.0):
            now[0] = second
            bar.update()
    before, after = terminal.getvalue().split("\rtrain: ", 1)[-1].split("estimate: about 8 min for all 50 steps")
    assert before.endswith("\r") and after.split("\n")[0].endswith("may have compiled") and "train:" in after
