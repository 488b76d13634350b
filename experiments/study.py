"""Runs one method over many learning rates and seeds at once, and writes one record for each to WORKDIR/results.jsonl.

Example: python -m experiments.study --dataset=synthetic --checkpoint=out/train/checkpoint --method=tent \
--corruption=WHN --level=L2 --protocol=offline --lr=1e-4,3e-4,1e-3,3e-3 --seeds=0,1,2,3 --workdir=out/study
Each record is that of experiments.adapt with --options=lr=RATE --seed=SEED, up to rounding. Copies of a run go through
one compiled step: only the parameters that the method moves have copies, and all rates of a seed share its batches.
Finished runs are skipped; a killed study goes on at the group of copies it was in.
"""

from __future__ import annotations

from absl import flags

from dhauds_jax.command import app

FLAGS = flags.FLAGS
flags.DEFINE_string("dataset", None, "Data set, as in experiments.adapt.")
flags.DEFINE_string("data_dir", None, "Folder of the data set (not for synthetic).")
flags.DEFINE_string("noise_dir", None, "Folder of the noise recordings, as in experiments.adapt.")
flags.DEFINE_string("checkpoint", None, "Folder of the source model, of experiments.train or converters.convert.")
flags.DEFINE_string("method", "tent", "Method (docs/methods.md); best one that moves few parameters.")
flags.DEFINE_string("corruption", None, "Corruption, clean, or a shift, as in experiments.adapt; one.")
flags.DEFINE_string("level", "L2", "Level: L1 or L2.")
flags.DEFINE_string("protocol", "offline", "Protocol: offline (epochs over the set) or online (one pass).")
flags.DEFINE_list("lr", None, "Learning rates, above 0 (not given: the method's own, and for methods without one).")
flags.DEFINE_list("seeds", ["0"], "Seeds; each is one of the corruption draw and of the adaptation.")
flags.DEFINE_integer("copies", 8, "Runs that go at once, at the most: memory for activations grows with them.")
flags.DEFINE_string("draw", "two", "two (offline: adapt to one draw, report another, as published) or single.")
flags.DEFINE_integer("evaluation_seed", 123456, "Seed of the draw that is reported, with --draw=two.")
flags.DEFINE_integer("source_clips", 500, "Training clips that methods in need of source data get.")
flags.DEFINE_string("profile", "reference", "reference (quirks of the PyTorch systems on) or corrected.")
flags.DEFINE_integer("epochs", 15, "Passes of the offline protocol.")
flags.DEFINE_integer("batch_size", 70, "Clips in an update of one run; the last partial batch is kept.")
flags.DEFINE_list("options", [], "Options of the method, key=value (an unknown one lists them).")
flags.DEFINE_string("criterion", "information", "Label-free choice of the epoch, as in experiments.adapt.")
flags.DEFINE_string("split", "test", "Split to adapt to.")
flags.DEFINE_string("workdir", None, "Folder for results.jsonl.")
flags.DEFINE_bool("allow_partial", False, "Go on when a list names files that are absent (the count goes on record).")


def main() -> str:
    from dhauds_jax.runs.study import StudyRun, run_study

    return run_study(StudyRun(**{name: getattr(FLAGS, name) for name in StudyRun._fields}), app.command())


if __name__ == "__main__":
    flags.mark_flags_as_required(["dataset", "checkpoint", "corruption", "workdir"])
    app.run(main)
