"""Corruptions: what they do to a clip, and that nothing but the clip and its names decides it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.data import corruptions as C
from dhauds_jax.data import sets
from dhauds_jax.data.corruptions import CORRECTED, NOISE_CORRUPTIONS, REFERENCE
from dhauds_jax.data.corruptions import draws as D
from dhauds_jax.data.corruptions.noise import NoiseBank
from dhauds_jax.data.corruptions.stretch import nominal_rate, start_phase
from dhauds_jax.data.layout import lay_out, raw_clip
from dhauds_jax.dsp.stretch import pitch_shift, time_stretch

RATE, LENGTH = 16_000, 4_000
RNG = np.random.default_rng(0)
WAVES = (RNG.normal(size=(40, LENGTH)) * np.hanning(LENGTH) * 0.2).astype(np.float32)
IDS = [f"word/{i}.wav" for i in range(40)]
BANK = NoiseBank(("A/0", "A/1", "B/0"), [RNG.normal(size=n).astype(np.float32) for n in (9_000, 4_000, 1_500)], RATE)
WORDS = sets.get("synthetic")
BOTH_WAYS = WORDS._replace(order=sets.Order(stretch_both_ways=True))


def run(corruption, waves=WAVES, ids=IDS, *, level="L1", dataset=WORDS, **options):
    options = {"seed": 3, "sample_rate": RATE, "length": LENGTH, "bank": BANK, **options}
    return C.corrupt(waves, ids, dataset=dataset, corruption=corruption, level=level, **options)


def snr_db(clean, mixed):
    noise = mixed.astype(np.float64) - clean
    return 10 * np.log10((clean.astype(np.float64) ** 2).sum(-1) / (noise**2).sum(-1))


@pytest.mark.as_shipped
@pytest.mark.parametrize("corruption", C.CORRUPTIONS)
def test_order_size_and_grouping_change_no_bit(corruption, monkeypatch):
    waves, draws = run(corruption)
    rows = np.random.default_rng(1).permutation(40)
    permuted, again = run(corruption, WAVES[rows], [IDS[i] for i in rows])
    assert permuted.tobytes() == waves[rows].tobytes()
    assert jax.random.key_data(again.key).tobytes() == np.asarray(jax.random.key_data(draws.key))[rows].tobytes()
    for part in (rows[:17], rows[17:18], rows[18:]):
        some, _ = run(corruption, WAVES[part], [IDS[i] for i in part])
        assert some.tobytes() == waves[part].tobytes()


@pytest.mark.parametrize("corruption", ["WHN", *NOISE_CORRUPTIONS])
@pytest.mark.parametrize("profile", ["reference", "corrected"])
def test_measured_snr_is_the_drawn_one(corruption, profile):
    waves, draws = run(corruption, level="L2", profile=profile)
    np.testing.assert_allclose(snr_db(WAVES, waves), draws.snr_db, atol=2e-3)
    assert len(np.unique(draws.snr_db)) == 5


def test_noise_is_the_drawn_crop_short_recordings_repeated():
    waves, draws = run("ENQ")
    assert set(draws.noise_index.tolist()) == {0, 1, 2}
    for i, (clean, mixed) in enumerate(zip(WAVES, waves)):
        recording = BANK.waves[draws.noise_index[i]]
        part = np.take(recording, draws.start[i] + np.arange(LENGTH), mode="wrap")
        noise = mixed - clean
        assert np.corrcoef(noise, part)[0, 1] > 0.999999


def test_white_noise_kinds_and_the_offset():
    for quirks, mean in ((REFERENCE, 0.5), (CORRECTED, 0.0)):
        waves, draws = run("WHN", profile=quirks)
        noise = (waves - WAVES)[draws.kind == 1]
        low, high = noise.min(1), noise.max(1)
        # In units of the uniform noise's own range.
        np.testing.assert_allclose((noise.mean(1) - 0) / (high - low), mean, atol=0.03)
        share = noise.mean(1) ** 2 / (noise**2).mean(1)
        np.testing.assert_allclose(share, 0.75 if mean else 0.0, atol=0.03)
        normal = (waves - WAVES)[draws.kind == 0]
        fourth = (normal**4).mean(1) / (normal**2).mean(1) ** 2
        np.testing.assert_allclose(fourth, 3.0, atol=0.5)


@pytest.mark.slow
def test_pitch_shift_is_the_drawn_one():
    waves, draws = run("PSH")
    i = 5
    expected = pitch_shift(jnp.asarray(WAVES[i]), RATE, int(draws.semitones[i]))
    np.testing.assert_allclose(waves[i], expected, atol=2e-4)


@pytest.mark.parametrize(
    ("quirks", "power"), [(CORRECTED, 1.0), (CORRECTED._replace(griffin_lim_power=2.0), 2.0)], ids=["power1", "power2"]
)
def test_stretch_then_layout_with_zero_phase(quirks, power):
    waves, draws = run("TST", WAVES[:3], IDS[:3], profile=quirks)
    rate = nominal_rate(draws.rate[0])
    stretched = np.asarray(time_stretch(jnp.asarray(WAVES[0]), rate, power=power))
    assert len(stretched) == 256 * (int(np.ceil((LENGTH // 256 + 1) / rate)) - 1)
    head = (LENGTH - len(stretched)) // 2
    assert not waves[0, :head].any() and not waves[0, head + len(stretched) :].any()
    # Griffin-Lim amplifies rounding, which differs between a batch and a single clip.
    np.testing.assert_allclose(waves[0], lay_out(stretched, LENGTH), atol=3e-2 * np.abs(stretched).max())


@pytest.mark.slow
def test_start_phase_is_an_option_of_its_own():
    one, _ = run("TST", profile=CORRECTED)
    other, _ = run("TST", profile=CORRECTED._replace(start_phase_in_square=True))
    draw = D.draw(D.clip_key(3, "synthetic", "TST", "L1", IDS[0]), "TST", "L1")
    start = start_phase(draw.key, LENGTH, nominal_rate(draw.rate))
    assert float(start.real.min()) >= 0 and float(start.real.max()) < 1 and 0 <= float(start.imag.min()) < 0.01
    assert abs(float(start.real.mean()) - 0.5) < 0.01 and abs(float(start.imag.mean()) - 0.5) < 0.01
    assert not np.allclose(one, other, atol=0.01)


def test_power_two_halves_levels_in_decibels():
    loud, quiet = WAVES[:1], WAVES[:1] * 0.01
    for power, fall in ((2.0, 20.0), (1.0, 40.0)):
        quirks = CORRECTED._replace(griffin_lim_power=power)
        a, b = (run("TST", w, IDS[:1], profile=quirks)[0] for w in (loud, quiet))
        assert abs(10 * np.log10((a**2).sum() / (b**2).sum()) - fall) < 0.2


def test_published_lengths_of_a_one_second_clip():
    expected = {1.04: 15_360, 1.05: 15_104, 1.08: 14_848, 1.09: 14_592, 1.10: 14_592, 1.11: 14_336}
    drawn = D.draw(D.clip_key(0, "a", "TST", "L1", "b"), "TST", "L1")
    for rate, samples in expected.items():
        shape = jax.eval_shape(
            lambda w, d, rate=rate: C.apply(w, d, corruption="TST", sample_rate=RATE, step=rate),
            jax.ShapeDtypeStruct((16_000,), jnp.float32),
            drawn,
        )
        assert shape.shape == (samples,)


def test_slower_clips_are_cut_at_the_head():
    waves, draws = run("TST", WAVES[:8], IDS[:8], dataset=BOTH_WAYS, profile="corrected")
    assert (draws.rate < 1).any() and (draws.rate > 1).any()
    i = int(np.argmax(draws.rate < 1))
    stretched = np.asarray(time_stretch(jnp.asarray(WAVES[i]), nominal_rate(draws.rate[i]), power=1.0))
    assert len(stretched) > LENGTH
    np.testing.assert_allclose(waves[i], stretched[:LENGTH], atol=3e-2 * np.abs(stretched).max())


def test_short_clips_noise_after_padding_stretch_before():
    lengths = np.array([2_500] * 8 + [300, LENGTH])
    rows = np.stack([lay_out(raw_clip(w, n), LENGTH) for w, n in zip(WAVES, lengths.tolist())])
    noisy, _ = run("WHN", rows, IDS[:10], lengths=lengths)
    head = (LENGTH - 2_500) // 2
    assert np.abs(noisy[0, :head]).mean() > 1e-4
    stretched, draws = run("TST", rows, IDS[:10], lengths=lengths, profile="corrected")
    alone = [
        time_stretch(jnp.asarray(raw_clip(rows[i], 2_500)), nominal_rate(draws.rate[i]), power=1.0) for i in range(8)
    ]
    alone = np.stack([lay_out(np.asarray(wave), LENGTH) for wave in alone])
    # 32 rounds amplify rounding by a factor that varies from clip to clip: in float32 either program is 1e-4 away from
    # the same sum in float64 for half of all clips and up to 4e-2 for one in a hundred. A wrong layout is near 1.
    away = np.sqrt(((stretched[:8] - alone) ** 2).sum(1) / (alone**2).sum(1))
    assert np.median(away) < 1e-3 and away.max() < 8e-2
    # Too short for a transform: stretched inside a frame of silence.
    assert np.isfinite(stretched[8]).all() and 0 < np.abs(stretched[8]).max() < 1


def test_wider_rows_give_the_stretch_what_comes_after():
    wide = RNG.normal(size=(4, LENGTH + 500)).astype(np.float32)
    waves, draws = run("TST", wide, IDS[:4], profile="corrected")
    alone = np.asarray(time_stretch(jnp.asarray(wide[1]), nominal_rate(draws.rate[1]), power=1.0))
    assert waves.shape == (4, LENGTH) and len(alone) > LENGTH
    np.testing.assert_allclose(waves[1], alone[:LENGTH], atol=3e-2 * np.abs(alone).max())
    noisy, drawn = run("WHN", wide, IDS[:4])
    np.testing.assert_allclose(snr_db(wide[:, :LENGTH], noisy), drawn.snr_db, atol=2e-3)


@pytest.mark.parametrize("corruption", C.CORRUPTIONS)
@pytest.mark.parametrize("profile", ["reference", "corrected"])
def test_silence_is_defined(corruption, profile):
    silent = NoiseBank(("A/0",), [np.zeros(9_000, np.float32)], RATE)
    clips = np.stack([np.zeros(LENGTH, np.float32), WAVES[0]])
    waves, _ = run(corruption, clips, IDS[:2], profile=profile, bank=silent)
    assert np.isfinite(waves).all() and not waves[0].any()
    if corruption in NOISE_CORRUPTIONS:
        np.testing.assert_array_equal(waves[1], WAVES[0])


def test_apply_is_vmappable_and_equals_the_set():
    waves, draws = run("END1", level="L2")
    keys = D.clip_keys(3, "synthetic", "END1", "L2", IDS)
    draw = jax.jit(jax.vmap(lambda k: C.draw(k, "END1", "L2", noise_lengths=BANK.lengths, length=LENGTH)))
    drawn = draw(keys)
    np.testing.assert_array_equal(drawn.start, draws.start)
    crops = np.stack(
        [np.take(BANK.waves[i], s + np.arange(LENGTH), mode="wrap") for i, s in zip(draws.noise_index, draws.start)]
    )
    apply = jax.jit(jax.vmap(lambda w, d, n: C.apply(w, d, n, corruption="END1", sample_rate=RATE)))
    mixed = apply(WAVES, drawn, crops)
    np.testing.assert_allclose(mixed, waves, atol=1e-6)


def test_single_clip_reads_its_step_from_the_draw():
    drawn = D.draw(D.clip_key(3, "synthetic", "PSH", "L1", IDS[5]), "PSH", "L1")
    one = C.apply(jnp.asarray(WAVES[5]), drawn, corruption="PSH", sample_rate=RATE)
    np.testing.assert_allclose(run("PSH", WAVES[4:7], IDS[4:7])[0][1], one, atol=2e-4)


def test_bad_requests():
    with pytest.raises(ValueError, match=r"unknown corruption 'NOPE': expected .*\(16 names: --list\)"):
        run("NOPE")
    with pytest.raises(ValueError, match="unknown level 'L9': expected L1 or L2"):
        run("WHN", level="L9")
    with pytest.raises(ValueError, match="unknown profile 'x': expected reference or corrected"):
        run("WHN", profile="x")
    with pytest.raises(ValueError, match="unknown data set 'x': expected"):
        run("WHN", dataset="x")
    with pytest.raises(ValueError, match=r"ENSC needs a noise bank, found none \(see --noise_dir\)"):
        run("ENSC", bank=None)
    with pytest.raises(ValueError, match="the noise bank is at 16000 Hz, expected 44100 Hz"):
        run("ENSC", sample_rate=44_100)
    with pytest.raises(ValueError, match="40 clips and 2 ids"):
        run("WHN", ids=IDS[:2])
    with pytest.raises(ValueError, match="two clips share an id"):
        run("WHN", ids=["a"] * 40)
    drawn = D.draw(D.clip_key(0, "a", "WHN", "L1", "b"), "WHN", "L1")
    with pytest.raises(ValueError, match=r"ENQ needs noise of the clip's length \(4000 samples\), found none"):
        C.apply(jnp.asarray(WAVES[0]), drawn, corruption="ENQ", sample_rate=RATE)
