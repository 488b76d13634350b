"""Pretrains an SSAST on unlabelled clips: hidden patches are told apart and drawn again.

Example: python -m experiments.pretrain --dataset=synthetic --net=ssast_tiny --workdir=out/pretrain
then     python -m experiments.train --dataset=synthetic --net=ssast_tiny --checkpoint=out/pretrain/checkpoint ...
The checkpoint (Orbax + config.json) appears in WORKDIR/checkpoint, the curve in WORKDIR/pretraining.csv. A killed run
goes on with the same command. Labels are never looked at.
"""

from __future__ import annotations

from absl import flags

from dhauds_jax.command import app

FLAGS = flags.FLAGS
flags.DEFINE_string("dataset", None, "Data set, or a variant of one (docs/data.md; an unknown name lists them).")
flags.DEFINE_string("data_dir", None, "Folder of the data set (not for synthetic).")
flags.DEFINE_string(
    "net", "ssast_tiny", "Network, an SSAST of the zoo; its clips give the length (an unknown one lists)."
)
flags.DEFINE_string("workdir", None, "Folder for the checkpoint, the curve and the state of an unfinished run.")
flags.DEFINE_string("checkpoint", None, "Start from this pretraining instead of from random weights.")
flags.DEFINE_string("profile", "reference", "reference (S1 and S4 of docs/fidelity.md) or corrected.")
flags.DEFINE_integer("seed", 0, "Seed of weights, order and masks.")
flags.DEFINE_integer("epochs", 10, "Passes over the training clips.")
flags.DEFINE_integer("batch_size", 120, "Clips in an update.")
flags.DEFINE_float("lr", 5e-4, "Adam's learning rate after the warm-up (SSAST: 5e-4 tiny, 1e-4 base).")
flags.DEFINE_float("weight_decay", 5e-7, "Coupled weight decay.")
flags.DEFINE_float("b1", 0.95, "Adam: decay of the mean of the gradients.")
flags.DEFINE_float("b2", 0.999, "Adam: decay of the mean of their squares.")
flags.DEFINE_integer("warmup_steps", 1000, "Updates in which the rate rises, in stairs of 50 from 0.")
flags.DEFINE_integer(
    "patience", 2, "The rate halves after more than this many epochs without a better validation accuracy."
)
flags.DEFINE_integer("mask_patches", 0, "Hidden patches of a clip; 0: 78 % of them, SSAST's 400 of 512.")
flags.DEFINE_enum(
    "clusters", "auto", ["auto", "true", "false"], "Hide squares of patches; auto: unless patches are frames."
)
flags.DEFINE_float("reconstruction", 10.0, "Weight of the square error beside the contrastive loss.")
flags.DEFINE_integer("passes", 2, "2: a mask and a forward pass for each objective; 1: one for both, at half the cost.")
flags.DEFINE_float("shift", 0.0, "Largest roll of a clip, as a share of it (SSAST: 0).")
flags.DEFINE_enum(
    "input_statistics",
    "checkpoint",
    ["checkpoint", "preset", "train_set"],
    "Mean and deviation of filter banks: those of --checkpoint (without one the preset's), the preset's, or measured "
    "over the training clips.",
)
flags.DEFINE_float("save_every_s", 20.0, "Least seconds between two saved states of the unfinished run.")
flags.DEFINE_float("memory_budget_mb", 4096.0, "Most memory (MiB) for clips; splits beyond it are streamed from disk.")
flags.DEFINE_string("cache_dir", None, "Folder of the prepared files of streamed splits (default: WORKDIR/cache).")
flags.DEFINE_bool("allow_partial", False, "Go on when a list names files that are absent.")
flags.DEFINE_enum(
    "on_bad_file",
    "stop",
    ["stop", "skip"],
    "At a bad file: stop, or leave it out and list it in WORKDIR/bad_files.txt.",
)


def main() -> str:
    from dhauds_jax.runs.pretrain import pretrain_from_flags

    return pretrain_from_flags(FLAGS, app.command())


if __name__ == "__main__":
    flags.mark_flags_as_required(["dataset", "workdir"])
    app.run(main)
