"""experiments.zeroshot: every bad input is one sentence, before a row is computed."""

import json

import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.nets import checkpoint
from dhauds_jax.nets.clap_zoo import PRESETS
from dhauds_jax.runs.requests.zeroshot import ZeroshotRun
from dhauds_jax.runs.zeroshot import zeroshot
from tests.nets.clap import variables_of
from tests.runs import tiny
from tests.runs.zeroshot_sets import CLIPS, FOLD, LABELS, drawn, write


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return write(tmp_path_factory.mktemp("zeroshot"))


def run_of(place, workdir, *sets, **changes):
    given = {
        "embeddings": tuple(str(place / f"{name}.npz") for name in sets or ("park",)),
        "background_embeddings": (str(place / "places.npz"),),
        "prototypes": ("supervised",),
        "workdir": str(workdir),
    }
    return ZeroshotRun(**{**given, **changes})


def refused(run, workdir):
    with pytest.raises(BadInput) as error:
        zeroshot(run, "zeroshot")
    assert not (workdir / "zeroshot.jsonl").exists()
    said = str(error.value)
    assert "\n" not in said and any(word in said for word in ("expected", "put"))
    return said


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"embeddings": ()}, "--embeddings and --dataset: neither is given"),
        ({"dataset": "synthetic"}, "--embeddings and --dataset: both are given"),
        ({"embeddings": ("nowhere",)}, "--embeddings=nowhere: no such folder or file"),
        ({"prototypes": ("texts",)}, "unknown --prototypes 'texts'"),
        ({"background": ("parks",)}, "unknown --background 'parks'"),
        ({"scorer": ("subtrakt",)}, "unknown scorer 'subtrakt': expected subtract"),
        ({"scorer": ("chain:subtract",), "background": ("audio",)}, "expected scorers with + between"),
        ({"scorer": ("subtract",)}, "--scorer=subtract: takes a background off, expected --background=text, audio"),
        ({"weight": ("half",)}, "--weight=half: expected numbers from 0"),
        ({"weight": ("-0.5",)}, "--weight=-0.5: expected"),
        ({"scale": "loud"}, "--scale=loud: expected none, checkpoint, agreement, nll, or a number"),
        ({"scale": "agreement"}, "--scale=agreement: compares two halves of the templates"),
        ({"recipe": "audiotext:esc50"}, "unknown recipe 'audiotext:esc50': expected audiotext:us8k"),
        ({"recipe": "audiotext:us8k"}, "names its own sets, expected it without --embeddings"),
        (
            {"recipe": "audiotext:us8k", "embeddings": (), "background_embeddings": ()},
            "--recipe=audiotext:us8k: expected --data_root=FOLDER",
        ),
        ({"scale": "checkpoint"}, "--scale=checkpoint: only an audio-text model has a scale"),
        ({"topn": 0}, "--topn=0: expected at least 1"),
        ({"folds": "1"}, "--folds=1: expected a number of folds from 2"),
        ({"folds": "50"}, "--folds=50: there are 36 groups"),
        ({"criterion": "luck"}, "unknown criterion 'luck'"),
        ({"train": ("clean",)}, "--train=clean: 0 of the sets are clean"),
        ({"prototypes": ("text",)}, "--prototypes=text: needs sentences' vectors of an audio-text model"),
        ({"prototypes": ("head",)}, "--prototypes=head: needs the last layer of the classifier"),
        ({"scorer": ("drift",)}, "--scorer=drift: needs sentences' vectors of an audio-text model"),
        ({"background": ("text",), "scorer": ("subtract",)}, "--background=text: needs sentences' vectors"),
        (
            {"background": ("audio",), "scorer": ("subtract",), "background_embeddings": ()},
            "--background=audio: needs recordings of the background",
        ),
        (
            {"background": ("text",), "scorer": ("subtract",), "background_text": ("park", "street")},
            "--background_text=park,street: 2 for 1 sets",
        ),
        ({"scorer": ("em",), "online": True}, "no row is left of what was asked for, expected"),
    ],
)  # fmt: skip
def test_flags(place, tmp_path, changes, words):
    assert words in refused(run_of(place, tmp_path, **changes), tmp_path)


