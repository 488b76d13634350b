"""The same work folder, another folder of data with the same file names: other data, other work; the first is found."""

import os
from unittest import mock

import pytest
import soundfile

from dhauds_jax.cells import targets
from dhauds_jax.cells.request import AdaptRun
from dhauds_jax.errors import BadInput
from dhauds_jax.recipes import tuned
from dhauds_jax.runs.adapt import adapt
from dhauds_jax.runs.check_data import prepare
from dhauds_jax.runs.corrupt import run_command
from dhauds_jax.runs.elect import run_election
from dhauds_jax.runs.embed import embed
from dhauds_jax.runs.pretrain import pretrain_and_save
from dhauds_jax.runs.requests.check_data import CheckRun
from dhauds_jax.runs.requests.corrupt import CorruptRun
from dhauds_jax.runs.requests.elect import ElectRun
from dhauds_jax.runs.requests.embed import EmbedRun
from dhauds_jax.runs.requests.soundscapes import SoundscapesRun
from dhauds_jax.runs.requests.study import StudyRun
from dhauds_jax.runs.requests.sweep import SweepRun
from dhauds_jax.runs.requests.tune import TuneRun
from dhauds_jax.runs.soundscapes import write as write_soundscapes
from dhauds_jax.runs.study import run_study
from dhauds_jax.runs.sweep import sweep
from dhauds_jax.runs.train import train_and_save
from dhauds_jax.runs.tune import tune
from dhauds_jax.train.request import PretrainOptions, PretrainRun, TrainOptions, TrainRun
from dhauds_jax.workdir import records
from tests.runs import tiny

