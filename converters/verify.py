"""Runs the PyTorch side of a conversion on noise beside ours and compares layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from converters import hubert, torch_conmix
from converters.mapping import to_torch
from converters.torch_side import amaut_layers, head_logits, spectrogram_layers
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import amaut_zoo, conmix_zoo, hubert_zoo, spectrogram_zoo, zoo
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.nets.normalisers import EVAL

NOISE_SEED = 0
CLIPS = 2


def largest_differences(family: str, variables: Mapping[str, Any], config: ClassifierConfig) -> dict[str, float]:
    """Largest absolute difference of each layer between PyTorch and ours, evaluation mode, on two clips of noise.

    HuBERT's encoder is torchaudio's model; AMAuT, AST, SSAST, CoNMix and the heads are plain PyTorch functions (AST
    beside transformers stands in the tests).

    Raises:
      BadInput: torch or torchaudio cannot be imported (the extra is named).
    """
    torch = _import("torch")
    variables = jax.tree.map(np.asarray, variables)
    wave = 0.1 * np.random.default_rng(NOISE_SEED).standard_normal((CLIPS, config.length)).astype(np.float32)
    classifier = zoo.build(config)
    with jax.default_matmul_precision("highest"), torch.no_grad():
        features = classifier.features(jnp.asarray(wave))
        inputs = torch.from_numpy(np.array(features))
        if config.family != "conmix" and config.family not in _LAYERS:
            raise BadInput(f"--verify: net family {config.family!r} has no PyTorch side, expected one of {_SIDES}")
        if config.family == "conmix":
            ours, theirs = _conmix_layers(variables, config, features), torch_conmix.layers(variables, config, inputs)
        else:
            ours, theirs, tokens = _LAYERS[config.family](variables, config, features, inputs)
            theirs["logits"] = head_logits(variables, config, tokens)
        outputs, _ = jax.jit(lambda v, f: classifier.apply_features(v, f, mode=EVAL))(variables, features)
        ours["logits"] = outputs.logits
    return {name: float(np.max(np.abs(np.asarray(ours[name]) - theirs[name].numpy()))) for name in theirs}


def _import(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:
        raise BadInput(
            f"--verify: needs {name}, which cannot be imported ({error}): pip install 'dhauds_jax[test-parity]'"
        ) from None


def _hubert_layers(
    variables: Mapping[str, Any], config: ClassifierConfig, features: Any, inputs: Any
) -> tuple[dict[str, Any], dict[str, Any], Any]:
    torch, sizes = _import("torch"), config.geometry
    params = variables["params"]["encoder"]
    net = hubert_zoo.build_encoder(config)
    run = jax.jit(lambda p, w: net.apply({"params": p}, w, mode=EVAL, keep_all=True, method="encode"))
    encoded = run(params, features)
    ours = {"conv features": encoded.conv_features, "last hidden": encoded.frames}
    ours |= {f"block {i + 1}": layer for i, layer in enumerate(encoded.layers)}
    model = torchaudio_model(sizes)
    leaves = hubert.encoder_leaves(sizes, "torchaudio")
    state = to_torch({"params": {"encoder": params}}, leaves)
    model.load_state_dict({key: torch.from_numpy(np.array(array)) for key, array in state.items()})
    layers, _ = model.extract_features(inputs)
    theirs = {"conv features": model.feature_extractor(inputs, None)[0]}
    theirs |= {f"block {i + 1}": layer for i, layer in enumerate(layers)}
    theirs["last hidden"] = model(inputs)[0]
    return ours, theirs, theirs["last hidden"]


def torchaudio_model(sizes: Mapping[str, Any]) -> Any:
    """torchaudio's model of a geometry, in evaluation mode."""
    models = _import("torchaudio").models
    return models.wav2vec2_model(
        extractor_mode="group_norm" if sizes["conv_norm"] == "group" else "layer_norm",
        extractor_conv_layer_config=[tuple(conv) for conv in sizes["convs"]],
        extractor_conv_bias=sizes["conv_bias"],
        encoder_embed_dim=sizes["width"],
        encoder_projection_dropout=sizes["projection_dropout"],
        encoder_pos_conv_kernel=sizes["positional_taps"],
        encoder_pos_conv_groups=sizes["positional_groups"],
        encoder_num_layers=sizes["depth"],
        encoder_num_heads=sizes["heads"],
        encoder_attention_dropout=sizes["attention_dropout"],
        encoder_ff_interm_features=sizes["feed_forward"],
        encoder_ff_interm_dropout=sizes["inner_dropout"],
        encoder_dropout=sizes["dropout"],
        encoder_layer_norm_first=sizes["pre_norm"],
        encoder_layer_drop=sizes["layer_drop"],
        aux_num_out=None,
    ).eval()


def _amaut_layers(
    variables: Mapping[str, Any], config: ClassifierConfig, features: Any, inputs: Any
) -> tuple[dict[str, Any], dict[str, Any], Any]:
    net = amaut_zoo.build_encoder(config)
    encoder = {kind: tree["encoder"] for kind, tree in variables.items() if "encoder" in tree}
    tokens, seen = jax.jit(
        lambda v, f: net.apply(v, f, mode=EVAL, capture_intermediates=True, mutable=["intermediates"])
    )(encoder, features)
    seen = seen["intermediates"]
    ours = {"tokens": tokens, "stem": seen["stem"]["__call__"][0]}
    ours |= {name: seen[name]["__call__"][0] for name in seen if name.startswith(("block", "layer"))}
    theirs = amaut_layers(variables, config, inputs)
    return ours, theirs, theirs["tokens"]


def _spectrogram_layers(
    variables: Mapping[str, Any], config: ClassifierConfig, features: Any, inputs: Any
) -> tuple[dict[str, Any], dict[str, Any], Any]:
    net = spectrogram_zoo.build_encoder(config)

    def layers(params: Any, features: Any) -> dict[str, Any]:
        embedded = net.apply({"params": params}, features, method="embed")
        encoded = net.apply({"params": params}, embedded, True, method="encode")
        blocks = {f"block {i + 1}": layer for i, layer in enumerate(encoded.layers)}
        return {"patches": embedded, **blocks, "tokens": encoded.tokens}

    ours = jax.jit(layers)(variables["params"]["encoder"], features)
    theirs = spectrogram_layers(variables, config, inputs)
    return dict(ours), theirs, theirs["tokens"]


def _conmix_layers(variables: Mapping[str, Any], config: ClassifierConfig, features: Any) -> dict[str, Any]:
    net = conmix_zoo.build_encoder(config)
    encoder = {kind: tree["encoder"] for kind, tree in variables.items()}
    tokens, seen = jax.jit(
        lambda v, f: net.apply(v, f, mode=EVAL, capture_intermediates=True, mutable=["intermediates"])
    )(encoder, features)
    return {"resnet": seen["intermediates"]["resnet"]["__call__"][0], "tokens": tokens}


_LAYERS = {"hubert": _hubert_layers, "amaut": _amaut_layers, "spectrogram_transformer": _spectrogram_layers}
"""Family -> what `(variables, config, features, inputs)` gives: our layers, PyTorch's, and its tokens for the head."""
_SIDES = ", ".join((*_LAYERS, "conmix"))
