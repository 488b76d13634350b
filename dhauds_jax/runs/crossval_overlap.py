"""Extra clips of a cross-validation that are held-out clips too: the same samples, or of the same group."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int

from dhauds_jax import digests
from dhauds_jax.data.pipeline import ClipSplit
from dhauds_jax.errors import BadInput
from dhauds_jax.runs.requests.crossval import CrossvalRun
from dhauds_jax.wording import counted

Group = Callable[[str], str] | None


def check_extra(run: CrossvalRun) -> None:
    """Raises `BadInput` where the extra set is the one that is shared out."""
    places = {Path(folder).resolve() if folder else None for folder in (run.data_dir, run.extra_data_dir)}
    if run.extra_dataset == run.dataset and len(places) == 1:
        raise BadInput(
            f"--extra_dataset={run.extra_dataset}: is --dataset, whose held-out clips would be trained on, expected "
            "another set, or another folder by --extra_data_dir"
        )


def overlaps(
    extra: ClipSplit,
    extra_group: Group,
    clips: ClipSplit,
    group: Group,
    judged: Int[np.ndarray, " judged"],
    fold: Int[np.ndarray, " judged"],
    folds: int,
) -> Bool[np.ndarray, "extra judgements"]:
    """Which extra clips each fold, and last the clips that no fold sees, share a group or the samples with.

    Groups are compared by name where both sets have them (a video's id is one in every manifest); names that differ
    between two sets say nothing, so samples are compared too.

    Args:
      extra: clips that are only trained on, as the network gets them.
      extra_group: of their ids.
      clips: among which are those that are judged, likewise.
      group: of theirs.
      judged: rows of these.
      fold: of each of these, from 0; negative: seen by none.
      folds: how many.
    """
    found = np.zeros((len(extra.ids), folds + 1), bool)
    both = group is not None and extra_group is not None
    where: dict[tuple[str, str], set[int]] = {}
    for row, number in zip(judged, fold, strict=True):
        for name in _names(clips, int(row), group if both else None):
            where.setdefault(name, set()).add(int(number) if number >= 0 else folds)
    for row in range(len(found)):
        for name in _names(extra, row, extra_group if both else None):
            found[row, list(where.get(name, ()))] = True
    return found


def _names(clips: ClipSplit, row: int, group: Group) -> list[tuple[str, str]]:
    """What may be the same in two clips: samples, and a group."""
    samples = ("samples", digests.of_arrays(clips.waves[row]))
    return [samples] if group is None else [samples, ("group", group(clips.ids[row]))]


def say(name: str, found: Bool[np.ndarray, "extra judgements"]) -> None:
    """Prints how many extra clips are left out, where some are."""
    if not found.any():
        return
    *by_fold, unseen = found.sum(0).tolist()
    each = ", ".join(map(str, by_fold))
    print(
        f"note: extra: {counted(int(found.any(1).sum()), 'clip')} of {name} share samples or a group with clips that "
        f"are judged, and are left out of training where those are held out: {each} of folds 1 to {len(by_fold)}"
        + (f"; of all folds {unseen}, whose like no fold may see" if unseen else "")
    )
