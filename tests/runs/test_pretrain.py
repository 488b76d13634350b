"""Pretraining end to end on a tiny set: it learns, repeats, resumes, and a classifier starts from it."""

import csv

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.nets import checkpoint, ssast_pretrain, zoo
from dhauds_jax.nets.spectrogram_transfer import for_clips
from dhauds_jax.runs import pretrain
from dhauds_jax.runs.pretrain import PretrainRun, pretrain_and_save
from dhauds_jax.runs.train import first_variables, train_and_save
from dhauds_jax.train.clips import open_clips
from dhauds_jax.train.options import TrainOptions
from dhauds_jax.train.pretraining import FIRST_PLATEAU, PretrainOptions, check_options, make_objective, next_plateau
from dhauds_jax.train.request import TrainRun
from dhauds_jax.train.statistics import with_measured_statistics
from dhauds_jax.train.views import make_view
from dhauds_jax.workdir.saver import Saver
from tests.runs import tiny

OPTIONS = PretrainOptions(epochs=4, batch_size=5, mask_patches=5, clusters=True, warmup_steps=0, lr=6e-3)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny.make_arabic(tmp_path_factory.mktemp("pretrain") / "data")


def a_run(data, workdir, **changes):
    run = PretrainRun(
        dataset="arabic_speech_commands",
        data_dir=str(data),
        net="ssast_test",
        workdir=str(workdir),
        seed=3,
        options=OPTIONS,
        input_statistics="train_set",
        save_every_s=0.0,
    )
    return run.replace(**changes)


