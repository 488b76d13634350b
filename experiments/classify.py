"""Adapts a classifier to a folder of unlabelled recordings and labels them.

Example: python -m experiments.classify --checkpoint=out/train/checkpoint --audio_dir=recordings --method=tent \
--output=out/labels
Writes OUTPUT/predictions.csv (file, label, confidence, label and confidence before adaptation), OUTPUT/checkpoint (the
adapted classifier) and OUTPUT/report.md (what changed, signs of trouble, whether to keep the source model). Recordings
of any length: shorter than the network's clip are centred in silence; longer ones are cut into windows, and a file's
probabilities are the mean over its windows. Ctrl-C writes what there is; the same command then goes on.
"""

from __future__ import annotations

from absl import flags

from dhauds_jax.command import app
from dhauds_jax.command import flags as device_flags

FLAGS = flags.FLAGS
flags.DEFINE_string("checkpoint", None, "Folder of the classifier, of experiments.train or converters.convert.")
flags.DEFINE_string("audio_dir", None, "Folder of wav, flac and ogg files, searched with its folders.")
flags.DEFINE_string("method", "tent", "Adaptation method (see docs/methods.md); source only labels.")
flags.DEFINE_bool("online", False, "One pass in the order of the file names, labels as the recordings come by.")
flags.DEFINE_string("output", None, "Folder of the results.")
flags.DEFINE_integer("epochs", 5, "Passes over the recordings (not with --online).")
flags.DEFINE_integer("batch_size", 64, "Windows in an update.")
flags.DEFINE_float("overlap", 0.0, "Share of a window that the next one repeats, 0 up to below 1.")
flags.DEFINE_string("profile", "corrected", "reference (quirks of the PyTorch systems on) or corrected.")
flags.DEFINE_list("options", [], "Options of the method, key=value (an unknown one lists them).")
flags.DEFINE_string("criterion", "information", "Label-free choice of the epoch (see docs/methods.md).")
flags.DEFINE_integer("seed", 0, "Seed of the adaptation.")
flags.DEFINE_string("on_bad_file", "skip", "skip unreadable files (they are listed in the report) or stop.")
flags.DEFINE_float("save_every_s", 20.0, "Least seconds between two saved states.")
device_flags.define_precision()


def main() -> str:
    from dhauds_jax.runs.classify import ClassifyRun, classify

    return classify(ClassifyRun(**{name: getattr(FLAGS, name) for name in ClassifyRun._fields}), app.command())


if __name__ == "__main__":
    flags.mark_flags_as_required(["checkpoint", "audio_dir", "output"])
    app.run(main)
