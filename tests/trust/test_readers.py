"""A file whose unpickling makes a marker is refused, or read without making it, by every reader there is."""

import contextlib
import gc
import inspect
import json
import pickle
from types import SimpleNamespace

import numpy as np
import pytest

from converters import embeddings, read, torch_file
from converters.pickles import Refused
from dhauds_jax.data.pipeline import tfrecord
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import clap_prompts, zoo
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.report import analysis_figures, figures
from dhauds_jax.runs import crossval_fold, incremental_cache
from dhauds_jax.tta import bank
from dhauds_jax.workdir import records, vector_files
from dhauds_jax.workdir.saver import Saver
from tests.trust import bombs

REFUSED = (BadInput, Refused, pickle.UnpicklingError, ValueError, EOFError)


@pytest.fixture
def marker(tmp_path):
    yield tmp_path / "ran"
    assert not (tmp_path / "ran").exists()


def test_the_bomb_goes_off_where_it_is_unpickled(tmp_path):
    pickle.loads(bombs.as_pickle(tmp_path / "ran"))
    (tmp_path / "ran").rmdir()
    (tmp_path / "bomb.npz").write_bytes(bombs.as_npz(tmp_path / "ran", ["vectors"]))
    with np.load(tmp_path / "bomb.npz", allow_pickle=True) as stored:
        stored["vectors"]
    assert (tmp_path / "ran").is_dir()


CONTENTS = {"zip": bombs.as_torch, "older": bombs.as_pickle, "array": bombs.as_npy}


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("ending", ["pt", "pth", "ckpt", "bin", "npz", "npy", "safetensors"])
def test_converters_refuse_it_whatever_it_is_called(tmp_path, marker, ending, content):
    path = tmp_path / f"bomb.{ending}"
    path.write_bytes(CONTENTS[content](marker))
    with pytest.raises(BadInput):
        read.read(path)
    with pytest.raises(BadInput):
        embeddings.read(path)
    with pytest.raises((*REFUSED, *torch_file.ERRORS)), torch_file.opened(path) as found:
        found.clear()  # nothing to clear: a name of a module is no container


def test_a_folder_of_hugging_face_is_refused_and_its_code_is_not_asked_for(tmp_path, marker):
    folder = tmp_path / "hub"
    folder.mkdir()
    (folder / "config.json").write_text(
        json.dumps({"model_type": "hubert", "auto_map": {"AutoModel": "evil.Model"}, "trust_remote_code": True})
    )
    (folder / "evil.py").write_text(f"import os\nos.mkdir({str(marker)!r})\n")
    (folder / "pytorch_model.bin").write_bytes(bombs.as_torch(marker))
    with pytest.raises(BadInput):
        read.read(folder)
    (folder / "pytorch_model.bin").rename(folder / "a.bin")
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": {"w": "a.bin"}}))
    with pytest.raises(BadInput):
        read.read(folder)


def _bank(path):
    return bank.read(path.parent)


def _prompts(path):
    """Kept sentences are made anew where they cannot be read."""
    assert clap_prompts.kept(path.parent, "tower") == {}
    raise BadInput("made anew")


def _index(path):
    """A split whose index cannot be read is prepared anew."""
    assert tfrecord._load(path.parent) is None
    raise BadInput("prepared anew")


ARRAYS = {
    "embeddings.npz": (vector_files.of_npz, ["vectors", "ids"]),
    bank.FILE: (_bank, ["running.projection", "batch.projection", "scrambled"]),
    clap_prompts.PROMPTS: (_prompts, ["texts", "vectors", "tower", "tokenizer"]),
    tfrecord._INDEX: (_index, ["files", "sizes"]),
    "clean.npz": (lambda path: figures.spectrograms(path.parent, path.parent / "out.png"), ["log_mel", "seconds"]),
    "cell.npz": (
        lambda path: analysis_figures.embeddings([("title", path)], path.parent / "out.png"),
        ["labels", "classes", "silhouette", "before", "after"],
    ),
}


@pytest.mark.parametrize("whole", [True, False], ids=["an npz", "an npy"])
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_of_objects_are_refused(tmp_path, marker, name, whole):
    reader, names = ARRAYS[name]
    path = tmp_path / "files" / name
    path.parent.mkdir()
    path.write_bytes(bombs.as_npz(marker, names) if whole else bombs.as_npy(marker))
    with pytest.raises((*REFUSED, TypeError, KeyError, AttributeError)):
        reader(path)


def test_a_fold_of_a_cross_validation_is_refused(tmp_path, marker, monkeypatch):
    about = {"crossval": {}, "training": {"seconds": 1.0}}
    monkeypatch.setattr(crossval_fold.checkpoints, "load_extra", lambda folder: about)
    path = crossval_fold._predictions(tmp_path, 1)
    path.parent.mkdir()
    path.write_bytes(bombs.as_npz(marker, ["oracle_reported"]))
    with pytest.raises(REFUSED):
        inspect.unwrap(crossval_fold.read)(SimpleNamespace(run=SimpleNamespace(workdir=tmp_path), kinds=()), 1)


def test_a_block_of_the_cache_counts_as_damaged(tmp_path, marker):
    known = {"a": 1}
    (tmp_path / "block.npy").write_bytes(bombs.as_npy(marker))
    (tmp_path / "block.json").write_text(json.dumps({"known": known, "clips": ["c"]}))
    found = incremental_cache._checked(tmp_path / "block.json", known, ("c",), (1, 2), "float32")
    assert found == (None, "is damaged")


def test_records_are_json_alone(tmp_path, marker):
    (tmp_path / records.FILE).write_bytes(b"__import__('os').mkdir('ran')\n{\"a\": 1}\n")
    assert records.read(tmp_path) == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of Orbax's own tasks
def test_a_saved_state_of_which_any_file_is_a_pickle(tmp_path, marker):
    """Whichever of Orbax's files it is; arrays and JSON are all that it reads there."""
    saver = Saver(tmp_path / "state", 0.0)
    like = {"a": np.arange(3.0), "b": np.zeros((2, 2), np.float32)}
    saver.save(like, {"position": 1})
    contents = {path: path.read_bytes() for path in sorted((tmp_path / "state").rglob("*")) if path.is_file()}
    assert len(contents) >= 4
    for path, content in contents.items():
        path.write_bytes(bombs.as_pickle(marker))
        with contextlib.suppress(Exception):  # what it says is another test's: here only that nothing ran
            saver.load(like)
        path.write_bytes(content)
    gc.collect()  # here, and not in the middle of another test
    assert saver.load(like)[1]["position"] == 1


CALLS = ["subprocess:call", "subprocess:Popen", "os:mkdir", "os:system", "shutil:rmtree", "pathlib:Path"]


@pytest.fixture
def config():
    return zoo.preset("amaut_sc2")


@pytest.mark.parametrize("name", CALLS)
def test_a_config_that_names_a_function_does_not_have_it_called(marker, config, name):
    """The name of the net is asked for its preset, with the classes: `subprocess.call(("mkdir", ...))`."""
    hostile = config.replace(net=name, classes=("mkdir", str(marker)))
    assert zoo.own_settings(hostile) is not None
    with pytest.raises(BadInput, match="has no parameter `classes`"):
        zoo.preset(name, hostile.classes)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("part", ["family", "head", "front_end"])
def test_a_config_whose_parts_name_functions_is_refused(marker, config, part, name):
    record = config.to_dict()
    record["classes"] = ["mkdir", str(marker)]
    record[part] = name if part == "family" else {**record[part], "kind": name}
    with pytest.raises(BadInput, match="expected a"):
        zoo.build(ClassifierConfig.from_dict(record))
