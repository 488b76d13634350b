"""What `experiments.train` and `experiments.pretrain` are asked for, as records; their fields are the flags."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from dhauds_jax.names import PROFILES
from dhauds_jax.requests import ON_BAD_FILE, Devices, OfDataSet, Request, flag, like

OPTIMISERS = ("sgd", "adamw", "multistep", "adam")
"""Values of `TrainOptions.optimiser`."""

LOSSES = ("cross_entropy", "binary", "double_softmax")
"""Values of `TrainOptions.loss`."""

CROPS = ("random", "head")
"""Values of `TrainOptions.crop`."""

SELECTIONS = ("last", "best_validation", "best_nll", "average")
"""Values of `TrainOptions.selection`."""

TASKS = ("none", "time_shift", "rotation")
"""Values of `TrainOptions.aux_task`."""

LABELS = ("random", "expand")
"""Values of `TrainOptions.aux_labels`."""

STATISTICS = ("checkpoint", "preset", "train_set")
"""Values of `TrainRun.input_statistics`."""


@dataclass(frozen=True, kw_only=True)
class TrainOptions(Request):
    """Source training. Defaults are the recipe of the small AMAuT (24 epochs, SGD at 0.05, two views).

    Fields that are no flags follow the profile, as those do whose flag may be left out (`train.profiles.settled`); the
    defaults are those of profile reference.

    Attributes:
      optimiser: "sgd" (the reference's, `tta.sgd`), "adamw" (linear warm-up, then a cosine to 0), or those of
        TTA-in-AC and SSAST: "multistep" (SGD) and "adam", whose rate is multiplied by `decay_factor` from each of
        `milestones` on.
      backbone: CoNMix has 0.1.
      views: each a forward pass: "shift" (two-sided roll up to `shift` of the clip), "noise" (training noise at
        `noise_snr_db`, no roll), "clean".
      crop: "random" is a piece from anywhere, anew each time.
      crop_last_start: whether a random piece may be the clip's very end (quirk 34: the reference's never is).
      group: a name of `nets.masks.GROUPS`.
      selection: "last" is what the reference does by a slip, quirk 7.
      first_epoch_plain, nesterov: quirks 4 and 3 of the optimiser.
      mixup: see `train.augment.mix`.
      freq_mask, time_mask: see `train.augment.augment_spectrogram`.
      aux_task: the shift of each clip ("time_shift") or the rotation of its spectrogram ("rotation"), see
        `train.auxiliary`.
      time_flip: quirk 42.
    """

    epochs: int = flag("Passes over the training clips.", 24)
    batch_size: int = flag("Clips in an update.", 32)
    optimiser: str = flag("Optimiser.", "sgd", choices=OPTIMISERS)
    lr: float = flag("Learning rate (adamw: at its peak).", 0.05)
    cardinality: int = flag("sgd: epochs over which the rate would fall.", 34)
    gamma: float = flag("sgd: steepness of the fall, lr * (1 + gamma * epoch / cardinality) ** -0.75.", 10.0)
    threshold: int = flag("sgd: epochs at the end of the schedule in which the rate stands still.", 1)
    momentum: float = flag("sgd, multistep: momentum.", 0.9)
    weight_decay: float = flag("Weight decay: decoupled for adamw, else coupled.", 1e-3)
    warmup_epochs: int = flag("adamw: epochs of linear warm-up.", 2)
    smoothing: float = flag("Label smoothing, 0 to 1 (not used by loss=binary).", 0.1)
    views: Sequence[str] = flag(
        "Augmented views whose losses are summed: shift, noise, clean (default: shift,noise; --dataset=folder without "
        "--noise_dir: shift,clean).",
        ("shift", "noise"),
        left_out=True,
    )
    shift: float = flag("Largest roll of the shift view, as a share of the clip.", 0.17)
    crop: str = flag("Clips longer than the network's: a random piece, or the head.", "random", choices=CROPS)
    crop_last_start: bool = False
    noise_snr_db: float = flag("Signal-to-noise ratio of the noise view, in dB.", 50.0)
    group: str = flag("Parameters that move: norm, batch_norm, head, encoder, front_end_frozen or all.", "all")
    selection: str = flag(
        "Epoch to keep (default: last in profile reference, else best_validation, by accuracy); best_nll: by the "
        "log-likelihood of the validation labels, for few clips; average: the mean of the weights.",
        "last",
        choices=SELECTIONS,
        left_out=True,
    )
    first_epoch_plain: bool = True
    nesterov: bool = False
    milestones: Sequence[int] = flag("multistep, adam: epochs after each of which the rate falls, such as 5,10.", ())
    decay_factor: float = flag("multistep, adam: what the rate is multiplied by at each of --milestones.", 0.1)
    warmup_steps: int = flag("multistep, adam: updates in which the rate rises, in stairs of 50.", 0)
    b1: float = flag("adam: decay of the mean of the gradients.", 0.9)
    b2: float = flag("adam: decay of the mean of their squares.", 0.999)
    loss: str = flag(
        "Loss: one class a clip, each class alone, or (quirk T10) one class, from a second softmax over the first.",
        "cross_entropy",
        choices=LOSSES,
    )
    mixup: float = flag("Share of the clips that are mixed with another one, 0 to 1.", 0.0)
    freq_mask: int = flag("Bins that a mask over the filter bank or log-mel is narrower than (0: none).", 0)
    time_mask: int = flag("Frames that a mask over time is narrower than (0: none).", 0)
    spectrogram_noise: bool = flag("Noise and a roll of -10 to 9 frames in a Kaldi filter bank.", False)
    average_from: int = flag("selection=average: first epoch of the mean; the last one is --epochs.", 1)
    aux_task: str = flag(
        "What the auxiliary head learns beside the classes, for --method=ttt later.", "none", choices=TASKS
    )
    aux_labels: str = flag("aux_task: one random class a clip, or all of each.", "random", choices=LABELS)
    aux_shift: float = flag("aux_task=time_shift: shift to the left or right, as a share of the clip.", 0.2625)
    time_flip: bool = flag(
        "Nets over images: mirror half of them in time (default: in profile reference, quirk 42).", True, left_out=True
    )
    backbone: float = flag("sgd: factor on the learning rate of the encoder.", 1.0)


@dataclass(frozen=True, kw_only=True)
class ClipsOfRun(OfDataSet):
    """Flags that training and pretraining share: where the clips come from and how they are held."""

    data_dir: str | None = flag("Folder of the data set (not for synthetic).", None)
    workdir: str = flag("Folder for the checkpoint and the state of an unfinished run.")
    input_statistics: str = flag(
        "Mean and deviation of filter banks: those of --checkpoint (without one the preset's), the preset's, or "
        "measured over the training clips.",
        "checkpoint",
        choices=STATISTICS,
    )
    save_every_s: float = flag("Least seconds between two saved states of the unfinished run.", 20.0)
    memory_budget_mb: float = flag("Most memory (MiB) for clips; splits beyond it are streamed from disk.", 4096.0)
    cache_dir: str | None = flag("Folder of the prepared files of streamed splits (default: WORKDIR/cache).", None)
    allow_partial: bool = flag("Go on when a list names files that are absent.", False)
    on_bad_file: str = flag(
        "At a bad file: stop, or leave it out and list it in WORKDIR/bad_files.txt.", "stop", choices=ON_BAD_FILE
    )


@dataclass(frozen=True, kw_only=True)
class TrainRun(ClipsOfRun):
    """The flags of `experiments.train`; the dataset may be left out where a `--recipe` names it."""

    dataset: str = flag(
        "Data set, or a variant of one (docs/data.md; --list names them).", left_out=True, names="data set"
    )
    noise_dir: str | None = flag("Folder that holds _background_noise_/, for the noise view.", None)
    net: str = flag("Network, a name of the zoo (--list names them).", "amaut_small", names="net")
    length: float | None = flag("Seconds of the clips that the network takes (default: its own).", None)
    seed: int = flag("Seed of weights, order and augmentation.", 0)
    train_noise: str = flag(
        "Background noise of the noise view, its file's name without ending; or ENU:DIR.", "pink_noise"
    )
    checkpoint: str | None = flag("Start from this checkpoint or pretraining instead of from random weights.", None)
    profile: str | None = flag(
        "reference (quirks of the PyTorch training on) or corrected (default: corrected for --dataset=folder, else "
        "reference).",
        None,
        choices=PROFILES,
    )
    tensorboard: bool = flag("Write event files for TensorBoard into WORKDIR/tensorboard.", False)
    bank: bool = flag(
        "Keep statistics of the embeddings of validation clips, clean and in noise, beside the weights: classify's "
        "advice tells by them whether recordings are the model's sounds.",
        True,
    )
    options: TrainOptions = dataclasses.field(default_factory=TrainOptions)
    parallel: str = like(Devices, "parallel")
    precision: str = like(Devices, "precision")
    remat: bool = like(Devices, "remat")


@dataclass(frozen=True, kw_only=True)
class Recipe(Request):
    """The flag of `experiments.train` that sets the others' defaults."""

    recipe: str | None = flag(
        "Row of a table that sets the other flags' defaults, such as ssast:esc50_patch.", None, names="recipe"
    )


