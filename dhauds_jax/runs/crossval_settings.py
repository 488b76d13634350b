"""What a cross-validation is asked for, checked, with what its profile stands for filled in."""

from __future__ import annotations

from typing import Any

from dhauds_jax.data import sets
from dhauds_jax.dsp.shifts import read_views
from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.runs.crossval_overlap import check_extra
from dhauds_jax.runs.requests.crossval import FOLD_RULES, SELECTIONS, CrossvalRun
from dhauds_jax.train.request import TrainOptions

QUIRKS: dict[str, tuple[Any, Any]] = {
    "selection": ("nested", "oracle"),
    "fold_rule": ("groups", "permutation"),
    "loss": ("cross_entropy", "double_softmax"),
    "epoch_views": ("first", "all"),
    "train_shifts": (False, True),
    "lost_rows": (False, True),
    "whole_batches": (False, True),
}
"""What profiles corrected and reference stand for, where a flag is left out."""


def settled(run: CrossvalRun, config: ClassifierConfig) -> CrossvalRun:
    """The run with every quirk said; of a net without examples profile reference loses none."""
    which = ("corrected", "reference").index(run.profile)
    own = {name: both[which] for name, both in QUIRKS.items() if getattr(run, name) is None}
    if own.get("lost_rows") and config.front_end["kind"] != "vggish":
        own["lost_rows"] = False
    return run.replace(**own)


def check(run: CrossvalRun, dataset: sets.DataSet) -> None:
    """Raises `BadInput` in one sentence for what cannot be, before anything is read."""
    check_number("--folds", run.folds, 3 if run.selection != "oracle" else 2, because=_WHY_THREE)
    check_number("--noise_clips", run.noise_clips, 0)
    for value in run.temperatures:
        check_number("--temperatures", value, 0.0, above=True)
    if not run.temperatures:
        raise BadInput("--temperatures=: expected at least one, such as 1")
    read_views(run.views)
    wrong = [k for k in run.only_folds if not 1 <= k <= run.folds]
    if wrong:
        raise BadInput(f"--only_folds={','.join(map(str, run.only_folds))}: expected folds from 1 to {run.folds}")
    for name, known in (("selection", SELECTIONS), ("fold_rule", FOLD_RULES)):
        if getattr(run, name) not in known:
            raise BadInput(f"--{name}={getattr(run, name)}: expected one of {', '.join(known)}")
    if run.refit and run.selection != "nested":
        raise BadInput(f"--refit: with --selection={run.selection} no part was kept to choose by, expected nested")
    if run.fold_rule == "published" and dataset.fold is None:
        raise BadInput(f"--fold_rule=published: {dataset.name} has no published folds, expected --fold_rule=groups")
    if dataset.label_rows is not None:
        raise BadInput(f"--dataset={run.dataset}: its clips have several labels, expected a set with one label a clip")
    if run.noise_clips and run.noise_class not in dataset.classes:
        raise BadInput(
            f"--noise_clips={run.noise_clips}: {dataset.name} has no class {run.noise_class!r} for them, expected "
            "--noise_class=NAME with one of its classes, or --noise_clips=0"
        )
    check_extra(run)
    _check_splits(run, dataset)


_WHY_THREE = "nested choice needs a fold to report, one to choose by and one to train on"


def _check_splits(run: CrossvalRun, dataset: sets.DataSet) -> None:
    for split in (*run.splits, *([run.test_split] if run.test_split not in (None, "none") else [])):
        if split not in dataset.splits:
            raise BadInput(
                f"there is no split {split!r} of {dataset.name}, expected some of {', '.join(dataset.splits)}"
            )
    if run.test_split in run.splits:
        raise BadInput(f"--test_split={run.test_split}: is among --splits, expected one that no fold sees, or none")


def pooled_splits(run: CrossvalRun, dataset: sets.DataSet) -> tuple[str, ...]:
    """The splits that are shared out over the folds."""
    asked = tuple(run.splits) or tuple(split for split in dataset.splits if split != test_split(run, dataset))
    if not asked:
        raise BadInput(f"--splits: {dataset.name} has only {', '.join(dataset.splits)}, expected --test_split=none")
    return asked


def test_split(run: CrossvalRun, dataset: sets.DataSet) -> str | None:
    """The split that no fold sees; None for none."""
    if run.test_split == "none":
        return None
    if run.test_split is not None:
        return run.test_split
    return "test" if "test" in dataset.splits and "test" not in run.splits else None


def train_options(run: CrossvalRun) -> TrainOptions:
    """The recipe of each fold, for `train.loop.train`."""
    return TrainOptions(
        epochs=run.epochs,
        batch_size=run.batch_size,
        optimiser="adam",
        lr=run.lr,
        weight_decay=run.weight_decay,
        smoothing=run.smoothing,
        views=("clean",),
        crop="head",
        selection="last",
        milestones=tuple(run.milestones),
        decay_factor=run.decay_factor,
        loss=run.loss,
        first_epoch_plain=False,
        crop_last_start=True,
        nesterov=False,
        time_flip=False,
    )
