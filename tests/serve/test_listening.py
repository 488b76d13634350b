"""Windows of a sound that does not stop: those of a recording, what is dropped and when, and what a session learns."""

import threading

import numpy as np
import pytest

from dhauds_jax.dsp.clip_layout import cut
from dhauds_jax.model.rejecting import rejecting
from dhauds_jax.serve.listening import Intake, Labels, Listener, Ring, Window, paced
from dhauds_jax.types import Calibration

LENGTH = 10


def sound(samples):
    return np.arange(1, samples + 1, dtype=np.float32)


def heard(ring, wave, sizes, most=100):
    """All windows of a wave that comes in blocks, each taken at once."""
    found, first = [], 0
    while first < len(wave):
        for size in sizes:
            ring.add(wave[first : first + size], float(first))
            first += size
            found += ring.take(most)
    ring.close()
    while not ring.finished:
        found += ring.take(most)
    return found


@pytest.mark.parametrize("samples", [0, 1, 9, 10, 11, 14, 15, 20, 47])
@pytest.mark.parametrize("hop", [1, 4, 5, 10])
def test_the_windows_are_those_of_a_recording(samples, hop):
    wave = sound(samples)
    theirs = [] if not samples else list(cut([wave], LENGTH, 1 - hop / LENGTH))
    for sizes in ((1,), (3, 7), (100,)):
        for most in (1, 100):
            found = heard(Ring(LENGTH, hop, 200), wave, sizes, most)
            assert [window.wave.tolist() for window in found] == [one.tolist() for one in theirs]
            assert all(window.dropped == 0 for window in found)
            for window in found:
                assert window.end - window.start == min(LENGTH, samples)
                if samples >= LENGTH:
                    assert window.wave[0] == window.start + 1 and window.wave[-1] == window.end


def test_a_sound_shorter_than_a_window_is_laid_out_as_the_checkpoint_wants_it():
    (found,) = heard(Ring(LENGTH, 5, 20, "repeat_pad"), sound(3), (3,))
    assert found.wave.tolist() == [1, 2, 3] * 3 + [0]


def test_what_does_not_fit_is_dropped_but_for_the_newest_window_and_counted():
    ring = Ring(LENGTH, 5, 20)  # holds 30 samples
    for first in range(0, 30, 5):
        ring.add(sound(45)[first : first + 5], now=float(first))
    assert (ring.room, ring.due, ring.dropped) == (0, 5, 0)
    ring.add(sound(45)[30:35], now=30.0)
    assert (ring.due, ring.dropped) == (1, 5)  # those from 0, 5, 10, 15 and 20 on
    (window,) = ring.take(8)
    assert (window.start, window.end, window.came, window.dropped) == (25, 35, 30.0, 5)
    ring.add(sound(45)[35:], now=40.0)
    assert [(one.start, one.dropped) for one in ring.take(8)] == [(30, 0), (35, 0)]


def test_nothing_is_lost_from_sight_whatever_is_taken_when():
    draw = np.random.default_rng(0)
    for _ in range(50):
        hop = int(draw.integers(1, LENGTH + 1))
        ring, wave, first, found = Ring(LENGTH, hop, int(draw.integers(0, 40))), sound(500), 0, []
        while first < len(wave):
            size = int(draw.integers(1, 60))
            ring.add(wave[first : first + size], 0.0)
            first += size
            if draw.random() < 0.5:
                found += ring.take(int(draw.integers(1, 5)))
        ring.close()
        while not ring.finished:
            found += ring.take(3)
        assert sum(window.dropped for window in found) == ring.dropped
        assert all(window.wave[0] == window.start + 1 for window in found)
        whole = [window for window in found if window.start % hop == 0]
        assert len(whole) + ring.dropped == (500 - LENGTH) // hop + 1


def test_a_hop_that_leaves_sound_out_is_refused():
    with pytest.raises(ValueError, match="a hop of 11 samples, expected 1 to 10"):
        Ring(LENGTH, 11, 0)


def test_a_reader_waits_for_room_where_nothing_is_live():
    intake = Intake(Ring(LENGTH, 10, 20), live=False, clock=lambda: 7.0)
    reader = threading.Thread(target=intake.feed, args=([sound(1000)],), daemon=True)
    reader.start()
    found = []
    while not intake.ring.finished:
        found += intake.take(2, 1.0)
    reader.join(60)
    assert [window.start for window in found] == list(range(0, 1000, 10))
    assert {window.came for window in found} == {7.0} and intake.ring.dropped == 0


def test_a_live_reader_waits_for_nobody():
    intake = Intake(Ring(LENGTH, 10, 20), live=True, clock=lambda: 0.0)
    intake.feed([sound(1000)])
    found = intake.take(100, 0.0)
    assert sum(window.dropped for window in found) + len(found) == 100 and found[-1].end == 1000


