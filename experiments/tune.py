"""Gives every method the same number of trials on a validation corruption, and writes the best options to a file.

Example: python -m experiments.tune --dataset=arabic_speech_commands --data_dir=FOLDER --noise_dir=FOLDER \
--checkpoint=out/train/checkpoint --method=tent,shot --corruption=CLP:esc50@6dB --workdir=out/tune --output=tuned.csv
The corruption must not be one of the test's (a held-out noise), and the split is "val": test labels are never used.
Of each method one option is tried at four values (dhauds_jax/recipes/tuned.py); the value with the best metric after
the last epoch wins, the default in a tie. Trials are records in WORKDIR and are not repeated.
"""

from __future__ import annotations

from absl import flags

from dhauds_jax.command import app

FLAGS = flags.FLAGS
flags.DEFINE_string("dataset", None, "Data set, as in experiments.adapt.")
flags.DEFINE_string("data_dir", None, "Folder of the data set.")
flags.DEFINE_string("noise_dir", None, "Folder of the noise recordings.")
flags.DEFINE_string("checkpoint", None, "Folder of the source model.")
flags.DEFINE_list("method", ["all"], "Methods, or all.")
flags.DEFINE_string("corruption", None, "The validation corruption, such as CLP:esc50@6dB or WHN.")
flags.DEFINE_string("level", "L2", "Its level, where the name does not hold one.")
flags.DEFINE_string("profile", "reference", "reference or corrected.")
flags.DEFINE_string("split", "val", "Labelled split to tune on; test is refused.")
flags.DEFINE_integer("clips", 150, "Clips of the split, evenly spread over its list; 0 takes all.")
flags.DEFINE_integer("epochs", 2, "Passes of a trial (offline protocol).")
flags.DEFINE_integer("batch_size", 70, "Clips in an update.")
flags.DEFINE_integer("seed", 0, "Seed of the draw and of the adaptation.")
flags.DEFINE_string("workdir", None, "Folder of the trials' records.")
flags.DEFINE_string("output", None, "The csv file to write.")


def main() -> str:
    from dhauds_jax.runs.tune import TuneRun, tune

    return tune(TuneRun(**{name: getattr(FLAGS, name) for name in TuneRun._fields}), app.command())


if __name__ == "__main__":
    flags.mark_flags_as_required(["dataset", "checkpoint", "corruption", "workdir", "output"])
    app.run(main)
