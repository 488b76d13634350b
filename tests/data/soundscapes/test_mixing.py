"""Mixing: Scaper's own numbers, fades, onsets, levels, clipping, short backgrounds; what sox's reverb does."""

import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dhauds_jax.data import loudness
from dhauds_jax.data.soundscapes import mixing, reverb
from dhauds_jax.errors import BadInput

GOLDEN = np.load(Path(__file__).parents[2] / "goldens" / "scaper_mix.npz")
"""Three soundscapes by Scaper 1.6.5 with pysox and sox 14.4.2: see the row of `scaper_mix` in their README."""
RATE, SAMPLES = 44_100, 441_000


class Golden:
    """One of the three, with the arrays under its letter."""

    def __init__(self, letter):
        self.letter = letter

    def __getitem__(self, name):
        return GOLDEN[f"{self.letter}_{name}"]

    def background(self):
        wave, rate = self["bg_source"] / 128, int(self["bg_rate"])
        wave = wave.mean(axis=1) if wave.ndim > 1 else wave
        return mixing.at_rate(mixing.tiled(wave, 10 * rate), rate, RATE)

    def event(self):
        start, _, seconds, _ = self["event"]
        rate = int(self["fg_rate"])
        return self["fg_source"][int(start * rate) : int((start + seconds) * rate)] / 128

    def mixed(self):
        onset, seconds, snr = self["asked"][1], self["event"][2], self["event"][3]
        onset = mixing.placed(float(onset), float(seconds), 10.0)
        return mixing.mix(self.event(), self.background(), onset=onset, snr=float(snr), ref_db=-36.0, rate=RATE)


@pytest.mark.parametrize("letter", "ABC")
def test_scapers_soundscapes_are_made_again(letter):
    """A, B and every event to what was stored (float32); C has a background through sox's resampler: 1e-6."""
    golden = Golden(letter)
    made, exact = golden.mixed(), 1e-8
    resampled = 1e-6 if letter == "C" else exact
    assert made.first == golden["onset_sample"]
    last, join = int(golden["fg_last_nonzero"]), int(golden["bg_join_first"])
    assert np.flatnonzero(made.foreground)[-1] == last
    start = max(0, made.first - 64)
    for found, name, tolerance in (
        (made.mix[::16], "mix_every16", resampled),
        (made.foreground[::16], "fg_every16", exact),
        (made.foreground[start : made.first + 960], "fg_onset", exact),
        (made.foreground[last - 700 : last + 65], "fg_end", exact),
        (made.background[:1024], "bg_start", resampled),
        (made.background[join : join + 1024], "bg_join", resampled),
    ):
        np.testing.assert_allclose(found, golden[name], rtol=0, atol=tolerance)
    parts = (made.mix, made.background, made.foreground)
    ramp = np.arange(SAMPLES) / SAMPLES
    checks = [[x.sum(), np.square(x).sum(), (x * ramp).sum(), np.abs(x).max()] for x in parts]
    np.testing.assert_allclose(checks[2], golden["checks"][2], rtol=1e-12)
    np.testing.assert_allclose(checks[:2], golden["checks"][:2], rtol=1e-5 if letter == "C" else 1e-12)


@pytest.mark.parametrize("letter", "ABC")
def test_scapers_levels_are_measured_again(letter):
    golden = Golden(letter)
    made, tolerance = golden.mixed(), 1e-5 if letter == "C" else 1e-9
    sources = [loudness.integrated_loudness(wave, RATE) for wave in (golden.background(), golden.event())]
    results = [loudness.integrated_loudness(wave, RATE) for wave in (made.mix, made.background, made.foreground)]
    np.testing.assert_allclose(sources, golden["lufs_sources"], rtol=0, atol=tolerance)
    np.testing.assert_allclose(results, golden["lufs_mix_bg_fg"], rtol=0, atol=tolerance)
    assert abs(made.snr - golden["event"][3]) < tolerance


def test_an_event_that_would_not_fit_ends_with_the_scene():
    assert mixing.placed(9.9, 0.31, 10.0) == 10.0 - 0.31
    assert mixing.placed(2.0, 4.0, 10.0) == 2.0 and mixing.placed(6.0, 4.0, 10.0) == 6.0


def test_fades_are_quarter_sines_of_ten_milliseconds():
    faded = mixing.fade(np.ones(2_000), RATE)
    rise = np.sin(np.linspace(0, np.pi / 2, 441))
    np.testing.assert_array_equal(faded[:441], rise)
    np.testing.assert_array_equal(faded[-441:], rise[::-1])
    assert (faded[441:-441] == 1).all()


