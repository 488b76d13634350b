"""Source training end to end on a tiny set, resumed and repeated; views; options."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import soundfile

from dhauds_jax.data import sets
from dhauds_jax.errors import BadInput
from dhauds_jax.model import own_sounds
from dhauds_jax.nets import checkpoint, zoo
from dhauds_jax.runs import train
from dhauds_jax.runs.train import train_and_save
from dhauds_jax.train.loop import TrainBatch, TrainOptions, TrainState, make_view
from dhauds_jax.train.selection import chosen
from dhauds_jax.tta import bank as banks
from tests.runs import tiny

OPTIONS = TrainOptions(epochs=3, batch_size=8, lr=0.05)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("train")
    tiny.make_arabic(folder / "data")
    tiny.make_noises(folder / "noise")
    return folder


def a_run(place, workdir, options=OPTIONS, **changes):
    return tiny.a_training(place, workdir, options, save_every_s=0.0, **changes)


@pytest.mark.slow
def test_training_learns_repeats_and_resumes_to_the_same_weights(place, tmp_path, monkeypatch):
    more = OPTIONS.replace(epochs=12)
    said = train_and_save(a_run(place, tmp_path / "whole", options=more), "the command")
    assert f"checkpoint: {tmp_path / 'whole' / 'checkpoint'}" in said
    variables, config, extra = checkpoint.load(tmp_path / "whole" / "checkpoint")
    history = extra["training"]["history"]
    assert [h["epoch"] for h in history] == list(range(1, 13))
    assert history[-1]["loss"] < 0.75 * history[0]["loss"]
    assert history[-1]["validation"] > 3 / 15
    assert extra["training"]["command"] == "the command"
    assert config.classes == tiny.CLASSES

    original = train.train

    def dies(*args, **kwargs):
        for epoch in original(*args, **kwargs):
            yield epoch
            if epoch.index == 2:
                raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(train, "train", dies)
        with pytest.raises(KeyboardInterrupt):
            train_and_save(a_run(place, tmp_path / "killed", options=more), "c")
    train_and_save(a_run(place, tmp_path / "killed", options=more), "c")
    resumed, _, extra = checkpoint.load(tmp_path / "killed" / "checkpoint")
    assert checkpoint.variables_hash(resumed) == checkpoint.variables_hash(variables)
    assert extra["training"]["history"] == history
    assert "already trained" in train_and_save(a_run(place, tmp_path / "killed", options=more), "c")
    with pytest.raises(ValueError, match="holds the checkpoint of another run"):
        train_and_save(a_run(place, tmp_path / "killed", options=more, seed=4), "c")


@pytest.mark.slow
def test_fine_tuning_the_head_leaves_the_encoder_as_it_was(place, tmp_path):
    source = tiny.make_checkpoint(tmp_path / "source")
    options = OPTIONS.replace(epochs=1, group="head", optimiser="adamw", lr=1e-3, warmup_epochs=0, views=("shift",))
    train_and_save(a_run(place, tmp_path / "out", checkpoint=str(source), options=options, noise_dir=None), "c")
    before, _, _ = checkpoint.load(source)
    after, _, _ = checkpoint.load(tmp_path / "out" / "checkpoint")
    assert jax.tree.all(jax.tree.map(np.array_equal, before["params"]["encoder"], after["params"]["encoder"]))
    assert not jax.tree.all(jax.tree.map(np.array_equal, before["params"]["head"], after["params"]["head"]))


@pytest.mark.slow
def test_a_bank_of_validation_clips_is_kept_beside_the_weights(place, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(own_sounds, "KINDS", ("white",))
    run = a_run(place, tmp_path / "out", options=OPTIONS.replace(epochs=1))
    train_and_save(run, "c")
    assert (
        "note: no bank of the model's own sounds, which advice is surer with: it takes 200 " in capsys.readouterr().out
    )
    monkeypatch.setattr(own_sounds, "FEWEST", 15)
    train_and_save(run.replace(workdir=str(tmp_path / "kept")), "c")
    bank = banks.read(tmp_path / "kept" / "checkpoint")
    assert bank.running.means.shape[0] == 15 and -1 < bank.scrambled < 1
    train_and_save(run.replace(workdir=str(tmp_path / "none"), bank=False), "c")
    assert banks.read(tmp_path / "none" / "checkpoint") is None and banks.read(tmp_path / "out" / "checkpoint") is None
    assert checkpoint.variables_hash(checkpoint.load(tmp_path / "kept" / "checkpoint")[0]) == checkpoint.variables_hash(
        checkpoint.load(tmp_path / "none" / "checkpoint")[0]
    )


def test_selection_keeps_the_last_or_the_best():
    state = TrainState({"a": 1}, (), {"a": 2})
    assert chosen(state, OPTIONS) == {"a": 1}
    assert chosen(state, OPTIONS.replace(selection="best_validation")) == {"a": 2}


def a_batch(lengths):
    wave = np.zeros((3, 100), np.float32)
    for row, length in enumerate(lengths):
        head = (100 - length) // 2
        wave[row, head : head + length] = 1.0
    return TrainBatch(
        jnp.asarray(wave), jnp.asarray(lengths), jnp.zeros(3, jnp.int32), jnp.ones(3), jnp.arange(3, dtype=jnp.int32)
    )


def test_the_noise_view_has_its_snr_relative_to_the_unpadded_clip():
    batch = a_batch([100, 60, 40])
    noise = jnp.asarray(np.random.default_rng(0).normal(size=5000).astype(np.float32))
    view = make_view("noise", OPTIONS.replace(noise_snr_db=20.0), noise, short=False)
    added = view(jax.random.key(0), batch) - batch.wave
    for row in range(3):
        snr = 10 * np.log10(float((batch.wave[row] ** 2).sum() / (added[row] ** 2).sum()))
        assert snr == pytest.approx(20.0, abs=1e-3)
        assert np.all(np.asarray(added[row])[np.asarray(batch.wave[row]) == 0] == 0)


def test_short_clips_are_put_anywhere_in_the_row():
    batch = a_batch([100, 60, 40])
    view = make_view("noise", OPTIONS.replace(noise_snr_db=200.0), jnp.ones(200), short=True)
    heads = set()
    for i in range(40):
        wave = np.asarray(view(jax.random.key(i), batch))
        rows = [np.flatnonzero(np.abs(w) > 0.5) for w in wave]
        assert [len(r) for r in rows] == [100, 60, 40]
        assert all(r[-1] - r[0] + 1 == len(r) for r in rows)
        heads.add(int(rows[2][0]))
    assert len(heads) > 20
    assert min(heads) >= 0
    assert max(heads) <= 60


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"options": OPTIONS.replace(views=("roll",))}, "--views=roll: unknown roll, expected some of shift, noise,"),
        ({"noise_dir": None}, "^--views=shift,noise: .*; give --views=shift to train without, or --noise_dir="),
        (
            {"options": OPTIONS.replace(optimiser="lion")},
            "--optimiser=lion: expected one of sgd, adamw",
        ),
        (
            {"options": OPTIONS.replace(optimiser="adamw", warmup_epochs=3)},
            "^--warmup_epochs=3: expected 0 or more and fewer than --epochs=3, so that --optimiser=adamw has epochs",
        ),
        ({"options": OPTIONS.replace(group="tail")}, "unknown group of parameters 'tail'"),
        ({"options": OPTIONS.replace(epochs=0)}, "^--epochs=0: expected at least 1$"),
        (
            {"options": OPTIONS.replace(batch_size=1)},
            r"^--batch_size=1: expected at least 2 \(BatchNorm needs two clips\)$",
        ),
        ({"options": OPTIONS.replace(lr=-1.0)}, "^--lr=-1.0: expected a finite number above 0$"),
        ({"options": OPTIONS.replace(noise_snr_db=math.nan)}, "^--noise_snr_db=nan: expected a finite number$"),
        (
            {"options": OPTIONS.replace(mixup=2.0)},
            "^--mixup=2.0: expected a finite number of at least 0 and at most 1 ",
        ),
        ({"net": "resnet"}, "unknown net 'resnet': expected resnet_tiny"),
        ({"train_noise": "rain"}, "--train_noise=rain: expected one of doing_the_dishes"),
        ({"dataset": "esc"}, "unknown data set 'esc'"),
        ({"checkpoint": "nowhere"}, "no such folder"),
        ({"length": 0.0}, r"^--length=0.0: expected a finite number above 0 \(seconds\)$"),
        (
            {"length": 0.01},
            r"^--length=0.01: tests.runs.tiny:smallest_net takes no clips of that length: the clip has 160",
        ),
        (
            {"net": "amaut_tiny", "length": 0.02},
            "^--length=0.02: amaut_tiny .*: 1 frame is left for a max pool of 6, ex",
        ),
    ],
)
def test_bad_input_gets_one_sentence_and_nothing_is_written(place, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        train_and_save(a_run(place, tmp_path / "out", **changes), "c")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_split_that_is_not_there_is_told_before_anything_is_read(place, tmp_path, monkeypatch):
    """Before, a missing split was told after the others had been read. (Without val/ a share of train/ is val.)"""
    monkeypatch.setattr(train, "open_clips", lambda *given: pytest.fail("it was read"))
    for split, count in (("val", 2), ("test", 1)):
        for word in ("a", "b"):
            for take in range(count):
                path = tmp_path / "data" / split / word / f"{take}.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(path, tiny.tone(0, take), tiny.RATE)
    run = a_run(place, tmp_path / "out", dataset="folder", data_dir=str(tmp_path / "data"))
    with pytest.raises(BadInput, match=r"^--data_dir=.*: there is no split 'train' of folder, only val and test; "):
        train_and_save(run, "c")
    (lists := tmp_path / "lists").mkdir()
    for split in ("train", "test"):
        (lists / f"{split}.csv").write_text((place / "data" / f"{split}.csv").read_text())
    with pytest.raises(BadInput, match=r"val\.csv"):
        train_and_save(a_run(place, tmp_path / "out", data_dir=str(lists)), "c")


def test_the_noise_of_training_has_the_rate_of_the_network_that_is_trained(place, tmp_path, monkeypatch):
    """Before, a checkpoint of another rate than --net's was trained with noise at the wrong one."""

    def noise(dataset, noise_dir, kind, rate):
        raise BadInput(f"noise at {rate} Hz")

    monkeypatch.setattr(train, "training_noise", noise)
    config = zoo.preset("amaut_tiny", tiny.CLASSES)
    for rate in (8_000, 16_000):
        front_end = {**config.front_end, "sample_rate": rate, "f_max": rate / 2}
        checkpoint.save(tmp_path / str(rate), {"params": {}}, config.replace(sample_rate=rate, front_end=front_end))
        with pytest.raises(BadInput, match=f"^noise at {rate} Hz$"):
            train_and_save(a_run(place, tmp_path / "out", checkpoint=str(tmp_path / str(rate))), "c")
    with pytest.raises(BadInput, match=r"^noise at 16000 Hz$"):
        train_and_save(a_run(place, tmp_path / "out"), "c")


