"""experiments.embed: equal to Model.embed, the same bytes however it is run or killed, one sentence for bad input."""

import csv
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
import soundfile

from dhauds_jax.cells import targets
from dhauds_jax.data import recordings
from dhauds_jax.errors import BadInput
from dhauds_jax.interrupts import KEPT, BetweenSteps
from dhauds_jax.model import load
from dhauds_jax.runs import embed_clips, embed_joining, embed_reading
from dhauds_jax.runs.embed import embed
from dhauds_jax.runs.requests.embed import EmbedRun
from dhauds_jax.workdir import vectors
from dhauds_jax.workdir.vector_parts import Parts
from tests.runs import tiny

ROOT = Path(__file__).resolve().parents[2]
FILES = ("vectors.npy", "index.csv", "manifest.json")
SECONDS = (0.25, 1.0, 2.6, 0.5, 4.2, 1.0)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("embed")
    tiny.make_arabic(folder / "data", {"train": 1, "val": 1, "test": 2})
    tiny.make_noises(folder / "noise")
    tiny.make_checkpoint(folder / "checkpoint")
    sounds = folder / "sounds"
    (sounds / "b").mkdir(parents=True)
    for i, seconds in enumerate(SECONDS):
        rate = 8_000 if i == 3 else tiny.RATE
        wave = tiny.tone(i, 7, round(seconds * tiny.RATE))[: round(seconds * rate)]
        soundfile.write(sounds / ("b" if i % 2 else "") / f"{i}.wav", wave, rate, subtype="PCM_16")
    return folder


def of_folder(place, output, **changes):
    run = EmbedRun(checkpoint=str(place / "checkpoint"), audio_dir=str(place / "sounds"), output=str(output))
    return run.replace(**changes)


def of_set(place, output, **changes):
    given = {"audio_dir": None, "dataset": "arabic_speech_commands", "data_dir": str(place / "data")}
    return of_folder(place, output, **{**given, **changes})


