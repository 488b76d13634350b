"""A whole source training: load, train, write the checkpoint."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dhauds_jax import parallel
from dhauds_jax.cells import targets
from dhauds_jax.cells.input_statistics import normalising
from dhauds_jax.command import flags
from dhauds_jax.data import pipeline, sets
from dhauds_jax.data.layout import raw_clip
from dhauds_jax.dsp.clip_layout import lay_out
from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.model import own_sounds
from dhauds_jax.nets import checkpoint as checkpoints
from dhauds_jax.nets import precision, spectrogram_transfer, zoo
from dhauds_jax.nets.config import ClassifierConfig, reading
from dhauds_jax.recipes import training as recipes
from dhauds_jax.train import identity as identities
from dhauds_jax.train.clips import (
    check_splits,
    open_clips,
    say_absent_classes,
    say_length,
    train_width,
    training_noise,
    validation_split,
)
from dhauds_jax.train.epoch_log import EpochLog, check_tensorboard
from dhauds_jax.train.identity import trained_state, workdir_state
from dhauds_jax.train.loop import check_options, train
from dhauds_jax.train.optimisers import FALL_OVER_EPOCHS
from dhauds_jax.train.profiles import settled, without_noise
from dhauds_jax.train.request import TrainRun
from dhauds_jax.train.selection import chosen, kept_words
from dhauds_jax.train.statistics import of_clips, with_measured_statistics, with_statistics_of
from dhauds_jax.train.views import clean_view
from dhauds_jax.tta import bank as banks
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
    config = _at_length(run, zoo.preset(run.net, dataset.classes))
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
            config = _at_length(run, found)
            _check_weights(run, found, config)
        return _build(run, config), jax.tree.map(jnp.asarray, variables)
    if run.profile == "corrected" and config.head.get("softmax_output"):  # quirk 63
        config = config.replace(head={**config.head, "softmax_output": False})
    classifier = _build(run, config)
    return classifier, classifier.init(jax.random.key(run.seed), jnp.zeros((2, config.length)))


def _at_length(run: TrainRun, config: ClassifierConfig) -> ClassifierConfig:
    """The network of a config for clips of `--length` seconds."""
    if run.length is None:
        return config
    check_number("--length", run.length, 0.0, above=True, because="seconds")
    try:
        return zoo.at_length(config, run.length)
    except BadInput as error:
        raise BadInput(f"--length={run.length:g}: {config.net} takes no clips of that length: {error}") from error


def _check_weights(run: TrainRun, found: ClassifierConfig, config: ClassifierConfig) -> None:
    """Raises `BadInput` unless the weights of one clip length fit a network for another."""
    if config != found and zoo.shapes(zoo.build(config)) != zoo.shapes(zoo.build(found)):
        raise BadInput(
            f"--length={run.length:g}: the positions of {run.checkpoint} ({found.net}) are those of clips of "
            f"{found.length / found.sample_rate:g} s, expected no --length, or no --checkpoint to train other positions"
        )


def _fits_weights(preset: ClassifierConfig, found: ClassifierConfig) -> bool:
    """Whether weights are fitted to `--net`; elsewhere the checkpoint's own network is trained."""
    return found.family == preset.family == spectrogram_transfer.FAMILY


def _build(run: TrainRun, config: ClassifierConfig) -> Classifier:
    return zoo.build(config, **precision.compute_options(run.precision, run.remat))


NAMED = ("dataset", "net", "seed", "profile", "input_statistics", "precision", "remat")
"""Flags that name a training, beside its options."""


def _configs(run: TrainRun, dataset: sets.DataSet) -> list[ClassifierConfig]:
    """What `--net` stands for, and that of the checkpoint it starts from, at `--length`."""
    starts = [checkpoints.load_config(run.checkpoint)] if run.checkpoint else []
    return [_at_length(run, config) for config in (zoo.preset(run.net, dataset.classes), *starts)]


def named(run: TrainRun, dataset: sets.DataSet) -> dict[str, Any]:
    """The part of a settled training's identity that is known before a file is read."""
    return identities.of_flags(run, NAMED, *_configs(run, dataset))


class _Data(NamedTuple):
    """What a training reads: its clips, those it is scored on, its noise."""

    clips: pipeline.ClipSplit
    validation: pipeline.ClipSplit
    noise: np.ndarray | None


@precision.exactly()
@locks.holding()
def train_and_save(run: TrainRun, command: str, compiler_options: Mapping[str, Any] | None = None) -> str:
    """Trains a classifier and writes `workdir/checkpoint`; returns the sentence that says so.

    A finished training goes on when it is asked for with more epochs, unless its rate depends on their number.

    Args:
      run: the flags.
      command: the command line, for the checkpoint.
      compiler_options: see `train.loop.train`.

    Raises:
      BadInput: bad input, in one sentence, before anything is written.
      FloatingPointError: a loss or a prediction is not finite.
    """
    run = settled(run)
    if run.tensorboard:
        check_tensorboard()
    dataset = sets.get(run.dataset, run.data_dir)
    scored = validation_split(dataset, run.options.selection)
    check_splits(run, dataset, scored)
    where = parallel.make(run.parallel)
    folder = Path(run.workdir) / "checkpoint"
    flags = named(run, dataset)
    identities.check_free(folder, flags, [place(Path(run.workdir)) for place in (trained_state, workdir_state)])
    preset, *starts = _configs(run, dataset)
    rate = next((start.sample_rate for start in starts if not _fits_weights(preset, start)), preset.sample_rate)
    noise = training_noise(dataset, run.noise_dir, run.train_noise, rate)
    check_options(run.options, noise)
    classifier, variables = first_variables(run, dataset)
    data = _read(run, dataset, scored, classifier.config, noise)
    identity = flags | identities.of_files(run, *data)
    trained = trained_state(Path(run.workdir))
    if identities.is_finished(folder, identity):
        if not trained.exists():  # the command was killed between the checkpoint and this
            _saver(run, identity).move(trained)
        return f"already trained: {folder}"
    classifier, variables = _with_statistics(run, classifier, variables, data.clips)
    options = {"where": where, "compiler_options": compiler_options}
    kept, history, training = _trained(run, classifier, variables, data, identity, **options)
    seconds = training.pop("seconds")
    extra = {"training": {"identity": identity, **training, **where.describe(), **provenance(command, seconds)}}
    checkpoints.save(
        folder, kept, classifier.config, extra, banks.writing(_bank(run, classifier, kept, data.validation))
    )
    _saver(run, identity).move(trained)
    best = max(h["validation"] for h in history)
    return (
        f"{'test' if scored == 'test' else 'validation'} accuracy {100 * history[-1]['validation']:.1f} % after "
        f"{counted(len(history), 'epoch')} (best {100 * best:.1f} %), {seconds:.0f} s in this sitting; "
        f"{kept_words(history, run.options)}; checkpoint: {folder}"
    )


