"""The record of a zero-shot row: what names it, its numbers, and the line that is printed of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped

from dhauds_jax import digests, metrics, registry
from dhauds_jax.cells.request import title
from dhauds_jax.names import CLEAN
from dhauds_jax.runs import zeroshot_chunks, zeroshot_unknown
from dhauds_jax.runs.zeroshot_gap import asked_of, gap_of
from dhauds_jax.runs.zeroshot_measures import metric_of, named, per_class, right
from dhauds_jax.runs.zeroshot_rows import NO_TRAIN, OF_CLIPS, Row, gap_shares, scorer_options
from dhauds_jax.runs.zeroshot_scales import scale_of
from dhauds_jax.runs.zeroshot_scores import SCALE, Curve, Scored, is_normalised, scorer_of
from dhauds_jax.runs.zeroshot_sets import LabelledSet
from dhauds_jax.runs.zeroshot_towers import Towers
from dhauds_jax.tta import selection
from dhauds_jax.types import Background
from dhauds_jax.workdir.records import FORMAT
from dhauds_jax.zeroshot import abstain, scorers
from dhauds_jax.zeroshot.request import AUTO, ENTROPY, ZeroshotGrid

POINTS = 40
"""Points that a record keeps of risk against coverage."""

_PROTOTYPES_USE = {
    "text": ("text",),
    "tgap": ("text", "train_clips"),
    "supervised": ("train_labels",),
    "head": ("train_labels",),
}
_ORDER = (*scorers.USES, "oracle", "train_clips", "annotations", zeroshot_unknown.SEES)


def cell_of(
    run: ZeroshotGrid, row: Row, one: LabelledSet, source: LabelledSet, towers: Towers, background: Sequence[Any]
) -> str:
    """Sixteen hexadecimal digits that name a row: the clips, the prototypes, the background, the scorer, the rest.

    Args:
      run: the flags.
      row: the row.
      one: its set.
      source: the set whose clips its prototypes are made of.
      towers: what the checkpoint gives.
      background: what the background follows from.
    """
    named = {
        "format": FORMAT,
        "clips": [one.digest, one.fold.tolist(), one.name],
        "prototypes": [row.prototypes, row.train, is_normalised(run)],
        "source": [source.digest, source.fold.tolist()] if row.prototypes in OF_CLIPS else None,
        "encoder": [towers.weights, precision_of(one)],
        "template": towers.template if by_sentences(row) else (),
        "topn": run.topn if row.prototypes == "tgap" else None,
        "scorer": [row.scorer, [registry.source_digest(part) for part in scorers.members(row.scorer)]],
        "options": scorers.resolve_options(row.scorer, scorer_options(row, row.weight, run.online)),
        "shots": shots_of_row(run, row),
        "background": [row.background, *background],
        "weight": [AUTO if row.auto else row.weight, run.criterion],
        "scale": run.scale,
        "profile": run.profile,
        "online": run.online,
        "seed": run.seed,
        **_asked_since(run, row),
    }
    return digests.of_text(repr(sorted(named.items())))


def _asked_since(run: ZeroshotGrid, row: Row) -> dict[str, Any]:
    """What names a row only where it is asked for, so that rows of before keep their names."""
    asked: dict[str, Any] = {}
    if run.template_weights == ENTROPY and by_sentences(row):
        asked["template_weights"] = ENTROPY
    if asked_of(run, row):
        asked["close_gap"] = gap_shares(run)
    if run.reject is not None:
        asked["reject"] = run.reject
    return asked


def precision_of(one: LabelledSet) -> str | None:
    """The precision that a set was embedded with, which its manifest has; None where nothing says it."""
    return one.about.manifest.get("encoder", {}).get("precision")


def shots_of_row(run: ZeroshotGrid, row: Row) -> int | None:
    """Labelled clips of a class that the row's scorer is given; None for one that takes none."""
    return run.shots if "train_labels" in scorer_of(row, row.weight, run.online).uses else None


def by_sentences(row: Row) -> bool:
    """Whether sentences of classes, and so their template, have a part in a row."""
    return row.prototypes in ("text", "tgap") or "drift" in scorers.members(row.scorer)


def template_lines_of(row: Row, towers: Towers) -> str | None:
    """The digest of the sentences of a row's template, which tells an edited file from what it was; None without."""
    return digests.of_texts(*towers.template) if by_sentences(row) else None


def scorer_source_of(row: Row) -> str | None:
    """The digest of the files of a row's own scorers; None for ours."""
    return digests.together(registry.source_digest(part) for part in scorers.members(row.scorer))


