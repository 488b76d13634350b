"""experiments.soundscapes: files, index, parts, the same bits again after any end, verifying, bad input."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from dhauds_jax.data import loudness, sets
from dhauds_jax.data.sets.base import list_split
from dhauds_jax.data.soundscapes import record, reverb, writing
from dhauds_jax.errors import BadInput
from dhauds_jax.runs.requests.soundscapes import SoundscapesRun
from dhauds_jax.runs.soundscapes import run_command
from tests.children import ROOT
from tests.data.soundscapes import small

PARTS = ("foreground", "background")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return small.make(tmp_path_factory.mktemp("soundscapes"))


def a_run(place, output, **changes):
    run = SoundscapesRun(
        foreground_dir=str(place / "events"),
        background_dir=str(place / "backgrounds"),
        output=str(output),
        seconds=1.0,
        event_seconds=0.5,
        onset="uniform:0,0.6",
        sample_rate=small.RATE,
    )
    return run.replace(**changes)


def tree(folder):
    """Every file below a folder with its bytes."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def index(folder, scene="park"):
    with (folder / scene / "index.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def whole(place, tmp_path_factory):
    """Two soundscapes of every clip in both scenes, with parts: made in one go."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    said = run_command(a_run(place, folder, n=2, parts=True))
    assert said == f"20 soundscapes written, 0 were there already: {folder}"
    return folder


def test_a_scene_has_its_soundscapes_an_index_and_a_record(whole):
    assert sorted(path.name for path in whole.iterdir()) == [
        "hall", "hall.json", "hall.parts", "park", "park.json", "park.parts",
    ]  # fmt: skip
    rows = index(whole)
    assert len(rows) == 10 and tuple(rows[0]) == writing.COLUMNS
    for row in rows:
        path = whole / "park" / row["file"]
        info = soundfile.info(path)
        assert (info.subtype, info.samplerate, info.frames, info.channels) == ("PCM_24", small.RATE, small.RATE, 1)
        found = record.read(path.with_suffix(".jams"))
        event = record.event_of(found)
        assert (row["label"], row["background"]) == (event.label, event.background) and row["file"].startswith(
            row["label"]
        )
        assert row["group"] == event.clip, "all soundscapes of a clip have one"
        assert abs(float(row["snr"]) - event.snr) < 1e-5 and abs(float(row["onset"]) - event.onset) < 1e-5
        assert abs(float(row["snr_measured"]) - event.snr) < 1e-3
    assert json.loads((whole / "park.json").read_text())["onset"] == "uniform:0,0.6"


def test_parts_sum_to_the_mix_and_have_the_snr(whole):
    for row in index(whole, "hall"):
        read = lambda path: soundfile.read(path)[0]  # noqa: E731
        mix = read(whole / "hall" / row["file"])
        parts = whole / "hall.parts" / row["file"]
        foreground, background = (read(parts.with_name(f"{parts.stem}.{n}.wav")) for n in ("foreground", "background"))
        np.testing.assert_allclose(foreground + background, mix, rtol=0, atol=1e-6)
        assert abs(loudness.integrated_loudness(background, small.RATE) + 36) < 0.01


def test_a_scene_is_a_data_set_of_class_folders(whole):
    data = sets.get("folder", whole / "park")
    assert data.classes == ("bell", "dog") and (data.sample_rate, data.length) == (small.RATE, small.RATE)
    refs = [ref for split in data.splits for ref in list_split(data, whole / "park", split, False)[0]]
    assert sorted(ref.id for ref in refs) == sorted(row["file"] for row in index(whole))


def test_order_scenes_and_count_change_no_soundscape(place, whole, tmp_path):
    run_command(a_run(place, tmp_path / "one", scene=["park"]))
    first = tree(tmp_path / "one" / "park")
    both = tree(whole / "park")
    shared = [name for name in first if name != "index.csv"]
    assert len(shared) == 10 and all(first[name] == both[name] for name in shared)


def test_what_is_there_is_kept_and_what_is_missing_is_made(place, whole, tmp_path):
    folder = tmp_path / "out"
    shutil.copytree(whole, folder)
    run, before = a_run(place, folder, n=2, parts=True), tree(folder)
    assert run_command(run) == f"0 soundscapes written, 20 were there already: {folder}"
    row = index(folder)[3]
    (folder / "park" / row["file"]).with_suffix(".jams").unlink()
    (folder / "park" / row["file"]).unlink()
    assert run_command(run).startswith("1 soundscape written, 19 were there already")
    assert tree(folder) == before


class Killed(BaseException):
    """What ends a command at a write, as a kill would: nothing after it is done."""


def test_a_command_that_ends_at_any_write_goes_on_to_the_same_bytes(place, whole, tmp_path, monkeypatch):
    real, writes = writing.write_atomically, []

    def dying(path, content):
        writes.append(path)
        if len(writes) == last:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_name(f"{path.name}.tmp-host-1-0").write_bytes(b"half")
            raise Killed
        real(path, content)

    monkeypatch.setattr(writing, "THREADS", 1)
    for last in (1, 2, 3, 4, 5, 6, 30, 41, 79, 82):
        writes.clear()
        folder = tmp_path / str(last)
        monkeypatch.setattr(writing, "write_atomically", dying)
        with pytest.raises(Killed):
            run_command(a_run(place, folder, n=2, parts=True))
        monkeypatch.setattr(writing, "write_atomically", real)
        run_command(a_run(place, folder, n=2, parts=True))
        assert tree(folder) == tree(whole), last


@pytest.mark.slow
def test_a_killed_process_goes_on_to_the_same_bytes(place, tmp_path):
    flags = {"n": 100, "seconds": 1, "event_seconds": 0.5, "onset": "uniform:0,0.6", "sample_rate": small.RATE}
    given = [f"--{name}={value}" for name, value in flags.items()]
    where = [f"--foreground_dir={place / 'events'}", f"--background_dir={place / 'backgrounds'}", "--scene=park"]
    words = [sys.executable, "-m", "experiments.soundscapes", *given, *where]
    for folder, deaths in ((tmp_path / "once", ()), (tmp_path / "killed", (20, 200))):
        for files in deaths:
            process = subprocess.Popen([*words, f"--output={folder}"], cwd=ROOT, stderr=subprocess.DEVNULL)
            while len(list(folder.rglob("*.jams"))) < files:
                assert process.poll() is None, "it was faster than this test looks"
                time.sleep(0.01)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            assert not (folder / "park" / "index.csv").exists()
        done = subprocess.run([*words, f"--output={folder}"], cwd=ROOT, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stderr
    assert len(index(tmp_path / "once")) == 500 and tree(tmp_path / "once") == tree(tmp_path / "killed")


def test_a_wav_without_its_time_of_day(place, tmp_path):
    """Files of floats would hold it: no two commands would write the same bytes."""
    run_command(a_run(place, tmp_path / "a", profile="reference", reverb="none", scene=["hall"]))
    path = tmp_path / "a" / "hall" / index(tmp_path / "a", "hall")[0]["file"]
    assert soundfile.info(path).subtype == "PCM_32" and b"PEAK" not in path.read_bytes()[:200]


def test_verifying_finds_what_was_changed_added_and_removed(place, whole, tmp_path, capsys):
    folder = tmp_path / "out"
    shutil.copytree(whole, folder)
    run = a_run(place, folder, n=2, parts=True, verify=True)
    assert run_command(run) == f"20 soundscapes agree: {folder}"
    changed, removed = (folder / "park" / row["file"] for row in index(folder)[:2])
    data = bytearray(changed.read_bytes())
    data[1_000] ^= 1
    changed.write_bytes(data)
    removed.with_suffix(".jams").unlink()
    (folder / "park" / "dog" / "mine.wav").write_bytes(b"x")
    capsys.readouterr()
    with pytest.raises(
        BadInput, match=r"out: 3 files differ, expected none; remove them and their \.jams to make them"
    ):
        run_command(run)
    told = capsys.readouterr().out.splitlines()
    assert f"{changed}: differs" in told and f"{removed.with_suffix('.jams')}: is absent" in told
    assert f"{folder / 'park' / 'dog' / 'mine.wav'}: belongs to no soundscape" in told
    assert told[-1] == "park: 3 files differ" and "hall: all files agree" in told
    assert changed.read_bytes() == bytes(data)


def test_other_settings_in_the_same_folder_are_refused(place, whole):
    for changes, message in (
        ({"seed": 5}, r"hall: made with seed 123, expected 5; give another --output"),
        ({"snr": "const:6"}, "made with snr uniform:6,10, expected const:6"),
        ({"n": 1}, "made with n 2, expected 1"),
        ({"parts": False}, "made with parts True, expected False"),
        ({"profile": "reference", "reverb": "none"}, "made with profile corrected, expected reference"),
    ):
        for verify in (False, True):
            with pytest.raises(BadInput, match=message):
                run_command(a_run(place, whole, **{"n": 2, "parts": True, "verify": verify, **changes}))


def test_other_data_of_the_same_names_is_noticed(tmp_path):
    folder = small.make(tmp_path)
    run = a_run(folder, tmp_path / "out", scene=["park"])
    run_command(run)
    assert run_command(run).startswith("0 soundscapes written, 5 were")
    for path, word in (
        (folder / "events" / "dog" / "0.wav", "clips"),
        (folder / "backgrounds" / "park" / "1.wav", "background recordings"),
    ):
        before = path.read_bytes()
        path.write_bytes(before[:-2] + bytes([before[-2] ^ 1, before[-1]]))
        with pytest.raises(BadInput, match=f"park: made from other {word} than are given now, expected the same"):
            run_command(run)
        path.write_bytes(before)
    assert run_command(run).startswith("0 soundscapes written, 5 were")


def test_clipping_is_counted_and_scaled_down_on_request(place, tmp_path, capsys):
    loud = a_run(place, tmp_path / "loud", ref_db=-8.0, snr="const:12", scene=["park"])
    run_command(loud)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "full scale" in line]
    assert line.startswith("note: park: 5 of 5 soundscapes went beyond full scale, up to ")
    assert line.endswith("they are cut there; --fix_clipping scales them down")
    run_command(loud.replace(output=str(tmp_path / "fixed"), fix_clipping=True))
    assert "they are scaled down" in capsys.readouterr().out
    row = index(tmp_path / "fixed")[0]
    wave, _ = soundfile.read(tmp_path / "fixed" / "park" / row["file"])
    assert abs(np.abs(wave).max() - (1 - 2.0**-15)) < 1e-6 and float(row["peak"]) > 1


def test_what_only_the_reverb_makes_clip_is_counted_and_scaled_down_too(place, tmp_path, capsys, monkeypatch):
    """A stand-in for sox at twice the level: dry the soundscapes are within full scale."""

    def louder(wave, rate):
        wet = np.clip(2 * np.clip(wave, -1, 1), -1, 1)
        return np.stack([wet, wet], 1)

    run = a_run(place, tmp_path / "dry", ref_db=-18.0, snr="const:8", scene=["park"], parts=True)
    run_command(run)
    assert "full scale" not in capsys.readouterr().out
    monkeypatch.setattr(reverb, "channels", louder)
    monkeypatch.setattr(reverb, "check", lambda kind, because: None)
    wet = run.replace(output=str(tmp_path / "wet"), reverb="sox0")
    run_command(wet)
    assert "went beyond full scale, up to 1." in capsys.readouterr().out
    run_command(wet.replace(output=str(tmp_path / "fixed"), fix_clipping=True))
    assert "they are scaled down" in capsys.readouterr().out
    dry, wet, fixed = (index(tmp_path / name) for name in ("dry", "wet", "fixed"))
    for before, cut, row in zip(dry, wet, fixed, strict=True):
        assert float(row["peak"]) == float(cut["peak"]) == pytest.approx(2 * float(before["peak"]), abs=2e-4)
        mix, _ = soundfile.read(tmp_path / "fixed" / "park" / row["file"])
        assert np.abs(mix).max() == pytest.approx(min(1 - 2.0**-15, float(row["peak"])), abs=1e-4)
        parts = (tmp_path / "fixed" / "park.parts" / row["file"].replace(".wav", f".{name}.wav") for name in PARTS)
        np.testing.assert_allclose(sum(soundfile.read(path)[0] for path in parts), mix, rtol=0, atol=3e-7)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"snr": "6"}, r"--snr=6: expected const, uniform or truncnorm, written const:VALUE"),
        ({"onset": "uniform:1"}, "--onset=uniform:1: '1' are not the numbers of uniform"),
        ({"onset": "const:1.5"}, "--onset=const:1.5: begins at 1.5 s, expected from 0 s to below --seconds=1"),
        ({"onset": "uniform:-1,1"}, "--onset=uniform:-1,1: begins at -1 s, expected from 0 s"),
        ({"scene": ["park", "beach"]}, "--scene=beach: no such scene, expected some of hall, park"),
        (
            {"event_seconds": 1.5},
            r"--event_seconds=1.5: longer than a soundscape \(--seconds=1\), expected at most that",
        ),
        ({"event_seconds": 0.0}, "--event_seconds=0.0: expected a finite number above 0"),
        ({"seconds": 0.0}, "--seconds=0.0: expected a finite number above 0 and at most 3600"),
        ({"ref_db": 3.0}, "--ref_db=3.0: expected a finite number of at least -70 and at most 0"),
        ({"n": 0}, "--n=0: expected at least 1"),
        ({"sample_rate": 10}, "--sample_rate=10: expected at least 1000"),
        ({"profile": "faithful"}, "unknown profile 'faithful': expected reference or corrected"),
        ({"reverb": "hall"}, "unknown reverb 'hall': expected none or sox0"),
        ({"on_bad_file": "go"}, "--on_bad_file=go: expected stop or skip"),
        ({"split": ["dev"]}, "unknown split 'dev' of folder: expected train, val or test"),
        ({"foreground": "synthetic"}, "--foreground=synthetic: is made in memory, expected a set of files"),
        ({"foreground_dir": "nowhere"}, "--foreground_dir=nowhere: no such folder"),
        ({"background_dir": None}, "folder needs --background_dir"),
        ({"verify": True}, r"hall\.json: no such file, expected a scene that experiments\.soundscapes has written"),
    ],
)
def test_bad_input_gets_one_sentence_and_nothing_is_written(place, tmp_path, changes, message):
    with pytest.raises(BadInput, match=message) as caught:
        run_command(a_run(place, tmp_path / "out", **changes))
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()


def test_an_output_among_the_sources_is_refused(tmp_path):
    """Its soundscapes would be the next command's backgrounds."""
    folder = small.make(tmp_path)
    with pytest.raises(BadInput, match=r"--output=.*: lies in --background_dir=.*, expected it elsewhere"):
        run_command(a_run(folder, folder / "backgrounds" / "park" / "out"))


def test_a_scene_of_silence_is_refused_before_the_work_and_may_be_mended(tmp_path):
    folder = small.make(tmp_path)
    sound = (folder / "backgrounds" / "park" / "0.wav").read_bytes()
    for path in (folder / "backgrounds" / "park").iterdir():
        soundfile.write(path, np.zeros(9_000), small.RATE, subtype="PCM_16")
    run = a_run(folder, tmp_path / "out")
    with pytest.raises(BadInput, match="scene park: all its backgrounds are silent, expected some that can be heard"):
        run_command(run)
    assert not (tmp_path / "out").exists()
    (folder / "backgrounds" / "park" / "0.wav").write_bytes(sound)
    assert run_command(run).startswith("10 soundscapes written")


def test_where_nothing_was_made_the_next_command_begins_anew(tmp_path):
    folder = small.make(tmp_path)
    for path in (folder / "events").rglob("*.wav"):
        before = path.read_bytes()
        soundfile.write(path, np.zeros(4_000), small.RATE, subtype="PCM_16")
    run = a_run(folder, tmp_path / "out", scene=["park"])
    with pytest.raises(BadInput, match="silent in its first"):
        run_command(run)
    with pytest.raises(BadInput, match="scene park: no clip of folder can be used, expected some"):
        run_command(run.replace(on_bad_file="skip"))
    path.write_bytes(before)
    assert run_command(run.replace(on_bad_file="skip", seed=5)).startswith("1 soundscape written")


def test_the_reference_asks_for_sox(place, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadInput, match=r"^--profile=reference: sends every soundscape through the program sox"):
        run_command(a_run(place, tmp_path / "out", profile="reference"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros(4_000), r"dog/0\.wav: silent in its first 0\.5 s, expected a sound"),
        (np.zeros(0), r"dog/0\.wav: holds no samples, expected at least one"),
        (None, r"dog/0\.wav: cannot be read"),
    ],
)
def test_clips_that_cannot_be_used_stop_it_or_are_left_out(tmp_path, capsys, content, message):
    folder = small.make(tmp_path)
    path = folder / "events" / "dog" / "0.wav"
    if content is None:
        path.write_text("this is no sound, and is longer than a header would be")
    else:
        soundfile.write(path, content, small.RATE, subtype="PCM_16")
    run = a_run(folder, tmp_path / "out", scene=["park"])
    with pytest.raises(BadInput, match=message) as caught:
        run_command(run)
    assert caught.value.skippable
    skipping = run.replace(on_bad_file="skip")
    run_command(skipping)
    assert "note: park: left out: dog/0.wav: " in capsys.readouterr().out
    assert (tmp_path / "out" / "bad_files.txt").read_text().startswith("dog/0.wav\t")
    assert len(index(tmp_path / "out")) == 4
    assert run_command(skipping.replace(verify=True)).startswith("4 soundscapes agree")


def test_two_clips_of_one_file_are_said(tmp_path):
    folder = small.make(tmp_path)
    wave, rate = soundfile.read(folder / "events" / "dog" / "0.wav")
    soundfile.write(folder / "events" / "dog" / "0.flac", wave, rate)
    with pytest.raises(BadInput, match=r"dog/0\.\w+ and dog/0\.\w+ would both be written to dog/0-hall-0\.wav; rename"):
        run_command(a_run(folder, tmp_path / "out"))
