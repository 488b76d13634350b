"""Output that cannot be written is said before the work, in one sentence with its flag; nothing is left behind."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from absl.flags import FlagValues

from dhauds_jax import errors, files
from dhauds_jax.command import outputs
from dhauds_jax.command.flags import flags_of
from dhauds_jax.data.corrupted import files as clips
from dhauds_jax.errors import BadInput
from dhauds_jax.runs.requests.tune import TuneRun
from dhauds_jax.workdir import locks, records
from dhauds_jax.workdir.saver import Saver
from tests.workdir.test_saver import TREE

ROOT = Path(__file__).resolve().parents[2]


def refused(said, check, *given):
    with pytest.raises(BadInput, match=f"^{re.escape(said)}$"):
        check(*given)


def test_a_folder_that_can_be_written_is_left_as_it_was(tmp_path):
    files.check_folder(tmp_path / "a" / "b", "output")
    files.check_file(tmp_path / "c" / "best.csv", "output")
    files.check_folder(tmp_path, "output")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_a_folder_and_the_other_way_round(tmp_path):
    (tmp_path / "file").write_text("kept")
    place = tmp_path / "file"
    refused(f"--output={place}: cannot be made (File exists), expected a folder that can",
            files.check_folder, place, "output")  # fmt: skip
    refused(f"--output={place / 'c'}: cannot be made (Not a directory), expected a folder that can",
            files.check_folder, place / "c", "output")  # fmt: skip
    refused(f"--output={tmp_path}: is a folder, expected the name of a file to write",
            files.check_file, tmp_path, "output")  # fmt: skip
    files.check_file(place, "output")
    assert place.read_text() == "kept"


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_a_folder_that_is_closed_or_full(tmp_path, monkeypatch, number):
    """Root may write everywhere, so the system's answer is made up."""

    def write(path, content):
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "write_bytes", write)
    monkeypatch.setattr(Path, "write_text", lambda path, content, encoding: write(path, content))
    said = f"--output={tmp_path}: cannot be written to ({os.strerror(number)}), expected a folder that can"
    refused(said, files.check_folder, tmp_path, "output")
    with pytest.raises(BadInput, match=f"^{re.escape(said)}$"), locks.held(tmp_path, flag="output"):
        pytest.fail("it is held")
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


def test_a_command_tries_what_its_flags_name(tmp_path):
    values = FlagValues()
    flags_of(TuneRun, values=values)
    words = ["--dataset=d", "--checkpoint=c", "--corruption=WHN", "--workdir=w"]
    values(["tune", *words, f"--output={tmp_path}"])
    refused(f"--output={tmp_path}: is a folder, expected the name of a file to write",
            lambda: outputs.check("output", file=True, values=values))  # fmt: skip
    outputs.check("noise_dir", values=values)  # not given


@pytest.mark.parametrize(
    "words",
    [
        ["experiments.report", "--workdir=w", "--output={file}"],
        ["experiments.audioset", "--strong=s", "--names=n", "--output=m.csv", "--fetch_list={file}/fetch.csv"],
        ["experiments.check_data", "--dataset=synthetic", "--data_dir=d", "--prepare={file}"],
        ["experiments.tune", "--dataset=synthetic", "--checkpoint=c", "--corruption=WHN", "--workdir=w",
         "--output={file}/best.csv"],
        ["experiments.benchmark", "--profile={file}"],
        ["experiments.export", "--checkpoint=c", "--output={file}"],
        ["experiments.train", "--dataset=synthetic", "--workdir=w", "--cache_dir={file}"],
        ["converters.convert", "--family=ast", "--source=a.pt", "--output={file}"],
    ],
)  # fmt: skip
def test_commands_without_a_lock_on_their_output_try_it_first(tmp_path, words):
    """Before, tune ran all its trials, and check_data read all files, before they saw it."""
    (tmp_path / "file").write_text("")
    words = [word.format(file=tmp_path / "file") for word in words]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 2
    assert f"={tmp_path / 'file'}: cannot be made (File exists), expected a folder that can\n" in done.stderr
    assert done.stderr.startswith("error: --")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def no_room(*args, **kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def tensorstore(*args, **kwargs):
    raise ValueError('RESOURCE_EXHAUSTED: Error writing "0/c" at local file "/s/": No space left on device')


def test_a_disk_that_fills_while_a_record_is_written_keeps_the_others(tmp_path, monkeypatch):
    record = dict.fromkeys(records.KEYS, 1)
    records.append(tmp_path, record)
    with monkeypatch.context() as patched, pytest.raises(OSError) as caught:
        patched.setattr(os, "fsync", no_room)
        records.append(tmp_path, record)
    assert errors.sentence(caught.value).startswith(f"{tmp_path / 'results.jsonl'}: No space left on device; what is")
    assert len(records.read(tmp_path)) >= 1


def test_a_disk_that_fills_while_a_state_is_written_keeps_the_older_one(tmp_path, monkeypatch):
    """What was half written is removed: it fills the disk, and nobody would read it."""
    from orbax.checkpoint import v1 as ocp

    saver = Saver(tmp_path, every_s=0)
    saver.save(TREE, {"position": 1})
    with monkeypatch.context() as patched, pytest.raises(ValueError, match="No space left") as caught:
        patched.setattr(ocp, "save", tensorstore)
        saver.save(TREE, {"position": 2})
    assert errors.sentence(caught.value).startswith("/s/: No space left on device; what is finished is kept")
    assert [path.name for path in tmp_path.iterdir()] == ["00000001"]
    assert saver.load(TREE)[1] == {"position": 1}


def test_a_disk_that_fills_while_files_are_written_is_told_with_their_names(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "replace", no_room)
    with pytest.raises(OSError) as caught:
        files.write_atomically(tmp_path / "a.csv", "text")
    assert errors.sentence(caught.value).startswith(f"{tmp_path / 'a.csv'}: No space left on device")
    monkeypatch.setattr(Path, "write_bytes", no_room)
    with pytest.raises(OSError) as caught:  # libsndfile says "System error."
        clips.write(tmp_path / "a.wav", np.zeros(8, np.int16), 16_000)
    assert errors.sentence(caught.value).startswith(f"{tmp_path / 'a.wav'}: No space left on device")
    assert list(tmp_path.iterdir()) == []
