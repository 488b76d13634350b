"""LibriSpeech-100, NSynth-100 and FSC-89 as their tables have them, drawn here or published."""

import itertools
import shutil

import jax
import numpy as np
import pytest

from dhauds_jax.data import sets
from dhauds_jax.data.corruptions import clip_keys
from dhauds_jax.data.sets import fsc_89, librispeech_100, nsynth_100
from dhauds_jax.errors import BadInput
from tests.data.fakes import few_shot

NAMES = tuple(few_shot.FAKES)


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    made = {name: tmp_path_factory.mktemp("copy") for name in NAMES}
    return {name: (folder, few_shot.FAKES[name](folder)) for name, folder in made.items()}


@pytest.mark.parametrize("name", NAMES)
def test_every_split_lists_its_clips(copies, name):
    folder, counts = copies[name]
    data = sets.get(name)
    found = {split: data.listing(folder, split, False)[0] for split in data.splits}
    assert {split: len(refs) for split, refs in found.items()} == counts
    for refs in found.values():
        assert all(ref.path.is_file() and ref.path.as_posix().endswith(ref.id.partition("#")[0]) for ref in refs)
    ids = [{ref.id for ref in refs} for refs in found.values()]
    assert all(not one & other for one, other in itertools.combinations(ids, 2))
    assert data.seconds[0] * data.sample_rate == data.length and data.licence and data.citation and data.layout
    for split, per_class in data.class_counts.items():
        assert set(per_class) == set(data.classes) and sum(per_class.values()) == data.counts[split]


def test_published_counts():
    counts = {name: tuple(sets.get(name).counts.values()) for name in NAMES}
    assert counts["librispeech_100"] == counts["librispeech_100/published"] == (50_000, 15_000, 10_000)
    assert counts["nsynth_100"] == (15_500, 5_500, 10_000) and counts["fsc_89"] == (62_200, 11_800, 17_800)
    assert sets.get("nsynth_100").class_counts["val"]["flute_acoustic_002"] == 0
    assert len(nsynth_100.CLASSES) == len(set(nsynth_100.CLASSES)) == len(librispeech_100.CLASSES) == 100
    assert librispeech_100.CLASSES[:3] == ("1069", "1081", "1088") and librispeech_100.CLASSES.index("19") == 12
    assert librispeech_100.CLASSES[24] == "2196" and sum(librispeech_100.CUTS.values()) == 75_464
    assert nsynth_100.CLASSES[5] == "bass_synthetic_087" and nsynth_100.CLASSES[99] == "flute_acoustic_002"


def test_a_file_with_two_labels_has_two_ids(copies):
    folder, _ = copies["librispeech_100/published"]
    refs = sets.get("librispeech_100/published").listing(folder, "train", False)[0]
    assert [(ref.id, ref.label) for ref in refs] == [
        ("100spks_segments/1926_0.wav", 12),
        ("100spks_segments/1926_1.wav", 12),
        ("100spks_segments/1926_0.wav#13", 13),
        ("100spks_segments/1926_1.wav#13", 13),
    ]


def test_a_clip_is_cut_where_the_published_one_is(copies):
    assert fsc_89.clip_name("soundscape_7.wav", "1.23") == "soundscape_7_54243.wav"
    assert fsc_89.clip_name("soundscape_7.wav", "2.3") == "soundscape_7_101429.wav"  # exactly it would be 101430
    group = sets.get("fsc_89").group
    assert group("audio/base/train/soundscape_7_54243.wav") == group("audio/base/train/soundscape_7_0.wav#3")
    with pytest.raises(BadInput, match=r"start_time 'now' of soundscape_7\.wav: expected seconds"):
        fsc_89.clip_name("soundscape_7.wav", "now")


def test_both_kinds_of_tables_share_their_draws():
    names = ("nsynth_100", "nsynth_100/published")
    keys = [clip_keys(0, name, "WHN", "L2", ["nsynth-train/audio/a.wav"]) for name in names]
    assert np.array_equal(*map(jax.random.key_data, keys))


def test_bad_tables_are_said(copies, tmp_path):
    folder = shutil.copytree(copies["nsynth_100"][0], tmp_path / "copy")
    listing = sets.get("nsynth_100").listing
    table = folder / "nsynth_100_val.csv"
    text = table.read_text()
    table.write_text(text + text.splitlines()[1] + "\n")
    with pytest.raises(BadInput, match=r"names nsynth-valid/audio/\S+ twice with the class 'guitar_electronic_017'"):
        listing(folder, "val", False)
    table.write_text(text.replace(",guitar_electronic_017,", ",guitar,"))
    with pytest.raises(BadInput, match=r"unknown class 'guitar', expected one of 100: guitar_electronic_017,"):
        listing(folder, "val", False)
    table.unlink()
    with pytest.raises(BadInput, match=r"check_data --dataset=nsynth_100 --data_dir=\S+ --build=RAW"):
        listing(folder, "val", False)
    with pytest.raises(BadInput, match=r"holds no Fsc89-setup1-fsci_val\.csv and neither does .* or its parent$"):
        sets.get("fsc_89/published").listing(folder, "val", False)