def test_profile_corrected_from_python_trains_what_it_says(place, tmp_path):
    """Before, its checkpoint said corrected, and the reference's quirks were trained."""
    names = ("selection", "first_epoch_plain", "crop_last_start", "nesterov", "time_flip")
    run = a_run(place, tmp_path, profile="corrected")
    once = train.settled(run)
    assert [getattr(once.options, name) for name in names] == ["best_validation", False, True, True, False]
    assert train.settled(once) == once
    last = once.replace(options=once.options.replace(selection="last"))
    assert train.settled(last) == last, "what was said expressly stays"
    average = run.replace(options=run.options.replace(selection="average"))
    assert train.settled(average).options.selection == "average"
    assert train.settled(run.replace(profile="reference")) == run.replace(profile="reference")
    with pytest.raises(BadInput, match=r"^--profile=faithful: expected reference or corrected$"):
        train_and_save(a_run(place, tmp_path / "out", profile="faithful"), "c")


@pytest.mark.slow
def test_weights_for_clips_of_one_length_are_fitted_to_another_or_refused(place, tmp_path):
    dataset = sets.get("arabic_speech_commands", str(place / "data"))
    source = tiny.make_checkpoint(tmp_path / "amaut", of=tiny.residual)
    run = train.settled(a_run(place, tmp_path / "out", checkpoint=str(source), length=0.5))
    with pytest.raises(
        BadInput, match=r"^--length=0.5: the positions of .*amaut \(amaut_tiny\) are those of clips of 0.25 s"
    ):
        train.first_variables(run, dataset)
    config = zoo.preset("ssast_test", tiny.CLASSES)
    variables = zoo.build(config).init(jax.random.key(0), jnp.zeros((1, config.length)))
    source = checkpoint.save(tmp_path / "ssast", variables, config)
    classifier, fitted = train.first_variables(run.replace(net="ssast_test", checkpoint=str(source)), dataset)
    assert classifier.config.length == 8_000
    assert fitted["params"]["encoder"]["positions"].shape == (2 + 5 * 7, 16)
    jax.tree.map(np.testing.assert_array_equal, fitted["params"]["head"], variables["params"]["head"])


