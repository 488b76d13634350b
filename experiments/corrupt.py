"""Writes a corrupted copy of a split (a "-C" set): 16-bit wav files in the published layout, lists, all draws.

Example: python -m experiments.corrupt --dataset=synthetic --corruption=WHN,TST --level=L1,L2 --output=out/synthetic-C
All cells: --corruption=all (14; UrbanSound8K has 8). A finished cell is skipped, an unfinished one is made anew, and
nothing that is there is deleted. --verify makes every clip again and compares it with its file; --verify=checksum
compares the files with the checksums stored beside them (no --data_dir needed).
"""

from __future__ import annotations

from absl import flags

from dhauds_jax.command import app

FLAGS = flags.FLAGS


class _Verify(flags.ArgumentParser):
    """`--verify` alone, or with what to compare the files with."""

    syntactic_help = "<samples|checksum>"

    def parse(self, argument: str) -> str:
        found = {"true": "samples", "false": "", "": ""}.get(str(argument), str(argument))
        if found not in ("", "samples", "checksum"):
            raise ValueError("expected --verify, --verify=samples or --verify=checksum")
        return found


flags.DEFINE_string("dataset", None, "Name of the data set (an unknown one lists them).")
flags.DEFINE_string("data_dir", None, "Folder of the data set (not for sets that are made in memory).")
flags.DEFINE_string(
    "noise_dir",
    None,
    "Folder that holds QUT-NOISE/, DEMAND_16k/ or DEMAND_48k/, _background_noise_/ (CLP: VocalSound/, CochlScene/).",
)
flags.DEFINE_list(
    "corruption",
    None,
    "Corruptions: WHN, ENQ, END1, END2, ENSC, PSH, TST, or all that the set has; shifts: SCN:running_tap@10dB, "
    "CLP:vocal_sound@3dB, UNI:0.005 (docs/data.md).",
)
flags.DEFINE_list("level", ["L1", "L2"], "Levels: L1, L2.")
flags.DEFINE_string("output", None, "Folder of the corrupted set.")
flags.DEFINE_string("profile", "reference", "reference (quirks of the PyTorch corruptions on) or corrected.")
flags.DEFINE_integer("seed", 123456, "Seed of the draws; the default is that of the published sets.")
flags.DEFINE_string("split", "test", "Split to corrupt; the published layouts are those of test splits.")
flags.DEFINE_bool("allow_partial", False, "Go on when a list names files that are absent.")
flags.DEFINE_enum("on_bad_file", "stop", ["stop", "skip"], "At a file that cannot be read: stop, or leave it out.")
flags.DEFINE_enum("runner", "direct", ["direct", "beam"], "Where to compute: here, or by Apache Beam (extra beam).")
flags.DEFINE_list("beam_options", [], "Options of Apache Beam without their dashes, such as direct_num_workers=4.")
flags.DEFINE_flag(
    flags.Flag(
        _Verify(), None, "verify", "", "Write nothing; compare the files with a fresh computation.", boolean=True
    )
)


def main() -> str:
    from dhauds_jax.runs.corrupt import CorruptRun, run_command

    return run_command(CorruptRun(**{name: getattr(FLAGS, name) for name in CorruptRun._fields}))


if __name__ == "__main__":
    flags.mark_flags_as_required(["dataset", "corruption", "output"])
    app.run(main)
