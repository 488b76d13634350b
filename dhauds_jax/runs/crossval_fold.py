"""One fold of a cross-validation: trained, its epoch and temperature chosen, its predictions and checkpoint written."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from dhauds_jax import calibration
from dhauds_jax.arrays import read_npz
from dhauds_jax.cells.input_statistics import normalising
from dhauds_jax.data.pipeline import ClipSplit
from dhauds_jax.errors import BadInput
from dhauds_jax.files import write_atomically
from dhauds_jax.nets import checkpoint as checkpoints
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.runs import crossval_settings
from dhauds_jax.runs.crossval_clips import TEST, Pool
from dhauds_jax.runs.requests.crossval import CrossvalRun
from dhauds_jax.train.copies import copies
from dhauds_jax.train.loop import train
from dhauds_jax.train.statistics import of_clips
from dhauds_jax.types import Calibration, Classifier, Variables
from dhauds_jax.wording import counted
from dhauds_jax.workdir.saver import Saver

Logits = Float[np.ndarray, "copies clips classes"]
KINDS = ("nested", "oracle")


class Setting(NamedTuple):
    """What all folds share.

    Attributes:
      run: settled.
      pool: all clips.
      classifier: the network as it is trained and scored.
      first: fold number -> its first variables.
      score: `(variables, clips) -> logits`, compiled once.
      starts: samples left out of each copy of `--views`.
      identity: names the whole run.
    """

    run: CrossvalRun
    pool: Pool
    classifier: Classifier
    first: Callable[[int], Variables]
    score: Callable[[Variables, ClipSplit], np.ndarray]
    starts: tuple[int, ...]
    identity: Mapping[str, Any]

    @property
    def config(self) -> ClassifierConfig:
        """Of the network."""
        return self.classifier.config

    @property
    def kinds(self) -> tuple[str, ...]:
        """Which choices are made: without a part to choose by only the oracle's."""
        return KINDS if self.run.selection == "nested" else KINDS[1:]

    def inner(self, number: int) -> int | None:
        """The fold (from 0) by which nested choice chooses for fold `number` (from 1): the next one."""
        return number % self.run.folds if self.run.selection == "nested" else None


class Chosen(NamedTuple):
    """An epoch and a temperature, by which clips they were chosen, and what they come to.

    Attributes:
      epoch: from 1.
      temperature: of the list.
      curve: the quality of every epoch on the clips it was chosen by.
      reported: (copies, clips, classes) logits of the fold's clips.
      test: likewise of the clips that no fold sees.
    """

    epoch: int
    temperature: float
    curve: tuple[float, ...]
    reported: Logits | None = None
    test: Logits | None = None


def folder_of(workdir: str | Path, number: int) -> Path:
    """Where a fold's checkpoint lies."""
    return Path(workdir) / f"fold{number}"


def _predictions(workdir: str | Path, number: int) -> Path:
    return Path(workdir) / "predictions" / f"fold{number}.npz"


def is_done(setting: Setting, number: int) -> bool:
    """Whether this run has finished a fold; raises `BadInput` where another one left its checkpoint."""
    folder = folder_of(setting.run.workdir, number)
    if not folder.exists():
        return False
    stored = checkpoints.load_extra(folder).get("crossval", {}).get("identity", {})
    if stored != setting.identity:
        names = [name for name in setting.identity if stored.get(name) != setting.identity[name]]
        raise BadInput(
            f"{folder} is a fold of another run (other {', '.join(names)}): choose another --workdir or remove it"
        )
    return _predictions(setting.run.workdir, number).is_file()


def read(setting: Setting, number: int) -> tuple[dict[str, Any], dict[str, Chosen]]:
    """What a finished fold said of itself, and its choices by kind."""
    extra = checkpoints.load_extra(folder_of(setting.run.workdir, number))
    again = f"what this command has written; remove {folder_of(setting.run.workdir, number)} to run the fold again"
    arrays = read_npz(_predictions(setting.run.workdir, number), (), again)
    found = {}
    try:
        about = {**extra["crossval"], "seconds": extra["training"]["seconds"]}
        for kind in setting.kinds:
            one = about[kind]
            curve = tuple(one["curve"])
            logits = arrays[f"{kind}_reported"], arrays[f"{kind}_test"]
            found[kind] = Chosen(one["epoch"], one["temperature"], curve, *logits)
    except (KeyError, TypeError) as error:
        raise BadInput(f"fold {number}: what it left lacks {error}, expected {again}") from error
    return about, found


