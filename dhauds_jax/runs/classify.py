"""Adapting to a folder of unlabelled recordings, and saying whether it did any good."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from dhauds_jax import digests, registry
from dhauds_jax.data import recordings
from dhauds_jax.data.audio import check_on_bad_file
from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.files import write_atomically
from dhauds_jax.model import adapting, load
from dhauds_jax.model.adapting import Request
from dhauds_jax.model.record import Model
from dhauds_jax.nets import boxed, zoo
from dhauds_jax.nets.checkpoint import variables_hash
from dhauds_jax.requests import listed
from dhauds_jax.runs import labels, truth
from dhauds_jax.runs.requests.classify import ClassifyRun
from dhauds_jax.tta import methods, selection
from dhauds_jax.tta.options import parse_options
from dhauds_jax.wording import counted
from dhauds_jax.workdir import locks
from dhauds_jax.workdir.saver import Saver

RUN = "run.json"
"""What the results of a folder are of."""


@locks.holding("output")
def classify(run: ClassifyRun, command: str) -> str:
    """Reads, adapts, labels and reports; returns the sentence that says where the results are.

    Raises:
      BadInput: bad input, in one sentence. FloatingPointError: a loss, a prediction or a weight is not finite, and
        nothing is written. KeyboardInterrupt: after what there was has been written.
    """
    how = _check(run)
    model = load(place_of_model(run.checkpoint, run.model), precision=run.precision)
    method = methods.make(run.method, model.classifier, how.options)  # what it refuses is said before files are read
    if "source_data" in method.needs:
        raise BadInput(f"--method={run.method}: needs labelled clips of the source, which a folder of recordings lacks")
    known = truth.read(run.truth, model.classes) if run.truth else None
    spool = Path(run.output) / "state" / "windows.f32"
    try:
        found = recordings.load(
            run.audio_dir,
            sample_rate=model.config.sample_rate,
            length=model.config.length,
            overlap=run.overlap,
            on_bad_file=run.on_bad_file,
            spool=spool,
            reread=run.online or run.method == "source",
        )
        print(labels.described(found, model.config))
        if known is not None:
            truth.check(known, found.files)
        named = identity(run, found, model)
        _check_output(run, named)
        return _labelled(run, command, how, method, model, found, known, named)
    finally:
        spool.unlink(missing_ok=True)


def _labelled(
    run: ClassifyRun,
    command: str,
    how: Request,
    method: Any,
    model: Model,
    found: recordings.Recordings,
    known: truth.Truth | None,
    named: str,
) -> str:
    saver = Saver(Path(run.output) / "state" / named, run.save_every_s)
    outcome = model.adapting(how, method, found.waves, saver=saver)
    after = model.after(how, method, outcome)
    result = labels.Result(model.predictions(found, outcome.before), model.predictions(found, outcome.logits), outcome)
    scores = None if known is None else truth.scores(known, result.before, result.after)
    labels.write(run, found, after, result, scores, command)
    about = {"identity": named, "method": run.method, "command": command, "finished": not outcome.interrupted}
    write_atomically(Path(run.output) / RUN, json.dumps(about, indent=2) + "\n")
    text = (
        f"{counted(len(found.files), 'file')} labelled: {Path(run.output) / labels.PREDICTIONS} "
        f"(report: {Path(run.output) / labels.REPORT})"
    )
    if outcome.interrupted:
        print(text)
        raise KeyboardInterrupt
    saver.clear()
    return text


def place_of_model(checkpoint: str | None, model: str | None) -> str:
    """What `model.load` takes, from two flags of which one must be given.

    Raises:
      BadInput: none or both are given, or there is no such model.
    """
    if (checkpoint is None) == (model is None):
        found = "neither is" if checkpoint is None else "both are"
        raise BadInput(f"--checkpoint and --model: {found} given, expected a folder, or one of {listed(boxed.names())}")
    if model is not None and model not in boxed.names():
        raise BadInput(f"--model: {registry.unknown('model', model, boxed.names())}")
    return checkpoint or str(model)


def _check(run: ClassifyRun) -> Request:
    """How to adapt, from the flags."""
    options = parse_options(run.method, run.profile, run.options, [run.method])
    if run.criterion not in selection.CRITERIA:
        raise BadInput(f"--criterion: {registry.unknown('criterion', run.criterion, selection.CRITERIA)}")
    how = Request(run.method, options, **{name: getattr(run, name) for name in Request._fields[2:]})
    adapting.check(how)
    check_number("--overlap", run.overlap, 0.0, 1.0, below=True)
    check_on_bad_file(run.on_bad_file)
    return how


def _check_output(run: ClassifyRun, named: str) -> None:
    """Raises `BadInput` where the output holds results of another run, which would be lost."""
    path = Path(run.output) / RUN
    if run.overwrite or not (path.parent / labels.PREDICTIONS).is_file():
        return
    there = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if there.get("identity") != named:
        raise BadInput(
            f"--output={run.output}: holds the labels of another run ({there.get('command', 'of an older version')}); "
            "give another folder, or --overwrite to replace them"
        )


def identity(run: ClassifyRun, found: recordings.Recordings, model: Model) -> str:
    """Names what results belong to: flags, samples, weights and settings of the network, files of plug-ins."""
    left_out = ("output", "save_every_s", "checkpoint", "model", "audio_dir", "truth", "overwrite")
    kept = {k: v for k, v in run.as_dict().items() if k not in left_out}
    own = [registry.source_digest(name) for name in (run.method, run.criterion, *model.config.places())]
    samples = [found.files, found.digest, np.asarray(found.seconds).tolist()]
    named = [kept, samples, variables_hash(model.variables), zoo.own_settings(model.config), own]
    return digests.of_text(json.dumps(named, sort_keys=True, default=str))
