"""Bars in a log file: whole lines, seldom; on a terminal the moving bar."""

import gc
import io
import sys

import pytest

from dhauds_jax import estimates, progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)


def shown(monkeypatch, stream, **options):
    monkeypatch.setattr(sys, "stderr", stream)
    with progress.progress_bar(desc="train", total=3, unit="step", **options) as bar:
        for _ in range(3):
            bar.update()
            bar.set_postfix(loss="0.5")
    return stream.getvalue()


def test_a_log_file_gets_whole_lines(monkeypatch, at_once):
    text = shown(monkeypatch, io.StringIO())
    assert "\r" not in text and "\x1b" not in text and text.endswith("\n") and "\n\n" not in text
    assert text.splitlines()[0].startswith("train: 0 of 3 in ")
    assert text.splitlines()[-1].startswith("train: 3 of 3 in ") and "loss=0.5" in text


def test_bars_below_another_one_do_not_move_the_cursor(monkeypatch, at_once):
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    with progress.progress_bar(desc="all rows", total=2, bar_format="{desc}|{bar}| {n_fmt}") as outer:
        for _ in range(2):
            assert list(progress.progress_bar([1, 2], desc="row")) == [1, 2]
            outer.update()
    lines = stream.getvalue().splitlines()
    assert all(line.startswith(("all rows|| ", "row: ")) for line in lines) and lines[-1] == "all rows|| 2"
    assert "\r" not in stream.getvalue() and "\x1b" not in stream.getvalue()


def test_what_is_done_soon_leaves_no_line(monkeypatch):
    monkeypatch.setattr(progress, "LINE_EVERY_S", 3600.0)
    assert shown(monkeypatch, io.StringIO()) == "", "a remark brings no line forward"
    assert shown(monkeypatch, io.StringIO(), disable=True) == ""


def run_by_clock(monkeypatch, seconds, **options):
    """What a log file holds of a bar whose steps end at these seconds; it is closed at the last one."""
    now = [0.0]
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    with progress.progress_bar(desc="train", unit="step", **options) as bar:
        for second in seconds:
            now[0] = second
            bar.update()
    return stream.getvalue().splitlines()


def test_the_first_step_which_compiles_is_left_out_of_the_estimate(monkeypatch):
    """Before, "train: 1 of 220 in 00:15, 55:34 to go" where the truth was 14 s."""
    assert run_by_clock(monkeypatch, [15.0, 25.0, 35.0], total=220) == [
        "train: 1 of 220 in 00:15",
        "train: 2 of 220 in 00:25, 36:20 to go, 10.00s/step",
        "train: 3 of 220 in 00:35, 36:10 to go, 10.00s/step",
    ]


def test_what_compiles_between_steps_is_left_out_too(monkeypatch):
    """Before, "about 15 min for all 320 steps" of a training of 45 s: four steps, and the first scores among them."""
    now = [0.0]
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    with progress.progress_bar(desc="train", total=100, unit="step", whole=True) as bar:
        for second in (15.0, 16.0, 17.0, 48.0, 49.0, 50.0, 51.0):
            now[0] = second
            bar.update()
            if second == 17.0:
                now[0] = 47.0
                bar.apart()
    assert stream.getvalue().splitlines() == [
        "train: 1 of 100 in 00:15",
        "train: 4 of 100 in 00:48, 01:36 to go,  1.00step/s",
        "estimate: about 2 min for all 100 steps, from 5 steps after the first, which took 15 s and may have compiled",
        "train: 7 of 100 in 00:51, 01:33 to go,  1.00step/s",
    ]


def test_a_run_that_goes_on_leaves_its_own_first_step_out(monkeypatch):
    assert run_by_clock(monkeypatch, [60.0, 70.0], total=12, initial=6) == [
        "train: 7 of 12 in 01:00",
        "train: 8 of 12 in 01:10, 00:40 to go, 10.00s/step",
    ]


def test_no_line_comes_twice(monkeypatch):
    """Before, the last line was written when its step ended, and again at the end."""
    last = "train: 2 of 2 in 00:40, 00:00 to go, 20.00s/step"
    assert run_by_clock(monkeypatch, [20.0, 40.0], total=2) == ["train: 1 of 2 in 00:20", last]
    assert run_by_clock(monkeypatch, [20.0], total=1) == ["train: 1 of 1 in 00:20"]
    assert run_by_clock(monkeypatch, [20.0], total=3) == ["train: 1 of 3 in 00:20"], "stopped on the way"


def test_the_last_line_has_the_last_remark(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    with progress.progress_bar(desc="train", unit="step", total=1) as bar:
        now[0] = 20.0
        bar.update()
        bar.set_postfix(validation="0.9")
    assert stream.getvalue() == "train: 1 of 1 in 00:20, validation=0.9\n"


def test_a_bar_over_things_leaves_the_first_out_as_well(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    for second in progress.progress_bar([50.0, 52.0, 70.0], desc="read", unit="file"):
        now[0] = second
    assert stream.getvalue().splitlines() == [
        "read: 1 of 3 in 00:50",
        "read: 3 of 3 in 01:10, 00:00 to go, 10.00s/file",
    ]


def test_a_log_file_says_what_a_long_first_step_waits_for(monkeypatch):
    monkeypatch.setattr(progress, "LINE_EVERY_S", 3600.0)  # its timer never fires here
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    with progress.progress_bar(desc="train", total=3, awaited="compiling") as bar:
        assert bar._awaited.is_alive() and bar._awaited.interval == progress.LINE_EVERY_S
        bar.say_awaited("compiling")  # what the timer does
        bar.update()
        assert bar._awaited.finished.is_set()
        bar.say_awaited("compiling")
    with progress.progress_bar(desc="train", total=3, awaited="compiling", disable=True) as bar:
        bar.say_awaited("compiling")
        assert not bar._awaited.is_alive()
    assert stream.getvalue() == "train: compiling\n"


def test_a_bar_that_an_exception_left_says_nothing_more(monkeypatch):
    """Before, its timer kept it, and it spoke while the next row of a sweep ran."""
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    timers = []

    def broken():
        bar = progress.progress_bar(desc="row 1", total=3, awaited="compiling")
        timers.append(bar._awaited)
        raise ValueError

    with pytest.raises(ValueError):
        broken()
    gc.collect()
    assert timers[0].finished.is_set()


def test_a_disabled_bar_has_a_text():
    assert "0 of 3" in str(progress.progress_bar(total=3, disable=True))


def test_a_terminal_gets_a_moving_bar(monkeypatch):
    text = shown(monkeypatch, Terminal())
    assert text.count("\r") >= 2 and "3/3" in text


def test_a_reader_that_is_gone_breaks_no_step(monkeypatch, at_once):
    """Before, the bar of a training behind `|& tee` raised BrokenPipeError in the step in which Ctrl-C had come."""

    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

        def flush(self):
            raise BrokenPipeError

    assert shown(monkeypatch, Gone()) == ""
    monkeypatch.setattr(sys, "stderr", Gone())
    estimates.say("work: 3 epochs")
