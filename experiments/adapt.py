"""Adapts a classifier to corrupted sets and writes one record a cell to WORKDIR/results.jsonl.

Example: python -m experiments.adapt --dataset=synthetic --checkpoint=out/train/checkpoint --method=source,dhauds \
--corruption=WHN,TST --level=L2 --workdir=out
Lists of methods, corruptions, levels and protocols are run cell by cell; finished cells are skipped, and a killed run
goes on with the same command.
"""

from __future__ import annotations

from absl import flags

from dhauds_jax.command import app
from dhauds_jax.command import flags as device_flags

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "dataset",
    None,
    "Data set: arabic_speech_commands, audio_mnist, cochl_scene, demand, esc50, folder, free_spoken_digit, qut_noise, "
    "reef_set, speech_commands_noise, speech_commands_v1, speech_commands_v2, synthetic, urban_sound_8k, vocal_sound; "
    "or a variant, such as audio_mnist/fold1 (docs/data.md).",
)
flags.DEFINE_string("data_dir", None, "Folder of the data set (not for synthetic).")
flags.DEFINE_string(
    "noise_dir",
    None,
    "Folder that holds QUT-NOISE/, DEMAND_16k/ or DEMAND_48k/, _background_noise_/ (CLP: VocalSound/, CochlScene/).",
)
flags.DEFINE_string("net", None, "Network, checked against the checkpoint's when given.")
flags.DEFINE_string("checkpoint", None, "Folder of the source model, of experiments.train or converters.convert.")
flags.DEFINE_list(
    "method",
    ["dhauds"],
    "Methods: source, norm, tent, dhauds, eata, rdumb, sar, deyo, roid, gala, pseudo_label, shot, notela, conmix, "
    "lame, t3a, ntta, note, rotta, cotta, memo, suta, ttt (docs/methods.md).",
)
flags.DEFINE_list(
    "corruption",
    None,
    "Corruptions: WHN, ENQ, END1, END2, ENSC, PSH, TST, all, or clean; shifts: SCN:running_tap@10dB, "
    "CLP:vocal_sound@3dB, UNI:0.005 (docs/data.md).",
)
flags.DEFINE_list("level", ["L2"], "Levels: L1, L2.")
flags.DEFINE_list(
    "protocol",
    ["offline"],
    "Protocols: offline (epochs over the set); one pass: online, episodic (every batch from the source weights), "
    "batch1 (clips one by one, a buffer of a batch), correlated (runs of one class), label_shift (long tail), timed "
    "(slow methods skip batches); one pass over all corruptions of the run: continual, mixed, forgetting (continual, "
    "the clean set watched); gradual (clean, L1, L2, L1 of each corruption).",
)
flags.DEFINE_list("protocol_options", [], "Options of the protocols, key=value or protocol.key=value.")
flags.DEFINE_string("draw", "two", "two (offline: adapt to one draw, report another, as published) or single.")
flags.DEFINE_integer("evaluation_seed", 123456, "Seed of the draw that is reported, with --draw=two.")
flags.DEFINE_string("corrupted_dir", None, "Read the draw that is reported from this -C set instead of drawing it.")
flags.DEFINE_string("adaptation_dir", None, "Read the draw that is adapted to from this -C set.")
flags.DEFINE_integer("source_clips", 500, "Training clips that methods in need of source data get.")
flags.DEFINE_string("profile", "reference", "reference (quirks of the PyTorch systems on) or corrected.")
flags.DEFINE_integer("seed", 0, "Seed of the corruption draw and of the adaptation.")
flags.DEFINE_integer("epochs", 15, "Passes of the offline protocol.")
flags.DEFINE_integer("batch_size", 70, "Clips in an update; the last partial batch is kept.")
flags.DEFINE_list("options", [], "Options of the methods, key=value or method.key=value (an unknown one lists them).")
flags.DEFINE_string(
    "criterion",
    "information",
    "Label-free choice of the epoch: information, negative_entropy, nuclear_norm, neighbourhood_density, agreement.",
)
flags.DEFINE_string("subset", None, "Take these clips of the split alone: a file of clip ids, one a line.")
flags.DEFINE_bool("agreement", False, "Record the agreement of two views after each epoch (one evaluation more).")
flags.DEFINE_bool(
    "embeddings",
    False,
    "Store up to 500 embeddings a cell before and after adaptation in WORKDIR/embeddings, their silhouettes in the "
    "record (finished cells are skipped).",
)
flags.DEFINE_string("split", "test", "Split to adapt to.")
flags.DEFINE_string("workdir", None, "Folder for results.jsonl and the states of unfinished cells.")
flags.DEFINE_float("save_every_s", 20.0, "Least seconds between two saved states of an unfinished cell.")
flags.DEFINE_bool("allow_partial", False, "Go on when a list names files that are absent (the count goes on record).")
flags.DEFINE_enum(
    "on_bad_file",
    "stop",
    ["stop", "skip"],
    "At a bad file: stop, or leave it out and list it in WORKDIR/bad_files.txt.",
)
device_flags.define_parallel()
device_flags.define_updates_per_dispatch()
device_flags.define_precision()
device_flags.define_remat()


def main() -> str:
    device_flags.start()
    from dhauds_jax.runs.adapt import AdaptRun, adapt

    return adapt(AdaptRun(**{name: getattr(FLAGS, name) for name in AdaptRun._fields}), app.command())


if __name__ == "__main__":
    flags.mark_flags_as_required(["dataset", "checkpoint", "corruption", "workdir"])
    app.run(main)