def held(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


def index(folder):
    with (folder / "index.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_vectors_are_those_of_the_model(place, tmp_path, capsys):
    said = embed(of_folder(place, tmp_path, long="windows:overlap=0.5", export=("npz",)), "the command")
    assert said.startswith(f"6 clips embedded: {tmp_path / 'vectors.npy'} (6 x ")
    printed, beside = capsys.readouterr()
    assert "sounds: 6 clips\n" in printed and "1 of 6 files: resampled from 8000 Hz to 16000 Hz" in printed
    assert "work: a pass over 6 clips, 16 windows at a time\n" in beside
    found = vectors.read(tmp_path)
    model = load(place / "checkpoint")
    expected, config = model.embed(place / "sounds", overlap=0.5), model.config
    np.testing.assert_allclose(found.vectors, expected, rtol=2e-6, atol=2e-6)  # other programs: sums of another order
    read = recordings.load(place / "sounds", sample_rate=config.sample_rate, length=config.length, overlap=0.5)
    assert found.ids == read.files and found.windows.tolist() == np.bincount(read.owner).tolist()
    np.testing.assert_allclose(found.seconds, read.seconds, atol=1e-4)
    assert found.labels is None and found.folds is None
    manifest = found.manifest
    assert (manifest["command"], manifest["normalised"], manifest["longer"]) == ("the command", False, 5)
    assert manifest["long"] == "windows:overlap=0.5" and manifest["corruption"] == {"name": "clean"}
    vectors.check_encoder(found, "x", manifest["encoder"]["hash"], config.front_end, manifest["long"])
    assert vectors.read(tmp_path / "embeddings.npz").digest == found.digest
    assert embed(of_folder(place, tmp_path, long="windows:overlap=0.5"), "again").startswith(
        "6 clips were embedded already: "
    )
    assert not (tmp_path / "parts").exists()


def test_batches_order_and_what_else_there_is_change_no_bit(place, tmp_path):
    embed(of_folder(place, tmp_path / "whole"), "c")
    whole = dict(zip((row["key"] for row in index(tmp_path / "whole")), vectors.read(tmp_path / "whole").vectors))
    embed(of_folder(place, tmp_path / "three", batch_size=3, save_every_s=0.0), "c")
    assert held(tmp_path / "whole") == held(tmp_path / "three")
    names = sorted(whole, reverse=True)
    (place / "list.txt").write_text("".join(f"sounds/{name}\n" for name in names))
    embed(of_folder(place, tmp_path / "list", audio_dir=str(place / "list.txt")), "c")
    found = vectors.read(tmp_path / "list")
    assert found.ids == tuple(f"sounds/{name}" for name in names)
    for name, vector in zip(names, found.vectors, strict=True):
        assert np.array_equal(vector, whole[name])
    embed(of_folder(place, tmp_path / "one", audio_dir=str(place / "sounds" / "4.wav")), "c")
    assert np.array_equal(vectors.read(tmp_path / "one").vectors[0], whole["4.wav"])


def test_a_data_set_has_labels_splits_and_seconds(place, tmp_path):
    assert embed(of_set(place, tmp_path, split=("test", "val", "test")), "c").startswith("45 clips embedded")
    found = vectors.read(tmp_path)
    assert found.classes == tiny.CLASSES and found.labels.tolist() == [*np.repeat(range(15), 2), *range(15)]
    assert found.splits == ("test",) * 30 + ("val",) * 15
    assert set(found.seconds) == {0.25} and set(found.windows) == {1}


@pytest.mark.slow
@pytest.mark.parametrize(("corruption", "noises"), [("WHN", None), ("ENSC", 6)])
def test_a_corrupted_set_is_the_one_that_adapt_draws(place, tmp_path, monkeypatch, corruption, noises):
    monkeypatch.setattr(embed_reading, "SLICE_BYTES", 1)  # slices of 32, so there are two
    noise = str(place / "noise")
    embed(
        of_set(
            place, tmp_path, corruption=(corruption,), level=("L1",), split=("test", "val"), noise_dir=noise, seed=3
        ),
        "c",
    )
    found, model = vectors.read(tmp_path), load(place / "checkpoint")
    for rows, split in ((slice(0, 30), "test"), (slice(30, 45), "val")):
        loaded = targets.load("arabic_speech_commands", str(place / "data"), split, model.config)
        bank = lambda loaded=loaded: targets.noise_for(loaded, noise, corruption, "L1")  # noqa: E731
        drawn = targets.corrupted(loaded, corruption, "L1", seed=3, profile="corrected", noise=bank)
        expected = model.embed(list(drawn.waves()), rate=16_000)
        np.testing.assert_allclose(found.vectors[rows], expected, rtol=2e-6, atol=2e-6)
    about = found.manifest["corruption"]
    assert (about["name"], about["level"], about["seed"], about["profile"]) == (corruption, "L1", 3, "corrected")
    assert about.get("noise") == drawn.noise and found.manifest["long"] == "first"
    if noises:
        assert {name.partition("/")[0] for name in found.backgrounds} <= {"doing_the_dishes", "dude_miaowing",
            "exercise_bike", "pink_noise", "running_tap", "white_noise"}  # fmt: skip
    else:
        assert found.backgrounds is None
    only = of_set(
        place, tmp_path / "val", corruption=(corruption,), level=("L1",), split=("val",), noise_dir=noise, seed=3
    )
    embed(only, "c")
    val = vectors.read(tmp_path / "val")
    assert val.manifest["draw_checksum"] == dict(drawn.draw)["draw_checksum"]
    assert np.array_equal(val.vectors, found.vectors[30:])


@pytest.mark.slow
def test_several_corruptions_are_folders_and_long_clips_are_said(place, tmp_path, capsys):
    wide = {"dataset": "folder", "data_dir": str(tmp_path / "mine"), "split": ("test",), "level": ("L2",)}
    for name in "ab":
        (tmp_path / "mine" / "test" / name).mkdir(parents=True)
        soundfile.write(tmp_path / "mine" / "test" / name / "x.wav", tiny.tone(1, 1, 24_000), tiny.RATE)
    embed(of_set(place, tmp_path / "out", corruption=("clean", "WHN"), **wide), "c")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["WHN-L2", "clean"]
    assert "2 clips are longer than the network's: their heads are embedded (--long=first)" in capsys.readouterr().out
    clean, noisy = vectors.read_all([tmp_path / "out" / "clean", tmp_path / "out" / "WHN-L2"])
    assert clean.ids == noisy.ids and not np.array_equal(clean.vectors, noisy.vectors)
    assert (clean.windows.tolist(), clean.seconds.tolist()) == ([1, 1], [1.5, 1.5])
    embed(of_set(place, tmp_path / "alone", **wide), "c")
    with pytest.raises(BadInput, match=r"rules of long recordings windows and first"):
        vectors.read_all([tmp_path / "alone", tmp_path / "out" / "WHN-L2"])


def test_bad_files_are_left_out_listed_and_said(place, tmp_path, capsys):
    (tmp_path / "sounds").mkdir()
    for i in range(3):
        soundfile.write(tmp_path / "sounds" / f"{i}.wav", tiny.tone(i, 0), tiny.RATE)
    (tmp_path / "sounds" / "1.wav").write_bytes(b"")
    soundfile.write(tmp_path / "sounds" / "2.wav", np.zeros(4000), tiny.RATE)
    wanted = {"audio_dir": str(tmp_path / "sounds")}
    with pytest.raises(BadInput, match=r"1\.wav: empty"):
        embed(of_folder(place, tmp_path / "out", on_bad_file="stop", **wanted), "c")
    said = embed(of_folder(place, tmp_path / "out", **wanted), "c")
    assert said.startswith("2 clips embedded, 1 file skipped: ")
    printed = capsys.readouterr().out
    assert "skipped: 1.wav: empty (0 bytes)" in printed and "1 file is silent (the first: 2.wav)" in printed
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert [name for name, _ in manifest["bad_files"]] == ["1.wav"] and manifest["silent"] == ["2.wav"]
    assert [row["key"] for row in index(tmp_path / "out")] == ["0.wav", "2.wav"]
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "x.wav").write_bytes(b"junk")
    with pytest.raises(BadInput, match=r"its only file could not be read: x\.wav: "):
        embed(of_folder(place, tmp_path / "none", audio_dir=str(tmp_path / "bad")), "c")
    assert not (tmp_path / "none" / "parts").exists()


def test_a_csv_tells_what_is_known_of_recordings(place, tmp_path):
    (tmp_path / "truth.csv").write_text(
        "file,label,fold,background\n4.wav,dog,2,park\nb/1.wav,cat,1,\nother.wav,cow,,\n"
    )
    embed(of_folder(place, tmp_path / "out", truth=str(tmp_path / "truth.csv")), "c")
    found = vectors.read(tmp_path / "out")
    assert (found.classes, found.groups) == (("cat", "dog"), None)
    known = {name: (found.labels[i], found.folds[i], found.backgrounds[i]) for i, name in enumerate(found.ids)}
    assert known["4.wav"] == (1, "2", "park") and known["b/1.wav"] == (0, "1", "") and known["0.wav"] == (-1, "", "")


class Killed(Exception):
    """Stands for SIGKILL at a chosen moment."""


ENDS = [pytest.param(moment, marks=pytest.mark.slow) for moment in ("index.csv", "manifest.json", "remove")]


@pytest.mark.parametrize("moment", ["part", "vectors.npy", *ENDS])
def test_a_killed_run_goes_on_to_the_same_bytes(place, tmp_path, monkeypatch, moment):
    embed(of_folder(place, tmp_path / "whole"), "c")
    run = of_folder(place, tmp_path / "killed", save_every_s=0.0, batch_size=2)
    added, replaced = [], os.replace

    def dies(source, target):
        if Path(target).name == moment:
            raise Killed
        return replaced(source, target)

    with monkeypatch.context() as patched:
        if moment == "part":
            add = Parts.add
            patched.setattr(
                Parts, "add", lambda self, clips: added.append(clips) or (len(added) < 3 and add(self, clips))
            )
            patched.setattr(embed_joining, "join", lambda *_: (_ for _ in ()).throw(Killed))
        elif moment == "remove":
            patched.setattr(Parts, "remove", lambda self: (_ for _ in ()).throw(Killed))
        else:
            patched.setattr(os, "replace", dies)
        with pytest.raises(Killed):
            embed(run, "c")
    assert (tmp_path / "killed" / "manifest.json").exists() == (moment == "remove")
    read = []
    with monkeypatch.context() as patched:
        clean = embed_reading.clean
        patched.setattr(embed_reading, "clean", lambda s, e, first: read.append(first) or clean(s, e, first))
        embed(run, "c")
    assert read == {"part": [2], "remove": []}.get(moment, [6]), "what is done is not done again"
    assert held(tmp_path / "killed") == held(tmp_path / "whole")
    assert sorted(path.name for path in (tmp_path / "killed").iterdir()) == sorted(FILES)


def test_ctrl_c_keeps_what_is_done(place, tmp_path, monkeypatch):
    take, taken = embed_clips._Keeping.take, []

    def interrupted(self, recording, asked):
        take(self, recording, asked)
        taken.append(recording.position)
        if len(taken) == 4:
            os.kill(os.getpid(), signal.SIGINT)

    run = of_folder(place, tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(embed_clips._Keeping, "take", interrupted)
        with pytest.raises(BetweenSteps, match=KEPT):
            embed(run, "c")
    assert [path.name for path in sorted((tmp_path / "parts").glob("*.npz"))] == ["00000000-00000004.npz"]
    with pytest.raises(BadInput, match=r"the parts of unfinished embeddings of another command \(other long\)"):
        embed(run.replace(long="first"), "c")
    assert embed(run, "c").startswith("6 clips embedded")


@pytest.mark.slow
def test_other_files_of_the_same_names_are_refused_and_a_copy_is_not(place, tmp_path):
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    for i in range(2):
        soundfile.write(sounds / f"{i}.wav", tiny.tone(i, 0), tiny.RATE)
    run = of_folder(place, tmp_path / "out", audio_dir=str(sounds))
    embed(run, "c")
    os.utime(sounds / "1.wav", (1_700_000_000,) * 2)  # copied
    assert "embedded already" in embed(run, "c")
    soundfile.write(sounds / "1.wav", tiny.tone(5, 0), tiny.RATE)
    with pytest.raises(BadInput, match="made from files of the same names that hold something else"):
        embed(run, "c")
    unfinished = run.replace(output=str(tmp_path / "unfinished"), on_bad_file="stop")
    (sounds / "2.wav").write_bytes(b"")
    with pytest.raises(BadInput, match=r"2\.wav: empty"):
        embed(unfinished, "c")
    soundfile.write(sounds / "0.wav", tiny.tone(6, 0), tiny.RATE)
    with pytest.raises(BadInput, match=r"hold something else \(the first: 0.wav\)"):
        embed(unfinished, "c")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"audio_dir": None}, "--audio_dir, --dataset and --text: none of them given, expected one of the three"),
        ({"dataset": "synthetic"}, "and --text: --audio_dir and --dataset given"),
        ({"audio_dir": "nowhere"}, "--audio_dir=nowhere: no such folder"),
        ({"checkpoint": "nowhere"}, "nowhere"),
        ({"batch_size": 0}, "^--batch_size=0: expected at least 1$"),
        ({"long": "windows:overlap=1"}, "--long=windows:overlap=1: overlap is 1.0, expected a share from 0"),
        ({"long": "whole"}, "whole"),
        ({"on_bad_file": "weep"}, "--on_bad_file=weep: expected stop or skip"),
        (
            {"long": "fusion_fixed"},
            "--long=fusion_fixed: is a rule of audio-text networks, .* expected windows, first or random_crop",
        ),
        ({"text": "phrases.txt"}, "--audio_dir and --text given"),
        ({"audio_dir": None, "text": "phrases.txt"}, "--text=phrases.txt: no such file"),
        ({"corruption": ("WHN",)}, "--corruption=WHN: is drawn for the clips of a data set, expected --dataset"),
        ({"corruption": ("WHAT",)}, "WHAT"),
        (
            {"audio_dir": None, "dataset": "synthetic", "corruption": ("WHN",), "long": "random_crop"},
            "--long=random_crop: a corruption acts on the heads of long clips, expected --long=first",
        ),
        ({"corruption": ()}, "--corruption: names none"),
        ({"truth": "nowhere.csv"}, "--truth=nowhere.csv: no such file"),
        ({"profile": "mine"}, "mine"),
        ({"audio_dir": None, "dataset": "nonsense"}, "unknown data set 'nonsense'"),
        ({"audio_dir": None, "dataset": "synthetic", "split": ("nonsense",)}, "nonsense"),
        ({"audio_dir": None, "dataset": "synthetic", "split": ()}, "--split: names no split"),
        (
            {"audio_dir": None, "dataset": "synthetic", "truth": "x.csv"},
            "--truth=x.csv: tells of recordings, expected it with --audio_dir",
        ),
        ({"audio_dir": None, "dataset": "esc50", "data_dir": "nowhere", "split": ("all",)}, "--data_dir=nowhere"),
    ],
)
def test_bad_input_is_said_before_the_work(place, tmp_path, changes, message):
    with pytest.raises(BadInput, match=message) as error:
        embed(of_folder(place, tmp_path / "out", **changes), "c")
    assert "\n" not in str(error.value) and not (tmp_path / "out").exists()


