"""The whole story on an embedded synthetic corpus: train, corrupt, adapt, report, in minutes on two CPU cores.

Example: python -m experiments.quickstart --workdir=out
Nothing is downloaded. A small AMAuT learns synthetic words from clean speakers; seven corruptions break it on unseen
speakers; test-time adaptation repairs it without labels. The report appears in WORKDIR/report/report.md. A killed run
goes on with the same command.
"""

from __future__ import annotations

from absl import flags

from dhauds_jax.command import app

FLAGS = flags.FLAGS
flags.DEFINE_string("workdir", None, "Folder for the checkpoint, the records and the report.")
flags.DEFINE_integer("seed", 0, "Seed of training, corruption and adaptation.")
flags.DEFINE_string("profile", "corrected", "reference (quirks of the PyTorch systems on) or corrected.")
flags.DEFINE_list("method", ["source", "norm", "tent", "dhauds"], "Methods to compare: source, norm, tent, dhauds.")
flags.DEFINE_list("corruption", ["clean", "all"], "Corruptions: WHN, ENQ, END1, END2, ENSC, PSH, TST, all, or clean.")
flags.DEFINE_list("level", ["L2"], "Levels: L1, L2.")
flags.DEFINE_integer("train_epochs", 4, "Passes over the training clips.")
flags.DEFINE_integer("epochs", 3, "Passes of the adaptation over each corrupted set.")


def main() -> str:
    from dhauds_jax.runs.quickstart import Quickstart, quickstart

    return quickstart(Quickstart(**{name: getattr(FLAGS, name) for name in Quickstart._fields}), app.command())


if __name__ == "__main__":
    flags.mark_flags_as_required(["workdir"])
    app.run(main)
