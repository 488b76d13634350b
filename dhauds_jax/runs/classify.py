"""Adapting to a folder of unlabelled recordings, and saying whether it did any good."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dhauds_jax import digests, metrics, registry
from dhauds_jax.cells import input_statistics
from dhauds_jax.cells.programs import Programs
from dhauds_jax.command import interrupts
from dhauds_jax.data import recordings
from dhauds_jax.data.audio import check_on_bad_file
from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.files import write_atomically
from dhauds_jax.nets import checkpoint as checkpoints
from dhauds_jax.nets import precision, zoo
from dhauds_jax.nets.checkpoint import variables_hash
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.runs.requests.classify import ClassifyRun
from dhauds_jax.tta import methods, protocols, selection, streams
from dhauds_jax.tta.advice import Signs, advise, signs
from dhauds_jax.tta.evaluation import check_finite_logits
from dhauds_jax.tta.options import parse_options
from dhauds_jax.types import AdaptState, RunInfo
from dhauds_jax.wording import counted
from dhauds_jax.workdir import locks, provenance
from dhauds_jax.workdir.saver import Saver


class _Outcome(NamedTuple):
    """Logits of every window, the state they are of, epochs or batches behind it, whether it was cut short."""

    logits: np.ndarray
    state: AdaptState
    position: int
    curve: list[dict[str, Any]]
    interrupted: bool


@precision.exactly()
@locks.holding("output")
def classify(run: ClassifyRun, command: str) -> str:
    """Reads, adapts, labels and reports; returns the sentence that says where the results are.

    Raises:
      BadInput: bad input, in one sentence. FloatingPointError: a loss, a prediction or a weight is not finite, and
        nothing is written. KeyboardInterrupt: after what there was has been written.
    """
    options = _check(run)
    variables, config, _ = checkpoints.load(run.checkpoint)
    classifier = zoo.build(config, **precision.compute_options(run.precision))
    method = methods.make(run.method, classifier, options)  # what its factory refuses is said before files are read
    variables = jax.tree.map(jnp.asarray, variables)
    found = recordings.load(
        run.audio_dir,
        sample_rate=config.sample_rate,
        length=config.length,
        overlap=run.overlap,
        on_bad_file=run.on_bad_file,
    )
    print(_described(found, config))
    rule = input_statistics.rule_of(config, run.profile, options)
    variables = input_statistics.of_sets(config, rule, waves=found.waves).of("waves", variables)
    if run.method != "source" and len(found.waves) < 2:
        raise BadInput(f"{run.audio_dir}: one window of audio, expected at least two to adapt to; give --method=source")
    batch_size = min(run.batch_size, len(found.waves))
    info = RunInfo(
        protocols.steps_per_epoch(len(found.waves), batch_size), len(found.waves), len(config.classes), None, batch_size
    )
    methods.check_needs(run.method, method, variables, info)
    before = Programs().source_logits(classifier, variables, found.waves, batch_size)
    compiled, first = protocols.compiled(method), method.init(variables, info)
    saver = Saver(Path(run.output) / "state" / identity(run, found, variables, config), run.save_every_s)
    adapting = _stream if run.online else _epochs
    outcome = adapting(run, compiled, first, found.waves, batch_size, before, saver)
    text = _write(run, found, config, before, outcome, command)
    if outcome.interrupted:
        print(text)
        raise KeyboardInterrupt
    saver.clear()
    return text


def _check(run: ClassifyRun) -> dict[str, Any]:
    options = parse_options(run.method, run.profile, run.options, [run.method])
    if run.criterion not in selection.CRITERIA:
        raise BadInput(f"--criterion: {registry.unknown('criterion', run.criterion, selection.CRITERIA)}")
    selection.check(run.criterion)
    check_number("--epochs", run.epochs, 1)
    check_number("--batch_size", run.batch_size, 2, because="batch statistics need two windows")
    check_number("--overlap", run.overlap, 0.0, 1.0, below=True)
    check_on_bad_file(run.on_bad_file)
    return options


def _described(found: recordings.Recordings, config: Any) -> str:
    """What the folder holds, in a few lines."""
    minutes = found.seconds.sum() / 60
    recorded, cut = counted(len(found.files), "recording"), counted(len(found.waves), "window")
    lines = [
        f"{recorded}, {minutes:.1f} min ({found.seconds.min():.2f} to {found.seconds.max():.2f} s), "
        f"in {cut} of {config.length / config.sample_rate:g} s at {config.sample_rate} Hz",
        *(f"note: {notice}" for notice in found.notices),
    ]
    if found.skipped:
        lines.append(
            f"note: {counted(len(found.skipped), 'file')} skipped, the first: "
            f"{found.skipped[0][0]}: {found.skipped[0][1]}"
        )
    return "\n".join(lines)


def identity(run: ClassifyRun, found: recordings.Recordings, variables: Any, config: ClassifierConfig) -> str:
    """Names what a saved state belongs to: flags, samples, weights and settings of the network, files of plug-ins."""
    kept = {k: v for k, v in run.as_dict().items() if k not in ("output", "save_every_s", "checkpoint")}
    if run.precision == "float32":
        del kept["precision"]
    samples = digests.of_arrays(found.waves, found.owner)
    own = [registry.source_digest(name) for name in (run.method, run.criterion, *config.places())]
    named = [kept, found.files, samples, variables_hash(variables), zoo.own_settings(config), own]
    return digests.of_text(json.dumps(named, sort_keys=True, default=str))


def _epochs(
    run: ClassifyRun,
    compiled: Any,
    first: AdaptState,
    waves: np.ndarray,
    batch_size: int,
    before: np.ndarray,
    saver: Saver,
) -> _Outcome:
    """Offline: the epoch with the highest label-free criterion, epoch 0 (as the method predicts unadapted) included."""
    criterion = selection.CRITERIA[run.criterion]
    (state, best, best_logits), info = saver.load((first, first, before)) or ((first, first, before), {})
    curve, interrupted = info.get("curve", []), False
    try:
        for epoch in protocols.offline(
            compiled,
            state,
            waves,
            epochs=run.epochs,
            batch_size=batch_size,
            key=jax.random.key(run.seed),
            begin=max(0, len(curve) - 1),
            progress=run.method,
        ):
            check_finite_logits(epoch.logits, f"after epoch {epoch.index} of {run.epochs}; {_ADVICE}")
            value = float(criterion(epoch.logits))
            value = value if np.isfinite(value) else None  # as JSON has no such number; it is never chosen
            if selection.choose([*(point["criterion"] for point in curve), value]) == len(curve):
                # The epoch's buffers are given to the next update: keep copies.
                best, best_logits = jax.tree.map(jnp.copy, epoch.state), epoch.logits
            curve.append({"epoch": epoch.index, "criterion": value, **epoch.losses})
            if epoch.index:
                saver.save((epoch.state, best, best_logits), {"position": epoch.index, "curve": curve})
    except KeyboardInterrupt:
        interrupted = True
    position = selection.choose([point["criterion"] for point in curve]) if curve else 0
    return _Outcome(np.asarray(best_logits), best, position, curve, interrupted)


_ADVICE = "lower the learning rate (--options=lr=...)"


def _stream(
    run: ClassifyRun,
    compiled: Any,
    first: AdaptState,
    waves: np.ndarray,
    batch_size: int,
    before: np.ndarray,
    saver: Saver,
) -> _Outcome:
    """Online: in the order of the files; windows that were not reached keep the source model's logits."""
    (state, logits), info = saver.load((first, before)) or ((first, before), {})
    logits, position, interrupted = np.array(logits), info.get("position", 0), False
    rows = np.arange(len(waves))
    stream = streams.batches(streams.Stream(rows, np.zeros_like(rows)), batch_size)
    state = jax.tree.map(jnp.copy, state)
    with interrupts.deferred() as asked_to_stop:  # a step that is under way has been given the state's buffers
        for step in protocols.online(
            compiled,
            state,
            waves,
            batch_size=batch_size,
            key=jax.random.key(run.seed),
            stream=stream,
            begin=position,
            progress=run.method,
        ):
            logits[step.rows] = check_finite_logits(np.asarray(step.logits), f"at batch {step.index + 1}; {_ADVICE}")
            state, position = step.state, step.index + 1
            saver.save((state, logits), {"position": position})
            if asked_to_stop():
                interrupted = True
                break
    return _Outcome(logits, state, position, [], interrupted)


