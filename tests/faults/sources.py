"""Sound checkpoints of every converter family, of tiny geometries: what damage begins with."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

State = dict[str, np.ndarray]


class Sources(NamedTuple):
    """A conversion that works.

    Attributes:
      family: of `--family`.
      parts: the tensors of each source, by names as in the file.
      config: what `--config` has; None for no file.
      records: the JSON files beside the weights, by name, where the source is a Hugging Face folder; {} for files.
    """

    family: str
    parts: tuple[State, ...]
    config: dict[str, Any] | None = None
    records: Mapping[str, Any] = {}


def _hubert() -> Sources:
    from tests.converters.conftest import TINY_CONFIG
    from tests.converters.test_convert import encoder_state

    return Sources("hubert", (encoder_state(),), dict(TINY_CONFIG))


def _hubert_classifier() -> Sources:
    from tests.converters.conftest import TINY_CONFIG
    from tests.converters.test_convert import encoder_state, head_state, old_weight_norm, prefixed

    return Sources(
        "hubert_classifier", (prefixed("module.", old_weight_norm(encoder_state())), head_state()), dict(TINY_CONFIG)
    )


def _hubert_folder() -> Sources:
    from tests.converters.test_huggingface import record_of, state_of

    records = {"config.json": record_of(), "preprocessor_config.json": {"do_normalize": True, "sampling_rate": 16000}}
    return Sources("hubert", (state_of(),), {"length": 4000}, records)


def _of_own(family: str, preset: str, folder: Path) -> Sources:
    """What `--reverse` writes of a network with drawn weights."""
    import jax
    from safetensors.numpy import load_file

    from converters import conversion
    from dhauds_jax.nets import checkpoint, zoo

    config = zoo.preset(preset, ("a", "b", "c"))
    draw = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda leaf: draw.uniform(0.5, 1, leaf.shape).astype(np.float32), zoo.shapes(zoo.build(config))
    )
    checkpoint.save(folder / "own", variables, config)
    paths = conversion.reverse(family, folder / "own", folder / "back")
    return Sources(family, tuple(map(load_file, paths)), {"preset": preset, "classes": ["a", "b", "c"]})


def _ssast() -> Sources:
    from tests.converters.test_spectrogram import self_supervised

    return Sources("ssast", (self_supervised(),), {"preset": "ssast_test", "classes": ["a", "b", "c"]})


def _ast_folder() -> Sources:
    from converters import spectrogram
    from dhauds_jax.nets.spectrogram_zoo import head
    from tests.converters.test_spectrogram import CONFIG, FACE, state_of

    config = CONFIG.replace(head=head("cls", epsilon=1e-12), geometry={**CONFIG.geometry, "epsilon": 1e-12})
    statistics = {"mean": -1.5, "std": 2.5, "max_length": 23, "num_mel_bins": 32, "sampling_rate": 16000}
    records = {"config.json": dict(FACE), "preprocessor_config.json": statistics}
    state = state_of(config, spectrogram.leaves(config, "huggingface", False))
    return Sources("ast", (state,), {"length": 4000}, records)


def _clap() -> Sources:
    from tests.converters.clap_files import laion_state

    return Sources("clap", (laion_state(),))


def _clap_folder(folder: Path) -> Sources:
    from safetensors.numpy import load_file

    from tests.converters.clap_files import hf_folder

    hf_folder(folder / "hf")
    records = {
        name: json.loads((folder / "hf" / name).read_text()) for name in ("config.json", "preprocessor_config.json")
    }
    return Sources("clap", (load_file(folder / "hf" / "model.safetensors"),), None, records)


def _vggish() -> Sources:
    from tests.converters.test_vggish import PCA, small_state

    return Sources("vggish", (small_state(), dict(PCA)), {"classes": ["a", "b"]})


def _tomofun() -> Sources:
    from dhauds_jax import class_names
    from tests.converters.test_vggish import dog_state

    return Sources("tomofun", (dog_state(),), {"classes": list(class_names.TOMOFUN), "temperature": 5})


def _conmix() -> Sources:
    from tests.converters.test_conmix import CLASSES, imagenet_arrays

    return Sources("conmix", (imagenet_arrays(),), {"preset": "conmix_tiny", "classes": CLASSES})


def _conmix_classifier(folder: Path) -> Sources:
    from safetensors.numpy import load_file

    from tests.converters.test_conmix import CLASSES, trained_files

    paths, _ = trained_files(folder, True)
    config = {"preset": "conmix_tiny", "classes": CLASSES}
    return Sources("conmix_classifier", tuple(map(load_file, paths)), config)


MAKERS: Mapping[str, Callable[[Path], Sources]] = {
    "hubert": lambda folder: _hubert(),
    "hubert, a Hugging Face folder": lambda folder: _hubert_folder(),
    "hubert_classifier": lambda folder: _hubert_classifier(),
    "amaut": lambda folder: _of_own("amaut", "amaut_tiny", folder),
    "ast": lambda folder: _of_own("ast", "ssast_test", folder),
    "ast, a Hugging Face folder": lambda folder: _ast_folder(),
    "ssast": lambda folder: _ssast(),
    "clap": lambda folder: _clap(),
    "clap, a Hugging Face folder": _clap_folder,
    "vggish": lambda folder: _vggish(),
    "tomofun": lambda folder: _tomofun(),
    "conmix": lambda folder: _conmix(),
    "conmix_classifier": _conmix_classifier,
}
"""Name of a case -> its sources, made with an empty folder."""
