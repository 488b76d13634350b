"""What each transmission does to a clip, against what was drawn for it."""

import jax
import numpy as np
import pytest
import soundfile

from dhauds_jax.data.corruptions import check_cell, codec, get, microphone, telephone
from dhauds_jax.data.corruptions import draws as D
from dhauds_jax.data.corruptions.base import each
from dhauds_jax.data.resampling import resample_wave
from dhauds_jax.dsp.packets import losses, mean_burst
from dhauds_jax.errors import BadInput
from tests.data.transmitted import CLIPS, IDS, LENGTH, RATE, WAVES, run, voiced

pytestmark = pytest.mark.slow  # many programs of a moment each; test_transmissions.py has the laws in the quick set

MANY = [f"clip/{i}" for i in range(2_000)]


def drawn(code, level, ids=MANY):
    return D.draw_set(ids, dataset="set", corruption=code, level=level, seed=1).choices


def spectrum_db(waves):
    """Mean power spectrum of the rows in dB, and its frequencies in Hz."""
    power = (np.abs(np.fft.rfft(waves * np.hanning(waves.shape[1]))) ** 2).mean(0)
    return 10 * np.log10(power + 1e-20), np.fft.rfftfreq(waves.shape[1], 1 / RATE)


@pytest.mark.parametrize(("level", "low", "high"), [("L1", 0.032, 0.096), ("L2", 0.098, 0.294), ("S1", 0.2, 0.6)])
def test_the_share_that_is_clipped_is_the_drawn_one(level, low, high):
    shares = drawn("CLI", level)["clipped"]
    assert low <= shares.min() < 1.02 * low and 0.98 * high < shares.max() <= high
    waves, draws = run("CLI", level)
    for wave, clean, share in zip(waves, WAVES, draws.choices["clipped"]):
        ceiling = np.abs(wave).max()
        # The ceiling is itself a sample of the clip, so one more than the share lies on it.
        assert (np.abs(wave) == ceiling).sum() == round(float(share) * (clean != 0).sum()) + 1
        inside = np.abs(wave) < 0.99999 * ceiling
        gain = wave[inside] / clean[inside]
        np.testing.assert_allclose(gain[np.abs(clean[inside]) > 1e-4], np.median(gain), rtol=1e-4)


