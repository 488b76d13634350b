"""A whole cross-validation: folds one by one, an honest choice in each, out-of-fold predictions, an ensemble."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from dhauds_jax import digests
from dhauds_jax.command import flags
from dhauds_jax.data import sets
from dhauds_jax.dsp.shifts import read_views, shift_starts
from dhauds_jax.errors import BadInput
from dhauds_jax.files import check_no_links
from dhauds_jax.nets import checkpoint as checkpoints
from dhauds_jax.nets import precision, zoo
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.nets.lost_rows import with_lost_rows
from dhauds_jax.recipes import training as recipes
from dhauds_jax.registry import source_digest
from dhauds_jax.requests import set_names
from dhauds_jax.runs import crossval_clips, crossval_settings
from dhauds_jax.runs.crossval_fold import Setting, folder_of, is_done, read, run_fold
from dhauds_jax.runs.crossval_records import OUT_OF_FOLD, of_fold, record_of
from dhauds_jax.runs.requests.crossval import CrossvalRun
from dhauds_jax.train.evaluation import make_evaluator
from dhauds_jax.train.options import check_options
from dhauds_jax.types import Classifier, Variables
from dhauds_jax.workdir import locks, records
from dhauds_jax.workdir.provenance import block

SCORED = 64
"""Rows that are scored at once."""


@precision.exactly()
@locks.holding()
def crossval(run: CrossvalRun, command: str) -> str:
    """Trains what is left of the folds, and says what all of them come to.

    Raises:
      BadInput: bad input, in one sentence, before anything is written. FloatingPointError: a loss or a prediction is
        not finite. KeyboardInterrupt: Ctrl-C; the same command goes on.
    """
    dataset = sets.get(run.dataset, run.data_dir)
    config = config_of(run, dataset)
    run = crossval_settings.settled(run, config)
    crossval_settings.check(run, dataset)
    check_no_links(run.workdir, "predictions")
    check_options(crossval_settings.train_options(run), None)
    copies, step_s = read_views(run.views)
    starts = shift_starts(copies, config.sample_rate, config.length, step_s)
    classifier, first = network(run, config)
    pool = crossval_clips.read(run, dataset, classifier.config, len(starts))
    identity = _identity(run, dataset, pool)
    score = make_evaluator(classifier, SCORED)
    setting = Setting(run, pool, classifier, first, score, starts, identity)
    absent = crossval_clips.say_absent(pool, classifier.config)
    wanted = [number for number in range(1, run.folds + 1) if not run.only_folds or number in run.only_folds]
    for number in wanted:
        if is_done(setting, number):
            print(f"fold {number} of {run.folds}: finished before")
            continue
        run_fold(setting, number, functools.partial(_origin, command, time.perf_counter()))
        print(fold_line(of_fold(setting, *read(setting, number))))
    left = [number for number in range(1, run.folds + 1) if not is_done(setting, number)]
    if left:
        said = ", ".join(map(str, left))
        return f"folds {', '.join(map(str, wanted))} are done; left: {said} (the numbers come with the last of them)"
    found = record_of(setting, absent, block(command))
    if found["cell"] not in records.done(Path(run.workdir), "crossval").cells:
        records.append(Path(run.workdir), found, "crossval")
    return summary(run, found)


def config_of(run: CrossvalRun, dataset: sets.DataSet) -> ClassifierConfig:
    """The config of every fold: `--net` for the set's classes, which are reported in the set's groups."""
    config = zoo.preset(run.net, dataset.classes)
    if run.length is not None:
        config = zoo.at_length(config, run.length)
    groups = getattr(dataset, "class_groups", None) or {}
    return config.replace(groups={key: list(value) for key, value in groups.items()})


def network(run: CrossvalRun, config: ClassifierConfig) -> tuple[Classifier, Callable[[int], Variables]]:
    """The network as a settled run trains it, and its first variables by the number of the fold."""
    if run.lost_rows and "mask" in config.head:  # T20: nothing is left out of the attention
        config = config.replace(head={**config.head, "mask": "none"})
    classifier = zoo.build(config, **precision.compute_options(run.precision, False))
    if run.lost_rows:
        classifier = with_lost_rows(classifier)
    given = _given(run, config) if run.checkpoint else None

    def first(number: int) -> Variables:
        key = jax.random.fold_in(jax.random.key(run.seed), number)
        variables = classifier.init(key, jnp.zeros((2, config.length)))
        if given is None:
            return variables
        parts = {name: {**variables[name], **given.get(name, {})} for name in ("params", "batch_stats")}
        return jax.tree.map(jnp.asarray, parts)

    return classifier, first


def _given(run: CrossvalRun, config: ClassifierConfig) -> dict[str, dict[str, Any]]:
    """The encoder of `--checkpoint`, and its head where that fits.

    Raises:
      BadInput: another network.
    """
    variables, found, _ = checkpoints.load(run.checkpoint)
    same = all(getattr(found, name) == getattr(config, name) for name in ("family", "geometry", "front_end", "length"))
    if not same:
        raise BadInput(
            f"--checkpoint={run.checkpoint}: holds {found.net} with clips of {found.length / found.sample_rate:g} s, "
            f"expected the encoder of --net={run.net}"
        )
    parts = ["encoder"]
    if found.classes == config.classes and found.head["kind"] == config.head["kind"]:
        parts.append("head")
    else:
        print(f"note: {run.checkpoint} has no head for these classes: each fold begins with a new one")
    return {
        name: {part: variables[name][part] for part in parts if part in variables[name]}
        for name in ("params", "batch_stats")
    }


_PLACES = ("data_dir", "extra_data_dir", "workdir", "cache_dir", "save_every_s", "memory_budget_mb", "only_folds")
_PLACES += ("checkpoint", "on_bad_file", "allow_partial", "join")
"""Flags that name no run: where things lie, how they are held."""


def _identity(run: CrossvalRun, dataset: sets.DataSet, pool: crossval_clips.Pool) -> dict[str, Any]:
    """Names a run: flags, clips and their folds, the weights it starts from, files of the user's own."""
    kept = {key: value for key, value in run.as_dict().items() if key not in _PLACES}
    kept |= {"refit": True} if kept.pop("refit") else {}  # without, that of older runs
    clips = pool.clips
    dealt = [pool.fold, pool.held, *([pool.shared] if pool.shared.any() else [])]  # without, that of older runs
    found = {
        "flags": kept,
        "clips": digests.of_texts(digests.of_arrays(clips.waves, clips.labels, *dealt), list(clips.ids)),
        "weights": checkpoints.variables_hash(checkpoints.load(run.checkpoint)[0]) if run.checkpoint else None,
        "own": [source_digest(name) for name in (*set_names(run.dataset), run.net.partition("/")[0])],
    }
    return json.loads(json.dumps(found))


