"""A whole pretraining: load, train, write the checkpoint and the curve."""

from __future__ import annotations

import csv
import io
import math
import time
from pathlib import Path

import jax
import numpy as np

from dhauds_jax.data import pipeline, sets
from dhauds_jax.errors import BadInput
from dhauds_jax.files import write_atomically
from dhauds_jax.nets import checkpoint as checkpoints
from dhauds_jax.nets import precision, ssast_pretrain, zoo
from dhauds_jax.nets.config import ClassifierConfig, reading
from dhauds_jax.nets.spectrogram_zoo import config_grid
from dhauds_jax.train import identity as identities
from dhauds_jax.train.clips import check_splits, open_clips
from dhauds_jax.train.pretraining import check_options, pretrain
from dhauds_jax.train.request import PretrainOptions, PretrainRun
from dhauds_jax.train.statistics import with_measured_statistics, with_statistics_of
from dhauds_jax.types import Variables
from dhauds_jax.wording import counted
from dhauds_jax.workdir import locks
from dhauds_jax.workdir.provenance import provenance
from dhauds_jax.workdir.saver import Saver

CURVE = "pretraining.csv"

HIDDEN_SHARE = 400 / 512
"""Share of the patches that SSAST hides."""


def _first(run: PretrainRun, config: ClassifierConfig) -> Variables:
    """Random weights, or those of `--checkpoint`."""
    if not run.checkpoint:
        return ssast_pretrain.init(ssast_pretrain.build(config), config, jax.random.key(run.seed))
    variables, _, extra = checkpoints.load(run.checkpoint)
    return ssast_pretrain.from_checkpoint(variables, extra)


def config_of(run: PretrainRun, dataset: sets.DataSet) -> ClassifierConfig:
    """The config of the pretraining, with the statistics of `--checkpoint` where these are wanted."""
    config = zoo.preset(run.net, dataset.classes)
    if config.family != "spectrogram_transformer":
        raise BadInput(f"--net={run.net}: is of family {config.family}, expected an SSAST such as ssast_tiny_patch")
    config = ssast_pretrain.pretraining_config(config)
    if not run.checkpoint:
        return config
    found = checkpoints.load_config(run.checkpoint)
    frames = (found.front_end.get("frames"), config.front_end["frames"])
    if found.geometry != config.geometry or frames[0] != frames[1]:
        raise BadInput(
            f"--checkpoint={run.checkpoint}: holds {found.net} ({frames[0]} frames, geometry {found.geometry}), "
            f"expected a pretraining like {config.net} ({frames[1]} frames, geometry {config.geometry})"
        )
    return with_statistics_of(config, found, run.input_statistics)


def _settled(options: PretrainOptions, config: ClassifierConfig) -> PretrainOptions:
    """The options with SSAST's share of hidden patches and its choice of clusters where none are given."""
    if not options.mask_patches:
        options = options.replace(mask_patches=round(HIDDEN_SHARE * math.prod(config_grid(config))))
    if options.clusters is None:  # a patch as high as the spectrogram is a frame
        options = options.replace(clusters=config.geometry["patch"][0] < config.front_end["n_mels"])
    return options


NAMED = ("dataset", "net", "seed", "input_statistics")
"""Flags that name a pretraining, beside its options."""


def _write_curve(workdir: Path, history: list[dict[str, float]]) -> Path:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, history[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: v if k == "epoch" else f"{v:.6g}" for k, v in row.items()} for row in history)
    write_atomically(workdir / CURVE, text.getvalue())
    return workdir / CURVE


@locks.holding()
@precision.exactly()
def pretrain_and_save(run: PretrainRun, command: str) -> str:
    """Pretrains and writes `workdir/checkpoint` and the curve; returns the sentence that says so.

    Raises:
      BadInput: bad input, in one sentence, before anything is written.
      FloatingPointError: a loss is not finite.
    """
    dataset = sets.get(run.dataset, run.data_dir)
    check_splits(run, dataset)
    config = config_of(run, dataset)
    run = run.replace(options=_settled(run.options, config))
    if reading(config.front_end)["layout"] != "centre":
        raise BadInput(
            f"the front end of {config.net} has short clips repeated (front_end.layout repeat_pad), pretraining only "
            "has them centred in silence: give a network with front_end.layout centre"
        )
    folder = Path(run.workdir) / "checkpoint"
    flags = identities.of_flags(run, NAMED, config)
    identities.check_free(folder, flags)
    net = ssast_pretrain.build(config)
    check_options(run.options, net.encoder.grid)
    first = _first(run, config)
    clips = open_clips(run, dataset, "train", config, config.length, run.memory_budget_mb)
    left_mb = max(0.0, run.memory_budget_mb - pipeline.memory_mb(clips))
    validation = open_clips(run, dataset, "val", config, config.length, left_mb, first=False)
    identity = flags | identities.of_files(run, clips, validation)
    if identities.is_finished(folder, identity):
        return f"already pretrained: {folder}"
    config = with_measured_statistics(config, clips, run.input_statistics)
    saver = Saver(Path(run.workdir) / "state" / "pretrain", run.save_every_s, identity)
    begun, history, state = time.perf_counter(), [], None
    for epoch in pretrain(net, config, first, clips, validation, run.options, seed=run.seed, saver=saver):
        history, state = epoch.history, epoch.state
        _write_curve(Path(run.workdir), history)
    training = {
        "identity": identity,
        "history": history,
        "clips": len(clips.ids),
        **provenance(command, time.perf_counter() - begun),
    }
    kept = jax.tree.map(np.asarray, state.variables)
    variables, extra = ssast_pretrain.to_checkpoint(kept, config, jax.random.key(run.seed))
    checkpoints.save(folder, variables, config, {**extra, "training": training})
    saver.clear()
    last = history[-1]
    return (
        f"{100 * last['validation_accuracy']:.1f} % of the hidden patches of the validation clips found after "
        f"{counted(len(history), 'epoch')}, seed {run.seed} (square error {last['validation_reconstruction']:.3f}); "
        f"checkpoint: {folder}, curve: {Path(run.workdir) / CURVE}"
    )
