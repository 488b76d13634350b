"""FLAC and Ogg in processes of their own: the samples of `data.audio.decode`, and an end of every file that hangs."""

import asyncio
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from dhauds_jax.data.audio import decode as decode_file
from dhauds_jax.serve import decode, decoder
from dhauds_jax.serve.failures import Failure
from tests.serve.serving import recording, tone

KINDS = [("FLAC", "PCM_16"), ("FLAC", "PCM_24"), ("OGG", "VORBIS"), ("OGG", "OPUS")]


def stereo(kind, subtype, samples=4_800):
    return recording(np.stack([tone(samples, 0), tone(samples, 1)], 1), 48_000, kind, subtype)


@pytest.mark.parametrize(("kind", "subtype"), KINDS)
def test_samples_are_those_of_a_file(tmp_path, kind, subtype):
    body = stereo(kind, subtype)
    (tmp_path / "a").write_bytes(body)
    ours, theirs = decoder.decode(body, 10.0), decode_file(tmp_path / "a")
    assert ours.wave.tobytes() == theirs.wave.tobytes() and ours[1:] == theirs[1:]
    assert (ours.sample_rate, ours.channels) == (48_000, 2)


FLAC, OGG = stereo("FLAC", "PCM_16"), stereo("OGG", "VORBIS")


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        (FLAC[:4], "damaged", "Format not recognised"),
        (FLAC[: len(FLAC) // 2], "damaged", "lost sync"),
        (OGG[:100], "truncated", "closing page"),
        (OGG[:-1], "truncated", "closing page"),
        (b"OggS" + bytes(100), "truncated", "closing page"),
        (recording(tone(), kind="AIFF"), "format", "a file of format AIFF"),
        (recording(tone(17_000), 1_600, "FLAC"), "too_long", "10.6 s long"),
        (recording(tone(17_000), 1_600, "OGG", "VORBIS"), "too_long", "10.6 s long"),
        (recording(tone(), 500, "FLAC"), "rate", "sample rate 500 Hz"),
    ],
    ids=lambda value: value if isinstance(value, str) else "body",
)
def test_what_cannot_be_decoded_has_its_code(body, code, said):
    with pytest.raises(Failure) as caught:
        decoder.decode(body, 10.0)
    assert caught.value.code == code and said in caught.value.message


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        (b"", "empty", "0 bytes"),
        (b"RIF", "truncated", "a wav of 3 bytes"),
        (b"RIFF\0\0\0\0WA", "truncated", "a wav of 10 bytes"),
        (b"RIFF\0\0\0\0AVI LIST", "format", "another format"),
        (b"ID3\4" + bytes(20), "format", "an mp3"),
        (b"\0\0\0\x20ftypM4A ", "format", "m4a"),
        (b"PK\3\4" + bytes(20), "format", "a zip archive"),
        (b"--boundary\r\nContent-Disposition: form-data", "format", "a form"),
        (b"\x80\4\x95\x10", "format", "another format"),
    ],
)
def test_a_body_is_known_by_its_first_bytes(body, code, said):
    with pytest.raises(Failure) as caught:
        decode.kind(body)
    assert caught.value.code == code and said in caught.value.message
    assert "wav (" in caught.value.expected or code == "truncated"


def test_kinds_that_are_taken():
    assert [decode.kind(body) for body in (recording(tone()), FLAC, OGG)] == ["wav", "flac", "ogg"]


def test_samples_are_bounded_before_they_are_decoded():
    waves = [recording(tone(), subtype=subtype) for subtype in ("PCM_U8", "PCM_24", "FLOAT")]
    assert [decode.samples(body, 10.0) for body in waves] == [2_000] * 3
    assert [decode.samples(FLAC, 10.0), decode.samples(FLAC, 0.01)] == [4_800, 480]
    streamed = FLAC[:21] + bytes([FLAC[21] & 0xF0]) + bytes(4) + FLAC[26:]  # its header tells no length
    assert decode.samples(streamed, 10.0) == 480_000
    assert decode.samples(OGG, 2.0) == decode.samples(stereo("OGG", "OPUS"), 2.0) == 96_000
    assert decode.samples(recording(tone(), 11_025, "OGG", "VORBIS"), 2.0) == 22_050
    assert decode.samples(b"fLaC", 2.0) == decode.samples(b"OggS", 2.0) == 768_000


