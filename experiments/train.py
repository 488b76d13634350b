"""Trains a source classifier.

Example: python -m experiments.train --dataset=synthetic --net=amaut_small --workdir=out/train
The checkpoint (Orbax + config.json) appears in WORKDIR/checkpoint. A killed run goes on with the same command.
"""

from __future__ import annotations

from absl import flags

from dhauds_jax.command import app
from dhauds_jax.command import flags as device_flags

FLAGS = flags.FLAGS
flags.DEFINE_string("dataset", None, "Data set, or a variant of one (docs/data.md; an unknown name lists them).")
flags.DEFINE_string("recipe", None, "Row of a table that sets the other flags' defaults, such as ssast:esc50_patch.")
flags.DEFINE_string("data_dir", None, "Folder of the data set (not for synthetic).")
flags.DEFINE_string("noise_dir", None, "Folder that holds _background_noise_/, for the noise view.")
flags.DEFINE_string("train_noise", "pink_noise", "Background noise of the noise view, by file name without ending.")
flags.DEFINE_string("net", "amaut_small", "Network, a name of the zoo (an unknown one lists them).")
flags.DEFINE_string("workdir", None, "Folder for the checkpoint and the state of an unfinished run.")
flags.DEFINE_string("checkpoint", None, "Start from this checkpoint or pretraining instead of from random weights.")
flags.DEFINE_string("profile", "reference", "reference (quirks of the PyTorch training on) or corrected.")
flags.DEFINE_integer("seed", 0, "Seed of weights, order and augmentation.")
flags.DEFINE_integer("epochs", 24, "Passes over the training clips.")
flags.DEFINE_integer("batch_size", 32, "Clips in an update.")
flags.DEFINE_enum("optimiser", "sgd", ["sgd", "adamw", "multistep", "adam"], "Optimiser.")
flags.DEFINE_float("lr", 0.05, "Learning rate (adamw: at its peak).")
flags.DEFINE_float("backbone", 1.0, "sgd: factor on the learning rate of the encoder.")
flags.DEFINE_integer("cardinality", 34, "sgd: epochs over which the rate would fall.")
flags.DEFINE_float("gamma", 10.0, "sgd: steepness of the fall, lr * (1 + gamma * epoch / cardinality) ** -0.75.")
flags.DEFINE_integer("threshold", 1, "sgd: epochs at the end of the schedule in which the rate stands still.")
flags.DEFINE_float("momentum", 0.9, "sgd, multistep: momentum.")
flags.DEFINE_list("milestones", [], "multistep, adam: epochs after each of which the rate falls, such as 5,10.")
flags.DEFINE_float("decay_factor", 0.1, "multistep, adam: what the rate is multiplied by at each of --milestones.")
flags.DEFINE_integer("warmup_steps", 0, "multistep, adam: updates in which the rate rises, in stairs of 50.")
flags.DEFINE_float("b1", 0.9, "adam: decay of the mean of the gradients.")
flags.DEFINE_float("b2", 0.999, "adam: decay of the mean of their squares.")
flags.DEFINE_enum("loss", "cross_entropy", ["cross_entropy", "binary"], "Loss: one class a clip, or each class alone.")
flags.DEFINE_float("mixup", 0.0, "Share of the clips that are mixed with another one, 0 to 1.")
flags.DEFINE_integer("freq_mask", 0, "Bins that a mask over the filter bank is narrower than (0: none).")
flags.DEFINE_integer("time_mask", 0, "Frames that a mask over time is narrower than (0: none).")
flags.DEFINE_bool("spectrogram_noise", False, "Noise and a roll of -10 to 9 frames in the filter bank.")
flags.DEFINE_float("weight_decay", 1e-3, "Weight decay: decoupled for adamw, else coupled.")
flags.DEFINE_integer("warmup_epochs", 2, "adamw: epochs of linear warm-up.")
flags.DEFINE_float("smoothing", 0.1, "Label smoothing, 0 to 1 (not used by loss=binary).")
flags.DEFINE_list("views", ["shift", "noise"], "Augmented views whose losses are summed: shift, noise, clean.")
flags.DEFINE_float("shift", 0.17, "Largest roll of the shift view, as a share of the clip.")
flags.DEFINE_enum("crop", "random", ["random", "head"], "Clips longer than the network's: a random piece, or the head.")
flags.DEFINE_bool(
    "time_flip", None, "Nets over images: mirror half of them in time (default: in profile reference, quirk 42)."
)
flags.DEFINE_float("noise_snr_db", 50.0, "Signal-to-noise ratio of the noise view, in dB.")
flags.DEFINE_string("group", "all", "Parameters that move: norm, batch_norm, head, encoder, front_end_frozen or all.")
flags.DEFINE_enum(
    "selection",
    None,
    ["last", "best_validation", "average"],
    "Epoch to keep (default: last in profile reference, else best_validation); average: the mean of the weights.",
)
flags.DEFINE_integer("average_from", 1, "selection=average: first epoch of the mean; the last one is --epochs.")
flags.DEFINE_enum(
    "aux_task",
    "none",
    ["none", "time_shift", "rotation"],
    "What the auxiliary head learns beside the classes, for --method=ttt later.",
)
flags.DEFINE_enum("aux_labels", "random", ["random", "expand"], "aux_task: one random class a clip, or all of each.")
flags.DEFINE_float("aux_shift", 0.2625, "aux_task=time_shift: shift to the left or right, as a share of the clip.")
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
device_flags.define_parallel()
device_flags.define_precision()
device_flags.define_remat()


def main() -> str:
    device_flags.start()
    from dhauds_jax.runs.train import train_from_flags

    return train_from_flags(FLAGS, app.command())


if __name__ == "__main__":
    flags.mark_flags_as_required(["workdir"])
    app.run(main)
