"""What a finished cross-validation comes to: numbers of each fold, of all, of the ensemble; tables of predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from dhauds_jax import calibration, digests, metrics
from dhauds_jax.files import printable, write_csv
from dhauds_jax.runs.crossval_clips import TEST, Pool
from dhauds_jax.runs.crossval_fold import Chosen, Setting, read

OUT_OF_FOLD, TEST_TABLE = "out_of_fold.csv", "test.csv"
METRIC = "weighted_roc_auc"
Probabilities = Float[np.ndarray, "clips reported"]


def scores(probabilities: Probabilities, labels: Int[np.ndarray, " clips"]) -> dict[str, float]:
    """Weighted AUC, accuracy, calibration error and log-likelihood of some clips."""
    return {
        "auc": metrics.weighted_roc_auc(probabilities, labels),
        "accuracy": metrics.accuracy(probabilities, labels),
        "ece": calibration.error_of(probabilities, labels),
        "nll": metrics.nll(calibration.log_probabilities(probabilities), labels),
    }


def majority(labels: Int[np.ndarray, " clips"]) -> float:
    """The share of the largest class: the accuracy of who always says that one."""
    return float(np.bincount(labels).max() / len(labels))


def of_fold(setting: Setting, about: Mapping[str, Any], found: Mapping[str, Chosen]) -> dict[str, Any]:
    """The numbers of one fold: as chosen, as the oracle would, before the temperature, without shifted copies."""
    groups, pool = setting.config.groups, setting.pool
    labels = pool.reported[pool.rows(about["fold"] - 1)]
    kept, oracle = found[setting.run.selection], found["oracle"]
    p = calibration.ensemble(kept.reported, kept.temperature, groups)
    best = calibration.ensemble(oracle.reported, oracle.temperature, groups)
    before = calibration.ensemble(kept.reported, 1.0, groups)
    single = calibration.ensemble(kept.reported[:1], kept.temperature, groups)
    return {
        "fold": about["fold"],
        "n": len(labels),
        "trained_on": about["clips"],
        "epoch": kept.epoch,
        "temperature": kept.temperature,
        "oracle_epoch": oracle.epoch,
        "oracle_temperature": oracle.temperature,
        **scores(p, labels),
        "majority": majority(labels),
        "ece_before": calibration.error_of(before, labels),
        "oracle_auc": metrics.weighted_roc_auc(best, labels),
        "single_view": scores(single, labels),
        "curve": list(kept.curve),
    }


def record_of(setting: Setting, absent: Sequence[str], origin: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a run whose folds are all finished; the tables of predictions are written.

    Args:
      setting: of the run.
      absent: reported classes without a clip in any fold.
      origin: versions, command and the like.
    """
    run, pool, groups = setting.run, setting.pool, setting.config.groups
    folds = [read(setting, number) for number in range(1, run.folds + 1)]
    by_fold = [of_fold(setting, *one) for one in folds]
    kept = [found[run.selection] for _, found in folds]
    shared = np.concatenate([pool.rows(number) for number in range(run.folds)])
    p = np.concatenate([calibration.ensemble(one.reported, one.temperature, groups) for one in kept])
    _write(setting, OUT_OF_FOLD, shared, p)
    means = {key: float(np.mean([one[key] for one in by_fold])) for key in _MEANS}
    test = _of_test(setting, kept) if len(pool.rows(TEST)) else None
    return {
        "dataset": run.dataset,
        "net": setting.config.net,
        "profile": run.profile,
        "metric": METRIC,
        "n": len(shared),
        **{key: getattr(run, key) for key in _FLAGS},
        "extra": list(run.extra) if run.extra_dataset else [],
        "classes": list(setting.config.reported),
        "absent": list(absent),
        "by_fold": by_fold,
        "majority": majority(pool.reported[shared]),
        **means,
        "gap": means["oracle_auc"] - means["auc"] if run.selection == "nested" else None,
        "pooled_auc": metrics.weighted_roc_auc(p, pool.reported[shared]),
        "test": test,
        "options": setting.identity["flags"],
        "source_checkpoint": setting.identity["weights"],
        "cell": digests.of_texts(setting.identity),
        "seconds": sum(about["seconds"] for about, _ in folds),
        **origin,
    }


_MEANS = ("auc", "accuracy", "ece", "ece_before", "nll", "oracle_auc")
_FLAGS = ("seed", "selection", "chosen_by", "folds", "fold_rule", "views", "noise_clips", "extra_dataset")


def _of_test(setting: Setting, kept: Sequence[Chosen]) -> dict[str, Any]:
    """What single models and ensembles say of the clips that no fold sees; of single models the mean over them."""
    groups, rows = setting.config.groups, setting.pool.rows(TEST)
    labels = setting.pool.reported[rows]
    all_copies = [calibration.by_group(metrics.softmax(one.test / one.temperature), groups) for one in kept]
    models = np.stack([p.mean(0) for p in all_copies])
    plain = np.stack([p[0] for p in all_copies])
    _write(setting, TEST_TABLE, rows, models.mean(0))

    def mean(each: np.ndarray) -> dict[str, float]:
        found = [scores(p, labels) for p in each]
        return {key: float(np.mean([one[key] for one in found])) for key in found[0]}

    return {
        "n": len(rows),
        "majority": majority(labels),
        "single": mean(plain),
        "single_views": mean(models),
        "folds": scores(plain.mean(0), labels),
        "folds_views": scores(models.mean(0), labels),
        "temperatures": [one.temperature for one in kept],
    }


def _write(setting: Setting, name: str, rows: Int[np.ndarray, " clips"], probabilities: Probabilities) -> None:
    pool: Pool = setting.pool
    names = setting.config.reported
    header = ("clip", "fold", "class", "truth", "label", *names)
    lines: list[Sequence[object]] = [header]
    for row, p in zip(rows.tolist(), probabilities, strict=True):
        own = setting.config.classes[pool.clips.labels[row]]
        fold = pool.fold[row] + 1 if pool.fold[row] >= 0 else ""
        said = names[int(p.argmax())]
        lines.append(
            (printable(pool.clips.ids[row]), fold, own, names[pool.reported[row]], said, *(f"{x:.6f}" for x in p))
        )
    write_csv(Path(setting.run.workdir) / name, lines)
