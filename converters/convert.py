"""PyTorch checkpoints in and out.

Examples:
  python -m converters.convert --family=hubert_classifier --source=hubert-base-SC2.pt,clsModel-base-SC2.pt \
      --preset=hubert_base_sc2 --output=out/hubert_sc2
  python -m converters.convert --family=hubert --source=hubert_base_ls960.pt --preset=hubert_base_vs --output=out/base
  python -m converters.convert --family=ssast --source=SSAST-Base-Patch-400.pth --preset=ssast_base_patch_sc2 \
      --output=out/ssast
  python -m converters.convert --family=ast --source=ast-finetuned-speech-commands-v2 --preset=ast_sc2 --output=out/ast
  python -m converters.convert --family=hubert --source=hubert-base-superb-ks --config=length.json --output=out/ks
  python -m converters.convert --family=clap --source=630k-audioset-fusion-best.pt --tokenizer=roberta-base \
      --output=out/clap
  python -m converters.convert --family=vggish --source=vggish-10086976.pth,vggish_pca_params-970ea276.pth \
      --preset=vggish --output=out/vggish
  python -m converters.convert --family=tomofun --source=Best1.ckpt --config=temperature.json --output=out/dog1
  python -m converters.convert --family=hubert_classifier --source=out/adapted --output=out/pytorch --reverse
  python -m converters.convert --embeddings --source=urbansound8k_1520.pt --config=names.json --output=out/us8k.npz

A Hugging Face folder states all but the length of clips, {"length": 16000} in --config; the head in it is used.

The checkpoint (Orbax + config.json) is what experiments.train, adapt and classify load; report.md lies beside it.

The dog-sound classifier's temperature is no part of its files: {"temperature": 5} in --config.

CLAP becomes an audio-text model, with the tokenizer's files beside it. No weights or vocabulary come with this package.

AST and SSAST come out for any clip length and any classes: those of --preset or of --config (length, front_end.frames,
classes). Positions are cut or interpolated; a head for other classes is left out and the new one must be trained.
"""

from __future__ import annotations

from absl import flags

from converters.names import FAMILIES
from dhauds_jax.command import app, outputs
from dhauds_jax.errors import BadInput

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "family",
    None,
    f"What the source is: {', '.join(f'{name} ({choice.sources})' for name, choice in FAMILIES.items())}.",
)
flags.DEFINE_list(
    "source",
    None,
    "One path, or encoder and head with a comma between: .pt, .pth, .ckpt, .bin, .safetensors, .npz, or a Hugging Face "
    "folder. With --reverse the folder of a checkpoint.",
)
flags.DEFINE_string(
    "config",
    None,
    "JSON file with what the files do not show: geometry (heads, pre_norm, dropouts, ...), head, front_end, "
    "sample_rate (Hz), length (samples), classes (names in order); all optional, `preset` names one to start from. For "
    "clap: audio, text, projection, front_end, length. For tomofun also temperature.",
)
flags.DEFINE_string(
    "tokenizer",
    None,
    "clap: folder with the text tower's tokenizer, tokenizer.json, or vocab.json and merges.txt, to copy beside the "
    "checkpoint; a Hugging Face folder may hold it itself.",
)
flags.DEFINE_string(
    "preset", None, "Network to take such things from, e.g. hubert_base_sc2, amaut_vs (--list has all)."
)
flags.DEFINE_string(
    "output",
    None,
    "Folder to write, with --embeddings an .npz; an older one is replaced when the new one is complete.",
)
flags.DEFINE_bool("reverse", False, "Checkpoint folder to PyTorch names, as .safetensors.")
flags.DEFINE_string(
    "profile",
    "reference",
    "ssast: cut positions as the reference (stops where that is wrong) or corrected. tomofun: corrected masks the "
    "silence behind short clips.",
)
flags.DEFINE_bool(
    "verify",
    False,
    "Also run the source's own module (of transformers, torchaudio) on noise; print the largest difference by layer.",
)
flags.DEFINE_bool(
    "embeddings",
    False,
    "The source is a published file of embeddings (.pt), to become an .npz that --embeddings of other commands reads; "
    "--config may have the names of its class numbers, as `classes`. Takes no --family.",
)
flags.DEFINE_bool("list", False, "Print the families, each with the presets of its network, and end.")


def main() -> str:
    """The command: what its flags ask for; returns its last sentence."""
    outputs.check("output", file=FLAGS.embeddings)
    from converters import conversion, families, presets, report

    if FLAGS.embeddings:
        return _embeddings()
    if FLAGS.list:
        return "\n".join(f"{name}: {', '.join(presets.names(families.find(name)))}" for name in FAMILIES)
    missing = [f"--{name}" for name in ("family", "source", "output") if not FLAGS[name].value]
    if missing:
        raise BadInput(f"{', '.join(missing)}: missing, expected --family, --source and --output (see --help)")
    if FLAGS.reverse:
        if len(FLAGS.source) != 1 or FLAGS.verify or FLAGS.tokenizer:
            raise BadInput("--reverse: takes one checkpoint folder as --source and no --verify or --tokenizer")
        written = conversion.reverse(FLAGS.family, FLAGS.source[0], FLAGS.output)
        return f"PyTorch files: {', '.join(str(path) for path in written)}"
    made = conversion.convert(
        FLAGS.family,
        FLAGS.source,
        FLAGS.output,
        config=FLAGS.config,
        preset=FLAGS.preset,
        verify=FLAGS.verify,
        profile=FLAGS.profile,
        tokenizer=FLAGS.tokenizer,
    )
    return f"{report.text(made)}\ncheckpoint: {FLAGS.output}"


def _embeddings() -> str:
    """What `--embeddings` asks for; returns the last sentence."""
    from converters import embeddings, presets

    other = [f"--{name}" for name in ("family", "preset", "reverse", "verify", "tokenizer") if FLAGS[name].value]
    if other:
        raise BadInput(f"--embeddings: takes --source, --output and --config with classes, no {', '.join(other)}")
    missing = [f"--{name}" for name in ("source", "output") if not FLAGS[name].value]
    if missing:
        raise BadInput(f"{', '.join(missing)}: missing, expected --source=FILE.pt and --output=FILE.npz")
    if len(FLAGS.source) != 1:
        raise BadInput(f"--embeddings: {len(FLAGS.source)} sources, expected one .pt")
    given = presets.read_config(FLAGS.config) if FLAGS.config else {}
    said = embeddings.convert(FLAGS.source[0], FLAGS.output, given.get("classes"))
    return f"{said}: {FLAGS.output}"


if __name__ == "__main__":
    app.run(main)
