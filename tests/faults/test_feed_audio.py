"""A short share of the campaigns that feed: fixed seeds, in this process; and the seeds of what was found."""

import numpy as np
import pytest

from tests.faults import feed_audio, mutations, trying

SHARE = 25
"""Files of each format."""


def tried(targets, case, numbers, folder):
    """The verdicts of some tries of a case that came out wrong, by number.

    Time and memory are the campaign's to judge: here a first try may compile, on whatever machine.
    """
    target = targets[case]._replace(memory_mb=4_000)
    (folder / "sound").mkdir()
    prepared, wrong = target.prepare(folder / "sound"), {}
    for number in numbers:
        place = folder / f"try{number}"
        place.mkdir()
        verdict = trying.judged(target, prepared, place, mutations.draws(0, case, number), slow_s=300.0)
        if verdict.outcome not in trying.FINE:
            wrong[number] = verdict
    return wrong


@pytest.mark.faults
@pytest.mark.parametrize("case", feed_audio.TARGETS)
def test_damaged_recordings_are_read_or_refused(tmp_path, case):
    assert tried(feed_audio.TARGETS, case, range(SHARE), tmp_path) == {}


@pytest.mark.parametrize("number", [9, 18, 510])
def test_a_w64_of_64_bit_sizes_is_refused(tmp_path, number):
    """Three of 59 in the first 500 that ended in a traceback."""
    assert tried(feed_audio.TARGETS, "w64", [number], tmp_path) == {}


def test_a_seed_names_a_damaged_file_for_good():
    data = bytes(range(256)) * 8
    first, again = (mutations.damaged(mutations.draws(0, "wav", 7), data) for _ in range(2))
    assert first == again != mutations.damaged(mutations.draws(0, "wav", 8), data)


def test_an_ogg_s_checksums_are_those_of_its_pages(tmp_path):
    import soundfile

    soundfile.write(tmp_path / "a.ogg", np.zeros(2_000), 16_000)
    data = (tmp_path / "a.ogg").read_bytes()
    broken = bytearray(data)
    broken[22:26] = bytes(4)
    assert feed_audio.with_checksums(bytes(broken)) == data
