"""Embeddings in others' layouts: HEAR's folder as its kit reads it, a `.pt` that PyTorch and our own reader take."""

import json
import pickle
import warnings

import numpy as np
import pytest

from converters import embeddings
from dhauds_jax.workdir import vector_exports, vectors
from dhauds_jax.workdir.vectors import Vectors

IDS = ("fold1/a.wav", "fold1/b.wav", "fold2/c d.wav", "../e.wav")
VALUES = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)


def found(**changes):
    known = {
        "labels": np.array([0, 1, 1, 0], np.int32),
        "classes": ("cat", "dog"),
        "manifest": {"source": {"dataset": "x"}},
    }
    return Vectors("place", IDS, VALUES, **{**known, **changes})


def read(path):
    return json.loads(path.read_text())


def test_hear_has_a_file_a_clip_and_what_its_predictor_reads(tmp_path):
    assert vector_exports.export(found(splits=("train", "train", "val", "test")), tmp_path, ("hear",)) == ("hear",)
    root = tmp_path / "hear"
    one = np.load(root / "train" / "fold1" / "b.wav.embedding.npy")
    assert one.dtype == np.float32 and np.array_equal(one, VALUES[1])
    assert read(root / "train" / "fold1" / "b.wav.target-labels.json") == ["dog"]
    assert np.array_equal(np.load(root / "valid" / "fold2" / "c d.wav.embedding.npy"), VALUES[2])
    assert np.array_equal(np.load(root / "test" / "%2E%2E" / "e.wav.embedding.npy"), VALUES[3])
    shape = read(root / "train.embedding-dimensions.json")
    rows = np.memmap(root / "train.embeddings.npy", np.float32, "r", shape=tuple(shape))
    assert shape == [2, 3] and np.array_equal(rows, VALUES[:2])
    assert pickle.loads((root / "train.target-labels.pkl").read_bytes()) == [["cat"], ["dog"]]
    assert read(root / "train.json") == {"fold1/a.wav": ["cat"], "fold1/b.wav": ["dog"]}
    assert (root / "labelvocabulary.csv").read_text() == "idx,label\n0,cat\n1,dog\n"
    about = read(root / "task_metadata.json")
    assert (about["task_name"], about["embedding_type"], about["prediction_type"]) == ("x", "scene", "multiclass")
    assert (about["split_mode"], about["splits"]) == ("trainvaltest", ["test", "train", "valid"])


def test_hear_takes_folds_several_labels_and_none(tmp_path):
    rows = np.array([[1, 1], [0, 0], [0, 1], [1, 0]], np.uint8)
    several = found(label_rows=rows, labels=np.array([0, -1, 1, 0]), folds=("10", "2", "2", "10"))
    vector_exports.hear(several, tmp_path / "a")
    assert read(tmp_path / "a" / "fold00.json") == {"fold1/b.wav": [], "fold2/c d.wav": ["dog"]}  # fold 2 before 10
    assert read(tmp_path / "a" / "fold01" / "fold1" / "a.wav.target-labels.json") == ["cat", "dog"]
    about = read(tmp_path / "a" / "task_metadata.json")
    assert (about["prediction_type"], about["split_mode"]) == ("multilabel", "presplit_kfold")
    assert (about["splits"], about["evaluation"]) == (["fold00", "fold01"], ["mAP"])
    vector_exports.hear(found(labels=None, classes=()), tmp_path / "b")
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == [
        "all", "all.embedding-dimensions.json", "all.embeddings.npy", "labelvocabulary.csv", "task_metadata.json"
    ]  # fmt: skip
    assert not [*(tmp_path / "b").rglob("*.target-labels.json")]


def test_names_of_clips_stay_below_the_folder_and_apart():
    names = ("a/b.wav", "/a/b.wav", "a//b.wav", "./a", "../a", ".../a", "a:b", "a%3Ab", "é.wav", "a\\b", "a.wav#10")
    made = [vector_exports.file_name(name) for name in names]
    assert len(set(made)) == len(names) and made[0] == names[0] and made[-1] == "a.wav#10"
    assert made[1:5] == ["%/a/b.wav", "a/%/b.wav", "%2E/a", "%2E%2E/a"] and made[6] == "a%3Ab"
    assert not any(part in ("", ".", "..") for name in made for part in name.split("/"))


def test_a_pt_is_read_by_our_own_reader(tmp_path):
    one = found(folds=("1", "2", "2", "1"))
    vector_exports.export(one, tmp_path, ("pt", "npz", "pt"))
    again = embeddings.read(tmp_path / "embeddings.pt", one.classes)
    unit = VALUES / np.linalg.norm(VALUES, axis=1, keepdims=True)
    np.testing.assert_allclose(again["vectors"], unit, rtol=1e-6)
    assert list(again["ids"]) == ["a.wav", "b.wav", "c d.wav", "e.wav"]
    assert again["labels"].tolist() == [0, 1, 1, 0] and list(again["folds"]) == ["1", "2", "2", "1"]
    assert vectors.read(tmp_path / "embeddings.npz").digest == one.digest
    first = (tmp_path / "embeddings.pt").read_bytes()
    vector_exports.pt(one, tmp_path / "embeddings.pt")
    assert (tmp_path / "embeddings.pt").read_bytes() == first
    vector_exports.pt(found(labels=np.array([0, -1, 1, 0])), tmp_path / "bare.pt")
    assert sorted(embeddings.read(tmp_path / "bare.pt")) == ["ids", "vectors"]
    double = found()._replace(ids=("x/a.wav", "y/a.wav", "b", "c"))
    vector_exports.pt(double, tmp_path / "double.pt")
    assert list(embeddings.read(tmp_path / "double.pt")["ids"]) == list(double.ids)


def test_a_pt_is_read_by_torch(tmp_path):
    torch = pytest.importorskip("torch", reason="reads the file")
    one = found(folds=("1", "2", "2", "1"))
    vector_exports.pt(one, tmp_path / "e.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        theirs = torch.load(tmp_path / "e.pt", weights_only=False)
    assert list(theirs) == ["a.wav", "b.wav", "c d.wav", "e.wav"]
    assert (theirs["b.wav"]["class_gt"], theirs["b.wav"]["fold"]) == (1, 2)
    assert theirs["b.wav"]["embd"].dtype == np.float32 and theirs["b.wav"]["embd"].shape == (3,)
    assert torch.stack([torch.tensor(clip["embd"]) for clip in theirs.values()]).norm(dim=1).allclose(torch.ones(4))