def test_an_error_of_the_sound_comes_after_what_was_heard():
    def blocks():
        yield sound(25)
        raise OSError("unplugged")

    intake = Intake(Ring(LENGTH, 10, 20), live=True, clock=lambda: 0.0)
    intake.feed(blocks())
    assert [window.start for window in intake.take(9, 0.0)] == [0, 10, 15]
    assert intake.ring.finished and str(intake.error) == "unplugged"


def test_a_reader_that_is_stopped_reads_no_more():
    intake = Intake(Ring(LENGTH, 10, 20), live=False, clock=lambda: 0.0)
    intake.stop()
    intake.feed([sound(1000)])
    assert intake.ring.end == 0 and intake.ring.closed


def test_a_recording_comes_as_fast_as_it_was_recorded():
    now, slept = [100.0], []

    def sleep(seconds):
        slept.append(seconds)
        now[0] += seconds

    pieces = list(paced([sound(60), sound(40)], 50.0, lambda: now[0], sleep))
    assert np.concatenate(pieces).tolist() == [*sound(60), *sound(40)]
    assert now[0] == pytest.approx(102.0) and len(slept) == 100
    now[0] += 50  # held up for a while, it does not sleep until it has caught up
    assert len(list(paced([sound(10)], 1e6, lambda: now[0], sleep))) == 1


class Sums:
    """Probabilities that name a window; notes what it learns from."""

    def __init__(self):
        self.learnt, self.alone, self.rows = [], [], []

    def predict(self, session, waves, weights):
        self.rows.append(len(waves))
        self.learnt += [(session, float(wave[0])) for wave in waves[weights > 0]]
        return self._of(waves), None

    def work(self):
        return False

    def says(self, waves):
        self.alone += [float(wave[0]) for wave in waves]
        return self._of(waves)

    def _of(self, waves):
        return np.stack([waves[:, 0], -waves[:, 0]], 1)


def windows_at(*starts):
    return [Window(np.full(LENGTH, start, np.float32), start, start + LENGTH, 0.0) for start in starts]


def test_windows_are_predicted_together_and_padded_to_a_shape():
    model = Sums()
    listener = Listener(model, (1, 2, 4), LENGTH)
    assert listener.most == 4
    assert listener.predict(windows_at(0, 5, 10)).tolist() == [[0, 0], [5, -5], [10, -10]]
    assert model.rows == [4] and model.learnt == [("", 0.0), ("", 5.0), ("", 10.0)]


def test_a_session_learns_from_windows_that_share_no_sound():
    model = Sums()
    listener = Listener(model, (1, 2, 4), LENGTH, "name", model.says)
    found = np.concatenate([listener.predict(windows_at(0, 4, 8, 12)), listener.predict(windows_at(16, 20, 24))])
    assert found[:, 0].tolist() == [0, 4, 8, 12, 16, 20, 24]
    assert model.learnt == [("name", 0.0), ("name", 12.0), ("name", 24.0)] and model.alone == [4, 8, 16, 20]


def test_labels_are_smoothed_until_windows_are_dropped_and_unknown_where_unsure():
    (window,) = windows_at(0)
    labels = Labels(("a", "b"), smooth=2)
    said = [labels.label(window, np.array(row)) for row in ([0.9, 0.1], [0.4, 0.6], [0.3, 0.7])]
    assert [one.name for one in said] == ["a", "a", "b"] and [one.changed for one in said] == [True, False, True]
    assert [one.confidence for one in said] == pytest.approx([0.9, 0.65, 0.65])
    after = labels.label(window._replace(dropped=3), np.array([0.2, 0.8]))
    assert after.confidence == pytest.approx(0.8) and after.name == "b" and after.changed
    unsure = Labels(("a", "b"), threshold=0.8)
    assert unsure.label(window, np.array([0.7, 0.3])).name == "unknown"
    assert unsure.label(window, np.array([0.2, 0.8])).name == "b"


def test_windows_are_unknown_by_the_rule_of_a_checkpoint_which_compares_their_mean():
    made = rejecting(Calibration(1.0, "nll", "max_score", np.array([1.4])), {}, 0.0)
    labels, (window,) = Labels(("a", "b"), smooth=2, rule=made), windows_at(0)
    # Probabilities, then the scores: 1 and then 1.5 (the mean of 1 and 2), and 2 after a gap.
    answers = ([0.9, 0.1, 1.0, 0.0], [0.8, 0.2, 2.0, 0.0])
    said = [labels.label(window, np.array(row)) for row in answers]
    assert [one.name for one in said] == ["unknown", "a"] and [one.changed for one in said] == [True, True]
    assert [one.confidence for one in said] == pytest.approx([0.9, 0.85])
    assert labels.label(window._replace(dropped=1), np.array([0.6, 0.4, 1.3, 1.2])).name == "unknown"
