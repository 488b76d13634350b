"""Every format that is read, its ending in any case; the kinds that are not read, and what is said of them."""

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from dhauds_jax.data import formats
from dhauds_jax.data.audio import BadFile, decode
from tests.data import kinds
from tests.data.kinds import NOTHING_TELLS, SAMPLES, WRITTEN, write

LAYER_2 = bytes.fromhex("fffd40c0") + bytes(204)
"""A frame of silence in MPEG layer II, which soundfile cannot write: 1,152 samples, mono, 44.1 kHz, 64 kbit/s."""


@pytest.fixture
def tone():
    return kinds.tone()


@pytest.mark.parametrize("ending", WRITTEN)
@pytest.mark.parametrize("capital", [False, True])
def test_every_format_is_read_under_its_own_name_and_under_another(tmp_path, tone, ending, capital):
    path = write(tmp_path / f"a{ending.upper() if capital else ending}", tone, ending)
    assert formats.can_be_read(path)
    read = decode(path)
    assert (read.sample_rate, read.channels) == (16_000, 1)
    lossy = {".ogg": 0.1, ".oga": 0.1, ".mp3": 0.2, ".opus": 0.2, ".aiff": 2**-7, ".8svx": 2**-7, ".aifc": 0.02}
    assert len(read.wave) == SAMPLES and np.abs(read.wave - tone)[200:-200].max() <= lossy.get(ending, 2**-15)
    path.rename(tmp_path / "b.wav")
    np.testing.assert_array_equal(decode(tmp_path / "b.wav").wave, read.wave)


def test_the_table_of_endings_is_all_that_is_tried_here():
    assert {*WRITTEN, ".mp2"} == set(formats.READ) and not formats.NOT_READ & set(formats.READ)
    assert {kind for kind, _ in WRITTEN.values()} == formats.CONTENTS


def test_mpeg_layer_2_is_read(tmp_path):
    path = tmp_path / "a.mp2"
    path.write_bytes(LAYER_2 * 12)
    read = decode(path)
    assert read.sample_rate == 44_100 and len(read.wave) == 12 * 1_152 and not read.wave.any()


@pytest.mark.parametrize(
    ("name", "head", "said"),
    [
        ("a.m4a", b"\0\0\0\x20ftypM4A ", "is MPEG-4 (m4a, mp4)"),
        ("a.wav", b"\0\0\0\x20ftypM4A ", "is MPEG-4 (m4a, mp4)"),
        ("a.wma", bytes.fromhex("3026b2758e66cf11"), "is Windows Media (wma)"),
        ("a.webm", bytes.fromhex("1a45dfa3"), "is Matroska (webm, mka)"),
        ("a.amr", b"#!AMR\n", "is AMR"),
        ("a.aac", b"\xff\xf1\x50\x80", "is AAC"),
    ],
)
def test_a_kind_that_is_not_read_is_told_by_its_content(tmp_path, name, head, said):
    path = tmp_path / name
    path.write_bytes(head + bytes(200))
    ending = path.suffix
    with pytest.raises(BadFile) as caught:
        decode(path)
    expected = "expected a wav, flac, ogg or mp3 file"
    convert = f"convert with ffmpeg -i NAME{ending} NEW.wav"
    assert caught.value.reason == f"{said}, which cannot be read, {expected}; {convert}"


@pytest.mark.parametrize("name", ["a.au", "a.snd", "a.gsm", "a.vox", "a.wav"])
def test_a_text_is_no_audio_whatever_its_name(tmp_path, name):
    """libsndfile takes any file for raw audio that has one of the first four endings."""
    (tmp_path / name).write_text("nothing that could be heard, " * 20)
    with pytest.raises(
        BadFile, match=r"cannot be read \(Format not recognised\), expected a wav, flac, ogg or mp3 file$"
    ):
        decode(tmp_path / name)


def test_a_format_that_is_not_in_the_table_is_named(tmp_path, tone):
    soundfile.write(tmp_path / "a.voc", tone, 16_000)
    assert formats.has_sound("a.voc") and not formats.can_be_read("a.voc")
    with pytest.raises(BadFile, match=r"is in format VOC, .* mp3 file; convert with ffmpeg -i NAME\.voc NEW\.wav$"):
        decode(tmp_path / "a.voc")


def test_what_is_left_out_is_counted_by_kind_with_what_to_do(tmp_path):
    names = ["cat/b.M4A", "cat/a.m4a", "dog/x.wma", "dog/c.m4a"]
    assert formats.left_out([tmp_path / name for name in names], tmp_path) == (
        "3 .m4a files were left out (the first: cat/a.m4a): convert with ffmpeg -i NAME.m4a NAME.wav",
        "1 .wma file was left out (the first: dog/x.wma): convert with ffmpeg -i NAME.wma NAME.wav",
    )
    assert formats.left_out([], tmp_path) == ()
    assert formats.left_out([tmp_path / "a.raw"], tmp_path) == (
        "1 .raw file was left out (the first: a.raw): convert with ffmpeg -f s16le -ar RATE -i NAME.raw NAME.wav",
    )


def test_all_that_libsndfile_knows_is_read_counted_or_hardly_ever_sound():
    """Before, AVR, IRCAM, PAF, PVF, SVX, XI, HTK, WVE, SDS, SD2 and raw files were passed over without a word."""
    endings = {"HTK": ".htk", "SD2": ".sd2", "SDS": ".sds", "VOC": ".voc", "WVE": ".wve", "XI": ".xi", "RAW": ".raw"}
    for kind in soundfile.available_formats():
        read = kind in formats.CONTENTS
        counted = endings.get(kind) in formats.NOT_READ
        assert read != counted or kind in ("MAT4", "MAT5", "MPC2K"), kind  # the last: .snd, whose content is named
    assert not formats.has_sound("labels.mat")


def test_a_stereo_file_of_the_new_formats_is_whole(tmp_path, tone):
    for ending in (".avr", *NOTHING_TELLS):
        path = write(tmp_path / f"a{ending}", np.stack([tone, 0 * tone], 1), ending)
        read = decode(path)
        assert read.channels == 2 and np.abs(read.wave - tone / 2).max() < 2**-15 and len(read.wave) == SAMPLES


def test_the_documentation_has_every_ending_that_is_read():
    page = (Path(__file__).resolve().parents[2] / "docs" / "data.md").read_text()
    table = page.partition("\n## Reading\n")[2].partition("|---|---|---|\n")[2].partition("\n\n")[0]
    named = [ending for line in table.splitlines() for ending in re.findall(r"`(\.\w+)`", line.split("|")[1])]
    assert sorted(named) == sorted(formats.READ) and f"({len(WRITTEN)} endings, " in page
