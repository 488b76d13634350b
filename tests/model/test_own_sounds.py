"""The bank of a model's own sounds, made of clips by a network of a few numbers."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.model import own_sounds
from dhauds_jax.nets.normalisers import EVAL
from dhauds_jax.types import Classifier, Outputs

RATE, LENGTH, CLASSES = 800, 800, 4


class Config(NamedTuple):
    """What is asked of a config."""

    sample_rate: int = RATE


def energies(variables, wave, *, mode, weights=None, rngs=None, axis_name=None):
    """Log energies of parts of the spectrum; in batches less the batch's mean."""
    spectrum = jnp.abs(jnp.fft.rfft(wave)[:, 1:401]) ** 2
    x = jnp.log(spectrum.reshape(len(wave), 8, 50).mean(-1) + 1e-3)
    if mode is not EVAL:
        x = x - (weights[:, None] * x).sum(0, keepdims=True) / weights.sum()
    return Outputs(x[:, :CLASSES] - x[:, CLASSES:], x, x[:, None]), {}


NET = Classifier(None, energies, lambda w: w, energies, lambda v: None, Config())


def tones(count, seed=0, low=30):
    """Clips of a tone in one of the parts, and which."""
    random, time = np.random.default_rng(seed), np.arange(LENGTH) / RATE
    labels = np.arange(count) % CLASSES
    hertz = low + 50 * labels[:, None] + random.uniform(-8, 8, (count, 1))
    waves = 0.3 * np.sin(2 * np.pi * (hertz * time + random.random((count, 1))))
    return (waves + 0.01 * random.standard_normal(waves.shape)).astype(np.float32), labels


@pytest.fixture(autouse=True, scope="module")
def without_talkers():
    """The corpus's talkers would take ten seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_sounds, "KINDS", ("white", "pink"))
        yield


@pytest.fixture(scope="module")
def bank(without_talkers):
    return own_sounds.made(NET, {}, *tones(200))


def test_own_sounds_lie_nearer_than_others(bank):
    own = own_sounds.distance(bank, NET, {}, tones(70, 1)[0])
    random = np.random.default_rng(2)
    other = own_sounds.distance(bank, NET, {}, 0.1 * random.standard_normal((70, LENGTH)).astype(np.float32))
    assert own.running + 1 < other.running
    assert own.batch < other.batch and own.tight > other.tight


def test_a_bank_repeats_and_follows_the_seed(bank):
    again, other = (own_sounds.made(NET, {}, *tones(200), seed=seed) for seed in (0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(bank.running, again.running, strict=True))
    assert bank.scrambled == again.scrambled != other.scrambled


def test_the_expected_accuracy_is_near_the_true_one(bank):
    """Tones in noise at levels that the bank has none of."""
    waves, labels = tones(256, 3)
    noise = np.random.default_rng(4).standard_normal(waves.shape)
    for level in (0.05, 0.6):
        noisy = (waves + level * noise).astype(np.float32)
        found = own_sounds.distance(bank, NET, {}, noisy)
        heard = own_sounds._heard(NET, {}, noisy, 0)
        assert found.right == pytest.approx(np.mean(heard.logits.argmax(-1) == labels), abs=0.1)
        assert found.right_batch == pytest.approx(np.mean(heard.batch_logits.argmax(-1) == labels), abs=0.1)
    older = own_sounds.distance(bank._replace(expected=None), NET, {}, waves)
    assert older.right is None and older.right_batch is None


def test_a_bank_says_what_it_cost(capsys):
    own_sounds.made(NET, {}, *tones(200))
    assert "bank of the model's own sounds: 712 clips, two forward passes each" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("clips", "labels"), [(199, np.arange(199) % 2), (200, np.zeros(200, int)), (200, np.ones((200, 3), int))]
)
def test_too_little_makes_none(clips, labels):
    assert own_sounds.made(NET, {}, tones(clips)[0], labels) is None


def test_windows_keep_their_order_in_mixed_batches():
    waves = tones(130)[0]
    running = own_sounds._heard(NET, {}, waves, 0).embedding
    wanted = energies({}, jnp.asarray(waves), mode=EVAL)[0].embedding
    np.testing.assert_allclose(running, wanted, rtol=1e-5, atol=1e-5)


def test_scrambled_clips_have_the_same_samples():
    waves = tones(3)[0]
    mixed = own_sounds.scrambled(waves, np.random.default_rng(0))
    assert not np.array_equal(mixed, waves)
    np.testing.assert_array_equal(np.sort(mixed), np.sort(waves))
