"""Every format that is read, its ending in any case; the kinds that are not read; what is cut short and what is not."""

import io
import re
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from dhauds_jax.data import audio, formats, headers
from dhauds_jax.data.audio import BadFile, decode, read_audio
from tests.data.test_audio import wav

SAMPLES = 3_200
LAYER_2 = bytes.fromhex("fffd40c0") + bytes(204)
"""A frame of silence in MPEG layer II, which soundfile cannot write: 1,152 samples, mono, 44.1 kHz, 64 kbit/s."""

WRITTEN = {
    ".wav": ("WAV", "PCM_16"),
    ".wave": ("WAVEX", "PCM_24"),
    ".bwf": ("WAV", "PCM_16"),
    ".rf64": ("RF64", "PCM_16"),
    ".w64": ("W64", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".oga": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
    ".aif": ("AIFF", "PCM_16"),
    ".aiff": ("AIFF", "PCM_S8"),
    ".aifc": ("AIFF", "ULAW"),
    ".au": ("AU", "PCM_16"),
    ".snd": ("AU", "FLOAT"),
    ".caf": ("CAF", "PCM_16"),
    ".sph": ("NIST", "PCM_16"),
    ".nist": ("NIST", "PCM_16"),
    ".avr": ("AVR", "PCM_16"),
    ".svx": ("SVX", "PCM_16"),
    ".8svx": ("SVX", "PCM_S8"),
    ".sf": ("IRCAM", "PCM_16"),
    ".ircam": ("IRCAM", "FLOAT"),
    ".paf": ("PAF", "PCM_16"),
    ".fap": ("PAF", "PCM_24"),
    ".pvf": ("PVF", "PCM_16"),
}
NOTHING_TELLS = (".sf", ".ircam", ".paf", ".fap", ".pvf")
"""Their headers do not say how long they are."""
WHOLE_BYTES = [ending for ending in WRITTEN if ending not in (".wave", ".oga")]


@pytest.fixture
def tone():
    rng = np.random.default_rng(0)
    return (0.4 * np.sin(np.arange(SAMPLES) * 0.05) + 0.01 * rng.normal(size=SAMPLES)).astype(np.float32)


def write(path, wave, ending):
    kind, subtype = WRITTEN[ending]
    soundfile.write(path, wave, 16_000, format=kind, subtype=subtype)
    return path


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


@pytest.mark.parametrize("keep", [0.9, 0.5])
@pytest.mark.parametrize("ending", [ending for ending in WRITTEN if ending not in NOTHING_TELLS])
def test_what_is_cut_short_is_refused(tmp_path, tone, ending, keep):
    path = write(tmp_path / f"a{ending}", tone, ending)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole))])
    with pytest.raises(BadFile, match=r"a\.\w+: (truncated, |cannot be read)"):
        read_audio(path, 16_000)


@pytest.mark.parametrize("riff", [None, 0, 0x7FFFF024, 0xFFFFFFFF])
@pytest.mark.parametrize(
    "size", [0, 0x7FFFEFFE, 0x7FFFF000, 0x7FFFFF00, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF - 36, 0xFFFFFFFF]
)
def test_a_wav_from_a_pipe_is_read_to_its_end(tmp_path, size, riff):
    path = wav(tmp_path / "a.wav", struct.pack("<5h", 1, 2, 3, 4, 5), promised=size)
    if riff is not None:
        path.write_bytes(path.read_bytes()[:4] + struct.pack("<I", riff) + path.read_bytes()[8:])
    assert (read_audio(path, 16_000)[0] * 2**15).tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("size", [12, 4_000, 0x7FFF0000, 0x80000004, 0xFFFF0000])
def test_a_wav_of_any_other_size_is_cut_short(tmp_path, size):
    path = wav(tmp_path / "a.wav", struct.pack("<5h", 1, 2, 3, 4, 5), promised=size)
    with pytest.raises(BadFile, match=rf"truncated, its header promises {size} bytes of audio and 10 exist$"):
        decode(path)


