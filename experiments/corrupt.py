"""Writes a corrupted copy of a split (a "-C" set): 16-bit wav files in the published layout, lists, all draws.

Example: python -m experiments.corrupt --dataset=synthetic --corruption=WHN,TST --level=L1,L2 --output=out/synthetic-C
All cells: --corruption=all (14; UrbanSound8K has 8). A finished cell is skipped, an unfinished one is made anew, and
nothing that is there is deleted. --verify makes every clip again and compares it with its file; --verify=checksum
compares the files with the checksums stored beside them (no --data_dir and no --dataset needed).
"""

from __future__ import annotations

from dhauds_jax.command import app, flags
from dhauds_jax.runs.requests.corrupt import CorruptRun

flags.flags_of(CorruptRun)


def main() -> str:
    flags.start()
    from dhauds_jax.runs.corrupt import run_command

    return run_command(flags.from_flags(CorruptRun))


if __name__ == "__main__":
    app.run(main, stopped=app.THE_REST)
