"""Names of sessions, and which of them give way."""

import pytest

from dhauds_jax.serve.contracts import ClosedSession, Predictor, TooManySessions, UnknownSession
from dhauds_jax.serve.holding import Keeping
from tests.serve.adapted import Clock, ask, asked, sessions_of, tiny_model
from tests.tta import tiny


def test_names_are_random_and_unknown_ones_are_said():
    sessions = sessions_of(tiny_model(), asked())
    assert isinstance(sessions, Predictor)
    names = {sessions.open() for _ in range(8)}
    assert len(names) == 8 and all(len(name) == 32 and int(name, 16) >= 0 for name in names)
    for wrong in ("0" * 32, "../../etc/passwd", "x"):
        with pytest.raises(UnknownSession):
            sessions.describe(wrong)
    closed = names.pop()
    sessions.close(closed)
    for call in (sessions.describe, sessions.reset, sessions.close):
        with pytest.raises(ClosedSession):
            call(closed)


def test_the_least_recently_used_session_gives_way_when_it_rests():
    clock = Clock()
    keeping = Keeping(max_sessions=2, spare_s=30.0, idle_s=900.0)
    sessions = sessions_of(tiny_model(), asked(), keeping=keeping, clock=clock)
    one, two = sessions.open(), sessions.open()
    clock.now += 20
    sessions.describe(one)
    with pytest.raises(TooManySessions, match="2 sessions are in use"):
        sessions.open()
    clock.now += 15
    three = sessions.open()  # two rests for 35 s, one for 15
    with pytest.raises(ClosedSession):
        sessions.describe(two)
    clock.now += 890
    sessions.describe(three)
    with pytest.raises(ClosedSession):  # left alone for 905 s
        sessions.describe(one)
    assert sessions.totals()["open"] == 1 and sessions.totals()["put_out"] == 2


def test_what_nobody_asks_for_leaves_the_memory_of_a_quiet_service():
    for look in ("totals", "work"):
        clock = Clock()
        sessions = sessions_of(tiny_model(), asked(), keeping=Keeping(idle_s=900.0), clock=clock)
        name = sessions.open()
        ask(sessions, name, tiny.waves()[:3])
        clock.now += 900
        getattr(sessions, look)()
        assert sessions._holding.sessions == {}
        assert sessions.totals()["put_out"] == 1 and sessions.totals()["let_go"] == 1
        with pytest.raises(ClosedSession):
            sessions.describe(name)
