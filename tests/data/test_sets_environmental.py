"""VocalSound, CochlScene, UrbanSound8K and ReefSet: listings of small copies, published constants, bad copies."""

import json
import math

import numpy as np
import pytest

from dhauds_jax.data import sets
from dhauds_jax.data.loading import load_split
from dhauds_jax.data.sets import reef_set
from dhauds_jax.data.sets.base import draw_name, multi_hot
from tests.data.fakes import environmental
from tests.data.fakes.environmental import FAKES

NAMES = [*(name for name in FAKES if "fold" not in name), "urban_sound_8k/fold3"]
PARENTS = {
    "vocal_sound": ["vs_release_16k", "VocalSound/vs_release_16k"],
    "cochl_scene": ["CochlScene", "CochlScene/CochlScene"],
    "urban_sound_8k": ["UrbanSound8K", "UrbanSound8K/UrbanSound8K"],
    "reef_set": ["ReefSet_v1.0", "ReefSet/ReefSet_v1.0"],
}


def listed(name, folder, split="test", allow_partial=False):
    return sets.get(name).listing(folder, split, allow_partial)


def check_bad(name, folder, message, split="test"):
    with pytest.raises(ValueError, match=message) as caught:
        listed(name, folder, split)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_small_copies_list_every_clip_once(name, tmp_path):
    counts = FAKES[name](tmp_path)
    data = sets.get(name)
    assert set(counts) == set(data.splits) == {"train", "val", "test"}
    ids = {}
    for split in data.splits:
        refs, _ = data.listing(tmp_path, split, False)
        ids[split] = [ref.id for ref in refs]
        assert len(refs) == len(set(ids[split])) == counts[split]
        assert all(ref.path.is_file() and ref.id in ref.path.as_posix() and "\\" not in ref.id for ref in refs)
        assert all(0 <= ref.label < len(data.classes) for ref in refs)
        assert {data.classes[ref.label] for ref in refs} == set(data.classes)
    assert not set(ids["train"]) & set(ids["test"])


@pytest.mark.parametrize(("name", "inside"), [(name, inside) for name, places in PARENTS.items() for inside in places])
def test_the_folder_or_either_parent_serves(name, inside, tmp_path):
    FAKES[name](tmp_path / inside)
    direct, _ = listed(name, tmp_path / inside)
    parent, _ = listed(name, tmp_path)
    assert [(ref.id, ref.label) for ref in parent] == [(ref.id, ref.label) for ref in direct]
    check_bad(name, tmp_path / "nowhere", "no such folder")
    check_bad(name, None, f"{name} needs --data_dir")
    (tmp_path / "empty").mkdir()
    check_bad(name, tmp_path / "empty", f"expected the folder of {name} or its parent")


def test_the_folder_of_the_lists_serves_too(tmp_path):
    FAKES["vocal_sound"](tmp_path / "voices")
    FAKES["urban_sound_8k"](tmp_path / "town")
    assert len(listed("vocal_sound", tmp_path / "voices" / "datafiles")[0]) == 12
    assert len(listed("urban_sound_8k", tmp_path / "town" / "metadata")[0]) == 31


@pytest.mark.parametrize("name", NAMES)
def test_published_counts_agree(name):
    data = sets.get(name)
    assert data.licence.startswith("CC BY") and data.citation and data.homepage.startswith("https://") and data.layout
    for split, classes in data.class_counts.items():
        assert set(classes) == set(data.classes)
        assert sum(classes.values()) == data.counts[split]
    assert data.seconds[0] <= data.length / data.sample_rate <= data.seconds[1]
    assert data.order == sets.Order(stretch_both_ways=True)


