"""Saved states of unfinished runs."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.workdir import saver as saving
from dhauds_jax.workdir.saver import Saver

TREE = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "step": np.int32(4), "half": jnp.ones(2, jnp.bfloat16)}


def test_round_trip_is_bit_exact(tmp_path):
    saver = Saver(tmp_path / "run", every_s=0)
    assert saver.save(TREE, {"position": 3, "curve": [1.5]})
    tree, info = Saver(tmp_path / "run").load(TREE)
    assert info == {"position": 3, "curve": [1.5]}
    for name, leaf in TREE.items():
        assert tree[name].dtype == np.asarray(leaf).dtype
        assert np.array_equal(np.asarray(tree[name]), np.asarray(leaf))


def test_arrays_without_a_number_come_back(tmp_path):
    """A memory of no clips, which Orbax refuses to write."""
    tree = {**TREE, "memory": np.zeros((5, 0, 7), np.float32), "labels": jnp.zeros((0,), jnp.int32)}
    saver = Saver(tmp_path / "run", every_s=0)
    assert saver.save(tree, {"position": 1})
    found, _ = saver.load(tree)
    assert {name: (leaf.shape, leaf.dtype) for name, leaf in found.items()} == {
        name: (np.shape(leaf), np.asarray(leaf).dtype) for name, leaf in tree.items()
    }
    assert np.array_equal(found["w"], TREE["w"])
    with pytest.raises(BadInput, match=r"00000001 holds the state of another run or version"):
        saver.load({**tree, "memory": np.zeros((5, 1, 7), np.float32)})


def test_only_the_latest_is_kept_and_clear_removes_it(tmp_path):
    saver = Saver(tmp_path / "run", every_s=0)
    for position in (1, 2, 12):
        saver.save(TREE, {"position": position})
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["00000012"]
    assert saver.load(TREE)[1]["position"] == 12
    saver.clear()
    assert saver.load(TREE) is None


def test_what_a_killed_save_left_beside_the_latest_is_not_moved_with_it(tmp_path):
    """The older state stayed for good where a process was killed before it removed it, and nothing was saved again."""
    saver = Saver(tmp_path / "state" / "train", 0.0)
    saver.save(jnp.arange(3.0), {"position": 1})
    shutil.copytree(tmp_path / "state" / "train" / "00000001", tmp_path / "kept")
    saver.save(jnp.arange(3.0), {"position": 2})
    shutil.copytree(tmp_path / "kept", tmp_path / "state" / "train" / "00000001")
    (tmp_path / "state" / "train" / "00000001.tmp").mkdir()
    saver.move(tmp_path / "state" / "trained")
    assert [path.name for path in (tmp_path / "state" / "trained").iterdir()] == ["00000002"]


def test_states_are_not_saved_more_often_than_asked(tmp_path):
    saver = Saver(tmp_path / "run", every_s=3600)
    assert not saver.save(TREE, {"position": 1})
    assert saver.load(TREE) is None
    assert not list(tmp_path.iterdir())


def test_of_several_processes_the_first_ones_clock_decides_and_few_steps_ask_it(tmp_path, monkeypatch):
    """Each process counts the same steps; the others' clocks say nothing, and a broadcast is not made at every step."""
    clock, now, said = {"first": 0.0, "second": 500.0}, ["first"], []

    def of_first(value):
        if now == ["first"]:
            said.append(value)
        return said[-1]

    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(saving.time, "monotonic", lambda: clock[now[0]])
    monkeypatch.setattr(saving.parallel, "of_first", of_first)
    savers, due = {}, {name: [] for name in clock}
    for now[0] in clock:
        savers[now[0]] = Saver(tmp_path / "run", every_s=20)
    for step in range(1, 221):
        clock["first"] += 0.1
        for now[0] in clock:
            due[now[0]] += [step] * savers[now[0]].due()
    assert due["first"] == due["second"]
    assert 200 <= due["first"][0] <= 201
    assert len(said) - len(due["first"]) < 25


def test_a_killed_save_leaves_the_older_state(tmp_path):
    saver = Saver(tmp_path / "run", every_s=0)
    saver.save(TREE, {"position": 1})
    (tmp_path / "run" / "00000002.tmp").mkdir()
    assert saver.load(TREE)[1]["position"] == 1
    saver.save(TREE, {"position": 2})
    (tmp_path / "run" / "00000003.tmp").mkdir()
    saver.save(TREE, {"position": 4})
    assert saver.load(TREE)[1]["position"] == 4
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["00000004"]


def test_a_state_of_the_same_position_is_replaced_without_a_moment_in_which_there_is_none(tmp_path, monkeypatch):
    """Before, the older one was removed, and then the new one renamed; what is removed now is beside a whole one."""
    saver = Saver(tmp_path / "run", every_s=0)
    saver.save(TREE, {"position": 1, "which": "old"})
    there, removed = [], shutil.rmtree

    def watched(path, **how):
        removed(path, **how)
        there.append(saver.info().get("which"))

    monkeypatch.setattr(shutil, "rmtree", watched)
    saver.save(TREE, {"position": 1, "which": "new"})
    assert None not in there, "after each removal there is a state"
    assert there[-1] == "new"
    assert saver.load(TREE)[1]["which"] == "new"
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["00000001"]


def test_a_clock_that_is_set_while_a_state_is_written_is_said(tmp_path, monkeypatch):
    """Before, Orbax's TimeoutError was told as a bug: the laptop had slept."""
    from orbax.checkpoint import v1 as ocp

    def late(*args):
        raise TimeoutError("timed out after -30243.81 seconds.")

    saver = Saver(tmp_path / "state", every_s=0.0)
    saver.save({"x": jnp.ones(2)}, {"position": 1})
    monkeypatch.setattr(ocp, "save", late)
    with pytest.raises(BadInput, match=r"was not written in time \(timed out after .*give the same command again"):
        saver.save({"x": jnp.ones(2)}, {"position": 2})
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["00000001"]


def test_a_state_of_another_shape_is_refused(tmp_path):
    saver = Saver(tmp_path / "run", every_s=0)
    saver.save(TREE, {"position": 1})
    with pytest.raises(ValueError, match="holds the state of another run or version: remove"):
        saver.load({**TREE, "w": np.zeros((3, 3), np.float32)})


def test_a_want_of_memory_is_said_beside_damage(tmp_path, monkeypatch):
    from orbax.checkpoint import v1 as ocp

    saver = Saver(tmp_path / "run", every_s=0)
    saver.save(TREE, {"position": 3})

    def fails(path):
        raise MemoryError

    monkeypatch.setattr(ocp, "load", fails)
    with pytest.raises(BadInput, match="do not fit into the memory there is, or are damaged and say too large a size"):
        saver.load(TREE)
