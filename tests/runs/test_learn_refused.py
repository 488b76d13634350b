"""Bad input of experiments.learn: one sentence each, before the work, and nothing that is there is lost."""

import shutil
import unicodedata

import numpy as np
import pytest
import soundfile

from dhauds_jax.errors import BadInput
from dhauds_jax.incremental.learners.prototype import prototype
from dhauds_jax.runs.learn import learn
from dhauds_jax.runs.requests.learn import LearnRun
from tests.runs import tiny
from tests.runs.learn_sounds import a_run, later, sounds


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("refused")
    tiny.make_checkpoint(folder / "checkpoint", classes=("low", "mid"))
    sounds(folder / "first", ["low", "mid", "high"], range(3))
    return folder


@pytest.fixture(scope="module")
def learnt(place):
    learn(a_run(place, place / "learnt"), "c")
    return place / "learnt"


def never_forgets(classifier, *, scale: float = 1.0):
    """A learner that neither forgets nor merges, and whose logits are no head's."""
    return prototype(classifier, scale=scale)._replace(forget=None, merge=None)


def no_head(classifier):
    return prototype(classifier)._replace(as_head=None)


def no_angles(classifier):
    made = prototype(classifier)

    def as_head(state, head):
        found = made.as_head(state, head)
        return found._replace(options={**found.options, "unit": False})

    return made._replace(as_head=as_head)


def of_tokens(classifier):
    return prototype(classifier)._replace(reads="tokens")


def of_waves(classifier):
    return prototype(classifier)._replace(reads="wave")


def trains(classifier):
    return prototype(classifier)._replace(prepare=lambda *given: given[:2])


HERE = "tests.runs.test_learn_refused"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"audio_dir": None}, "--audio_dir, --remove, --merge: none of them is given, expected one of them"),
        ({"remove": ["low"]}, "--audio_dir, --remove, --merge: --audio_dir and --remove are given, expected one"),
        ({"reject": 1.0}, "--reject=1.0: expected a finite number of at least 0 and below 1"),
        ({"keep": "clips"}, "--base_dir: is not given, expected it with --keep=clips, and only there"),
        ({"base_dir": "x"}, "--base_dir: is given, expected it with --keep=clips, and only there"),
        ({"learner": "rigde"}, "unknown learner 'rigde'"),
        (
            {"options": ["size=3"]},
            "--options: learner prototype has no option 'size': valid ones with their values are",
        ),
        ({"head": "linear"}, "--head=linear: learner prototype has prototype, expected one of them"),
        ({"audio_dir": "nowhere"}, "--audio_dir=nowhere: no such folder"),
        ({"checkpoint": None, "model": None}, "--checkpoint and --model: neither is given"),
        ({"max_classes": 2}, "3 classes with the known ones, expected at most 2; a larger --max_classes takes them"),
        (
            {"min_clips": 4},
            "class high has 3 clips, expected at least 4: record more, or take the folder away, or a sm",
        ),
        (
            {"learner": f"{HERE}:no_head"},
            "what it learns is no head of a classifier, so recordings could not be labelle",
        ),
        (
            {"learner": f"{HERE}:trains"},
            "trains the network itself, for which a folder of a few clips is too small",
        ),
        ({"learner": f"{HERE}:of_waves"}, "trains the network itself, for which a folder of a few clips is too small"),
        ({"learner": f"{HERE}:of_tokens"}, "has no tokens to read"),
        ({"learner": "mar"}, "has no layers to read, expected a spectrogram transformer, an AMAuT or a HuBERT"),
        (
            {"learner": "fecam"},
            "--learner=fecam: what it learns is no head of a classifier, so recordings could not be",
        ),
        ({"learner": "ridge", "keep": "head"}, "--keep=head: learner ridge does not compare angles, so rows of a last"),
        (
            {"learner": f"{HERE}:no_angles", "keep": "head"},
            "--keep=head: learner .* does not compare angles, so rows of",
        ),
        (
            {"merge": ["a", "b"], "checkpoint": "x", "audio_dir": None, "learner": None},
            "--merge=a,b: 2 checkpoints and --checkpoint or --model, expected two",
        ),
        (
            {"merge": ["a"], "audio_dir": None, "checkpoint": None, "learner": None},
            "--merge=a: 1 checkpoint, expected two",
        ),
    ],
)
def test_flags_that_cannot_be(place, tmp_path, changes, message):
    with pytest.raises(BadInput, match=message):
        learn(a_run(place, tmp_path / "out", **changes), "c")
    assert not (tmp_path / "out").exists()


def silent(folder):
    for take in range(3):
        soundfile.write(folder / "high" / f"{take}.wav", np.zeros(4000, np.float32), tiny.RATE)


def two_names(folder):
    shutil.copytree(folder / "high", folder / unicodedata.normalize("NFC", "é"))
    shutil.copytree(folder / "low", folder / unicodedata.normalize("NFD", "é"))


