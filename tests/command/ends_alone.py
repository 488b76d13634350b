"""A command of two processes of which one ends in the middle: `python -m ... ADDRESS NUMBER HOW WHICH`."""

import os
import signal
import sys

from dhauds_jax import parallel
from dhauds_jax.command import app
from dhauds_jax.errors import BadInput

WORDS, sys.argv[1:] = sys.argv[1:], []  # they are no flags


def ends(how: str) -> None:
    if how == "refused":
        raise BadInput("nothing to read")
    if how == "bug":
        raise LookupError("a bug")
    os.kill(os.getpid(), signal.SIGINT)


def main() -> str:
    place, number, how, which = WORDS
    parallel.start(place, 2, int(number))
    if number == which:
        ends(how)
    parallel.wait("the other process")
    return "never said"


if __name__ == "__main__":
    app.run(main)
