"""Test-time augmentation: scores averaged over rolled views and over several models, on source or adapted weights.

Example: python -m experiments.elect --dataset=synthetic --checkpoint=out/a/checkpoint,out/b/checkpoint \
--corruption=clean,WHN --level=L2 --workdir=out/elect
Writes a record for each mode: single (first model, clip as it is), aug_elect (three views), multi_train (all models),
hybrid (both). Adapted weights are those that experiments.classify writes.
"""

from __future__ import annotations

from absl import flags

from dhauds_jax.command import app

FLAGS = flags.FLAGS
flags.DEFINE_string("dataset", None, "Data set, as in experiments.adapt.")
flags.DEFINE_string("data_dir", None, "Folder of the data set.")
flags.DEFINE_string("noise_dir", None, "Folder of the noise recordings.")
flags.DEFINE_list("checkpoint", None, "Folders of one or more models with equal layout and classes.")
flags.DEFINE_list("corruption", ["clean"], "Corruptions, or clean.")
flags.DEFINE_list("level", ["L2"], "Levels.")
flags.DEFINE_string("profile", "reference", "reference or corrected.")
flags.DEFINE_integer("seed", 0, "Seed of the corruption draw.")
flags.DEFINE_float("shift", 0.17, "Roll of the views as a share of the clip.")
flags.DEFINE_string("average", "logits", "What is averaged: logits, or softmax.")
flags.DEFINE_string(
    "views",
    None,
    "Views of clips with their padding (padded) or of their own samples (unpadded; clean clips only). Default: padded, "
    "but with --profile=reference unpadded on clean audio_mnist, vocal_sound and cochl_scene, as published.",
)
flags.DEFINE_integer("batch_size", 70, "Clips in a forward pass.")
flags.DEFINE_string("split", "test", "Split to score.")
flags.DEFINE_string("workdir", None, "Folder for results.jsonl.")


def main() -> str:
    from dhauds_jax.runs.elect import ElectRun, run_election

    return run_election(ElectRun(**{name: getattr(FLAGS, name) for name in ElectRun._fields}), app.command())


if __name__ == "__main__":
    flags.mark_flags_as_required(["dataset", "checkpoint", "workdir"])
    app.run(main)
