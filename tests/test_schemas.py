"""Forms of files: older ones, as they were really written, are read; newer ones are refused in one sentence."""

import json
import shutil
import tarfile
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax import __version__, schemas
from dhauds_jax.data.corrupted import files as cell_files
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import checkpoint, config
from dhauds_jax.runs import classify, labels, learn
from dhauds_jax.runs.requests.classify import ClassifyRun
from dhauds_jax.runs.requests.learn import LearnRun
from dhauds_jax.schemas import Schema
from dhauds_jax.tta import bank
from dhauds_jax.workdir import provenance, records, saver, vector_files
from dhauds_jax.workdir.saver import Saver

OLD = Path(__file__).resolve().parent / "old_forms"
TREE = {
    "w": np.arange(6, dtype=np.float32).reshape(2, 3) / 7,
    "step": np.int32(4),
    "half": jnp.full(2, 1.5, jnp.bfloat16),
}
"""What the saved states hold."""
NEWER = "9.1.0"
REFUSED = (
    f"is of format {{}}, expected at most {{}}, the newest that dhauds_jax {__version__} reads; "
    f"dhauds_jax {NEWER} wrote it: install that version or a newer one"
)


def taken_from(name, folder):
    with tarfile.open(OLD / f"{name}.tar.gz") as packed:
        packed.extractall(folder, filter="data")
    return folder / name


