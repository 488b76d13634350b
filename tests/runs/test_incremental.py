"""experiments.incremental: every number worked out again, killed runs end with the same records, bad input refused."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from dhauds_jax.errors import BadInput
from dhauds_jax.names import LEARNERS
from dhauds_jax.nets import zoo
from dhauds_jax.runs import incremental as runner
from dhauds_jax.runs import incremental_course
from dhauds_jax.runs.incremental import incremental
from dhauds_jax.runs.incremental_backbone import Backbone
from dhauds_jax.runs.report import write_report
from dhauds_jax.runs.requests.incremental import IncrementalRun
from dhauds_jax.types import Learner
from dhauds_jax.workdir import records
from tests.runs import tiny

ROOT = Path(__file__).resolve().parents[2]
CLASSES, EACH, WIDTH = 8, 12, 6
TIMES = ("seconds", "peak_memory_mb", "command", "git_revision")  # a commit may come between two runs


def blobs(path, spread=0.7, names=None, each=EACH, splits=True):
    """Points around a centre a class, odd ones to learn from and even ones to test."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(CLASSES), each)
    vectors = rng.normal(size=(CLASSES, WIDTH))[labels] + spread * rng.normal(size=(len(labels), WIDTH))
    known = {"splits": np.array(["train" if i % 2 else "test" for i in range(len(labels))])} if splits else {}
    names = [f"class{c}" for c in range(CLASSES)] if names is None else names
    ids = np.array([f"{names[c]}/{i}" for i, c in enumerate(labels)])
    np.savez(path, vectors=vectors.astype(np.float32), ids=ids, labels=labels, classes=np.array(names), **known)
    return path


@pytest.fixture(scope="module")
def points(tmp_path_factory):
    return blobs(tmp_path_factory.mktemp("points") / "points.npz")


def a_run(points, workdir, **changes):
    return IncrementalRun(
        embeddings=str(points), workdir=str(workdir), way=2, shot=3, sessions=3, seeds=(0, 1)
    ).replace(**changes)


def without_times(found):
    kept = [{key: value for key, value in one.items() if key not in TIMES} for one in found]
    for one in kept:
        one["per_session"] = {key: value for key, value in one["per_session"].items() if key != "seconds"}
    return kept


@pytest.fixture(scope="module")
def finished(points, tmp_path_factory):
    """A run that nothing disturbed."""
    workdir = tmp_path_factory.mktemp("finished")
    said = incremental(a_run(points, workdir), "the command")
    return workdir, said, records.read(workdir, "incremental")


def test_a_record_a_seed_with_every_number(finished, points):
    workdir, said, found = finished
    assert said == f"2 records written: {workdir / 'incremental.jsonl'}"
    assert [one["seed"] for one in found] == [0, 1]
    one = found[0]
    assert set(records.INCREMENTAL_KEYS) <= set(one)
    assert (one["learner"], one["head"], one["tta"], one["memory"]) == ("prototype", "prototype", "none", 0)
    assert (one["labels_used"], one["sessions"], one["n"]) == (18, 3, 36)
    assert (one["tta_options"], one["tta_batch_size"], one["precision"]) == (None, None, "float32")
    assert len(one["tests"]) == 16 and found[1]["tests"] != one["tests"]  # six of eight classes, which the seed draws
    assert len(one["listing"]) == 16 and found[1]["listing"] == one["listing"]
    assert one["bytes_held"] == 6 * (WIDTH + 1) * 4
    over = one["per_session"]["all"]
    assert one["AA"] == pytest.approx(np.mean(over)) and one["PD"] == pytest.approx(over[0] - over[-1])
    assert one["last"] == over[-1] == pytest.approx(np.mean(list(one["per_session"]["per_class"][-1].values())))
    assert one["per_session"]["auroc_unknown"][-1] is None
    for score in ("auroc_unknown", "auroc_energy", "auroc_distance"):
        assert 0.5 < one["per_session"][score][0] <= 1
    assert one["per_session"]["auroc_distance"] == pytest.approx(one["per_session"]["auroc_unknown"])  # cosines both
    assert one["backbone"] == {"hash": "unknown", "trained_on": "unknown", "knew_these_classes": None}
    assert len(set(one["classes"])) == 6


