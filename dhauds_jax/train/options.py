"""The recipe of a source training, and what it may be."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dhauds_jax.errors import BadInput
from dhauds_jax.nets import masks
from dhauds_jax.train.optimisers import OPTIMISERS
from dhauds_jax.train.views import VIEWS
from dhauds_jax.tta.aux_tasks import SHIFT

SELECTIONS = ("last", "best_validation", "average")
"""Values of `TrainOptions.selection`."""


class TrainOptions(NamedTuple):
    """Source training. Defaults are the recipe of the small AMAuT (24 epochs, SGD at 0.05, two views).

    Attributes:
      epochs: passes over the training clips.
      batch_size: clips in an update.
      optimiser: "sgd" (the reference's, `tta.sgd`), "adamw" (linear warm-up, then a cosine to 0), or those of
        TTA-in-AC and SSAST: "multistep" (SGD) and "adam", whose rate is multiplied by `decay_factor` from each of
        `milestones` on.
      lr: learning rate (the peak for adamw).
      backbone: of "sgd", factor on the rate of the encoder (CoNMix: 0.1).
      cardinality, gamma, threshold: schedule of "sgd".
      momentum: of sgd and multistep.
      weight_decay: decoupled for adamw, else coupled.
      warmup_epochs: adamw's warm-up.
      smoothing: label smoothing, 0 to 1.
      views: augmented views of a clip, each a forward pass: "shift" (two-sided roll up to `shift` of the clip),
        "noise" (training noise at `noise_snr_db`, no roll), "clean".
      shift: largest roll as a share of the clip.
      crop: of clips longer than the network's: "random", a piece from anywhere, anew each time, or "head".
      crop_last_start: whether a random piece may be the clip's very end (quirk 34: the reference's never is).
      noise_snr_db: SNR of the noise view in dB.
      group: parameters that move, a name of `nets.masks.GROUPS`.
      selection: "last" (what the reference does by a slip, quirk 7), "best_validation" or "average".
      first_epoch_plain, nesterov: quirks 4 and 3 of the optimiser.
      milestones: epochs after which the rate of "multistep" and "adam" falls.
      decay_factor: what it is then multiplied by.
      warmup_steps: updates in which the rate of "multistep" and "adam" rises, in stairs of 50 from 0 (0: none).
      b1, b2: of adam.
      loss: "cross_entropy", or "binary" (mean of each class's own, against 0/1 targets; smoothing is then not used).
      mixup: share of the clips that are mixed with another (`training_augment.mix`).
      freq_mask, time_mask: bins and frames that a mask is narrower than (0: no mask); Kaldi filter banks only.
      spectrogram_noise: noise and a small roll of the filter banks.
      average_from: selection "average" keeps the mean of the weights after this epoch and all later ones.
      aux_task: "none", or what the auxiliary head learns: the shift of each clip ("time_shift") or the rotation of its
        spectrogram ("rotation"), see `training_aux`.
      aux_labels: one "random" class a clip, or all of them of each ("expand").
      aux_shift: shift as a share of the clip.
      time_flip: quirk 42, half of the images are mirrored in time (nets over images alone).
    """

    epochs: int = 24
    batch_size: int = 32
    optimiser: str = "sgd"
    lr: float = 0.05
    cardinality: int = 34
    gamma: float = 10.0
    threshold: int = 1
    momentum: float = 0.9
    weight_decay: float = 1e-3
    warmup_epochs: int = 2
    smoothing: float = 0.1
    views: tuple[str, ...] = ("shift", "noise")
    shift: float = 0.17
    crop: str = "random"
    crop_last_start: bool = False
    noise_snr_db: float = 50.0
    group: str = "all"
    selection: str = "last"
    first_epoch_plain: bool = True
    nesterov: bool = False
    milestones: tuple[int, ...] = ()
    decay_factor: float = 0.1
    warmup_steps: int = 0
    b1: float = 0.9
    b2: float = 0.999
    loss: str = "cross_entropy"
    mixup: float = 0.0
    freq_mask: int = 0
    time_mask: int = 0
    spectrogram_noise: bool = False
    average_from: int = 1
    aux_task: str = "none"
    aux_labels: str = "random"
    aux_shift: float = SHIFT
    time_flip: bool = True
    backbone: float = 1.0


def check_options(options: TrainOptions, noise: np.ndarray | None) -> None:
    """Raises `BadInput` in one sentence for options that cannot be."""
    unknown = [view for view in options.views if view not in VIEWS]
    if unknown or not options.views:
        raise BadInput(f"--views: unknown {', '.join(unknown) or 'empty list'}, expected some of {', '.join(VIEWS)}")
    if "noise" in options.views and noise is None:
        raise BadInput("--views holds noise, but there is no training noise: give --noise_dir, or --views=shift")
    for name, known in (("optimiser", OPTIMISERS), ("selection", SELECTIONS)):
        if getattr(options, name) not in known:
            raise BadInput(f"--{name}={getattr(options, name)}: expected one of {', '.join(known)}")
    if options.selection == "average" and not 1 <= options.average_from <= options.epochs:
        raise BadInput(f"--average_from={options.average_from}: expected an epoch from 1 to {options.epochs}")
    if options.warmup_steps < 0 or options.decay_factor <= 0:
        raise BadInput(
            f"--warmup_steps={options.warmup_steps}, --decay_factor={options.decay_factor}: expected 0 or more, and a "
            "number above 0"
        )
    if options.crop not in ("random", "head"):
        raise BadInput(f"--crop={options.crop}: expected random or head")
    if options.epochs < 1 or options.batch_size < 2:
        raise BadInput("--epochs must be at least 1 and --batch_size at least 2 (BatchNorm needs two clips)")
    masks.check_group(options.group)