def test_published_constants():
    table = {
        "vocal_sound": (16_000, 160_000, 6, "accuracy", {"train": 15_531, "val": 1_855, "test": 3_591}),
        "vocal_sound/44k": (44_100, 441_000, 6, "accuracy", {"train": 15_531, "val": 1_855, "test": 3_591}),
        "cochl_scene": (44_100, 441_000, 13, "accuracy", {"train": 60_855, "val": 7_573, "test": 7_687}),
        "urban_sound_8k": (44_100, 176_400, 10, "macro_f1", {"train": 6_273, "val": 2_459, "test": 2_459}),
        "reef_set": (16_000, 30_080, 37, "macro_roc_auc", {"train": 39_937, "val": 17_137, "test": 17_137}),
    }
    for name, (rate, length, classes, metric, counts) in table.items():
        data = sets.get(name)
        assert (data.sample_rate, data.length, len(data.classes), data.metric) == (rate, length, classes, metric)
        assert dict(data.counts) == counts
    folds = [sets.get(f"urban_sound_8k/fold{k}") for k in range(1, 11)]
    assert [fold.counts["test"] for fold in folds] == [873, 888, 925, 990, 936, 823, 838, 806, 816, 837]
    assert all(fold.counts["train"] + fold.counts["test"] == 8_732 for fold in folds)
    totals = {name: sum(fold.class_counts["test"][name] for fold in folds) for name in folds[0].classes}
    assert [n for n in totals.values() if n != 1000] == [429, 374, 929] and draw_name(folds[0]) == "urban_sound_8k"


def test_vocal_sound_labels_follow_its_table(tmp_path):
    FAKES["vocal_sound"](tmp_path)
    refs, notices = listed("vocal_sound", tmp_path)
    assert [ref.id for ref in refs[:4]] == [f"f0003_0_{s}.wav" for s in ("laughter", "sigh", "cough", "throatclearing")]
    assert [ref.label for ref in refs] == [0, 1, 2, 3, 4, 5] * 2 and notices == ()
    assert refs[0].path == tmp_path / "audio_16k" / "f0003_0_laughter.wav"
    table = tmp_path / "class_labels_indices_vs.csv"
    good = table.read_text()
    table.write_text(good.replace("0,/m/01j3sz,Laughter", "0,/m/07plz5l,Sigh").replace("1,/m/07plz5l,Sigh", "1,x,y"))
    check_bad("vocal_sound", tmp_path, "classes 0 Sigh, 1 y, .*expected Laughter, Sigh, Cough, Throat clearing")
    table.write_text("mid,name\n")
    check_bad("vocal_sound", tmp_path, "columns .*expected index, mid and display_name")
    table.write_text(good)
    names = tmp_path / "datafiles" / "te.json"
    names.write_text(json.dumps({"data": [{"wav": "a.wav", "labels": "/m/0"}]}))
    check_bad("vocal_sound", tmp_path, "te.json: a.wav has class '/m/0', expected one of /m/01j3sz")
    names.write_text('{"data": []}')
    check_bad("vocal_sound", tmp_path, "te.json: no clips")
    names.write_text("[1, 2")
    check_bad("vocal_sound", tmp_path, "te.json: no list of clips")
    names.unlink()
    check_bad("vocal_sound", tmp_path, "te.json: no such file")


def test_both_versions_of_vocal_sound_share_ids(tmp_path):
    FAKES["vocal_sound"](tmp_path / "a")
    FAKES["vocal_sound/44k"](tmp_path / "b")
    # The authors' 44.1 kHz archive calls the folder audio_44k and its lists as those of 16 kHz.
    environmental.vocal_sound(tmp_path / "c", audio="audio_44k", rate=44_100)
    found = [listed(n, tmp_path / f)[0] for n, f in (("vocal_sound", "a"), *(("vocal_sound/44k", f) for f in "bc"))]
    assert len({tuple(ref[0] for ref in refs) for refs in found}) == 1
    assert [refs[0].path.parent.name for refs in found] == ["audio_16k", "data_44k", "audio_44k"]


def test_cochl_scene_is_sorted_and_misses_scenes(tmp_path):
    FAKES["cochl_scene"](tmp_path)
    refs, _ = listed("cochl_scene", tmp_path)
    assert refs[0].id == "Test/Bus/Bus_user0002_000.wav" and [ref.label for ref in refs] == sorted([*range(13)] * 2)
    for name in ("Bus", "Street"):
        for path in (tmp_path / "Test" / name).iterdir():
            path.unlink()
    check_bad("cochl_scene", tmp_path, r"Test has no clips of 2 of the 13 scenes \(the first: Bus, Street\)")
    refs, notices = listed("cochl_scene", tmp_path, allow_partial=True)
    assert len(refs) == 22 and "going on with 11" in notices[0]


