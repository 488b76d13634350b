"""How good a classifier is on labelled clips, clean or corrupted, and where it goes wrong."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dhauds_jax import calibration, json_texts, metrics
from dhauds_jax.cells import subsets, targets
from dhauds_jax.cells.request import title
from dhauds_jax.cells.targets import Loaded
from dhauds_jax.data import content, sets
from dhauds_jax.data.audio import check_on_bad_file
from dhauds_jax.data.corruptions import public
from dhauds_jax.data.sets.base import check_split
from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.estimates import Estimate, say, within
from dhauds_jax.files import printable, write_atomically, write_csv
from dhauds_jax.model import Model, own_sounds
from dhauds_jax.names import CLEAN
from dhauds_jax.nets import checkpoint, precision
from dhauds_jax.nets.checkpoint import variables_hash
from dhauds_jax.report import evaluation, shares
from dhauds_jax.runs.classify import model_of
from dhauds_jax.runs.requests.evaluate import EvaluateRun
from dhauds_jax.tta import bank as banks
from dhauds_jax.wording import counted, of_markdown
from dhauds_jax.workdir import locks, provenance

NUMBERS, REPORT = "evaluation.json", "report.md"
MISTAKES = 10
"""Kinds of mistakes that a report lists."""
_OF_CELL = ("classes.csv", "clips.csv", "calibration.png", "confusion.csv", "confusion.png")
"""What lies in the folder of a corruption."""


@precision.exactly()
@locks.holding("output")
def evaluate(run: EvaluateRun, command: str) -> str:
    """Loads, predicts, measures and reports; returns the sentence that says where the report is.

    Raises:
      BadInput: bad input, before anything is computed. FloatingPointError: a prediction is not finite.
    """
    check_number("--batch_size", run.batch_size, 1)
    check_number("--worst", run.worst, 0)
    check_on_bad_file(run.on_bad_file)
    if run.subset:
        subsets.ids_of(run.subset)
    run = run.replace(split=tuple(dict.fromkeys(run.split)))
    pairs = targets.expand(run.corruption, run.level)
    model, place = model_of(run.checkpoint, run.model, run.precision)
    _check_bank(run, place)
    dataset = sets.get(run.dataset, run.data_dir)
    if not run.split:
        raise BadInput(f"--split: names no split, expected some of {', '.join(dataset.splits)}")
    for split in run.split:
        check_split(dataset, split)
    _check_fits(model, dataset, place)
    for corruption, level in pairs:
        if corruption != CLEAN:
            targets.check_noise(dataset, run.noise_dir, corruption, level, model.config.sample_rate)
    loaded = _loaded(run, model)
    loaded = subsets.only(loaded, run.subset) if run.subset else loaded
    if run.bank and not own_sounds.enough(np.asarray(loaded.labels)):
        clips = counted(len(loaded.clips.ids), "clip")
        raise BadInput(f"--bank: {clips} of split {','.join(run.split)} make none, {own_sounds.NEEDED}")
    weights, about = variables_hash(model.variables), _about(run, loaded)
    say(f"work: a pass over {counted(len(loaded.clips.ids), 'clip')} for each of {counted(len(pairs), 'corruption')}")
    if run.bank:
        _write_bank(run, model, loaded)
    estimate, found = Estimate(len(pairs), "corruption", few=True), []
    for pair in pairs:
        with within(len(pairs) > 1):
            found.append(_of_cell(run, model, loaded, *pair))
        estimate.part()
    numbers = {**about, "source_checkpoint": weights, "net": model.config.net, **provenance.block(command)}
    folder = Path(run.output)
    _remove_earlier(folder, {cell["folder"] for cell in found})
    write_atomically(folder / NUMBERS, json.dumps({**numbers, "cells": found}, indent=2, allow_nan=False) + "\n")
    write_atomically(folder / REPORT, of_markdown(_report(run, numbers, found, command)))
    return f"{len(loaded.clips.ids)} clips evaluated: {folder / REPORT} (numbers: {folder / NUMBERS})"


def _remove_earlier(folder: Path, kept: Collection[str]) -> None:
    """Takes away what only an earlier evaluation has a folder of, so that no table stands there of other weights."""
    try:
        earlier = [cell["folder"] for cell in json_texts.read(folder / NUMBERS)["cells"]]
    except (OSError, json_texts.NotJson, KeyError, TypeError):  # none, or nothing that tells what it wrote
        return
    for name in earlier:
        if name in kept or not isinstance(name, str) or Path(name).name != name or (folder / name).is_symlink():
            continue
        with contextlib.suppress(OSError):  # whatever else lies there stays
            for file in _OF_CELL:
                (folder / name / file).unlink(missing_ok=True)
            (folder / name).rmdir()


def _about(run: EvaluateRun, loaded: Loaded) -> dict[str, Any]:
    """What the numbers are of."""
    clips = {**subsets.remark(run.subset), "content": content.of_split(loaded.clips)}
    return {"dataset": run.dataset, "split": ",".join(run.split), **clips, "seed": run.seed, "profile": run.profile}


def _check_bank(run: EvaluateRun, place: str) -> None:
    """Raises `BadInput` where a bank has no place, or would be of clips that the model was trained on."""
    if run.bank and run.checkpoint is None:
        raise BadInput(f"--bank: {place} comes with the package and has one, expected a --checkpoint to write it into")
    if run.bank and "train" in run.split:
        raise BadInput(f"--bank: --split={','.join(run.split)} has clips that are trained on, {own_sounds.NEEDED}")


def _check_fits(model: Model, dataset: sets.DataSet, place: str) -> None:
    """Raises `BadInput` unless the set has the model's classes, or those that it reports."""
    groups = model.config.groups
    if groups and dataset.label_rows is not None:
        raise BadInput(f"{place}: reports groups of classes, expected a set with one label a clip, not {dataset.name}")
    if not groups or dataset.classes != model.config.reported:
        targets.check_fits(model.config, dataset, place)


