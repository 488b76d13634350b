"""experiments.crossval on tones: who is trained on what, a killed fold goes on, and every number worked out again."""

import csv
import json

import jax
import numpy as np
import pytest

from dhauds_jax import calibration, metrics
from dhauds_jax.data.sets.base import Generated
from dhauds_jax.errors import BadInput
from dhauds_jax.model import load
from dhauds_jax.nets import checkpoint, zoo
from dhauds_jax.runs import crossval_clips, crossval_fold
from dhauds_jax.runs.crossval import config_of, crossval, network
from dhauds_jax.runs.crossval_clips import EXTRA, LEFT_OVER, NO_FOLD, NOISE, TEST, permuted_folds, wanted
from dhauds_jax.runs.crossval_settings import QUIRKS, settled
from dhauds_jax.runs.evaluate import evaluate
from dhauds_jax.runs.report import write_report
from dhauds_jax.runs.requests.crossval import CrossvalRun
from dhauds_jax.runs.requests.evaluate import EvaluateRun
from dhauds_jax.workdir import records
from tests.runs import homes, tiny

MORE = {"extra_dataset": "tests.runs.homes:MORE", "extra": ("dog", "Other")}


def a_run(workdir, **changes):
    base = {"dataset": "tests.runs.homes:SET", "net": tiny.NET, "folds": 3, "epochs": 3, "batch_size": 16, "lr": 5e-3}
    return CrossvalRun(**{**base, "views": "shift:1", "noise_clips": 3, "workdir": str(workdir), **changes})


def pool_of(run, copies=1):
    config = config_of(run, homes.SET)
    return crossval_clips.read(settled(run, config), homes.SET, config, copies)


def test_profiles_settle_what_was_left_out():
    vggish = zoo.preset("vggish_small", homes.CLASSES)
    for name, (corrected, reference) in QUIRKS.items():
        assert getattr(settled(a_run("x"), vggish), name) == corrected
        assert getattr(settled(a_run("x", profile="reference"), vggish), name) == reference
    assert settled(a_run("x", profile="reference"), tiny.smallest(homes.CLASSES)).lost_rows is False
    assert settled(a_run("x", profile="reference", selection="nested"), vggish).selection == "nested"


def test_no_home_is_in_two_folds_and_none_is_trained_on_that_is_judged(tmp_path):
    pool = pool_of(a_run(tmp_path, **MORE))
    ids = np.array(pool.clips.ids)
    assert [int((pool.fold == kind).sum()) for kind in (TEST, EXTRA, NOISE)] == [16, 8, 3]
    by_fold = [{clip.partition("/")[0] for clip in ids[pool.rows(number)]} for number in range(3)]
    assert [len(some) for some in by_fold] == [2, 2, 2] and not set.intersection(*by_fold)
    trained = set(pool.training([0, 1], (0,)).ids)
    assert not trained & set(ids[pool.rows(0, 1, TEST)])
    assert trained == set(ids[pool.rows(2, EXTRA, NOISE)])
    assert {clip for clip in trained if clip.startswith("extra/")} == {
        f"extra/h{home}/{name}_{take}" for home in (8, 9) for name in ("Barking", "Other") for take in (0, 1)
    }
    assert pool.reported[pool.rows(0)].tolist() == [homes.GROUPS["of"][k] for k in pool.clips.labels[pool.rows(0)]]
    assert set(pool.clips.labels[pool.rows(NOISE)]) == {homes.CLASSES.index("Other")}


def test_extra_clips_like_judged_ones_are_left_out_where_those_are_held_out(tmp_path, capsys):
    """Before, 48 of 48 held-out clips were trained on."""
    pool = pool_of(a_run(tmp_path, extra_dataset="tests.runs.homes:AGAIN", extra=("all",), noise_clips=0))
    said = capsys.readouterr().out
    assert "note: extra: 64 clips of tests.runs.homes:AGAIN share samples or a group with clips that are judged" in said
    assert "held out: 16, 16, 16 of folds 1 to 3; of all folds 16, whose like no fold may see" in said
    for left_out in ([0], [0, 1]):
        judged = pool.rows(*left_out, TEST)
        trained = pool.training(left_out, (0,))
        assert not {w.tobytes() for w in trained.waves[np.arange(len(trained.ids))]} & {
            pool.clips.waves[k].tobytes() for k in judged
        }
        assert len(trained.ids) == 2 * 16 * (3 - len(left_out))


def test_extra_clips_of_a_judged_group_are_left_out(tmp_path, capsys):
    """Other sounds of homes 0 to 5, as another manifest may cut the same videos."""
    pool = pool_of(a_run(tmp_path, extra_dataset="tests.runs.homes:SAME_HOMES", extra=("all",), noise_clips=0))
    assert "48 clips of" in capsys.readouterr().out
    ids = np.array(pool.clips.ids)
    held = {clip.partition("/")[0] for clip in ids[pool.rows(1)]}
    extra = {clip.split("/")[1] for clip in pool.training([1], (0,)).ids if clip.startswith("extra/")}
    assert len(held) == 2 and len(extra) == 4 and not held & extra