async def _code_of(work):
    try:
        return await work
    except Failure as failure:
        return failure.code


def test_a_process_that_hangs_or_dies_is_replaced_and_others_go_on():
    async def main():
        pool = decode.Decoders(1, deadline_s=20.0)
        await pool.start()
        try:
            whole = await pool.decode(FLAC, 10.0)
            assert whole.wave.tobytes() == decoder.decode(FLAC, 10.0).wave.tobytes()
            assert await _code_of(pool.decode(OGG[:100], 10.0)) == "truncated" and pool.kills == 0
            (process,) = pool._all
            os.kill(process.pid, signal.SIGSTOP)  # as libsndfile hangs at some headers
            pool.deadline_s = 0.2
            assert await _code_of(pool.decode(FLAC, 10.0)) == "decoder_time" and pool.kills == 1
            pool.deadline_s = 20.0
            left = asyncio.create_task(pool.decode(FLAC, 10.0))  # a client that leaves: the process goes on
            await asyncio.sleep(0)
            left.cancel()
            again = await pool.decode(OGG, 10.0)
            assert len(again.wave) == 4_800 and pool.kills == 1
            (other,) = pool._all
            assert other.pid != process.pid
            os.kill(other.pid, signal.SIGKILL)
            await other.wait()
            assert len((await pool.decode(FLAC, 10.0)).wave) == 4_800 and pool.kills == 1  # it died alone
            (last,) = pool._all
            os.kill(last.pid, signal.SIGSTOP)
            slow = asyncio.create_task(_code_of(pool.decode(FLAC, 10.0)))
            while pool._free.qsize():
                await asyncio.sleep(0)
            os.kill(last.pid, signal.SIGPROF)  # as the system does when its time of the processor is over
            os.kill(last.pid, signal.SIGCONT)
            assert await slow == "decoder_time" and pool.kills == 2
            assert len((await pool.decode(FLAC, 10.0)).wave) == 4_800
        finally:
            await pool.stop()
        assert not pool._all

    asyncio.run(main())


def test_a_decoder_that_cannot_be_started_is_no_file_s_fault(monkeypatch):
    async def none(*_, **__):
        raise OSError("no process")

    async def main():
        pool = decode.Decoders(1)
        await pool.start()
        assert [await _code_of(pool.decode(FLAC, 10.0)) for _ in range(2)] == ["not_ready"] * 2 and pool.kills == 0
        await pool.stop()

    monkeypatch.setattr(asyncio, "create_subprocess_exec", none)
    asyncio.run(main())


def test_a_body_has_seconds_of_the_processor_of_its_own():
    code = (
        "import signal, time\n"
        "from dhauds_jax.serve import decoder\n"
        "decoder.CPU_S = 0.05\n"
        "decoder._limit_cpu()\n"
        "while True: pass\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=300)
    assert done.returncode == -signal.SIGPROF and done.returncode in decode.OUT_OF_TIME


@pytest.mark.slow
def test_a_process_can_write_no_file_and_takes_no_more_memory_than_it_may(tmp_path):
    code = (
        "import signal, sys\n"
        "import numpy as np\n"
        "from dhauds_jax.serve import decoder\n"
        "decoder._limit()\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "try:\n"
        # Well beyond: a library's thread that ends meanwhile gives its stack of 8 MB back.
        "    np.zeros(decoder.MEMORY + 2**28, np.uint8)\n"
        "except MemoryError:\n"
        "    print('memory')\n"
        "try:\n"
        "    with open(sys.argv[1], 'wb') as file:\n"
        "        file.write(b'x')\n"
        "except OSError as error:\n"
        "    print(error.strerror)\n"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "a")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.stdout.splitlines() == ["memory", "File too large"], done.stderr
    assert not (tmp_path / "a").stat().st_size