def _read(
    run: TrainRun, dataset: sets.DataSet, scored: str, config: ClassifierConfig, noise: np.ndarray | None
) -> _Data:
    width = train_width(dataset, config, run.options)
    clips = open_clips(run, dataset, "train", config, width, run.memory_budget_mb)
    clips = pipeline.narrowed(clips, max(config.length, int(clips.lengths.max())))
    left_mb = max(0.0, run.memory_budget_mb - pipeline.memory_mb(clips))
    data = _Data(clips, open_clips(run, dataset, scored, config, config.length, left_mb, False), noise)
    say_length(int(data.clips.lengths.max()), config.length, config.sample_rate)
    say_absent_classes({"train": data.clips, scored: data.validation})
    return data


def _with_statistics(
    run: TrainRun, classifier: Classifier, variables: Variables, clips: pipeline.ClipSplit
) -> tuple[Classifier, Variables]:
    """The network with what `--input_statistics=train_set` measures, and with its images' statistics."""
    config = classifier.config
    clean = clean_view(config, clips, run.options)
    config = with_measured_statistics(config, clips, run.input_statistics, clean)
    if config != classifier.config:
        classifier = _build(run, config)
    return classifier, normalising(variables, of_clips(config, clips, run.options))


def _bank(run: TrainRun, classifier: Classifier, variables: Variables, clips: pipeline.ClipSplit) -> banks.Bank | None:
    """The bank of the model's own sounds, of validation clips; without one, a note says what that means."""
    if not run.bank or not parallel.writes():
        return None
    found, rows = [], np.random.default_rng(run.seed).permutation(len(clips.ids))[: own_sounds.CLIPS]
    layout, length = reading(classifier.config.front_end)["layout"], classifier.config.length
    if len(rows) >= own_sounds.FEWEST:
        for batch in pipeline.batches(clips, rows, len(rows)):
            waves = np.asarray(pipeline.to_float(batch.wave))
            own = (raw_clip(wave, int(n)) for wave, n in zip(waves, batch.lengths, strict=True))
            found += [lay_out(wave, length, layout=layout) for wave in own]
    made = own_sounds.made(classifier, variables, np.stack(found), clips.labels[rows]) if found else None
    if made is None:
        print(f"note: no bank of the model's own sounds, which advice is surer with: {own_sounds.NEEDED}")
    return made


def _saver(run: TrainRun, identity: dict[str, Any], finished: bool = False) -> Saver:
    """The state of the unfinished run, or of the finished one; where the rate allows it also of one of other length."""
    place = (trained_state if finished else workdir_state)(Path(run.workdir))
    if run.options.optimiser in FALL_OVER_EPOCHS:
        return Saver(place, run.save_every_s, identity)
    return Saver(place, run.save_every_s, identity, same=identities.same_but_epochs)


def _trained(
    run: TrainRun,
    classifier: Classifier,
    variables: Variables,
    data: _Data,
    identity: dict[str, Any],
    **options: Any,
) -> tuple[Variables, list[dict[str, float]], dict[str, Any]]:
    """The variables to keep, the history, and what a checkpoint says of the training."""
    clips, validation, noise = data
    history: list[dict[str, float]] = []
    begun = told = time.perf_counter()
    state, updating, waited = None, 0.0, 0.0
    goes_on = (Path(run.workdir) / "checkpoint").exists()
    savers = {"saver": _saver(run, identity), "earlier": _saver(run, identity, finished=True) if goes_on else None}
    log = EpochLog(Path(run.workdir), run.tensorboard)
    try:
        given = {"seed": run.seed, "noise": noise, "history": history, **savers, **options}
        for epoch in train(classifier, variables, clips, validation, run.options, **given):
            state, updating, waited = epoch.state, updating + epoch.seconds, waited + epoch.waited
            log.add(history, epoch.scores, time.perf_counter() - told)
            told = time.perf_counter()
    finally:
        log.close()
    training = {
        "history": history,
        "clips": len(clips.ids),
        "streamed": clips.records is not None,
        "skipped": {"train": len(clips.skipped), "val": len(validation.skipped)},
        "data_wait_share": waited / updating if updating else None,
        "seconds": time.perf_counter() - begun,
    }
    return jax.tree.map(np.asarray, chosen(state, run.options)), history, training


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
    run = without_noise(run) if values.views is None else run
    text = train_and_save(run, command)
    return f"{text}\n{recipes.published_sentence(recipe)}" if recipe else text
