"""Drawing NSynth-100's tables: by a hash of names, so that other notes change nothing."""

import pytest

from dhauds_jax.data import sets
from dhauds_jax.data.built import nsynth_100 as built
from dhauds_jax.errors import BadInput
from tests.data.fakes import few_shot

SMALL = {"train": (3, 1), "val": (1, 0), "test": (2, 2)}


def test_notes_are_drawn_once_and_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(built, "SIZES", SMALL)
    few_shot.nsynth_raw(tmp_path)
    (notice,) = built.build(tmp_path, tmp_path)
    assert notice == "98 instruments have fewer notes than published (the first: keyboard_acoustic_017)"
    data = sets.get("nsynth_100")
    found = {split: data.listing(tmp_path, split, False)[0] for split in data.splits}
    ids = [ref.id for refs in found.values() for ref in refs]
    assert len(set(ids)) == len(ids) == 9
    labels = {split: [ref.label for ref in refs] for split, refs in found.items()}
    assert labels == {"train": [0, 0, 0, 99], "val": [0], "test": [0, 0, 99, 99]}
    # SHA-256 of the six names, the smallest first, by sha256sum
    base = [ref.path.stem.partition("-")[2] for refs in found.values() for ref in refs if ref.label == 0]
    assert base == ["061-025", "062-025", "021-025", "060-127", "021-050", "040-025"]


def test_notes_stay_where_they_are(tmp_path):
    few_shot.nsynth_raw(tmp_path / "raw")
    with pytest.raises(BadInput, match=r"is not --data_dir=\S+, expected the same: notes stay where they are"):
        built.build(tmp_path / "raw", tmp_path)
    with pytest.raises(BadInput, match=r"holds no notes of guitar_electronic_017 and others, expected nsynth-train"):
        built.build(tmp_path, tmp_path)