INFO = b"LIST" + struct.pack("<I", 10) + b"INFOISFTab"


def test_an_empty_wav_with_a_list_behind_it_is_empty(tmp_path):
    path = wav(tmp_path / "a.wav", b"")
    path.write_bytes(path.read_bytes() + INFO)
    with pytest.raises(BadFile, match="holds no samples") as caught:
        decode(path)
    assert caught.value.kind == "empty"


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("size", [4_000, 0x7FFFF000, 0x4140])
@pytest.mark.parametrize("chunk", [b"LIST", b"junk", b"bext", b"id3 "])
def test_a_chunk_of_odd_length_may_lack_the_byte_behind_it(tmp_path, chunk, size, padded):
    """0x4140 makes printable characters of the size, which must not pass for a name."""
    samples = np.arange(min(size, 0x4140) // 2, dtype=np.int16)
    odd = chunk + struct.pack("<I", 5) + b"abcde" + (b"\0" if padded else b"")
    path = wav(tmp_path / "a.wav", samples.tobytes(), extra=odd, promised=size)
    assert (decode(path).wave * 2**15).tolist() == samples.tolist()
    path.write_bytes(path.read_bytes()[:-2])
    if size < 0x7FFFF000:
        with pytest.raises(
            BadFile, match=rf"truncated, its header promises {size} bytes of audio and {size - 2} exist"
        ):
            decode(path)


@pytest.mark.parametrize("behind", [b"", b"\0", INFO, b"\0" + INFO])
def test_audio_of_odd_length_with_and_without_what_follows(tmp_path, behind):
    path = wav(tmp_path / "a.wav", bytes([128, 0, 192]), bits=8)
    path.write_bytes(path.read_bytes() + behind)
    assert decode(path).wave.tolist() == [0.0, -1.0, 0.5]


def test_a_chunk_before_the_audio_may_be_large(tmp_path):
    odd = b"junk" + struct.pack("<I", (1 << 20) + 1) + bytes((1 << 20) + 1)
    with pytest.raises(BadFile, match=r"cannot be read \(.*'data' chunk"):
        decode(wav(tmp_path / "a.wav", bytes(8), extra=odd))
    assert len(decode(wav(tmp_path / "b.wav", bytes(8), extra=odd + b"\0")).wave) == 4


def streamed(path, wave):
    """A FLAC file whose header does not say how many samples there are."""
    soundfile.write(path, wave, 16_000)
    data = bytearray(path.read_bytes())
    fields = int.from_bytes(data[18:26], "big")
    data[18:26] = (fields - fields % 2**36).to_bytes(8, "big")
    data[26:42] = bytes(16)  # nor their checksum
    path.write_bytes(data)
    return path


def test_a_flac_without_a_length_is_read_to_its_end(tmp_path, monkeypatch):
    wave = 0.1 * np.random.default_rng(0).normal(size=(20_011, 2))
    path = streamed(tmp_path / "a.flac", wave)
    expected = soundfile.read(io.BytesIO(soundfile_bytes(wave)), dtype="float32")[0].mean(axis=1)
    np.testing.assert_array_equal(decode(path).wave, expected)
    monkeypatch.setattr(audio, "MAX_SECONDS", 1)
    with pytest.raises(BadFile, match="longer than 1 s, expected at most that"):
        decode(path)


def soundfile_bytes(wave):
    out = io.BytesIO()
    soundfile.write(out, wave, 16_000, format="FLAC")
    return out.getvalue()


@pytest.mark.parametrize("keep", [0.95, 0.5])
def test_a_flac_without_a_length_that_is_cut_short_is_refused(tmp_path, tone, keep):
    path = streamed(tmp_path / "a.flac", np.tile(tone, 10))
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    with pytest.raises(BadFile, match=r"cannot be read \(Error : flac decoder lost sync\)"):
        decode(path)


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


def test_a_link_to_nothing_says_so(tmp_path):
    (tmp_path / "a.wav").symlink_to(tmp_path / "gone.wav")
    with pytest.raises(BadFile, match=r"a\.wav: a link to a file that is not there$"):
        decode(tmp_path / "a.wav")


def test_sizes_of_bytes_are_those_of_the_file(tmp_path, tone):
    for ending in (".au", ".caf", ".w64", ".sph", ".aif"):
        path = write(tmp_path / f"a{ending}", tone, ending)
        assert headers.look(path) == headers.Look()._replace(begin=headers.look(path).begin)
        path.write_bytes(path.read_bytes()[:-2])
        assert headers.look(path).missing.startswith("its header promises 640") or ending == ".caf"


@pytest.mark.parametrize("other", [0.0, 0.5, -0.5, -0.9, -1.0])
def test_channels_that_cancel_are_said(tmp_path, tone, other):
    soundfile.write(tmp_path / "a.wav", np.stack([tone, other * tone], 1), 16_000, subtype="FLOAT")
    read, (_, notices) = decode(tmp_path / "a.wav"), read_audio(tmp_path / "a.wav", 16_000)
    # In units of the first channel's RMS: |1 + other| / 2 against sqrt((1 + other^2) / 2), at -0.9 0.05 against 0.95.
    assert read.cancels == (other <= -0.9) and ("that cancel" in " ".join(notices)) == read.cancels
    np.testing.assert_allclose(read.wave, (1 + other) / 2 * tone, atol=1e-7)


def test_silent_and_independent_channels_do_not_cancel(tmp_path):
    for channels in (2, 32):
        noise = 0.1 * np.random.default_rng(0).normal(size=(4_000, channels))
        for wave in (0 * noise, noise):
            soundfile.write(tmp_path / "a.wav", wave, 16_000, subtype="PCM_16")
            assert not decode(tmp_path / "a.wav").cancels


def test_channels_beyond_what_can_be_squared_do_not_cancel(tmp_path, tone):
    soundfile.write(tmp_path / "a.wav", 1e30 * np.stack([tone, tone], 1), 16_000, subtype="FLOAT")
    read = decode(tmp_path / "a.wav")
    assert not read.cancels and read.peak == pytest.approx(1e30 * np.abs(tone).max())


@pytest.mark.parametrize(("scale", "said"), [(1.2, False), (2.0, True), (32_768.0, True)])
def test_floats_far_beyond_full_scale_are_said_and_left_as_they_are(tmp_path, tone, scale, said):
    wave = scale * tone / np.abs(tone).max()
    soundfile.write(tmp_path / "a.wav", wave, 16_000, subtype="FLOAT")
    read, notices = read_audio(tmp_path / "a.wav", 16_000)
    np.testing.assert_array_equal(read, wave)
    assert [str(notice) for notice in notices] == ["samples far beyond full scale (1)"] * said
    assert [notice.value for notice in notices] == pytest.approx([scale] * said)


def test_the_documentation_has_every_ending_that_is_read():
    page = (Path(__file__).resolve().parents[2] / "docs" / "data.md").read_text()
    table = page.partition("\n## Reading\n")[2].partition("|---|---|---|\n")[2].partition("\n\n")[0]
    named = [ending for line in table.splitlines() for ending in re.findall(r"`(\.\w+)`", line.split("|")[1])]
    assert sorted(named) == sorted(formats.READ) and f"({len(WRITTEN)} endings, " in page


@pytest.mark.parametrize(
    ("ending", "size"),
    [(".au", b"\xff" * 4), (".aif", struct.pack(">I", 0x7F000008))],
)
def test_other_formats_that_do_not_say_how_long_they_are_are_read_to_their_end(tmp_path, tone, ending, size):
    path = write(tmp_path / f"a{ending}", tone, ending)
    expected, data = decode(path).wave, path.read_bytes()
    place = {".au": 8, ".aif": data.find(b"SSND") + 4}[ending]
    path.write_bytes(data[:place] + size + data[place + len(size) :])
    assert headers.look(path).missing == ""
    np.testing.assert_array_equal(decode(path).wave, expected)
