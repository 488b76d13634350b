"""Asks a service of experiments.serve about recordings, and writes their labels into a csv file.

Example: python -m experiments.ask --url=http://127.0.0.1:8080 --audio=dog.wav,recordings --output=labels.csv
Sends wav, flac and ogg; what else a folder holds is said before. Writes OUTPUT with the columns file, label,
confidence, seconds, notices and error (the service's own sentence). With --session=new the service adapts to these
recordings as they come, and says at the end what it learnt; a column source_label then has what it said without that.
Exit code 1: some recordings got no answer.
"""

from __future__ import annotations

import sys

from dhauds_jax.command import app, flags
from dhauds_jax.runs.requests.ask import AskRun

flags.flags_of(AskRun)


def main() -> str:
    from dhauds_jax.runs.ask import ask

    text, code = ask(flags.from_flags(AskRun))
    if code:
        print(text)
        sys.exit(code)
    return text


if __name__ == "__main__":
    app.run(main)
