"""A whole source training: load, train, write the checkpoint."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dhauds_jax.data import pipeline, sets
from dhauds_jax.data.loading import load_split
from dhauds_jax.nets import checkpoint as checkpoints
from dhauds_jax.nets import precision, spectrogram_transfer, zoo
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.tta import parallel
from dhauds_jax.types import Classifier, Variables
from experiments import records, targets
from experiments.filter_bank_statistics import with_measured_statistics, with_statistics_of
from experiments.input_statistics import normalising, of_clips
from experiments.resume import Saver
from experiments.training import TrainOptions, check_options, chosen, train, workdir_state
from experiments.training_views import make_view


class TrainRun(NamedTuple):
    """The flags of `experiments.train` that are not options of the recipe (see its `--help`)."""

    dataset: str
    data_dir: str | None
    noise_dir: str | None
    net: str
    workdir: str
    seed: int
    options: TrainOptions
    train_noise: str = "pink_noise"
    checkpoint: str | None = None
    profile: str = "reference"
    input_statistics: str = "checkpoint"
    save_every_s: float = 20.0
    allow_partial: bool = False
    on_bad_file: str = "stop"
    memory_budget_mb: float = pipeline.MEMORY_BUDGET_MB
    cache_dir: str | None = None
    parallel: str = "jit"
    precision: str = "float32"
    remat: bool = False


def first_variables(run: TrainRun, dataset: sets.DataSet) -> tuple[Classifier, Variables]:
    """The network with random weights, or with those of `--checkpoint`.

    A spectrogram transformer also starts from one for other clips, strides or classes, such as a pretraining: its
    positions are cut or interpolated, and a head that does not fit is new.
    """
    config = zoo.preset(run.net, dataset.classes)
    if run.checkpoint:
        variables, found, extra = checkpoints.load(run.checkpoint)
        if found.family == config.family == spectrogram_transfer.FAMILY:
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


def _build(run: TrainRun, config: ClassifierConfig) -> Classifier:
    return zoo.build(config, **precision.compute_options(run.precision, run.remat))


def train_width(dataset: sets.DataSet, config: ClassifierConfig, options: TrainOptions) -> int:
    """Samples of a training row: the network's, or the data set's own when a random piece of longer clips is wanted."""
    if options.crop == "head":
        return config.length
    longest = max(dataset.length / dataset.sample_rate, dataset.seconds[1] if dataset.seconds else 0.0)
    return max(config.length, math.ceil(longest * config.sample_rate))


def open_clips(
    run: TrainRun, dataset: sets.DataSet, split: str, rate: int, width: int, budget_mb: float
) -> pipeline.ClipSplit:
    """A split in memory or streamed; notices are printed, skipped files listed in the workdir.

    Without TensorFlow the split is read into memory whatever the budget, to the same bits.
    """
    options = {"sample_rate": rate, "allow_partial": run.allow_partial, "on_bad_file": run.on_bad_file}
    if dataset.generate is not None or pipeline.available():
        options |= {"budget_mb": budget_mb, "cache_dir": run.cache_dir or Path(run.workdir) / "cache"}
        clips = pipeline.open_split(dataset, run.data_dir, split, width=width, **options)
    else:
        print("note: TensorFlow is not installed (pip install dhauds_jax[data]): all clips are held in memory")
        read = load_split(dataset, run.data_dir, split, length=width, **options)
        rows = pipeline.to_int16(read.waves)
        clips = pipeline.from_arrays(read.ids, rows, read.labels, read.lengths, classes=read.classes, sample_rate=rate)
        clips = clips._replace(notices=read.notices, skipped=read.skipped)
    records.note_bad_files(Path(run.workdir), clips.skipped)
    for notice in clips.notices:
        print(f"note: {notice}")
    return clips


def _identity(run: TrainRun) -> dict[str, Any]:
    """What must be equal for a checkpoint in the workdir to be this run's."""
    named = {n: getattr(run, n) for n in ("dataset", "net", "seed", "checkpoint", "profile", "input_statistics")}
    if run.precision != "float32":
        named["precision"] = run.precision
    if run.remat:
        named["remat"] = True
    return json.loads(json.dumps({**named, "options": run.options._asdict()}))


def is_finished(folder: Path, identity: dict[str, Any]) -> bool:
    """Whether a checkpoint is there that this very run wrote; `ValueError` if another run wrote it."""
    if not folder.exists():
        return False
    _, _, extra = checkpoints.load(folder)
    if extra.get("training", {}).get("identity") == identity:
        return True
    raise ValueError(f"{folder} holds the checkpoint of another run: choose another --workdir or remove it")


def provenance(command: str, seconds: float) -> dict[str, Any]:
    """What a checkpoint says of how it came about; `seconds` are those of the last sitting."""
    return {
        "seconds": seconds,
        "command": command,
        "git_revision": records.git_revision(),
        "versions": records.versions(),
        "device": records.device(),
        "peak_memory_mb": records.peak_memory_mb(),
    }


@precision.exactly()
def train_and_save(run: TrainRun, command: str) -> str:
    """Trains a classifier and writes `workdir/checkpoint`; returns the sentence that says so.

    Raises:
      ValueError: bad input, in one sentence, before anything is written.
      FloatingPointError: the loss is not finite.
    """
    dataset = sets.get(run.dataset, run.data_dir)
    where = parallel.make(run.parallel)
    folder = Path(run.workdir) / "checkpoint"
    if is_finished(folder, _identity(run)):
        return f"already trained: {folder}"
    noise = targets.training_noise(
        dataset, run.noise_dir, run.train_noise, zoo.preset(run.net, dataset.classes).sample_rate
    )
    check_options(run.options, noise)
    classifier, variables = first_variables(run, dataset)
    config = classifier.config
    width = train_width(dataset, config, run.options)
    clips = open_clips(run, dataset, "train", config.sample_rate, width, run.memory_budget_mb)
    clips = pipeline.narrowed(clips, max(config.length, int(clips.lengths.max())))
    clean = make_view("clean", run.options, None, bool(np.any(clips.lengths < clips.width)), config.length)
    config = with_measured_statistics(config, clips, run.input_statistics, clean)
    if config != classifier.config:
        classifier = _build(run, config)
    variables = normalising(variables, of_clips(config, clips, run.options))
    left_mb = max(0.0, run.memory_budget_mb - pipeline.memory_mb(clips))
    validation = open_clips(run, dataset, "val", config.sample_rate, config.length, left_mb)
    saver = Saver(workdir_state(Path(run.workdir)), run.save_every_s, _identity(run))
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
    ):
        state, updating, waited = epoch.state, updating + epoch.seconds, waited + epoch.waited
    seconds = time.perf_counter() - begun
    training = {
        "identity": _identity(run),
        "history": history,
        "clips": len(clips.ids),
        "streamed": clips.records is not None,
        "skipped": {"train": len(clips.skipped), "val": len(validation.skipped)},
        "data_wait_share": waited / updating if updating else None,
        **where.describe(),
        **provenance(command, seconds),
    }
    if parallel.writes():
        kept = jax.tree.map(np.asarray, chosen(state, run.options))
        checkpoints.save(folder, kept, config, {"training": training})
    saver.clear()
    best = max(h["validation"] for h in history)
    return (
        f"validation accuracy {100 * history[-1]['validation']:.1f} % after {len(history)} epochs "
        f"(best {100 * best:.1f} %), {seconds:.0f} s in this sitting; checkpoint: {folder}"
    )