def test_another_length_is_another_training(place, tmp_path):
    dataset = sets.get("arabic_speech_commands", str(place / "data"))
    run = train.settled(a_run(place, tmp_path))
    own, same, longer = (train.named(run.replace(length=length), dataset) for length in (None, 0.25, 0.5))
    assert own == same != longer


@pytest.mark.slow
def test_bad_files_are_left_out_of_training_and_recorded(tmp_path):
    tiny.make_arabic(tmp_path / "data")
    (tmp_path / "data" / "dataset" / "up" / "train_1.wav").write_text("text")
    (tmp_path / "data" / "dataset" / "up" / "val_0.wav").write_bytes(b"")
    options = OPTIONS.replace(epochs=1, views=("clean",), group="head")
    run = a_run(tmp_path, tmp_path / "out", options=options, noise_dir=None)
    with pytest.raises(ValueError, match=r"up/train_1\.wav: cannot be read"):
        train_and_save(run, "c")
    train_and_save(run.replace(on_bad_file="skip"), "c")
    _, _, extra = checkpoint.load(tmp_path / "out" / "checkpoint")
    assert extra["training"]["skipped"] == {"train": 1, "val": 1} and extra["training"]["clips"] == 29
    lines = (tmp_path / "out" / "bad_files.txt").read_text().splitlines()
    assert [line.partition("\t")[0] for line in lines] == ["dataset/up/train_1.wav", "dataset/up/val_0.wav"]