def test_bad_lists_and_tables_are_said(place, tmp_path):
    lists = {"": "names no recording", "x.wav\n": "names 1 file that is not there", "0.wav\n0.wav\n": "0.wav twice"}
    for text, message in lists.items():
        (place / "sounds" / "list.txt").write_text(text)
        with pytest.raises(BadInput, match=message):
            embed(of_folder(place, tmp_path / "out", audio_dir=str(place / "sounds" / "list.txt")), "c")
    (place / "sounds" / "list.txt").unlink()
    tables = {
        "name,label\n0.wav,x\n": "columns",
        "file,label\nz.wav,x\n": "names none of the recordings",
        "file,label\n0.wav,x\n0.wav,y\n": "0.wav stands there twice and differs",
    }
    for text, message in tables.items():
        (tmp_path / "truth.csv").write_text(text)
        with pytest.raises(BadInput, match=message):
            embed(of_folder(place, tmp_path / "out", truth=str(tmp_path / "truth.csv")), "c")


def test_a_network_that_gives_no_numbers_is_said(place, tmp_path):
    model = load(place / "checkpoint")
    endless = jax.tree.map(lambda leaf: leaf * np.nan, model.variables)
    dataclasses.replace(model, variables=endless).save(tmp_path / "net")
    with pytest.raises(FloatingPointError, match=r"the embedding of 0\.wav is not finite"):
        embed(of_folder(place, tmp_path / "out", checkpoint=str(tmp_path / "net")), "c")