def test_accuracies_are_those_of_means_worked_out_here(finished, points):
    """The shots as the run drew them, their unit means in NumPy, the nearest by angle."""
    from dhauds_jax.incremental import sessions

    given = np.load(points)
    labels, train = given["labels"], given["splits"] == "train"
    unit = given["vectors"] / np.linalg.norm(given["vectors"], axis=1, keepdims=True)
    clips = sessions.Clips(labels, tuple(given["classes"]), tuple(given["ids"]), None, ~train)
    plan = sessions.plan(clips, way=2, shot=3, sessions=3, seed=1)
    rows = np.concatenate([one.shots for one in plan])
    known = sorted(c for one in plan for c in one.classes)
    means = np.stack([unit[[k for k in rows if labels[k] == c]].mean(0) for c in known])
    said = np.array(known)[(unit[~train] @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T).argmax(1)]
    per_class = [np.mean(said[labels[~train] == c] == c) for c in known]
    assert finished[2][1]["last"] == pytest.approx(np.mean(per_class), abs=1e-12)
    assert finished[2][1]["AA"] > 0.75  # chance is 0.31 on average


def test_what_is_finished_is_not_run_again_and_one_more_seed_is(finished, points, monkeypatch):
    workdir, _, found = finished
    learnt = []
    step = incremental_course.step
    monkeypatch.setattr(runner, "step", lambda course, *rest: learnt.append(course.seed) or step(course, *rest))
    said = incremental(a_run(points, workdir, seeds=(0, 1, 2)), "the command")
    assert said.startswith("1 record written, 2 were there already")
    assert learnt == [2] * 3
    assert without_times(records.read(workdir, "incremental")[:2]) == without_times(found)


class Killed(BaseException):
    """What a test ends a run with; nothing catches it."""


@pytest.mark.parametrize("where", ["before learning", "after learning", "after the states", "between records"])
def test_a_run_that_was_ended_goes_on_to_the_same_records(where, finished, points, tmp_path, monkeypatch):
    count = {"calls": 0}

    def ending(function, after):
        def called(*args, **kwargs):
            count["calls"] += 1
            if count["calls"] == 3 and not after:
                raise Killed
            done = function(*args, **kwargs)
            if count["calls"] == 3:
                raise Killed
            return done

        return called

    name = {"before learning": "step", "after learning": "measured", "after the states": "keep"}.get(where)
    with monkeypatch.context() as patched:
        if name is None:
            count["calls"] = 1
            patched.setattr(runner.records, "append", ending(records.append, True))
        else:
            patched.setattr(runner, name, ending(getattr(runner, name), where != "before learning"))
        with pytest.raises(Killed):
            incremental(a_run(points, tmp_path), "the command")
    incremental(a_run(points, tmp_path), "the command")
    assert without_times(records.read(tmp_path, "incremental")) == without_times(finished[2])
    assert not list((tmp_path / "states").iterdir())


def test_what_is_named_twice_is_run_once(points, tmp_path):
    twice = {"learner": ("prototype", "prototype"), "seeds": (1, 1)}
    said = incremental(a_run(points, tmp_path, sessions=1, **twice), "the command")
    assert said.startswith("1 record written: ")


