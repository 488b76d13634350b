"""The queue as a whole: whatever comes in whatever order, every item is answered once, by its own rows."""

import math
from concurrent.futures import Future

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dhauds_jax.serve.choosing import Waiting, choose
from dhauds_jax.serve.contracts import Full, Late, NotFinite
from tests.serve.simulated import POISON, Simulated

SHAPES = ((1,), (1, 2, 4), (1, 2, 4, 8), (2, 4), (3,))
LIMIT = 12

steps = st.one_of(
    st.tuples(
        st.just("submit"),
        st.integers(1, 20),
        st.sampled_from(["", "a", "b", "broken"]),
        st.sampled_from([math.inf, math.inf, 0.0, 0.004, 0.05]),
        st.sampled_from([None, None, None, 0, 5]),
    ),
    st.tuples(st.just("cancel"), st.integers(0, 100)),
    st.tuples(st.just("pass"), st.sampled_from([0.001, 0.006, 0.1])),
    st.tuples(st.just("turn")),
    st.tuples(st.just("coming"), st.sampled_from([0, 1, 3])),
)


def play(script, service):
    """Does what the script says, then lets the service finish; the futures' cancelled ones by position."""
    cancelled = set()
    for what, *how in script:
        if what == "submit":
            try:
                service.submit(*how)
            except Full:
                assert len(service.batcher) == LIMIT
                service.items.pop()
        elif what == "cancel" and service.items:
            position = how[0] % len(service.items)
            cancelled |= {position} if service.items[position].future.cancel() else set()
        elif what == "pass":
            service.clock.now += how[0]
        elif what == "coming":
            service.batcher.coming = how[0]
        elif what == "turn":
            service.turn()
    service.batcher.coming = 0
    service.drain()
    return cancelled


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(
    st.lists(steps, max_size=40), st.sampled_from(SHAPES), st.sampled_from([0.0, 0.01]), st.sampled_from([0.0, 5e-3])
)
def test_whatever_comes_every_item_is_answered_once_by_its_own_rows(script, shapes, seconds, wait_s):
    service = Simulated(shapes, seconds=seconds, raising=("broken",), wait_s=wait_s, limit=LIMIT)
    cancelled = play(script, service)
    assert len(service.batcher) == 0
    ran = {position: [] for position in range(len(service.items))}
    for session, waves, weights in service.predictor.batches:
        assert len(waves) in shapes
        rows = int(weights.sum())
        assert rows > 0 and weights.tolist() == [1] * rows + [0] * (len(waves) - rows)
        assert rows == len(waves) or rows < shapes[0]  # padded only below the smallest shape
        assert not waves[rows:].any()
        for first, second in waves[:rows]:
            if first != POISON:
                ran[int(first)].append(int(second))
                assert service.items[int(first)].session == session
    for position, item in enumerate(service.items):
        poisoned = np.flatnonzero(item.waves[:, 0] == POISON).tolist()
        whole = [n for n in range(len(item.waves)) if n not in poisoned]
        assert ran[position] == whole[: len(ran[position])]  # in order, none twice
        if position in cancelled:
            assert item.future.cancelled()
            continue
        error = item.future.exception(timeout=0)
        if error is None:
            assert item.session != "broken" and not poisoned and ran[position] == whole
            np.testing.assert_array_equal(item.future.result(0).probabilities, item.waves)
        elif isinstance(error, Late):
            assert item.deadline < math.inf
        elif isinstance(error, NotFinite):
            assert poisoned
        else:
            assert item.session == "broken" and str(error) == "session broken"


def test_windows_of_an_answer_say_how_long_it_took():
    service = Simulated((1, 2), seconds=0.5)
    future, other = service.submit(3), service.submit(1)
    service.clock.now += 0.25
    service.drain()
    said = future.result(0)
    assert (said.queue_s, said.compute_s, said.batch) == (0.25, 1.0, 2)
    assert (other.result(0).queue_s, other.result(0).compute_s, other.result(0).batch) == (0.25, 0.5, 2)
    assert said.source is None


def test_one_window_at_a_time_is_a_batch_too():
    service = Simulated((1,))
    futures = [service.submit(n) for n in (1, 3, 2)]
    service.drain()
    assert [len(future.result(0).probabilities) for future in futures] == [1, 3, 2]
    assert {len(waves) for _, waves, _ in service.predictor.batches} == {1}


def test_a_poisoned_item_fails_alone():
    service = Simulated((4,))
    futures = [service.submit(1), service.submit(2, poison=1), service.submit(1)]
    service.drain()
    assert len(service.predictor.batches) == 1
    assert isinstance(futures[1].exception(0), NotFinite)
    assert futures[0].result(0).probabilities.tolist() == [[0, 0]]
    assert futures[2].result(0).probabilities.tolist() == [[2, 0]]


