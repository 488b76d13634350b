"""Adapting to a folder of unlabelled recordings, and saying whether it did any good."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from dhauds_jax import calibration, digests, json_texts, registry, schemas
from dhauds_jax.data import recordings
from dhauds_jax.data.audio import check_on_bad_file
from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.estimates import say
from dhauds_jax.files import write_atomically
from dhauds_jax.incremental import rejection
from dhauds_jax.interrupts import KEPT
from dhauds_jax.model import adapting
from dhauds_jax.model.adapting import Request
from dhauds_jax.model.record import Model, load, load_boxed
from dhauds_jax.model.rejecting import Rejecting, rejecting
from dhauds_jax.nets import boxed, precision, zoo
from dhauds_jax.nets.checkpoint import variables_hash
from dhauds_jax.nets.config import reading
from dhauds_jax.requests import listed
from dhauds_jax.runs import labels, named_classes, named_flags, truth
from dhauds_jax.runs.requests.classify import ClassifyRun
from dhauds_jax.runs.requests.named_classes import NamedClasses
from dhauds_jax.tta import batchwise, methods, selection
from dhauds_jax.tta.options import parse_options
from dhauds_jax.types import Calibration, RunInfo
from dhauds_jax.wording import counted, plural
from dhauds_jax.workdir import locks
from dhauds_jax.workdir.saver import Saver

RUN = "run.json"
SCHEMA = schemas.Schema(1)
"""The form of `RUN`: what the labels beside it were made from and with."""
"""What the results of a folder are of."""


@precision.exactly()
@locks.holding("output")
def classify(run: ClassifyRun, command: str) -> str:
    """Reads, adapts, labels and reports; returns the sentence that says where the results are.

    Raises:
      BadInput: bad input, in one sentence. FloatingPointError: a loss, a prediction or a weight is not finite, and
        nothing is written. KeyboardInterrupt: after what there was has been written.
    """
    run = run.replace(method=run.method or ("tent" if run.class_names is None else "source"))
    how = _check(run)
    named = None if run.class_names is None else named_classes.load(run)
    model = named.model if named else model_of(run.checkpoint, run.model, run.precision)[0]
    method = adapting.method_of(how, model.classifier)
    if named is None:
        _rejecting(run, calibration.from_extra(model.extra), model)
    # What the method or its factory refuses, and what would be lost, is said before files are read.
    methods.check_needs(run.method, method, model.variables, RunInfo(1, 2, len(model.classes), None, 2))
    known = truth.read(run.truth, model.config.reported) if run.truth else None
    settings = settings_of(run, model, named)
    _check_output(run, {"settings": settings})
    state = Path(run.output) / "state"
    spool = state / "windows.f32"
    try:
        found = recordings.load(
            run.audio_dir,
            sample_rate=model.config.sample_rate,
            length=model.config.length,
            overlap=run.overlap,
            **reading(model.config.front_end),
            on_bad_file=run.on_bad_file,
            spool=spool,
            reread=run.online or run.method == "source",
        )
        print(labels.described(found, model.config))
        if known is not None:
            truth.check(known, found.files)
        about = {"identity": identity(settings, found), "settings": settings, "method": run.method}
        _check_output(run, about)
        corrected = None
        if named is not None:
            corrected = named_classes.corrected(named, run, found)
            model, about = corrected.model, {**about, "classes": corrected.lines}
            method = adapting.method_of(how, model.classifier)
        saver = Saver(state / about["identity"], run.save_every_s)
        say(_work(run, len(found.waves), saver.info().get("position", 0)))
        outcome = model.adapting(how, method, found.waves, saver=saver, before=corrected and corrected.before)
        if corrected is not None and corrected.rest is not None:
            corrected, outcome = named_classes.rescored(corrected, model, run, found, outcome)
        after = model.after(how, method, outcome, found)
        made = calibration.from_extra(after.extra)
        if named is not None:
            after, made = named_classes.calibrated(named, corrected, after, run)
        _write(run, {**about, "command": command}, after, found, known, made, corrected)
    finally:
        spool.unlink(missing_ok=True)
    if outcome.curve and (idle := batchwise.idle_said(outcome.curve[-1])):
        print(f"note: {run.method}: {idle}")
    if outcome.curve and (chose := batchwise.chose_said(outcome.curve[-1])):
        print(f"note: {run.method}: chose {chose} of the updates")
    if len(outcome.curve) > 1 and outcome.position == 0:
        print(f"note: {run.method}: no epoch was better than none by {run.criterion}, so no update was kept")
    text = (
        f"{counted(len(found.files), 'file')} labelled: {Path(run.output) / labels.PREDICTIONS} "
        f"(report: {Path(run.output) / labels.REPORT})"
    )
    if outcome.interrupted:
        print(text)
        raise KeyboardInterrupt(KEPT)
    shutil.rmtree(state, ignore_errors=True)
    return text


def _work(run: ClassifyRun, windows: int, done: int) -> str:
    """How much is to be done; of a run that goes on, after `done` epochs or batches, what is left."""
    if run.online or run.method == "source":
        left = max(0, windows - done * run.batch_size)
        return f"work: {counted(left, 'window')}, one pass" + (
            f"; the other {windows - left:,} are done" if done else ""
        )
    epochs = counted(run.epochs - done, "epoch") if done < run.epochs else "no epoch"
    behind = f"; the other {done:,} {plural(done, 'is', 'are')} done" if done else ""
    return f"work: {counted(windows, 'window')}, {epochs} over them{behind}"


def _write(
    run: ClassifyRun,
    about: dict[str, Any],
    after: Model,
    found: recordings.Recordings,
    known: truth.Truth | None,
    made: Calibration | None,
    named: named_classes.Corrected | None,
) -> None:
    """Everything that the output holds; what it is of comes first, so that a run that is killed here may go on."""
    folder, outcome = Path(run.output), after.adapted.outcome
    labels.remove(folder)
    about = {**schemas.stamp(SCHEMA), **about}
    write_atomically(folder / RUN, json.dumps({**about, "finished": False}, indent=2) + "\n")
    before, now = after.adapted.predictions
    lines = () if named is None else named.said(after.predictions(found, named.plain).labels, before.labels)
    rule, sure, moments = _rejecting(run, made, after), None, None
    if rule is not None:
        windows = rule.compared(outcome.logits)
        sure = rule.sure(windows, found.owner, len(found.files))
        moments = None if made.score == "max_probability" else windows.max(-1)  # else a stretch's own confidence
        count = int((sure < rule.least).sum())
        score = rejection.flag_of(made)
        by = f"by their {rejection.WORDS[score]} ({score}) less sure than {rule.least:.4f}"
        lines = (*lines, f"{count} of {counted(len(now.files), 'file')} unknown: {by}")
        lines += () if known is None else (truth.of_named(known, now, sure >= rule.least),)
    result = labels.Result(before, now, outcome, rule and rule.least, sure, lines, moments)
    scores = None if known is None else truth.scores(known, result.before, result.after)
    labels.write(run, found, after, result, scores, about["command"])
    advice = after.adapted.advice
    about |= {"verdict": advice.verdict, "reason": advice.reason}
    write_atomically(folder / RUN, json.dumps({**about, "finished": not outcome.interrupted}, indent=2) + "\n")


def _rejecting(run: ClassifyRun, made: Calibration | None, model: Model) -> Rejecting | None:
    """Which recordings are unknown; None where no rate is asked for, `BadInput` without the scores that it needs."""
    return rejecting(made, model.config.groups, run.reject, run.reject_background)


def model_of(checkpoint: str | None, model: str | None, precision: str = "float32") -> tuple[Model, str]:
    """The model that one of two flags names, and what it is called.

    Raises:
      BadInput: none or both are given, there is no such model, or the checkpoint cannot be read.
    """
    if checkpoint is not None and model is None:
        return load(checkpoint, precision=precision), checkpoint
    if model is not None and checkpoint is None:
        return load_boxed(model, precision=precision), model
    found = "neither is" if checkpoint is None else "both are"
    raise BadInput(f"--checkpoint and --model: {found} given, expected a folder, or one of {listed(boxed.names())}")


def _check(run: ClassifyRun) -> Request:
    """How to adapt, from the flags."""
    options = parse_options(run.method, run.profile, run.options, [run.method])
    if run.criterion not in selection.CRITERIA:
        raise BadInput(f"--criterion: {registry.unknown('criterion', run.criterion, selection.CRITERIA)}")
    named_flags.check(run)
    how = Request(run.method, options, **{name: getattr(run, name) for name in Request._fields[2:]})
    adapting.check(how)
    check_number("--overlap", run.overlap, 0.0, 1.0, below=True)
    check_on_bad_file(run.on_bad_file)
    return how


_ABOUT = "what experiments.classify has written; give another folder, or --overwrite to replace the labels"


def _check_output(run: ClassifyRun, about: dict[str, str]) -> None:
    """Raises `BadInput` where the output holds labels of another run, which would be lost."""
    path = Path(run.output) / RUN
    if run.overwrite or not (path.parent / labels.PREDICTIONS).is_file():
        return
    there = schemas.migrated(json_texts.object_of(path, _ABOUT), SCHEMA, str(path)) if path.is_file() else {}
    if any(there.get(name) != about[name] for name in ("settings", "identity") if name in about):
        raise BadInput(
            f"--output={run.output}: holds the labels of another run ({there.get('command', 'of an older version')}); "
            "give another folder, or --overwrite to replace them"
        )


def settings_of(run: ClassifyRun, model: Model, classes: named_classes.Named | None = None) -> str:
    """Names what results follow from beside the recordings: flags, weights and settings of the network, plug-ins.

    Flags that name files are left out: what the files hold counts.
    """
    left_out = ("output", "save_every_s", "checkpoint", "model", "audio_dir", "truth", "overwrite")
    left_out += (*NamedClasses.names(), "reject", "reject_background")
    kept = {k: v for k, v in run.as_dict().items() if k not in left_out}
    kept |= named_flags.settings(run)  # nothing where they are not given, so that older runs go on
    own = [registry.source_digest(name) for name in (run.method, run.criterion, *model.config.places())]
    named = [kept, variables_hash(model.variables), zoo.own_settings(model.config), own]
    named += [] if classes is None else [classes.digest]
    if run.method != "source" and adapting.settles(run.online, run.profile):
        named.append({"starts": "statistics of the set"})  # older ones started from the source model's
    return digests.of_text(json.dumps(named, sort_keys=True, default=str))


def identity(settings: str, found: recordings.Recordings) -> str:
    """Names what results belong to: `settings_of` the run, and the recordings' names and samples."""
    return digests.of_texts(settings, list(found.files), found.digest, found.seconds.tolist())
