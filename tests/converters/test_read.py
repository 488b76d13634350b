"""Reading PyTorch files: fairseq's foreign objects held inert, any other class refused, missing packages named."""

import argparse
import hashlib
import json
import os
import pickle
import sys
import types
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from converters import read

torch = pytest.importorskip("torch", reason="writes the PyTorch files that are read")

WEIGHTS = {"encoder.weight": np.arange(6, dtype=np.float32).reshape(2, 3)}


@pytest.fixture
def foreign_module(monkeypatch):
    """Makes a class of a package that is not installed, only while the test pickles it."""

    def make(path, base=object):
        module, name = path.rsplit(".", 1)
        parts = module.split(".")
        for i in range(len(parts)):
            prefix = ".".join(parts[: i + 1])
            if prefix not in sys.modules:
                monkeypatch.setitem(sys.modules, prefix, types.ModuleType(prefix))
        cls = type(name, (base,), {"__module__": module, "__qualname__": name})
        monkeypatch.setattr(sys.modules[module], name, cls, raising=False)
        return cls

    return make


def tensors():
    return {name: torch.from_numpy(array) for name, array in WEIGHTS.items()}


def test_fairseq_file_is_read_with_inert_stand_ins(tmp_path, foreign_module, monkeypatch):
    dictionary = foreign_module("fairseq.data.dictionary.Dictionary")()
    dictionary.symbols, dictionary.indices = ["<s>", "</s>"], {"<s>": 0}
    settings = foreign_module("omegaconf.dictconfig.DictConfig")()
    node, metadata = foreign_module("omegaconf.nodes.AnyNode")(), foreign_module("omegaconf.base.ContainerMetadata")()
    metadata.ref_type, metadata.object_type, metadata.resolver_cache = dict, dict, defaultdict(dict)
    node._metadata, node._val = metadata, 0.05
    settings._content, settings._metadata = {"layer_norm_first": node}, metadata
    items = foreign_module("omegaconf.listconfig.ListConfig")()
    items._content = [node]
    checkpoint = {
        "args": argparse.Namespace(arch="hubert", layers=12),
        "cfg": {"model": settings, "labels": items},
        "model": tensors(),
        "task_state": {"dictionaries": [dictionary]},
        "optimizer_history": [{"num_updates": 400000}],
    }
    path = tmp_path / "hubert_base_ls960.pt"
    torch.save(checkpoint, path)
    monkeypatch.undo()
    assert "fairseq" not in sys.modules and "omegaconf" not in sys.modules
    source = read.read(path)
    np.testing.assert_array_equal(source.state["encoder.weight"], WEIGHTS["encoder.weight"])
    assert list(source.state) == ["encoder.weight"] and source.types == ("float32",)
    assert "fairseq" not in sys.modules and "omegaconf" not in sys.modules


class Runs:
    """Would run a command when unpickled."""

    def __reduce__(self):
        return os.system, ("exit 1",)


def test_other_classes_are_refused_by_name(tmp_path, foreign_module, monkeypatch):
    task = foreign_module("fairseq.tasks.hubert.Task")()
    torch.save({"model": tensors(), "task": task}, tmp_path / "task.pt")
    monkeypatch.undo()
    with (tmp_path / "new_protocol.pt").open("wb") as file:
        pickle.dump(WEIGHTS, file, protocol=4)
    with pytest.raises(ValueError, match=r"no PyTorch file \(it does not begin as torch.save's files do\)"):
        read.read(tmp_path / "new_protocol.pt")
    torch.save({"model": tensors(), "x": Runs()}, tmp_path / "runs.pt")
    for name, refused in {"task.pt": "fairseq.tasks.hubert.Task", "runs.pt": "posix.system"}.items():
        with pytest.raises(ValueError) as error:
            read.read(tmp_path / name)
        assert name in str(error.value) and refused in str(error.value) and "refused" in str(error.value)
        assert "\n" not in str(error.value)


def test_whole_model_is_refused_by_the_name_of_its_class(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pt")
    with pytest.raises(ValueError, match=r"torch\.nn\.modules\.linear\.Linear, which is refused.*state_dict"):
        read.read(tmp_path / "module.pt")


def test_old_format_is_read(tmp_path):
    torch.save(tensors(), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    np.testing.assert_array_equal(read.read(tmp_path / "old.pt").state["encoder.weight"], WEIGHTS["encoder.weight"])


def test_entries_that_are_no_tensors_are_named(tmp_path):
    torch.save({**tensors(), "epoch": 3}, tmp_path / "mixed.pt")
    with pytest.raises(ValueError, match=r"entries \['epoch'\] are no tensors"):
        read.read(tmp_path / "mixed.pt")


def test_missing_package_names_the_extra(tmp_path, monkeypatch):
    (tmp_path / "a.safetensors").write_bytes(b"something")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(
        ValueError, match=r"a.safetensors: .* needs safetensors, .*not installed: pip install 'dhauds_jax\[convert\]'"
    ):
        read.read(tmp_path / "a.safetensors")


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "older layout"])
def test_files_of_torch_need_no_torch(zipped, tmp_path, monkeypatch):
    torch.save(tensors(), tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)
    monkeypatch.setitem(sys.modules, "torch", None)
    np.testing.assert_array_equal(read.read(tmp_path / "w.pt").state["encoder.weight"], WEIGHTS["encoder.weight"])