def uses_of(run: ZeroshotGrid, row: Row, background: Background | None) -> tuple[str, ...]:
    """What a row was allowed to see beside the clip: by prototypes, scorer, and the choice of weight and scale."""
    scorer = scorer_of(row, row.weight, run.online)
    found = {*_PROTOTYPES_USE[row.prototypes], *scorers.uses(scorer, background), *(("set",) if row.auto else ())}
    found |= {"train_labels"} if run.scale == "nll" else set()
    found |= {zeroshot_unknown.SEES} if run.reject is not None else set()
    found |= {"set"} if run.template_weights == ENTROPY and by_sentences(row) else set()
    found |= {"annotations"} if row.background == zeroshot_chunks.KIND else set()
    if row.background == "oracle" or (run.profile == "reference" and "own_background" in found):
        found |= {"oracle"} if row.background in ("audio", "oracle") else set()
    return tuple(name for name in _ORDER if name in found)


def accuracies(hits: Shaped[np.ndarray, " tested"], it: Scored, profile: str) -> tuple[float, list[float]]:
    """The mean of `zeroshot_measures.right`, and that of each fold: as published folds weigh alike, else clips do."""
    each = [float(np.mean(hits[it.fold == k])) for k in range(len(it.one.folds))]
    return (float(np.mean(each)) if profile == "reference" else float(np.mean(hits))), each


def record_of(
    run: ZeroshotGrid, row: Row, it: Scored, curve: Curve, background: Background | None, towers: Towers
) -> dict[str, Any]:
    """The record of a row but for where its numbers come from."""
    scales, scale_by = scale_of(run, towers, it)
    own = curve.place_of(row)
    scores, weight, labels = curve.scores[own], curve.weights[own], it.labels
    logits = np.array(scales)[it.fold, None] * np.asarray(scores, np.float64)
    before, plain_folds = accuracies(right(it.plain, labels), it, run.profile)
    last, folds = accuracies(curve.hits[own], it, run.profile)
    corruption, level = it.one.corruption
    return {
        **_place(run, row, it, towers, corruption, level),
        **_curve(run, it, curve, scores),
        "non_adapted": before,
        "adapted_last": last,
        "ece": metrics.ece(logits, labels),
        "nll": metrics.nll(logits, labels),
        "passes": {"forward": 0.0, "backward": 0.0, "evaluation": 0.0},
        "parameters_moved": 0,
        "collapsed": bool(metrics.collapsed(scores)),
        "options": scorers.resolve_options(row.scorer, scorer_options(row, weight, run.online)),
        "weight": weight,
        "weight_chosen_by": "none" if weight is None else run.criterion if row.auto else "given",
        "scale": scales[0] if len(set(scales)) == 1 else float(np.mean(scales)),
        "scales": list(scales),
        "scale_chosen_by": scale_by,
        "uses": list(uses_of(run, row, background)),
        "gap": gap_of(run, row, it) if by_sentences(row) else None,
        "folds": folds,
        "plain_folds": plain_folds,
        "classes": list(it.one.about.classes),
        "per_class": [per_class(each, labels) for each in (it.plain, scores)],
        "reliability": metrics.reliability(logits, labels),
        "risk_coverage": _risk(logits, named(scores, labels)),
        **_several(it, scores),
        **_named(run, logits, named(scores, labels), it),
    }


def _named(run: ZeroshotGrid, logits: np.ndarray, hits: np.ndarray, it: Scored) -> dict[str, Any]:
    """Which clips keep a name; nothing where no rate is asked for."""
    if run.reject is None:
        return {}
    return {"reject_asked": run.reject, "reject": zeroshot_unknown.named_at(run.reject, logits, hits, it.fold)}


def _curve(run: ZeroshotGrid, it: Scored, curve: Curve, scores: np.ndarray) -> dict[str, Any]:
    """What a record says of the other weights, of which one is chosen without labels and one is the best by labels."""
    over = [accuracies(hits, it, run.profile)[0] for hits in curve.hits]
    best = int(np.argmax(over))
    said = zip(curve.weights, over, curve.values, strict=True) if curve.values else ()
    return {
        "adapted_selected": over[curve.chosen],
        "adapted_oracle": over[best],
        "selection": {
            "criterion": run.criterion,
            "value": _finite(selection.CRITERIA[run.criterion](SCALE * scores.astype(np.float64))),
            "weight": curve.weights[curve.chosen],
            "oracle_weight": curve.weights[best],
        },
        "curve": [{"weight": weight, "metric": value, "criterion": judged} for weight, value, judged in said],
    }


