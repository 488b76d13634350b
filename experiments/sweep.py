"""Runs a table of experiments, one cell of `experiments.adapt` a row, and writes one record a row to
WORKDIR/results.jsonl.

Example: python -m experiments.sweep --recipes=dhauds --only="SpeechCommandsV2/HuBERT/*" --data_root=data \
--noise_dir=data/noise --checkpoint_root=checkpoints --workdir=out/dhauds
Finished rows are skipped, and a killed sweep goes on with the same command. Rows that cannot run are listed with the
reason in WORKDIR/unavailable.jsonl and tried again the next time. Exit code 1 when a row met a bug (its traceback is in
WORKDIR/bugs/), else 2 when one stopped on bad input, else 3 when a loss or a prediction was not finite; rows whose data
or checkpoint is missing do not count.
"""

from __future__ import annotations

from absl import flags

from dhauds_jax.command import app
from dhauds_jax.command import flags as device_flags

FLAGS = flags.FLAGS
flags.DEFINE_string("recipes", None, "Table: dhauds, iom_eolr, ntta, amaut, tta_in_ac, synthetic, or a csv file.")
flags.DEFINE_list(
    "only",
    [],
    "Patterns of dataset/net/corruption-level/method, such as speech_commands_v2/hubert_base/*; * stands for anything, "
    "capitals and underscores do not matter, the published names do too (SpeechCommandsV2/HuBERT/*).",
)
flags.DEFINE_string("shard", "1/1", "Which part of the rows, as 2/8; every machine its own part and its own --workdir.")
flags.DEFINE_string("data_root", None, "Folder with one folder a data set, named as --dataset of experiments.adapt.")
flags.DEFINE_string("noise_dir", None, "Folder that holds QUT-NOISE/, DEMAND_16k/ or DEMAND_48k/, _background_noise_/.")
flags.DEFINE_string(
    "checkpoint_root", None, "Folder with one checkpoint <net>_<dataset>/ each (or <net>_<dataset>/checkpoint/)."
)
flags.DEFINE_string("workdir", None, "Folder for results.jsonl, unavailable.jsonl and the states of unfinished rows.")
flags.DEFINE_bool("list", False, "Print the rows and the commands that they stand for, and stop.")
flags.DEFINE_bool("cost", False, "Print what the rows cost in floating-point operations (XLA's count), and stop.")
flags.DEFINE_bool("dry_run", False, "Say of each row whether it is finished, can run, or why not, and stop.")
flags.DEFINE_float("save_every_s", 20.0, "Least seconds between two saved states of an unfinished row.")
flags.DEFINE_bool("allow_partial", False, "Go on when a list names files that are absent (the count goes on record).")
flags.DEFINE_enum("on_bad_file", "stop", ["stop", "skip"], "At a bad file: stop the row, or leave the file out.")
device_flags.define_parallel()
device_flags.define_updates_per_dispatch()
device_flags.define_precision()
device_flags.define_remat()


def main() -> str:
    device_flags.start()
    import sys

    from dhauds_jax.runs.sweep import SweepRun, sweep

    text, code = sweep(SweepRun(**{name: getattr(FLAGS, name) for name in SweepRun._fields}), app.command())
    if code:
        print(text)
        sys.exit(code)
    return text


if __name__ == "__main__":
    flags.mark_flags_as_required(["recipes"])
    app.run(main)
