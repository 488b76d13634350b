"""Embeddings of means and deviations over time, against NumPy; with a learnt head on them they are classifiers."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.incremental import as_classifier, learners
from dhauds_jax.nets import time_statistics, zoo
from dhauds_jax.nets.normalisers import EVAL
from dhauds_jax.types import LearnerInfo, Shots
from tests.nets.test_tap import CLASSES, made


def read_as(name, reading):
    net, variables, features = made(zoo.preset(name, CLASSES))
    config, given = time_statistics.with_reading(net.config, variables, reading)
    return zoo.build(config), given, features


def embedding(net, variables, features):
    return np.asarray(jax.jit(lambda v, f: net.tap(v, f, "embedding"))(variables, features))


def test_bands_are_means_and_deviations_of_the_spectrogram_and_means_of_its_quarters():
    net, variables, features = read_as("amaut_tiny", "bands")
    x = np.asarray(features, np.float64)
    frames = x.shape[1]
    ends = [round(k * frames / 4) for k in range(5)]
    quarters = [x[:, a:b].mean(1) for a, b in itertools.pairwise(ends)]
    wanted = np.concatenate([x.mean(1), x.std(1), *quarters], -1)
    np.testing.assert_allclose(embedding(net, variables, features), wanted, rtol=2e-5, atol=2e-6)


def test_rows_are_means_and_deviations_over_time_of_the_patches_at_a_frequency():
    net, variables, features = made(zoo.preset("ssast_test", CLASSES))
    raw = np.asarray(jax.jit(lambda v, f: net.tap(v, f, "tokens"))(variables, features), np.float64)
    last = net.config.geometry["depth"] - 1
    config, given = time_statistics.with_reading(net.config, variables, f"rows:{last}")
    found = embedding(zoo.build(config), given, features)
    rows = zoo.family(config.family).build_encoder(config).grid
    patches = raw[:, 2:].reshape(len(raw), *rows, -1)
    wanted = np.concatenate([patches.mean(2), patches.std(2)], -1).reshape(len(raw), -1)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    first = read_as("ssast_test", "rows")
    assert np.abs(embedding(*first) - found).max() > 1e-2


def test_silence_has_a_deviation_of_zero_and_a_finite_derivative():
    net, variables, features = read_as("amaut_tiny", "bands")
    still = jnp.ones_like(features)
    slope = jax.jit(jax.grad(lambda f: net.tap(variables, f, "embedding").sum()))(still)
    assert np.isfinite(slope).all()
    bands = still.shape[-1]
    np.testing.assert_array_equal(embedding(net, variables, still)[:, bands : 2 * bands], 0)


@pytest.mark.parametrize(("learner", "reading"), [("ridge", "bands"), ("ranpac", "rows"), ("prototype", "rows:1")])
def test_what_is_learnt_on_them_is_a_classifier(learner, reading):
    net, variables, features = read_as("ssast_test", reading)
    vectors = jnp.asarray(embedding(net, variables, features))
    taught = learners.make(learner, net)
    info = LearnerInfo(max_classes=3, max_sessions=1, max_rows=3, shape=vectors.shape[1:])
    shots = Shots(vectors, jnp.arange(3), jnp.ones(3), jnp.ones(3), jnp.arange(3))
    with jax.enable_x64(taught.double):
        state = taught.learn(taught.init(variables, info, jax.random.key(0)), shots, jax.random.key(1))[0]
        wanted = np.asarray(taught.predict(state, vectors)[taught.heads[0]])
    names = {"a": 0, "b": 1, "c": 2}
    classifier, made_of = as_classifier.as_classifier(net, variables, taught, state, taught.heads[0], names)
    found = jax.jit(lambda v, f: classifier.apply_features(v, f, mode=EVAL)[0].logits)(made_of, features)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_what_has_no_bands_or_rows_says_so():
    config = zoo.preset("amaut_tiny", CLASSES)
    variables = zoo.shapes(zoo.build(config))
    with pytest.raises(BadInput, match=r"--reading=row: expected network, bands, rows or rows:LEVEL"):
        time_statistics.with_reading(config, variables, "row")
    with pytest.raises(BadInput, match=r"family 'amaut' has no rows of patches to read, expected a spectrogram"):
        time_statistics.with_reading(config, variables, "rows")
    wave = zoo.preset("hubert_tiny", CLASSES)
    with pytest.raises(BadInput, match=r"the front end gives arrays of shape .*, expected \(frames, bands\)"):
        time_statistics.with_reading(wave, zoo.shapes(zoo.build(wave)), "bands")
    ssast = zoo.preset("ssast_test", CLASSES)
    with pytest.raises(BadInput, match=r"level 99 of \d+ blocks, expected one of them, from 0"):
        time_statistics.with_reading(ssast, zoo.shapes(zoo.build(ssast)), "rows:99")
