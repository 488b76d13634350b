"""Joined sets: labels, ids, groups and draws of the parts in one set, and what cannot be joined."""

import jax
import numpy as np
import pytest

from dhauds_jax.cells.request import AdaptRun
from dhauds_jax.data import sets
from dhauds_jax.data.corruptions import CORRECTED, clip_keys
from dhauds_jax.data.corruptions.stretch import choose
from dhauds_jax.data.loading import load_split
from dhauds_jax.errors import BadInput
from dhauds_jax.requests import set_names
from dhauds_jax.runs.corrupt import write_set
from dhauds_jax.runs.requests.corrupt import CorruptRun
from dhauds_jax.train.request import PretrainRun
from tests.data.fakes import FAKES


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Folders of AudioMNIST (48 kHz) and Free Spoken Digit (8 kHz)."""
    folders = [tmp_path_factory.mktemp(name) for name in ("audio_mnist", "free_spoken_digit")]
    FAKES["audio_mnist"](folders[0])
    FAKES["free_spoken_digit"](folders[1])
    return folders


@pytest.fixture
def places(digits):
    return ",".join(map(str, digits))


def by_id(name, where, split):
    data = sets.get(name, where)
    return {ref.id: data.classes[ref.label] for ref in data.listing(where, split, False)[0]}


def test_classes_of_equal_name_are_one(digits, places):
    data = sets.get("audio_mnist+free_spoken_digit", places)
    assert data.classes == tuple("0123456789") and data.splits == ("train", "val", "test")
    assert (data.sample_rate, data.length) == (48_000, 48_000) and data.metric == "accuracy"
    assert data.counts == {"train": 20_400, "val": 6_300, "test": 6_300} and data.seconds[1] == 2.5
    found = by_id(data.name, places, "test")
    own = [by_id(name, where, "test") for name, where in zip(("audio_mnist", "free_spoken_digit"), digits)]
    prefixed = {f"audio_mnist/{clip}": label for clip, label in own[0].items()}
    prefixed |= {f"free_spoken_digit/{clip}": label for clip, label in own[1].items()}
    assert found == prefixed and len(found) == 34


def test_labels_follow_the_names_where_orders_differ(tmp_path):
    for part, names in (("one", ("wolf", "cat")), ("two", ("ant", "cat"))):
        for name in names:
            FAKES["folder"](tmp_path / "spare")
            source = next((tmp_path / "spare").rglob("*.wav"))
            (tmp_path / part / "train" / name).mkdir(parents=True)
            (tmp_path / part / "train" / name / "a.wav").write_bytes(source.read_bytes())
    where = f"{tmp_path / 'one'},{tmp_path / 'two'}"
    assert sets.get("folder+folder", where).classes == ("cat", "wolf", "ant")
    assert by_id("folder+folder", where, "train") == {
        "folder/train/cat/a.wav": "cat",
        "folder/train/wolf/a.wav": "wolf",
        "folder~2/train/ant/a.wav": "ant",
        "folder~2/train/cat/a.wav": "cat",
    }
    apart = sets.get("folder+folder+apart", where)
    assert apart.classes == ("folder/cat", "folder/wolf", "folder~2/ant", "folder~2/cat")
    assert by_id(apart.name, where, "train")["folder~2/train/cat/a.wav"] == "folder~2/cat"


def test_a_clip_keeps_its_group_and_its_draws(places):
    data = sets.get("audio_mnist/fold1+free_spoken_digit/pairs", places)
    clips = ["audio_mnist/07/3_07_0.wav", "free_spoken_digit/recordings/3_theo_5.wav"]
    assert data.group(clips[0]) == "07" and data.group(clips[1]) == clips[1]  # of a pair the speaker is the class
    assert sets.get("speech_commands_v1+speech_commands_v2").group("speech_commands_v2/yes/a_nohash_1.wav") == "a"
    assert sets.get("esc50/fold1+esc50/fold2").fold("esc50~2/audio/3-1-A-0.wav") == "3" and data.fold is None
    joined = clip_keys(5, data.name, "WHN", "L2", clips)
    own = [
        clip_keys(5, *one)[0]
        for one in (
            ("audio_mnist", "WHN", "L2", ["07/3_07_0.wav"]),
            ("free_spoken_digit", "WHN", "L2", ["recordings/3_theo_5.wav"]),
        )
    ]
    assert np.array_equal(jax.random.key_data(joined), np.stack([jax.random.key_data(key) for key in own]))
    again = clip_keys(5, "folder+folder", "WHN", "L2", ["folder/a/x.wav", "folder~2/a/x.wav"])
    assert np.array_equal(*np.asarray(jax.random.key_data(again)))


def test_stretches_of_sets_that_differ_in_kind_are_refused():
    order = sets.get("esc50/fold1+urban_sound_8k").order
    assert order.stretch_both_ways is True
    mixed = sets.get("esc50/fold1+audio_mnist").order
    assert mixed.stretch_both_ways is None
    with pytest.raises(BadInput, match=r"TST: of the joined sets some may be slowed down .*corrupt each by itself"):
        choose(np, np.zeros((1, 4), np.uint32), "L2", quirks=CORRECTED, both_ways=mixed.stretch_both_ways)


def test_each_file_is_read_at_its_own_rate(places):
    clips = load_split(
        "audio_mnist+free_spoken_digit", places, "test", sample_rate=16_000, length=16_000, progress=False
    )
    assert clips.waves.shape == (34, 16_000)
    assert set(clips.lengths.tolist()) == {4_000, 2_400}  # 0.25 s at 48 kHz, 0.15 s at 8 kHz
    assert clips.notices == (
        "24 of 34 files: resampled from 48000 Hz to 16000 Hz",
        "10 of 34 files: resampled from 8000 Hz to 16000 Hz",
    )


@pytest.mark.parametrize(
    ("name", "where", "message"),
    [
        ("audio_mnist+", None, r"--dataset=audio_mnist\+: expected two data sets or more with \+ between them"),
        ("audio_mnist+apart", None, r"expected two data sets or more"),
        ("audio_mnist+nope", None, r"unknown data set 'nope'"),
        ("audio_mnist+synthetic", None, r"synthetic is made in memory, expected sets that lie on disk"),
        ("audio_mnist+reef_set/multiple", None, r"clips of reef_set/multiple have several labels"),
        ("audio_mnist+demand", None, r"audio_mnist has train and val and test; demand has all, expected sets with a"),
        ("audio_mnist+esc50/fold1", "a,b,c", r"--data_dir=a,b,c: 3 folders for the 2 sets of .*one for each in their"),
        ("audio_mnist+audio_mnist/fold1", "a", r"audio_mnist is named 2 times with the folder a, expected each set"),
    ],
)
def test_what_cannot_be_joined(name, where, message):
    with pytest.raises(BadInput, match=message):
        sets.get(name, where)


def test_one_folder_serves_all_parts(digits, tmp_path):
    (tmp_path / "data").symlink_to(digits[0])
    (tmp_path / "recordings").symlink_to(digits[1] / "recordings")
    assert len(by_id("audio_mnist+free_spoken_digit", tmp_path, "val")) == 34


def test_a_request_says_in_its_set_how_sets_are_joined():
    given = {"workdir": "w", "data_dir": "x,y", "net": "ssast_tiny"}
    run = PretrainRun(dataset="audio_mnist+esc50", join="apart", **given)
    assert run.dataset == "audio_mnist+esc50+apart" and run.replace(net="n").dataset == run.dataset
    assert PretrainRun(dataset="audio_mnist+esc50", **given).dataset == "audio_mnist+esc50"
    assert set_names("audio_mnist/fold1+my.sets:HUMS/low+apart") == ("audio_mnist", "my.sets:HUMS")
    with pytest.raises(BadInput, match=r"--join=apart: --dataset=esc50 is one set, expected several, such as A\+B"):
        AdaptRun(dataset="esc50", join="apart", checkpoint="c", corruption=("WHN",), workdir="w")


def test_a_corrupted_set_is_written_of_parts_at_one_rate_alone(places):
    run = CorruptRun(dataset="audio_mnist+free_spoken_digit", data_dir=places, corruption=("WHN",), output="out")
    with pytest.raises(BadInput, match=r"clips of its parts have 8000 and 48000 Hz, expected the same, .*each part"):
        write_set(run)
