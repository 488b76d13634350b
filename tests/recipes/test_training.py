"""Rows of training recipes: SSAST's table, and what a row does to the flags."""

import pytest
from absl import flags

from dhauds_jax.command.flags import flags_of, from_flags
from dhauds_jax.data import sets
from dhauds_jax.nets import zoo
from dhauds_jax.recipes import training
from dhauds_jax.recipes.training import milestones
from dhauds_jax.runs.requests.crossval import CrossvalRun
from dhauds_jax.train.request import Recipe, TrainRun


@pytest.fixture
def values():
    """The flags of `experiments.train`, parsed."""
    values = flags.FlagValues()
    flags_of(TrainRun, Recipe, values=values)
    values(["train", "--lr=0.5", "--workdir=out"])
    return values


def test_a_row_sets_what_the_command_line_does_not(values):
    training.apply("ssast:speech_commands_v2_frame", values)
    assert (values.dataset, values.net, values.loss) == ("speech_commands_v2", "ssast_base_frame_sc2", "binary")
    assert values.lr == 0.5  # given
    assert (values.epochs, values.batch_size, values.b1, values.warmup_steps) == (30, 128, 0.95, 1000)
    assert values.milestones == [str(epoch) for epoch in range(5, 30)]
    assert (values.mixup, values.freq_mask, values.time_mask, values.spectrogram_noise) == (0.6, 48, 48, True)


def test_rows_name_what_there_is_and_the_published_numbers(values):
    rows = training.read("ssast")
    assert len(rows) == 6
    for row in rows.values():
        assert set(row.flags) <= set(values)
        if not row.waits_for:
            sets.get(row.flags["dataset"])
            zoo.preset(row.flags["net"], ("any",))
    assert {name: row.published for name, row in rows.items() if row.published} == {
        "ssast:esc50_patch": 0.888,
        "ssast:speech_commands_v2_patch": 0.98,
        "ssast:audioset_20k_patch": 0.31,
    }
    sentence = training.published_sentence(rows["ssast:esc50_patch"])
    assert sentence.startswith("recipe ssast:esc50_patch: published accuracy 0.888")


def test_milestones():
    assert milestones("") == [] and milestones("5") == ["5"]
    assert milestones("6-9") == ["6", "7", "8", "9"] and milestones("10-24/5") == ["10", "15", "20"]
    with pytest.raises(ValueError, match="milestones '5,6': expected a form"):
        milestones("5,6")


def test_unknown_and_waiting_rows_say_so():
    with pytest.raises(ValueError, match="table 'hubert' is unknown, expected one of ssast"):
        training.find("hubert:sc2")
    with pytest.raises(ValueError, match="--recipe=ssast:cats: unknown, expected one of ssast:esc50_patch, "):
        training.find("ssast:cats")
    with pytest.raises(ValueError, match="waits for the data set AudioSet"):
        training.find("ssast:audioset_20k_patch")


def test_the_rows_of_crossval_are_its_flags():
    values = flags.FlagValues()
    flags_of(CrossvalRun, Recipe, values=values)
    values(["crossval", "--workdir=out", "--epochs=7"])
    rows = training.read("tomofun")
    assert list(rows) == [f"tomofun:{name}" for name in ("final", "extra_all", "extra_dog", "extra_nondog")]
    assert all(set(row.flags) <= set(values) for row in rows.values())
    training.apply("tomofun:extra_nondog", values, "crossval")
    run = from_flags(CrossvalRun, values)
    assert (run.dataset, run.extra_dataset, run.extra, run.net) == ("tomofun", "tomofun", ("non_dog",), "vggish")
    assert (run.epochs, run.batch_size, run.lr, run.milestones) == (7, 128, 1e-4, (25,))  # 7 was given
    assert run.temperatures == (1, 2, 5, 10, 20, 50, 100) and run.noise_clips == 250
    assert run.profile == "reference" and run.views == "shift:5"
    assert "published AUC 0.942 (the team's place" in training.published_sentence(rows["tomofun:final"])


def test_a_row_of_another_command_is_refused(values):
    with pytest.raises(ValueError, match=r"--recipe=tomofun:final: is one of experiments\.crossval, expected one of"):
        training.apply("tomofun:final", values)
