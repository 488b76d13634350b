"""docs/own_recordings.md: its commands run in their order, with its own network, on a small set of 5 s clips."""

import csv
import re

import numpy as np
import pytest
import soundfile

from tests.children import ROOT, child, finished

RATE = 16_000
TEXT = (ROOT / "docs" / "own_recordings.md").read_text(encoding="utf-8").replace(" \\\n    ", " ")
COMMANDS = [line for line in TEXT.splitlines() if line.startswith("python -m experiments.")]


def write(path, pitch, take):
    t = np.arange(5 * RATE) / RATE
    wave = 0.3 * np.sin(2 * np.pi * pitch * t) + 0.02 * np.random.default_rng([pitch, take]).normal(size=len(t))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, RATE, subtype="PCM_16")


def test_the_page_has_the_three_commands():
    assert [command.split()[2] for command in COMMANDS] == [
        "experiments.check_data",
        "experiments.train",
        "experiments.classify",
    ]
    (layout,) = re.findall(r"```\n(sounds/.*?)```", TEXT, re.DOTALL)
    assert "sounds/{train,val,test}/<class>/*.wav" in layout


@pytest.mark.slow
def test_the_commands_of_the_page_run(tmp_path):
    for pitch, word in ((300, "low"), (1500, "high")):
        for split, takes in (("train", range(6)), ("val", range(6, 8)), ("test", range(8, 10))):
            for take in takes:
                write(tmp_path / "sounds" / split / word / f"{take}.wav", pitch, take)
        for take in range(10, 13):
            write(tmp_path / "new_sounds" / f"{word}_{take}.wav", pitch, take)
    said = []
    for command in COMMANDS:
        assert command.startswith("python -m experiments.train") == ("--epochs=80" in command)
        command = command.replace("--epochs=80", "--epochs=3")
        command = re.sub(r"=(sounds|new_sounds|out)\b", rf"={tmp_path}/\1", command)
        said.append(finished(child(1, *command.split()[2:])))
    assert "; kept: epoch " in said[1] and "the likeliest labels of the validation clips" in said[1]
    with (tmp_path / "out" / "labels" / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6 and {row["label"] for row in rows} <= {"low", "high"}
