"""Runs all methods under several protocols on real speech, for the leaderboard of docs/results.md.

Example: python -m experiments.leaderboard --data_dir=data/arabic-speech-commands \
--noise_dir=data/SpeechCommands/speech_commands_v0.02 --checkpoint_root=work --workdir=work/leaderboard \
--tuned=experiments/recipes/tuned_arabic.csv --subset=experiments/recipes/arabic_test_300.txt
CHECKPOINT_ROOT has seed0/checkpoint, seed1/checkpoint, ...: one source model a seed. Offline and online come first for
all methods, then the other protocols; finished cells are skipped, and the bar shows the time left. Two machines (or
cores) take --shard=1/2 and --shard=2/2 into one folder.
"""

from __future__ import annotations

from absl import flags

from dhauds_jax.command import app

FLAGS = flags.FLAGS
flags.DEFINE_string("data_dir", None, "Folder of Arabic Speech Commands.")
flags.DEFINE_string("noise_dir", None, "Folder that holds _background_noise_/.")
flags.DEFINE_string("checkpoint_root", None, "Folder with seed<N>/checkpoint for every seed.")
flags.DEFINE_list("seed", ["0", "1", "2"], "Seeds; each has its own source model, draw and adaptation.")
flags.DEFINE_list("method", ["all"], "Methods, or all.")
flags.DEFINE_list("protocol", ["offline", "online", "continual", "mixed", "batch1"], "Protocols, in this order.")
flags.DEFINE_string("tuned", None, "Options of the methods, a csv file of experiments.tune (none: the defaults).")
flags.DEFINE_string("subset", None, "Clips of the test split, a file of ids (none: all).")
flags.DEFINE_integer("epochs", 5, "Passes of the offline protocol.")
flags.DEFINE_integer("batch_size", 70, "Clips in an update.")
flags.DEFINE_string("shard", "1/1", "This run's share of the methods: 1/2 or 2/2, for instance.")
flags.DEFINE_string("workdir", None, "Folder of the records.")


def main() -> str:
    from dhauds_jax.runs.leaderboard import LeaderboardRun, fill

    return fill(LeaderboardRun(**{name: getattr(FLAGS, name) for name in LeaderboardRun._fields}), app.command())


if __name__ == "__main__":
    flags.mark_flags_as_required(["data_dir", "noise_dir", "checkpoint_root", "workdir"])
    app.run(main)
