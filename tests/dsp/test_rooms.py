"""Responses of rooms: against images counted one by one, the direct sound's time, and reverberation times."""

import functools

import jax
import numpy as np
import pytest

from dhauds_jax.dsp import rooms

RATE, TAPS = 16_000, 14_000
LEAST = (3.0, 2.5, 2.4)
NUMBERS = rooms.images(LEAST, rooms.MIXING_S)
RNG = np.random.default_rng(0)
ROOMS = RNG.uniform([3, 2.5, 2.4], [8, 6, 3.5], (24, 3)).astype(np.float32)
TALKERS, MICROPHONES = (0.3 + RNG.uniform(size=(24, 3)).astype(np.float32) * (ROOMS - 0.6) for _ in range(2))


@functools.cache
def responses(seconds):
    one = functools.partial(rooms.response, sample_rate=RATE, taps=TAPS)
    keys = jax.random.split(jax.random.key(1), len(ROOMS))
    many = jax.jit(jax.vmap(lambda key, room, talker, mic: one(key, NUMBERS, room, talker, mic, seconds)))
    return np.asarray(many(keys, ROOMS, TALKERS, MICROPHONES), np.float64)


def energy_decay(response):
    """Schroeder's backward integral in dB."""
    energy = np.cumsum(response[::-1] ** 2)[::-1]
    return 10 * np.log10(energy / energy[0] + 1e-30)


def reverberation_time(response, start=-5.0, end=-35.0):
    decay = energy_decay(response)
    rows = np.flatnonzero((decay < start) & (decay > end))
    return -60 / np.polyfit(rows / RATE, decay[rows], 1)[0]


def counted_images(room, talker, mic, beta, seconds):
    """Times and gains of images by Allen and Berkley's own numbering: n, l, m of whole rooms and p of mirrors."""
    out = []
    most = [int(np.ceil(343 * seconds / (2 * side))) + 1 for side in room]
    for n in range(-most[0], most[0] + 1):
        for k in range(-most[1], most[1] + 1):
            for m in range(-most[2], most[2] + 1):
                for mirrors in np.ndindex(2, 2, 2):
                    p, r = np.array(mirrors), np.array([n, k, m])
                    way = (1 - 2 * p) * talker + 2 * r * room - mic
                    far = np.sqrt((way**2).sum())
                    if far < 343 * seconds:
                        out.append((far / 343, beta ** (np.abs(r - p) + np.abs(r)).sum() / far))
    return np.array(out)


def test_images_are_those_of_allen_and_berkley():
    room, talker, mic = (np.array(x, float) for x in ((3.2, 4.1, 2.5), (1.0, 2.7, 1.1), (2.3, 0.9, 1.6)))
    seconds, numbers = 0.05, rooms.images(LEAST, 0.05)
    taken = float(rooms.absorption(0.4, room))
    expected = counted_images(room, talker, mic, np.sqrt(1 - taken), seconds)
    where = np.where(numbers % 2 == 0, numbers * room + talker, (numbers + 1) * room - talker)
    far = np.sqrt(((where - mic) ** 2).sum(1))
    gains = np.sqrt(1 - taken) ** np.abs(numbers).sum(1) / far
    ours = np.stack([far / 343, gains], 1)[far < 343 * seconds]
    assert len(ours) == len(expected) > 250
    np.testing.assert_allclose(ours[np.lexsort(ours.T)], expected[np.lexsort(expected.T)], rtol=1e-9)


def test_eyring_and_back():
    taken = rooms.absorption(np.array([0.0, 0.3, 1.0]), np.broadcast_to(np.array([5.0, 4.0, 3.0]), (3, 3)))
    assert isinstance(taken, np.ndarray) and taken.dtype == np.float64  # of NumPy's arrays, NumPy's
    # 0.161 V / (-S ln(1 - a)) with V = 60 and S = 94 in SI units.
    assert taken[0] == 1 and np.all(np.diff(taken) < 0)
    np.testing.assert_allclose(0.161 * 60 / (-94 * np.log1p(-taken[1:])), [0.3, 1.0], rtol=2e-3)


@pytest.mark.slow
def test_the_direct_sound_comes_after_its_way_with_gain_one():
    dry = responses(0.0)
    ways = np.linalg.norm(TALKERS - MICROPHONES, axis=1) / 343 * RATE
    for response, way in zip(dry, ways):
        # The centre of a band-limited pulse: the slope of its phase, here over the lower half of the band.
        spectrum = np.fft.rfft(response, 32_768)[:8_192]
        delay = -np.polyfit(np.arange(8_192), np.unwrap(np.angle(spectrum)), 1)[0] * 32_768 / (2 * np.pi)
        assert abs(delay - rooms.AHEAD - way) < 0.01
        np.testing.assert_allclose(np.abs(spectrum[:6_000]), 1.0, atol=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.3, 0.5, 0.8])
def test_reverberation_is_eyrings(seconds):
    """Schroeder's decay from -5 to -35 dB. In single rooms the first 80 ms are of single images: 30 % at 0.3 s."""
    found = np.array([reverberation_time(r[rooms.AHEAD :]) for r in responses(seconds)])
    assert abs(found.mean() / seconds - 1) < 0.06
    margin = {0.3: 0.3, 0.5: 0.15, 0.8: 0.1}[seconds]
    assert np.abs(found / seconds - 1).max() < margin
    # Sabine's formula takes the walls for more absorbent than they are: longer times, by -ln(1-a)/a.
    taken = rooms.absorption(np.full(24, seconds), ROOMS)
    volume = ROOMS.prod(1)
    surface = 4 * volume / rooms.mean_free_path(ROOMS)
    sabine = 0.161 * volume / (surface * taken)
    np.testing.assert_allclose(sabine / seconds, -np.log1p(-taken) / taken, rtol=2e-3)
    assert np.all(sabine > seconds)


@pytest.mark.slow
def test_the_tail_goes_on_where_the_images_end():
    """Mean power of 10 ms before and after 80 ms, over 24 rooms: within 2 dB of the envelope's own fall."""
    wet = responses(0.8)
    edge = rooms.AHEAD + round(rooms.MIXING_S * RATE)
    before, after = (np.log10((wet[:, part] ** 2).mean(1)).mean() for part in (np.s_[edge - 160 : edge],
                                                                               np.s_[edge : edge + 160]))  # fmt: skip
    assert abs(10 * (before - after) - 60 * 0.01 / 0.8) < 2