def run_fold(setting: Setting, number: int, extra: Callable[[], Mapping[str, Any]]) -> None:
    """Trains a fold, or goes on with it, and writes its checkpoint and predictions.

    Args:
      setting: of the run.
      number: of the fold, from 1.
      extra: what a checkpoint says of how it came about.
    """
    run, pool = setting.run, setting.pool
    state = Path(run.workdir) / "state" / f"fold{number}"
    inner = setting.inner(number)
    rows = {"oracle": pool.rows(number - 1)}
    if inner is not None:
        rows["nested"] = pool.rows(inner)
    left_out = [number - 1] if inner is None else [number - 1, inner]
    training = pool.training(left_out, setting.starts if run.train_shifts else (0,))
    found = _trained(setting, number, training, rows, state)
    choices: dict[str, Chosen] = {}
    for kind in setting.kinds:
        epoch, curve, variables = found[kind]
        seen = next((one for one in choices.values() if one.epoch == epoch), None)  # not to be predicted twice
        choices[kind] = _chosen(setting, rows[kind], rows["oracle"], Chosen(epoch, 1.0, curve), variables, seen)
    if run.refit:
        training, variables = _refitted(setting, number, choices["nested"].epoch, state)
        found["nested"] = (*found["nested"][:2], variables)
        said_of = (_logits(setting, variables, some) for some in (rows["oracle"], pool.rows(TEST)))
        choices["nested"] = choices["nested"]._replace(**dict(zip(("reported", "test"), said_of, strict=True)))
    said = {k: {"epoch": c.epoch, "temperature": c.temperature, "curve": list(c.curve)} for k, c in choices.items()}
    about = {
        "fold": number,
        "clips": len(training.ids),
        "reported": len(rows["oracle"]),
        "identity": setting.identity,
        **said,
    }
    arrays = {f"{kind}_{what}": getattr(c, what) for kind, c in choices.items() for what in ("reported", "test")}
    write_atomically(_predictions(run.workdir, number), lambda file: np.savez(file, **arrays))
    kept = choices[run.selection]
    made = calibration_of(setting, kept, rows["oracle"])
    extras = {"calibration": calibration.to_extra(made), "crossval": about, **extra()}
    variables = found[run.selection][2]
    checkpoints.save(folder_of(run.workdir, number), variables, setting.config, extras)
    shutil.rmtree(state, ignore_errors=True)
    with contextlib.suppress(OSError):  # another fold goes on
        state.parent.rmdir()


def calibration_of(setting: Setting, kept: Chosen, rows: Int[np.ndarray, " clips"]) -> Calibration:
    """Temperature and held-out scores of a fold's own clips, as they are without shifted copies."""
    p = calibration.ensemble(kept.reported[:1], kept.temperature, setting.config.groups)
    how = f"{setting.run.selection}:{setting.run.chosen_by}"
    return Calibration(kept.temperature, how, "max_probability", calibration.held_out(p.max(-1)) if len(rows) else None)


def _trained(
    setting: Setting, number: int, training: ClipSplit, rows: Mapping[str, np.ndarray], state: Path
) -> dict[str, tuple[int, tuple[float, ...], Variables]]:
    """Of each kind of choice the epoch, the quality of all epochs, and the variables."""
    run = setting.run
    options = crossval_settings.train_options(run)
    variables = normalising(setting.first(number), of_clips(setting.config, training, options))
    starts = setting.starts if run.epoch_views == "all" else (0,)
    judged = copies(setting.pool.clips, np.concatenate([rows[kind] for kind in setting.kinds]), starts)
    kept = _Kept(setting, rows, state, len(starts))
    identity = {**setting.identity, "fold": number}
    saver = Saver(state / "train", run.save_every_s, identity)
    settings = {"seed": 100 * run.seed + number, "saver": saver, "whole_batches": bool(run.whole_batches)}
    print(f"fold {number} of {run.folds}: {len(training.ids):,} clips to train on, {len(rows['oracle']):,} reported")
    if done := len(saver.info().get("history", ())):
        print(f"fold {number} of {run.folds}: goes on, {done} of {counted(run.epochs, 'epoch')} are done")
    for epoch in train(setting.classifier, variables, training, judged, options, **settings):
        if epoch.logits is not None:
            kept.add(epoch.index, epoch.logits, epoch.state.variables)
    return kept.found()


