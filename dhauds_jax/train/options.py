"""What the recipe of a source training may be."""

from __future__ import annotations

import numpy as np

from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.nets import masks
from dhauds_jax.train.request import CROPS, OPTIMISERS, SELECTIONS, TrainOptions
from dhauds_jax.train.views import VIEWS


def check_options(options: TrainOptions, noise: np.ndarray | None) -> None:
    """Raises `BadInput` in one sentence for options that cannot be."""
    _check_numbers(options)
    unknown = [view for view in options.views if view not in VIEWS]
    if unknown or not options.views:
        what = f"unknown {', '.join(unknown)}" if unknown else "empty list"
        raise BadInput(f"--views={','.join(options.views)}: {what}, expected some of {', '.join(VIEWS)}")
    if "noise" in options.views and noise is None:
        others = ",".join(view for view in options.views if view != "noise") or "shift"
        raise BadInput(
            f"--views={','.join(options.views)}: the noise view mixes in background noise, and there is none; give "
            f"--views={others} to train without, or --noise_dir=FOLDER with Speech Commands' _background_noise_/ in it"
        )
    for name, known in (("optimiser", OPTIMISERS), ("selection", SELECTIONS)):
        if getattr(options, name) not in known:
            raise BadInput(f"--{name}={getattr(options, name)}: expected one of {', '.join(known)}")
    if options.selection == "average" and not 1 <= options.average_from <= options.epochs:
        raise BadInput(f"--average_from={options.average_from}: expected an epoch from 1 to {options.epochs}")
    if any(epoch < 0 for epoch in options.milestones):
        raise BadInput(f"--milestones={','.join(map(str, options.milestones))}: expected epochs of 0 or more")
    if options.crop not in CROPS:
        raise BadInput(f"--crop={options.crop}: expected {' or '.join(CROPS)}")
    if options.optimiser == "adamw" and not 0 <= options.warmup_epochs < options.epochs:
        raise BadInput(
            f"--warmup_epochs={options.warmup_epochs}: expected 0 or more and fewer than --epochs={options.epochs}, so "
            "that --optimiser=adamw has epochs left to fall in"
        )
    masks.check_group(options.group)


_FROM_ZERO = ("gamma", "threshold", "momentum", "weight_decay", "backbone", "warmup_steps", "freq_mask", "time_mask")
_SHARES = {"smoothing": "a share", "mixup": "a share of the clips", "shift": "a share of the clip"}


def _check_numbers(options: TrainOptions) -> None:
    """Every number is finite and in its range."""
    check_number("--epochs", options.epochs, 1)
    check_number("--batch_size", options.batch_size, 2, because="BatchNorm needs two clips")
    check_number("--cardinality", options.cardinality, 1)
    check_number("--noise_snr_db", options.noise_snr_db)
    for name in ("lr", "decay_factor"):
        check_number(f"--{name}", getattr(options, name), 0.0, above=True)
    for name in _FROM_ZERO:
        check_number(f"--{name}", getattr(options, name), 0)
    for name in ("b1", "b2"):
        check_number(f"--{name}", getattr(options, name), 0.0, 1.0, below=True)
    for name, what in _SHARES.items():
        check_number(f"--{name}", getattr(options, name), 0.0, 1.0, because=what)
