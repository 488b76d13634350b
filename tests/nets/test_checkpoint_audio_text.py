"""Checkpoints of audio-text models: round trip, what lies beside, and one sentence for another kind or for damage."""

import json
import shutil

import jax
import numpy as np
import pytest

from dhauds_jax.nets import checkpoint, clap_zoo
from dhauds_jax.nets.clap_prompts import TOKENIZER
from tests.nets.clap import variables_of

CONFIG = clap_zoo.PRESETS["clap_test"].replace(source={"files": [{"name": "a.pt"}]})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    def beside(place):
        (place / TOKENIZER).mkdir()
        (place / TOKENIZER / "tokenizer.json").write_text("{}")

    place = tmp_path_factory.mktemp("clap") / "checkpoint"
    return checkpoint.save(place, variables_of(), CONFIG, {"note": 1, "kept": {"melW": np.eye(2)}}, beside)


def test_round_trip(folder):
    variables, config, extra = checkpoint.load_audio_text(folder)
    assert config == CONFIG == checkpoint.load_audio_text_config(folder) and checkpoint.is_audio_text(folder)
    jax.tree.map(np.testing.assert_array_equal, variables, variables_of())
    assert checkpoint.variables_hash(variables) == checkpoint.variables_hash(variables_of())
    assert extra["note"] == 1 and extra["kept"]["melW"].shape == (2, 2)
    assert json.loads((folder / "config.json").read_text())["kind"] == "audio_text"
    assert (folder / TOKENIZER / "tokenizer.json").read_text() == "{}"
    assert sorted(path.name for path in folder.parent.iterdir()) == ["checkpoint"]


def test_what_fails_beside_leaves_the_older_one(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "net")

    def full(place):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(tmp_path / "net", variables_of(), CONFIG, None, full)
    assert [path.name for path in tmp_path.iterdir()] == ["net"] and checkpoint.load_extra(tmp_path / "net")[
        "note"
    ] == 1


def test_another_kind_is_said(folder, tmp_path):
    for read in (checkpoint.load, checkpoint.load_config):
        with pytest.raises(
            ValueError, match=r"is an audio-text model, which has no classes, expected a classifier; exp"
        ):
            read(folder)
    assert not checkpoint.is_audio_text("words15")
    for read in (checkpoint.load_audio_text, checkpoint.load_audio_text_config):
        with pytest.raises(
            ValueError, match=r"checkpoint words15: is a classifier, expected an audio-text model, such"
        ):
            read("words15")
        with pytest.raises(ValueError, match="nowhere: no such folder"):
            read(tmp_path / "nowhere")
    (tmp_path / "config.json").write_text("[1")
    assert not checkpoint.is_audio_text(tmp_path)
    with pytest.raises(ValueError, match="is not JSON"):
        checkpoint.load_config(tmp_path)


def test_leaves_that_do_not_fit_are_named(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "net")
    record = CONFIG.to_dict()
    text = {**record["text"], "vocabulary": 300}
    (tmp_path / "net/config.json").write_text(json.dumps({**record, "text": text}))
    with pytest.raises(ValueError, match=r"words is \(512, 16\), expected \(300, 16\) for audio-text net 'clap_test'"):
        checkpoint.load_audio_text(tmp_path / "net")
    (tmp_path / "net/config.json").write_text(json.dumps({**record, "text": {"width": 16}}))
    with pytest.raises(ValueError, match=r"config text: missing keys \['depth', .*"):
        checkpoint.load_audio_text(tmp_path / "net")