def test_fewer_noises_than_copies_are_refused_and_a_rest_is_said(tmp_path, capsys):
    with pytest.raises(BadInput, match="--noise_clips=2: are shared out over the 3 copies of --views=shift:1, which "):
        pool_of(a_run(tmp_path, noise_clips=2), copies=3)
    pool_of(a_run(tmp_path, noise_clips=7), copies=3)
    assert "note: --noise_clips=7: 6 are made, 2 for each of 3 copies" in capsys.readouterr().out
    pool_of(a_run(tmp_path, noise_clips=6), copies=3)
    assert "2 trained on: without --train_shifts there is one copy in training" in capsys.readouterr().out
    for same in ({"noise_clips": 6, "train_shifts": True}, {"noise_clips": 0}):
        pool_of(a_run(tmp_path, **same), copies=3)
        assert "--noise_clips" not in capsys.readouterr().out


def test_every_shifted_copy_has_its_own_noises(tmp_path):
    """Of 7 noises over 3 copies each has 2; without training on copies only the first copy's are there."""
    pool = pool_of(a_run(tmp_path, noise_clips=7), copies=3)
    assert pool.copy[pool.rows(NOISE)].tolist() == [0, 0, 1, 1, 2, 2]
    assert sum(clip.startswith("noise/") for clip in pool.training([0, 1], (0,)).ids) == 2
    copies = pool.training([0, 1], (0, 100, 200))
    assert len(copies.ids) == 3 * 16 + 6
    own = pool.clips.waves[pool.rows(2)[0]]
    np.testing.assert_array_equal(copies.waves[np.array([16])][0], np.r_[own[100:], np.zeros(100)])
    noise = pool.clips.waves[pool.rows(NOISE)[-1]]
    np.testing.assert_array_equal(copies.waves[np.array([len(copies.ids) - 1])][0], noise)


def test_the_published_folds_are_slices_of_a_permutation():
    """50 clips and 6 noises, 5 folds of 11 each: one is left over, noises are judged by none."""
    fold, noises = permuted_folds(50, 6, 5, 0)
    both = np.concatenate([fold, noises])
    assert [int((both == number).sum()) for number in range(5)] == [11] * 5
    assert int((fold == LEFT_OVER).sum() + (noises == NO_FOLD).sum()) == 1
    assert not np.array_equal(fold, permuted_folds(50, 6, 5, 1)[0])


def test_a_noise_of_a_fold_is_not_trained_on_in_profile_reference(tmp_path):
    pool = pool_of(a_run(tmp_path, profile="reference", noise_clips=9))
    held = pool.held[pool.rows(NOISE)]
    assert set(held) - {NO_FOLD}
    for number in range(3):
        noises = sum(clip.startswith("noise/") for clip in pool.training([number], (0,)).ids)
        assert noises == int((held != number).sum())


def test_extra_classes_by_name_or_kind():
    assert wanted(homes.CLASSES, ("all",)) == homes.CLASSES
    assert wanted(homes.CLASSES, ("dog",)) == ("Barking",)
    assert wanted(homes.CLASSES, ("non_dog",)) == ("Cat", "Dishes", "Other")
    assert wanted(homes.CLASSES, ("Other", "Cat")) == ("Cat", "Other")
    with pytest.raises(BadInput, match="--extra=Cats: expected "):
        wanted(homes.CLASSES, ("Cats",))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"folds": 2}, "--folds=2: expected at least 3 .nested choice needs a fold to report, one to choose by"),
        ({"folds": 9}, "--folds=9: the 48 clips are of 6 groups"),
        ({"temperatures": (1.0, 0.0)}, "--temperatures=0.0: expected a finite number above 0"),
        ({"temperatures": ()}, "--temperatures=: expected at least one, such as 1"),
        ({"views": "shift"}, "--views=shift: expected shift:N"),
        ({"only_folds": (4,)}, "--only_folds=4: expected folds from 1 to 3"),
        ({"fold_rule": "published"}, "tones has no published folds, expected --fold_rule=groups"),
        ({"noise_class": "Noise"}, "--noise_clips=3: tones has no class 'Noise' for them"),
        ({"test_split": "val"}, "there is no split 'val' of tones, expected some of train, test"),
        ({"splits": ("test",), "test_split": "test"}, "--test_split=test: is among --splits"),
        ({"lost_rows": True}, "--lost_rows: the front end of .* has no examples to lose"),
        ({"batch_size": 1}, "--batch_size=1: expected at least 2"),
        ({"extra_dataset": "tests.runs.homes:SET"}, "--extra_dataset=tests.runs.homes:SET: is --dataset, whose held"),
        ({"extra_dataset": "esc50"}, "--extra_dataset=esc50: its class 'dog' is none of tones"),
        ({"checkpoint": "words15"}, "--checkpoint=words15: holds .* expected the encoder of --net="),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(tmp_path, changes, message):
    with pytest.raises(BadInput, match=message):
        crossval(a_run(tmp_path / "x", **changes), "c")
    assert not (tmp_path / "x").exists()


