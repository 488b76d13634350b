"""What a command does with an error: a sentence for its user, a traceback for a bug, and the exit code of each."""

import errno
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import pytest
from absl.flags import FlagValues

from dhauds_jax import __version__, processors
from dhauds_jax.cells.request import AdaptRun
from dhauds_jax.command import app, flags
from dhauds_jax.command.flags import flags_of
from dhauds_jax.data.audio import BadFile, read_audio
from dhauds_jax.data.clip_source import open_clips
from dhauds_jax.data.loading import load_split
from dhauds_jax.data.pipeline.decoding import decode_files
from dhauds_jax.data.recordings import load as load_recordings
from dhauds_jax.data.sets.base import ClipRef
from dhauds_jax.data.sets.folder_per_class import DATA_SET
from dhauds_jax.errors import BadInput, sentence
from dhauds_jax.interrupts import KEPT
from dhauds_jax.runs.requests.benchmark import Benchmark
from dhauds_jax.runs.requests.corrupt import CorruptRun
from dhauds_jax.runs.requests.leaderboard import LeaderboardRun
from dhauds_jax.runs.requests.study import StudyRun
from dhauds_jax.runs.requests.sweep import SweepRun
from dhauds_jax.train.request import TrainRun

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import os
from dhauds_jax.command import app
from dhauds_jax.errors import BadInput
from dhauds_jax.interrupts import KEPT

def main():
    {body}

app.run(main)
"""


KEPT_ON_DISK = "; what is finished is kept: make room, and give the same command again"


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
        ("raise KeyboardInterrupt", 130, "\nstopped by the user\n"),
        ("raise KeyboardInterrupt(KEPT)", 130, f"\nstopped by the user; {KEPT}\n"),
    ],
)
def test_an_error_that_is_no_bug_ends_with_one_sentence(tmp_path, body, code, text):
    done = run(body, tmp_path)
    assert (done.returncode, done.stderr) == (code, text)


def test_ctrl_c_while_libraries_end_shows_no_traceback(tmp_path):
    """Before, JAX's own cleaning was shown in the middle of it, though all was done."""
    late = "import atexit, signal; atexit.register(lambda: signal.raise_signal(signal.SIGINT)); return 'done'"
    done = run(late, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "done\n", "")


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


def test_a_want_of_memory_names_the_flags_that_lower_it():
    full = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8 bytes.")
    short = "out of memory (RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8 bytes.): "
    for record, command, ways in (
        (AdaptRun, ["--dataset=synthetic", "--checkpoint=c", "--corruption=WHN", "--workdir=w", "--batch_size=64"],
         "lower --batch_size=64, or give --remat"),
        (Benchmark, ["--batch=16", "--updates_per_dispatch=4"], "lower --batch=16 or --updates_per_dispatch=4"),
        (CorruptRun, ["--corruption=WHN", "--output=o"],
         "ask for less at once, such as a smaller batch or fewer clips"),
    ):  # fmt: skip
        values = FlagValues()
        flags_of(record, values=values)
        values(["command", *command])
        assert app.said(full, values) == short + ways
        thread = RuntimeError("can't start new thread")  # a traceback, before
        assert app.said(thread, values) == f"out of memory (can't start new thread): {ways}"
        disk = RuntimeError('RESOURCE_EXHAUSTED: Error writing "0/c" at local file "/s/": No space left on device')
        assert app.said(disk, values) == f"/s/: No space left on device{KEPT_ON_DISK}"  # and no flag lowers that


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
    assert (
        sentence(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))) == f"the disk: No space left on device{KEPT_ON_DISK}"
    )
    assert sentence(OSError(errno.EROFS, os.strerror(errno.EROFS), "out/x")) == "out/x: Read-only file system"
    # Of the library that writes checkpoints; before, it was told as a want of memory.
    said = (
        'RESOURCE_EXHAUSTED: Error writing "000000/c/0" in OCDBT database at local file "/out/state/1.tmp/": Failed '
        "writing: Failed to write 440847 bytes to file 18: No space left on device [os_error_code='28']"
    )
    assert sentence(ValueError(said)) == f"/out/state/1.tmp/: No space left on device{KEPT_ON_DISK}"
    full = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8 bytes.\n[at x]")
    assert sentence(full) == (
        "out of memory (RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8 bytes. [at x]): ask for less at "
        "once, such as a smaller batch or fewer clips"
    )
    behind = RuntimeError("epoch 2: RESOURCE_EXHAUSTED: Out of memory")
    assert sentence(behind).startswith("out of memory (epoch 2: RESOURCE_EXHAUSTED: Out of memory): ask for less")
    assert sentence(MemoryError()).startswith("out of memory (no more to be had): ask")
    start = RuntimeError("Unable to initialize backend 'cpu': std::bad_alloc (set JAX_PLATFORMS='' to choose)")
    assert sentence(start).startswith("out of memory (Unable to initialize backend 'cpu': std::bad_alloc")
    few = "Too many open files: what is finished is kept; allow more at once (ulimit -n 1024), and give it again"
    assert sentence(OSError(errno.EMFILE, os.strerror(errno.EMFILE), "out/x")) == f"out/x: {few}"
    assert sentence(ValueError("RESOURCE_EXHAUSTED: Failed to open: Too many open files")) == f"this command: {few}"
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
    words = ["--audio_dir=my recordings", "--only=*/tent", "--options=lr=0.1,group=all", "--output=~/it's"]
    monkeypatch.setattr(sys, "argv", ["my scripts/x.py", *words])
    for spec, program in (
        (SimpleNamespace(name="experiments.sweep"), ["python", "-m", "experiments.sweep"]),
        (None, sys.argv[:1]),
    ):
        monkeypatch.setattr(sys.modules["__main__"], "__spec__", spec)
        said = app.command()
        assert shlex.split(said) == [*program, *words]
        shown = subprocess.run(
            ["sh", "-c", f"printf '%s\\n' {said}"], capture_output=True, text=True, timeout=60
        ).stdout
        assert shown.splitlines() == [*program, *words]


