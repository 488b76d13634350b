"""The command that checks a copy: its lines, its exit codes, its JSON, the cache it prepares."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from dhauds_jax.data import sets
from dhauds_jax.data.sets import arabic_speech_commands
from dhauds_jax.errors import BadInput
from dhauds_jax.runs import check_data
from dhauds_jax.runs.check_data import CheckRun, check
from dhauds_jax.workdir import locks
from tests.data.fakes import FAKES, few_shot
from tests.runs.tiny import RATE, make_arabic, tone

ROOT = Path(__file__).resolve().parents[2]
WORDS = sets.get("arabic_speech_commands").classes
COUNTS = {"train": 30, "val": 15, "test": 15}


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A small copy without duplicates, and published counts that it meets."""
    folder = make_arabic(tmp_path / "arabic")
    for label, word in enumerate(WORDS):
        for take, split in enumerate(("val", "test")):
            wave = tone(label, 10 + take)
            soundfile.write(folder / "dataset" / word / f"{split}_0.wav", wave, RATE, subtype="PCM_16")
    published = sets.get("arabic_speech_commands")._replace(
        counts=COUNTS,
        class_counts={split: dict.fromkeys(WORDS, count // 15) for split, count in COUNTS.items()},
        seconds=(0.25, 0.25),
    )
    monkeypatch.setattr(arabic_speech_commands, "DATA_SETS", (published,))
    return folder


def checked(folder, capsys, **options):
    """`(lines printed, summary, whether the copy can serve)`."""
    text, serves = check(CheckRun(dataset="arabic_speech_commands", data_dir=str(folder), **options))
    return capsys.readouterr().out.splitlines(), text, serves


def zero_bytes(folder):
    (folder / "dataset/up/train_0.wav").write_bytes(b"")
    return "empty: dataset/up/train_0.wav: empty (0 bytes), expected a wav, flac, ogg or mp3 file"


def text_for_a_wav(folder):
    (folder / "dataset/up/train_0.wav").write_text("this is a text, whatever its name says")
    return (
        "unreadable: dataset/up/train_0.wav: cannot be read (Format not recognised), expected a wav, flac, ogg or mp3 "
        "file"
    )


def truncated_header(folder):
    path = folder / "dataset/up/train_0.wav"
    path.write_bytes(path.read_bytes()[:30])
    return (
        "unreadable: dataset/up/train_0.wav: truncated, a RIFF header without audio (30 bytes), expected a whole file"
    )


def nan_samples(folder):
    soundfile.write(folder / "dataset/up/train_0.wav", np.full(4_000, np.nan), RATE, subtype="FLOAT")
    return "unreadable: dataset/up/train_0.wav: 4000 of 4000 samples are NaN or infinite, expected finite numbers"


def missing_class(folder):
    text = (folder / "train.csv").read_text().splitlines()
    (folder / "train.csv").write_text("\n".join(line for line in text if not line.endswith(",up")) + "\n")
    return "missing class: train/up: 0 clips, expected 2"


def duplicated_file(folder):
    shutil.copy(folder / "dataset/up/train_0.wav", folder / "dataset/up/test_0.wav")
    return (
        "duplicated: dataset/up/test_0.wav: the same samples as dataset/up/train_0.wav, which is in train, "
        "expected another recording"
    )


@pytest.mark.parametrize(
    ("damage", "serves", "others"),
    [
        (zero_bytes, False, []),
        (text_for_a_wav, False, []),
        (truncated_header, False, []),
        (nan_samples, False, []),
        (missing_class, False, ["count: train: 28 clips, expected 30"]),
        (duplicated_file, True, []),
    ],
)
def test_each_damage_gives_its_line_and_verdict(copy, capsys, damage, serves, others):
    line = damage(copy)
    lines, text, verdict = checked(copy, capsys)
    assert lines == [*others, line]
    assert verdict == serves
    assert text.splitlines()[-1] == f"the copy {'can' if serves else 'cannot'} serve: {copy}"
    assert text.splitlines()[-2] == "found: " + ", ".join(f"1 {found.partition(':')[0]}" for found in lines)
    assert ("note: other commands leave unreadable files out with --on_bad_file=skip" in text) == ("unreadable" in line)


def test_a_whole_copy_gives_a_summary_only(copy, capsys):
    report = check(CheckRun(dataset="arabic_speech_commands", data_dir=str(copy)))
    assert report[1] and capsys.readouterr().err.startswith("work: 60 files in 3 splits, each read once\n")
    lines, text, serves = checked(copy, capsys)
    assert lines == [] and serves
    first, second, third = text.splitlines()
    assert first.startswith(
        "arabic_speech_commands: 60 files (train 30, val 15, test 15), 0.2 min of audio, 0 files quieter than -60 "
    )
    assert (second, third) == ("found: nothing", f"the copy can serve: {copy}")


def test_a_partial_copy_is_told_with_what_is_published(copy, capsys):
    (copy / "dataset/up/train_0.wav").unlink()
    _, text, serves = checked(copy, capsys, allow_partial=True)
    assert serves and "(train 29 of 30, val 15, test 15)" in text
    assert "found: 1 absent, 1 count, 1 class count" in text


def test_json_lines(copy, capsys):
    zero_bytes(copy)
    duplicated_file(copy)
    lines, text, serves = checked(copy, capsys, json=True)
    assert not serves
    assert [json.loads(line) for line in lines] == [
        {
            "kind": "empty",
            "split": "train",
            "file": "dataset/up/train_0.wav",
            "found": "empty (0 bytes)",
            "expected": "a wav, flac, ogg or mp3 file",
            "fatal": True,
        },
        {
            "kind": "empty",
            "split": "test",
            "file": "dataset/up/test_0.wav",
            "found": "empty (0 bytes)",
            "expected": "a wav, flac, ogg or mp3 file",
            "fatal": True,
        },
    ]
    summary = json.loads(text)
    assert summary["kind"] == "summary" and not summary["serves"] and summary["prepared"] is None
    assert summary["findings"] == {"empty": 2} and summary["files"] == 60
    assert summary["clips"] == summary["published"] == COUNTS


def run(*words):
    command = [sys.executable, "-m", "experiments.check_data", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)


def test_exit_codes_on_the_command_line(tmp_path):
    folder = make_arabic(tmp_path / "arabic", {"train": 2, "val": 1, "test": 1})
    words = ("--dataset=arabic_speech_commands", f"--data_dir={folder}")
    done = run(*words)
    assert done.returncode == 4 and "count: train: 30 clips, expected 2700" in done.stdout.splitlines()
    assert done.stdout.splitlines()[-1] == f"the copy cannot serve: {folder}"
    assert "\r" not in done.stderr, "a log file has no moving bar"
    done = run(*words, "--allow_partial")
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == f"the copy can serve: {folder}"
    done = run(*words[:1], f"--data_dir={tmp_path / 'nowhere'}")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith(
        f"error: --data_dir={tmp_path / 'nowhere'}: no such folder, expected"
    )


@pytest.mark.slow
def test_a_copy_that_serves_is_prepared_for_tfds(copy, capsys, tmp_path):
    tfds = pytest.importorskip("tensorflow_datasets")
    (copy / "dataset/up/train_0.wav").unlink()
    _, text, _ = checked(copy, capsys, prepare=str(tmp_path / "cache"))
    assert text.splitlines()[-1] == "not prepared, as it cannot serve" and not (tmp_path / "cache").exists()
    lines, text, _ = checked(copy, capsys, prepare=str(tmp_path / "cache"), allow_partial=True)
    assert [line.partition(":")[0] for line in lines] == ["absent", "count", "class count"], "and nothing TFDS says"
    folder = Path(text.splitlines()[-1].removeprefix("prepared: "))
    assert folder.parent.parent == tmp_path / "cache" / "arabic_speech_commands" and folder.name == "1.0.0"
    assert re.fullmatch("native-partial-[0-9a-f]{12}", folder.parent.name)
    made = tfds.builder_from_directory(folder)
    assert {split: info.num_examples for split, info in made.info.splits.items()} == {**COUNTS, "train": 29}
    first = next(iter(made.as_dataset(split="test").as_numpy_iterator()))
    np.testing.assert_array_equal(first["audio"], soundfile.read(copy / "dataset/down/test_0.wav", dtype="int16")[0])


def check_data_left(cache, run, monkeypatch):
    """A folder as TFDS leaves it in the cache of a run that is killed."""
    import tensorflow_datasets as tfds

    with monkeypatch.context() as patch:
        patch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", lambda *_, **__: None)
        folder = check_data.prepare(run)
    left = folder.parent / f"incomplete.ASEBFD_{folder.name}"
    left.mkdir(parents=True)
    (left / "part").touch()
    return left


def test_two_commands_do_not_prepare_one_copy_at_once(copy, tmp_path, monkeypatch):
    """Before, the slower one ended after its work: "Cannot rename ... already exists"."""
    tfds = pytest.importorskip("tensorflow_datasets")
    run = CheckRun(dataset="arabic_speech_commands", data_dir=str(copy), prepare=str(tmp_path / "cache"))
    refused, left = [], check_data_left(tmp_path / "cache", run, monkeypatch)

    def meanwhile(*_, **__):
        assert not left.exists()  # it stayed for good
        (lock,) = (tmp_path / "cache").rglob(locks.FILE)
        other = {"pid": os.getppid(), "start": locks.start_of(os.getppid())}
        lock.write_text(json.dumps({**json.loads(lock.read_text()), **other}))
        with (
            monkeypatch.context() as patch,
            pytest.raises(BadInput, match=r"running here .* or give another --prepare,"),
        ):
            patch.setattr(locks, "_HELD", set())  # as the other process, which it is not
            check_data.prepare(run)
        refused.append(lock)

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", meanwhile)
    check_data.prepare(run)
    assert len(refused) == 1


def test_each_copy_has_a_cache_of_its_own(copy, tmp_path, monkeypatch):
    """A cache is found by its name: that of a copy in another folder, or before a file was mended, must not be."""
    tfds = pytest.importorskip("tensorflow_datasets")
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", lambda *_, **__: None)

    def prepared(folder):
        run = CheckRun(dataset="arabic_speech_commands", data_dir=str(folder), prepare=str(tmp_path / "cache"))
        return check_data.prepare(run)

    first = prepared(copy)
    shutil.copytree(copy, tmp_path / "other")
    assert prepared(copy) == prepared(tmp_path / "other") == first
    soundfile.write(copy / "dataset/up/train_0.wav", np.zeros(RATE // 2), RATE)
    assert prepared(copy) != first == prepared(tmp_path / "other")


def test_preparing_without_tensorflow_is_refused_in_one_sentence(copy, monkeypatch):
    monkeypatch.setitem(sys.modules, "dhauds_jax.data.pipeline.builders", None)
    monkeypatch.delattr("dhauds_jax.data.pipeline.builders", raising=False)
    with pytest.raises(ValueError, match=r"--prepare needs TensorFlow \(.*\), expected: pip install 'dhauds_jax\[data"):
        check(CheckRun(dataset="arabic_speech_commands", data_dir=str(copy), prepare="cache"))


def test_a_noise_corpus_has_no_common_length_but_a_usual_one(tmp_path, capsys):
    FAKES["speech_commands_noise"](tmp_path / "copy")
    text, serves = check(CheckRun(dataset="speech_commands_noise", data_dir=str(tmp_path / "copy")))
    assert serves and text.splitlines()[-2] == "found: 6 off-length"
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6 and lines[0].endswith("doing_the_dishes.wav: 0.500 s, expected 60 to 96 s")


def test_a_copy_is_built_from_the_raw_corpus_first(tmp_path, capsys):
    few_shot.nsynth_raw(tmp_path)
    run = CheckRun(dataset="nsynth_100", data_dir=str(tmp_path), build=str(tmp_path), allow_partial=True)
    text, serves = check(run)
    said = capsys.readouterr()
    assert not serves and "nsynth_100: 9 files (train 9 of 15,500)" in text  # so few notes fill no other split
    assert "note: 100 instruments have fewer notes than published (the first: guitar_electronic_017)\n" in said.err
    assert "list: val: --data_dir" in said.out
    with pytest.raises(BadInput, match=r"--build: esc50 is not made from a raw corpus, expected librispeech_100"):
        check(run.replace(dataset="esc50"))


def test_of_joined_sets_each_is_checked(copy, tmp_path, capsys):
    FAKES["free_spoken_digit"](tmp_path / "digits")
    run = CheckRun(dataset="arabic_speech_commands+free_spoken_digit", data_dir=f"{copy},{tmp_path / 'digits'}")
    text, serves = check(run)
    assert not serves and "count: train: 20 clips, expected 2400" in capsys.readouterr().out
    assert [line for line in text.splitlines() if "the copy" in line] == [
        f"the copy can serve: {copy}",
        f"the copy cannot serve: {tmp_path / 'digits'}",
    ]