def test_other_flags_are_other_cells(finished, points):
    workdir, _, found = finished
    before = len(records.read(workdir, "incremental"))
    said = incremental(a_run(points, workdir, shot=2), "the command")
    assert said.startswith("2 records written:")
    later = records.read(workdir, "incremental")[before:]
    assert [one["labels_used"] for one in later] == [12, 12]
    assert not {one["cell"] for one in later} & {one["cell"] for one in found}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"learner": ("mar",)}, r"--learner=mar: reads layers of a network, and --embeddings .*, expected a learner"),
        ({"learner": ("finetune",)}, r"^--learner=finetune: trains the network, and none is there, expected"),
        ({"learner": ("tests.tta.foreign:nudges",)}, r"module tests.tta.foreign has no 'nudges', expected nudge"),
        ({"learner": ("tests.tta.foreign:optix",)}, r"has no 'optix', expected (?!.*optax)"),
        (
            {"embeddings": str(Path(__file__))},
            r"cannot be read \(neither an array nor an archive of arrays\), expected",
        ),
        ({"way": 5, "sessions": 2}, r"--sessions=2, --way=5, --base_way=5: need 10 classes, and there are 8"),
        ({"shot": 7}, r"class class\d: has 6 clips to learn from, expected at least 7"),
        ({"learner": ("nearest",)}, r"unknown learner 'nearest': expected"),
        ({"head": ("linear",)}, r"unknown --head 'linear': expected"),
        ({"options": ("prototype.scala=2",)}, r"--learner=prototype: .*has no option 'scala'"),
        ({"tta": ("tent",)}, r"--embeddings: are vectors of clips as they were recorded"),
        ({"tta": ("tint",)}, r"--embeddings: are vectors|unknown method 'tint'"),
        ({"corruption": ("WHN",)}, r"--embeddings: are vectors"),
        ({"max_classes": 7}, r"classes: there are 8, expected at most --max_classes=7"),
        ({"dataset": "synthetic"}, r"--embeddings and --dataset: both are given"),
        ({"embeddings": None}, r"--embeddings and --dataset: neither is given"),
        ({"split": ("later",)}, r"no clip is of the split 'later'.*its splits are test, train"),
        ({"split": ("train", "test")}, r"expected splits that have none in common, or the same ones"),
        ({"reject": 1.0}, r"--reject=1.0: expected"),
        ({"seeds": ()}, r"names nothing"),
        ({"seeds": (0, -1)}, r"--seeds=-1: expected"),
        ({"batch_size": 0}, r"--batch_size=0: expected"),
        ({"memory_budget_mb": -1.0}, r"--memory_budget_mb=-1.0: expected"),
        ({"tta_sessions": "some"}, r"unknown --tta_sessions 'some': expected"),
        ({"cache_dtype": "float16"}, r"unknown --cache_dtype 'float16': expected"),
        ({"cache_dir": str(Path(__file__) / "cache")}, r"--cache_dir=.*: cannot be made"),
        ({"base_shot": "most"}, r"--base_shot=most: expected a number of clips"),
    ],
)
def test_bad_input_is_one_sentence_and_writes_nothing(changes, sentence, points, tmp_path):
    with pytest.raises(BadInput, match=sentence):
        incremental(a_run(points, tmp_path / "out", **changes), "the command")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["a", "b", "c", "d", "e", "f", "G", "g"], "'G' and 'g' are one name, or differ by case or Unicode form"),
        (["é", "e\u0301", *"abcdef"], "are one name, or differ by case or Unicode form"),
    ],
)
def test_names_that_differ_by_form_alone_are_refused(names, sentence, tmp_path):
    place = blobs(tmp_path / "points.npz", names=names)
    with pytest.raises(BadInput, match=sentence):
        incremental(a_run(place, tmp_path / "out"), "the command")


def test_speakers_on_both_sides_of_the_splits_are_said(points, tmp_path, capsys):
    given = dict(np.load(points))
    numbers = [int(name.rpartition("/")[2]) for name in given["ids"]]
    np.savez(tmp_path / "points.npz", **given, groups=np.array([f"speaker{k // 2}" for k in numbers]))
    incremental(a_run(tmp_path / "points.npz", tmp_path / "out", sessions=1), "the command")
    assert "share speakers or recordings: 6 test clips of a seed at the most" in capsys.readouterr().out


def test_without_splits_the_tests_are_what_the_shots_leave_over(tmp_path):
    incremental(a_run(blobs(tmp_path / "points.npz", splits=False), tmp_path / "out", seeds=(0,)), "the command")
    (found,) = records.read(tmp_path / "out", "incremental")
    assert found["n"] == 6 * (EACH - 3)


def test_a_loss_that_is_not_finite_stops_the_course(points, tmp_path, monkeypatch):
    made = runner.precisions.compiled

    def broken(learner):
        done = made(learner)
        return done._replace(learn=lambda *args: (done.learn(*args)[0], {"total": np.float32(np.nan)}))

    monkeypatch.setattr(runner.precisions, "compiled", broken)
    with pytest.raises(FloatingPointError, match=r"prototype, seed 0, session 1: the loss total is not finite"):
        incremental(a_run(points, tmp_path), "the command")


