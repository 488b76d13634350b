"""Says what is heard while it is heard: raw sound from a pipe, or a recording as if live, in windows hop by hop.

Example: python -m experiments.listen --checkpoint=words15 --input=recording.wav --hop=0.5 --smooth=3 --output=heard.csv
A microphone: arecord -t raw -f S16_LE -r 16000 | python -m experiments.listen --checkpoint=words15 --rate=16000
A line for each change (--every: each window): seconds of its start and end, label, confidence. Lines that begin with #
tell the latency, what was dropped and which updates were refused. With --adapt=session the model adapts to what it
hears, held to the same checks as a session of experiments.serve. Ctrl-C ends it and says what was heard.
"""

from __future__ import annotations

from dhauds_jax.command import app, flags
from dhauds_jax.runs.requests.listen import ListenRun

flags.flags_of(ListenRun)


def main() -> str:
    flags.start()
    from dhauds_jax.runs.listen import listen

    return listen(flags.from_flags(ListenRun))


if __name__ == "__main__":
    app.run(main)