@pytest.mark.parametrize("samples", [1, 2, 3, 100, 440, 441, 881, 882])
def test_an_event_under_two_fades_is_faded_over_its_halves(samples):
    """D29 of Scaper: below 441 samples it ends in an error of broadcasting."""
    faded = mixing.fade(np.ones(samples), RATE)
    half = min(441, samples // 2)
    assert len(faded) == samples and (np.abs(faded) <= 1).all()
    assert samples < 2 or (faded[0] == faded[-1] == 0 and faded[half - 1] == (1 if half > 1 else 0))
    rng = np.random.default_rng(0)
    made = mixing.mix(
        rng.normal(size=max(samples, 2)), rng.normal(size=RATE), onset=0.5, snr=6.0, ref_db=-36.0, rate=RATE, exact=True
    )
    assert abs(made.snr - 6.0) < 1e-9 and made.first == 22_050


def test_the_parts_sum_to_the_mix_and_levels_are_met():
    rng = np.random.default_rng(1)
    event, background = rng.normal(size=16_000), rng.normal(size=80_000) * np.linspace(0.1, 1, 80_000)
    made = mixing.mix(event, background, onset=1.2345, snr=-3.5, ref_db=-30.0, rate=16_000, exact=True)
    np.testing.assert_allclose(made.foreground + made.background, made.mix, rtol=0, atol=1e-6)
    assert made.first == int(1.2345 * 16_000)
    assert not made.foreground[: made.first].any() and not made.foreground[made.first + 16_000 :].any()
    assert abs(loudness.integrated_loudness(made.background, 16_000) + 30.0) < 1e-9
    middle = made.first + 8_000
    factor = made.foreground[middle] / event[8_000]
    assert abs(loudness.integrated_loudness(factor * event, 16_000) + 33.5) < 1e-9


def test_clipping_is_told_and_scaled_down_on_request():
    rng = np.random.default_rng(2)
    event, background = rng.normal(size=16_000), rng.normal(size=32_000)
    about = {"onset": 0.1, "snr": 30.0, "ref_db": -20.0, "rate": 16_000}
    plain = mixing.mix(event, background, **about)
    assert plain.clips and plain.peak == np.abs(plain.mix).max() > 1 and plain.scaled_db == 0
    fixed = mixing.mix(event, background, **about, fix_clipping=True)
    assert fixed.peak == plain.peak and abs(np.abs(fixed.mix).max() - mixing.FULL_SCALE) < 1e-12
    np.testing.assert_allclose(fixed.mix, plain.mix * mixing.gain(fixed.scaled_db), rtol=1e-12)
    np.testing.assert_allclose(fixed.foreground + fixed.background, fixed.mix, rtol=0, atol=2.0**-31)
    quiet = mixing.mix(event, background, **{**about, "snr": 0.0, "ref_db": -50.0}, fix_clipping=True)
    assert not quiet.clips and quiet.scaled_db == 0


def test_a_short_background_is_repeated_with_jumps_or_blended():
    ramp = np.linspace(-1, 1, 4_000)
    jumps = mixing.tiled(ramp, 10_000)
    np.testing.assert_array_equal(jumps, np.concatenate([ramp, ramp, ramp[:2_000]]))
    blended = mixing.looped(ramp, 10_000, 8_000)
    assert len(blended) == 10_000 and np.abs(np.diff(jumps)).max() > 1.9
    assert np.abs(np.diff(blended)).max() < 0.01, "no jump is left"
    np.testing.assert_array_equal(blended[:3_200], ramp[:3_200])
    np.testing.assert_allclose(blended[3_200 + 800 : 6_400], ramp[800:3_200], rtol=0, atol=1e-15)
    assert mixing.looped(ramp, 3_000, 8_000).tolist() == ramp[:3_000].tolist()
    assert mixing.looped(np.ones(1), 5, 8_000).tolist() == [1.0] * 5


def test_blended_repeats_of_noise_keep_its_level():
    noise = np.random.default_rng(3).normal(size=8_000)
    power = np.square(mixing.looped(noise, 80_000, 8_000)).mean()
    assert abs(power - 1) < 0.03, "equal power; a linear blend would lose 0.037 of it, within 0.005 of where this is"


def program(folder, text):
    path = folder / "sox"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


TWICE = "from sys import *; [stdout.buffer.write(x + x) for x in iter(lambda: stdin.buffer.read(8), b'')]"
"""A program that makes two equal channels of doubles of one."""


def test_sox_gets_the_sound_and_gives_it_back(tmp_path, monkeypatch):
    """A stand-in that gives back what it reads: how sox itself sounds is held against Scaper where it is installed."""
    wave = np.random.default_rng(4).integers(-(1 << 31), 1 << 31, 500) / 2.0**31
    program(tmp_path, f'echo "$@" > {tmp_path}/words; {sys.executable} -c "{TWICE}"')
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    reverb.check("sox0", "--reverb=sox0")
    np.testing.assert_array_equal(reverb.sox0(wave, 16_000), wave)
    assert (tmp_path / "words").read_text().endswith("- reverb 0 50 100 100 0 0\n")
    program(tmp_path, "echo sox FAIL >&2; exit 2")
    with pytest.raises(RuntimeError, match="ended with 2: sox FAIL"):
        reverb.sox0(wave, 16_000)


@pytest.mark.parametrize("level", [0.3, 0.6, 3.0])
def test_the_peak_behind_a_reverb_is_found_beyond_full_scale(level, monkeypatch):
    """A stand-in that cuts off at both ends, as sox does, and triples: 0.9, 1.8 (only behind it), 9 (before it too)."""

    def louder(wave, rate):
        wet = np.clip(3 * np.clip(wave, -1, 1), -1, 1)
        return np.stack([wet, wet], 1)

    monkeypatch.setattr(reverb, "channels", louder)
    wave = level * np.sin(np.arange(64) * np.pi / 8)
    dry = mixing.Mixed(wave, 0.25 * wave, 0.75 * wave, 0, 6.0, level)
    wet = reverb.through_sox0(dry, 8_000, False)
    assert wet.peak == pytest.approx(3 * level, rel=1e-12) and wet.scaled_db == 0.0
    np.testing.assert_allclose(wet.mix, np.clip(3 * np.clip(wave, -1, 1), -1, 1), rtol=0, atol=2.0**-31)
    fixed = reverb.through_sox0(dry, 8_000, True)
    assert fixed.peak == wet.peak and np.abs(fixed.mix).max() == pytest.approx(min(3 * level, mixing.FULL_SCALE))
    np.testing.assert_allclose(3 * (fixed.foreground + fixed.background), fixed.mix, rtol=0, atol=2.0**-31)


def test_where_sox_is_wanted_and_absent_it_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    reverb.check("none", "--profile=corrected")
    with pytest.raises(BadInput, match=r"^--profile=reference: sends .* sox, which is not found, .*--reverb=none does"):
        reverb.check("sox0", "--profile=reference")


if shutil.which("sox"):  # no skip: where sox is not installed there is nothing that could be tested

    def test_scapers_reverb_of_nothing_is_made_again():
        golden = Golden("A")
        dry = golden.mixed().mix
        wet = reverb.sox0(dry, RATE)
        np.testing.assert_allclose(wet[::16], golden["mix_reverb0_every16"], rtol=0, atol=1e-8)
        change = np.sqrt(np.square(wet - dry).mean() / np.square(dry).mean())
        assert abs(change - golden["reverb0_gain"][1]) < 1e-6 and change > 0.17, "D4: no bypass"

    def test_soxs_reverb_cuts_off_in_two_channels_and_is_linear_below():
        wave = np.random.default_rng(0).uniform(-0.99, 0.99, 8_000)
        dry = mixing.Mixed(wave, 0 * wave, wave, 0, 6.0, 0.99)
        apart = 8 * reverb.channels(wave / 8, 8_000)
        found = reverb.through_sox0(dry, 8_000, True)
        # sox reckons in single precision.
        assert found.peak == pytest.approx(np.abs(apart).max(), abs=1e-6) and found.peak > 1.2
        scale = mixing.FULL_SCALE / found.peak
        np.testing.assert_allclose(found.mix, scale * apart.mean(1), rtol=0, atol=1e-6)
        np.testing.assert_allclose(found.background, scale * wave, rtol=1e-12)
        cut = reverb.through_sox0(dry, 8_000, False).mix
        assert np.abs(cut - apart.mean(1)).max() > 0.1, "what is not scaled down is cut, also where the mean is small"

    def test_the_mean_of_soxs_two_channels_is_its_one():
        wave = np.random.default_rng(0).uniform(-0.5, 0.5, 8_000)
        form = ["-t", "raw", "-e", "floating-point", "-b", "64", "-L", "-r", "8000", "-c", "1", "-"]
        words = ["sox", "-D", *form, *form, "reverb", "0", "50", "100", "100", "0", "0"]
        one = subprocess.run(words, input=wave.tobytes(), capture_output=True, check=True).stdout
        np.testing.assert_array_equal(reverb.sox0(wave, 8_000), np.frombuffer(one)[:8_000])
