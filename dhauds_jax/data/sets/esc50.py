"""ESC-50: 2,000 environmental sounds of 5 s, 50 classes, 5 folds; whole as a noise corpus, or one fold against four."""

from __future__ import annotations

from pathlib import Path

from dhauds_jax.data.sets.base import ClipRef, DataSet, Order, check_split, find_root, read_rows
from dhauds_jax.data.sets.copies import check_present, unlisted
from dhauds_jax.errors import BadInput

_NAMES = """dog rooster pig cow frog cat hen insects sheep crow
rain sea_waves crackling_fire crickets chirping_birds water_drops wind pouring_water toilet_flush thunderstorm
crying_baby sneezing clapping breathing coughing footsteps laughing brushing_teeth snoring drinking_sipping
door_wood_knock mouse_click keyboard_typing door_wood_creaks can_opening washing_machine vacuum_cleaner clock_alarm
clock_tick glass_breaking
helicopter chainsaw siren car_horn engine train church_bells airplane fireworks hand_saw"""
CLASSES = tuple(_NAMES.split())
"""In the order of the column `target`."""
FOLDS = (1, 2, 3, 4, 5)
TABLE = "esc50.csv"
INSIDE = ("meta", "ESC-50/meta", "ESC-50-master/meta")
_COLUMNS = ("category", "filename", "fold", "target")


def listing(
    folds: tuple[int, ...], data_dir: Path | str | None, allow_partial: bool
) -> tuple[list[ClipRef], tuple[str, ...]]:
    """Lists the clips of some folds in the order of `meta/esc50.csv`.

    Args:
      folds: of 1 to 5.
      data_dir: the folder that holds `esc50.csv`, its parent (with `audio/` and `meta/`) or that one's.
      allow_partial: go on when the csv names absent files.

    Raises:
      BadInput: folder, csv or columns missing, a fold or class that there is not, absent files.
    """
    table = find_root(data_dir, INSIDE, TABLE, "esc50") / TABLE
    root = table.resolve().parent.parent
    refs, names = [], set()
    for row in read_rows(table, _COLUMNS, f"{', '.join(_COLUMNS)} among them"):
        category, name, fold, target = (row[column] for column in _COLUMNS)
        names.add(name)
        if fold not in map(str, FOLDS) or not target.isdecimal() or (int(target), category) not in enumerate(CLASSES):
            raise BadInput(
                f"{table}: {name} has fold {fold}, target {target}, category {category}, "
                "expected a fold from 1 to 5 and one of the 50 categories with its own target"
            )
        if int(fold) in folds:
            refs.append(ClipRef(f"audio/{name}", root / "audio" / name, int(target)))
    if not refs:
        raise BadInput(f"{table}: no rows of fold {', '.join(map(str, folds))}, expected one for each clip")
    present, notices = check_present(refs, table, allow_partial)
    return present, (*notices, *unlisted([root / "audio"], names, table))


def fold_of(clip: str) -> str:
    """The fold of a clip's id, "1" to "5"."""
    return clip.removeprefix("audio/").partition("-")[0]


def group_of(clip: str) -> str:
    """The Freesound recording that a clip was cut from."""
    return clip.removeprefix("audio/").split("-")[1]


def _data_set(variant: str, splits: dict[str, tuple[int, ...]]) -> DataSet:
    def checked(data_dir: Path | str | None, split: str, allow_partial: bool):
        check_split(made, split)
        return listing(splits[split], data_dir, allow_partial)

    made = DataSet(
        name=f"esc50{variant}",
        classes=CLASSES,
        sample_rate=44_100,
        length=220_500,
        splits=tuple(splits),
        metric="accuracy",
        order=Order(),
        licence="CC BY-NC 3.0 (the subset ESC-10: CC BY 3.0)",
        citation="K. J. Piczak, ESC: dataset for environmental sound classification, ACM Multimedia 2015",
        listing=checked,
        homepage="https://github.com/karolpiczak/ESC-50",
        layout="""meta/esc50.csv                        columns: filename, fold, target, category, ...
audio/<fold>-<source>-<take>-<target>.wav""",
        counts={split: 400 * len(folds) for split, folds in splits.items()},
        class_counts={split: dict.fromkeys(CLASSES, 8 * len(folds)) for split, folds in splits.items()},
        seconds=(5.0, 5.0),
        fold=fold_of,
        group=group_of,
    )
    return made


DATA_SETS = (
    _data_set("", {"all": FOLDS}),
    *(_data_set(f"/fold{k}", {"train": tuple(f for f in FOLDS if f != k), "test": (k,)}) for k in FOLDS),
)
