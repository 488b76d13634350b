"""The manifest of the Tomofun challenge: fixed numbers of sub-classes, aliases, rows that stop it, groups."""

import csv

import numpy as np
import pytest
import soundfile

from dhauds_jax.data import sets
from dhauds_jax.data.loading import load_split
from dhauds_jax.data.sets import tomofun
from dhauds_jax.errors import BadInput

RANKED = [
    "0Barking",
    "1Howling",
    "2Crying",
    "3CO_Smoke",
    "4GlassBreaking",
    "5Blender",
    "5Cat",
    "5Dishes",
    "5Electrics",
    "5Other",
    "5Vacuum",
    "6Doorbell",
    "7Bird",
    "8Music_Instrument",
    "9Laugh_Shout_Scream",
]
"""The published names in their order: the ranks of label + remark, if all occur."""


def write(path, rows, columns=("path", "label", "remark")):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


@pytest.fixture
def copy(tmp_path):
    """Four clips, one in raw/, at two rates."""
    (tmp_path / "raw").mkdir()
    for name, rate in (("a.wav", 8_000), ("b.wav", 8_000), ("raw/-0RWZT-miFs_1.wav", 16_000), ("raw/_c.wav", 16_000)):
        soundfile.write(tmp_path / name, 0.1 * np.sin(np.arange(5 * rate)), rate)
    rows = [
        ("a.wav", 3, "COSmoke", ""),
        ("b.wav", 5, "Vacuum", "rec1"),
        ("raw/-0RWZT-miFs_1.wav", 3, "CO_Smoke", "-0RWZT-miFs"),
        ("raw/_c.wav", 9, "Laugh_Shout_Scream", "-0RWZT-miFs"),
    ]
    write(tmp_path / "manifest.csv", rows, ("path", "label", "remark", "group"))
    return tmp_path


def test_classes_are_the_published_ranks_and_merge_to_ten():
    assert [f"{tomofun.GROUPS['of'][k]}{name}" for k, name in enumerate(tomofun.CLASSES)] == RANKED == sorted(RANKED)
    of = np.array(tomofun.GROUPS["of"])
    assert of.tolist() == [0, 1, 2, 3, 4, *[5] * 6, 6, 7, 8, 9] and len(tomofun.GROUPS["names"]) == 10
    for name in ("tomofun", "home_sounds"):
        assert sets.get(name).class_groups == tomofun.GROUPS and sets.get(name).classes == tomofun.CLASSES


def test_a_thousand_remarks_keep_their_numbers_whatever_occurs(tmp_path):
    """Rows in any order, sub-classes missing: the published ranks move there (T9), ours do not."""
    rng = np.random.default_rng(0)
    known = [*tomofun.CLASSES, *tomofun.ALIASES]
    names = [known[k] for k in rng.integers(0, len(known), 1_000)]
    number = {name: tomofun.CLASSES.index(tomofun.ALIASES.get(name, name)) for name in known}
    rows = [(f"{k}.wav", tomofun.GROUPS["of"][number[name]], name) for k, name in enumerate(names)]
    found = tomofun.read_manifest(write(tmp_path / "manifest.csv", rows))
    assert [row.remark for row in found] == [number[name] for name in names]
    assert {row.remark for row in found} == set(range(15)) and {row.group for row in found} == {""}
    fewer = [row for row in rows if row[2] not in ("Howling", "Cat")]
    again = tomofun.read_manifest(write(tmp_path / "manifest.csv", fewer))
    assert [row.remark for row in again] == [number[row[2]] for row in fewer] and 800 < len(again) < 900


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            ("x.wav", 0, "Barkin"),
            r"row 4 \(x\.wav\): unknown remark 'Barkin', expected Barking, .*, one of the 15 sub-classes",
        ),
        (("x.wav", 0, ""), r"row 4 \(x\.wav\): unknown remark '', expected Barking, Howling or Crying, one of the 15"),
        (
            ("x.wav", 1, "Barking"),
            r"row 4 .*: label '1' with remark 'Barking', expected label 0 \(Barking\); mend the row",
        ),
        (("x.wav", 6, "Cat"), r"label '6' with remark 'Cat', expected label 5 \(Other\)"),
        (("b.wav", 0, "Barking"), r"row 4 \(b\.wav\): row 3 names the same file, expected each file once"),
        (("b", 0, "Barking"), r"row 4 \(b\): row 3 names the same file"),
    ],
)
def test_a_bad_row_stops_with_its_number(tmp_path, row, said):
    path = write(tmp_path / "manifest.csv", [("a.wav", 0, "Barking"), ("b.wav", 2, "Crying"), row])
    with pytest.raises(BadInput, match=said):
        tomofun.read_manifest(path)


def test_manifests_are_found_and_others_refused(tmp_path, copy):
    assert tomofun.find(copy) == tomofun.find(copy / "manifest.csv") == copy / "manifest.csv"
    with pytest.raises(BadInput, match=r"holds no manifest\.csv and neither does train nor raw inside it"):
        tomofun.find(copy / "raw")
    with pytest.raises(BadInput, match=r"manifest\.csv: columns \['file'\], expected path, label and remark"):
        tomofun.read_manifest(write(tmp_path / "manifest.csv", [], ("file",)))
    with pytest.raises(BadInput, match=r"manifest\.csv: no rows, expected one for each clip"):
        tomofun.read_manifest(write(tmp_path / "manifest.csv", []))


def test_clips_load_with_their_labels(copy):
    clips = load_split("tomofun", copy, "all", sample_rate=16_000, length=80_000, progress=False)
    assert clips.ids == ("a.wav", "b.wav", "raw/-0RWZT-miFs_1.wav", "raw/_c.wav")
    assert [clips.classes[k] for k in clips.labels] == ["CO_Smoke", "Vacuum", "CO_Smoke", "Laugh_Shout_Scream"]
    assert clips.notices == ("2 of 4 files: resampled from 8000 Hz to 16000 Hz",)
    (copy / "b.wav").unlink()
    with pytest.raises(BadInput, match=r"manifest\.csv names 4 files and 1 of them are absent \(the first: b\.wav\)"):
        load_split("tomofun", copy, "all", sample_rate=16_000, length=80_000, progress=False)


def test_the_group_column_is_the_group(copy):
    assert sets.get("tomofun").group is None
    group = sets.get("tomofun", copy).group
    assert group("raw/_c.wav") == group("raw/-0RWZT-miFs_1.wav") == "-0RWZT-miFs"
    assert (group("a.wav"), group("b.wav")) == ("a.wav", "rec1")  # a clip without one is alone
    write(copy / "manifest.csv", [("a.wav", 3, "COSmoke")])
    assert sets.get("tomofun", copy).group is None


def test_the_organisers_table_names_files_without_their_ending(copy):
    (copy / "manifest.csv").unlink()
    write(copy / "meta_train.csv", [("a", 1, "Howling"), ("_c", 5, "Other")], ("Filename", "Label", "Remark"))
    refs, notices = sets.get("tomofun", copy).listing(copy, "all", False)
    assert [(ref.id, ref.label) for ref in refs] == [("a.wav", 1), ("_c.wav", 9)] and notices == ()
    assert refs[1].path == copy / "raw" / "_c.wav"
