"""Small copies of the sets of urban scenes and of places with events."""

from __future__ import annotations

import functools
from pathlib import Path

from dhauds_jax import class_names
from tests.data.fakes.audio import write_clip

TOWNS = ("barcelona", "milan", "vienna")


def tau_urban_2019(folder: Path, *, fold: bool = False, by_scene: bool = False) -> dict[str, int]:
    """Three clips a scene, stereo, 0.1 s each, the first two in train; files in audio/, or in a folder a scene."""
    rows = []
    for label, scene in enumerate(class_names.TAU_URBAN_2019):
        for number, town in enumerate(TOWNS):
            name = f"{scene}-{town}-{number}-{label}-a.wav"
            place = folder / "audio" / (scene if by_scene else "") / name
            write_clip(place, 3 * label + number, rate=48_000, seconds=0.1, channels=2)
            rows.append((f"audio/{name}", scene, f"{town}-{number}", "a", number))
    head = ("filename", "scene_label", "identifier", "source_label")
    (folder / "evaluation_setup").mkdir()
    _table(folder / "meta.csv", [head, *(row[:4] for row in rows)])
    _table(folder / "evaluation_setup" / "fold1_train.csv", [head[:2], *(row[:2] for row in rows if row[4] < 2)])
    _table(folder / "evaluation_setup" / "fold1_test.csv", [head[:1], *(row[:1] for row in rows if row[4] == 2)])
    _table(folder / "evaluation_setup" / "fold1_evaluate.csv", [head[:2], *(row[:2] for row in rows if row[4] == 2)])
    return {"train": 20, "test": 10} if fold else {"all": 30}


def _table(path: Path, rows: list[tuple[str, ...]]) -> None:
    path.write_text("".join("\t".join(row) + "\n" for row in rows))


PLACES = {
    "2016": {"home": {"a1": (21.0, ("(object) rustling", 2.0, 3.5), ("dishes", 9.5, 10.5))},
             "residential_area": {"b1": (10.0,), "b2": (4.0, ("bird singing", 0.0, 4.0))}},
    "2017": {"street": {"c1": (30.0, ("car", 0.0, 10.0), ("people walking", 5.0, 12.0), ("car", 29.0, 30.0))}},
}  # fmt: skip
"""For each edition, place and recording its length in seconds and its events with onset and offset."""


def tut_sed(folder: Path, *, editions: tuple[str, ...] = ("2016", "2017"), rate: int = 44_100) -> dict[str, int]:
    """Four recordings, annotated in three columns (2016) or seven (2017)."""
    count = 0
    for edition in editions:
        root = folder / f"TUT-sound-events-{edition}-development"
        for scene, recordings in PLACES[edition].items():
            for name, (seconds, *events) in recordings.items():
                count += 1
                place = f"audio/{scene}/{name}.wav"
                write_clip(root / place, count, rate=rate, seconds=seconds, channels=1 + (scene == "street"))
                rows = [(f"{onset:.6f}", f"{offset:.6f}", label) for label, onset, offset in events]
                if edition == "2017":
                    rows = [(place, scene, *row, "m", f"{name}-1") for row in rows]
                annotation = root / "meta" / scene / f"{name}.ann"
                annotation.parent.mkdir(parents=True, exist_ok=True)
                _table(annotation, rows)
                fold = 1 + len(name) * ord(name[-1]) % 4
                (root / "evaluation_setup").mkdir(exist_ok=True)
                _table(root / "evaluation_setup" / f"{scene}_fold{fold}_test.txt", [(place, scene)])
    return {"all": count}


def _fold(folder: Path) -> dict[str, int]:
    return tau_urban_2019(folder, fold=True)


FAKES = {
    "tau_urban_2019": tau_urban_2019,
    "tau_urban_2019/fold1": _fold,
    "tut_sed": tut_sed,
    **{f"tut_sed/{edition}": functools.partial(tut_sed, editions=(edition,)) for edition in PLACES},
}
