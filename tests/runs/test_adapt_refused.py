"""experiments.adapt and what it cannot use: one sentence, and no record."""

import jax
import numpy as np
import pytest

from dhauds_jax.cells import source
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import checkpoint
from dhauds_jax.runs.adapt import adapt
from dhauds_jax.workdir import records
from tests.runs import adapt_runs, tiny
from tests.runs.adapt_runs import a_run


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return adapt_runs.made(tmp_path_factory.mktemp("adapt"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": "speech"}, "unknown data set 'speech': expected "),
        ({"method": ["tnt"]}, "unknown method 'tnt': expected tent"),
        ({"corruption": ["RAIN"]}, r"unknown corruption 'RAIN': expected .* \(19 names: --list\)"),
        ({"level": ["L3"]}, "unknown level 'L3': expected L1 or L2"),
        ({"protocol": ["sometimes"]}, "unknown protocol 'sometimes': expected "),
        ({"profile": "faithful"}, "unknown profile 'faithful'"),
        ({"criterion": "luck"}, "unknown criterion 'luck': expected information, .*names: --list"),
        ({"options": ["lr=2"]}, "method source has no option 'lr'"),
        ({"options": ["tent.lr=2"]}, "'tent' in 'tent.lr=2' is not of this run"),
        ({"options": ["lr"]}, "'lr' has no value, expected key=value"),
        ({"data_dir": "nowhere"}, "--data_dir=nowhere: no such folder"),
        ({"data_dir": None}, "arabic_speech_commands needs --data_dir"),
        ({"checkpoint": "nowhere"}, "checkpoint .*nowhere: no such folder"),
        ({"net": "amaut_sc2"}, "--net=amaut_sc2: the checkpoint .* is of net amaut_tiny"),
        ({"corruption": ["ENQ"]}, "QUT-NOISE"),
        ({"split": "tset"}, "unknown split 'tset'"),
        ({"batch_size": 1}, r"^--batch_size=1: expected at least 2 \(batch statistics need two clips\)$"),
        ({"epochs": 0}, "^--epochs=0: expected at least 1$"),
        (
            {"method": ["tent"], "options": ["lr=-1"]},
            "^--options: method tent: option lr=-1.0: expected a finite number of at least 0$",
        ),
        (
            {"method": ["source", "tent"], "options": ["tent.b1=nan"]},
            "^--options: .* b1=nan: expected a finite number of at least 0 and below 1$",
        ),
        (
            {"method": ["memo"], "options": ["weight_decay=-0.1"]},
            "weight_decay=-0.1: expected a finite number of at least 0",
        ),
        (
            {"protocol": ["gradual"], "protocol_options": ["order=odd"]},
            "^--protocol_options: unknown order of protocol",
        ),
        ({"method": []}, "^--method is empty: expected at least one name$"),
        ({"corruption": []}, "^--corruption is empty: expected at least one name$"),
        ({"level": []}, "^--level is empty: expected at least one name$"),
        ({"protocol": []}, "^--protocol is empty: expected at least one name$"),
        ({"source_clips": 0}, "^--source_clips=0: expected at least 1$"),
        (
            {"corruption": ["clean"], "protocol": ["offline", "gradual"]},
            "^--protocol=gradual: its stream is of corruptions, but --corruption=clean names none$",
        ),
        ({"method": ["source", "ttt"]}, "^method ttt needs a network trained with an auxiliary head, and this one has"),
    ],
)
def test_bad_input_gets_one_sentence_and_nothing_is_written(place, tmp_path, changes, message):
    with pytest.raises(BadInput, match=message) as caught:
        adapt(a_run(place, tmp_path / "out", **changes), "c")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["embeddings", "examples"])
def test_a_folder_of_the_work_folder_that_leads_elsewhere_is_refused(place, tmp_path, name):
    (tmp_path / name).symlink_to(tmp_path)
    with pytest.raises(BadInput, match=f"{name}: is a link to"):
        adapt(a_run(place, tmp_path), "command")
    assert records.read(tmp_path) == []


def test_the_split_is_looked_for_before_training_clips_are_read(place, tmp_path, monkeypatch):
    """Before, a method in need of source clips had read the training split when another one was found absent."""
    monkeypatch.setattr(source, "load_for", lambda *given: pytest.fail("it was read"))
    data = tiny.make_arabic(tmp_path / "data")
    (data / "val.csv").unlink()
    eata = {"method": ["eata"], "data_dir": str(data)}
    for split, said in (("tset", "unknown split 'tset'"), ("val", r"val\.csv")):
        with pytest.raises(BadInput, match=said):
            adapt(a_run(place, tmp_path / "out", split=split, **eata), "c")
    # So are the recordings that a corruption mixes in.
    for corruption, said in (("ENQ", "QUT-NOISE"), ("SCN:rain@10dB", "unknown level 'rain@10dB' of SCN")):
        with pytest.raises(BadInput, match=said):
            adapt(a_run(place, tmp_path / "out", corruption=["WHN", corruption], **eata), "c")


@pytest.mark.slow
def test_a_checkpoint_of_other_classes_is_refused(place, tmp_path):
    other = tiny.make_checkpoint(tmp_path / "other", ("yes", "no"))
    with pytest.raises(ValueError, match=r"knows 2 classes \(yes, no, ...\), but .* has 15 .*, none of"):
        adapt(a_run(place, tmp_path / "out", checkpoint=str(other)), "c")
    mixed = tiny.make_checkpoint(tmp_path / "mixed", tuple(reversed(tiny.CLASSES)))
    with pytest.raises(ValueError, match="in another order, so labels would be mixed up"):
        adapt(a_run(place, tmp_path / "out", checkpoint=str(mixed)), "c")