def test_nobody_is_starved_by_long_items_and_full_sessions():
    """Whoever is due is computed within as many batches as items waited, though others never cease to come."""
    service = Simulated((1, 2, 4), seconds=0.001, limit=8)
    service.batcher.coming = 1
    service.submit(200)
    service.submit(1, "alone")
    turns = 0
    while not service.items[1].future.done():
        while len(service.batcher) < 8:
            service.submit(4, "crowd")
        turns += 1
        service.turn()
    assert turns <= 6 + 2 * 8  # 5 ms of full batches, then once round the queue
    for _ in range(200 // 4 * 8):
        while len(service.batcher) < 8:
            service.submit(4, "crowd")
        service.turn()
    assert len(service.items[0].future.result(0).probabilities) == 200


def test_a_full_queue_refuses_and_takes_again_when_there_is_room():
    service = Simulated((1,), limit=2)
    service.submit(1), service.submit(1)
    with pytest.raises(Full, match="2 requests wait"):
        service.submit(1)
    service.turn()
    assert service.submit(1).done() is False


def test_windows_of_another_length_are_refused_before_they_can_break_a_batch():
    service = Simulated()
    item = service.submit(1) and service.items[0]
    for waves in (np.zeros((0, 2)), np.zeros((1, 3)), np.zeros(2)):
        with pytest.raises(ValueError, match=r"expected \(windows, 2\)"):
            service.batcher.submit(item._replace(waves=waves))


def test_a_late_item_fails_with_its_reason_before_it_is_computed():
    service = Simulated()
    future = service.submit(1, seconds=2.0)
    service.clock.now += 2
    service.turn()
    assert str(future.exception(0)) == "not computed within 2 s"
    assert not service.predictor.batches


def test_who_left_in_the_middle_of_a_long_item_costs_no_further_batch():
    service = Simulated((1, 2, 4))
    future = service.submit(100)
    service.turn()
    assert future.cancel()
    assert service.turn() == math.inf
    assert len(service.predictor.batches) == 1


def test_closing_fails_what_waits_and_what_comes():
    service = Simulated()
    future = service.submit(1)
    service.batcher.close(RuntimeError("over"))
    assert str(future.exception(0)) == "over"
    with pytest.raises(RuntimeError, match="over"):
        service.submit(1)
    assert service.turn() == math.inf


def test_int16_and_float_rows_share_a_batch():
    service = Simulated((2,))
    service.submit(1)
    for waves in (np.array([[16_384, -32_768]], np.int16), np.array([[1, 2], [3, 4]], np.int16)):
        service.batcher.submit(service.items[0]._replace(waves=waves, future=Future()))
    service.drain()
    (_, mixed, _), (_, whole, _) = service.predictor.batches
    assert mixed.tolist() == [[0.0, 0.0], [0.5, -1.0]]
    assert whole.dtype == np.int16 and whole.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("waiting", "now", "coming", "shape", "rows", "wait"),
    [
        ([], 0.0, 0, 0, (), math.inf),
        ([("", 1, 0.0)], 0.0, 0, 1, ((0, 1),), 0.0),  # nobody is on the way: at once
        ([("", 1, 0.0)], 0.0, 1, 0, (), 5.0),
        ([("", 1, 0.0), ("", 1, 2.0)], 3.0, 1, 0, (), 2.0),  # from the first that waits, not from the last
        ([("", 1, 0.0), ("", 2, 4.0)], 5.0, 1, 2, ((0, 1), (1, 1)), 0.0),  # 3 rows: 2 now, none padded
        ([("", 8, 0.0)], 0.0, 1, 8, ((0, 8),), 0.0),  # full: at once
        ([("a", 1, 0.0), ("b", 9, 1.0)], 1.0, 1, 8, ((1, 8),), 0.0),  # the session that is full
        ([("a", 1, 0.0), ("b", 9, 1.0)], 5.0, 1, 1, ((0, 1),), 0.0),  # the first that is due
        ([("", 60, 0.0), ("", 60, 0.0)], 0.0, 1, 8, ((0, 4), (1, 4)), 0.0),  # at most half each
        ([("", 60, 0.0), ("", 1, 0.0)], 0.0, 1, 4, ((0, 3), (1, 1)), 0.0),
        ([("", 60, 0.0), ("a", 1, 0.0)], 0.0, 1, 8, ((0, 8),), 0.0),  # alone in its session: all of it
        ([("", 1, 0.0)] * 9, 0.0, 1, 8, tuple((i, 1) for i in range(8)), 0.0),
    ],
)
def test_the_choice(waiting, now, coming, shape, rows, wait):
    found = choose([Waiting(*one) for one in waiting], (1, 2, 4, 8), now, 5.0, coming)
    assert found == (shape, rows, wait)
