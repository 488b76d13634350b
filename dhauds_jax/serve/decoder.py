"""The process that decodes FLAC and Ogg for the service: whatever a file does to libsndfile, it does it here.

`python -m dhauds_jax.serve.decoder` reads bodies from stdin and writes waveforms to stdout until stdin ends. It can
write no file, and a file that takes more memory or time than its limits ends it; `decode.Decoders` starts another.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import struct
import sys
from io import BufferedIOBase

import numpy as np

from dhauds_jax.data import headers, opening
from dhauds_jax.data.audio import Decoded
from dhauds_jax.data.mixdown import Mixdown
from dhauds_jax.serve import wav
from dhauds_jax.serve.failures import Failure

REQUEST = struct.Struct("<Qd")
"""Before a body: its bytes, and the seconds that it may last."""

REPLY = struct.Struct("<QQ")
"""Before a reply: the bytes of its JSON, and those of its waveform (float32)."""

MEMORY = 768 * 2**20
"""Bytes that the process may take beside what its libraries have when it starts."""

CPU_S = 2.0
"""Seconds of processor that one body may take: a busy machine makes no file a slow one."""

KINDS = ("FLAC", "OGG")
"""libsndfile's names of what is decoded."""


def decode(body: bytes, longest: float) -> Decoded:
    """What `data.audio.decode` gives of a FLAC or Ogg file.

    Args:
      body: all of it.
      longest: seconds that it may last at the most.

    Raises:
      Failure: as of `wav.read`, or it is damaged.
    """
    import soundfile

    look = headers.look_into(io.BytesIO(body), len(body))
    if look.missing:
        raise Failure("truncated", f"the file is cut short: {look.missing}", "the whole file")
    found = []
    try:
        with opening.in_memory(body, look) as file:
            if file.format not in KINDS:
                raise Failure("format", f"a file of format {file.format}", "a wav, flac or ogg file")
            wav.check(file.channels, file.samplerate)
            rate, promised, mixed = file.samplerate, file.frames, Mixdown(file.channels)
            told = promised != opening.UNKNOWN
            wav.check_length(promised / rate if told else 0.0, longest)
            for block in opening.blocks_of(file, promised, mixed.channels):
                found.append(mixed.add(block))
                wav.check_length(mixed.samples / rate, longest)
    except (soundfile.LibsndfileError, soundfile.SoundFileRuntimeError, ValueError) as error:
        said = str(getattr(error, "error_string", "it cannot be decoded")).strip().rstrip(".")
        raise Failure(
            "damaged", f"the file is damaged ({said})", "a wav, flac or ogg file that can be played"
        ) from error
    if told and mixed.samples < promised:
        held = f"its header promises {promised} samples and {mixed.samples} could be read"
        raise Failure("truncated", f"the file is cut short: {held}", "the whole file")
    if not mixed.samples:
        raise Failure("empty", "the file holds no samples", "at least one")
    if bad := mixed.samples * mixed.channels - mixed.finite:
        every = mixed.samples * mixed.channels
        raise Failure("not_finite", f"{bad} of {every} samples are NaN or infinite", "finite numbers")
    return Decoded(np.concatenate(found), rate, mixed.channels, mixed.peak, mixed.cancels())


def reply(body: bytes, longest: float) -> bytes:
    """The reply to a body, as `decode.Decoders` reads it."""
    wave = b""
    try:
        found = decode(body, longest)
        wave = np.ascontiguousarray(found.wave, "<f4").tobytes()
        said = {"rate": found.sample_rate, "channels": found.channels, "peak": found.peak, "cancels": found.cancels}
    except Failure as failure:
        said = {"error": (failure.code, failure.message, failure.expected)}
    except MemoryError:
        said = {"error": ("decoder_memory", "decoding takes too much memory", "a shorter recording")}
    text = json.dumps(said).encode()
    return REPLY.pack(len(text), len(wave)) + text + wave


def main() -> None:
    """Decodes until stdin ends."""
    # What a library prints must not come between the replies.
    source, target = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    reply(b"fLaC", 1.0)  # loads libsndfile before the limits
    _limit()
    target.write(REPLY.pack(0, 0))
    target.flush()
    while head := source.read(REQUEST.size):
        _serve(head, source, target)


def _serve(head: bytes, source: BufferedIOBase, target: BufferedIOBase) -> None:
    size, longest = REQUEST.unpack(head)
    _limit_cpu()
    target.write(reply(source.read(size), longest))
    target.flush()


def _limit() -> None:
    """No files, no core dumps, and a bound on memory (where the system has such limits)."""
    import resource

    def limit(kind: int, most: int) -> None:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (most, most))

    limit(resource.RLIMIT_FSIZE, 0)
    limit(resource.RLIMIT_CORE, 0)
    with contextlib.suppress(OSError, ValueError, IndexError):
        with open("/proc/self/statm", encoding="ascii") as sizes:
            now = int(sizes.read().split()[0]) * resource.getpagesize()
        limit(resource.RLIMIT_AS, now + MEMORY)


def _limit_cpu() -> None:
    """Seconds of processor from now on; the system ends a process that takes more."""
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    most = int(used.ru_utime + used.ru_stime) + 2 + int(CPU_S)
    with contextlib.suppress(ValueError, OSError):
        signal.setitimer(signal.ITIMER_PROF, CPU_S)  # SIGPROF ends it
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (most, resource.getrlimit(resource.RLIMIT_CPU)[1]))


if __name__ == "__main__":
    main()