FLAGS = """
from absl import flags
flags.DEFINE_string("output", None, "")
flags.DEFINE_list("workdir", None, "")
"""


@pytest.mark.parametrize(
    ("home", "words", "code", "said"),
    [
        ("/home/me", ["--output=~/c", "--workdir=a~b,~,~/b"], 0, "/home/me/c ['a~b', '/home/me', '/home/me/b'] True\n"),
        ("/home/me", ["--output=./~/c"], 0, "./~/c None True\n"),
        ("/home/me", ["--output=~nobody_here/c"], 2,
         "error: --output=~nobody_here/c: ~nobody_here stands for no folder here (there is no such user)\n"),
        (None, ["--output=~/c"], 2, "error: --output=~/c: ~ stands for no folder here (HOME is not set)\n"),
    ],
)  # fmt: skip
def test_a_tilde_stands_for_the_home_folder_in_every_flag(tmp_path, home, words, code, said):
    """Before, `--output=~/c` made a folder called "~". What is on record is what was typed."""
    nobody = "import pwd\npwd.getpwuid = lambda uid: {}[uid]\n"  # as in a container with a number of no user
    body = "print(flags.FLAGS.output, flags.FLAGS.workdir, '~' in app.command())"
    script = nobody + FLAGS + SCRIPT.format(body=body)
    env = {name: value for name, value in os.environ.items() if name != "HOME"} | {"PYTHONPATH": str(ROOT)}
    env |= {} if home is None else {"HOME": home}
    words = [sys.executable, "-c", script, "--nocompilation_cache", *words]
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=900)
    assert (done.returncode, done.stdout if code == 0 else done.stderr) == (code, said)


def test_on_windows_one_sentence_comes_before_anything(monkeypatch, capsys):
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(SystemExit) as ended:
        app.run(lambda: pytest.fail("it runs"))
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"error: {app.WINDOWS}\n"


def test_a_command_that_computes_says_first_on_what_and_with_which_seed(capsys):
    for record, words, said in (
        (AdaptRun, ["--dataset=d", "--checkpoint=c", "--corruption=WHN", "--workdir=w", "--seed=7"], "; seed 7"),
        (LeaderboardRun, ["--data_dir=d", "--noise_dir=n", "--checkpoint_root=c", "--workdir=w"], "; seeds 0, 1, 2"),
        (StudyRun, ["--dataset=d", "--checkpoint=c", "--corruption=WHN", "--workdir=w", "--seeds=4"], "; seed 4"),
        (SweepRun, ["--recipes=dhauds"], ""),
    ):
        values = FlagValues()
        flags_of(record, values=values)
        values(["command", *words])
        flags.start(values)
        assert capsys.readouterr() == ("", f"device: {processors.device()}{said}\n")
    values(["command", "--recipes=dhauds", "--list"])
    flags.start(values)
    assert capsys.readouterr() == ("", "")