def _loaded(run: EvaluateRun, model: Model) -> Loaded:
    """The clips of all splits."""
    same = {"allow_partial": run.allow_partial, "on_bad_file": run.on_bad_file, "workdir": run.output}
    parts = []
    for split in run.split:
        parts.append(targets.load(run.dataset, run.data_dir, split, model.config, first=not parts, **same))
    return subsets.together(parts) if len(parts) > 1 else parts[0]


def _write_bank(run: EvaluateRun, model: Model, loaded: Loaded) -> None:
    """The bank of the model's own sounds, beside its weights."""
    made = own_sounds.made(model.classifier, model.variables, targets.laid_out(loaded)[0], np.asarray(loaded.labels))
    banks.writing(made)(checkpoint.place_of(run.checkpoint))


def _of_cell(run: EvaluateRun, model: Model, loaded: Loaded, corruption: str, level: str) -> dict[str, Any]:
    """The numbers of one corruption; its tables and figures are written."""

    noise = targets.once(functools.partial(targets.noise_for, loaded, run.noise_dir, corruption, level))
    drawn = targets.corrupted(loaded, corruption, level, seed=run.seed, profile=run.profile, noise=noise)
    corruption = public(corruption)
    name = title(corruption, level)
    logits = model.scores(model.logits(drawn.waves(), run.batch_size, progress=name))
    labels, classes = loaded.labels, model.config.reported
    if loaded.dataset.classes != classes:
        labels = calibration.labels_by_group(labels, model.config.groups)
    place = Path(run.output) / name.replace(":", ".")
    place.mkdir(parents=True, exist_ok=True)
    lines = evaluation.class_lines(logits, labels, classes)
    write_csv(place / "classes.csv", [evaluation.ClassLine._fields, *lines])
    evaluation.draw_calibration(metrics.reliability(logits, labels), place / "calibration.png")
    rows = _clip_rows(loaded.clips.ids, labels, logits, classes)
    write_csv(place / "clips.csv", [_CLIP_COLUMNS, *rows])
    cell = {
        "corruption": corruption,
        "level": level,
        "folder": place.name,
        "n": len(logits),
        "metric": loaded.dataset.metric,
        **dict(drawn.draw),
        **({"noise": drawn.noise} if drawn.noise else {}),
        **metrics.everything(logits, labels),
        "top_share": metrics.top_share(logits),
        "collapsed": metrics.collapsed(logits),
        "classes": [line._asdict() for line in lines],
        "worst": [dict(zip(_CLIP_COLUMNS, row, strict=True)) for row in rows[: run.worst]],
    }
    if np.ndim(labels) == 1:
        table = evaluation.confusion(logits, labels)
        write_csv(place / "confusion.csv", [("truth", *classes), *zip(classes, *table.T.tolist(), strict=True)])
        evaluation.draw_confusion(table, classes, place / "confusion.png")
        cell["accuracy_interval"] = list(shares.share(int(table.trace()), len(logits)))
        cell["mistakes"] = evaluation.confusions(table, classes, MISTAKES)
    print(f"{name}: {_headline(cell)}")
    return cell