def test_absent_and_broken_files_are_named(place, tmp_path):
    data = tiny.make_arabic(tmp_path / "data")
    (data / "dataset" / "up" / "test_0.wav").unlink()
    (data / "dataset" / "zero" / "test_0.wav").unlink()
    run = a_run(place, tmp_path / "out", data_dir=str(data), corruption=["clean"], method=["source"])
    with pytest.raises(ValueError, match=r"names 15 files and 2 of them are absent \(the first: dataset/up/test_0.wav"):
        adapt(run, "c")
    (data / "dataset" / "down" / "test_0.wav").write_bytes(b"")
    with pytest.raises(ValueError, match=r"down/test_0.wav"):
        adapt(run.replace(allow_partial=True), "c")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_allow_partial_goes_on_and_records_the_count(place, tmp_path):
    data = tiny.make_arabic(tmp_path / "data")
    (data / "dataset" / "up" / "test_0.wav").unlink()
    changes = {"corruption": ["clean"], "method": ["source"], "protocol": ["online"], "allow_partial": True}
    adapt(a_run(place, tmp_path / "out", data_dir=str(data), **changes), "c")
    (record,) = records.read(tmp_path / "out")
    assert record["n"] == 14
    assert "1 of them are absent" in record["notices"][0]


@pytest.mark.slow
def test_bad_files_stop_a_run_or_are_left_out_and_recorded(tmp_path):
    tiny.make_arabic(tmp_path / "data")
    tiny.make_checkpoint(tmp_path / "checkpoint")
    changes = {"method": ["source"], "corruption": ["clean", "WHN"], "protocol": ["online"]}
    whole, out = a_run(tmp_path, tmp_path / "whole", **changes), tmp_path / "out"
    adapt(whole, "c")
    (tmp_path / "data" / "dataset" / "up" / "test_0.wav").write_bytes(b"")
    with pytest.raises(ValueError, match=r"up/test_0\.wav: empty \(0 bytes\), expected a wav, flac, ogg or mp3 file"):
        adapt(whole.replace(workdir=str(out)), "c")
    assert not out.exists()
    adapt(whole.replace(workdir=str(out), on_bad_file="skip"), "c")
    reason = "empty (0 bytes), expected a wav, flac, ogg or mp3 file"
    assert (out / "bad_files.txt").read_text() == f"dataset/up/test_0.wav\t{reason}\n"
    before, after = records.read(tmp_path / "whole"), records.read(out)
    assert [(r["n"], r["skipped"]) for r in before + after] == [(15, 0), (15, 0), (14, 1), (14, 1)]
    assert [r["options"].get("skipped") for r in before + after] == [None, None, 1, 1]
    assert len({r["cell"] for r in before + after}) == 4, "other clips, other cells"
    assert after[0]["notices"] == [
        f"1 of 15 files are bad and were skipped (the first: dataset/up/test_0.wav: {reason})"
    ]
    for path in (tmp_path / "data" / "dataset").glob("*/test_0.wav"):
        path.write_text("text")
    with pytest.raises(ValueError, match="all 15 files of arabic_speech_commands test are bad"):
        adapt(whole.replace(workdir=str(tmp_path / "none"), on_bad_file="skip"), "c")


def test_a_domain_reset_needs_several_domains(place, tmp_path):
    with pytest.raises(ValueError, match="reset=domain, but protocol online has one domain"):
        adapt(a_run(place, tmp_path / "x", protocol=["online"], protocol_options=["reset=domain"]), "c")
    with pytest.raises(ValueError, match="--draw=three: expected two or single"):
        adapt(a_run(place, tmp_path / "x", draw="three"), "c")
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"protocol": ["offline"]}, "predictions are not finite after epoch 1 of 1; lower the learning rate"),
        ({"protocol": ["online"]}, "predictions are not finite at step 1 of the stream; lower the learning rate"),
    ],
    ids=["offline", "online"],
)
def test_an_update_that_overflows_stops_the_run_and_has_no_record(place, tmp_path, changes, message):
    """One update: its loss is finite, the predictions after it are not."""
    run = a_run(place, tmp_path, method=["tent"], epochs=1, batch_size=16, options=["lr=3e38"], **changes)
    with pytest.raises(FloatingPointError, match=message):
        adapt(run.replace(protocol_options=["online.order=adapt_first"] if "online" in run.protocol else []), "c")
    assert records.read(tmp_path) == []


@pytest.mark.slow
def test_a_checkpoint_with_weights_that_are_not_finite_stops_the_run(place, tmp_path):
    variables, config, _ = checkpoint.load(place / "checkpoint")
    kernel = variables["params"]["head"]
    variables = {**variables, "params": {**variables["params"], "head": jax.tree.map(lambda w: w + np.nan, kernel)}}
    checkpoint.save(tmp_path / "broken", variables, config)
    with pytest.raises(FloatingPointError, match="predictions are not finite before any update; expected a checkpoint"):
        adapt(a_run(place, tmp_path / "out", method=["source"], checkpoint=str(tmp_path / "broken")), "c")
    assert records.read(tmp_path / "out") == []
