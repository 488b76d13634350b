"""Which statistics normalise the images of a run's sets: in records, in scores, and in what training leaves behind."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.cells import input_statistics
from dhauds_jax.cells.cell import Cell
from dhauds_jax.cells.running import Target, run_cell
from dhauds_jax.cells.source import source_model
from dhauds_jax.data import pipeline
from dhauds_jax.nets import checkpoint, mel_image, zoo
from dhauds_jax.nets.normalisers import EVAL
from dhauds_jax.runs.train import train_and_save
from dhauds_jax.train.request import TrainOptions
from dhauds_jax.train.statistics import of_clips
from dhauds_jax.train.views import make_features
from tests.runs import tiny
from tests.runs.test_train import a_run

CLASSES = ("a", "b", "c")
CONFIG = zoo.preset("conmix_tiny", CLASSES)
SPEC = mel_image.spec_of(CONFIG.front_end)
BARE = {"params": {}, "batch_stats": {}}
HELD = {"params": {}, "batch_stats": {"encoder": {"input_norm": {"mean": np.zeros(1), "deviation": np.ones(1)}}}}


@pytest.fixture(scope="module")
def source():
    classifier = zoo.build(CONFIG)
    return source_model(classifier, classifier.init(jax.random.key(0), jnp.zeros((1, CONFIG.length))))


def waves(seed, loudness):
    return np.stack([tiny.tone(label, seed) for label in range(6)]).astype(np.float32) * loudness


def test_the_rule_is_the_method_s_or_the_profile_s():
    assert input_statistics.rule_of(zoo.preset("amaut_tiny", CLASSES), BARE, "reference", {}) is None
    assert input_statistics.rule_of(CONFIG, HELD, "reference", {"lr": 1}) == "evaluated_set"
    assert input_statistics.rule_of(CONFIG, HELD, "corrected", {}) == "checkpoint"
    assert input_statistics.rule_of(CONFIG, HELD, "reference", {"input_statistics": "checkpoint"}) == "checkpoint"
    assert input_statistics.rule_of(CONFIG, BARE, "reference", {}) is None, "an own net: there is nothing to replace"
    assert input_statistics.measured(CONFIG, "checkpoint", waves(0, 1.0)) is None
    own = input_statistics.measured(CONFIG, "evaluated_set", waves(0, 1.0))
    images = np.asarray(mel_image.images(jnp.asarray(waves(0, 1.0)), SPEC))
    np.testing.assert_allclose((own.mean[0], own.deviation[0]), (images.mean(), images.std()), rtol=1e-4)


@pytest.mark.parametrize("profile", ["reference", pytest.param("corrected", marks=pytest.mark.slow)])
def test_every_set_is_scored_with_its_own_statistics_or_all_with_the_checkpoint_s(source, tmp_path, profile):
    """A quiet adaptation draw and a loud evaluation draw, each scored as the network sees it."""
    labels = np.arange(6) % 3
    target = Target(waves(0, 0.02), labels, "accuracy", evaluation=waves(1, 1.0))
    cell = Cell("tones", "WHN", "L1", "conmix_tiny", "source", "offline", profile, 0, (), 1, 6, "information")
    record = run_cell(cell, source, target, tmp_path, command="", progress=False)
    own = profile == "reference"
    forward = jax.jit(lambda v, w: source.classifier.apply(v, w, mode=EVAL)[0].logits)
    assert record["options"]["input_statistics"] == ("evaluated_set" if own else "checkpoint")
    assert record["source_checkpoint"] == source.sha256
    for name, nll in (("evaluation", record["curve"][1]["evaluation"]["nll"]), ("waves", record["curve"][1]["nll"])):
        clips = getattr(target, name)
        statistics = mel_image.set_statistics(clips, SPEC) if own else mel_image.statistics_of(source.variables)
        variables = mel_image.with_statistics(source.variables, statistics)
        log_p = np.asarray(jax.nn.log_softmax(forward(variables, clips), -1))
        assert nll == pytest.approx(-log_p[np.arange(6), labels].mean(), rel=1e-4)


def test_training_views_of_images_are_pieces_and_its_clips_give_the_statistics():
    clips = waves(2, 0.5)
    rows = pipeline.to_int16(clips)
    held = pipeline.from_arrays(
        list("abcdef"), rows, np.arange(6) % 3, np.full(6, 4000), classes=CLASSES, sample_rate=16000
    )
    found = of_clips(CONFIG, held, TrainOptions())
    wanted = mel_image.set_statistics(rows.astype(np.float32) / 32768, SPEC)
    np.testing.assert_allclose(found.mean, wanted.mean, rtol=1e-5)
    np.testing.assert_allclose(found.deviation, wanted.deviation, rtol=1e-5)
    assert of_clips(zoo.preset("amaut_tiny", CLASSES), held, TrainOptions()) is None
    key, index = jax.random.key(3), jnp.arange(6)
    for flip in (True, False):
        features = make_features(zoo.build(CONFIG), TrainOptions(time_flip=flip))
        pieces = mel_image.cropped_images(key, jnp.asarray(clips), index, SPEC, flip=flip)
        np.testing.assert_array_equal(features(key, jnp.asarray(clips), index), pieces)
    plain = zoo.build(zoo.preset("amaut_tiny", CLASSES))
    features = make_features(plain, TrainOptions())
    np.testing.assert_array_equal(features(key, jnp.asarray(clips), index), plain.features(jnp.asarray(clips)))


@pytest.mark.slow
def test_training_writes_the_statistics_of_its_clips(tmp_path):
    tiny.make_arabic(tmp_path / "data", {"train": 1, "val": 1, "test": 1})
    options = TrainOptions(epochs=2, batch_size=8, lr=0.01, views=("shift",))
    run = a_run(tmp_path, tmp_path / "out", net="conmix_tiny", options=options, noise_dir=None)
    assert "checkpoint:" in train_and_save(run, "the command")
    variables, config, extra = checkpoint.load(tmp_path / "out" / "checkpoint")
    clips = np.stack([tiny.tone(label, 0) for label in range(15)])
    clips = pipeline.to_int16(clips).astype(np.float32) / 32768
    own = mel_image.set_statistics(clips, mel_image.spec_of(config.front_end))
    np.testing.assert_allclose(variables["batch_stats"]["encoder"]["input_norm"]["mean"], own.mean, rtol=1e-4)
    assert len(extra["training"]["history"]) == 2 and extra["training"]["identity"]["options"]["time_flip"] is True
