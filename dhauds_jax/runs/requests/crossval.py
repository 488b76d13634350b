"""What `experiments.crossval` is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dhauds_jax.names import CHOSEN_BY, PROFILES
from dhauds_jax.requests import Devices, flag, like
from dhauds_jax.train.request import ClipsOfRun, TrainOptions, TrainRun

SELECTIONS = ("nested", "oracle")
"""Values of `CrossvalRun.selection`."""

FOLD_RULES = ("groups", "published", "permutation")
"""Values of `CrossvalRun.fold_rule`."""

LOSSES = ("cross_entropy", "double_softmax")
EPOCH_VIEWS = ("first", "all")
_AUTO = {"auto": None, "true": True, "false": False}


@dataclass(frozen=True, kw_only=True)
class CrossvalRun(ClipsOfRun):
    """The flags of `experiments.crossval`; the dataset may be left out where a `--recipe` names it.

    Attributes:
      selection, fold_rule, loss, lost_rows, train_shifts, epoch_views, whole_batches: the quirks of the published
        scripts, each with a value of its own; None follows the profile (`runs.crossval_settings.settled`).
    """

    dataset: str = like(TrainRun, "dataset")
    net: str = like(TrainRun, "net", default="vggish_small")
    length: float | None = like(TrainRun, "length")
    checkpoint: str | None = flag("Start each fold from this checkpoint instead of from random weights.", None)
    seed: int = flag("Seed of folds, weights, order and noise.", 0)
    profile: str = flag(
        "reference (quirks of the published scripts on, see docs/fidelity.md) or corrected.",
        "corrected",
        choices=PROFILES,
    )
    folds: int = flag("Folds, at least 3, or 2 with --selection=oracle.", 5)
    only_folds: Sequence[int] = flag("Train these folds alone, such as 1,2 (the others later, or elsewhere).", ())
    splits: Sequence[str] = flag("Splits that are shared out over the folds (default: all but test).", ())
    test_split: str | None = flag(
        "Split that no fold sees, for single models and ensemble (default: test where there is one; none: no such).",
        None,
    )
    fold_rule: str | None = flag(
        "How folds are made: groups (speaker, home, video) kept together and classes balanced; as published; or a "
        "permutation of clips and noises (default: groups, in profile reference permutation).",
        None,
        choices=FOLD_RULES,
    )
    selection: str | None = flag(
        "Epoch and temperature are chosen on a part of the training folds (nested) or on the fold that is reported "
        "(oracle; default in profile reference, T27).",
        None,
        choices=SELECTIONS,
    )
    chosen_by: str = flag("What epoch and temperature are chosen by, of that part.", "auc", choices=CHOSEN_BY)
    temperatures: Sequence[float] = flag(
        "Temperatures to choose from; the epoch is chosen at the first.", (1.0, 0.5, 2.0, 5.0, 10.0)
    )
    views: str = flag(
        "shift:N or shift:N:SECONDS: predictions are the mean over N copies of a clip, SECONDS (0.2) apart.", "shift:5"
    )
    epoch_views: str | None = flag(
        "Copies by which the epoch is chosen: first, the clip as it is, or all (default: first, in profile reference "
        "all).",
        None,
        choices=EPOCH_VIEWS,
    )
    train_shifts: bool | None = flag(
        "Train on every shifted copy too (auto: in profile reference).", None, choices=_AUTO
    )
    lost_rows: bool | None = flag(
        "Examples that a shift leaves nothing for are log-mel 0 and count (auto: in profile reference, of nets with "
        "examples; T16, T20).",
        None,
        choices=_AUTO,
    )
    noise_clips: int = flag(
        "Clips of pink noise in training as class --noise_class, shared out over the copies of --views: of 250 each "
        "copy of the training clips has 50 of its own (without --train_shifts one copy, and 50, are trained on).",
        0,
    )
    noise_class: str = flag("Class of the noise clips.", "Other")
    extra_dataset: str | None = flag("Data set whose clips are added to the training of every fold.", None)
    extra_data_dir: str | None = flag("Folder of the extra data set.", None)
    extra: Sequence[str] = flag(
        "Which of its clips: all, dog (Barking, Howling, Crying), non_dog, or names of classes.", ("all",)
    )
    epochs: int = flag("Passes over the training clips.", 10)
    batch_size: int = flag("Clips in an update.", 32)
    lr: float = flag("Adam's learning rate.", 1e-3)
    milestones: Sequence[int] = flag("Epochs after each of which the rate falls, such as 25.", ())
    decay_factor: float = like(TrainOptions, "decay_factor", help="What the rate is multiplied by there.")
    weight_decay: float = flag("Coupled weight decay.", 0.0)
    smoothing: float = flag("Label smoothing, 0 to 1.", 0.1)
    loss: str | None = flag(
        "Loss (default: cross_entropy, in profile reference double_softmax, of the softmax of a softmax, T10).",
        None,
        choices=LOSSES,
    )
    whole_batches: bool | None = flag(
        "Leave out an epoch's last batch where it is not full (auto: in profile reference).", None, choices=_AUTO
    )
    input_statistics: str = "preset"
    precision: str = like(Devices, "precision")
