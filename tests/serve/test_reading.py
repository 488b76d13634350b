"""What is served is what `recordings` reads: the same windows, times and sentences."""

import base64

import numpy as np
import pytest
import soundfile

from dhauds_jax.data import recordings
from dhauds_jax.serve import wav
from dhauds_jax.serve.reading import Wanted, heard, held_bytes
from dhauds_jax.serve.spectrogram import BINS, FRAMES, spectrogram
from tests.serve.serving import recording, tone


@pytest.mark.parametrize(
    ("rate", "resampler"), [(8_000, "sinc"), (44_100, "sinc"), (44_100, "soxr_hq"), (44_100, "kaiser_best")]
)
@pytest.mark.parametrize("seconds", [0.3, 2.4])
def test_windows_are_those_of_recordings(tmp_path, rate, resampler, seconds):
    wave = np.stack([tone(round(seconds * rate), seed) for seed in (0, 1)], 1)
    soundfile.write(tmp_path / "a.wav", wave, rate, subtype="PCM_24")
    same = {"sample_rate": 16_000, "length": 16_000, "overlap": 0.25, "resampler": resampler}
    theirs = recordings.load(tmp_path, **same, on_bad_file="stop")
    body = (tmp_path / "a.wav").read_bytes()
    ours = heard(wav.read(body, 10.0), Wanted(16_000, 16_000, overlap=0.25, resampler=resampler))
    assert ours.windows.shape == theirs.waves.shape == (1 if seconds < 1 else 3, 16_000)
    assert np.abs(ours.windows - theirs.waves).max() < 1e-6
    assert np.array_equal(ours.spans, theirs.spans) and ours.seconds == theirs.seconds[0]
    said = {notice.partition(": ")[2] for notice in theirs.notices}
    assert said == {message for code, message in ours.notices if code in ("mixed_down", "resampled")}


@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("samples", [1, 1_999, 2_000, 2_001, 16_000, 12_345])
def test_bytes_are_known_before_they_are_made(samples, overlap):
    wanted = Wanted(8_000, 2_000, overlap=overlap)
    for rate in (8_000, 11_025, 4_000):
        sound = wav.read(recording(tone(samples), rate), 10.0)
        found, told = heard(sound, wanted), held_bytes(sound, wanted)
        assert found.windows.nbytes + found.wave.nbytes == told


def codes(wave, rate=8_000, subtype="FLOAT", **wanted):
    body = recording(np.float32(wave), rate, subtype=subtype)
    return dict(heard(wav.read(body, 10.0), Wanted(8_000, 2_000, **wanted)).notices)


def test_what_was_done_to_a_recording_is_said():
    assert codes(tone()) == {}
    assert codes(tone(1_000)) == {"padded": "0.125 s is less than the network's 0.25 s: padded with silence"}
    assert codes(tone(1_000), layout="repeat_pad")["padded"].endswith("repeated and padded with silence")
    assert codes(np.zeros(2_000)) == {"silent": "silent: a label of silence says nothing"}
    assert list(codes(np.clip(9 * tone(), -1, 1))) == ["clipped"]
    assert "30" in codes(np.append(tone(), 30.0))["loud"]
    assert list(codes(np.stack([tone(), -tone()], 1))) == ["mixed_down", "cancelling", "silent"]
    assert codes(tone(16_000), 16_000) == {"resampled": "resampled from 16000 Hz to 8000 Hz"}


@pytest.mark.parametrize("samples", [1, 300, 16_000, 999_999])
def test_a_spectrogram_is_small_and_has_its_peak_where_the_tone_is(samples):
    found = spectrogram(np.sin(2 * np.pi * 1_000 * np.arange(samples) / 16_000).astype(np.float32), 16_000)
    levels = np.frombuffer(base64.b64decode(found["levels"]), np.uint8).reshape(found["frames"], found["bins"])
    assert found["frames"] <= FRAMES and found["bins"] == BINS and levels.max() == 255
    assert found["seconds"] * 16_000 >= samples and found["hz"] == 8_000
    if samples > 10_000:
        assert abs((levels[5:-5].argmax(1) + 0.5) * 8_000 / BINS - 1_000).max() < 65
        assert -3 < found["loudest_db"] < 0.5
