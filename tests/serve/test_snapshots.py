"""Sessions in a folder: back after a restart, never a path from a name, and no fault of the disk ends the service."""

import errno
import json
import os
import time

import numpy as np
import pytest

from dhauds_jax.serve import snapshots as module
from dhauds_jax.serve.contracts import ClosedSession, TooManySessions, UnknownSession
from dhauds_jax.serve.holding import Keeping
from dhauds_jax.serve.snapshots import SHARED, Snapshots, is_name
from tests.serve.adapted import Clock, ask, asked, same_bits, sessions_of, state_of, tiny_model
from tests.tta import tiny

WAVES = tiny.waves()
IDENTITY = {"method": "tent", "model": "tiny"}


def sessions_in(folder, identity=IDENTITY, say=print, **more):
    return sessions_of(tiny_model(), asked(), snapshots=Snapshots(folder, identity, say), **more)


def learn(sessions, name, waves=WAVES[:9]):
    for wave in waves:
        ask(sessions, name, wave[None])


def test_a_session_goes_on_after_a_restart(tmp_path):
    before = sessions_in(tmp_path)
    name = before.open()
    learn(before, name)
    state, told = state_of(before, name), before.describe(name)
    before.stop()
    after = sessions_in(tmp_path)
    assert same_bits(state_of(after, name), state)
    assert after.describe(name)["updates"] == told["updates"] == 2
    assert after.totals()["updates"] == 0  # of this process
    # One clip waited before the restart; no sound is written, so it is gone. The rest is as without a restart.
    learn(before, name, WAVES[12:21])
    learn(after, name, WAVES[12:21])
    assert after.describe(name)["updates"] == 4 and after.describe(name)["clips_waiting"] == 1
    assert after.describe(name)["clips_learnt_from"] == 16  # the clip that was lost is not among them
    after.stop()


def test_no_sound_is_written(tmp_path):
    sessions = sessions_in(tmp_path)
    name = sessions.open()
    learn(sessions, name)
    sessions.stop()
    assert [place.name for place in tmp_path.glob("*/*")] == [name]
    assert sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file()) < 64_000  # 9 clips of 1 KiB: none
    (info,) = tmp_path.rglob("info.json")
    assert set(json.loads(info.read_text())) == {
        "format", "written_by", "counts", "reasons", "left_out", "journal", "rollbacks_in_a_row", "from_source",
        "position", "identity",
    }  # fmt: skip


def test_a_folder_that_is_full_loses_what_was_asked_for_longest_ago(tmp_path):
    names, said, long_ago = [digit * 32 for digit in "abcd"], [], time.time() - 3_600
    state = {"leaf": np.random.default_rng(0).normal(size=50_000).astype(np.float32)}  # which do not compress
    held = Snapshots(tmp_path, IDENTITY, said.append, most_bytes=700_000)
    for number, name in enumerate(names[:3]):
        held.save(name, state, {"counts": {}})
        held.flush()
        os.utime(next(tmp_path.glob(f"*/{name}")), (long_ago + number, long_ago + number))
    assert held.count() == (3, 0) and held.removed == 0 and not said
    assert held.load(names[0], state) is not None  # asked for: now it is the newest
    held.save(names[3], state, {"counts": {}})
    held.close()
    assert sorted(place.name for place in tmp_path.glob("*/*")) == [names[0], names[2], names[3]]
    assert held.removed == 1 and len(said) == 1
    assert "holds more than 0.667572 MB; sessions that were asked for longest ago are removed" in said[0]
    after = Snapshots(tmp_path, IDENTITY, said.append, most_bytes=1)  # a start makes room, too
    assert after.count() == (1, 0) and after.removed == 2


def test_a_session_that_left_the_memory_comes_back(tmp_path):
    """Two clients take turns where there is room for one: no session is lost, whatever it has learnt."""
    clock = Clock()
    sessions = sessions_in(tmp_path, keeping=Keeping(max_sessions=1, spare_s=30.0), clock=clock)
    one = sessions.open()
    learn(sessions, one)
    state = state_of(sessions, one)
    with pytest.raises(TooManySessions):  # it is in use
        sessions.open()
    assert sessions.totals()["put_out"] == 0
    clock.now += 30
    two = sessions.open()
    with pytest.raises(TooManySessions):
        sessions.describe(one)
    learn(sessions, two, WAVES[:3])
    clock.now += 30
    assert same_bits(state_of(sessions, one), state)
    clock.now += 30
    told = sessions.describe(two)  # it had tried nothing
    assert (told["updates"], told["clips_learnt_from"], told["clips_waiting"], told["buffers_let_go"]) == (0, 0, 0, 1)
    assert sessions.totals()["updates"] == 2 and sessions.totals()["put_out"] == 3
    assert sessions.totals()["let_go"] == 2  # the ninth clip of one, three of two
    sessions.stop()


def test_a_session_that_has_learnt_nothing_goes_on_after_a_restart(tmp_path):
    before = sessions_in(tmp_path)
    name = before.open()
    before.stop()
    assert sessions_in(tmp_path).describe(name)["updates"] == 0


def test_sessions_are_written_when_nothing_waits_and_not_all_the_time(tmp_path):
    clock = Clock()
    sessions = sessions_in(tmp_path, keeping=Keeping(save_s=5.0), clock=clock)
    name = sessions.open()
    assert not sessions.work()
    learn(sessions, name)
    assert sessions.work() and not sessions.work()
    learn(sessions, name, WAVES[9:18])
    assert not sessions.work()
    clock.now += 5
    assert sessions.work() and not sessions.work()
    sessions.stop()