SET, NET = "arabic_speech_commands", "amaut_tiny"
TIMES = {"one": 1_700_000_000, "other": 1_700_000_001}
"""When the files of each copy were changed: sizes are equal, so the listings differ in this alone."""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two copies of a set with the same files, of the same sizes, that hold other samples."""
    folder = tmp_path_factory.mktemp("copies")
    for name, gain in (("one", 1.0), ("other", 0.5)):
        data = tiny.make_arabic(folder / name / SET)
        for path in sorted(data.rglob("*.wav")):
            wave, rate = soundfile.read(path)
            soundfile.write(path, gain * wave, rate, subtype="PCM_16")
            os.utime(path, (TIMES[name],) * 2)
    tiny.make_checkpoint(folder / "nets" / f"{NET}_{SET}")
    return folder


def given(place, copy):
    return {"dataset": SET, "data_dir": str(place / copy / SET)}


def with_net(place, copy, workdir):
    checkpoint = str(place / "nets" / f"{NET}_{SET}")
    return {**given(place, copy), "checkpoint": checkpoint, "workdir": str(workdir)}


def run_adapt(place, copy, workdir):
    flags = with_net(place, copy, workdir)
    return adapt(AdaptRun(**flags, method=["source"], corruption=["clean"], protocol=["online"], batch_size=15), "c")


def run_a_study(place, copy, workdir):
    flags = {**with_net(place, copy, workdir), "method": "norm", "corruption": "clean", "protocol": "online"}
    return run_study(StudyRun(**flags, lr=None, batch_size=15), "c")


def run_tune(place, copy, workdir):
    flags = {**with_net(place, copy, workdir), "method": ["norm"], "corruption": "clean", "epochs": 1, "seed": ["0"]}
    with mock.patch.object(tuned, "space", lambda *_: (tuned.Line(""),)):
        tune(TuneRun(**flags, batch_size=15, output=str(workdir / "tuned.csv")), "c")
    return f"{len(records.read(workdir))} tuned"


def run_elect(place, copy, workdir):
    flags = with_net(place, copy, workdir)
    return run_election(ElectRun(**{**flags, "checkpoint": [flags["checkpoint"]]}, corruption=["clean"]), "c")


def run_sweep(place, copy, workdir):
    table = place / "mine.csv"
    names = "dataset,net,corruption,level,method,epochs,batch_size,seed,protocol"
    table.write_text(f"{names}\n{SET},{NET},clean,-,source,1,15,0,online\n")
    roots = {"data_root": str(place / copy), "checkpoint_root": str(place / "nets"), "workdir": str(workdir)}
    return sweep(SweepRun(recipes=str(table), **roots), "c")[0]


def run_train(place, copy, workdir):
    options = TrainOptions(epochs=1, batch_size=16, views=("clean",))
    return train_and_save(TrainRun(**given(place, copy), net=tiny.NET, workdir=str(workdir), options=options), "c")


def run_pretrain(place, copy, workdir):
    options = PretrainOptions(epochs=1, batch_size=16, mask_patches=5, clusters=True)
    run = PretrainRun(**given(place, copy), net="ssast_test", workdir=str(workdir), options=options)
    return pretrain_and_save(run, "c")


def run_corrupt(place, copy, workdir):
    return run_command(CorruptRun(**given(place, copy), corruption=["WHN"], level=["L1"], output=str(workdir)))


def run_soundscapes(place, copy, workdir):
    folder = str(place / copy / SET)
    sets = {"foreground": SET, "foreground_dir": folder, "background": SET, "background_dir": folder}
    short = {"seconds": 1.0, "event_seconds": 0.5, "sample_rate": 8_000, "onset": "const:0.25"}
    return write_soundscapes(SoundscapesRun(**sets, **short, split=["test"], scene=["up"], output=str(workdir)))


def run_embed(place, copy, workdir):
    return embed(
        EmbedRun(**given(place, copy), checkpoint=str(place / "nets" / f"{NET}_{SET}"), output=str(workdir)), "c"
    )


def run_prepare(place, copy, workdir):
    return str(prepare(CheckRun(**given(place, copy), prepare=str(workdir))))


SAID = {
    run_adapt: ("1 record written:", "1 record written:", "0 records written, 1 was there already:"),
    run_a_study: ("1 record written:", "1 record written:", "0 records written, 1 was there already:"),
    run_tune: ("2 tuned", "4 tuned", "4 tuned"),  # a trial and its floor
    run_elect: ("2 records written:", "2 records written:", "0 records written, 2 were there already:"),
    run_sweep: ("1 row of mine: 1 run:", "1 row of mine: 1 run:", "1 row of mine: 1 finished before:"),
    run_train: ("validation accuracy", "holds the checkpoint of another run (other clips of train,", "already trained"),
    run_pretrain: (
        "% of the hidden patches",
        "holds the checkpoint of another run (other clips of train,",
        "already pretrained",
    ),
    run_corrupt: (
        "1 cell written, 0 were",
        "made from other clips than are given now",
        "0 cells written, 1 was there a",
    ),
    run_embed: (
        "15 clips embedded: ",
        "made from files of the same names that hold something else",
        "15 clips were embedded already: ",
    ),
    run_soundscapes: (
        "15 soundscapes written, 0 were",
        "made from other clips than are given now",
        "0 soundscapes written, 15 were there already",
    ),
}
"""What every command that keeps work says of one copy, of the other, and of the first again."""


@pytest.mark.slow
@pytest.mark.parametrize("command", SAID, ids=lambda command: command.__name__)
def test_other_data_of_the_same_names_is_other_work_and_the_first_is_found_again(place, tmp_path, command):
    for copy, said in zip(("one", "other", "one"), SAID[command], strict=True):
        try:
            text = command(place, copy, tmp_path / "work")
        except BadInput as error:
            text = str(error)
            assert "\n" not in text
        assert said in text, (copy, text)


@pytest.mark.slow
def test_a_cache_of_another_copy_is_another_one(place, tmp_path):
    one, other, again = (run_prepare(place, copy, tmp_path) for copy in ("one", "other", "one"))
    assert one == again != other


@pytest.mark.slow
def test_a_sweep_reads_the_data_once_more_where_nobody_noted_the_copy(place, tmp_path, monkeypatch):
    """As in a work folder of before: nothing is run or written twice."""
    run_sweep(place, "one", tmp_path)
    (tmp_path / "copies.json").write_text("[]")
    read = []
    real = targets.load_split
    monkeypatch.setattr(targets, "load_split", lambda *a, **k: read.append(1) or real(*a, **k))
    for reads in (1, 1):
        assert "1 finished before" in run_sweep(place, "one", tmp_path)
        assert (len(read), len(records.read(tmp_path))) == (reads, 1)
