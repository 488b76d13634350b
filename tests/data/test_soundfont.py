"""Reading and playing SoundFonts, on one that the tests write: a looped sine of 500 Hz."""

import sys

import numpy as np
import pytest

from dhauds_jax.data import soundfont
from dhauds_jax.data.soundfont import Note
from dhauds_jax.errors import BadInput
from tests.data.fakes import soundfont as fake

PLAYS = "tinysoundfont is not installed"


def test_melodic_programs_are_those_of_bank_0_in_order(tmp_path):
    font = fake.soundfont(tmp_path / "a.sf2", ((9, 0, "Late"), (0, 128, "Drums"), (2, 0, "Early"), (2, 1, "Variant")))
    assert soundfont.programs_of(font) == {2: "Early", 9: "Late"}
    assert soundfont.find_font(tmp_path, "x") == soundfont.find_font(font, "x") == font


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: b"RIFX" + data[4:], r"a\.sf2: is no SoundFont \(no RIFF file of kind sfbk\)"),
        (lambda data: data[:5], r"is no SoundFont"),
        (lambda data: data[: data.find(b"phdr") + 30], r"its list of programs \(phdr\) is missing or cut short"),
        (lambda data: data.replace(b"phdr", b"phxx"), r"is missing or cut short"),
    ],
)
def test_damaged_files_are_said(tmp_path, spoil, message):
    font = fake.soundfont(tmp_path / "a.sf2")
    font.write_bytes(spoil(font.read_bytes()))
    with pytest.raises(BadInput, match=message):
        soundfont.programs_of(font)


def test_a_font_of_drums_and_folders_of_none_or_two(tmp_path):
    with pytest.raises(BadInput, match=r"holds 0 SoundFonts \(\.sf2\), expected one; give the file itself"):
        soundfont.find_font(tmp_path, "x")
    font = fake.soundfont(tmp_path / "b.sf2", ((0, 128, "Drums"),))
    with pytest.raises(BadInput, match="holds no program of bank 0"):
        soundfont.programs_of(font)
    fake.soundfont(tmp_path / "A.SF2")
    with pytest.raises(BadInput, match=r"holds 2 SoundFonts \(the first: A\.SF2\)"):
        soundfont.find_font(tmp_path, "x")
    with pytest.raises(BadInput, match=r"x needs --data_dir, a SoundFont"):
        soundfont.find_font(None, "x")


def test_without_the_renderer_the_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "tinysoundfont", None)
    with pytest.raises(BadInput, match=r"needs tinysoundfont .*: pip install --no-deps tinysoundfont"):
        soundfont.check_renderer()


def test_a_note_has_its_pitch_its_length_and_its_loudness(tmp_path):
    pytest.importorskip("tinysoundfont", reason=PLAYS)
    font = fake.soundfont(tmp_path / "a.sf2")
    notes = [Note(0, 71, 127), Note(5, 83, 127), Note(0, 71, 64)]
    waves = list(soundfont.render(font, notes, 16_000))
    assert [wave.shape for wave in waves] == [(64_000,)] * 3 and waves[0].dtype == np.float32
    for wave, pitch in zip(waves, (500, 1_000, 500)):
        held = np.abs(np.fft.rfft(wave[:32_000]))  # 0.5 Hz a bin
        assert abs(np.argmax(held) / 2 - pitch) <= 1
        assert np.abs(wave[8_000:40_000]).max() > 100 * np.abs(wave[-8_000:]).max()  # released, then gone
    ratio = np.std(waves[2][8_000:40_000]) / np.std(waves[0][8_000:40_000])
    assert ratio == pytest.approx(64 / 127, rel=1e-4)  # this renderer's curve
    assert "pyaudio" not in sys.modules


def test_a_note_sounds_the_same_after_others(tmp_path):
    pytest.importorskip("tinysoundfont", reason=PLAYS)
    font = fake.soundfont(tmp_path / "a.sf2")
    notes = [Note(0, 60, 90), Note(5, 100, 127), Note(0, 21, 25)]
    together = list(soundfont.render(font, notes, 16_000))
    for note, wave in zip(notes, together):
        np.testing.assert_array_equal(next(soundfont.render(font, [note], 16_000)), wave)
