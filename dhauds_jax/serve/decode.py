"""A few processes that decode FLAC and Ogg files (`decoder`): one that takes too long is killed and replaced.

Nothing of a file touches the disk, and what it is called never comes this far.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import numpy as np

from dhauds_jax.data.audio import Decoded
from dhauds_jax.data.opening import MAX_RATE, MIN_RATE
from dhauds_jax.serve import wav
from dhauds_jax.serve.decoder import CPU_S, REPLY, REQUEST
from dhauds_jax.serve.failures import Failure

EXPECTED = f"a wav ({wav.KINDS}), flac or ogg file"
"""What the service takes."""

_OTHERS = (
    (0, b"ID3", "an mp3"),
    (0, b"\xff\xfb", "an mp3"),
    (0, b"\xff\xf3", "an mp3"),
    (4, b"ftyp", "an MPEG-4 file (m4a, mp4)"),
    (0, b"\x1a\x45\xdf\xa3", "a Matroska file (webm)"),
    (0, b"FORM", "an AIFF file"),
    (0, b"RF64", "an RF64 file"),
    (0, b"RIFX", "a RIFX file"),
    (0, b"PK", "a zip archive"),
    (0, b"--", "a form (multipart; curl: --data-binary @FILE in place of -F)"),
    (0, b"{", "JSON"),
)
OUT_OF_TIME = (-signal.SIGPROF, -signal.SIGXCPU)
"""How a process ends that took more of the processor than it may."""

_ROOT = str(Path(__file__).resolve().parents[2])
_START_S = 60.0  # a machine under load may take long to start a process


def kind(body: bytes) -> str:
    """What a body is by its first bytes: "wav", "flac" or "ogg".

    Raises:
      Failure: it is empty or another format.
    """
    if not body:
        raise Failure("empty", "the body is empty (0 bytes)", EXPECTED)
    if wav.is_wav(body):
        return "wav"
    if body[:4] in (b"fLaC", b"OggS"):
        return "flac" if body[:1] == b"f" else "ogg"
    if len(body) < 12 and (b"RIFF".startswith(body[:4]) or body[:4] == b"RIFF"):
        raise Failure("truncated", f"a wav of {len(body)} bytes", "the whole file")
    found = next((name for at, mark, name in _OTHERS if body[at : at + len(mark)] == mark), "another format")
    raise Failure("format", f"the body is {found}", EXPECTED)


def samples(body: bytes, longest: float) -> int:
    """The samples that a body is decoded to, at most, as far as its first bytes tell.

    Args:
      body: all of a file.
      longest: seconds that it may last.

    Raises:
      Failure: as of `kind` and, of a wav, as of `wav.samples`.
    """
    found = kind(body)
    if found == "wav":
        return wav.samples(body, longest)
    rate, promised = MAX_RATE, 0
    if found == "flac" and len(body) >= 26 and not body[4] & 127:  # STREAMINFO: 20 bits of rate, 36 of samples
        rate = int.from_bytes(body[18:21]) >> 4
        promised = int.from_bytes(body[21:26]) & (2**36 - 1)
    elif body[26:35] == b"\1\x1e\1vorbis"[:9]:  # the first page, of one segment
        rate = int.from_bytes(body[40:44], "little")
    elif body[28:36] == b"OpusHead":
        rate = 48_000
    most = int(longest * min(max(rate, MIN_RATE), MAX_RATE))
    return min(promised or most, most)


class Decoders:
    """Processes that decode, one file each at a time.

    Attributes:
      kills: how many were ended since a file took too long or was the end of them.
    """

    def __init__(self, count: int = 2, deadline_s: float = 10.0):
        """So many of them; a file may take `decoder.CPU_S` of processor, and `deadline_s` seconds on a busy machine."""
        self.count, self.deadline_s, self.kills = count, deadline_s, 0
        self._free: asyncio.Queue[asyncio.subprocess.Process | None] = asyncio.Queue()
        self._all: set[asyncio.subprocess.Process] = set()
        self._tasks: set[asyncio.Task] = set()

    async def start(self) -> None:
        """Starts them, in the loop that will ask them."""
        await asyncio.gather(*(self._replace() for _ in range(self.count)))

    async def stop(self) -> None:
        """Ends them."""
        for task in self._tasks:
            task.cancel()
        for process in list(self._all):
            await self._end(process)

    async def decode(self, body: bytes, longest: float) -> Decoded:
        """What `decoder.decode` gives of a body.

        Args:
          body: all of a file.
          longest: seconds that it may last.

        Raises:
          Failure: as there, or it takes longer or more memory than it may.
        """
        process = await self._free.get()
        # Whoever asked may leave: the process then finishes, or is killed, by itself.
        return await asyncio.shield(self._beside(self._asked(process, body, longest)))

    def _beside(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task:
        """A task that is finished or, at the end, cancelled, whoever waits for it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_looked_at)
        return task

    async def _asked(self, process: asyncio.subprocess.Process | None, body: bytes, longest: float) -> Decoded:
        if process is None or process.returncode is not None:
            process = await self._anew(process)
        whole = False
        try:
            async with asyncio.timeout(self.deadline_s):
                said, wave = await _exchange(process, REQUEST.pack(len(body), longest), body)
            whole = True
        except TimeoutError:
            raise _slow(self.deadline_s) from None
        except (asyncio.IncompleteReadError, ConnectionError, OSError):
            if await process.wait() in OUT_OF_TIME:
                raise _slow(CPU_S) from None
            raise Failure("damaged", "decoding the file ended the decoder", "a file that can be played") from None
        finally:
            if whole:
                self._free.put_nowait(process)
            else:
                self.kills += 1
                self._beside(self._end_and_replace(process))
        if "error" in said:
            raise Failure(*said["error"])
        return Decoded(np.frombuffer(wave, "<f4"), said["rate"], said["channels"], said["peak"], said["cancels"])

    async def _anew(self, process: asyncio.subprocess.Process | None) -> asyncio.subprocess.Process:
        """A process in place of one that is none any more; where none can be started it is no file's fault."""
        try:
            await self._end(process)
            return await self._started()
        except BaseException as error:
            self._free.put_nowait(None)
            if not isinstance(error, OSError | TimeoutError | asyncio.IncompleteReadError):
                raise
            raise Failure("not_ready", "no process to decode the file could be started", "another try") from error

    async def _end_and_replace(self, process: asyncio.subprocess.Process | None) -> None:
        await self._end(process)
        await self._replace()

    async def _replace(self) -> None:
        """Starts a process; where that fails, the next file tries it again."""
        try:
            self._free.put_nowait(await self._started())
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            self._free.put_nowait(None)

    async def _started(self) -> asyncio.subprocess.Process:
        found = [_ROOT, *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(found), "OPENBLAS_NUM_THREADS": "1"}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "dhauds_jax.serve.decoder"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=environment,
            start_new_session=True,  # a Ctrl-C at the terminal is the service's alone
            limit=1 << 20,
        )
        self._all.add(process)
        try:
            async with asyncio.timeout(_START_S):
                await process.stdout.readexactly(REPLY.size)
        except BaseException:
            await self._end(process)
            raise
        return process

    async def _end(self, process: asyncio.subprocess.Process | None) -> None:
        if process is None:
            return
        self._all.discard(process)
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)  # not process.kill, which takes its end from who waits for it
        await process.wait()


async def _exchange(process: asyncio.subprocess.Process, head: bytes, body: bytes) -> tuple[dict, bytes]:
    process.stdin.write(head)
    process.stdin.write(body)
    await process.stdin.drain()
    text, wave = REPLY.unpack(await process.stdout.readexactly(REPLY.size))
    return json.loads(await process.stdout.readexactly(text)), await process.stdout.readexactly(wave)


def _slow(seconds: float) -> Failure:
    return Failure("decoder_time", f"decoding took longer than {seconds:g} s", "a file that decodes sooner")


def _looked_at(task: asyncio.Task) -> None:
    """What nobody waits for any more is no complaint of the event loop."""
    if not task.cancelled():
        task.exception()
