"""Runs all methods under several protocols on one data set, for leaderboards as those of docs/results.md.

Example: python -m experiments.leaderboard --data_dir=data/arabic-speech-commands \
--noise_dir=data/SpeechCommands/speech_commands_v0.02 --checkpoint_root=work --workdir=work/leaderboard \
--tuned=experiments/recipes/tuned_arabic.csv --subset=experiments/recipes/arabic_test_300.txt
Beside every method with a rate stands the same at rate 0, its floor, and beside a tuned norm the one with running
statistics (--nofloors leaves them out); memo and suta are asked for online alone.
CHECKPOINT_ROOT has seed0/checkpoint, seed1/checkpoint, ...: one source model a seed; --checkpoint=words15 takes one
for all, whose seeds are draws and adaptations alone. Offline and online come first for
all methods, then the other protocols; finished cells are skipped, and the bar shows the time left. Two machines (or
cores) take --shard=1/2 and --shard=2/2 into one folder.
"""

from __future__ import annotations

from dhauds_jax.command import app, flags
from dhauds_jax.runs.requests.leaderboard import LeaderboardRun

flags.flags_of(LeaderboardRun)


def main() -> str:
    flags.start()
    from dhauds_jax.runs.leaderboard import fill

    return fill(flags.from_flags(LeaderboardRun), app.command())


if __name__ == "__main__":
    app.run(main, stopped=app.GOES_ON)
