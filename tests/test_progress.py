"""Bars in a log file: whole lines, seldom; on a terminal the moving bar."""

import io
import sys

import pytest

from dhauds_jax import progress


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


def test_a_terminal_gets_a_moving_bar(monkeypatch):
    text = shown(monkeypatch, Terminal())
    assert text.count("\r") >= 2 and "3/3" in text