@pytest.mark.slow
def test_sigkill_at_any_time_and_the_same_bytes(place, tmp_path):
    """As a user kills it: the process, at moments from its start to its end; then the same command to its end."""
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    for i in range(120):
        soundfile.write(sounds / f"{i:03d}.wav", tiny.tone(i % 15, i, 4000 + 2000 * (i % 30)), tiny.RATE)
    words = [sys.executable, "-m", "experiments.embed", f"--checkpoint={place / 'checkpoint'}", f"--audio_dir={sounds}"]
    words += ["--save_every_s=0.01", "--batch_size=4"]
    env = {**os.environ, "JAX_PLATFORMS": "cpu"}

    def start(output):
        return subprocess.Popen([*words, f"--output={output}"], cwd=ROOT, env=env, stderr=subprocess.DEVNULL)

    begun = time.monotonic()
    assert start(tmp_path / "whole").wait(timeout=600) == 0
    whole, kills = time.monotonic() - begun, 0
    killed = tmp_path / "killed"
    for share in (0.5, 0.7, 0.8, 0.9):
        process = start(killed)
        time.sleep(share * whole)
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert start(killed).wait(timeout=600) == 0
    assert kills >= 2
    mine, theirs = held(killed), held(tmp_path / "whole")
    for name in ("vectors.npy", "index.csv"):
        assert mine[name] == theirs[name]
    assert mine["manifest.json"].replace(b"killed", b"whole") == theirs["manifest.json"]  # the command names its folder


@pytest.mark.slow
def test_the_model_in_the_package_embeds_recordings(tmp_path):
    (tmp_path / "sounds").mkdir()
    for i in range(5):
        soundfile.write(tmp_path / "sounds" / f"{i}.wav", tiny.tone(i, 0, 40_000), 44_100)
    run = EmbedRun(checkpoint="words15", audio_dir=str(tmp_path / "sounds"), output=str(tmp_path / "out"))
    embed(run, "c")
    expected = load("words15").embed(tmp_path / "sounds")
    np.testing.assert_allclose(vectors.read(tmp_path / "out").vectors, expected, rtol=0, atol=5e-6)
