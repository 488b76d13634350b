"""The command that listens: pipes and recordings, its lines and its csv file, what it refuses, and how it ends."""

import csv
import itertools
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from dhauds_jax.data import recordings
from dhauds_jax.errors import BadInput
from dhauds_jax.metrics import softmax
from dhauds_jax.model import load
from dhauds_jax.runs import listen
from dhauds_jax.runs.listen_setup import Ears
from dhauds_jax.runs.requests.listen import ListenRun
from dhauds_jax.serve.contracts import Served
from dhauds_jax.serve.engine import SourceOnly
from dhauds_jax.serve.listening import Label, Listener, Window
from tests.serve.serving import CLASSES, LENGTH, POISON, RATE, SHAPES, probabilities

ROOT = Path(__file__).resolve().parents[2]


def asked(**flags):
    return ListenRun(**{"checkpoint": ("words15",), **flags})


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"rate": 0}, r"--rate=0: expected at least 100"),
        ({"channels": 0}, r"--channels=0"),
        ({"hop": -1.0}, r"--hop=-1\.0"),
        ({"smooth": 0}, r"--smooth=0"),
        ({"threshold": 1.5}, r"--threshold=1\.5"),
        ({"speed": -1.0}, r"--speed=-1\.0"),
        ({"max_batch": 0}, r"--max_batch=0"),
        ({"input": "nowhere.wav"}, r"--input=nowhere\.wav: no such file"),
        ({"checkpoint": ("words15", "words15"), "adapt": "session"}, r"--adapt=session: a session adapts one network"),
        ({"input": __file__}, r"test_listen\.py: "),
        ({"threshold": 0.5, "reject": 0.1}, r"--threshold and --reject: two rules for what is unknown, expected one"),
        ({"reject_background": 0.1}, r"--reject_background: words15 holds no scores of background alone, expected"),
        ({"checkpoint": ("words15", "words15"), "reject": 0.1}, r"--reject: held-out scores are those of one network"),
    ],
)
def test_what_cannot_be_listened_to_is_said(flags, said):
    with pytest.raises(BadInput, match=said):
        listen.listen(asked(**flags))


@pytest.fixture
def fake(monkeypatch):
    """A network of a few lines of NumPy in place of the checkpoint's."""
    served = Served(RATE, LENGTH, CLASSES, SHAPES, dict, lambda waves, weights: probabilities(waves))
    reading = {"layout": "centre", "resampler": "sinc"}
    monkeypatch.setattr(
        listen,
        "ears_of",
        lambda run: Ears(served, Listener(SourceOnly(served), SHAPES, LENGTH), None, reading, [0.0], None),
    )