def test_a_class_without_clips_is_said(tmp_path, capsys):
    few = homes.SET._replace(
        generate=lambda split, seed: Generated(*(part[:6] for part in homes.generate(split, seed)))
    )
    run = settled(a_run(tmp_path, fold_rule="groups", noise_clips=0), tiny.smallest(homes.CLASSES))
    few = few._replace(group=None)
    pool = crossval_clips.read(run, few, config_of(run, few), 1)
    assert crossval_clips.say_absent(pool, config_of(run, few)) == ("rest",)
    said = capsys.readouterr().out
    assert "rest" in said
    assert "note: tones has no groups: clips of one recording or speaker may lie in several folds" in said


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of three folds: the folder, what it said, its record."""
    folder = tmp_path_factory.mktemp("crossval")
    said = crossval(a_run(folder), "the command")
    (record,) = records.read(folder, "crossval")
    return folder, said, record


def table(path):
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return rows, np.array([[float(row[name]) for name in homes.GROUPS["names"]] for row in rows])


@pytest.mark.slow
def test_the_numbers_are_those_of_the_tables(finished):
    folder, said, record = finished
    rows, p = table(folder / "out_of_fold.csv")
    names = homes.GROUPS["names"]
    truth = np.array([names.index(row["truth"]) for row in rows])
    fold = np.array([int(row["fold"]) for row in rows])
    assert len(rows) == record["n"] == 48 and set(record) >= set(records.CROSSVAL_KEYS)
    areas = [metrics.weighted_roc_auc(p[fold == k], truth[fold == k]) for k in (1, 2, 3)]
    # The table has six decimals, of which an area changes by none here.
    assert record["auc"] == pytest.approx(np.mean(areas), abs=1e-9)
    assert record["pooled_auc"] == pytest.approx(metrics.weighted_roc_auc(p, truth), abs=1e-9)
    assert record["accuracy"] == pytest.approx(
        np.mean([np.mean(p[fold == k].argmax(-1) == truth[fold == k]) for k in (1, 2, 3)])
    )
    assert record["gap"] == pytest.approx(record["oracle_auc"] - record["auc"]) and record["accuracy"] > 1 / 3
    for one in record["by_fold"]:
        assert one["epoch"] == int(np.argmax(one["curve"])) + 1
    assert f"oracle AUC {record['oracle_auc']:.4f}, gap {record['gap']:.4f}" in said
    assert f"fold 1: AUC {record['by_fold'][0]['auc']:.4f}" in said
    assert record["majority"] == np.bincount(truth).max() / 48 and "% (largest class " in said
    assert b"\r" not in (folder / "out_of_fold.csv").read_bytes()
    rows, p = table(folder / "test.csv")
    truth = np.array([names.index(row["truth"]) for row in rows])
    assert record["test"]["folds_views"]["auc"] == pytest.approx(metrics.weighted_roc_auc(p, truth), abs=1e-9)
    assert record["test"]["n"] == 16


@pytest.mark.slow
def test_the_ensemble_is_the_mean_of_what_the_checkpoints_say(finished):
    folder, _, record = finished
    models = [load(folder / f"fold{k}") for k in (1, 2, 3)]
    waves = homes.generate("test", 0).waves
    found = [model.predict(waves, rate=homes.RATE) for model in models]
    assert found[0].classes == tuple(homes.GROUPS["names"])
    assert [model.temperature for model in models] == record["test"]["temperatures"]
    _, p = table(folder / "test.csv")
    np.testing.assert_allclose(np.mean([one.probabilities for one in found], 0), p, atol=1e-5)


@pytest.mark.slow
def test_evaluate_reports_the_groups(finished, tmp_path):
    """As `test.csv` does, of one fold alone; the set's four classes are counted to three."""
    folder, _, _ = finished
    run = EvaluateRun(checkpoint=str(folder / "fold2"), dataset="tests.runs.homes:SET", output=str(tmp_path))
    evaluate(run, "c")
    (cell,) = json.loads((tmp_path / "evaluation.json").read_text())["cells"]
    assert [line["name"] for line in cell["classes"]] == homes.GROUPS["names"]
    made = homes.generate("test", 0)
    p = load(folder / "fold2").predict(made.waves, rate=homes.RATE).probabilities
    truth = calibration.labels_by_group(made.labels, homes.GROUPS)
    assert cell["accuracy"] == pytest.approx(np.mean(p.argmax(-1) == truth))
    assert cell["ece"] == pytest.approx(calibration.error_of(p, truth), abs=1e-6)