@pytest.mark.parametrize(
    ("arrays", "changes", "words"),
    [
        ({"labels": None}, {}, "no clip has a label"),
        ({"backgrounds": None}, {"background": ("oracle",), "scorer": ("subtract",)}, "--background=oracle: no set"),
        ({"labels": np.where((FOLD == 0) & (LABELS == 2), 2, LABELS % 2)}, {}, "no training clips of siren outside"),
        ({"folds": np.array(["a", *["b"] * 17, *["c"] * 18])}, {}, "fold a has 1 clip, expected at least two"),
        ({"folds": None}, {}, "has no training clips, expected folds or a split of them"),
        ({"vectors": np.full((CLIPS, 8), np.nan, "f4")}, {}, "NaN or infinite"),
        ({"vectors": np.zeros((CLIPS, 8), "f4")}, {}, "all zeros"),
        (
            {"vectors": drawn()[1][:, :6]},
            {"background": ("audio",), "scorer": ("subtract",)},
            "vectors of 8 numbers, expected 6",
        ),
    ],
)  # fmt: skip
def test_sets(tmp_path, arrays, changes, words):
    write(tmp_path / "sets", **arrays)
    assert words in refused(run_of(tmp_path / "sets", tmp_path / "out", **changes), tmp_path / "out")


def test_classes_of_two_sets_differ(tmp_path):
    write(tmp_path / "sets", classes=np.array(["dog_bark", "rain", "car"]))
    said = refused(run_of(tmp_path / "sets", tmp_path / "out", "clean", "park"), tmp_path / "out")
    assert "classes dog_bark, rain, siren and dog_bark, rain, car, expected the same in all" in said


def test_folds_of_soundscapes_without_their_clips_names(tmp_path):
    names = np.array([f"dog/clip{k}-park-0.wav" for k in range(CLIPS)])
    write(tmp_path / "sets", ids=names, folds=None)
    run = run_of(tmp_path / "sets", tmp_path / "out", "clean", "park", folds="3")
    said = refused(run, tmp_path / "out")
    assert "--folds=3: 'dog/clip0-park-0.wav' of" in said and "a column group with the original's" in said
    zeroshot(run.replace(train=("same",)), "zeroshot")


def test_two_sets_that_could_be_the_clean_one(tmp_path):
    write(tmp_path / "sets", backgrounds=None)
    said = refused(run_of(tmp_path / "sets", tmp_path / "out", "clean", "park"), tmp_path / "out")
    assert "clean and park all count as the clean set" in said and "--train=same" in said


@pytest.mark.slow
def test_a_classifier_has_no_sentences_and_other_classes(place, tmp_path):
    tiny.make_checkpoint(tmp_path / "classifier")
    changes = {"checkpoint": str(tmp_path / "classifier"), "prototypes": ("text",)}
    assert "is a classifier; expected the folder of an audio-text model" in refused(
        run_of(place, tmp_path, **changes), tmp_path
    )
    changes["prototypes"] = ("head",)
    assert "knows 15 classes (down, ...) and the sets have 3" in refused(run_of(place, tmp_path, **changes), tmp_path)


@pytest.mark.slow
def test_fewer_training_clips_than_topn(tmp_path, monkeypatch):
    config = PRESETS["clap_test"]
    checkpoint.save(tmp_path / "clap", variables_of(), config)
    width = config.projection["width"]
    write(tmp_path / "sets", vectors=np.random.default_rng(0).normal(size=(CLIPS, width)).astype("f4"))
    changes = {"checkpoint": str(tmp_path / "clap"), "background_embeddings": (), "template": "{} is near"}
    run = run_of(tmp_path / "sets", tmp_path / "out", prototypes=("head",), **changes)
    assert "--prototypes=head: needs a classifier" in refused(run, tmp_path / "out")
    run = run_of(tmp_path / "sets", tmp_path / "out", prototypes=("tgap",), **changes)
    assert "have no vector in prompts.npz, and there is no tokenizer" in refused(run, tmp_path / "out")
    monkeypatch.setattr("dhauds_jax.nets.clap_prompts.embed_texts", lambda *some: np.ones((len(some[2]), width), "f4"))
    assert "topn=35 of 24 training clips, expected from 1 to 24" in refused(run, tmp_path / "out")
    run = run.replace(template="near")
    assert "or a file of lines with {} in each" in refused(run, tmp_path / "out")


@pytest.mark.slow
def test_embeddings_of_another_network_are_said_with_both_hashes(place, tmp_path):
    tiny.make_checkpoint(tmp_path / "classifier")
    made = {"encoder": {"hash": "0123456789abcdef0123", "front_end_hash": "x"}}
    write(tmp_path / "sets", manifest=np.array(json.dumps(made)))
    run = run_of(tmp_path / "sets", tmp_path / "out", checkpoint=str(tmp_path / "classifier"), background_embeddings=())
    said = refused(run, tmp_path / "out")
    own = checkpoint.variables_hash(checkpoint.load(tmp_path / "classifier")[0])
    assert "made by the encoder 0123456789abcdef, but that of --checkpoint=" in said and own[:16] in said
