"""What a session of a closed form costs: a course of sessions on random clusters, processor time a session.

    python -m benchmarks.closed_forms --learner=ranpac --options=M=10000 --width=768 --rows=25 --sessions=10
    python -m benchmarks.closed_forms --learner=ridge --width=768 --rows=25 --sessions=6

Processor time is told beside the wall's, which means little on a machine that does something else. The first course
compiles and is not counted; of the others each session's least time counts.
"""

from __future__ import annotations

import argparse
import time

import jax
import numpy as np

from dhauds_jax.incremental import learners, precision
from dhauds_jax.types import LearnerInfo, LearnerState, Shots

WAY = 5
"""Classes of a session."""


def sessions_of(width: int, rows: int, sessions: int) -> list[Shots]:
    """Each session's rows, five classes of them that no other has."""
    rng, found = np.random.default_rng(0), []
    for session in range(sessions):
        labels = np.arange(rows, dtype=np.int32) % WAY
        means = rng.standard_normal((WAY, width))
        inputs = np.float32(means[labels] + 0.7 * rng.standard_normal((rows, width)))
        ones, clips = np.ones(rows, np.float32), np.arange(rows, dtype=np.int32) + session * rows
        found.append(Shots(inputs, labels + WAY * session, ones, ones, clips))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--learner", default="ridge")
    parser.add_argument("--options", nargs="*", default=[], help="key=value")
    for name, default in (("width", 768), ("rows", 25), ("sessions", 6), ("rounds", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    options = learners.resolve_options(args.learner, dict(one.split("=", 1) for one in args.options))
    learner = precision.compiled(learners.make(args.learner, None, options))
    info = LearnerInfo(WAY * args.sessions, args.sessions, args.rows, (args.width,), 0, 0)
    key, data = jax.random.key(0), sessions_of(args.width, args.rows, args.sessions)

    def course() -> tuple[LearnerState, np.ndarray]:
        state, took = learner.init({}, info, key), []
        for number, shots in enumerate(data):
            began = time.process_time(), time.perf_counter()
            state, _ = jax.block_until_ready(learner.learn(state, shots, jax.random.fold_in(key, number)))
            took.append((time.process_time() - began[0], time.perf_counter() - began[1]))
        return state, np.array(took)

    course()
    rounds = [course() for _ in range(args.rounds)]
    state, (cpu, wall) = rounds[-1][0], 1e3 * np.min([took for _, took in rounds], 0).T
    print(
        f"{args.learner}: a session of {args.rows} rows takes {np.median(cpu):.0f} ms of a core ({cpu.min():.0f} to "
        f"{cpu.max():.0f}), {np.median(wall):.0f} ms by the clock; the learner holds "
        f"{learner.bytes_held(state) / 1e6:.1f} MB"
    )


if __name__ == "__main__":
    main()