@pytest.mark.slow
def test_a_fold_keeps_what_a_threshold_needs(finished):
    folder, _, record = finished
    made = calibration.from_extra(checkpoint.load_extra(folder / "fold1"))
    rows, p = table(folder / "out_of_fold.csv")
    own = [k for k, row in enumerate(rows) if row["fold"] == "1"]
    assert made.chosen_by == "nested:auc" and made.temperature == record["by_fold"][0]["temperature"]
    np.testing.assert_allclose(made.known, np.sort(p[own].max(-1)), atol=1e-6)
    assert 0 <= calibration.threshold(made, reject=0.1) <= 1


@pytest.mark.slow
def test_a_finished_run_is_read_and_another_is_refused(finished, capsys):
    folder, said, record = finished
    assert crossval(a_run(folder), "c") == said
    assert "fold 3 of 3: finished before" in capsys.readouterr().out
    assert records.read(folder, "crossval") == [record]
    with pytest.raises(BadInput, match=r"fold1 is a fold of another run \(other flags\): choose another --workdir"):
        crossval(a_run(folder, lr=1e-3), "c")
    text = write_report([str(folder)], formats=("csv",))
    assert text.startswith("1 record reported")
    page = (folder / "report" / "report.md").read_text()
    assert "| largest class |" in page and "shifted copies" not in page
    assert "corrected, nested by auc, 3 noise clips" in page and f"| {100 * record['auc']:.1f} |" in page
    assert len((folder / "report" / "tables" / "crossval.csv").read_text().splitlines()) == 4


@pytest.mark.slow
def test_a_killed_fold_goes_on_and_folds_may_be_trained_apart(finished, tmp_path, monkeypatch, capsys):
    folder, first, _ = finished
    original = crossval_fold.train

    def dies(*args, **kwargs):
        for epoch in original(*args, **kwargs):
            yield epoch
            if epoch.index == 2:
                raise KeyboardInterrupt

    run = a_run(tmp_path, only_folds=(2,), save_every_s=0.0)
    with monkeypatch.context() as patched:
        patched.setattr(crossval_fold, "train", dies)
        with pytest.raises(KeyboardInterrupt):
            crossval(run, "c")
    assert not (tmp_path / "fold2").exists()
    assert crossval(run, "c").startswith("folds 2 are done; left: 1, 3")
    told = capsys.readouterr().out
    assert "fold 2 of 3: goes on, 1 of 3 epochs are done" in told
    assert first.splitlines()[1] in told.splitlines()
    whole, again = (checkpoint.load(place / "fold2")[0] for place in (folder, tmp_path))
    assert checkpoint.variables_hash(whole) == checkpoint.variables_hash(again)
    kinds = [
        json.loads((place / "fold2" / "extra.json").read_text())["crossval"]["nested"] for place in (folder, tmp_path)
    ]
    assert kinds[0] == kinds[1]
    assert not (tmp_path / "state" / "fold2").exists()


@pytest.mark.slow
def test_profile_reference_chooses_on_the_fold_that_it_reports(tmp_path):
    run = a_run(tmp_path, profile="reference", folds=2, epochs=2, noise_clips=4, views="shift:1", **MORE)
    said = crossval(run, "c")
    (record,) = records.read(tmp_path, "crossval")
    assert record["selection"] == "oracle" and record["gap"] is None
    assert record["auc"] == record["oracle_auc"] and "so no gap" in said
    assert record["options"]["loss"] == "double_softmax" and record["options"]["fold_rule"] == "permutation"
    assert record["by_fold"][0]["trained_on"] > 24


def test_folds_begin_with_the_encoder_of_a_checkpoint(tmp_path, capsys):
    """Its head has other classes, and is a new one in each fold."""
    other = tiny.make_checkpoint(tmp_path / "other", ("a", "b"), tiny.smallest_net)
    run = a_run(tmp_path / "x", checkpoint=str(other))
    config = config_of(run, homes.SET)
    classifier, first = network(settled(run, config), config)
    assert "has no head for these classes: each fold begins with a new one" in capsys.readouterr().out
    given, one, two = checkpoint.load(other)[0], first(1), first(2)
    for part in ("params", "batch_stats"):
        same = jax.tree.map(lambda a, b: bool(np.array_equal(a, b)), one[part]["encoder"], given[part]["encoder"])
        assert all(jax.tree.leaves(same))
    assert classifier.head(one).kernel.shape[1] == 4
    assert not np.array_equal(classifier.head(one).kernel, classifier.head(two).kernel)