def wave_of(samples):
    """Stretches of noise and silence whose labels differ, in steps of 16 bit."""
    draw = np.random.default_rng(0)
    loud = np.repeat(draw.uniform(0.01, 0.6, samples // 700 + 1), 700)[:samples]
    wave = draw.normal(size=samples) * loud * 0.3
    wave[np.arange(samples) % 3 == (np.arange(samples) // 3000) % 3] *= 3
    return (np.clip(wave, -1, 1) * 32767).astype("<i2")


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def written(row):
    return np.array([float(row[f"p_{name}"]) for name in CLASSES])


@pytest.mark.parametrize("hop_s", [0.0, 0.1])
def test_a_recording_as_if_live_has_the_windows_of_a_recording(fake, tmp_path, capsys, hop_s):
    path = tmp_path / "long.wav"
    soundfile.write(path, wave_of(31_000), RATE, subtype="PCM_16")
    said = listen.listen(
        asked(input=str(path), speed=0.0, hop=hop_s, every=True, smooth=1, output=str(tmp_path / "said.csv"))
    )
    overlap = 1 - hop_s * RATE / LENGTH if hop_s else 0.0
    theirs = recordings.load(path, sample_rate=RATE, length=LENGTH, overlap=overlap)
    rows, expected = rows_of(tmp_path / "said.csv"), probabilities(theirs.waves)
    assert len({row["label"] for row in rows}) == 3
    assert np.abs(np.stack([written(row) for row in rows]) - expected).max() < 1e-6
    assert [row["label"] for row in rows] == [CLASSES[best] for best in expected.argmax(-1)]
    assert np.array([[row["start"], row["end"]] for row in rows], float) == pytest.approx(theirs.spans, abs=1e-4)
    lines = capsys.readouterr().out.splitlines()
    window, hop = 1e3 * LENGTH / RATE, 1e3 * (hop_s or LENGTH / RATE)
    assert lines[0] == f"# listening to {path}; 3 classes, windows of 0.25 s at 8000 Hz"
    assert re.match(rf"# latency .* at most: \d+ ms \(window {window:.0f} \+ hop {hop:.0f} \+ compute ", lines[1])
    labels = [line.split() for line in lines if not line.startswith("#")]
    assert [one[2] for one in labels] == [row["label"] for row in rows]
    assert said.startswith(f"heard 3.875 s in {len(rows)} windows, ") and said.endswith(f"; {tmp_path / 'said.csv'}")


def test_a_pipe_of_another_rate_with_channels_is_heard_and_changes_alone_are_said(fake, tmp_path, capsys):
    wave = wave_of(60_000)
    os.mkfifo(tmp_path / "pipe")
    bytes_of = np.stack([wave, wave], 1).tobytes()

    def send():
        with open(tmp_path / "pipe", "wb") as pipe:
            for first in range(0, len(bytes_of), 4_321):
                pipe.write(bytes_of[first : first + 4_321])

    threading.Thread(target=send, daemon=True).start()
    said = listen.listen(asked(input=str(tmp_path / "pipe"), rate=2 * RATE, channels=2, speed=0.0, hop=0.0))
    lines = capsys.readouterr().out.splitlines()
    assert "+ resampling from 16000 to 8000 Hz " in lines[1]
    labels = [line.split()[2] for line in lines[2:]]
    assert all(one != other for one, other in itertools.pairwise(labels))
    assert said.startswith(f"heard 3.750 s in 15 windows, {len(labels)} labels in turn; nothing dropped")


def test_a_pipe_that_ends_within_a_sample_or_at_once_is_bad_input(fake, tmp_path, capsys):
    for data, message in ((bytes(2 * LENGTH + 1), "ends after 4,001 bytes"), (b"", "ended without a sample")):
        place = tmp_path / f"pipe{len(data)}"
        os.mkfifo(place)
        threading.Thread(target=place.write_bytes, args=(data,), daemon=True).start()
        with pytest.raises(BadInput, match=message):
            listen.listen(asked(input=str(place), speed=0.0, hop=0.0))
    assert "# heard 0.250 s in 1 window, 1 label in turn; nothing dropped" in capsys.readouterr().out


def piped(folder, wave):
    """A pipe through which float32 samples come."""
    place = folder / f"pipe{len(wave)}"
    os.mkfifo(place)
    threading.Thread(target=place.write_bytes, args=(np.asarray(wave, "<f4").tobytes(),), daemon=True).start()
    return str(place)


def test_a_window_without_an_answer_does_not_end_the_listening(fake, tmp_path, capsys):
    wave = np.float32(wave_of(4 * LENGTH)) / 2**15
    wave[LENGTH], wave[LENGTH + 7] = POISON, 2
    flags = {"speed": 0.0, "hop": 0.0, "format": "f32le", "smooth": 9, "output": str(tmp_path / "said.csv")}
    said = listen.listen(asked(input=piped(tmp_path, wave), **flags))
    assert said.startswith("heard 1.000 s in 3 windows, ") and "; 1 window without an answer; " in said
    (line,) = (one for one in capsys.readouterr().out.splitlines() if "no answer to" in one)
    assert line.startswith("# no answer to 0.250 to 0.500 s: samples up to 2 (full scale is 1), of which the ")
    rows = rows_of(tmp_path / "said.csv")
    assert [row["start"] for row in rows] == ["0.0000", "0.5000", "0.7500"]
    assert float(rows[1]["confidence"]) == pytest.approx(written(rows[1]).max(), abs=1e-6)  # smoothed with none before
    with pytest.raises(BadInput, match=r"pipe2000: has a finite answer in no window, expected sound"):
        listen.listen(asked(input=piped(tmp_path, np.full(LENGTH, POISON)), **{**flags, "output": None}))


def test_a_pipe_of_which_nothing_was_heard_is_not_called_silent(fake, tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe")
    threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(b"RIFF" + bytes(4_000),), daemon=True).start()
    with pytest.raises(BadInput, match="begins as a wav file does"):
        listen.listen(asked(input=str(tmp_path / "pipe"), speed=0.0, hop=0.0))
    assert "silent" not in capsys.readouterr().out


def test_a_pipe_has_no_speed_and_a_hop_is_no_longer_than_a_window(fake, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadInput, match=r"--speed=2: a pipe comes as fast as it comes, expected 1 \(drop\) or 0"):
        listen.listen(asked(input=str(tmp_path / "pipe"), speed=2.0))
    with pytest.raises(BadInput, match=r"--hop=0\.3: expected .*at most 0\.25"):
        listen.listen(asked(input=str(tmp_path / "pipe"), hop=0.3))


def started(*flags, **streams):
    words = [sys.executable, "-m", "experiments.listen", "--checkpoint=words15", *flags]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(words, cwd=ROOT, **{**pipes, **streams})


def spoken():
    """Three and a half seconds whose windows differ, at the model's rate."""
    draw, time = np.random.default_rng(3), np.arange(56_000) / 16_000
    tone = np.sin(2 * np.pi * (200 + 250 * np.floor(time)) * time) * (np.sin(2 * np.pi * 3 * time) > 0)
    return (np.clip(0.3 * tone + 0.02 * draw.normal(size=len(time)), -1, 1) * 32767).astype("<i2")


def test_late_and_dropped_windows_are_counted():
    course, label = listen.Course(late_s=0.5), Label("a", 0.9, True)
    course.add(Window(np.zeros(4, np.float32), 0, 4, 0.0), label, 0.5)
    course.add(Window(np.zeros(4, np.float32), 8, 12, 0.0, dropped=3), label._replace(changed=False), 0.75)
    assert (course.windows, course.late, course.dropped, course.changes) == (2, 1, 3, 1)
    assert (course.longest_s, course.heard) == (0.75, 12)


@pytest.mark.slow
def test_windows_from_a_pipe_get_what_classify_says_of_the_file(tmp_path):
    soundfile.write(tmp_path / "spoken.wav", spoken(), 16_000, subtype="PCM_16")
    process = started("--hop=0", "--speed=0", f"--output={tmp_path / 'said.csv'}")
    out, err = process.communicate(spoken().tobytes(), timeout=300)
    assert process.returncode == 0, err
    assert out.decode().splitlines()[-1].startswith("heard 3.500 s in 4 windows, ")
    model = load("words15")
    found = recordings.load(tmp_path / "spoken.wav", sample_rate=16_000, length=model.config.length)
    expected = softmax(model.logits(found.waves))
    rows = rows_of(tmp_path / "said.csv")
    said = np.array([[float(row[f"p_{name}"]) for name in model.classes] for row in rows])
    assert np.abs(said - expected).max() < 1e-6
    whole = model.predict(tmp_path / "spoken.wav")
    assert np.abs(said.mean(0) - whole.probabilities[0]).max() < 1e-6


@pytest.mark.slow
def test_ctrl_c_ends_a_session_that_hears_with_its_summary(tmp_path):
    adapts = (
        "--adapt=session",
        "--adapt_batch=2",
        "--update=before_next",
        "--max_batch=2",
    )  # the third window waits for the update
    process = started("--hop=0", "--every", *adapts, f"--output={tmp_path / 'said.csv'}")
    try:
        opening = [process.stdout.readline() for _ in range(2)]
        assert opening[0].startswith(b"# listening to stdin; 15 classes"), process.communicate(timeout=60)
        process.stdin.write(spoken()[:48_000].tobytes())
        process.stdin.flush()
        said = [process.stdout.readline() for _ in range(3)]
        assert [line.split()[0] for line in said] == [b"0.000", b"1.000", b"2.000"]
        assert len(rows_of(tmp_path / "said.csv")) == 3  # while it runs: what a kill would leave
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)  # the pipe was open until then
    finally:
        process.kill()
    assert process.returncode == 0, err
    last = out.decode().splitlines()[-1]
    assert last.startswith("stopped by the user; heard 3.000 s in 3 windows, ")
    assert re.search(r"the session learnt 1 time from 2 windows, 0 updates refused; it answers from the session;", last)
