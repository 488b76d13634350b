"""A conversion family from a user's own module takes the road of ours, there and back."""

import json

import numpy as np
import pytest

from converters import conversion, families
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import checkpoint, zoo

NAME = "tests.converters.foreign:FAMILY"


@pytest.fixture
def source(tmp_path):
    """(path of the file, its arrays, path of the config)."""
    save_file = pytest.importorskip("safetensors.numpy").save_file
    rng = np.random.default_rng(0)
    shapes = {"embed.weight": (8, 40), "embed.bias": (8,), "out.weight": (3, 8), "out.bias": (3,)}
    state = {key: rng.standard_normal(shape).astype(np.float32) for key, shape in shapes.items()}
    state["steps"] = np.asarray(7, np.int64)
    save_file(state, tmp_path / "mine.safetensors")
    record = zoo.preset("tests.nets.foreign:tiny", ["a", "b", "c"]).to_dict()
    given = {key: record[key] for key in ("head", "front_end", "sample_rate", "length", "classes")}
    (tmp_path / "config.json").write_text(json.dumps(given))
    return tmp_path / "mine.safetensors", state, tmp_path / "config.json"


def test_a_users_own_family_there_and_back(source, tmp_path):
    from safetensors.numpy import load_file

    path, state, config = source
    made = conversion.convert(NAME, [path], tmp_path / "out", config=config)
    assert (made.family, made.used, made.ignored, made.notes) == (NAME, 4, ["encoder/steps"], [])
    variables, resolved, _ = checkpoint.load(tmp_path / "out")
    assert resolved.family == "tests.nets.foreign:FAMILY" and resolved.geometry == {"width": 8}
    np.testing.assert_array_equal(variables["params"]["encoder"]["embed"]["kernel"], state["embed.weight"].T)
    (written,) = conversion.reverse(NAME, tmp_path / "out", tmp_path / "back")
    back = load_file(written)
    assert back.keys() == state.keys()
    for key, array in state.items():
        np.testing.assert_array_equal(back[key], array)
    checkpoint.save(tmp_path / "trained", variables, resolved)
    (written,) = conversion.reverse(NAME, tmp_path / "trained", tmp_path / "fresh")
    assert load_file(written)["steps"] == 0


def test_a_users_own_preset_starts_it(source, tmp_path):
    path, _, _ = source
    (tmp_path / "classes.json").write_text(json.dumps({"classes": ["x", "y", "z"]}))
    preset = "tests.nets.foreign:tiny"
    conversion.convert(NAME, [path], tmp_path / "out", config=tmp_path / "classes.json", preset=preset)
    _, config, _ = checkpoint.load(tmp_path / "out")
    assert (config.net, config.classes) == (preset, ("x", "y", "z"))
    with pytest.raises(BadInput, match=r"'tests.nets.foreign:tiny' is no hubert network, expected hubert_"):
        conversion.presets.resolve(families.find("hubert"), {}, None, preset, {}, {})


def test_what_is_wrong_is_said(source, tmp_path):
    path, _, config = source
    pytest.importorskip("torch")
    out = tmp_path / "out"
    with pytest.raises(BadInput, match=r"mine.safetensors: holds unknown network \(embed.bias, .*expected HuBERT enco"):
        conversion.convert("hubert", [path], out, config=config)
    with pytest.raises(BadInput, match=r"unknown --family 'huber': expected hubert "):
        conversion.convert("huber", [path], out, config=config)
    with pytest.raises(BadInput, match=r"--family: 'tests.nets.foreign:FAMILY' is a Family, expected a converters.fam"):
        conversion.convert("tests.nets.foreign:FAMILY", [path], out, config=config)
    with pytest.raises(BadInput, match=r"--verify: net family 'tests.nets.foreign:FAMILY' has no PyTorch side"):
        conversion.convert(NAME, [path], out, config=config, verify=True)
    assert not out.exists()
