"""A whole source training: load, train, write the checkpoint."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dhauds_jax.data import sets
from dhauds_jax.nets import checkpoint as checkpoints
from dhauds_jax.nets import zoo
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.types import Classifier, Variables
from experiments import records, targets
from experiments.resume import Saver
from experiments.training import Labelled, TrainOptions, check_options, chosen, train, workdir_state


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
    save_every_s: float = 20.0
    allow_partial: bool = False


def first_variables(run: TrainRun, dataset: sets.DataSet) -> tuple[Classifier, Variables]:
    """The network with random weights, or with those of `--checkpoint`."""
    if run.checkpoint:
        variables, config, _ = checkpoints.load(run.checkpoint)
        targets.check_fits(config, dataset, run.checkpoint)
        return zoo.build(config), jax.tree.map(jnp.asarray, variables)
    config = zoo.preset(run.net, dataset.classes)
    classifier = zoo.build(config)
    return classifier, classifier.init(jax.random.key(run.seed), jnp.zeros((2, config.length)))


def labelled(run: TrainRun, config: ClassifierConfig, split: str) -> Labelled:
    """A split, laid out for the classifier."""
    loaded = targets.load(run.dataset, run.data_dir, split, config, allow_partial=run.allow_partial)
    waves, lengths = targets.laid_out(loaded)
    return Labelled(waves, lengths, loaded.clips.labels)


def _identity(run: TrainRun) -> dict[str, Any]:
    """What must be equal for a checkpoint in the workdir to be this run's."""
    named = {n: getattr(run, n) for n in ("dataset", "net", "seed", "checkpoint", "profile")}
    return json.loads(json.dumps({**named, "options": run.options._asdict()}))


def train_and_save(run: TrainRun, command: str) -> str:
    """Trains a classifier and writes `workdir/checkpoint`; returns the sentence that says so.

    Raises:
      ValueError: bad input, in one sentence, before anything is written.
      FloatingPointError: the loss is not finite.
    """
    dataset = sets.get(run.dataset, run.data_dir)
    folder = Path(run.workdir) / "checkpoint"
    if folder.exists():
        _, _, extra = checkpoints.load(folder)
        if extra.get("training", {}).get("identity") == _identity(run):
            return f"already trained: {folder}"
        raise ValueError(f"{folder} holds the checkpoint of another run: choose another --workdir or remove it")
    noise = targets.training_noise(
        dataset, run.noise_dir, run.train_noise, zoo.preset(run.net, dataset.classes).sample_rate
    )
    check_options(run.options, noise)
    classifier, variables = first_variables(run, dataset)
    clips, validation = (labelled(run, classifier.config, split) for split in ("train", "val"))
    saver = Saver(workdir_state(Path(run.workdir)), run.save_every_s)
    history: list[dict[str, float]] = []
    begun = time.perf_counter()
    state = None
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
    ):
        state = epoch.state
    seconds = time.perf_counter() - begun
    training = {
        "identity": _identity(run),
        "history": history,
        "seconds": seconds,
        "clips": len(clips.waves),
        "command": command,
        "git_revision": records.git_revision(),
        "versions": records.versions(),
        "device": records.device(),
        "peak_memory_mb": records.peak_memory_mb(),
    }
    kept = jax.tree.map(np.asarray, chosen(state, run.options))
    checkpoints.save(folder, kept, classifier.config, {"training": training})
    saver.clear()
    best = max(h["validation"] for h in history)
    return (
        f"validation accuracy {100 * history[-1]['validation']:.1f} % after {len(history)} epochs "
        f"(best {100 * best:.1f} %), {seconds:.0f} s in this sitting; checkpoint: {folder}"
    )
