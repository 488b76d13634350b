"""Puts load on a service and says what it answers: requests a second, latencies, what was lost.

Example: python -m experiments.load --serve="checkpoint=words15 max_batch=32" --compare=max_batch:1 --clients=50
Sends the same few recordings again and again, in a closed loop or, with --rate, an open one; the number of requests and
the time are bounded, and only this machine is asked unless --allow_remote. Says how much of a core the load generator
took itself. Two services are asked in turn, so that the ratio is of one run. Exit code 1: a service answered nothing.
"""

from __future__ import annotations

import sys

from dhauds_jax.command import app, flags
from dhauds_jax.runs.requests.load import LoadRun

flags.flags_of(LoadRun)


def main() -> str:
    from dhauds_jax.runs.load import load

    text, code = load(flags.from_flags(LoadRun), app.command())
    if code:
        print(text)
        sys.exit(code)
    return text


if __name__ == "__main__":
    app.run(main)