def _refitted(setting: Setting, number: int, epoch: int, state: Path) -> tuple[ClipSplit, Variables]:
    """All clips but the fold's own, the part that was chosen by among them, and the variables after so many epochs."""
    run, pool = setting.run, setting.pool
    training = pool.training([number - 1], setting.starts if run.train_shifts else (0,))
    options = crossval_settings.train_options(run).replace(epochs=epoch)
    variables = normalising(setting.first(number), of_clips(setting.config, training, options))
    scored = copies(pool.clips, pool.rows(number - 1)[:1], (0,))  # `train` scores something, and nothing goes by it
    saver = Saver(state / "refit", run.save_every_s, {**setting.identity, "fold": number, "refit": epoch})
    settings = {"seed": 100 * run.seed + number, "saver": saver, "whole_batches": bool(run.whole_batches)}
    print(f"fold {number} of {run.folds}: anew, on {len(training.ids):,} clips for {counted(epoch, 'epoch')}")
    for done in train(setting.classifier, variables, training, scored, options, **settings):
        variables = done.state.variables
    return training, variables


class _Kept:
    """The best variables of each kind so far, and the logits of every epoch, on disk: a killed fold goes on."""

    def __init__(self, setting: Setting, rows: Mapping[str, np.ndarray], folder: Path, views: int) -> None:
        self.setting, self.rows, self.folder, self.views = setting, rows, folder, views

    def _epoch(self, index: int) -> Path:
        return self.folder / "epochs" / f"{index:04d}.npy"

    def _parts(self, logits: np.ndarray) -> Iterator[tuple[str, Logits]]:
        """The logits of each kind's clips, copy by copy."""
        by_copy = logits.reshape(self.views, -1, logits.shape[-1])
        first = 0
        for kind in self.setting.kinds:
            last = first + len(self.rows[kind])
            yield kind, by_copy[:, first:last]
            first = last

    def qualities(self, epochs: int) -> dict[str, tuple[float, ...]]:
        """The quality of the first epochs by kind, at the first temperature."""
        run, config, pool = self.setting.run, self.setting.config, self.setting.pool
        found: dict[str, list[float]] = {kind: [] for kind in self.setting.kinds}
        for index in range(1, epochs + 1):
            for kind, logits in self._parts(np.load(self._epoch(index))):
                p = calibration.ensemble(logits, run.temperatures[0], config.groups)
                found[kind].append(calibration.quality(run.chosen_by, p, pool.reported[self.rows[kind]]))
        return {kind: tuple(values) for kind, values in found.items()}

    def add(self, index: int, logits: np.ndarray, variables: Variables) -> None:
        """Takes an epoch; its variables are written where it is the best so far."""
        write_atomically(self._epoch(index), lambda file: np.save(file, logits.astype(np.float32)))
        for kind, values in self.qualities(index).items():
            if int(np.argmax(values)) == index - 1:
                checkpoints.save(self.folder / kind, variables, self.setting.config, {"epoch": index})

    def found(self) -> dict[str, tuple[int, tuple[float, ...], Variables]]:
        """Of each kind the best epoch, all qualities, and the variables."""
        out = {}
        for kind, values in self.qualities(self.setting.run.epochs).items():
            variables, _, extra = checkpoints.load(self.folder / kind)
            out[kind] = (extra["epoch"], values, variables)
        return out


def _chosen(
    setting: Setting,
    by: Int[np.ndarray, " chosen_by"],
    reported: Int[np.ndarray, " reported"],
    begun: Chosen,
    variables: Variables,
    seen: Chosen | None,
) -> Chosen:
    """The temperature for an epoch's variables, and what all copies of the fold's and of unseen clips then are.

    Args:
      setting: of the run.
      by: positions of the clips that the temperature is chosen by.
      reported: those of the fold's clips.
      begun: the epoch and the quality of all epochs.
      variables: of that epoch.
      seen: what was predicted with these already.
    """
    run, pool = setting.run, setting.pool
    own = _logits(setting, variables, reported) if seen is None else seen.reported
    judged = own if np.array_equal(by, reported) else _logits(setting, variables, by)
    truth = pool.reported[by]
    temperature, _ = calibration.best_temperature(run.chosen_by, run.temperatures, judged, truth, setting.config.groups)
    unseen = _logits(setting, variables, pool.rows(TEST)) if seen is None else seen.test
    return begun._replace(temperature=temperature, reported=own, test=unseen)


def _logits(setting: Setting, variables: Variables, rows: Int[np.ndarray, " clips"]) -> Logits:
    """Of clips at some positions, by all copies."""
    if not len(rows):
        return np.zeros((len(setting.starts), 0, len(setting.config.classes)), np.float32)
    on_device = jax.tree.map(jnp.asarray, variables)
    found = setting.score(on_device, copies(setting.pool.clips, rows, setting.starts))
    return found.reshape(len(setting.starts), len(rows), -1).astype(np.float32)