def in_two(folder):
    shutil.copy(folder / "high" / "0.wav", folder / "low" / "again.wav")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda f: shutil.copytree(f / "high", f / "High"),
            "folders High and high are one class's name but for case or",
        ),
        (two_names, r"folders 'e\\u0301' and '\\xe9' are one class's name but for case or Unicode form, expected one"),
        (lambda f: (f / "empty").mkdir(), "class folder empty has no recording that can be read, expected clips in it"),
        (
            lambda f: [shutil.rmtree(f / name) for name in ("high", "mid")],
            "low would be the only class, expected at lea",
        ),
        (
            lambda f: [(f / "high" / f"{take}.wav").unlink() for take in (1, 2)],
            "class high has 1 clip, expected at least",
        ),
        (
            silent,
            "class high has 0 clips after 3 that cannot be used, expected at least 2: record more, or take the fol",
        ),
        (in_two, "high/0.wav and low/again.wav are the same recording in two classes, expected it in one"),
    ],
    ids=["case", "unicode", "empty", "alone", "few", "silent", "twice"],
)
def test_folders_that_cannot_be_learnt(place, tmp_path, change, message):
    shutil.copytree(place / "first", tmp_path / "in")
    change(tmp_path / "in")
    with pytest.raises(BadInput, match=message):
        learn(a_run(place, tmp_path / "out", audio_dir=str(tmp_path / "in")), "c")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keep": "none"}, "--keep=none: .* has learnt already and its classes are kept, expected the flag left out"),
        (
            {"learner": "ridge"},
            "--learner=ridge: .* learns by prototype, expected the flag left out, or the checkpoint",
        ),
        ({"head": "nme"}, "--head=nme: .* has head prototype, expected the flag left out"),
        (
            {"options": ["scale=3"]},
            r"--options: .* learns by prototype \(scale=16.0, unit=True\), expected the same, or",
        ),
        ({}, "--audio_dir=.*: all its clips were learnt before, expected some that were not"),
        ({"audio_dir": None, "remove": ["loud"]}, "--remove=loud: .* knows .*low.*, expected one of its classes"),
        (
            {"audio_dir": None, "remove": ["low", "mid"]},
            "--remove=low,mid: leaves 1 of 3 classes, expected at least two",
        ),
    ],
)
def test_later_sessions_take_the_learner_as_it_is(place, learnt, tmp_path, changes, message):
    given = {"checkpoint": str(learnt / "checkpoint"), "audio_dir": str(place / "first"), **changes}
    with pytest.raises(BadInput, match=message):
        learn(later(place, tmp_path / "out", **given), "c")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_new_class_is_not_a_known_one_in_other_letters(place, learnt, tmp_path):
    given = {
        "checkpoint": str(learnt / "checkpoint"),
        "audio_dir": sounds(tmp_path / "in", ["LOW"], range(2)),
    }
    with pytest.raises(
        BadInput, match="class LOW differs from the known class low by case or Unicode form alone, expec"
    ):
        learn(later(place, tmp_path / "out", **given), "c")


def test_a_checkpoint_that_learnt_nothing_forgets_nothing(place, tmp_path):
    given = {"checkpoint": str(place / "checkpoint"), "remove": ["low"]}
    with pytest.raises(BadInput, match=r"has learnt nothing, expected one of experiments.learn"):
        learn(later(place, tmp_path / "out", **given), "c")


def test_the_checkpoint_s_classes_need_their_clips(place, tmp_path):
    given = {"keep": "clips", "base_dir": sounds(tmp_path / "in", ["low", "top"], range(2))}
    with pytest.raises(
        BadInput, match=r"--base_dir=.*: has no clips of mid, expected a folder for each of the checkpoint's 2"
    ):
        learn(a_run(place, tmp_path / "out", **given), "c")


def test_more_classes_than_may_be_are_refused_before_a_file_is_read(place, tmp_path):
    assert LearnRun.defaults()["max_classes"] == 10_000
    for number in range(11):
        (tmp_path / "in" / f"{number:02d}").mkdir(parents=True)
        (tmp_path / "in" / f"{number:02d}" / "a.wav").touch()
    with pytest.raises(BadInput, match="11 classes with the known ones, expected at most 10; a larger --max_classes"):
        learn(a_run(place, tmp_path / "out", audio_dir=str(tmp_path / "in"), max_classes=10), "c")


@pytest.mark.slow
def test_what_is_not_exact_is_refused(place, learnt, tmp_path):
    learn(a_run(place, tmp_path / "a", learner=f"{HERE}:never_forgets"), "c")
    where = str(tmp_path / "a" / "checkpoint")
    with pytest.raises(
        BadInput, match=r"learner .*never_forgets: cannot forget a class exactly, expected one that can"
    ):
        learn(later(place, tmp_path / "out", checkpoint=where, remove=["low"]), "c")
    with pytest.raises(
        BadInput, match=r"learner .*never_forgets: two of it cannot be joined exactly, expected one that c"
    ):
        learn(later(place, tmp_path / "out", merge=[where, where]), "c")
    other = str(learnt / "checkpoint")
    with pytest.raises(
        BadInput, match=r"they learn by .*never_forgets .* and prototype .*, expected one learner with one"
    ):
        learn(later(place, tmp_path / "out", merge=[where, other]), "c")


@pytest.mark.slow
def test_networks_that_differ_are_not_joined(place, learnt, tmp_path):
    tiny.make_checkpoint(tmp_path / "other", classes=("low", "mid"), of=tiny.residual)
    learn(a_run(place, tmp_path / "b", checkpoint=str(tmp_path / "other")), "c")
    both = [str(folder / "checkpoint") for folder in (learnt, tmp_path / "b")]
    with pytest.raises(
        BadInput, match=r"their networks are [0-9a-f]{16} and [0-9a-f]{16}, expected two that learnt on on"
    ):
        learn(later(place, tmp_path / "out", merge=both), "c")