@pytest.fixture(scope="module")
def tones(tmp_path_factory):
    """A set of fifteen tones, and an untrained network that hears them."""
    place = tmp_path_factory.mktemp("tones")
    tiny.make_arabic(place / "data", {"train": 6, "val": 1, "test": 4})
    tiny.make_checkpoint(place / "checkpoint")
    tiny.make_noises(place / "noise")
    return place


def test_a_class_of_a_joined_set_is_known_by_its_own_name():
    def knew(classes):
        found = Backbone(None, {}, "abc", "tiny", "birds", classes).about(("birds/Owl", "birds/wren", "cats/lynx"))
        return found["knew_these_classes"]

    assert [knew(classes) for classes in (("owl", "lynx", "jay"), ("x/wren",), (), None)] == [2, 1, 0, None]


def of_tones(tones, workdir, **changes):
    run = IncrementalRun(
        dataset="arabic_speech_commands",
        data_dir=str(tones / "data"),
        checkpoint=str(tones / "checkpoint"),
        workdir=str(workdir),
        shot=3,
    )
    return run.replace(**changes)


def test_tones_are_learnt_from_a_network_under_noise_too(tones, tmp_path, capsys):
    noise = {"noise_dir": str(tones / "noise")}
    incremental(of_tones(tones, tmp_path, corruption=("clean", "WHN"), **noise), "the command")
    clean, noisy = records.read(tmp_path, "incremental")
    assert (clean["corruption"], noisy["corruption"], noisy["level"]) == ("clean", "WHN", "L2")
    assert clean["AA"] > 0.9  # three sessions of five: chance is 0.12
    assert clean["shots_corruption"] == "clean" and "draw_checksum" in noisy
    assert clean["backbone"]["knew_these_classes"] == 15
    assert min(clean["per_session"]["auroc_background"]) > 0.95  # noises are no tones
    assert max(clean["per_session"]["accepted_background"]) < 0.2
    assert len(clean["background"]) == 16 and noisy["background"] == clean["background"]
    said = capsys.readouterr().out
    assert "prototype seed 0 session 3/3: 15 classes, all " in said


def test_other_background_is_another_record(tones, tmp_path):
    tiny.make_noises(tmp_path / "noise")
    named = []
    for _ in range(2):
        run = of_tones(tones, tmp_path, noise_dir=str(tmp_path / "noise"), sessions=1)
        inputs = runner._inputs(run)
        (course,) = runner._courses(run, inputs, "prototype")
        named.append((inputs.readings.background, *runner._cells(run, inputs, course).values()))
        soundfile.write(tmp_path / "noise" / "_background_noise_" / "pink_noise.wav", tiny.tone(3, 0, 9000), tiny.RATE)
    assert all(one != other for one, other in zip(*named, strict=True))


def test_shots_under_the_same_noise_are_other_shots(tones, tmp_path):
    incremental(of_tones(tones, tmp_path, corruption=("WHN",)), "the command")
    incremental(of_tones(tones, tmp_path, corruption=("WHN",), shots_corruption="same"), "the command")
    clean, same = records.read(tmp_path, "incremental")
    assert clean["per_session"]["per_class"] != same["per_session"]["per_class"]
    assert (clean["draw_checksum"] == same["draw_checksum"]) is False  # the shots are drawn too


def test_a_learner_that_reads_what_the_network_lacks_is_refused(tones, tmp_path, monkeypatch):
    monkeypatch.setitem(LEARNERS, "by_levels", "tests.runs.test_incremental:by_levels")
    with pytest.raises(BadInput, match=r"--learner=by_levels: net .*has no layers to read"):
        incremental(of_tones(tones, tmp_path, learner=("by_levels",)), "the command")


def by_levels(classifier) -> Learner:
    from dhauds_jax.incremental import learners

    return learners.make("prototype", classifier)._replace(reads="layers")


