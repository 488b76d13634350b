"""Saved states of unfinished runs."""

import jax.numpy as jnp
import numpy as np
import pytest

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


def test_only_the_latest_is_kept_and_clear_removes_it(tmp_path):
    saver = Saver(tmp_path / "run", every_s=0)
    for position in (1, 2, 12):
        saver.save(TREE, {"position": position})
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["00000012"]
    assert saver.load(TREE)[1]["position"] == 12
    saver.clear()
    assert saver.load(TREE) is None


def test_states_are_not_saved_more_often_than_asked(tmp_path):
    saver = Saver(tmp_path / "run", every_s=3600)
    assert not saver.save(TREE, {"position": 1})
    assert saver.load(TREE) is None
    assert saver.save(TREE, {"position": 1}, force=True)


def test_a_killed_save_leaves_the_older_state(tmp_path):
    saver = Saver(tmp_path / "run", every_s=0)
    saver.save(TREE, {"position": 1})
    (tmp_path / "run" / "00000002.tmp").mkdir()
    assert saver.load(TREE)[1]["position"] == 1
    saver.save(TREE, {"position": 2})
    assert saver.load(TREE)[1]["position"] == 2


def test_a_state_of_another_shape_is_refused(tmp_path):
    saver = Saver(tmp_path / "run", every_s=0)
    saver.save(TREE, {"position": 1})
    with pytest.raises(ValueError, match="holds the state of another run or version: remove"):
        saver.load({**TREE, "w": np.zeros((3, 3), np.float32)})
