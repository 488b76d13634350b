"""A share of the campaign *kill*, and what it is made of."""

import random

import pytest

from tests.faults import compared, kill
from tests.faults.outcomes import Outcome
from tests.faults.victims import Ended


def test_moments_are_spread_over_what_happens_and_repeat():
    whole = kill.Whole(5.0, {"rename": 3, "open": 2000, "compile": 7}, 0, {})
    moments = [kill.drawn(random.Random(seed), whole) for seed in range(400)]
    assert moments == [kill.drawn(random.Random(seed), whole) for seed in range(400)]
    by_event = {event: sum(one.event == event for one in moments) for event in ("rename", "open", "compile", "")}
    assert sum(by_event.values()) == 400 and min(by_event.values()) > 70
    assert {one.number for one in moments if one.event == "rename"} == {0, 1, 2}
    assert {one.signal for one in moments} == set(kill.SIGNALS)
    assert all(0 < one.after_s < 5 for one in moments if not one.event)


@pytest.mark.parametrize(
    ("code", "signal", "err", "said"),
    [
        (-9, "SIGKILL", "", ""),
        (-9, "SIGTERM", "", "crash"),
        (-11, "SIGTERM", "", "crash"),
        (130, "SIGINT", "\nstopped by the user; the same command goes on", ""),
        (130, "SIGINT", "", "unclear"),
        (1, "SIGINT", "Traceback (most recent call last):", "crash"),
        (1, "SIGINT", "Traceback (most recent call last):\n in guarded\nKeyboardInterrupt\n", "crash"),
        (1, "SIGINT", "Traceback (most recent call last):\n in main\nKeyboardInterrupt\n", ""),
        (0, "SIGINT", "Traceback (most recent call last):", "crash"),
    ],
)
def test_how_a_killed_command_may_end(code, signal, err, said):
    assert kill.ended_badly(Ended(code, 1.0, False, 0, {}, "", err), signal) == said


def test_what_may_differ_is_left_out_and_nothing_else(tmp_path):
    """The instrument itself."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "results.jsonl").write_text('{"x": 1, "seconds": 2.0, "recipe": {"command": "c", "row": 1}}\n')
    (tmp_path / "a" / "one.wav").write_bytes(b"abc")
    first = compared.snapshot(tmp_path)
    (tmp_path / "a" / "results.jsonl").write_text('{"x": 1, "seconds": 3.0, "recipe": {"command": "d", "row": 1}}\n')
    assert compared.differences(first, compared.snapshot(tmp_path)) == []
    (tmp_path / "a" / "results.jsonl").write_bytes(b'{"x": 1, "recipe": {"row": 1}}\n\0\0\0\n')  # torn, and passed over
    assert compared.differences(first, compared.snapshot(tmp_path, torn=True)) == []
    assert len(compared.differences(first, compared.snapshot(tmp_path))) == 1
    assert compared.snapshot(tmp_path, ("one.wav",), torn=True) == {**first, "a/one.wav": ""}
    (tmp_path / "a" / "one.wav.tmp-host-1-0").write_bytes(b"a")
    (tmp_path / "a" / "one.wav").write_bytes(b"abd")
    said = compared.differences(first, compared.snapshot(tmp_path, torn=True))
    assert [one.split(" from ")[0] for one in said] == ["holds a/one.wav.tmp-host-1-0 besides", "a/one.wav differs"]


@pytest.mark.faults
@pytest.mark.parametrize("name", ["train", "adapt", "corrupt", "soundscapes"])
def test_a_killed_command_goes_on_to_the_same(name, place, victims):
    """Two moments of each, from seeds; the campaign has up to a hundred."""
    whole = kill.undisturbed(victims, name, place)
    found = []
    for seed in range(2):
        outcome, said, where = kill.attempt(victims, name, place, random.Random(f"{name} {seed}"), whole)
        found.append(Outcome("kill", name, seed, outcome, said, where=where))
    assert [one for one in found if one.wrong] == []
    assert {one.outcome for one in found} <= {"right", "ended before"}
