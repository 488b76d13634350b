"""Networks whose short clips are repeated: corrupted as recorded, then repeated, by every loader alike."""

import numpy as np
import pytest
import soundfile

from dhauds_jax.cells import targets
from dhauds_jax.data import corruptions as C
from dhauds_jax.data import recordings, sets
from dhauds_jax.data.corruptions.noise import NoiseBank
from dhauds_jax.data.layout import lay_out
from dhauds_jax.model import sounds
from dhauds_jax.nets import zoo

RATE, LENGTH = 16_000, 4_000
OWN = np.array([1_900, 1_000, 4_000, 2_500, 1_333])
RNG = np.random.default_rng(0)
WAVES = [(RNG.normal(size=n) * np.hanning(n) * 0.2).astype(np.float32) for n in OWN]
ROWS = np.stack([lay_out(wave, LENGTH + 500) for wave in WAVES])
IDS = [f"{i}.wav" for i in range(len(OWN))]
BANK = NoiseBank(("A/0", "B/0"), [RNG.normal(size=n).astype(np.float32) for n in (9_000, 1_500)], RATE)
READ_AS = {"layout": "repeat_pad", "resampler": "soxr_hq"}


def corrupted(corruption, rows=slice(None), layout="repeat_pad"):
    options = {"dataset": sets.get("synthetic"), "level": "L2", "seed": 3, "sample_rate": RATE, "length": LENGTH}
    of = {"lengths": OWN[rows], "layout": layout, "bank": BANK, "profile": "corrected"}
    return C.corrupt(ROWS[rows], IDS[rows], corruption=corruption, **options, **of)


def snr_db(clean, mixed):
    noise = mixed.astype(np.float64) - clean
    return 10 * np.log10((clean.astype(np.float64) ** 2).sum() / (noise**2).sum())


@pytest.mark.parametrize("corruption", ["WHN", "ENQ", pytest.param("PSH", marks=pytest.mark.slow)])
def test_a_clip_is_corrupted_then_repeated(corruption):
    waves, _ = corrupted(corruption)
    for row, own, clean in zip(waves, OWN, WAVES, strict=True):
        assert row.tobytes() == lay_out(row[:own], LENGTH, layout="repeat_pad").tobytes()
        assert np.abs(row[:own] - clean).max() > 0.01
    some, _ = corrupted(corruption, slice(1, 3))
    assert some.tobytes() == waves[1:3].tobytes()


def test_the_ratio_is_that_of_the_clips_own_samples():
    waves, draws = corrupted("ENQ")
    measured = [snr_db(clean, row[: len(clean)]) for clean, row in zip(WAVES, waves, strict=True)]
    np.testing.assert_allclose(measured, draws.snr_db, atol=2e-3)
    white, draws = corrupted("WHN")
    measured = [snr_db(clean, row[: len(clean)]) for clean, row in zip(WAVES, white, strict=True)]
    # White noise over the whole row: a piece of it and of the repeated clip is a little louder or softer.
    np.testing.assert_allclose(measured, draws.snr_db, atol=1.5)
    np.testing.assert_allclose(measured[2], draws.snr_db[2], atol=2e-3)


@pytest.mark.slow
def test_a_stretched_clip_is_repeated_at_its_new_length():
    waves, draws = corrupted("TST")
    centred, _ = corrupted("TST", layout="centre")
    for row, middle, rate, own in zip(waves, centred, draws.rate, OWN, strict=True):
        samples = min(LENGTH, 256 * (int(np.ceil((max(own, 1_024) // 256 + 1) / round(float(rate), 2))) - 1))
        head = (LENGTH - samples) // 2
        assert row.tobytes() == lay_out(middle[head : head + samples], LENGTH, layout="repeat_pad").tobytes()


def test_clips_that_fill_their_row_are_as_ever():
    np.testing.assert_array_equal(corrupted("WHN", slice(2, 3))[0], corrupted("WHN", slice(2, 3), "centre")[0])


@pytest.fixture
def config():
    preset = zoo.preset("amaut_tiny", ("a", "b"))
    return preset.replace(length=LENGTH, front_end={**preset.front_end, **READ_AS})


def test_recordings_and_arrays_are_read_as_the_config_says(config, tmp_path):
    short = (RNG.normal(size=4_410 // 2) * 0.1).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", short, 44_100, subtype="FLOAT")
    (row,) = sounds.read(tmp_path, config).waves
    own = np.flatnonzero(row)[-1] + 1
    assert own == 5 * 800 and row.tobytes() == np.tile(row[:800], 5).tobytes()
    (from_array,) = sounds.read(short, config, rate=44_100).waves
    assert from_array.tobytes() == row.tobytes()
    found = recordings.load(tmp_path, sample_rate=RATE, length=LENGTH)
    assert not found.waves[0, :1_500].any()
    assert found.spans.tolist() == sounds.read(tmp_path, config).spans.tolist()
    (again,) = recordings.load(tmp_path, sample_rate=RATE, length=LENGTH, **READ_AS).waves
    assert again.tobytes() == row.tobytes()


def test_cells_are_laid_out_as_the_config_says(config, tmp_path, capsys):
    for name in ("train/a", "test/a", "train/b", "test/b"):
        (tmp_path / name).mkdir(parents=True)
        soundfile.write(tmp_path / name / "x.wav", WAVES[1], RATE, subtype="FLOAT")
    loaded = targets.load("folder", str(tmp_path), "test", config)
    assert (loaded.layout, loaded.resampler) == ("repeat_pad", "soxr_hq")
    expected = lay_out(WAVES[1], LENGTH, layout="repeat_pad")
    assert [row.tobytes() for row in targets.laid_out(loaded)[0]] == [expected.tobytes()] * 2
    noise = targets.once(lambda: targets.Noise(None, None))
    drawn = targets.corrupted(loaded, "WHN", "L1", seed=0, profile="corrected", noise=noise).waves()
    assert all(row.tobytes() == np.tile(row[:1_000], 4).tobytes() for row in drawn)
    assert "split test of folder: 2 clips" in capsys.readouterr().out
