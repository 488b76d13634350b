"""Embeds recordings or a data set, clean or corrupted, with any network: a vector each, for zero-shot and other work.

Example: python -m experiments.embed --checkpoint=words15 --audio_dir=recordings --output=out/embeddings
Writes OUTPUT/vectors.npy (float32, a row a recording, as the network gave it: not normalised), index.csv (name, label,
fold, seconds, windows, ...) and manifest.json (network, front end, rules, corruption, bad files). Recordings are read
block by block, so their number and length hardly matter; a killed command goes on to the same bytes.
"""

from __future__ import annotations

from dhauds_jax.command import app, flags
from dhauds_jax.runs.requests.embed import EmbedRun

flags.flags_of(EmbedRun)


def main() -> str:
    flags.start()
    from dhauds_jax.runs.embed import embed

    return embed(flags.from_flags(EmbedRun), app.command())


if __name__ == "__main__":
    app.run(main, stopped=app.GOES_ON)