def test_the_report_has_the_courses_and_their_figures(finished, tmp_path):
    workdir, _, _ = finished
    said = write_report([str(workdir)], str(tmp_path), html=True, formats=("csv",))
    assert "reported: " in said
    text = (tmp_path / "report.md").read_text()
    assert "3 sessions of 2 classes, 3 clips each" in text
    there = [one for one in records.read(workdir, "incremental") if one["shot"] == 3]
    assert f"| prototype | {len(there)} | {100 * np.mean([one['AA'] for one in there]):.1f} ±" in text
    assert (tmp_path / "incremental-matrix-1.png").stat().st_size > 1000
    assert "data:image/png" in (tmp_path / "report.html").read_text()
    assert (tmp_path / "tables" / "incremental.csv").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(("profile", "memory"), [("reference", 1), ("corrected", 1), ("corrected", 0)])
def test_a_course_that_trains_the_network_goes_on_to_the_same_records(profile, memory, tones, tmp_path, monkeypatch):
    """In profile reference session 0 moves the network, whose variables are then kept with the state."""
    place = tiny.make_checkpoint(tmp_path / "checkpoint", of=lambda classes: zoo.preset("ssast_test", classes))
    options = {"checkpoint": str(place), "learner": ("ede",), "options": ("ede.epochs=2",), "profile": profile}
    options["memory"] = memory
    incremental(of_tones(tones, tmp_path / "whole", **options), "the command")
    whole = records.read(tmp_path / "whole", "incremental")
    assert {one["head"] for one in whole} == {"prototype", "linear", "nme"}
    chosen_from = {"reference": "all", "corrected": "shots"}[profile] if memory else None
    assert [one["exemplars_from"] for one in whole] == [chosen_from] * 3
    assert whole[0]["labels_used"] == {"reference": 90, "corrected": 45}[profile]
    keep, calls = runner.keep, []

    def ending(*args):
        keep(*args)
        calls.append(None)
        if len(calls) == 2:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(runner, "keep", ending)
        with pytest.raises(Killed):
            incremental(of_tones(tones, tmp_path / "killed", **options), "the command")
    incremental(of_tones(tones, tmp_path / "killed", **options), "the command")
    assert without_times(records.read(tmp_path / "killed", "incremental")) == without_times(whole)


@pytest.mark.slow
def test_a_process_that_was_killed_goes_on_to_the_same_records(finished, points, tmp_path):
    words = ["-m", "experiments.incremental", f"--embeddings={points}", "--way=2", "--shot=3", "--sessions=3"]
    words += ["--seeds=0,1", f"--workdir={tmp_path}"]
    killed = 0
    for sessions in (1, 2, 4):
        child = subprocess.Popen([sys.executable, "-u", *words], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        seen = 0
        for line in child.stdout:
            seen += " session " in line
            if seen >= sessions - killed:
                os.kill(child.pid, signal.SIGKILL)
                killed = sessions
                break
        child.stdout.close()
        child.wait()
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert without_times(records.read(tmp_path, "incremental")) == without_times(finished[2])


def test_recipes_are_the_published_protocols():
    from dhauds_jax.runs import incremental_recipes as recipes

    assert len(recipes.RECIPES) == 12
    run = recipes.expanded(IncrementalRun(recipe="ffcac:mar_fsc89_50", workdir="x", memory=5))
    assert (run.dataset, run.learner, run.net) == ("fsc_89", ("mar",), "ast_base_fsc89_patches")
    assert (run.way, run.shot, run.sessions, run.order, run.profile) == (5, 5, 10, "identity", "reference")
    assert run.memory == 5 and run.seeds == (0, 1, 2, 3, 4, 5)
    run = recipes.expanded(IncrementalRun(recipe="ffcac:ede_ls100", workdir="x"), {"profile", "seeds"})
    assert (run.profile, run.seeds, run.order, run.sessions) == ("corrected", (0,), "identity", 5)
    with pytest.raises(BadInput, match=r"unknown recipe 'ffcac:ede_ls10'"):
        recipes.expanded(IncrementalRun(recipe="ffcac:ede_ls10", workdir="x"))
    with pytest.raises(BadInput, match=r"names its own set, expected it without --dataset"):
        recipes.expanded(IncrementalRun(recipe="ffcac:ede_ls100", workdir="x", dataset="synthetic"))