def _origin(command: str, begun: float) -> dict[str, Any]:
    return {"training": {"seconds": time.perf_counter() - begun, **block(command)}}


def _largest(found: Mapping[str, Any]) -> str:
    """What an accuracy is to be compared with; nothing of a record of before."""
    return f" (largest class {100 * found['majority']:.1f} %)" if "majority" in found else ""


def fold_line(one: Mapping[str, Any]) -> str:
    """The figures of a finished fold."""
    return (
        f"fold {one['fold']}: AUC {one['auc']:.4f}, accuracy {100 * one['accuracy']:.1f} %{_largest(one)}, calibration "
        f"error {one['ece']:.3f} (epoch {one['epoch']}, temperature {one['temperature']:g}; oracle: "
        f"{one['oracle_auc']:.4f}, epoch {one['oracle_epoch']}, temperature {one['oracle_temperature']:g})"
    )


def summary(run: CrossvalRun, found: dict[str, Any]) -> str:
    """The closing lines."""
    lines = list(map(fold_line, found["by_fold"]))
    gap = "chosen on the fold that is reported, so no gap" if found["gap"] is None else f"gap {found['gap']:.4f}"
    lines.append(
        f"mean of {run.folds} folds: AUC {found['auc']:.4f} (of all out-of-fold clips {found['pooled_auc']:.4f}), "
        f"accuracy {100 * found['accuracy']:.1f} %{_largest(found)}, calibration error {found['ece_before']:.3f} at "
        f"temperature 1, {found['ece']:.3f} at the chosen one; oracle AUC {found['oracle_auc']:.4f}, {gap}"
    )
    if found["test"]:
        one, all_of_them = found["test"]["single"], found["test"]["folds_views"]
        views = run.views or "none"
        lines.append(
            f"{found['test']['n']} clips that no fold saw: one model AUC {one['auc']:.4f}, accuracy "
            f"{100 * one['accuracy']:.1f} %{_largest(found['test'])}, all {run.folds} with "
            f"--views={views}: AUC {all_of_them['auc']:.4f}, accuracy {100 * all_of_them['accuracy']:.1f} %"
        )
    place = Path(run.workdir)
    lines.append(
        f"checkpoints: {folder_of(place, 1)} to fold{run.folds}; predictions: {place / OUT_OF_FOLD}; numbers: "
        f"{place / records.KINDS['crossval'].file}"
    )
    return "\n".join(lines)


def crossval_from_flags(values: Any, command: str) -> str:
    """What `experiments.crossval` does with its flags, those of a `--recipe` filled in.

    Args:
      values: absl's flag values.
      command: the command line, for the checkpoints.

    Raises:
      BadInput: a flag with a value that it cannot have.
    """
    recipe = recipes.apply(values.recipe, values, "crossval") if values.recipe else None
    if not values.dataset:
        raise BadInput("--dataset: missing, expected a data set, or a --recipe that names one")
    text = crossval(flags.from_flags(CrossvalRun, values), command)
    return f"{text}\n{recipes.published_sentence(recipe)}" if recipe else text
