"""What commands that need a classifier say of an audio-text model's checkpoint: one sentence, before their work."""

import pytest

from dhauds_jax import model
from dhauds_jax.cells.request import AdaptRun
from dhauds_jax.nets import checkpoint, clap_zoo
from dhauds_jax.runs.adapt import adapt
from dhauds_jax.runs.classify import classify
from dhauds_jax.runs.evaluate import evaluate
from dhauds_jax.runs.export import export
from dhauds_jax.runs.leaderboard import fill
from dhauds_jax.runs.pretrain import pretrain_and_save
from dhauds_jax.runs.requests.classify import ClassifyRun
from dhauds_jax.runs.requests.evaluate import EvaluateRun
from dhauds_jax.runs.requests.export import ExportRun
from dhauds_jax.runs.requests.leaderboard import LeaderboardRun
from dhauds_jax.runs.requests.tune import TuneRun
from dhauds_jax.runs.train import train_and_save
from dhauds_jax.runs.tune import tune
from dhauds_jax.train.request import PretrainRun, TrainRun
from tests.nets.clap import variables_of
from tests.runs import tiny

SAID = r"checkpoint .*: is an audio-text model, which has no classes, expected a classifier; .* --class_names=FILE"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clap")
    checkpoint.save(folder / "seed0" / "checkpoint", variables_of(), clap_zoo.PRESETS["clap_test"])
    tiny.make_arabic(folder / "data", {"train": 1, "val": 1, "test": 1})
    return folder


ASKED = {"dataset": "arabic_speech_commands", "method": ["tent"], "corruption": ["WHN"], "level": ["L1"]}
COMMANDS = {
    "model.load": lambda clap, data, out: model.load(clap),
    "classify": lambda clap, data, out: classify(ClassifyRun(checkpoint=clap, audio_dir=data, output=out), "c"),
    "evaluate": lambda clap, data, out: evaluate(
        EvaluateRun(checkpoint=clap, dataset=ASKED["dataset"], data_dir=data, output=out), "c"
    ),
    "export": lambda clap, data, out: export(ExportRun(checkpoint=clap, output=out)),
    "adapt": lambda clap, data, out: adapt(AdaptRun(**ASKED, data_dir=data, checkpoint=clap, workdir=out), "c"),
    "train": lambda clap, data, out: train_and_save(
        TrainRun(dataset=ASKED["dataset"], data_dir=data, net="amaut_tiny", checkpoint=clap, workdir=out), "c"
    ),
    "pretrain": lambda clap, data, out: pretrain_and_save(
        PretrainRun(dataset=ASKED["dataset"], data_dir=data, net="ssast_tiny_patch", checkpoint=clap, workdir=out), "c"
    ),
    "tune": lambda clap, data, out: tune(
        TuneRun(
            **ASKED | {"corruption": "WHN", "level": "L1"},
            data_dir=data,
            checkpoint=clap,
            workdir=out,
            output=f"{out}/tuned",
        ),
        "c",
    ),
    "leaderboard": lambda clap, data, out: fill(
        LeaderboardRun(
            data_dir=data, noise_dir=data, checkpoint_root=clap.removesuffix("/seed0/checkpoint"), workdir=out
        ),
        "c",
    ),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_needs_a_classifier_says_so(name, place, tmp_path):
    with pytest.raises(ValueError, match=SAID) as error:
        COMMANDS[name](str(place / "seed0/checkpoint"), str(place / "data"), str(tmp_path / "out"))
    assert "\n" not in str(error.value)
    assert not list((tmp_path / "out").rglob("results*")) and not (tmp_path / "out" / "checkpoint").exists()
