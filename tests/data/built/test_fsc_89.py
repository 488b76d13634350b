"""Drawing and cutting FSC-89 from soundscapes and their annotations."""

import numpy as np
import pytest
import soundfile

from dhauds_jax.data import sets
from dhauds_jax.data.built import fsc_89 as built
from dhauds_jax.data.built.fsc_89 import Event
from dhauds_jax.errors import BadInput
from tests.data.fakes import few_shot

SMALL = {"train": (4, 6), "val": (3, 0), "test": (2, 3)}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    raw, output = tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("out")
    few_shot.fsd_mix_raw(raw)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(built, "SIZES", SMALL)
        notices = built.build(raw, output)
    data = sets.get("fsc_89")
    return raw, output, notices, {split: data.listing(output, split, False)[0] for split in data.splits}


def test_only_seconds_of_one_class_are_taken(place):
    _, _, notices, found = place
    labels = {split: sorted(ref.label for ref in refs) for split, refs in found.items()}
    assert labels == {"train": [0] * 4 + [59] * 6 + [88] * 6, "val": [0] * 3, "test": [0] * 2 + [59] * 3 + [88] * 3}
    starts = {int(ref.path.stem.split("_")[2]) for refs in found.values() for ref in refs}
    assert starts == {0, 54_243, 110_250}
    assert notices == ()


def test_later_classes_share_no_soundscape(place):
    _, _, _, found = place
    group = sets.get("fsc_89").group
    train, test = ({group(ref.id) for ref in found[split] if ref.label >= 59} for split in ("train", "test"))
    assert len(train) == 4 and len(test) == 2 and not train & test


def test_a_clip_is_its_second_of_the_soundscape(place):
    raw, output, _, _ = place
    whole = soundfile.read(raw / "FSD_MIX_SED.audio/val/soundscape_1.wav", dtype="int16")[0]
    clips = {
        path.name: soundfile.read(path, dtype="int16")[0] for path in (output / "audio/val").glob("soundscape_1_*")
    }
    assert np.array_equal(clips["soundscape_1_54243.wav"], whole[54_243 : 54_243 + 44_100])
    last = clips["soundscape_1_110250.wav"]  # half a second is left of the soundscape
    assert len(last) == 44_100 and np.array_equal(last[:22_050], whole[110_250:]) and not last[22_050:].any()


def test_whole_soundscapes_are_dealt_out_until_the_test_has_enough():
    events = [Event("val", f"s{k // 50}.wav", f"{k % 50 / 10}") for k in range(1_000)]
    dealt = built.apart(events)
    assert (len(dealt["train"]), len(dealt["test"])) == (500, 200)
    assert len({event.source for event in dealt["test"]}) == 4  # of 50 events each
    assert built.apart(events[::-1]) == dealt


def test_what_is_missing_is_said(tmp_path, place):
    with pytest.raises(BadInput, match=r"has no folder FSD_MIX_CLIPS\.annotations_revised, expected"):
        built.build(tmp_path, tmp_path)
    few_shot.fsd_mix_raw(tmp_path)
    table = tmp_path / "FSD_MIX_CLIPS.annotations_revised" / "novel_val.csv"
    table.write_text(table.read_text().replace("[59]", "[cat]"))
    with pytest.raises(BadInput, match=r"labels '\[cat\]' of soundscape_0\.wav, expected numbers from 0 to 88"):
        built.build(tmp_path, tmp_path / "out")
    table.unlink()
    with pytest.raises(BadInput, match=r"novel_val\.csv: no such file, expected the annotations"):
        built.build(tmp_path, tmp_path / "out")
