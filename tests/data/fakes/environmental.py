"""Small copies of the sets of voices, scenes, towns and reefs."""

from __future__ import annotations

import csv
import functools
import json
from pathlib import Path

from dhauds_jax import class_names
from tests.data.fakes.audio import write_clip

MIDS = ("/m/01j3sz", "/m/07plz5l", "/m/01b_21", "/m/0dl9sf8", "/m/01hsr_", "/m/07ppn3j")
SOUNDS = ("laughter", "sigh", "cough", "throatclearing", "sneeze", "sniff")
REEF_FIELDS = ("id", "file_name", "label", "data_sharer", "dataset", "recorder")


def vocal_sound(folder: Path, *, audio: str = "audio_16k", suffix: str = "", rate: int = 16_000) -> dict[str, int]:
    """Six classes of one speaker a split (test: two), clips of 0.2 to 0.3 s; class table, lists and speaker tables."""
    folder.mkdir(parents=True, exist_ok=True)
    names = zip(MIDS, class_names.VOCAL_SOUND, strict=True)
    rows = [(i, mid, name) for i, (mid, name) in enumerate(names)]
    with (folder / "class_labels_indices_vs.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("index", "mid", "display_name"), *rows])
    speakers = {"tr": ("f0001",), "val": ("m0002",), "te": ("f0003", "m0004")}
    for number, (split, people) in enumerate(speakers.items()):
        clips = []
        for person in people:
            for label, (mid, sound) in enumerate(zip(MIDS, SOUNDS, strict=True)):
                name = f"{person}_0_{sound}.wav"
                seed = 100 * number + 10 * people.index(person) + label
                write_clip(folder / audio / name, seed, rate=rate, seconds=0.2 + 0.02 * label)
                clips.append({"wav": f"/somewhere/else/{audio}/{name}", "labels": mid, "spk_id": person})
        (folder / "datafiles").mkdir(exist_ok=True)
        (folder / "datafiles" / f"{split}{suffix}.json").write_text(json.dumps({"data": clips}, indent=1))
        (folder / "meta").mkdir(exist_ok=True)
        lines = "".join(f"{person},female,30,usa,english,no\n" for person in people)
        (folder / "meta" / f"{split}_meta.csv").write_text(lines)
    return {"train": 6, "val": 6, "test": 12}


def cochl_scene(folder: Path) -> dict[str, int]:
    """One clip a scene in Train and Val, two in Test, 0.1 s each."""
    counts = {"Train": 1, "Val": 1, "Test": 2}
    for number, (split, count) in enumerate(counts.items()):
        for label, scene in enumerate(class_names.COCHL_SCENE):
            for take in range(count):
                path = folder / split / scene / f"{scene}_user{number:04d}_{take:03d}.wav"
                write_clip(path, 1000 * number + 20 * label + take, rate=44_100, seconds=0.1)
    return {"train": 13, "val": 13, "test": 26}


def urban_sound_8k(folder: Path, *, test_folds: tuple[int, ...] = (8, 9, 10)) -> dict[str, int]:
    """One clip a class and fold, two of the first class in fold 8; one clip is stereo, one at 22.05 kHz."""
    rows = []
    for fold in range(1, 11):
        for label in (0, *range(10)) if fold == 8 else range(10):
            recording = 100_000 + 97 * ((fold * 7) % 10) + label
            take = sum(r[0].startswith(f"{recording}-") for r in rows)
            name = f"{recording}-{label}-0-{take}.wav"
            channels, rate = 2 if (fold, label) == (8, 1) else 1, 22_050 if (fold, label) == (9, 2) else 44_100
            path = folder / "audio" / f"fold{fold}" / name
            write_clip(path, 20 * fold + label + 400 * take, rate=rate, seconds=0.15, channels=channels)
            rows.append((name, recording, 0, 0.15, 1, fold, label, class_names.URBAN_SOUND_8K[label]))
    (folder / "metadata").mkdir(parents=True, exist_ok=True)
    header = ("slice_file_name", "fsID", "start", "end", "salience", "fold", "classID", "class")
    with (folder / "metadata" / "UrbanSound8K.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *sorted(rows)])
    test = sum(row[5] in test_folds for row in rows)
    return {"train": len(rows) - test, "val": test, "test": test}


def reef_set(folder: Path, *, per_label: int = 2, rebuilt: bool = False) -> dict[str, int]:
    """`per_label` clips a label (ambient: one more), the published tables, and DHAuDS's lists unless `rebuilt`.

    In the lists the first clip of each label is a test clip, the others train.
    """
    rows = []
    for index, label in enumerate(class_names.REEF_SET):
        for take in range(per_label + (index == 0)):
            number = 10 * index + take + 1
            name = f"{number}.bermuda.somebody.{label}.wav"
            write_clip(folder / "full_dataset" / name, number, rate=16_000, seconds=0.25)
            rows.append((number, name, label, "somebody", "bermuda", "hydromoth"))
    annotations = [dict(zip(REEF_FIELDS, row, strict=True)) for row in rows]
    (folder / "reefset_annotations.json").write_text(json.dumps(annotations))
    table = [("Class label", "Bermuda"), *((label, per_label) for label in class_names.REEF_SET)]
    with (folder / "reefset_labels_by_dataset.csv").open("w", newline="") as file:
        csv.writer(file).writerows(table)
    if rebuilt:
        # 30 % of each label, rounded up: one of two and one of three.
        return {"train": len(rows) - 37, "val": 37, "test": 37}
    for split in ("train", "test"):
        chosen = [row for row in rows if (row[0] % 10 == 1) == (split == "test")]
        with (folder / f"{split}_annotations.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("", *REEF_FIELDS), *((i, *row) for i, row in enumerate(chosen))])
    return {"train": len(rows) - 37, "val": 37, "test": 37}


FAKES = {
    "vocal_sound": vocal_sound,
    "vocal_sound/44k": functools.partial(vocal_sound, audio="data_44k", suffix="_rev", rate=44_100),
    "cochl_scene": cochl_scene,
    "urban_sound_8k": urban_sound_8k,
    **{f"urban_sound_8k/fold{k}": functools.partial(urban_sound_8k, test_folds=(k,)) for k in range(1, 11)},
    "reef_set": reef_set,
    "reef_set/multiple": reef_set,
}