_CLIP_COLUMNS = ("clip", "truth", "label", "confidence", "nll")


def _clip_rows(
    ids: Sequence[str], labels: np.ndarray, logits: np.ndarray, classes: Sequence[str]
) -> list[tuple[Any, ...]]:
    """Every clip, those whose truth the model believed least first."""
    rows = [metrics.nll(logits[i : i + 1], labels[i : i + 1]) for i in range(len(ids))]
    several = np.ndim(labels) == 2
    shares = metrics.sigmoid(logits) if several else metrics.softmax(logits)
    out = []
    for i in np.argsort(-np.array(rows), kind="stable"):
        true = [classes[k] for k in np.flatnonzero(labels[i])] if several else [classes[labels[i]]]
        best = int(logits[i].argmax())
        said = classes[best], round(float(shares[i, best]), 4), round(rows[i], 4)
        out.append((printable(ids[i]), "+".join(true), *said))
    return out


def _headline(cell: dict[str, Any]) -> str:
    """The numbers of a cell in one line."""
    accuracy = f"accuracy {100 * cell['accuracy']:.1f} %"
    if "accuracy_interval" in cell:
        accuracy = f"accuracy {shares.Interval(*cell['accuracy_interval'])}"
    auc = f", macro ROC AUC {cell['macro_roc_auc']:.3f}" if "macro_roc_auc" in cell else ""
    return f"{accuracy}, macro F1 {100 * cell['macro_f1']:.1f} %{auc}, calibration error {cell['ece']:.3f}"


def _report(run: EvaluateRun, numbers: dict[str, Any], found: list[dict[str, Any]], command: str) -> str:
    subset = [f"{name}={value}" for name, value in subsets.remark(run.subset).items()]
    lines = [
        f"# Evaluation of {numbers['net']} on {run.dataset} ({', '.join((*run.split, *subset))})",
        "",
        "| clips | corruption | accuracy, 95 % interval over clips | macro F1 | calibration error | nll | "
        "share of the most frequent label |",
        "|---:|---|---|---:|---:|---:|---:|",
    ]
    for cell in found:
        interval = shares.Interval(*cell["accuracy_interval"]) if "accuracy_interval" in cell else None
        accuracy = str(interval) if interval else f"{100 * cell['accuracy']:.1f} %"
        top = f"{100 * cell['top_share']:.1f} %{' (collapsed)' if cell['collapsed'] else ''}"
        lines.append(
            f"| {cell['n']} | {title(cell['corruption'], cell['level'])} | {accuracy} | "
            f"{100 * cell['macro_f1']:.1f} % | {cell['ece']:.3f} | {cell['nll']:.3f} | {top} |"
        )
    for cell in found:
        lines += ["", *_section(cell)]
    lines += ["", f"Seed {run.seed}, profile {run.profile}, weights `{numbers['source_checkpoint'][:16]}`, clips "
              f"`{numbers['content']}`. Command: `{command}`; code {numbers['git_revision']}; device "
              f"{numbers['device']}.", ""]  # fmt: skip
    return "\n".join(lines)


def _section(cell: dict[str, Any]) -> list[str]:
    """Classes, mistakes, worst clips and figures of one corruption."""
    place = cell["folder"]
    lines = [f"## {title(cell['corruption'], cell['level'])}", ""]
    if "mistakes" in cell:
        lines += [f"![confusions]({place}/confusion.png)", ""]
    lines += [f"![calibration]({place}/calibration.png)", "", "| class | clips | precision | recall | F1 |"]
    lines += ["|---|---:|---:|---:|---:|"]
    for row in cell["classes"]:
        shares = " | ".join(f"{100 * row[name]:.1f} %" for name in ("precision", "recall", "f1"))
        lines.append(f"| {row['name']} | {row['clips']} | {shares} |")
    if cell.get("mistakes"):
        lines += ["", "Most frequent mistakes:", ""]
        lines += [f"- {true} taken for {said}: {count}" for true, said, count in cell["mistakes"]]
    if cell["worst"]:
        lines += ["", f"The clips whose truth was believed least (all in `{place}/clips.csv`):", ""]
        lines += ["| clip | truth | label | confidence | nll |", "|---|---|---|---:|---:|"]
        lines += [f"| {' | '.join(map(str, row.values()))} |" for row in cell["worst"]]
    return lines
