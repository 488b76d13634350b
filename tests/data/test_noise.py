"""Noise banks: published classes, layouts, crops, stand-ins."""

import numpy as np
import pytest
import soundfile

from dhauds_jax.data.corruptions import noise_folders
from dhauds_jax.data.corruptions.noise import crop, load_bank, synthetic_bank
from dhauds_jax.data.synthetic_noises import KINDS, make_noise

CLASSES = {
    ("ENQ", "L1"): ["HOME", "REVERB", "STREET"],
    ("ENQ", "L2"): ["CAFE", "CAR", "HOME", "REVERB", "STREET"],
    ("END1", "L1"): ["NFIELD", "OOFFICE", "PRESTO", "TCAR"],
    ("END1", "L2"): ["DKITCHEN", "NFIELD", "OOFFICE", "PRESTO", "STRAFFIC", "TCAR"],
    ("END2", "L1"): ["DLIVING", "OHALLWAY", "SPSQUARE", "TMETRO"],
    ("END2", "L2"): ["DLIVING", "NRIVER", "OHALLWAY", "PSTATION", "SPSQUARE", "TMETRO"],
    ("ENSC", "L1"): ["exercise_bike", "pink_noise", "running_tap", "white_noise"],
    ("ENSC", "L2"): [
        *("doing_the_dishes", "dude_miaowing", "exercise_bike", "pink_noise", "running_tap", "white_noise")
    ],
}
PER_CLASS = {"ENQ": 4, "END1": 16, "END2": 16, "ENSC": 1}


@pytest.fixture(scope="module")
def noise_dir(tmp_path_factory):
    """All corpora in their published layouts, every recording a constant that tells it apart."""
    root = tmp_path_factory.mktemp("noise")
    for name in CLASSES["ENQ", "L2"]:
        for take in range(4):
            write(root / "QUT-NOISE" / f"{name}-{take}.wav", 48_000, channels=2)
    for name in [*CLASSES["END1", "L2"], *CLASSES["END2", "L2"], "TBUS"]:
        for channel in range(1, 17):
            write(root / "DEMAND_16k" / name / f"ch{channel:02d}.wav", 16_000)
    for name in CLASSES["ENSC", "L2"]:
        write(root / "_background_noise_" / f"{name}.wav", 16_000)
    return root


def write(path, rate, channels=1, samples=480):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full((samples, channels), 0.1), rate)


@pytest.mark.parametrize(("corruption", "level"), CLASSES)
def test_published_classes_sorted(noise_dir, corruption, level):
    bank = load_bank(noise_dir, corruption, level, 16_000)
    classes = CLASSES[corruption, level]
    assert len(bank.names) == len(classes) * PER_CLASS[corruption] == len(bank.waves)
    assert list(bank.names) == sorted(bank.names)
    assert sorted({name.split("/")[0] for name in bank.names}) == classes
    expected = 160 if corruption == "ENQ" else 480
    assert set(bank.lengths.tolist()) == {expected} and bank.lengths.dtype == np.int32


def test_notices_are_counted(noise_dir):
    assert load_bank(noise_dir, "ENQ", "L1", 16_000).notices == (
        "noise: 12 of 12 files: 2 channels mixed down to one",
        "noise: 12 of 12 files: resampled from 48000 Hz to 16000 Hz",
    )
    assert load_bank(noise_dir, "END1", "L1", 16_000).notices == ()


def test_of_ones_own_noises_only_their_corruption_knows_what_is_read(tmp_path):
    (tmp_path / "rain").mkdir()
    soundfile.write(tmp_path / "rain" / "a.wav", np.full(160, 0.1), 16_000)
    soundfile.write(tmp_path / "rain" / "b.flac", np.full(160, 0.1), 16_000)
    assert load_bank(tmp_path, "tests.data.foreign:RAIN", "L1", 16_000).notices == ()