def rewritten(path, **changes):
    """A file of JSON with some of its values changed."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_record_is_brought_to_the_form_of_now_step_by_step():
    steps = {1: lambda found: {**found, "a": found["a"] + 1}, 3: lambda found: {"b": 10 * found["a"]}}
    schema = Schema(4, steps)
    assert schemas.migrated({"a": 1}, schema, "x") == {"b": 20}
    assert schemas.migrated({"a": 1, "format": 2, "written_by": "0.1.0"}, schema, "x") == {"b": 10}
    assert schemas.migrated({**schemas.stamp(schema), "b": 3}, schema, "x") == {"b": 3}
    assert schemas.stamp(schema) == {"format": 4, "written_by": __version__}


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"written_by": NEWER}, f"dhauds_jax {NEWER} wrote it: install that version or a newer one"),
        ({"versions": {"dhauds_jax": NEWER}}, f"dhauds_jax {NEWER} wrote it: install that version or a newer one"),
        ({"written_by": __version__}, "a newer version wrote it: install the newest one"),
        ({"written_by": "1\n\x1b[31m"}, "a newer version wrote it: install the newest one"),
        ({"versions": 3}, "a newer version wrote it: install the newest one"),
    ],
)
def test_a_newer_form_is_refused_and_says_who_wrote_it_and_what_to_do(record, said):
    with pytest.raises(schemas.Newer) as caught:
        schemas.migrated({"format": 3, **record}, Schema(2), "out/x.json")
    newest = f"the newest that dhauds_jax {__version__} reads"
    assert str(caught.value) == f"out/x.json: is of format 3, expected at most 2, {newest}; {said}"


@pytest.mark.parametrize("number", [0, -1, True, 1.5, "2", None, [2]])
def test_a_number_that_is_none_is_refused(number):
    with pytest.raises(BadInput, match=r"x: its format is .*, expected a whole number from 1 to 2$"):
        schemas.migrated({"format": number}, Schema(2), "x")


def test_a_checkpoint_of_the_first_form_is_read(tmp_path):
    folder = taken_from("checkpoint_2026_11_24", tmp_path)
    assert "format" not in json.loads((folder / "config.json").read_text())
    variables, found, extra = checkpoint.load(folder)
    known = "14a2660362d0f6e262cc9e950c291beab2168b84c3175ed1521c6c9621ec8b42"  # as the code that wrote it said
    assert checkpoint.variables_hash(variables) == known
    assert (found.net, found.classes) == ("resnet_tiny", ("yes", "no", "other"))
    np.testing.assert_array_equal(extra["dead"].pop("layers.0.weight"), [0, 1, 2])
    assert extra == {"epoch": 3, "curve": [0.5, 0.75], "dead": {"why": "unused"}}


def test_a_checkpoint_says_its_form_and_a_newer_one_is_refused(tmp_path):
    found = checkpoint.load_config(taken_from("checkpoint_2026_11_24", tmp_path))
    folder = checkpoint.save(tmp_path / "net", {"params": {"a": np.zeros(1, np.float32)}}, found)
    stored = json.loads((folder / "config.json").read_text())
    assert {key: stored.pop(key) for key in ("format", "written_by")} == schemas.stamp(config.SCHEMA)
    assert stored == found.to_dict() and "format" not in found.to_json()  # which names results
    assert checkpoint.load_config(folder) == found
    rewritten(folder / "config.json", format=3, written_by=NEWER, tail=1)
    with pytest.raises(schemas.Newer) as caught:
        checkpoint.load(folder)
    assert str(caught.value) == f"{folder / 'config.json'}: {REFUSED.format(3, 2)}"


@pytest.mark.parametrize(
    ("name", "identity", "told"),
    [
        ("state_2026_11_24", None, {"position": 12, "curve": [1.5]}),
        (
            "state_2026_11_30",
            {"net": "resnet_tiny", "seed": 7},
            {"position": 12, "updates": 3, "losses": [0.25], "curve": [1.5]},
        ),
    ],
)
def test_states_of_the_first_form_are_read_bit_for_bit(tmp_path, name, identity, told):
    folder = taken_from(name, tmp_path)
    tree, info = Saver(folder, identity=identity).load(TREE)
    assert info == told
    for key, leaf in TREE.items():
        assert tree[key].dtype == np.asarray(leaf).dtype
        np.testing.assert_array_equal(np.asarray(tree[key]), np.asarray(leaf))


def test_a_state_says_its_form_and_a_newer_one_is_refused(tmp_path):
    Saver(tmp_path, 0).save(TREE, {"position": 1})
    path = tmp_path / "00000001" / "info.json"
    assert json.loads(path.read_text()) == {**schemas.stamp(saver.SCHEMA), "position": 1, "identity": None}
    assert Saver(tmp_path).info() == {"position": 1, "identity": None}
    rewritten(path, format=3, written_by=NEWER)
    with pytest.raises(schemas.Newer) as caught:
        Saver(tmp_path).load(TREE)
    assert str(caught.value) == f"{tmp_path}: {REFUSED.format(3, 2)}"
    assert Saver(tmp_path).info() == {}


def test_records_of_the_first_form_are_read_and_newer_ones_refused(tmp_path):
    path = tmp_path / records.FILE
    shutil.copy(OLD / "results_2026_11_21.jsonl", path)
    found = records.read(tmp_path)
    assert [(r["dataset"], r["net"]) for r in found] == 2 * [("arabic_speech_commands", found[0]["net"])]
    assert records.done(tmp_path) == ({}, 2)
    newer = {"format": 3, "versions": {"dhauds_jax": NEWER}, "of": "other keys"}
    path.write_text(f"{path.read_text()}{json.dumps(newer)}\n")
    for read in (records.read, records.done):
        with pytest.raises(schemas.Newer) as caught:
            read(tmp_path)
        assert str(caught.value) == f"{path}: {REFUSED.format(3, 2)}"


def test_every_record_says_the_version_that_wrote_it():
    assert provenance.versions()["dhauds_jax"] == __version__


def test_embeddings_without_the_version_that_wrote_them_are_read_and_newer_ones_refused(tmp_path):
    vector_files.write(tmp_path, [np.eye(2, dtype=np.float32)], [("a", "", "", 1, 1, "", "", "")] * 2, 2, {})
    path = tmp_path / vector_files.MANIFEST
    stored = json.loads(path.read_text())
    assert (stored.pop("format"), stored.pop("written_by")) == (1, __version__)
    path.write_text(json.dumps({"format": 1, **stored}))
    assert vector_files.read_manifest(tmp_path) == {"format": 1, **stored}
    rewritten(path, format=2, written_by=NEWER)
    with pytest.raises(schemas.Newer) as caught:
        vector_files.read_manifest(tmp_path)
    assert str(caught.value) == f"{path}: {REFUSED.format(2, 1)}"


def test_a_corrupted_cell_says_its_form_and_a_newer_one_is_refused(tmp_path):
    path = tmp_path / cell_files.RECORD
    path.write_text(json.dumps({"clips": 3}))  # as cells were written before
    assert cell_files.read_record(tmp_path) == {"clips": 3}
    path.write_text(json.dumps({**schemas.stamp(cell_files.SCHEMA), "clips": 3}))
    assert cell_files.read_record(tmp_path) == {"clips": 3}
    rewritten(path, format=2, written_by=NEWER)
    with pytest.raises(schemas.Newer) as caught:
        cell_files.read_record(tmp_path)
    assert str(caught.value) == f"{path}: {REFUSED.format(2, 1)}"


@pytest.mark.parametrize(("command", "request_of"), [(classify, ClassifyRun), (learn, LearnRun)])
def test_an_output_that_a_newer_version_wrote_is_not_replaced(command, request_of, tmp_path):
    path = tmp_path / command.RUN
    if command is classify:
        (tmp_path / labels.PREDICTIONS).touch()
    asked = request_of(model="words15", audio_dir="x", output=str(tmp_path))
    path.write_text(json.dumps({"identity": "a"}))
    command._check_output(asked, {"identity": "a"})
    rewritten(path, format=2, written_by=NEWER)
    with pytest.raises(schemas.Newer) as caught:
        command._check_output(asked, {"identity": "a"})
    assert str(caught.value) == f"{path}: {REFUSED.format(2, 1)}"
    command._check_output(asked.replace(overwrite=True), {"identity": "a"})


def test_a_bank_says_its_form_and_a_newer_one_is_refused(tmp_path):
    rng = np.random.default_rng(0)
    space = bank.fit(rng.normal(size=(20, 4)), np.arange(20) % 3)
    path = tmp_path / bank.FILE
    path.write_bytes(bank.packed(bank.Bank(space, space, 0.5)))
    arrays = dict(np.load(path))
    assert (int(arrays.pop("format")), str(arrays.pop("written_by"))) == (1, __version__)
    stamped = bank.read(tmp_path)
    np.savez(path, **arrays)  # as banks were written before
    np.testing.assert_array_equal(bank.read(tmp_path).batch.means, stamped.batch.means)
    np.savez(path, **arrays, format=2, written_by=NEWER)
    with pytest.raises(schemas.Newer) as caught:
        bank.read(tmp_path)
    assert str(caught.value) == f"{path}: {REFUSED.format(2, 1)}"