@dataclass(frozen=True, kw_only=True)
class PretrainOptions(Request):
    """The recipe of a pretraining. Defaults are SSAST's for its tiny size (base: rate 1e-4, batch 24).

    Attributes:
      lr: it rises over `warmup_steps` updates in stairs of 50 and halves when the accuracy of the validation clips has
        not risen for more than `patience` evaluations.
      mask_patches: `runs.pretrain` puts SSAST's share in place of 0.
      clusters: whether patches are hidden in squares (patches) or one by one (frames); None: `runs.pretrain` looks.
      passes: 2 draws a mask for each objective, as the original.
      shift: clips are rolled in time.
      profile: "reference" keeps S1 and S4, "corrected" mends them.
    """

    epochs: int = flag("Passes over the training clips.", 10)
    batch_size: int = flag("Clips in an update.", 120)
    lr: float = flag("Adam's learning rate after the warm-up (SSAST: 5e-4 tiny, 1e-4 base).", 5e-4)
    weight_decay: float = flag("Coupled weight decay.", 5e-7)
    b1: float = flag("Adam: decay of the mean of the gradients.", 0.95)
    b2: float = flag("Adam: decay of the mean of their squares.", 0.999)
    warmup_steps: int = flag("Updates in which the rate rises, in stairs of 50 from 0.", 1000)
    patience: int = flag("The rate halves after more than this many epochs without a better validation accuracy.", 2)
    mask_patches: int = flag("Hidden patches of a clip; 0: 78 % of them, SSAST's 400 of 512.", 0)
    clusters: bool | None = flag(
        "Hide squares of patches; auto: unless patches are frames.",
        None,
        choices={"auto": None, "true": True, "false": False},
    )
    reconstruction: float = flag("Weight of the square error beside the contrastive loss.", 10.0)
    passes: int = flag("2: a mask and a forward pass for each objective; 1: one for both, at half the cost.", 2)
    shift: float = flag("Largest roll of a clip, as a share of it (SSAST: 0).", 0.0)
    profile: str = flag("reference (S1 and S4 of docs/fidelity.md) or corrected.", "reference", choices=PROFILES)


@dataclass(frozen=True, kw_only=True)
class PretrainRun(ClipsOfRun):
    """The flags of `experiments.pretrain`."""

    dataset: str = like(TrainRun, "dataset", left_out=False)
    net: str = flag(
        "Network, an SSAST of the zoo; its clips give the length (--list names them).", "ssast_tiny", names="net"
    )
    workdir: str = like(
        ClipsOfRun, "workdir", help="Folder for the checkpoint, the curve and the state of an unfinished run."
    )
    seed: int = flag("Seed of weights, order and masks.", 0)
    checkpoint: str | None = flag("Start from this pretraining instead of from random weights.", None)
    options: PretrainOptions = dataclasses.field(default_factory=PretrainOptions)
