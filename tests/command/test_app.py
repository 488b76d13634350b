"""What a command does with an error: a sentence for its user, a traceback for a bug, and the exit code of each."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import pytest
from absl.flags import FlagValues

from dhauds_jax import __version__
from dhauds_jax.command import app
from dhauds_jax.command.flags import flags_of
from dhauds_jax.data.audio import BadFile, read_audio
from dhauds_jax.data.clip_source import open_clips
from dhauds_jax.data.loading import load_split
from dhauds_jax.data.pipeline.decoding import decode_files
from dhauds_jax.data.recordings import load as load_recordings
from dhauds_jax.data.sets.base import ClipRef
from dhauds_jax.data.sets.folder_per_class import DATA_SET
from dhauds_jax.errors import BadInput, sentence
from dhauds_jax.runs.requests.corrupt import CorruptRun
from dhauds_jax.train.request import TrainRun

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import os
from dhauds_jax.command import app
from dhauds_jax.errors import BadInput

def main():
    {body}

app.run(main)
"""


def run(body, folder):
    words = [sys.executable, "-c", SCRIPT.format(body=body), "--nocompilation_cache"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, timeout=900)


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        ("raise BadInput('--epochs=0: expected at least 1')", 2, "error: --epochs=0: expected at least 1\n"),
        ("open('absent.csv')", 2, "error: absent.csv: No such file or directory\n"),
        ("open('.')", 2, "error: .: Is a directory\n"),
        ("os.mkdir('folder'); os.mkdir('folder')", 2, "error: folder: File exists\n"),
        ("raise FloatingPointError('the loss is nan in epoch 2')", 3, "stopped: the loss is nan in epoch 2\n"),
        ("raise KeyboardInterrupt", 130, "\nstopped by the user; the same command goes on where it was\n"),
    ],
)
def test_an_error_that_is_no_bug_ends_with_one_sentence(tmp_path, body, code, text):
    done = run(body, tmp_path)
    assert (done.returncode, done.stderr) == (code, text)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("raise ValueError('operands could not be broadcast')", "ValueError: operands could not be broadcast"),
        ("{}['key']", "KeyError: 'key'"),
    ],
)
def test_a_bug_shows_its_traceback_and_what_to_report(tmp_path, body, error):
    done = run(body, tmp_path)
    lines = done.stderr.splitlines()
    assert done.returncode == 1
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-2] == error
    assert lines[-1].startswith("this is a bug, please report it with the lines above: dhauds_jax " + __version__)
    assert lines[-1].endswith("command: -c --nocompilation_cache")


def test_a_bad_file_names_the_flag_that_leaves_it_out_where_there_is_one(tmp_path):
    """Before, train stopped at a broken file without a word of --on_bad_file=skip."""
    (tmp_path / "broken.wav").write_bytes(b"")
    refs, with_flag, without = [ClipRef("broken.wav", tmp_path / "broken.wav", 0)], FlagValues(), FlagValues()
    flags_of(TrainRun, values=with_flag)
    folder = DATA_SET._replace(classes=("a",), listing=lambda *given: (refs, ()))
    options = {"sample_rate": 16_000, "progress": False}
    readers = (
        lambda: load_split(folder, tmp_path, "train", length=8, **options),
        lambda: list(decode_files([tmp_path / "broken.wav"], 16_000)),
        lambda: open_clips(folder, tmp_path, "train").read(0),
        lambda: load_recordings(tmp_path, sample_rate=16_000, length=8, on_bad_file="stop"),
    )
    reason = f"{tmp_path / 'broken.wav'}: empty (0 bytes), expected a wav, flac, ogg or mp3 file"
    for reader in readers:
        with pytest.raises(BadFile) as caught:
            reader()
        assert app.said(caught.value, with_flag) == f"{reason}; --on_bad_file=skip leaves such files out"
        assert app.said(caught.value, without) == reason
    with pytest.raises(BadFile) as caught:
        read_audio(tmp_path / "broken.wav", 16_000)  # as a noise recording is read, which nothing leaves out
    assert app.said(caught.value, with_flag) == reason


def test_a_path_that_the_system_refuses_is_told_with_its_flag(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = FlagValues()
    flags_of(CorruptRun, values=values)
    values(["corrupt", "--corruption=WHN", "--output=absent/set", "--data_dir=here"])
    for path, said in (
        (tmp_path / "absent" / "set", "--output=absent/set: No such file or directory"),
        ("here", "--data_dir=here: No such file or directory"),
        ("elsewhere", "elsewhere: No such file or directory"),
    ):
        assert app.said(FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)), values) == said


def test_errors_of_the_system_are_the_users_where_they_name_a_path_or_a_full_disk():
    assert sentence(BadInput("one sentence")) == "one sentence"
    assert sentence(PermissionError(errno.EACCES, "Permission denied", "out/x")) == "out/x: Permission denied"
    assert sentence(FileNotFoundError(errno.ENOENT, "No such file", "a", None, "b")) == "a -> b: No such file"
    assert sentence(FileNotFoundError("Checkpoint at\n /x does not exist")) == "Checkpoint at /x does not exist"
    assert sentence(OSError(errno.ENOSPC, "No space left on device")) == "the disk: No space left on device"
    full = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8 bytes.\n[at x]")
    assert sentence(full) == (
        "out of memory (RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8 bytes. [at x]): ask for less at "
        "once, such as a smaller batch or fewer clips"
    )
    assert sentence(MemoryError()).startswith("out of memory (no more to be had): ask")
    assert sentence(jax.errors.JaxRuntimeError("INTERNAL: broken")) is None
    assert sentence(FileNotFoundError(errno.ENOENT, "No such file")) is None
    assert sentence(OSError(errno.EINVAL, "Invalid argument", "x")) is None
    assert sentence(ValueError("a library's")) is None


@pytest.mark.parametrize(
    "body",
    [
        "print('line', flush=True); return 'done'",
        "return 'done'",
        "import sys; print('line'); sys.exit(0)",
    ],
)
def test_output_that_nobody_reads_any_more_is_no_bug(tmp_path, body):
    """As `sweep --list | head`: the reader is gone before the first line."""
    read, write = os.pipe()
    os.close(read)
    words = [sys.executable, "-c", SCRIPT.format(body=body), "--nocompilation_cache"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    try:
        into = {"stdout": write, "stderr": subprocess.PIPE}
        done = subprocess.run(words, cwd=tmp_path, env=env, text=True, timeout=900, **into)
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


def test_the_command_of_a_record_can_be_pasted_into_a_shell(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["x", "--audio_dir=my recordings", "--only=*/tent", "--options=lr=0.1,group=all"])
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", SimpleNamespace(name="experiments.sweep"))
    words = "'--audio_dir=my recordings' '--only=*/tent' --options=lr=0.1,group=all"
    assert app.command() == f"python -m experiments.sweep {words}"