@pytest.mark.parametrize(
    ("name", "clip", "fold", "group"),
    [
        ("urban_sound_8k", "fold10/100648-1-0-0.wav", "10", "100648"),
        ("urban_sound_8k/fold3", "fold3/6988-5-0-0.wav", "3", "6988"),
        ("esc50", "audio/5-9032-A-0.wav", "5", "9032"),
    ],
)
def test_ids_tell_folds_and_the_recordings_that_clips_were_cut_from(name, clip, fold, group):
    dataset = sets.get(name)
    assert (dataset.fold(clip), dataset.group(clip)) == (fold, group)


def test_urban_sound_follows_folds_and_says_what_val_is(tmp_path):
    FAKES["urban_sound_8k"](tmp_path)
    refs, notices = listed("urban_sound_8k", tmp_path)
    assert notices == () and [ref.id.split("/")[0] for ref in refs] == ["fold8"] * 11 + ["fold9"] * 10 + ["fold10"] * 10
    # The class is the second number of a file name.
    assert all(ref.label == int(ref.id.split("/")[1].split("-")[1]) for ref in refs)
    val, notices = listed("urban_sound_8k", tmp_path, "val")
    assert val == refs and "val is the test split" in notices[0]
    fold, _ = listed("urban_sound_8k/fold3", tmp_path)
    assert {ref.id.split("/")[0] for ref in fold} == {"fold3"} and len(fold) == 10
    assert len(listed("urban_sound_8k/fold3", tmp_path, "train")[0]) == 91
    clips = load_split("urban_sound_8k", tmp_path, "test", sample_rate=44_100, length=176_400, progress=False)
    assert clips.notices == (
        "1 of 31 files: 2 channels mixed down to one",
        "1 of 31 files: resampled from 22050 Hz to 44100 Hz",
    )
    table = tmp_path / "metadata" / "UrbanSound8K.csv"
    rows = table.read_text()
    table.write_text(rows.replace(",8,0,air", ",11,0,air"))
    check_bad("urban_sound_8k", tmp_path, "has fold '11' and classID '0', expected folds 1 to 10 and classes 0 to 9")
    table.write_text("a,b\n")
    check_bad("urban_sound_8k", tmp_path, "columns .*expected slice_file_name, fold and classID")
    table.write_text(rows.splitlines()[0] + "\n")
    check_bad("urban_sound_8k", tmp_path, "no clips in folds 8, 9, 10")


def test_absent_files_are_counted(tmp_path):
    FAKES["reef_set"](tmp_path)
    for path in sorted((tmp_path / "full_dataset").glob("*1.*.wav"))[:7]:
        path.unlink()
    check_bad("reef_set", tmp_path, "test_annotations.csv names 37 files and 7 of them are absent")
    refs, notices = listed("reef_set", tmp_path, allow_partial=True)
    assert len(refs) == 30 and "going on with 30" in notices[0]


def test_reef_set_reads_the_lists_of_dhauds(tmp_path):
    FAKES["reef_set"](tmp_path)
    refs, notices = listed("reef_set", tmp_path)
    assert notices == () and refs[4].id == "41.bermuda.somebody.bioph.wav" and refs[4].label == 4
    assert [ref.label for ref in refs] == list(range(37))
    (tmp_path / "test_annotations.csv").write_text(",file_name,label\n0,a.wav,bioph_unicorn\n")
    check_bad("reef_set", tmp_path, "a.wav has label 'bioph_unicorn', expected one of ReefSet's 37")
    (tmp_path / "test_annotations.csv").write_text("name\n")
    check_bad("reef_set", tmp_path, "columns .*expected id, file_name, label")


def test_several_labels_set_the_kinds_above_them():
    data = sets.get("reef_set/multiple")
    rows = multi_hot(data, np.arange(37))
    names = {name: sorted(data.classes[i] for i in np.flatnonzero(row)) for name, row in zip(data.classes, rows)}
    assert names["ambient"] == ["ambient"] and names["bioph"] == ["bioph"] and names["geoph_waves"] == ["geoph_waves"]
    assert names["bioph_whup"] == ["bioph", "bioph_whup"] and names["bioph_knock"] == ["bioph", "bioph_knock"]
    assert names["bioph_knock_croak_b"] == ["bioph", "bioph_knock", "bioph_knock_croak_b"]
    # 31 classes are bioph_x: 3 knock-croaks have three labels, 28 have two; the 6 other classes have one.
    assert rows.sum() == 1 * 6 + 2 * 28 + 3 * 3 and rows.dtype == np.float32


