"""CLAP's front end against Hugging Face's and LAION's, and what a config says of how recordings are read.

Golden `clap_frontend.npz`: int8 waves k / 128 at 48 kHz, every 7th frame of their spectrograms by transformers'
`ClapFeatureExtractor` (hf) and by LAION's code (laion), for the fused (htk) and the other (slaney) mel bands.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.dsp.clip_layout import lay_out
from dhauds_jax.dsp.mel import mel_filters
from dhauds_jax.nets import clap_mel, zoo
from dhauds_jax.nets.clap_mel import quantise, record, spec_of
from dhauds_jax.nets.config import ClassifierConfig, reading
from dhauds_jax.nets.front_ends import front_end

GOLDEN = Path(__file__).parents[1] / "goldens" / "clap_frontend.npz"
LENGTH = 480_000
FEATURES = jax.jit(clap_mel.features, static_argnums=1)


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as stored:
        return dict(stored)


def clip(golden, name, dtype=np.float32):
    wave = lay_out(golden[f"wave_{name}"].astype(np.float32) / 128, LENGTH, layout="repeat_pad")
    return wave.astype(dtype)


def spec(who, bands):
    return spec_of(record(fused=bands == "htk", quantise=who == "laion"))


def error(golden, who, bands, name, computed):
    return np.abs(np.asarray(computed)[::7] - golden[f"{who}_{bands}_{name}_every7"][0]).max()


def test_mel_bands_are_those_of_the_checkpoints(golden):
    slaney, htk = mel_filters(spec("hf", "slaney").mel), mel_filters(spec("hf", "htk").mel)
    np.testing.assert_allclose(slaney, golden["laion_melW"], atol=2e-9)
    np.testing.assert_allclose(slaney, golden["mel_slaney"], atol=2e-9)
    np.testing.assert_allclose(htk, golden["mel_htk"], atol=1e-7)


@pytest.mark.parametrize("name", ["3s", "10s"])
@pytest.mark.parametrize(
    ("who", "bands", "tolerance"),
    # torchaudio's float32 is 1e-3 dB off in the empty bands of `3s`.
    [("hf", "htk", 1e-4), ("hf", "slaney", 1e-4), ("laion", "htk", 3e-3), ("laion", "slaney", 1e-4)],
)
def test_spectrograms_are_theirs(golden, who, bands, name, tolerance):
    with jax.enable_x64(True):
        exact = FEATURES(jnp.asarray(clip(golden, name, np.float64)), spec(who, bands))
    assert exact.dtype == np.float64 and exact.shape == (1001, 64)
    assert error(golden, who, bands, name, exact) < tolerance
    # What the networks are given, in float32: a loud chirp's rounding reaches the empty bands (2e-4 dB measured).
    single = FEATURES(jnp.asarray(clip(golden, name)), spec(who, bands))
    assert single.dtype == np.float32
    assert error(golden, who, bands, name, single) < max(tolerance, 3e-4)


@pytest.mark.parametrize("bands", ["htk", "slaney"])
def test_a_wrong_front_end_is_seen(golden, bands):
    wave, ours = jnp.asarray(clip(golden, "3s")), spec("laion", bands)
    left_out = error(golden, "laion", bands, "3s", FEATURES(wave, ours._replace(quantise=False)))
    rounded = jnp.round(wave * clap_mel.FULL_SCALE) / clap_mel.FULL_SCALE
    to_nearest = error(golden, "laion", bands, "3s", FEATURES(rounded, ours._replace(quantise=False)))
    lower = ours._replace(mel=ours.mel._replace(f_min=0.0))
    assert min(left_out, to_nearest) > 0.03  # ten times the widest tolerance
    assert error(golden, "laion", bands, "3s", FEATURES(wave, lower)) > 20


def test_quantisation_cuts_towards_zero():
    wave = jnp.asarray([0.0, 1.9, -1.9, 2.5 / 32767, -2.9 / 32767, 1.0, -1.0, 0.99999])
    assert (np.asarray(quantise(wave)) * 32767).round(3).tolist() == [0, 32767, -32767, 2, -2, 32767, -32767, 32766]
    np.testing.assert_array_equal(quantise(quantise(wave)), quantise(wave))


def small(**changes):
    """A preset of another front end, with these entries more in its record."""
    config = zoo.preset("amaut_tiny", ("a", "b"))
    return config.replace(front_end={**config.front_end, **changes})


def test_a_row_does_not_depend_on_its_batch(golden):
    config = small()
    config = config.replace(
        front_end=record(
            fused=False, quantise=True, sample_rate=16_000, f_max=8000.0, n_fft=256, win_length=256, hop=160
        )
    )
    waves = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4000)) * 0.1, jnp.float32)
    compute = jax.jit(front_end(config))
    together = compute(waves)
    assert together.shape == (3, 26, 64)
    for row in range(3):
        np.testing.assert_array_equal(compute(waves[row : row + 1])[0], together[row])


@pytest.mark.parametrize("name", ["amaut_tiny", "conmix_tiny", "ssast_test", "hubert_tiny"])
def test_every_kind_may_say_how_recordings_are_read(name):
    config = zoo.preset(name, ("a", "b"))
    assert not {"layout", "resampler"} & set(config.front_end)
    assert reading(config.front_end) == {"layout": "centre", "resampler": "sinc"}
    other = config.replace(front_end={**config.front_end, "layout": "repeat_pad", "resampler": "soxr_hq"})
    assert ClassifierConfig.from_json(other.to_json()) == other != config
    assert reading(other.front_end) == {"layout": "repeat_pad", "resampler": "soxr_hq"}
    wave = jnp.asarray(np.random.default_rng(0).normal(size=(1, config.length)) * 0.1, jnp.float32)
    np.testing.assert_array_equal(front_end(config)(wave), front_end(other)(wave))


@pytest.mark.parametrize(
    ("front_end_record", "message"),
    [
        ({"layout": "left"}, "front_end.layout is 'left', expected centre or repeat_pad"),
        ({"resampler": "kaiser"}, "front_end.resampler is 'kaiser', expected sinc or soxr_hq"),
        ({"kind": "clap_mel"}, r"front_end of kind 'clap_mel' lacks \['quantise'\]"),
    ],
)
def test_mistakes_are_named(front_end_record, message):
    with pytest.raises(ValueError, match=message):
        small(**front_end_record)


def test_mistakes_of_constants_are_named():
    with pytest.raises(ValueError, match="quantise is 1, expected true or false"):
        spec_of({**record(fused=True, quantise=True), "quantise": 1})
    with pytest.raises(ValueError, match=r"foreign keys \['image'\]"):
        spec_of({**record(fused=True, quantise=True), "image": 3})
    config = small().replace(front_end=record(fused=True, quantise=True))
    with pytest.raises(ValueError, match=f"front_end.sample_rate is 48000 Hz, sample_rate {config.sample_rate} Hz"):
        front_end(config)
    assert spec_of(small().front_end) is None


@pytest.mark.slow
@pytest.mark.parametrize("truncation", ["fusion", "rand_trunc"])
def test_spectrograms_are_those_of_transformers(truncation):
    """Beside transformers' extractor at 1e-3 dB, on clips that are repeated, exact and of real length mixtures."""
    transformers = pytest.importorskip("transformers")
    theirs = transformers.ClapFeatureExtractor(frequency_min=50, truncation=truncation)
    ours = spec("hf", "htk" if truncation == "fusion" else "slaney")
    rng = np.random.default_rng(0)
    for samples in (LENGTH, 192_000, 250_001, 1_000):
        wave = (rng.normal(size=samples) * np.exp(-np.arange(samples) / 40_000)).astype(np.float32)
        wanted = theirs(wave, sampling_rate=48_000)["input_features"][0][0]
        found = FEATURES(jnp.asarray(lay_out(wave, LENGTH, layout="repeat_pad")), ours)
        np.testing.assert_allclose(found, wanted, atol=1e-3)
