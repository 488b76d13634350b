"""Checkpoints: round trip, replacement, and one sentence for every kind of damage."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.nets import checkpoint, zoo


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    net = zoo.build(zoo.preset("amaut_tiny", ("a", "b", "c")))
    variables = net.init(jax.random.key(0), jnp.zeros((1, net.config.length)))
    folder = tmp_path_factory.mktemp("checkpoint") / "deep" / "net"
    extra = {"epoch": 3, "curve": [0.5, 0.75], "dead": {"layers.0.weight": np.arange(3), "why": "unused"}}
    checkpoint.save(folder, variables, net.config, extra)
    return folder, variables, net.config, extra


def test_round_trip(saved):
    folder, variables, config, extra = saved
    again, config2, extra2 = checkpoint.load(folder)
    assert config2 == config == checkpoint.load_config(folder)
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(again))
    jax.tree.map(np.testing.assert_array_equal, again, variables)
    assert checkpoint.variables_hash(again) == checkpoint.variables_hash(variables)
    np.testing.assert_array_equal(extra2["dead"].pop("layers.0.weight"), [0, 1, 2])
    assert extra2 == {**extra, "dead": {"why": "unused"}}
    assert sorted(path.name for path in folder.parent.iterdir()) == ["net"]


def test_hash_sees_values_names_shapes_and_dtypes(saved):
    tree = {"params": {"a": np.zeros((2, 3), np.float32)}}
    others = [
        {"params": {"b": np.zeros((2, 3), np.float32)}},
        {"params": {"a": np.zeros((3, 2), np.float32)}},
        {"params": {"a": np.zeros((2, 3), np.int32)}},
        {"params": {"a": np.full((2, 3), 1e-9, np.float32)}},
    ]
    assert len({checkpoint.variables_hash(each) for each in (tree, *others)}) == 5
    assert checkpoint.variables_hash(tree) == checkpoint.variables_hash(
        {"params": {"a": jnp.asarray(np.zeros((2, 3), np.float32))}}
    )


def copy(saved, tmp_path):
    shutil.copytree(saved[0], tmp_path / "net")
    return tmp_path / "net"


def test_a_newer_one_replaces_the_older(saved, tmp_path):
    folder = copy(saved, tmp_path)
    doubled = jax.tree.map(lambda a: 2 * np.asarray(a), saved[1])
    checkpoint.save(folder, doubled, saved[2])
    again, _, extra = checkpoint.load(folder)
    jax.tree.map(np.testing.assert_array_equal, again, doubled)
    assert extra == {}
    assert [path.name for path in tmp_path.iterdir()] == ["net"]


def test_missing_things_are_named(saved, tmp_path):
    with pytest.raises(ValueError, match="nowhere: no such folder"):
        checkpoint.load(tmp_path / "nowhere")
    folder = copy(saved, tmp_path)
    (folder / "config.json").unlink()
    with pytest.raises(ValueError, match=r"has no config\.json, expected a folder that train or convert wrote$"):
        checkpoint.load(folder)
    inside = folder / "checkpoint"
    inside.mkdir()
    (inside / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=rf"a folder that train or convert wrote; {inside} is one$"):
        checkpoint.load(folder)


def test_missing_or_damaged_arrays_are_named(saved, tmp_path):
    folder = copy(saved, tmp_path)
    shutil.rmtree(folder / "variables")
    with pytest.raises(ValueError, match="its arrays cannot be read"):
        checkpoint.load(folder)


@pytest.mark.parametrize("error", [MemoryError(), ValueError("RESOURCE_EXHAUSTED: 9 GiB"), OSError(28, "no room")])
def test_arrays_that_do_not_fit_into_memory_are_not_called_damaged_alone(saved, tmp_path, monkeypatch, error):
    """TensorStore calls a want of memory and a full disk RESOURCE_EXHAUSTED in a ValueError or RuntimeError."""
    from orbax.checkpoint import v1 as ocp

    folder = copy(saved, tmp_path)

    def fails(path):
        raise RuntimeError(str(error)) if isinstance(error, ValueError) else error

    monkeypatch.setattr(ocp, "load", fails)
    wanted = "cannot be read" if isinstance(error, OSError) else "do not fit into the memory there is, or are damaged"
    with pytest.raises(ValueError, match=f"its arrays {wanted}"):
        checkpoint.load(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"family": "lstm"}, "unknown net family 'lstm': expected"),
        ({"classes": ["a", "b"]}, r"params/head/classifier/bias is \(3,\), expected \(2,\) .* with 2 classes"),
        ({"tail": 1}, r"foreign keys \['tail'\]"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(saved, tmp_path, change, message):
    folder = copy(saved, tmp_path)
    record = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**record, **change}))
    with pytest.raises(ValueError, match=message):
        checkpoint.load(folder)


def test_missing_leaves_are_named(saved, tmp_path):
    _, variables, config, _ = saved
    params = dict(variables["params"])
    params["encoder"] = {k: v for k, v in params["encoder"].items() if k != "cls_token"}
    checkpoint.save(tmp_path / "net", {**variables, "params": params}, config)
    with pytest.raises(ValueError, match=r"leaves missing \['params/encoder/cls_token'\]"):
        checkpoint.load(tmp_path / "net")
