"""Shifts: spelling of levels, draws, ratios and scales as asked for, noise from whole data sets."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import soundfile

from dhauds_jax.data import corruptions as C
from dhauds_jax.data import sets
from dhauds_jax.data.corruptions import check_cell, example, needs_noise, recorded, uniform
from dhauds_jax.data.corruptions import draws as D
from dhauds_jax.data.corruptions.base import RANDOM_PAD
from dhauds_jax.data.corruptions.noise import NoiseBank, Recordings, load_bank, synthetic_bank
from dhauds_jax.data.layout import lay_out

RATE, LENGTH, CLIPS = 16_000, 4_000, 24
RNG = np.random.default_rng(0)
WAVES = (RNG.normal(size=(CLIPS, LENGTH)) * 0.1).astype(np.float32)
IDS = [f"word/{i}.wav" for i in range(CLIPS)]
MANY = [f"clip/{i}.wav" for i in range(3_000)]
BANK = NoiseBank(("tap",), [RNG.normal(size=9_000).astype(np.float32)], RATE)
CELLS = [("SCN", "running_tap@10dB"), ("CLP", "vocal_sound@3dB"), ("UNI", "0.005")]


def run(corruption, level, waves=WAVES, ids=IDS, **options):
    options = {"seed": 3, "sample_rate": RATE, "length": LENGTH, "bank": BANK, "dataset": "synthetic", **options}
    return C.corrupt(waves, ids, corruption=corruption, level=level, **options)


def drawn(corruption, level, ids=MANY, **options):
    if needs_noise(corruption):
        options = {"noise_lengths": np.array([16_000, 40_000, 5_000]), "length": 16_000, **options}
    return D.draw_set(ids, **{"dataset": "set", "seed": 1, "corruption": corruption, "level": level, **options})


def snr_db(clean, mixed):
    noise = mixed.astype(np.float64) - clean
    return 10 * np.log10((clean.astype(np.float64) ** 2).sum(-1) / (noise**2).sum(-1))


@pytest.fixture(scope="module")
def noise_dir(tmp_path_factory):
    """VocalSound and CochlScene in their published layouts, and the background noises."""
    root = tmp_path_factory.mktemp("noise")
    for i in range(6):
        write(root / "VocalSound" / "audio_16k" / f"f{i:04d}_0_laughter.wav", RNG.normal(size=1_500 + 900 * i) * 0.1)
    for split, scene in (("Train", "Bus"), ("Val", "Bus"), ("Test", "Park"), ("Train", "Cafe")):
        write(root / "CochlScene" / split / scene / f"{scene}_1.wav", RNG.normal(size=44_100) * 0.1, 44_100)
    for take in ("1-17367-A-10", "1-100032-A-0"):
        write(root / "ESC-50" / "audio" / f"{take}.wav", RNG.normal(size=44_100) * 0.1, 44_100)
    for kind in recorded.KINDS:
        write(root / "_background_noise_" / f"{kind}.wav", RNG.normal(size=9_000) * 0.1)
    return root


def write(path, wave, rate=RATE):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, rate)


def test_levels_say_what_is_added():
    assert C.get("SCN").check_level("running_tap@10dB") == ("running_tap", 10.0, False)
    assert C.get("CLP").check_level("cochl_scene@3dB+random_pad") == ("cochl_scene", 3.0, True)
    assert C.get("SCN").check_level("pink_noise@-2.5dB").snr_db == -2.5
    assert uniform.parse("0.0025") == 0.0025
    assert uniform.parse("1+random_pad") == 1.0
    for name in C.SHIFTS:
        check_cell(*example(name).split(":"))


@pytest.mark.parametrize("level", ["tap@3dB", "running_tap", "running_tap@3", "running_tap@3.0dB", "running_tap@dB",
                                   "running_tap@nandB", "running_tap@ 3dB", "vocal_sound@3dB", "L2"])  # fmt: skip
def test_other_spellings_of_a_noise_are_refused(level):
    known = "doing_the_dishes, dude_miaowing, exercise_bike, pink_noise, running_tap, white_noise"
    with pytest.raises(ValueError, match=f"unknown level '{level}' of SCN, expected one of {known}, then @ .*10dB"):
        check_cell("SCN", level)


@pytest.mark.parametrize("level", ["0", "-0.1", ".005", "0.0050", "inf", "L1", "", "0.005dB"])
def test_other_spellings_of_a_scale_are_refused(level):
    with pytest.raises(ValueError, match=f"unknown level '{level}' of UNI, expected a positive number such as 0.005"):
        check_cell("UNI", level)


def test_unknown_names_list_the_shifts_too():
    with pytest.raises(ValueError, match=r"unknown corruption 'GAU': expected WHN, ENQ or END1"):
        D.clip_keys(0, "set", "GAU", "L1", ["a"])
    with pytest.raises(ValueError, match="unknown level 'L3': expected L1 or L2"):
        check_cell("WHN", "L3")
    with pytest.raises(ValueError, match="expected one of cochl_scene, esc50, vocal_sound, then @"):
        check_cell("CLP", "demand@3dB")


@pytest.mark.parametrize(("corruption", "level"), CELLS)
def test_draws_depend_on_names_alone(corruption, level):
    whole = drawn(corruption, level)
    rows = [7, 3, 2_999, 0]
    part = drawn(corruption, level, [MANY[i] for i in rows], dataset="set/44k")
    for name, all_of, some in zip(D.Draw._fields, whole, part):
        if name not in ("key", "choices"):
            np.testing.assert_array_equal(some, all_of[rows])
    np.testing.assert_array_equal(jax.random.key_data(part.key), np.asarray(jax.random.key_data(whole.key))[rows])
    total = D.checksum(MANY, whole, corruption=corruption, level=level)
    back = drawn(corruption, level, MANY[::-1])
    assert D.checksum(MANY[::-1], back, corruption=corruption, level=level) == total
    other = drawn(corruption, level, dataset="set2")
    assert D.checksum(MANY, other, corruption=corruption, level=level) != total


def test_draws_are_pinned():
    # A changed text here means that no shifted set can be made again.
    found = [D.checksum(MANY[:50], drawn(*cell, MANY[:50]), corruption=cell[0], level=cell[1])[:16] for cell in CELLS]
    assert found == ["345ab824a2902007", "0348e2e8078316cd", "a32926320dafeb40"]


def test_which_recording_where_in_it_and_where_in_the_row():
    choices = drawn("CLP", "vocal_sound@3dB+random_pad")
    assert set(choices.snr_db) == {3.0} and set(choices.scale) == {0.0}
    counts = np.bincount(choices.noise_index, minlength=3)
    assert np.abs(counts - 1_000).max() < 5 * np.sqrt(3_000 * 2 / 9)
    start = {i: choices.start[choices.noise_index == i] for i in range(3)}
    assert set(start[0]) == {0} and 0 <= start[1].min() < 200 and 23_800 < start[1].max() <= 24_000
    assert 4_950 < start[2].max() <= 4_999
    assert 0 <= choices.pad.min() < 0.002 and 0.998 < choices.pad.max() < 1
    assert abs(choices.pad.mean() - 0.5) < 5 / np.sqrt(12 * 3_000)
    assert abs(np.corrcoef(choices.pad, choices.start)[0, 1]) < 0.1
    centred = drawn("CLP", "vocal_sound@3dB")
    assert set(centred.pad) == {-1.0}
    assert not np.array_equal(centred.noise_index, choices.noise_index)


def test_records_name_what_was_drawn():
    names = ("a", "b", "c")
    rows = D.records(
        MANY, drawn("CLP", "vocal_sound@3dB"), corruption="CLP", level="vocal_sound@3dB", noise_names=names
    )
    assert set(rows[0]) == {"id", "corruption", "level", "key", "snr_db", "noise_index", "start", "noise"}
    assert rows[0]["snr_db"] == 3.0 and rows[0]["noise"] == names[rows[0]["noise_index"]]
    level = "0.005+random_pad"
    rows = D.records(MANY, drawn("UNI", level), corruption="UNI", level=level)
    assert set(rows[0]) == {"id", "corruption", "level", "key", "scale", "pad"} and rows[0]["scale"] == 0.005
    assert json.loads(json.dumps(rows)) == rows


@pytest.mark.parametrize("level", ["running_tap@10dB", "running_tap@3dB", "running_tap@-2.5dB+random_pad"])
def test_measured_ratio_is_the_one_asked_for(level):
    waves, choices = run("SCN", level)
    np.testing.assert_allclose(snr_db(WAVES, waves), C.get("SCN").check_level(level).snr_db, atol=2e-3)
    for i in (0, 11):
        part = BANK.waves[0][choices.start[i] : choices.start[i] + LENGTH]
        assert np.corrcoef(waves[i] - WAVES[i], part)[0, 1] > 0.999999


@pytest.mark.parametrize("scale", [0.0025, 0.005, 0.5])
def test_uniform_noise_has_the_scale_asked_for(scale):
    silent = np.zeros_like(WAVES)
    noise, _ = run("UNI", f"{scale}", silent)
    # Means of 96,000 samples: within 5 standard deviations.
    assert abs(noise.mean() / scale - 0.5) < 5 / np.sqrt(12 * noise.size)
    np.testing.assert_allclose(noise.var() / scale**2, 1 / 12, rtol=0.02)
    assert 0 <= noise.min() < 1e-3 * scale and 0.999 * scale < noise.max() < scale
    mixed, _ = run("UNI", f"{scale}")
    np.testing.assert_allclose(mixed - WAVES, noise, atol=1e-7)
    centred, _ = run("UNI", f"{scale}", silent, profile="corrected")
    np.testing.assert_allclose(centred, noise - scale / 2, atol=1e-7 * max(1, scale))
    assert abs(np.corrcoef(noise[0], noise[1])[0, 1]) < 0.1


@pytest.mark.as_shipped
@pytest.mark.parametrize(("corruption", "level"), CELLS)
def test_order_size_and_grouping_change_no_bit(corruption, level):
    waves, _ = run(corruption, level)
    rows = np.random.default_rng(1).permutation(CLIPS)
    for part in (rows, rows[:17], rows[17:18]):
        some, _ = run(corruption, level, WAVES[part], [IDS[i] for i in part])
        assert some.tobytes() == waves[part].tobytes()


@pytest.mark.parametrize(("corruption", "level"), [("UNI", "1e-06"), ("SCN", "running_tap@60dB")])
def test_random_pad_puts_a_clip_where_it_was_drawn(corruption, level):
    own = 3_000
    rows = np.stack([lay_out(wave[:own], LENGTH) for wave in WAVES])
    lengths = np.full(CLIPS, own)
    waves, choices = run(corruption, level + RANDOM_PAD, rows, lengths=lengths)
    heads = [int(float(pad) * (LENGTH - own + 1)) for pad in choices.pad]
    assert len(set(heads)) > 20 and 0 <= min(heads) < 250 and 750 < max(heads) <= LENGTH - own
    for wave, clean, head in zip(waves, WAVES, heads):
        np.testing.assert_allclose(wave[head : head + own], clean[:own], atol=1e-3)
        assert np.abs(np.delete(wave, np.s_[head : head + own])).max() < 1e-3
    centred, _ = run(corruption, level, rows, lengths=lengths)
    np.testing.assert_allclose(centred, rows, atol=1e-3)
    assert lay_out(np.ones(2), 5, 0.0).tolist() == [1, 1, 0, 0, 0]
    assert lay_out(np.ones(2), 5, 0.99).tolist() == [0, 0, 0, 1, 1]
    assert lay_out(np.ones(2), 5).tolist() == [0, 1, 1, 0, 0] and lay_out(np.ones(7), 5, 0.5).tolist() == [1] * 5


def test_clips_of_a_data_set_are_noise_short_ones_repeated(noise_dir):
    bank = load_bank(noise_dir, "CLP", "vocal_sound@3dB", RATE)
    assert bank.names == tuple(f"f{i:04d}_0_laughter.wav" for i in range(6)) and isinstance(bank.waves, Recordings)
    assert bank.lengths.tolist() == [1_500 + 900 * i for i in range(6)]
    waves, choices = run("CLP", "vocal_sound@3dB", bank=bank)
    np.testing.assert_allclose(snr_db(WAVES, waves), 3.0, atol=2e-3)
    assert set(choices.noise_index) == set(range(6))
    for i in range(CLIPS):
        recording, _ = soundfile.read(noise_dir / "VocalSound" / "audio_16k" / bank.names[choices.noise_index[i]])
        part = np.take(recording, choices.start[i] + np.arange(LENGTH), mode="wrap")
        assert np.corrcoef(waves[i] - WAVES[i], part)[0, 1] > 0.99999
    long_enough = np.array([n >= LENGTH for n in bank.lengths])[choices.noise_index]
    assert (choices.start + LENGTH <= bank.lengths[choices.noise_index])[long_enough].all()


def test_scenes_are_listed_sorted_and_resampled(noise_dir):
    for place in (noise_dir, noise_dir / "CochlScene"):
        bank = load_bank(place, "CLP", "cochl_scene@10dB", RATE)
        assert bank.names == (
            "Test/Park/Park_1.wav",
            "Train/Bus/Bus_1.wav",
            "Train/Cafe/Cafe_1.wav",
            "Val/Bus/Bus_1.wav",
        )
    assert bank.lengths.tolist() == [16_000] * 4 == [len(wave) for wave in bank.waves]
    for place in (noise_dir, noise_dir / "ESC-50"):
        assert load_bank(place, "CLP", "esc50@10dB", RATE).names == ("1-100032-A-0.wav", "1-17367-A-10.wav")
    waves, _ = run("CLP", "cochl_scene@10dB", bank=bank)
    np.testing.assert_allclose(snr_db(WAVES, waves), 10.0, atol=2e-3)


def test_what_is_done_to_clips_that_are_noise_is_said_of_those_that_are_read(tmp_path):
    """Before, nothing was: of a set that is read one by one only its names were looked at."""
    for i in range(3):
        wave = np.stack([RNG.normal(size=4_000)] * 2, -1) * (50 if i == 1 else 0.1)
        path = tmp_path / "ESC-50" / "audio" / f"{i}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, wave, 44_100, subtype="FLOAT")
    bank = load_bank(tmp_path, "CLP", "esc50@10dB", RATE)
    assert bank.notices == () == bank.later_notices()
    peak = np.abs(soundfile.read(tmp_path / "ESC-50" / "audio" / "1.wav")[0]).max()
    for index in (1, 1, 2):
        bank.waves[index]
    assert sorted(bank.later_notices()) == [
        "noise: 1 of 2 files: samples far beyond full scale (1), taken as they are "
        f"(the largest, {peak:.4g}, in 1.wav); divide by the largest if that is not meant",
        "noise: 2 of 2 files: 2 channels mixed down to one",
        "noise: 2 of 2 files: resampled from 44100 Hz to 16000 Hz",
    ]


def test_only_recordings_that_are_drawn_are_read(noise_dir, tmp_path):
    root = tmp_path / "VocalSound" / "audio_16k"
    for i in range(200):
        write(root / f"{i:03d}.wav", RNG.normal(size=1_000))
    level = "vocal_sound@3dB"
    whole, choices = run("CLP", level, bank=load_bank(tmp_path, "CLP", level, RATE))
    others = sorted(set(range(200)) - set(choices.noise_index.tolist()))
    assert len(others) >= 200 - CLIPS
    for i in others:
        (root / f"{i:03d}.wav").write_bytes(b"not audio")
    again, _ = run("CLP", level, bank=load_bank(tmp_path, "CLP", level, RATE))
    assert again.tobytes() == whole.tobytes()
    broken = root / f"{choices.noise_index[0]:03d}.wav"
    broken.write_bytes(b"not audio")
    with pytest.raises(ValueError, match=broken.name):
        run("CLP", level, bank=load_bank(tmp_path, "CLP", level, RATE))


def test_one_background_noise_is_a_bank(noise_dir):
    bank = load_bank(noise_dir, "SCN", "running_tap@10dB", RATE)
    assert bank.names == ("running_tap/running_tap.wav",) and bank.lengths.tolist() == [9_000]
    assert np.array_equal(bank.waves[0], load_bank(noise_dir, "SCN", "running_tap@3dB", RATE).waves[0])


def test_stand_ins_differ_by_noise():
    banks = [synthetic_bank("SCN", f"{kind}@3dB", seconds=0.1) for kind in ("running_tap", "white_noise", "pink_noise")]
    assert [bank.names for bank in banks] == [("white/0",), ("white/0",), ("pink/0",)]
    assert not np.array_equal(banks[0].waves[0], banks[1].waves[0])
    assert len(synthetic_bank("CLP", "esc50@3dB", seconds=0.4).names) == 3


def test_absent_recordings_are_named(tmp_path, noise_dir):
    with pytest.raises(
        ValueError, match="CLP needs --noise_dir, the folder that holds VocalSound/, CochlScene/ or ESC"
    ):
        load_bank(None, "CLP", "vocal_sound@3dB", RATE)
    with pytest.raises(ValueError, match="no clips of vocal_sound for CLP, expected VocalSound/audio_16k/"):
        load_bank(tmp_path, "CLP", "vocal_sound@3dB", RATE)
    with pytest.raises(ValueError, match="no clips of cochl_scene for CLP, expected CochlScene/"):
        load_bank(tmp_path, "CLP", "cochl_scene@3dB", RATE)
    with pytest.raises(ValueError, match="no recordings of running_tap for SCN, expected _background_noise_/"):
        load_bank(tmp_path, "SCN", "running_tap@3dB", RATE)
    with pytest.raises(ValueError, match="SCN needs a noise bank, found none"):
        run("SCN", "running_tap@3dB", bank=None)
    draw = D.draw(D.clip_key(0, "a", "UNI", "0.5", "b"), "UNI", "0.5")
    with pytest.raises(ValueError, match="CLP needs noise of the clip's length"):
        C.apply(jnp.asarray(WAVES[0]), draw, corruption="CLP", sample_rate=RATE)


def test_variants_of_a_data_set_share_their_draws():
    words = sets.get("synthetic")
    variant = words._replace(name="synthetic/other")
    plain, _ = run("UNI", "0.005", dataset=words)
    assert run("UNI", "0.005", dataset=variant)[0].tobytes() == plain.tobytes()
    key = jax.random.key_data(D.clip_key(1, "set", "WHN", "L1", "a"))
    np.testing.assert_array_equal(jax.random.key_data(D.clip_key(1, "set/v", "WHN", "L1", "a")), key)