def test_close_and_reset_remove_what_was_written(tmp_path):
    sessions = sessions_in(tmp_path)
    one, two = sessions.open(), sessions.open()
    for name in (one, two):
        learn(sessions, name)
        assert sessions.work()
    sessions.close(one)
    sessions.reset(two)
    assert not list(tmp_path.glob("*/*"))
    with pytest.raises(ClosedSession):
        sessions.describe(one)


def test_a_session_in_the_folder_is_closed_although_the_memory_is_full(tmp_path):
    clock = Clock()
    sessions = sessions_in(tmp_path, keeping=Keeping(max_sessions=1, spare_s=30.0), clock=clock)
    one = sessions.open()
    learn(sessions, one)
    clock.now += 30
    sessions.open()
    with pytest.raises(TooManySessions):
        sessions.describe(one)
    sessions.close(one)
    assert not list(tmp_path.glob(f"*/{one}"))
    for call in (sessions.close, sessions.describe):
        with pytest.raises(ClosedSession):
            call(one)
    with pytest.raises(UnknownSession):
        sessions.close("0" * 32)
    assert (sessions.totals()["open"], sessions.totals()["updates"]) == (1, 2)
    sessions.stop()


def test_a_name_never_becomes_a_path(tmp_path):
    folder = tmp_path / "sessions"
    (tmp_path / "secret").mkdir()
    kept = Snapshots(folder, IDENTITY)
    for name in ("../secret", "..", "", "A" * 32, "0" * 31, "0" * 33, "0" * 31 + "/", "0" * 32 + "\n"):
        assert not is_name(name)
        assert kept.load(name, ()) is None
        for call in (kept.delete, lambda name: kept.save(name, (), {"counts": {}})):
            with pytest.raises(ValueError, match="32 hexadecimal digits"):
                call(name)
    assert (tmp_path / "secret").is_dir() and not list(folder.iterdir())
    assert is_name("0123456789abcdef" * 2)


def test_states_of_another_model_are_left_alone(tmp_path):
    """A service that shares one session is started with another method and saves: the first one's state stays."""
    states, said = {}, []
    for model in ("tiny", "another", "tiny", "another"):
        identity = {**IDENTITY, "model": model}
        sessions = sessions_in(tmp_path, identity, said.append, keeping=Keeping(shared=True), warm=True)
        if model in states:
            assert same_bits(state_of(sessions, SHARED), states[model])
        learn(sessions, "", WAVES[:5] if model == "tiny" else WAVES[5:14])
        states[model] = state_of(sessions, SHARED)
        sessions.stop()
    assert not said and len(list(tmp_path.glob("*/shared"))) == 2
    assert not same_bits(*states.values())


def test_what_cannot_be_read_is_left_alone(tmp_path):
    sessions = sessions_in(tmp_path, keeping=Keeping(shared=True), warm=True)
    learn(sessions, "")
    sessions.stop()
    (info,) = tmp_path.rglob("info.json")
    info.write_text("{")
    said = []
    other = sessions_in(tmp_path, say=said.append, keeping=Keeping(shared=True), warm=True)
    learn(other, "")
    other.stop()
    assert len(said) == 1 and "it is left alone" in said[0] and info.read_text() == "{"


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC])
def test_a_folder_that_cannot_be_written_is_said_once_and_sessions_go_on(tmp_path, monkeypatch, number):
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number), str(tmp_path / name / "leaves"))

    said = []
    monkeypatch.setattr(module.Saver, "save", refuse)
    sessions = sessions_in(tmp_path, say=said.append)
    name = sessions.open()
    for part in (WAVES[:9], WAVES[9:18]):
        learn(sessions, name, part)
        sessions._holding._write(name)
    sessions._holding._snapshots.flush()
    assert len(said) == 1 and os.strerror(number) in said[0] and "sessions go on" in said[0] and "\n" not in said[0]
    assert "SESSION/leaves" in said[0] and name not in said[0]
    assert sessions.describe(name)["updates"] == 4
    sessions.stop()


def test_a_folder_that_is_a_file_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    said = []
    sessions = sessions_in(tmp_path / "file", say=said.append)
    name = sessions.open()
    learn(sessions, name)
    sessions.stop()
    flag = f"--session_dir={tmp_path / 'file'}: "
    assert said and all(s.startswith(flag) and s.count(flag) == 1 for s in said)
    assert np.isfinite(ask(sessions, name, WAVES[:1])).all()


def test_old_sessions_are_removed_and_nothing_else(tmp_path):
    """Neither what no session wrote, though it be called like one, nor one that was read since."""
    clock, old = Clock(), module.time.time() - module.KEPT_S - 3600
    sessions = sessions_in(tmp_path, clock=clock)
    names = [sessions.open() for _ in range(4)]
    for name in names:
        learn(sessions, name, WAVES[:5])
    sessions.stop()
    (own,) = tmp_path.iterdir()
    (own / ("a" * 32)).mkdir()
    (tmp_path / ("b" * 32)).mkdir()
    strange = own / "notes" / "1"
    strange.mkdir(parents=True)
    (strange / "info.json").write_text("{}")

    def left():
        return {place.name for place in own.iterdir()} - {"a" * 32, "notes"}

    def age(*ones):
        for place in (*(own / name for name in ones), own / ("a" * 32), own / "notes", tmp_path / ("b" * 32)):
            os.utime(place, (old, old))

    age(names[0])
    after = sessions_in(tmp_path, clock=clock)
    assert left() == set(names[1:])
    age(*names[1:])
    after.describe(names[1])  # asked for: it is read
    clock.now += module.TIDIED_S - 1
    assert not after.work() and left() == set(names[1:])
    clock.now += 1
    after.work()
    assert left() == {names[1]}
    assert (own / ("a" * 32)).is_dir() and strange.is_dir() and (tmp_path / ("b" * 32)).is_dir()
    after.stop()
