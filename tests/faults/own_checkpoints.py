"""Damaged checkpoints and saved states of the package's own: Orbax folders, configs, what lies beside them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from tests.faults.folders import Folder, attempt, of_folder
from tests.faults.trying import Target

NETS = ("hubert_tiny", "amaut_tiny", "ssast_test", "conmix_tiny", "resnet_tiny")


def classifier(net: str, folder: Path) -> Folder:
    """A checkpoint of a small network."""
    import jax

    from dhauds_jax.nets import checkpoint, zoo

    config = zoo.preset(net, ("a", "b", "c"))
    variables = jax.tree.map(lambda leaf: np.full(leaf.shape, 0.5, np.float32), zoo.shapes(zoo.build(config)))
    extra = {"calibration": {"temperature": 1.5}, "arrays": {"a": np.zeros(3)}}
    return of_folder(checkpoint.save(folder / "checkpoint", variables, config, extra), checkpoint.load)


def audio_text(folder: Path) -> Folder:
    """A checkpoint of a small audio-text model, with its tokenizer."""
    from dhauds_jax.nets import checkpoint, clap_zoo
    from tests.nets.clap import variables_of, write_vocabulary

    made = checkpoint.save(
        folder / "checkpoint",
        variables_of(),
        clap_zoo.PRESETS["clap_test"],
        beside=lambda place: write_vocabulary(place / "tokenizer"),
    )
    return of_folder(made, _read_audio_text)


def _read_audio_text(folder: Path) -> None:
    from dhauds_jax.nets import checkpoint, clap_tokenizer

    checkpoint.load_audio_text(folder)
    clap_tokenizer.Tokenizer(folder / "tokenizer")(["a dog barks"])


def state(folder: Path) -> Folder:
    """A saved state of an unfinished run."""
    from dhauds_jax.workdir.saver import Saver

    like = {"a": np.arange(3.0, dtype=np.float32), "b": np.zeros((2, 2), np.float32)}

    def read(place: Path) -> None:
        saver = Saver(place, 0.0, {"lr": 0.1})
        saver.info()
        saver.load(like)

    Saver(folder / "state", 0.0, {"lr": 0.1}).save(like, {"position": 7, "losses": [1.0, 2.0]})
    return of_folder(folder / "state", read)


TARGETS = {
    **{f"{net}, a checkpoint of our own": Target(partial(classifier, net), attempt) for net in NETS},
    "clap_test, a checkpoint of our own": Target(audio_text, attempt),
    "a saved state": Target(state, attempt),
}
