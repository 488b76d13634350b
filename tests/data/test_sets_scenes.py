"""TAU Urban Acoustic Scenes 2019: listings of a small copy in both layouts, published constants, bad copies."""

import pytest

from dhauds_jax import class_names
from dhauds_jax.data import sets
from dhauds_jax.data.sets.base import draw_name
from tests.data.fakes.scenes import tau_urban_2019

NAME, FOLD = "tau_urban_2019", "tau_urban_2019/fold1"


def listed(folder, name=NAME, split="all", allow_partial=False):
    return sets.get(name).listing(folder, split, allow_partial)


def check_bad(folder, message, **about):
    with pytest.raises(ValueError, match=message) as caught:
        listed(folder, **about)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("by_scene", [False, True])
def test_either_layout_has_the_same_clips(tmp_path, by_scene):
    tau_urban_2019(tmp_path, by_scene=by_scene)
    refs, notices = listed(tmp_path)
    assert len(refs) == 30 and notices == () and all(ref.path.is_file() for ref in refs)
    assert refs[3].id == "audio/bus-barcelona-0-1-a.wav" and sets.get(NAME).classes[refs[3].label] == "bus"
    folder = "bus" if by_scene else "audio"
    assert refs[3].path.parent.name == folder
    train, test = (listed(tmp_path, FOLD, split)[0] for split in ("train", "test"))
    assert (len(train), len(test)) == (20, 10) and not {ref.id for ref in train} & {ref.id for ref in test}
    assert {ref.id for ref in (*train, *test)} == {ref.id for ref in refs}
    (refs[0].path.parent / "mine.wav").write_bytes(b"x")
    assert listed(tmp_path)[1] == (
        f"1 recording is not named in {tmp_path / 'meta.csv'} and not used: 1 .wav (the first: "
        f"{refs[0].path.parent.name}/mine.wav)",
    )


@pytest.mark.parametrize(
    "inside", ["TAU-urban-acoustic-scenes-2019-development", "tau2019uas/TAU-urban-acoustic-scenes-2019-development"]
)
def test_the_folder_or_either_parent_serves(tmp_path, inside):
    (tmp_path / inside).mkdir(parents=True)
    tau_urban_2019(tmp_path / inside)
    assert [ref.id for ref in listed(tmp_path)[0]] == [ref.id for ref in listed(tmp_path / inside)[0]]
    check_bad(tmp_path / "nowhere", "no such folder")
    check_bad(None, "tau_urban_2019 needs --data_dir")


def test_published_constants():
    data, fold = sets.get(NAME), sets.get(FOLD)
    assert data.classes == class_names.TAU_URBAN_2019 == tuple(sorted(data.classes)) and len(data.classes) == 10
    assert (data.sample_rate, data.length, data.counts) == (48_000, 480_000, {"all": 14_400})
    assert sum(data.class_counts["all"].values()) == 14_400 and fold.counts == {"train": 9_185, "test": 4_185}
    assert {split: sum(counts.values()) for split, counts in fold.class_counts.items()} == fold.counts
    assert draw_name(fold) == NAME


def test_bad_copies_get_one_sentence(tmp_path):
    tau_urban_2019(tmp_path)
    table = tmp_path / "meta.csv"
    good = table.read_text()
    table.write_text(good.replace("\tbus\t", "\tcoach\t", 1))
    check_bad(tmp_path, r"meta\.csv: audio/bus-barcelona-0-1-a\.wav has scene 'coach', expected one of airport, bus")
    table.write_text(good.replace("\t", ","))
    check_bad(tmp_path, "expected filename and scene_label separated by tabs")
    table.write_text(good.splitlines()[0] + "\n")
    check_bad(tmp_path, "names no clips, expected some")
    table.write_text(good)
    (tmp_path / "audio" / "bus-barcelona-0-1-a.wav").unlink()
    check_bad(tmp_path, "names 30 files and 1 of them are absent")
    assert len(listed(tmp_path, allow_partial=True)[0]) == 29
    (tmp_path / "evaluation_setup" / "fold1_train.csv").unlink()
    check_bad(tmp_path, r"fold1_train\.csv: no such file, expected the list", name=FOLD, split="train")
