"""Mixing, masks, noise, losses on soft targets, warm-up and averaging of source training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.nets import zoo
from dhauds_jax.train.augment import augment_spectrogram, check_augmentation, masked_value, mix, target_loss
from dhauds_jax.train.loop import TrainState
from dhauds_jax.train.optimisers import make_optimiser, warmup_in_stairs
from dhauds_jax.train.options import TrainOptions, check_options
from dhauds_jax.train.selection import chosen, kept_variables

INDEX = jnp.arange(6, dtype=jnp.int32)


@pytest.mark.slow
def test_masks_are_single_bands_narrower_than_asked_and_filled_with_silence():
    x = jnp.ones((6, 40, 30))
    for seed in range(20):
        key = jax.random.key(seed)
        found = np.asarray(augment_spectrogram(key, x, INDEX, fill=-7.0, freq_mask=12, time_mask=8))
        assert set(np.unique(found)) <= {-7.0, 1.0}
        for clip in found:
            bins = np.flatnonzero((clip == -7.0).all(0))
            frames = np.flatnonzero((clip == -7.0).all(1))
            for band, widest in ((bins, 12), (frames, 8)):
                assert len(band) < widest
                assert len(band) == 0 or band[-1] - band[0] + 1 == len(band)
            rest = np.delete(np.delete(clip, bins, 1), frames, 0)
            assert (rest == 1.0).all()
    sizes = [
        (augment_spectrogram(jax.random.key(s), x[:1], INDEX[:1], fill=0.0, freq_mask=12)[0, 0] == 0).sum()
        for s in range(60)
    ]
    assert min(sizes) == 0 and max(sizes) >= 9  # U[0, 12) rounded down


def test_masks_of_log_mels_are_filled_with_the_mean_of_their_clip():
    """Before, masks were for Kaldi filter banks alone; what is drawn is the same for both."""
    x = jax.random.normal(jax.random.key(1), (6, 20, 10)) + jnp.arange(6.0)[:, None, None]
    settings = {"freq_mask": 6, "time_mask": 8}
    assert masked_value(zoo.preset("amaut_small_5s", ("a", "b"))) is None
    assert masked_value(zoo.preset("ssast_tiny", ("a", "b"))) == pytest.approx(4.2677393 / (2 * 4.5689974))
    found, flat = (
        np.asarray(augment_spectrogram(jax.random.key(0), x, INDEX, fill=fill, **settings)) for fill in (None, -99.0)
    )
    masked = flat == -99.0
    assert 0.1 < masked.mean() < 0.6
    means = np.broadcast_to(np.asarray(x).mean((1, 2), keepdims=True), x.shape)
    np.testing.assert_allclose(found[masked], means[masked], rtol=1e-6)
    np.testing.assert_array_equal(found[~masked], np.asarray(x)[~masked])


@pytest.mark.slow
def test_what_is_drawn_for_a_clip_follows_from_its_index():
    x = jax.random.normal(jax.random.key(1), (6, 20, 10))
    settings = {"fill": 0.0, "freq_mask": 4, "time_mask": 4, "noise": True}
    whole = augment_spectrogram(jax.random.key(0), x, INDEX, **settings)
    part = augment_spectrogram(jax.random.key(0), x[4:], INDEX[4:], **settings)
    np.testing.assert_array_equal(whole[4:], part)


@pytest.mark.slow
def test_noise_is_uniform_and_below_a_tenth_and_the_roll_goes_from_minus_ten_to_nine():
    ramp = jnp.broadcast_to(jnp.arange(40.0)[None, :, None], (6, 40, 5))
    shifts = set()
    for seed in range(40):
        found = np.asarray(augment_spectrogram(jax.random.key(seed), ramp, INDEX, fill=0.0, noise=True))
        floor = np.floor(found)
        assert (found - floor < 0.1).all()
        for clip in floor:
            assert (clip == clip[:, :1]).all()
            shift = int(np.argmin(clip[:, 0]))
            shifts.add(shift if shift < 20 else shift - 40)
            np.testing.assert_array_equal(np.roll(np.arange(40), shift), clip[:, 0])
    assert shifts == set(range(-10, 10))


@pytest.mark.slow
def test_mixup_mixes_real_clips_in_pairs_and_their_targets_alike():
    wave = jnp.asarray(np.random.default_rng(0).normal(size=(6, 50)).astype(np.float32))
    centred = np.asarray(wave - wave.mean(-1, keepdims=True))
    weights = jnp.asarray([1.0, 1, 1, 1, 0, 0])
    targets = jnp.eye(6)
    mixed, labels = mix(jax.random.key(3), wave, targets, weights, INDEX, 1.0)
    labels = np.asarray(labels)
    np.testing.assert_allclose(labels @ centred, mixed, atol=1e-5)
    np.testing.assert_allclose(labels.sum(-1), 1.0, atol=1e-6)
    assert (labels[:4, 4:] == 0).all()  # padded rows are never mixed in
    assert all((row > 0).sum() == 2 for row in labels[:4])
    shares = [
        np.asarray(mix(jax.random.key(s), wave, targets, jnp.ones(6), INDEX, 1.0)[1]).diagonal() for s in range(200)
    ]
    # Beta(10, 10): mean 1/2, variance 1/84.
    assert np.mean(shares) == pytest.approx(0.5, abs=0.02)
    assert np.var(shares) == pytest.approx(1 / 84, rel=0.15)
    untouched, same = mix(jax.random.key(3), wave, targets, jnp.ones(6), INDEX, 0.0)
    np.testing.assert_allclose(untouched, centred, atol=1e-6)
    np.testing.assert_array_equal(same, targets)
    half = [
        (np.asarray(mix(jax.random.key(s), wave, targets, jnp.ones(6), INDEX, 0.5)[1]).diagonal() < 1).mean()
        for s in range(200)
    ]
    assert np.mean(half) == pytest.approx(0.5, abs=0.05)


def test_losses_against_targets_equal_numpy():
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(5, 4)).astype(np.float32)
    targets = rng.dirichlet(np.ones(4), 5).astype(np.float32)
    weights = jnp.asarray([1.0, 1, 1, 1, 0])
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    soft = 0.9 * targets + 0.1 / 4
    expected = -(soft * log_p).sum(-1)[:4].mean()
    found = target_loss(jnp.asarray(logits), jnp.asarray(targets), weights, loss="cross_entropy", smoothing=0.1)
    assert float(found) == pytest.approx(expected, rel=1e-5)
    p = 1 / (1 + np.exp(-logits))
    expected = -(targets * np.log(p) + (1 - targets) * np.log(1 - p)).mean(-1)[:4].mean()
    found = target_loss(jnp.asarray(logits), jnp.asarray(targets), weights, loss="binary", smoothing=0.1)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_the_rate_rises_in_stairs_and_falls_at_milestones():
    assert [float(warmup_in_stairs(n, 200)) for n in (0, 49, 50, 149, 150, 200, 900)] == [0, 0, 0.25, 0.5, 0.75, 1, 1]
    assert float(warmup_in_stairs(0, 0)) == 1.0
    options = TrainOptions(optimiser="multistep", lr=1.0, momentum=0.0, weight_decay=0.0, decay_factor=0.5)
    rule = make_optimiser(options.replace(milestones=(2, 3), warmup_steps=100), steps_per_epoch=50)
    state, rates = rule.init(jnp.ones(())), []
    for _ in range(200):
        update, state = rule.update(jnp.ones(()), state, jnp.ones(()))
        rates.append(-float(update))
    assert [rates[n] for n in (0, 49, 50, 99, 100, 149, 150, 199)] == [0, 0, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25]


def test_selection_average_is_the_mean_of_the_chosen_epochs():
    options = TrainOptions(selection="average", average_from=2, epochs=4)
    kept, history = {"w": jnp.zeros(())}, []
    for epoch, value in enumerate((1.0, 2.0, 4.0, 9.0), start=1):
        kept = kept_variables(kept, {"w": jnp.asarray(value)}, {}, history, options)
        history.append({"epoch": epoch, "validation": 0.0})
    assert float(kept["w"]) == pytest.approx((2 + 4 + 9) / 3)
    state = TrainState({"w": 9.0}, (), kept)
    assert float(chosen(state, options)["w"]) == pytest.approx(5.0)


def test_options_that_cannot_be_say_what_is_expected():
    config = zoo.preset("amaut_tiny", ("a", "b"))
    for changes, said in (
        ({"loss": "hinge"}, "--loss=hinge: expected one of cross_entropy, binary, double_softmax"),
        ({"mixup": 1.5}, "--mixup=1.5: expected a share of the clips from 0 to 1"),
        ({"time_mask": -1}, "--time_mask=-1: expected 0 or more"),
        ({"spectrogram_noise": True}, "and the front end of amaut_tiny is log_mel: leave it out"),
    ):
        with pytest.raises(ValueError, match=said):
            check_augmentation(TrainOptions(**changes), config)
    check_augmentation(TrainOptions(freq_mask=4), config)
    image = zoo.preset("conmix_tiny", ("a", "b"))
    with pytest.raises(ValueError, match="and the front end of conmix_tiny is mel_image: leave them out"):
        check_augmentation(TrainOptions(freq_mask=4), image)
    with pytest.raises(ValueError, match="--average_from=30: expected an epoch from 1 to 24"):
        check_options(TrainOptions(selection="average", average_from=30, views=("shift",)), None)
    with pytest.raises(ValueError, match="--selection=first: expected one of last, best_validation, best_nll, average"):
        check_options(TrainOptions(selection="first", views=("shift",)), None)