def test_demand_release_nearest_to_the_rate(noise_dir, tmp_path):
    for release, rate in (("DEMAND_16k", 16_000), ("DEMAND_48k", 48_000)):
        for name in CLASSES["END1", "L1"]:
            write(tmp_path / release / name / "ch01.wav", rate)
    assert load_bank(tmp_path, "END1", "L1", 16_000).notices == ()
    assert load_bank(tmp_path, "END1", "L1", 44_100).notices == (
        "noise: 4 of 4 files: resampled from 48000 Hz to 44100 Hz",
    )
    assert load_bank(noise_dir, "END1", "L1", 44_100).notices == (
        "noise: 64 of 64 files: resampled from 16000 Hz to 44100 Hz",
    )


def test_a_release_that_is_not_whole_hides_no_whole_one(tmp_path):
    """Before, one environment in DEMAND_16k refused all of DEMAND_48k beside it."""
    write(tmp_path / "DEMAND_16k" / "NFIELD" / "ch01.wav", 16_000)
    for name in CLASSES["END1", "L1"]:
        write(tmp_path / "DEMAND_48k" / name / "ch01.wav", 48_000)
    bank = load_bank(tmp_path, "END1", "L1", 16_000)
    assert bank.names == tuple(f"{name}/ch01.wav" for name in CLASSES["END1", "L1"])
    assert bank.notices == ("noise: 4 of 4 files: resampled from 48000 Hz to 16000 Hz",)
    with pytest.raises(
        ValueError, match="no recordings of DKITCHEN, OOFFICE, PRESTO, STRAFFIC, TCAR for END1, expected"
    ):
        load_bank(tmp_path, "END1", "L2", 16_000)


@pytest.mark.parametrize("below", ["speech_commands_v0.02", "speech_commands_v0.02/speech_commands_v0.02"])
def test_background_noises_inside_a_speech_commands_folder(tmp_path, below):
    for name in CLASSES["ENSC", "L1"]:
        write(tmp_path / below / "_background_noise_" / f"{name}.wav", 16_000)
    assert load_bank(tmp_path, "ENSC", "L1", 16_000).names[0] == "exercise_bike/exercise_bike.wav"
    assert len(load_bank(tmp_path / below / "_background_noise_", "ENSC", "L1", 16_000).names) == 4


def test_a_macs_hidden_files_are_no_noises_and_capitals_are(tmp_path):
    for place in ("QUT-NOISE/{}-1", "DEMAND_16k/{}/ch01", "_background_noise_/{}"):
        corruption = {"Q": "ENQ", "D": "END1", "_": "ENSC"}[place[0]]
        for name in CLASSES[corruption, "L1"]:
            path = tmp_path / f"{place.format(name)}.WAV"
            write(path, 16_000)
            path.with_name(f"._{path.stem}.wav").write_bytes(b"no audio")
        bank = load_bank(tmp_path, corruption, "L1", 16_000)
        assert [name.split("/")[0] for name in bank.names] == CLASSES[corruption, "L1"]
        assert all(name.endswith(".WAV") for name in bank.names)


@pytest.mark.parametrize(
    ("clip_set", "file"), [("esc50", "ESC-50/audio/1.WAV"), ("cochl_scene", "CochlScene/Val/Bus/1.WAV")]
)
def test_clips_that_are_noise_may_have_capitals(tmp_path, clip_set, file):
    write(tmp_path / file, 16_000)
    (tmp_path / file).with_name("._1.wav").write_bytes(b"no audio")
    (tmp_path / "CochlScene" / "Val").mkdir(parents=True, exist_ok=True)
    (tmp_path / "CochlScene" / "Val" / "notes.txt").write_text("no folder")
    expected = "1.WAV" if clip_set == "esc50" else "Val/Bus/1.WAV"
    assert noise_folders.clips(tmp_path, clip_set, 16_000) == [(expected, tmp_path / file)]