def independent_split(rows, labels):
    """The published rule without scikit-learn: one permutation a label, its first ceil(0.3 n) are the test clips."""
    train, test = [], []
    for label in labels:
        members = [row["file_name"] for row in rows if row["label"] == label]
        order = np.random.RandomState(123456).permutation(len(members))
        cut = math.ceil(0.3 * len(members))
        test += [members[i] for i in order[:cut]]
        train += [members[i] for i in order[cut:]]
    return train, test


def test_the_rebuilt_split_is_the_published_rule():
    rng = np.random.default_rng(3)
    labels = ("bioph_whup", "ambient", "bioph_knock", "geoph_waves")
    sizes = dict(zip(labels, (55, 101, 20, 2)))
    rows = [{"file_name": f"{label}{i}.wav", "label": label} for label in labels for i in range(sizes[label])]
    rows = [rows[i] for i in rng.permutation(len(rows))]
    train, test = reef_set.split_rows([*rows, {"file_name": "x.wav", "label": "unknown"}], labels)
    assert ([row["file_name"] for row in train], [row["file_name"] for row in test]) == independent_split(rows, labels)
    assert [sum(row["label"] == label for row in test) for label in labels] == [17, 31, 6, 1]
    with pytest.raises(ValueError, match="1 annotations of ambient, expected at least 2"):
        reef_set.split_rows([{"file_name": "a.wav", "label": "ambient"}], ("ambient",))


def test_the_published_test_counts_are_thirty_per_cent_rounded_up():
    counts = sets.get("reef_set").class_counts
    for name, test in counts["test"].items():
        assert test == math.ceil(0.3 * (test + counts["train"][name]))


def test_reef_set_rebuilds_the_split_when_lists_are_absent(tmp_path):
    counts = environmental.reef_set(tmp_path, per_label=7, rebuilt=True)
    assert counts["train"] == 223
    train, notices = listed("reef_set", tmp_path, "train")
    test, _ = listed("reef_set", tmp_path)
    rows = json.loads((tmp_path / "reefset_annotations.json").read_text())
    expected = independent_split(rows, reef_set.CLASSES)
    assert ([ref.id for ref in train], [ref.id for ref in test]) == expected
    # ceil(0.3 * 7) = ceil(0.3 * 8) = 3
    assert len(test) == 37 * 3 and len(train) == 37 * 4 + 1
    assert notices == ("no train_annotations.csv: the train split is rebuilt from reefset_annotations.json",)


def test_a_rebuilt_split_never_shares_clips_with_a_given_list(tmp_path):
    environmental.reef_set(tmp_path, per_label=7, rebuilt=True)
    train, _ = listed("reef_set", tmp_path, "train")
    lines = [f"{i},1,{ref.id},{reef_set.CLASSES[ref.label]},s,d,r" for i, ref in enumerate(train[:2])]
    (tmp_path / "test_annotations.csv").write_text(
        ",id,file_name,label,data_sharer,dataset,recorder\n" + "\n".join(lines)
    )
    check_bad("reef_set", tmp_path, "2 of its clips are in the rebuilt train split too", "train")
    (tmp_path / "test_annotations.csv").unlink()
    (tmp_path / "reefset_annotations.json").write_text("{")
    check_bad("reef_set", tmp_path, "no list of annotations")
    (tmp_path / "reefset_annotations.json").unlink()
    check_bad("reef_set", tmp_path, "neither test_annotations.csv nor reefset_annotations.json")


def test_labels_outside_the_table_are_counted(tmp_path):
    environmental.reef_set(tmp_path, per_label=2, rebuilt=True)
    path = tmp_path / "reefset_labels_by_dataset.csv"
    path.write_text("Class label,Bermuda\nambient,3\nbioph,2\n")
    refs, notices = listed("reef_set", tmp_path)
    assert [ref.label for ref in refs] == [0, 4]
    assert notices[1] == "70 of 75 annotations are left out, reefset_labels_by_dataset.csv has not their labels"
    path.write_text("Class label\nbioph_unicorn\n")
    check_bad("reef_set", tmp_path, "labels bioph_unicorn, expected those of ReefSet v1.0")
