"""A tiny audio-text model and a vocabulary, made on the spot: none come with this package."""

import functools
from pathlib import Path

import jax
import numpy as np

from dhauds_jax.nets import clap_zoo

SENTENCES = [
    *(f"This is a sound of {name}." for name in ("a dog barking", "rain", "an engine idling", "children playing")),
    "This is a sound of a siren in the background",
    "Park sounds in the background",
    "a siren wails while it rains on the street, and children play in the park",
]
MARKS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


@functools.cache
def _trained():
    from tokenizers import ByteLevelBPETokenizer

    made = ByteLevelBPETokenizer()
    made.train_from_iterator(SENTENCES, vocab_size=400, min_frequency=1, special_tokens=MARKS, show_progress=False)
    return made


def write_vocabulary(folder, whole=False):
    """RoBERTa's kind of vocabulary, trained on `SENTENCES`: `vocab.json` and `merges.txt`, or `tokenizer.json`."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if whole:
        from dhauds_jax.nets.clap_tokenizer import Tokenizer

        write_vocabulary(folder / "parts")
        Tokenizer(folder / "parts")._tokenizer.save(str(folder / "tokenizer.json"))
    else:
        _trained().save_model(str(folder))
    return folder


@functools.cache
def variables_of(net="clap_test", seed=0):
    """Random weights of a preset or a config, drawn here: compiling the network's own draws takes seconds."""
    built = clap_zoo.build_audio_text(clap_zoo.PRESETS.get(net, net))
    draw = np.random.default_rng(seed)

    def one(path, leaf):
        values, kind = draw.standard_normal(leaf.shape).astype(np.float32), path[-1].key
        if kind in ("kernel", "words", "places"):  # wide enough that inputs are told apart
            return 2 * values / np.sqrt(np.float32(leaf.shape[-2] if kind == "kernel" else 1))
        return {"scale": 1 + 0.1 * values, "var": 1 + abs(0.1 * values)}.get(kind, 0.1 * values)

    return jax.tree_util.tree_map_with_path(one, jax.eval_shape(built.init, jax.random.key(0)))
