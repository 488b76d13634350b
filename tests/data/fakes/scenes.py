"""A small copy of the set of urban scenes."""

from __future__ import annotations

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


def _fold(folder: Path) -> dict[str, int]:
    return tau_urban_2019(folder, fold=True)


FAKES = {"tau_urban_2019": tau_urban_2019, "tau_urban_2019/fold1": _fold}