def test_missing_recordings_name_the_folder(tmp_path, noise_dir):
    with pytest.raises(ValueError, match="ENQ needs --noise_dir, the folder that holds QUT-NOISE/<CLASS>"):
        load_bank(None, "ENQ", "L1", 16_000)
    message = r"no recordings of HOME, REVERB, STREET for ENQ, expected QUT-NOISE/<CLASS>\*\.wav"
    with pytest.raises(ValueError, match=message):
        load_bank(tmp_path, "ENQ", "L1", 16_000)
    write(tmp_path / "DEMAND_16k" / "NFIELD" / "ch01.wav", 16_000)
    with pytest.raises(
        ValueError, match="no recordings of OOFFICE, PRESTO, TCAR for END1, expected DEMAND_16k/<CLASS>"
    ):
        load_bank(tmp_path, "END1", "L1", 16_000)
    with pytest.raises(ValueError, match=r"for ENSC, expected _background_noise_/<kind>\.wav"):
        load_bank(tmp_path, "ENSC", "L2", 16_000)
    with pytest.raises(ValueError, match="corruption PSH: mixes in no recordings, expected one that does, such as ENQ"):
        load_bank(noise_dir, "PSH", "L1", 16_000)
    with pytest.raises(ValueError, match="unknown level 'L0': expected L1 or L2"):
        synthetic_bank("ENQ", "L0")


def test_crop_repeats_a_short_recording():
    wave = np.arange(5, dtype=np.float32)
    assert crop(wave, 1, 3).tolist() == [1, 2, 3]
    assert crop(wave, 3, 9).tolist() == [3, 4, 0, 1, 2, 3, 4, 0, 1]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_synthetic_noises(kind):
    wave = make_noise(kind, seed=1, samples=24_000)
    assert wave.shape == (24_000,) and wave.dtype == np.float32
    assert abs(wave.mean()) < 1e-6 and abs(np.sqrt((wave**2).mean()) - 0.05) < 1e-5
    np.testing.assert_array_equal(wave, make_noise(kind, seed=1, samples=24_000))
    assert abs(np.corrcoef(wave, make_noise(kind, seed=2, samples=24_000))[0, 1]) < 0.3


def test_spectra_of_synthetic_noises():
    def octave_db(kind, low):
        power = np.abs(np.fft.rfft(make_noise(kind, seed=0, samples=32_000))) ** 2
        return 10 * np.log10(power[2 * low : 4 * low].sum())  # bins are half a hertz apart

    assert abs(octave_db("white", 2_000) - octave_db("white", 1_000) - 3) < 0.5
    assert abs(octave_db("pink", 2_000) - octave_db("pink", 1_000)) < 0.5
    assert octave_db("hum", 60) - octave_db("hum", 3_800) > 5


def test_above_16_khz_the_44_khz_release_comes_first_and_the_other_where_it_is_alone(tmp_path):
    def found(sample_rate):
        return [path.parent.name for _, path in noise_folders.clips(tmp_path, "vocal_sound", sample_rate)]

    write(tmp_path / "VocalSound" / "audio_16k" / "f0001_0_cough.wav", 16_000)
    assert found(16_000) == found(44_100) == ["audio_16k"]
    write(tmp_path / "VocalSound" / "data_44k" / "f0001_0_cough.wav", 44_100)
    assert (found(16_000), found(44_100)) == (["audio_16k"], ["data_44k"])


def test_unknown_synthetic_noise():
    with pytest.raises(ValueError, match="unknown synthetic noise 'rain', expected one of white, pink, hum, babble"):
        make_noise("rain", seed=0, samples=10)


@pytest.mark.as_shipped
def test_synthetic_banks_have_as_many_classes_and_grow_with_the_level():
    for corruption, counts in {"ENQ": (3, 5), "END1": (4, 6), "END2": (4, 6), "ENSC": (4, 6)}.items():
        small, large = (synthetic_bank(corruption, level, 3, seconds=0.5) for level in ("L1", "L2"))
        assert (len(small.names), len(large.names)) == counts
        assert large.names[: counts[0]] == small.names
        np.testing.assert_array_equal(large.waves[0], small.waves[0])
        assert set(large.lengths.tolist()) == {8_000}