def test_padding_does_not_count_as_clipped():
    waves = np.pad(WAVES[:, : LENGTH // 2], ((0, 0), (0, LENGTH // 2)))
    clipped, draws = run("CLI", "L2", waves)
    top = (np.abs(clipped) == np.abs(clipped).max(1, keepdims=True)).sum(1)
    np.testing.assert_array_equal(top, np.round(draws.choices["clipped"] * (LENGTH // 2)).astype(int) + 1)


@pytest.mark.parametrize(("level", "low", "high"), [("L1", 300, 3400), ("L2", 450, 2607.68), ("S1", 600, 2000)])
def test_a_telephone_keeps_its_band_and_nothing_beyond(level, low, high):
    chosen = drawn("TEL", level)
    assert telephone.band_of(telephone.POINTS.get(level, 1.0)) == pytest.approx((low, high), abs=0.1)
    assert low <= chosen["low_hz"].min() and chosen["low_hz"].max() <= 1.2 * low + 1e-3
    assert 0.9 * high <= chosen["high_hz"].min() and chosen["high_hz"].max() <= high + 0.1
    noise = (0.1 * np.random.default_rng(0).normal(size=(CLIPS, LENGTH))).astype(np.float32)
    waves, draws = run("TEL", level, noise)
    for wave, lowest, highest in zip(waves, draws.choices["low_hz"], draws.choices["high_hz"]):
        found, hz = spectrum_db(wave[None])
        inside = found[(hz > 1.1 * lowest) & (hz < 0.98 * highest)]
        beyond = np.concatenate([found[hz < 0.4 * lowest], found[hz > 1.15 * highest]])
        assert 10 * np.log10((10 ** (beyond / 10)).mean()) < 10 * np.log10((10 ** (inside / 10)).mean()) - 60
        # White noise is white still: thirds of the band (100 bins and more, so 0.4 dB each) are within 2.5 dB.
        thirds = [10 * np.log10((10 ** (part / 10)).mean()) for part in np.array_split(inside, 3)]
        assert max(thirds) - min(thirds) < 2.5


def test_a_telephone_does_not_delay_and_rings_on_both_rates():
    for rate in (16_000, 44_100, 22_050, 8_000):
        clip = voiced(2, rate // 2, rate)
        waves, _ = run("TEL", "L1", clip, IDS[:2], sample_rate=rate)
        for wave, clean in zip(waves, clip):
            shifted = [float(np.dot(np.roll(clean, n), wave)) for n in range(-20, 21)]
            assert np.argmax(shifted) == 20


def test_a_microphone_has_the_drawn_response_and_ratio():
    impulses = np.zeros((CLIPS, LENGTH), np.float32)
    impulses[:, LENGTH // 2] = 1.0
    _, draws = run("MIC", "L2")
    level = draws.choices["gain_db"]
    assert level.shape == (CLIPS, 9) and 9.5 < np.abs(level).max() <= 10.5
    quiet = draws._replace(choices={**draws.choices, "noise_db": np.full(CLIPS, 200.0, np.float32)})
    found = 20 * np.log10(np.abs(np.fft.rfft(run("MIC", "L2", impulses, draws=quiet)[0])))
    hz = np.fft.rfftfreq(LENGTH, 1 / RATE)
    places = [int(np.argmin(np.abs(hz - octave))) for octave in microphone.OCTAVES_HZ[1:7]]
    gaps = found[:, places] - draws.choices["gain_db"][:, 1:7]
    # An impulse is brought to its own energy, so all gains are off by one number a clip.
    np.testing.assert_allclose(gaps - gaps.mean(1, keepdims=True), 0.0, atol=0.3)
    loud, clean = run("MIC", "L2")[0], run("MIC", "L2", draws=quiet)[0]
    for wave, dry, ratio in zip(loud.astype(float), clean.astype(float), draws.choices["noise_db"]):
        gain = np.dot(wave, dry) / np.dot(dry, dry)
        rest = ((wave - gain * dry) ** 2).sum()
        assert abs(10 * np.log10(gain**2 * (dry**2).sum() / rest) - ratio) < 0.1
    ratios = drawn("MIC", "L1")["noise_db"]
    assert 27.95 < ratios.min() < 28.1 and 33.8 < ratios.max() < 34


@pytest.mark.parametrize(("level", "low", "high"), [("L1", 0.07, 0.13), ("L2", 0.1225, 0.2275)])
def test_packets_are_lost_as_the_model_says(level, low, high):
    chosen = drawn("PLO", level)
    lines = D.records(MANY[:50], D.draw_set(MANY[:50], dataset="set", corruption="PLO", level=level, seed=1),
                      corruption="PLO", level=level)  # fmt: skip
    rates = [line["loss_rate"] for line in lines]
    assert low - 1e-6 < min(rates) and max(rates) < high + 1e-6 and {line["in_place"] for line in lines} == {
        "silence", "repeat"}  # fmt: skip
    share = chosen["enter"] / (chosen["enter"] + chosen["leave"]) * chosen["lost"]
    assert abs(share.mean() - (low + high) / 2) < 5 * (high - low) / np.sqrt(12 * len(share))
    assert chosen["enter"].min() > 0 and chosen["enter"].max() < 1
    waves, draws = run("PLO", level)
    for i in range(CLIPS):
        one = {name: values[i].item() for name, values in draws.choices.items()}
        gone = np.asarray(losses(draws.key[i], LENGTH // 320, one["enter"], one["leave"], one["lost"]))
        packets, clean = waves[i].reshape(-1, 320), WAVES[i].reshape(-1, 320)
        assert np.array_equal(packets[~gone], clean[~gone])
        assert np.array_equal(gone, (packets != clean).any(1))
        if one["repeat"] == 0:
            assert not packets[gone].any()
    assert mean_burst(*(float(chosen[name][0]) for name in ("enter", "leave", "lost"))) >= 1


def test_a_repeated_packet_is_the_last_one_that_came_softer_each_time():
    waves, draws = run("PLO", "S1")
    row = next(i for i in range(CLIPS) if draws.choices["repeat"][i] == 1)
    one = {name: values[row].item() for name, values in draws.choices.items()}
    gone = np.asarray(losses(draws.key[row], LENGTH // 320, one["enter"], one["leave"], one["lost"]))
    packets, clean = waves[row].reshape(-1, 320), WAVES[row].reshape(-1, 320)
    last = -1
    for number, lost in enumerate(gone):
        last = last if lost else number
        expected = clean[last] * 0.5 ** (number - last) if last >= 0 else 0 * clean[0]
        np.testing.assert_allclose(packets[number], expected, rtol=1e-6)
    assert jax.random.key_data(draws.key).shape == (CLIPS, 2)


def test_a_room_is_drawn_within_its_walls_and_the_talker_comes_nearer_with_less_severity():
    far, near = drawn("RIR", "S1"), drawn("RIR", "L1")
    np.testing.assert_array_equal(far["room"], near["room"])
    for chosen in (far, near):
        for place in ("microphone", "talker"):
            assert (chosen[place] >= 0.2999).all() and (chosen[place] <= chosen["room"] - 0.2999).all()
    away = [np.linalg.norm(chosen["talker"] - chosen["microphone"], axis=1) for chosen in (far, near)]
    np.testing.assert_allclose(away[1], 0.4 * away[0], rtol=1e-3)
    assert 0.3 <= near["seconds"].min() < 0.302 and 0.498 < near["seconds"].max() <= 0.5
    assert far["room"].min(0) == pytest.approx([3, 2.5, 2.4], abs=0.01)


def test_a_room_delays_a_click_by_the_way_of_the_direct_sound_and_keeps_its_energy():
    click = np.zeros((CLIPS, LENGTH), np.float32)
    click[:, 1_000] = 0.5
    waves, draws = run("RIR", "S0.1", click)
    np.testing.assert_allclose((waves**2).sum(1), 0.25, rtol=1e-4)
    ways = np.linalg.norm(draws.choices["talker"] - draws.choices["microphone"], axis=1) / 343 * RATE
    # With walls this absorbent nothing is as loud as the direct sound.
    assert np.abs(np.abs(waves).argmax(1) - 1_000 - ways).max() <= 0.51


@pytest.mark.parametrize("name", codec.CODECS)
@pytest.mark.parametrize("rate", codec.HERTZ)
def test_a_codec_gives_a_clip_back_as_long_and_without_delay(name, rate):
    kind, clip = codec.CODECS[name], voiced(1, rate // 2, rate)[0]
    heard = codec.through(clip, rate, kind, None if kind.most is None else 0.5 * kind.most)
    assert heard.shape == clip.shape
    length = 2 * len(clip)
    cross = np.fft.irfft(np.fft.rfft(heard, length) * np.conj(np.fft.rfft(clip, length)))
    assert np.argmax(cross) == 0
    assert 10 * np.log10((clip**2).sum() / ((heard - clip) ** 2).sum()) > 10
    if kind.most is not None:
        worst = codec.through(clip, rate, kind, kind.most)
        assert ((worst - clip) ** 2).sum() > ((heard - clip) ** 2).sum()


@pytest.mark.parametrize("name", codec.CODECS)
@pytest.mark.parametrize("largest", [1.0, 3.0])
def test_clips_at_full_scale_and_beyond_come_back_as_they_were(name, largest):
    """Resampling makes more of a clipped peak than full scale, which mu-law's table has no entry for."""
    clip = largest * np.clip(20 * WAVES[0], -1, 1)
    of = {"severity": 0.7, "codec": list(codec.CODECS).index(name), "most_hertz": 12_000.0, "compression": 0.5}
    neutral = D.Draw(*[None] * len(D.Draw._fields))
    draw = neutral._replace(choices={key: np.float32(value) for key, value in of.items()})
    heard = codec.apply(clip, draw, sample_rate=RATE)
    there = resample_wave(resample_wave(clip, RATE, 12_000), 12_000, RATE)
    assert np.corrcoef(heard, there)[0, 1] > 0.97


def test_codecs_are_drawn_alike_at_the_rates_that_a_clip_allows():
    level, chosen = "L2", drawn("CDC", "L2")
    assert np.abs(np.bincount(chosen["codec"]) - 500).max() < 5 * np.sqrt(2_000 * 3 / 16)
    hertz = {
        codec.hertz(one, 16_000) for one in each(D.draw_set(MANY, dataset="set", corruption="CDC", level=level, seed=1))
    }
    assert hertz == {8_000, 12_000}
    opus = chosen["compression"][chosen["codec"] == 1]
    kbps = 256 - 250 * opus
    assert kbps.min() > 32 * (6 / 32) ** 0.7 - 0.01 and kbps.max() < 32 * (6 / 32) ** (0.75 * 0.7) + 0.01
    assert (chosen["compression"][chosen["codec"] == 3] == 0).all()
    assert get("CDC").made_with() == {"libsndfile": soundfile.__libsndfile_version__}


def test_above_half_the_codecs_rate_there_is_nothing():
    """But for a third more, in which the windowed sinc of the resampling falls off."""
    noise = (0.1 * np.random.default_rng(0).normal(size=(CLIPS, LENGTH))).astype(np.float32)
    waves, draws = run("CDC", "L2", noise)
    for wave, one in zip(waves, each(draws)):
        found, hz = spectrum_db(wave[None])
        rate = codec.hertz(one, RATE)
        inside, beyond = found[(hz > 500) & (hz < 0.35 * rate)], found[hz > 0.65 * rate]
        assert 10 * np.log10((10 ** (beyond / 10)).mean()) < 10 * np.log10((10 ** (inside / 10)).mean()) - 40


def test_a_codec_that_libsndfile_lacks_is_said(monkeypatch):
    monkeypatch.setattr(soundfile, "available_formats", lambda: {"WAV": "", "OGG": ""})
    with pytest.raises(BadInput, match=r"^CDC: libsndfile [0-9.]+ has no mp3, expected version 1\.1 or later"):
        check_cell("CDC", "L1")
