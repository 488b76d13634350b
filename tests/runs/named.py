"""Classes by name on four tones, and what they come to by hand."""

import csv

import jax.numpy as jnp
import numpy as np
import soundfile

from dhauds_jax.nets import checkpoint, clap_prompts
from dhauds_jax.nets.clap_zoo import PRESETS, build_audio_text
from dhauds_jax.runs.requests.classify import ClassifyRun
from tests.nets.clap import variables_of, write_vocabulary

NAMES = ("dog_bark", "rain", "siren")
RATE = 48_000


def tones(folder, hertz, seconds=0.6):
    folder.mkdir()
    draw = np.random.default_rng(0)
    for i, f in enumerate(hertz):
        time = np.arange(round(seconds * RATE)) / RATE
        wave = 0.3 * np.sin(2 * np.pi * f * time) + 0.02 * draw.standard_normal(len(time))
        soundfile.write(folder / f"{i}.wav", wave.astype(np.float32), RATE, subtype="FLOAT")
    return folder


def make_place(folder):
    """A checkpoint of random weights, a file of classes, recordings, and those of a park."""
    config = PRESETS["clap_test"]

    def vocabulary(made):
        write_vocabulary(made / "tokenizer")

    variables = variables_of()
    scale = {"audio": np.float32(np.log(100)), "text": np.float32(0)}
    variables = {**variables, "params": {**variables["params"], "scale": scale}}
    checkpoint.save(folder / "clap", variables, config, beside=vocabulary)
    (folder / "classes.txt").write_text("\n".join(NAMES) + "\n")
    tones(folder / "new", (300, 900, 2700, 5000))
    tones(folder / "park", (120, 200, 350, 500), seconds=1.0)
    return folder


def run_of(place, output, **changes):
    given = {
        "checkpoint": str(place / "clap"),
        "class_names": str(place / "classes.txt"),
        "audio_dir": str(place / "new"),
        "output": str(output),
        "batch_size": 4,
    }
    return ClassifyRun(**{**given, **changes})


def table(output, name="predictions.csv"):
    with (output / name).open(newline="") as file:
        return list(csv.DictReader(file))


def probabilities(output):
    return np.array([[float(row[name]) for name in NAMES] for row in table(output, "probabilities.csv")])


def by_hand(place):
    """Unit embeddings of the four clips and of the park's, the anchors, and the checkpoint's scale."""
    variables, config, _ = checkpoint.load_audio_text(place / "clap")
    towers = build_audio_text(config)
    found = []
    for folder in ("new", "park"):
        rows = []
        for path in sorted((place / folder).iterdir()):
            wave, _ = soundfile.read(path, dtype="float32")
            times = config.length // len(wave)
            rows.append(np.pad(np.tile(wave, times), (0, config.length - times * len(wave))))
        features = towers.features(jnp.asarray(np.stack(rows)))
        raw = np.asarray(towers.audio(variables, features[:, None], jnp.zeros(len(rows), bool)), np.float64)
        found.append(raw / np.linalg.norm(raw, axis=1, keepdims=True))
    texts = [f"This is a sound of {name.replace('_', ' ')}" for name in NAMES]
    anchors = clap_prompts.embed_texts(towers, variables, texts, place / "clap").astype(np.float64)
    return *found, anchors, float(towers.scale(variables))


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)
