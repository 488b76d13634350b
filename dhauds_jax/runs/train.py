"""A whole source training: load, train, write the checkpoint."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dhauds_jax import parallel
from dhauds_jax.cells import targets
from dhauds_jax.cells.input_statistics import normalising
from dhauds_jax.command import flags
from dhauds_jax.data import pipeline, sets
from dhauds_jax.errors import BadInput
from dhauds_jax.names import PROFILES
from dhauds_jax.nets import checkpoint as checkpoints
from dhauds_jax.nets import precision, spectrogram_transfer, zoo
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.recipes import training as recipes
from dhauds_jax.train import identity as identities
from dhauds_jax.train.clips import check_splits, open_clips, train_width, training_noise
from dhauds_jax.train.loop import check_options, chosen, train, workdir_state
from dhauds_jax.train.request import TrainRun
from dhauds_jax.train.statistics import of_clips, with_measured_statistics, with_statistics_of
from dhauds_jax.train.views import make_view
from dhauds_jax.types import Classifier, Variables
from dhauds_jax.wording import counted
from dhauds_jax.workdir import locks
from dhauds_jax.workdir.provenance import provenance
from dhauds_jax.workdir.saver import Saver


def first_variables(run: TrainRun, dataset: sets.DataSet) -> tuple[Classifier, Variables]:
    """The network with random weights, or with those of `--checkpoint`.

    A spectrogram transformer also starts from one for other clips, strides or classes, such as a pretraining: its
    positions are cut or interpolated, and a head that does not fit is new.
    """
    config = zoo.preset(run.net, dataset.classes)
    if run.checkpoint:
        variables, found, extra = checkpoints.load(run.checkpoint)
        if _fits_weights(config, found):
            if sorted(found.classes) == sorted(config.classes):
                targets.check_fits(found, dataset, run.checkpoint)  # not in another order
            config = with_statistics_of(config, found, run.input_statistics)
            if "pretraining" in extra or not spectrogram_transfer.keeps_head(variables, found, config):
                print(f"note: {run.checkpoint} has no head for the classes of {dataset.name}: a new one is trained")
            key = jax.random.key(run.seed)
            variables = spectrogram_transfer.for_clips(variables, found, config, key, run.profile)
        else:
            targets.check_fits(found, dataset, run.checkpoint)
            if found.net != run.net:
                print(f"note: {run.checkpoint} holds {found.net}, which is trained; --net={run.net} is not used")
            config = found
        return _build(run, config), jax.tree.map(jnp.asarray, variables)
    if run.profile == "corrected" and config.head.get("softmax_output"):  # quirk 63
        config = config.replace(head={**config.head, "softmax_output": False})
    classifier = _build(run, config)
    return classifier, classifier.init(jax.random.key(run.seed), jnp.zeros((2, config.length)))


def _fits_weights(preset: ClassifierConfig, found: ClassifierConfig) -> bool:
    """Whether weights are fitted to `--net`; elsewhere the checkpoint's own network is trained."""
    return found.family == preset.family == spectrogram_transfer.FAMILY


def settled(run: TrainRun, selection: str | None = None, time_flip: bool | None = None) -> TrainRun:
    """The run with the options that its profile stands for, where they are still those of profile reference.

    Args:
      run: the request.
      selection, time_flip: what was asked for expressly, whatever the profile. None: the profile's; a `selection` of
        the options that is not "last" stays.

    Raises:
      BadInput: an unknown profile.
    """
    if run.profile not in PROFILES:
        raise BadInput(f"--profile={run.profile}: expected {' or '.join(PROFILES)}")
    if run.profile == "reference" or not run.options.first_epoch_plain:
        return run
    own = "best_validation" if run.options.selection == "last" else run.options.selection
    mended = {"first_epoch_plain": False, "crop_last_start": True, "nesterov": True}
    mended |= {"selection": selection or own, "time_flip": bool(time_flip)}
    return run.replace(options=run.options.replace(**mended))


def _build(run: TrainRun, config: ClassifierConfig) -> Classifier:
    return zoo.build(config, **precision.compute_options(run.precision, run.remat))


NAMED = ("dataset", "net", "seed", "profile", "input_statistics", "precision", "remat")
"""Flags that name a training, beside its options."""