def test_safetensors_need_no_torch(tmp_path, monkeypatch):
    numpy_side = pytest.importorskip("safetensors.numpy", reason="writes a safetensors file")
    numpy_side.save_file(WEIGHTS, tmp_path / "w.safetensors")
    monkeypatch.setitem(sys.modules, "torch", None)
    np.testing.assert_array_equal(
        read.read(tmp_path / "w.safetensors").state["encoder.weight"], WEIGHTS["encoder.weight"]
    )


def test_huggingface_folder_with_a_bin_file(tmp_path):
    (tmp_path / "config.json").write_text('{"hidden_size": 3}')
    torch.save(tensors(), tmp_path / "pytorch_model.bin")
    source = read.read(tmp_path)
    assert source.record == {"hidden_size": 3} and source.path == tmp_path and len(source.sha256) == 64


def shards(folder, suffix):
    """A folder whose two tensors lie in a file each."""
    (folder / "config.json").write_text("{}")
    names = {f"{part}.weight": f"weights-{number}-of-2{suffix}" for number, part in enumerate(("a", "b"))}
    for number, (key, name) in enumerate(names.items()):
        tensor = torch.full((2, 3), float(number))
        if suffix == ".bin":
            torch.save({key: tensor}, folder / name)
        else:
            pytest.importorskip("safetensors.torch").save_file({key: tensor}, folder / name)
    stem = "pytorch_model" if suffix == ".bin" else "model"
    index = folder / f"{stem}{suffix}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 48}, "weight_map": names}))
    return index


@pytest.mark.parametrize("suffix", [".bin", ".safetensors"])
def test_weights_over_several_files_are_read(tmp_path, suffix):
    index = shards(tmp_path, suffix)
    source = read.read(tmp_path)
    assert {key: array[0, 0] for key, array in source.state.items()} == {"a.weight": 0, "b.weight": 1}
    files = sorted(tmp_path.glob(f"weights-*{suffix}"))
    assert source.sha256 == hashlib.sha256(files[0].read_bytes() + files[1].read_bytes()).hexdigest()
    assert source.path == tmp_path and source.record == {} and source.types == ("float32",)
    files[0].rename(tmp_path / "kept")
    with pytest.raises(ValueError, match=rf"index.json: names {files[0].name}, which is not beside it: 2 files are ex"):
        read.read(tmp_path)
    (tmp_path / "kept").rename(files[0])
    for where, words in (
        ({"c.weight": files[0].name}, r"says that \['c.weight'\] are in files that do not hold them; fetch the files"),
        ({"a.weight": "../" + files[0].name}, r"names \.\./weights-0-of-2.*, which is not beside it"),
        ({}, "has no weight_map, expected the name of a file for each tensor"),
    ):
        index.write_text(json.dumps({"weight_map": where}))
        with pytest.raises(ValueError, match=words):
            read.read(tmp_path)


@pytest.mark.parametrize("name", read.NESTED)
def test_a_training_program_s_file_is_read_with_the_scalars_beside(tmp_path, name):
    """NumPy's scalars and arrays beside the weights are held inert; they were refused."""
    beside = {"epoch": 3, "best": np.float64(0.9), "seen": np.int64(7), "confusion": np.eye(2)}
    torch.save({**beside, name: tensors(), "folder": Path("runs") / "1"}, tmp_path / "best.pt")
    state = read.read(tmp_path / "best.pt").state
    assert list(state) == ["encoder.weight"] and np.array_equal(state["encoder.weight"], WEIGHTS["encoder.weight"])


def test_a_file_of_lightning_is_read(tmp_path, foreign_module, monkeypatch):
    settings = foreign_module("lightning.fabric.utilities.data.AttributeDict", dict)(lr=0.1)
    checkpoint = {
        "epoch": 2,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": {f"model.{name}": tensor for name, tensor in tensors().items()},
        "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.9), "kth_value": np.float32(0.5)}},
        "hyper_parameters": settings,
    }
    torch.save(checkpoint, tmp_path / "last.ckpt")
    monkeypatch.undo()
    assert list(read.read(tmp_path / "last.ckpt").state) == ["model.encoder.weight"]


def test_an_array_of_objects_is_read_without_running_what_they_are_made_with(tmp_path):
    torch.save({"model": tensors(), "odd": np.array([Runs()], object)}, tmp_path / "odd.pt")
    with pytest.raises(ValueError, match=r"odd.pt: holds an object of class posix.system, which is refused"):
        read.read(tmp_path / "odd.pt")
