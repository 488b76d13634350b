"""Published files of embeddings become `.npz` with the numbers that PyTorch reads; anything else is refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from converters import embeddings

torch = pytest.importorskip("torch", reason="writes the files that are read")

ROOT = Path(__file__).parents[2]
RNG = np.random.default_rng(0)
CLIPS = {
    f"{100 + i}-{i % 3}-0-{i}": {
        "class_gt": i % 3,
        "embd": RNG.standard_normal(8).astype(np.float32),
        "fold": 1 + i % 2,
    }
    for i in range(6)
}
NAMES = ["air conditioner", "car horn", "dog bark"]


def saved(tmp_path, clips=None, **settings):
    torch.save(CLIPS if clips is None else clips, tmp_path / "us8k_1520.pt", **settings)
    return tmp_path / "us8k_1520.pt"


@pytest.mark.parametrize("settings", [{}, {"pickle_protocol": 4}, {"_use_new_zipfile_serialization": False}])
def test_the_numbers_are_those_that_torch_reads(settings, tmp_path):
    path = saved(tmp_path, **settings)
    said = embeddings.convert(path, tmp_path / "out" / "us8k.npz", NAMES)
    assert said == "6 clips of width 8, 3 classes, folds 1, 2"
    theirs = torch.load(path, weights_only=False)
    with np.load(tmp_path / "out" / "us8k.npz") as arrays:
        assert sorted(arrays.files) == ["classes", "folds", "ids", "labels", "vectors"]
        assert arrays["vectors"].dtype == np.float32 and list(arrays["ids"]) == list(theirs)
        for i, clip in enumerate(theirs.values()):
            np.testing.assert_array_equal(arrays["vectors"][i], clip["embd"])
            assert (arrays["labels"][i], arrays["folds"][i]) == (clip["class_gt"], str(clip["fold"]))
        assert list(arrays["classes"]) == NAMES


def test_clips_without_labels_and_names_that_are_numbers(tmp_path):
    bare = {name: {"embd": clip["embd"]} for name, clip in CLIPS.items()}
    assert sorted(embeddings.read(saved(tmp_path, bare))) == ["ids", "vectors"]
    scalars = {name: {**clip, "class_gt": np.int64(clip["class_gt"])} for name, clip in CLIPS.items()}
    found = embeddings.read(saved(tmp_path, scalars))
    assert list(found["classes"]) == ["0", "1", "2"] and list(found["labels"]) == [0, 1, 2, 0, 1, 2]
    tensors = {name: {"embd": torch.from_numpy(clip["embd"])[None]} for name, clip in CLIPS.items()}
    np.testing.assert_array_equal(embeddings.read(saved(tmp_path, tensors))["vectors"], found["vectors"])


class Command:
    def __reduce__(self):
        return os.system, ("exit 1",)


CLIP = {"class_gt": 0, "embd": np.ones(8, np.float32), "fold": 1}


@pytest.mark.parametrize(
    ("clips", "words"),
    [
        ({}, r"us8k_1520.pt: holds no clips with an 'embd', expected a dict of clips' names to"),
        ({"a": torch.ones(2)}, r"holds no clips with an 'embd'"),
        ([1, 2], r"holds no clips with an 'embd'"),
        ({"a": {**CLIP, "embd": "x"}}, r"'embd' of 'a' is no vector of numbers"),
        ({"a": {**CLIP, "embd": np.ones((2, 4), np.float32)}}, r"'embd' of 'a' is no vector of numbers"),
        ({"a": {**CLIP, "embd": np.ones(8, np.int64)}}, r"'embd' of 'a' is no vector of numbers"),
        (
            {"a": CLIP, "b": {**CLIP, "embd": np.ones(4, np.float32)}},
            r"vectors have \[4, 8\] numbers, expected one width",
        ),
        ({"a": {**CLIP, "embd": np.full(8, np.nan, np.float32)}}, r"the vectors of \['a'\] are not finite"),
        ({"a": CLIP, "b": {"embd": CLIP["embd"]}}, r"\['b'\] have no 'class_gt' and other clips have"),
        ({"a": {**CLIP, "class_gt": "dog"}}, r"'class_gt' of 'a' is 'dog', expected a whole number"),
        ({"a": {**CLIP, "class_gt": 3}}, r"class numbers go from 3 to 3, but 3 class names were given"),
        ({"a": {**CLIP, "extra": Command()}}, r"holds an object of class posix.system, which is refused"),
    ],
)
def test_other_files_are_refused_in_one_sentence(clips, words, tmp_path):
    with pytest.raises(ValueError, match=words) as error:
        embeddings.convert(saved(tmp_path, clips), tmp_path / "out.npz", NAMES)
    assert "\n" not in str(error.value) and not (tmp_path / "out.npz").exists()


@pytest.mark.slow
def test_the_command(tmp_path):
    def run(*words):
        command = [sys.executable, "-m", "converters.convert", *words]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)

    names = tmp_path / "names.json"
    names.write_text(json.dumps({"classes": NAMES}))
    words = ["--embeddings", f"--source={saved(tmp_path)}", f"--config={names}"]
    done = run(*words, f"--output={tmp_path / 'out.npz'}")
    assert done.stdout.splitlines()[-1].endswith(f"6 clips of width 8, 3 classes, folds 1, 2: {tmp_path / 'out.npz'}")
    done = run(*words, "--output=x.npz", "--family=clap")
    assert done.returncode == 2 and "and --config with classes, no --family" in done.stderr
    done = run(*words[:1], "--source=a.pt,b.pt", "--output=x.npz")
    assert done.returncode == 2 and "--embeddings: 2 sources, expected one .pt" in done.stderr
