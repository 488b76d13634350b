"""A finished training goes on with more epochs; a folder of one's own has defaults that work; ESC-50's recipe runs."""

import json

import pytest
import soundfile
from absl import flags

from dhauds_jax.command.flags import flags_of
from dhauds_jax.data import sets
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import checkpoint
from dhauds_jax.runs import train
from dhauds_jax.runs.train import train_from_flags
from dhauds_jax.train import identity
from dhauds_jax.train.clips import validation_split
from dhauds_jax.train.request import Recipe, TrainRun
from tests.data.fakes.speech import FAKES
from tests.runs import tiny


def flags_given(*words):
    values = flags.FlagValues()
    flags_of(TrainRun, Recipe, values=values)
    values(["train", *words])
    return values


def make_folder(folder):
    for split, takes in (("train", 4), ("val", 2)):
        for label, word in enumerate(("a", "b", "c")):
            for take in range(takes):
                path = folder / split / word / f"{take}.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(path, tiny.tone(4 * label, 10 * takes + take), tiny.RATE, subtype="PCM_16")
    return folder


def epochs_of(workdir):
    return [json.loads(line)["epoch"] for line in (workdir / "progress.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_more_epochs_go_on_to_the_bits_of_the_whole(tmp_path, monkeypatch):
    """As in the README's way to train on a folder, which was refused for want of noise before."""
    make_folder(tmp_path / "data")
    given = ["--dataset=folder", f"--data_dir={tmp_path / 'data'}", f"--net={tiny.NET}", "--batch_size=4"]

    def after(name, epochs, *words):
        place = tmp_path / name
        return train_from_flags(flags_given(*given, f"--workdir={place}", f"--epochs={epochs}", *words), "c")

    def result(name):
        variables, _, extra = checkpoint.load(tmp_path / name / "checkpoint")
        return checkpoint.variables_hash(variables), extra["training"]["history"]

    after("whole", 5)
    named = checkpoint.load_extra(tmp_path / "whole" / "checkpoint")["training"]["identity"]
    assert named["profile"] == "corrected" and named["options"]["views"] == ["shift", "clean"]
    after("parts", 2)
    first = result("parts")
    original = train.train

    def dies(*args, **kwargs):
        for epoch in original(*args, **kwargs):
            yield epoch
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(train, "train", dies)
        with pytest.raises(KeyboardInterrupt):
            after("parts", 5)
    assert result("parts") == first, "what was finished stays until the longer one is"
    assert after("parts", 2).startswith("already trained")
    said = after("parts", 5, "--tensorboard")
    assert "after 5 epochs" in said and "; kept: epoch " in said and ", the best on the validation clips" in said
    assert result("parts") == result("whole")
    assert epochs_of(tmp_path / "parts") == epochs_of(tmp_path / "whole") == [1, 2, 3, 4, 5]
    assert len(list((tmp_path / "parts" / "tensorboard").iterdir())) == 1
    with pytest.raises(BadInput, match=r"^--epochs=4: .*checkpoint was trained for 5: choose another"):
        after("parts", 4)
    kept, unfinished = (place(tmp_path / "parts") for place in (identity.trained_state, identity.workdir_state))
    kept.rename(unfinished)  # as a kill between the checkpoint and this leaves it
    assert after("parts", 5).startswith("already trained") and kept.is_dir() and not unfinished.exists()


def stored(folder, options, **rest):
    folder.mkdir()
    training = {"identity": {"net": "n", "options": options, **rest}}
    (folder / "extra.json").write_text(json.dumps({"training": training}))
    return folder


def test_what_cannot_go_on_is_told_in_a_sentence(tmp_path):
    place = stored(tmp_path / "checkpoint", {"epochs": 5, "optimiser": "sgd"}, train="t")
    asked = {"net": "n", "options": {"epochs": 8, "optimiser": "sgd"}}
    state = tmp_path / "state"
    with pytest.raises(BadInput, match=r"^--epochs=8: .* for 5, and the state to go on from is not in .*state: choose"):
        identity.check_free(place, asked, [state])
    state.mkdir()
    identity.check_free(place, asked, [state])
    assert not identity.is_finished(place, {**asked, "train": "t"})
    with pytest.raises(BadInput, match=r"another run \(other clips of train\)"):
        identity.is_finished(place, {**asked, "train": "u"})
    with pytest.raises(BadInput, match=r"holds the checkpoint of another run \(other epochs\): choose another"):
        identity.check_free(place, asked)
    with pytest.raises(BadInput, match=r"holds the checkpoint of another run \(other net\): choose another"):
        identity.check_free(place, {**asked, "net": "m"}, [state])
    with pytest.raises(BadInput, match=r"^--epochs=3: .* was trained for 5: choose another"):
        identity.check_free(place, {"net": "n", "options": {"epochs": 3, "optimiser": "sgd"}}, [state])
    place = stored(tmp_path / "adamw", {"epochs": 5, "optimiser": "adamw"})
    with pytest.raises(BadInput, match=r"^--epochs=8: .* for 5, over which the rate of --optimiser=adamw fell "):
        identity.check_free(place, {"net": "n", "options": {"epochs": 8, "optimiser": "adamw"}}, [state])


def test_ones_own_recordings_have_defaults_that_need_no_noise(monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(train, "train_and_save", lambda run, command: seen.append(run) or "done")
    for words in (
        ["--dataset=folder"],
        ["--dataset=folder", "--noise_dir=noise"],
        ["--dataset=folder", "--train_noise=ENU:my/noises"],  # it was dropped in silence
        ["--dataset=folder", "--views=shift,noise"],
        ["--dataset=folder", "--profile=reference"],
        ["--dataset=arabic_speech_commands"],
    ):
        train_from_flags(flags_given("--workdir=out", *words), "c")
    both = ("shift", "noise")
    assert [tuple(run.options.views) for run in seen] == [("shift", "clean"), both, both, both, both, both]
    assert [run.profile for run in seen] == ["corrected"] * 4 + ["reference"] * 2
    assert [run.options.selection for run in seen] == ["best_validation"] * 4 + ["last"] * 2
    said = "note: without --noise_dir nothing is mixed into the clips: --views=shift,clean in place of shift,noise\n"
    assert capsys.readouterr().out == said


def test_a_published_set_without_val_is_scored_on_test_but_chooses_no_epoch_by_it(capsys):
    fold = sets.get("esc50/fold1")
    assert validation_split(fold, "last") == "test"
    assert capsys.readouterr().out == (
        "note: no validation split of esc50/fold1 is published: its test split is scored after each epoch\n"
    )
    with pytest.raises(BadInput, match=r"^--selection=best_validation: no validation split of esc50/fold1 is"):
        validation_split(fold, "best_validation")
    for name in ("folder", "urban_sound_8k", "synthetic"):
        assert validation_split(sets.get(name), "best_validation") == "val"


@pytest.mark.slow
def test_the_recipe_of_esc50_runs(tmp_path):
    """Before, there was no split val in a fold."""
    FAKES["esc50/fold1"](tmp_path / "data")
    words = ["--net=ssast_test", "--epochs=1", "--batch_size=16", "--freq_mask=4", "--time_mask=4"]
    place = [f"--data_dir={tmp_path / 'data'}", f"--workdir={tmp_path / 'out'}"]
    said = train_from_flags(flags_given("--recipe=ssast:esc50_patch", *place, *words), "c")
    assert said.startswith("test accuracy ") and "kept: epoch 1, the last one" in said
    assert "published accuracy 0.888" in said