def _write(
    run: ClassifyRun, found: recordings.Recordings, config: Any, before: np.ndarray, outcome: _Outcome, command: str
) -> str:
    """Writes predictions, checkpoint and report, each under a temporary name first."""
    kept, folder = _finite(outcome.state.variables), Path(run.output)
    old, new = (
        recordings.per_file(metrics.softmax(z), found.owner, len(found.files)) for z in (before, outcome.logits)
    )
    change = signs(np.log(np.maximum(old, 1e-300)), np.log(np.maximum(new, 1e-300)))
    advice = advise(change)
    rows = [("file", "label", "confidence", "label_before", "confidence_before")]
    for name, p, q in zip(found.files, new, old, strict=True):
        rows.append((name, config.classes[p.argmax()], f"{p.max():.4f}", config.classes[q.argmax()], f"{q.max():.4f}"))
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    write_atomically(folder / "predictions.csv", text.getvalue())
    adaptation = {"command": command, "method": run.method, "seed": run.seed, "profile": run.profile}
    if run.precision != "float32":
        adaptation["precision"] = run.precision
    checkpoints.save(
        folder / "checkpoint", kept, config, {"adaptation": {**adaptation, "versions": provenance.versions()}}
    )
    write_atomically(folder / "report.md", _report(run, found, config, change, advice, outcome, command))
    print(f"{change.changed * 100:.1f} % of the labels changed. {advice}")
    labelled = f"{counted(len(found.files), 'file')} labelled"
    return f"{labelled}: {folder / 'predictions.csv'} (report: {folder / 'report.md'})"


