"""Writes a corrupted copy of a split (a "-C" set): 16-bit wav files and a manifest of every draw.

Example: python -m experiments.corrupt --dataset=synthetic --corruption=WHN,TST --level=L1,L2 --output=out/synthetic-C
Cells lie in OUTPUT/CORRUPTION/LEVEL/; a finished cell is skipped, an unfinished one is made anew.
"""

from __future__ import annotations

from absl import flags

from dhauds_jax import app

FLAGS = flags.FLAGS
flags.DEFINE_string("dataset", None, "Data set: arabic_speech_commands or synthetic.")
flags.DEFINE_string("data_dir", None, "Folder of the data set (not for synthetic).")
flags.DEFINE_string("noise_dir", None, "Folder that holds QUT-NOISE/, DEMAND_16k/ or DEMAND_48k/, _background_noise_/.")
flags.DEFINE_list("corruption", None, "Corruptions: WHN, ENQ, END1, END2, ENSC, PSH, TST, or all.")
flags.DEFINE_list("level", ["L1", "L2"], "Levels: L1, L2.")
flags.DEFINE_string("output", None, "Folder of the corrupted set.")
flags.DEFINE_string("profile", "reference", "reference (quirks of the PyTorch corruptions on) or corrected.")
flags.DEFINE_integer("seed", 123456, "Seed of the draws.")
flags.DEFINE_string("split", "test", "Split to corrupt.")
flags.DEFINE_bool("allow_partial", False, "Go on when a list names files that are absent.")


def main() -> str:
    from experiments.corrupt_run import CorruptRun, write_set

    return write_set(CorruptRun(**{name: getattr(FLAGS, name) for name in CorruptRun._fields}))


if __name__ == "__main__":
    flags.mark_flags_as_required(["dataset", "corruption", "output"])
    app.run(main)
