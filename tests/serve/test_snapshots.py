"""Sessions in a folder: back after a restart, never a path from a name, and no fault of the disk ends the service."""

import errno
import json
import os

import numpy as np
import pytest

from dhauds_jax.serve import snapshots as module
from dhauds_jax.serve.contracts import ClosedSession, UnknownSession
from dhauds_jax.serve.holding import Keeping
from dhauds_jax.serve.snapshots import Snapshots, is_name
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
    after.stop()


def test_no_sound_is_written(tmp_path):
    sessions = sessions_in(tmp_path)
    name = sessions.open()
    learn(sessions, name)
    sessions.stop()
    assert [place.name for place in tmp_path.iterdir()] == [name]
    assert sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file()) < 64_000  # 9 clips of 1 KiB: none
    (info,) = tmp_path.rglob("info.json")
    assert set(json.loads(info.read_text())) == {
        "counts", "reasons", "left_out", "journal", "rollbacks_in_a_row", "from_source", "position", "identity",
    }  # fmt: skip


def test_a_session_that_left_the_memory_comes_back(tmp_path):
    sessions = sessions_in(tmp_path, keeping=Keeping(max_sessions=1))
    one = sessions.open()
    learn(sessions, one)
    state = state_of(sessions, one)
    two = sessions.open()  # at once: nothing is lost
    assert sessions.totals()["open"] == 1
    assert same_bits(state_of(sessions, one), state)
    assert sessions.totals()["updates"] == 2 and sessions.totals()["put_out"] == 2
    with pytest.raises(UnknownSession):  # it had learnt nothing, so nothing was written
        sessions.describe(two)


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
    assert not list(tmp_path.iterdir())
    with pytest.raises(ClosedSession):
        sessions.describe(one)


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
    sessions = sessions_in(tmp_path)
    name = sessions.open()
    learn(sessions, name)
    sessions.stop()
    said = []
    other = sessions_in(tmp_path, {**IDENTITY, "model": "another"}, said.append)
    with pytest.raises(UnknownSession):
        other.describe(name)
    assert len(said) == 1 and "of another model, method or version" in said[0] and name not in said[0]
    assert (tmp_path / name).is_dir()


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
    assert said and all(s.startswith(f"--session_dir={tmp_path / 'file'}: ") for s in said)
    assert np.isfinite(ask(sessions, name, WAVES[:1])).all()


def test_old_sessions_are_removed(tmp_path):
    for name, age in (("a" * 32, module.KEPT_S + 3600), ("b" * 32, 3600), ("notes", module.KEPT_S + 3600)):
        (tmp_path / name).mkdir()
        then = module.time.time() - age
        os.utime(tmp_path / name, (then, then))
    Snapshots(tmp_path, IDENTITY)
    assert sorted(place.name for place in tmp_path.iterdir()) == ["b" * 32, "notes"]