def _finite(variables: Any) -> Any:
    """The adapted weights, on the host.

    Raises:
      FloatingPointError: some are not finite: the last update of a stream shows in no prediction.
    """
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables):
        if not np.isfinite(np.asarray(leaf)).all():
            raise FloatingPointError(f"the adapted weights {jax.tree_util.keystr(path)} are not finite; {_ADVICE}")
    return jax.tree.map(np.asarray, variables)


def _report(
    run: ClassifyRun,
    found: recordings.Recordings,
    config: Any,
    change: Signs,
    advice: str,
    outcome: _Outcome,
    command: str,
) -> str:
    lines = ["# Adaptation to a folder of recordings", "", f"**{advice}**", "", _described(found, config), ""]
    if outcome.interrupted:
        lines += ["The run was stopped before its end; the same command goes on.", ""]
    where = f"epoch {outcome.position} of {run.epochs} ({run.criterion})"
    if run.online:
        where = counted(outcome.position, "batch", "batches")
    lines += [f"Method {run.method}, {'online' if run.online else 'offline'}, taken from: {where}.", ""]
    if outcome.state.memory not in ((), None) and jax.tree.leaves(outcome.state.memory):
        lines += ["The method also keeps a memory that is not part of the written checkpoint.", ""]
    lines += ["| sign | before | after |", "|---|---:|---:|"]
    for name, a, b in change.rows():
        lines.append(f"| {name} | {a} | {b} |")
    lines += ["", f"Labels that changed: {100 * change.changed:.1f} %.", ""]
    if outcome.curve:
        lines += [f"| epoch | {run.criterion} |", "|---:|---:|"]
        values = ["-" if point["criterion"] is None else f"{point['criterion']:.4f}" for point in outcome.curve]
        lines += [f"| {point['epoch']} | {value} |" for point, value in zip(outcome.curve, values, strict=True)] + [""]
    if found.skipped:
        lines += ["Files that were skipped:", "", *(f"- `{name}`: {reason}" for name, reason in found.skipped), ""]
    lines += [f"Command: `{command}`; code {provenance.git_revision()}; device {provenance.device()}.", ""]
    return "\n".join(lines)