@precision.exactly()
@locks.holding()
def train_and_save(run: TrainRun, command: str, compiler_options: Mapping[str, Any] | None = None) -> str:
    """Trains a classifier and writes `workdir/checkpoint`; returns the sentence that says so.

    Args:
      run: the flags.
      command: the command line, for the checkpoint.
      compiler_options: see `train.loop.train`.

    Raises:
      BadInput: bad input, in one sentence, before anything is written.
      FloatingPointError: the loss is not finite.
    """
    run = settled(run)
    dataset = sets.get(run.dataset, run.data_dir)
    check_splits(run, dataset)
    where = parallel.make(run.parallel)
    folder = Path(run.workdir) / "checkpoint"
    preset = zoo.preset(run.net, dataset.classes)
    starts = [checkpoints.load_config(run.checkpoint)] if run.checkpoint else []
    flags = identities.of_flags(run, NAMED, preset, *starts)
    identities.check_free(folder, flags)
    rate = next((start.sample_rate for start in starts if not _fits_weights(preset, start)), preset.sample_rate)
    noise = training_noise(dataset, run.noise_dir, run.train_noise, rate)
    check_options(run.options, noise)
    classifier, variables = first_variables(run, dataset)
    config = classifier.config
    width = train_width(dataset, config, run.options)
    clips = open_clips(run, dataset, "train", config.sample_rate, width, run.memory_budget_mb)
    clips = pipeline.narrowed(clips, max(config.length, int(clips.lengths.max())))
    left_mb = max(0.0, run.memory_budget_mb - pipeline.memory_mb(clips))
    validation = open_clips(run, dataset, "val", config.sample_rate, config.length, left_mb)
    identity = flags | identities.of_files(run, clips, validation, noise)
    if identities.is_finished(folder, identity):
        return f"already trained: {folder}"
    clean = make_view("clean", run.options, None, bool(np.any(clips.lengths < clips.width)), config.length)
    config = with_measured_statistics(config, clips, run.input_statistics, clean)
    if config != classifier.config:
        classifier = _build(run, config)
    variables = normalising(variables, of_clips(config, clips, run.options))
    saver = Saver(workdir_state(Path(run.workdir)), run.save_every_s, identity)
    history: list[dict[str, float]] = []
    begun = time.perf_counter()
    state, updating, waited = None, 0.0, 0.0
    for epoch in train(
        classifier,
        variables,
        clips,
        validation,
        run.options,
        seed=run.seed,
        noise=noise,
        saver=saver,
        history=history,
        where=where,
        compiler_options=compiler_options,
    ):
        state, updating, waited = epoch.state, updating + epoch.seconds, waited + epoch.waited
    seconds = time.perf_counter() - begun
    training = {
        "identity": identity,
        "history": history,
        "clips": len(clips.ids),
        "streamed": clips.records is not None,
        "skipped": {"train": len(clips.skipped), "val": len(validation.skipped)},
        "data_wait_share": waited / updating if updating else None,
        **where.describe(),
        **provenance(command, seconds),
    }
    kept = jax.tree.map(np.asarray, chosen(state, run.options))
    checkpoints.save(folder, kept, config, {"training": training})
    saver.clear()
    best = max(h["validation"] for h in history)
    return (
        f"validation accuracy {100 * history[-1]['validation']:.1f} % after {counted(len(history), 'epoch')} "
        f"(best {100 * best:.1f} %), {seconds:.0f} s in this sitting; checkpoint: {folder}"
    )


def train_from_flags(values: Any, command: str) -> str:
    """What `experiments.train` does with its flags, those of a `--recipe` filled in.

    Args:
      values: absl's flag values.
      command: the command line, for the checkpoint.

    Raises:
      BadInput: a flag with a value that it cannot have.
    """
    recipe = recipes.apply(values.recipe, values) if values.recipe else None
    if not values.dataset:
        raise BadInput("--dataset: missing, expected a data set, or a --recipe that names one")
    run = settled(flags.from_flags(TrainRun, values), values.selection, values.time_flip)
    text = train_and_save(run, command)
    return f"{text}\n{recipes.published_sentence(recipe)}" if recipe else text