def _place(run: ZeroshotGrid, row: Row, it: Scored, towers: Towers, corruption: str, level: str) -> dict[str, Any]:
    """What a record says of the row and its clips."""
    return {
        "dataset": it.one.name,
        "corruption": corruption,
        "level": level,
        "net": towers.net,
        "method": row.scorer,
        "protocol": "online" if run.online else "set",
        "profile": run.profile,
        "metric": metric_of(it.labels),
        "n": len(it.labels),
        "seed": run.seed,
        "source_checkpoint": towers.weights,
        "scorer": row.scorer,
        "prototypes": row.prototypes,
        "background": row.background,
        "template": run.template if by_sentences(row) else None,
        "template_lines": template_lines_of(row, towers),
        "template_weights": ENTROPY if it.template_weights and by_sentences(row) else None,
        **({"weights_of_templates": it.template_weights} if it.template_weights and by_sentences(row) else {}),
        "scorer_source": scorer_source_of(row),
        "train": row.train,
        "normalised": is_normalised(run) if row.prototypes != "text" else True,
        "long": str(it.one.about.manifest.get("long", "")),
        "topn": run.topn if row.prototypes == "tgap" else None,
        "precision": precision_of(it.one),
        "shots": shots_of_row(run, row),
        "folds_asked": run.folds,
        "scale_asked": run.scale,
        "clips": it.one.digest,
        "source_clips": it.source.digest if row.prototypes in OF_CLIPS else None,
        **({"own_head": _own_head(it, towers)} if row.prototypes == "head" else {}),
    }


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _own_head(it: Scored, towers: Towers) -> float:
    """The accuracy of the classifier itself: its last layer with its bias, on the embeddings as they are."""
    raw = np.asarray(it.one.about.vectors)[it.one.tested]
    logits = raw @ np.asarray(towers.head.kernel) + np.asarray(towers.head.bias)
    return float(np.mean(right(logits, it.labels)))


def _several(it: Scored, scores: np.ndarray) -> dict[str, list[float]]:
    """mAP with nothing taken off and of the row, for clips with several labels."""
    if it.labels.ndim == 1:
        return {}
    return {"mean_average_precision": [metrics.mean_average_precision(each, it.labels) for each in (it.plain, scores)]}


def _risk(logits: np.ndarray, hits: Bool[np.ndarray, " tested"]) -> dict[str, Any]:
    found = abstain.risk_coverage(metrics.softmax(logits).max(-1), hits)
    kept = np.unique(np.round(np.linspace(0, len(found.coverage) - 1, POINTS)).astype(int))
    points = [[round(float(found.coverage[k]), 4), round(float(found.risk[k]), 4)] for k in kept]
    return {"area": found.area, "points": points}


def line_of(record: Mapping[str, Any]) -> str:
    """The line that is printed of a finished row."""
    cell = title(record["corruption"], record["level"])
    place = record["dataset"] if record["corruption"] == CLEAN else f"{record['dataset']} {cell}"
    made = record["prototypes"] + (f" ({record['train']})" if record["train"] != NO_TRAIN else "")
    online = " online" if record["protocol"] == "online" else ""
    values = {name: f"{100 * record[name]:.1f}" for name in ("non_adapted", "adapted_last")}
    words, after = f"{place} {made} {record['scorer']}{online}", ""
    if record["curve"]:
        chosen = record["selection"]
        words += f" weight {record['weight']:g} {record['background']}"
        after = (
            f"; auto {chosen['weight']:g}: {100 * record['adapted_selected']:.1f}; oracle weight "
            f"{chosen['oracle_weight']:g}: {100 * record['adapted_oracle']:.1f}"
        )
    if "mean_average_precision" in record:
        plain, own = (f"{100 * each:.1f}" for each in record["mean_average_precision"])
        after += f"; mAP {own} (plain {plain})"
    if "reject" in record:
        kept = record["reject"]
        right = "" if kept["right"] is None else f", of these {100 * kept['right']:.1f} right"
        after += f"; at --reject={kept['rate']:g} {100 * kept['accepted']:.1f} % keep a name{right}"
    seen = ", ".join(record["uses"]) or "nothing beside the clip"
    return (
        f"{words}: {values['adapted_last']} (plain {values['non_adapted']}){after}; ECE {100 * record['ece']:.1f}; "
        f"uses {seen}"
    )