@pytest.fixture(scope="module")
def pretrained(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, pretrain_and_save(a_run(data, folder), "the command")


def test_it_learns_and_writes_checkpoint_and_curve(pretrained):
    folder, said = pretrained
    assert f"checkpoint: {folder / 'checkpoint'}" in said
    variables, config, extra = checkpoint.load(folder / "checkpoint")
    history = extra["training"]["history"]
    assert [row["epoch"] for row in history] == [1, 2, 3, 4]
    # Validation masks are the same every epoch; training ones are not, and their loss is noisy over so few clips.
    losses = [row["validation_loss"] for row in history]
    assert losses == sorted(losses, reverse=True) and losses[-1] < 0.95 * losses[0]
    assert history[-1]["validation_reconstruction"] < 0.95 * history[0]["validation_reconstruction"]
    assert history[0]["contrast"] == pytest.approx(np.log(5), rel=0.1)  # nothing known yet: ln of the hidden patches
    with (folder / "pretraining.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]["loss"]) == pytest.approx(history[-1]["loss"], rel=1e-5)
    assert config.net == "ssast_test_pretrain" and config.geometry["stride"] == [8, 8]
    assert set(ssast_pretrain.from_checkpoint(variables, extra)["params"]) == {"encoder", *ssast_pretrain.EXTRA}


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_weights(data, pretrained, tmp_path, monkeypatch):
    expected, _, whole = checkpoint.load(pretrained[0] / "checkpoint")
    original = pretrain.pretrain

    def dies(*args, **kwargs):
        for epoch in original(*args, **kwargs):
            yield epoch
            if epoch.index == 2:
                raise KeyboardInterrupt

    def full(*args, **kwargs):
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(pretrain, "pretrain", dies)
        with pytest.raises(KeyboardInterrupt):
            pretrain_and_save(a_run(data, tmp_path), "c")
    # The last epoch is kept whatever the clock says: what is killed before its checkpoint does not train it again.
    rarely = a_run(data, tmp_path, save_every_s=1e9)
    with monkeypatch.context() as patched:
        patched.setattr(pretrain.checkpoints, "save", full)
        with pytest.raises(OSError, match="no space left"):
            pretrain_and_save(rarely, "c")
    assert [path.name for path in (tmp_path / "state" / "pretrain").iterdir()] == ["00000004"]
    with monkeypatch.context() as patched:
        patched.setattr("dhauds_jax.train.pretraining.batches", full)
        pretrain_and_save(rarely, "c")
    assert not (tmp_path / "state" / "pretrain").exists()
    found, _, extra = checkpoint.load(tmp_path / "checkpoint")
    assert checkpoint.variables_hash(found) == checkpoint.variables_hash(expected)
    assert extra["training"]["history"] == whole["training"]["history"]
    assert "already pretrained" in pretrain_and_save(a_run(data, tmp_path), "c")
    with pytest.raises(ValueError, match="holds the checkpoint of another run"):
        pretrain_and_save(a_run(data, tmp_path, seed=4), "c")


def test_an_unfinished_run_with_other_options_is_not_taken_up(data, tmp_path):
    state = tmp_path / "state" / "pretrain"
    Saver(state, 0.0, identity={"other": 1}).save({"a": np.zeros(1)}, {"position": 1})
    with pytest.raises(ValueError, match="holds an unfinished run with other options"):
        pretrain_and_save(a_run(data, tmp_path), "c")


def test_pretraining_goes_on_from_a_checkpoint_with_its_statistics(data, pretrained):
    from dhauds_jax.data import sets

    dataset = sets.get("arabic_speech_commands", str(data))
    source = str(pretrained[0] / "checkpoint")
    found = checkpoint.load_config(source).front_end
    for choice, same in (("checkpoint", True), ("preset", False)):
        config = pretrain.config_of(a_run(data, "unused", checkpoint=source, input_statistics=choice), dataset)
        assert (config.front_end["mean"] == found["mean"]) is same
    other = tiny.make_checkpoint(pretrained[0] / "amaut")
    with pytest.raises(ValueError, match=r"holds amaut_tiny \(None frames, .*, expected a pretraining like ssast_"):
        pretrain.config_of(a_run(data, "unused", checkpoint=str(other)), dataset)


def train_from(data, workdir, source, **changes):
    run = TrainRun(
        dataset="arabic_speech_commands",
        data_dir=str(data),
        noise_dir=None,
        net="ssast_test",
        workdir=str(workdir),
        seed=0,
        profile="reference",
        options=TrainOptions(epochs=1, batch_size=15, views=("shift",), optimiser="adam", lr=1e-3),
        checkpoint=source,
    )
    return run.replace(**changes)


def test_training_starts_from_a_pretraining(data, pretrained, capsys):
    from dhauds_jax.data import sets

    source = str(pretrained[0] / "checkpoint")
    before, found, _ = checkpoint.load(source)
    dataset = sets.get("arabic_speech_commands", str(data))
    classifier, variables = first_variables(train_from(data, "unused", source), dataset)
    config = zoo.preset("ssast_test", dataset.classes)
    assert classifier.config.geometry == config.geometry and classifier.config.classes == dataset.classes
    for name in ("mean", "std"):  # measured in pretraining
        assert classifier.config.front_end[name] == found.front_end[name] != config.front_end[name]
    expected = for_clips(before, found, config, jax.random.key(0))
    jax.tree.map(np.testing.assert_array_equal, variables["params"]["encoder"], expected["params"]["encoder"])
    assert variables["params"]["encoder"]["positions"].shape == (17, 16)
    assert "has no head for the classes of arabic_speech_commands: a new one is trained" in capsys.readouterr().out
    preset, _ = first_variables(train_from(data, "unused", source, input_statistics="preset"), dataset)
    assert preset.config == config


@pytest.mark.slow
def test_a_classifier_with_the_same_classes_is_fitted_to_the_net_that_is_asked_for(data, tmp_path):
    from dhauds_jax.data import sets

    dataset = sets.get("arabic_speech_commands", str(data))
    config = zoo.preset("ssast_test", dataset.classes)
    trained = zoo.build(config).init(jax.random.key(5), jnp.zeros((2, config.length)))
    wider = config.replace(geometry={**config.geometry, "stride": [4, 4]})
    weights = for_clips(trained, config, wider, jax.random.key(0))
    source = str(checkpoint.save(tmp_path / "wider", weights, wider))
    classifier, variables = first_variables(train_from(data, "unused", source), dataset)
    assert classifier.config == config
    assert variables["params"]["encoder"]["positions"].shape == (17, 16)
    jax.tree.map(np.testing.assert_array_equal, variables["params"]["head"], trained["params"]["head"])
    turned = config.replace(classes=dataset.classes[::-1])
    source = str(checkpoint.save(tmp_path / "turned", trained, turned))
    with pytest.raises(ValueError, match=r"in another order, so labels would be mixed up"):
        first_variables(train_from(data, "unused", source), dataset)


@pytest.mark.slow
def test_fine_tuning_with_masks_mixup_and_binary_loss_writes_a_classifier(data, pretrained, tmp_path):
    options = TrainOptions(
        epochs=2,
        batch_size=15,
        views=("clean",),
        optimiser="adam",
        lr=1e-3,
        loss="binary",
        mixup=0.6,
        freq_mask=8,
        time_mask=6,
        spectrogram_noise=True,
        selection="average",
    )
    source = str(pretrained[0] / "checkpoint")
    train_and_save(train_from(data, tmp_path, source, options=options), "c")
    _, config, extra = checkpoint.load(tmp_path / "checkpoint")
    assert config.net == "ssast_test"
    history = extra["training"]["history"]
    assert 0.1 < history[1]["loss"] < history[0]["loss"] < 1.0


def test_statistics_are_those_of_the_filter_banks(data):
    from dhauds_jax.data import sets

    run = a_run(data, "unused")
    config = zoo.preset("ssast_test", tiny.CLASSES)
    wide = open_clips(run, sets.get(run.dataset, run.data_dir), "train", config, 6000, 100.0)
    clips = open_clips(run, sets.get(run.dataset, run.data_dir), "train", config, 4000, 100.0)
    bare = config.replace(front_end={**config.front_end, "mean": 0.0, "std": 1.0, "std_factor": 1.0})
    values = np.asarray(zoo.front_end(bare)(jnp.asarray(clips.waves, jnp.float32) / 32768))
    found = with_measured_statistics(config, clips, "train_set", batch_size=7).front_end
    assert found["mean"] == pytest.approx(values.mean(), rel=1e-4)
    assert found["std"] == pytest.approx(values.std(), rel=1e-3)
    for choice in ("preset", "checkpoint"):
        assert with_measured_statistics(config, clips, choice) is config
    # Clips centred in longer rows: their own samples count, as training's clean view gives them.
    view = make_view("clean", TrainOptions(crop="head"), None, True, 4000)
    same = with_measured_statistics(config, wide, "train_set", view).front_end
    assert (same["mean"], same["std"]) == pytest.approx((found["mean"], found["std"]), rel=1e-5)
    with pytest.raises(
        ValueError, match="the front end of amaut_tiny is log_mel, expected a net on Kaldi filter banks"
    ):
        with_measured_statistics(zoo.preset("amaut_tiny", tiny.CLASSES), clips, "train_set")


def test_a_front_end_that_repeats_short_clips_is_refused(data, tmp_path, monkeypatch):
    usual = pretrain.config_of

    def repeating(*given):
        config = usual(*given)
        return config.replace(front_end={**config.front_end, "layout": "repeat_pad"})

    monkeypatch.setattr(pretrain, "config_of", repeating)
    with pytest.raises(BadInput, match=r"front_end\.layout repeat_pad"):
        pretrain_and_save(a_run(data, tmp_path), "c")


def test_the_rate_halves_after_the_third_evaluation_without_a_better_accuracy():
    plateau, factors = FIRST_PLATEAU, []
    for accuracy in (0.5, 0.6, 0.60001, 0.6, 0.59, 0.7, 0.1, 0.1, 0.1, 0.1):
        plateau = next_plateau(plateau, accuracy, patience=2)
        factors.append(float(plateau[0]))
    # 0.60001 is no ten-thousandth better than 0.6.
    assert factors == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25]


@pytest.mark.slow
def test_one_pass_shares_its_mask_and_two_do_not():
    config = ssast_pretrain.pretraining_config(zoo.preset("ssast_test", ("a",)))
    net = ssast_pretrain.build(config)
    variables = ssast_pretrain.init(net, config, jax.random.key(0))
    features = jax.random.normal(jax.random.key(1), (3, 16, 32))
    rest = (features, jnp.ones(3), jnp.arange(3, dtype=jnp.int32), jax.random.key(2))
    parts = {}
    for passes in (1, 2):
        objective = make_objective(net, OPTIONS.replace(passes=passes), hidden=5)
        parts[passes] = jax.jit(objective)(variables, *rest)[1]
    assert float(parts[1]["contrast"]) == pytest.approx(float(parts[2]["contrast"]), rel=1e-6)
    assert float(parts[1]["reconstruction"]) != pytest.approx(float(parts[2]["reconstruction"]), rel=1e-4)
    for found in parts.values():
        assert float(found["loss"]) == pytest.approx(float(found["contrast"] + 10 * found["reconstruction"]), rel=1e-6)


def test_options_that_cannot_be(data):
    for changes, said in (
        ({"profile": "odd"}, "--profile=odd: expected reference or corrected"),
        ({"passes": 3}, "--passes=3: expected 1 or 2"),
        ({"lr": -1.0}, "^--lr=-1.0: expected a finite number above 0$"),
        ({"shift": 2.0}, "^--shift=2.0: expected a finite number of at least 0 and at most 1 "),
        ({"mask_patches": 11}, "--mask_patches=11: the spectrogram has 4 x 3 patches, expected from 1 to 10"),
    ):
        with pytest.raises(ValueError, match=said):
            check_options(OPTIONS.replace(**changes), (4, 3))
    with pytest.raises(ValueError, match="--net=amaut_tiny: is of family amaut, expected an SSAST"):
        pretrain_and_save(a_run(data, "nowhere", net="amaut_tiny"), "c")
