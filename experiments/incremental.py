"""Learns new classes from a few clips each, session after session, and tells after each how well all are known.

Example: python -m experiments.incremental --dataset=arabic_speech_commands/speakers --data_dir=data/arabic \
--checkpoint=out/ssast/checkpoint --learner=prototype,ridge --way=5 --shot=5 --sessions=6 --seeds=0,1,2,3,4,5 \
--workdir=out/inc
Or on vectors of any tool: python -m experiments.incremental --embeddings=birds.npz --learner=ridge,slda --way=5 \
--shot=5 --workdir=out/birds
Every head of a learner is reported, none is chosen by test labels. Writes WORKDIR/incremental.jsonl (what is finished
is not run again, an unfinished course goes on after its last session); experiments.report reads it.
"""

from __future__ import annotations

from dhauds_jax.command import app, flags
from dhauds_jax.runs.requests.incremental import IncrementalRun

flags.flags_of(IncrementalRun)


def main() -> str:
    flags.start()
    from dhauds_jax.runs.incremental import incremental

    return incremental(flags.from_flags(IncrementalRun), app.command(), flags.given(IncrementalRun))


if __name__ == "__main__":
    app.run(main, stopped=app.GOES_ON)
