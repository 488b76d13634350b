"""Runs the source's own PyTorch module on noise beside the converted network and compares layer by layer.

A Hugging Face folder is loaded by transformers, a file of torchaudio's names into torchaudio's module. For what has no
public module (AMAuT, the authors' AST and SSAST, CoNMix, the heads of the PyTorch benchmark) there are plain PyTorch
functions here, written from the published layout; fairseq's names go through our map into torchaudio's module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from converters import hubert, torch_conmix, torch_face, torch_vggish
from converters.families import Part, part_of
from converters.hubert_plan import ENCODER
from converters.read import Source, read
from converters.torch_side import amaut_layers, head_logits, imported, spectrogram_layers, state_of
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import amaut_zoo, conmix_zoo, hubert_zoo, spectrogram_zoo, vggish_zoo, zoo
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.nets.normalisers import EVAL

NOISE_SEED = 0
CLIPS = 2
TOO_MUCH = 1e-2
"""A difference above this is no rounding of float32."""


class Compared(NamedTuple):
    """What a comparison gives.

    Attributes:
      differences: layer -> largest absolute difference.
      beside: whose module it was, for a sentence.
      notes: for the user.
    """

    differences: dict[str, float]
    beside: str
    notes: tuple[str, ...] = ()


NOTHING = Compared({}, "")
OURS = "plain PyTorch functions of this package"


def compared(
    variables: Mapping[str, Any], config: ClassifierConfig, files: Sequence[Source], parts: Mapping[str, Part]
) -> Compared:
    """Largest absolute difference of each layer between PyTorch and ours, evaluation mode, on two clips of noise.

    Args:
      variables: the converted network's.
      config: likewise.
      files: its sources; what of them is needed is read again.
      parts: which part of the network each is.

    Raises:
      BadInput: torch, torchaudio or transformers cannot be imported (the extra is named), or does not load the source.
    """
    torch = imported("torch")
    variables = jax.tree.map(np.asarray, variables)
    wave = 0.1 * np.random.default_rng(NOISE_SEED).standard_normal((CLIPS, config.length)).astype(np.float32)
    classifier = zoo.build(config)
    style = parts["encoder"].style
    with jax.default_matmul_precision("highest"), torch.no_grad():
        features = classifier.features(jnp.asarray(wave))
        inputs = torch.from_numpy(np.array(features))
        ours = _our_layers(variables, config, features)
        if files[0].record is not None and style.startswith("huggingface"):
            theirs, tokens, beside = torch_face.layers(files[0], variables, config, wave, inputs)
            ours["features"] = features
        elif config.family in _WHOLE:
            theirs, tokens, beside = _WHOLE[config.family](variables, config, inputs), None, OURS
        else:
            theirs, tokens, beside = _their_layers(files[0], style, variables, config, inputs)
        if "logits" not in theirs:
            theirs["logits"] = head_logits(variables, config, tokens)
        outputs, _ = jax.jit(lambda v, f: classifier.apply_features(v, f, mode=EVAL))(variables, features)
        ours["logits"] = outputs.logits
    found = {name: float(np.max(np.abs(np.asarray(ours[name]) - theirs[name].numpy()))) for name in theirs}
    worst = max(found, key=lambda name: found[name])
    said = f"the largest difference ({worst}) is {found[worst]:.2g}: this network does not compute what {beside} does"
    return Compared(found, beside, (said,) if found[worst] > TOO_MUCH else ())


def _our_layers(variables: Mapping[str, Any], config: ClassifierConfig, features: Any) -> dict[str, Any]:
    if config.family not in _LAYERS:
        known = ", ".join(_LAYERS)
        raise BadInput(f"--verify: net family {config.family!r} has no PyTorch side, expected one of {known}")
    return _LAYERS[config.family](variables, config, features)


def _their_layers(
    file: Source, style: str, variables: Mapping[str, Any], config: ClassifierConfig, inputs: Any
) -> tuple[dict[str, Any], Any, str]:
    """PyTorch's layers by our names, its tokens for the head, and whose module it was."""
    if config.family != "hubert":
        layers = {"amaut": amaut_layers, "spectrogram_transformer": spectrogram_layers}[config.family]
        theirs = layers(variables, config, inputs)
        return theirs, theirs["tokens"], OURS
    torch, model = imported("torch"), torchaudio_model(config.geometry)
    if style == "torchaudio":
        arrays = {k: v for k, v in part_of(read(file.path).state, ENCODER).state.items() if not k.startswith("aux.")}
        state = {key: torch.from_numpy(np.array(array, np.float32)) for key, array in arrays.items()}
    else:
        state = state_of(variables, hubert.encoder_leaves(config.geometry, "torchaudio"))
    model.load_state_dict(state)
    layers, _ = model.extract_features(inputs)
    theirs = {"conv features": model.feature_extractor(inputs, None)[0]}
    theirs |= {f"block {i + 1}": layer for i, layer in enumerate(layers)}
    theirs["last hidden"] = model(inputs)[0]
    return theirs, theirs["last hidden"], "torchaudio's wav2vec2_model"


def _hubert_layers(variables: Mapping[str, Any], config: ClassifierConfig, features: Any) -> dict[str, Any]:
    params, net = variables["params"]["encoder"], hubert_zoo.build_encoder(config)
    run = jax.jit(lambda p, w: net.apply({"params": p}, w, mode=EVAL, keep_all=True, method="encode"))
    encoded = run(params, features)
    blocks = {f"block {i + 1}": layer for i, layer in enumerate(encoded.layers)}
    return {"conv features": encoded.conv_features, **blocks, "last hidden": encoded.frames}


def torchaudio_model(sizes: Mapping[str, Any]) -> Any:
    """torchaudio's model of a geometry, in evaluation mode."""
    models = imported("torchaudio").models
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


def _amaut_layers(variables: Mapping[str, Any], config: ClassifierConfig, features: Any) -> dict[str, Any]:
    net = amaut_zoo.build_encoder(config)
    encoder = {kind: tree["encoder"] for kind, tree in variables.items() if "encoder" in tree}
    tokens, seen = jax.jit(
        lambda v, f: net.apply(v, f, mode=EVAL, capture_intermediates=True, mutable=["intermediates"])
    )(encoder, features)
    seen = seen["intermediates"]
    layers = {name: seen[name]["__call__"][0] for name in seen if name.startswith(("block", "layer"))}
    return {"tokens": tokens, "stem": seen["stem"]["__call__"][0], **layers}


def _spectrogram_layers(variables: Mapping[str, Any], config: ClassifierConfig, features: Any) -> dict[str, Any]:
    net = spectrogram_zoo.build_encoder(config)

    def layers(params: Any, features: Any) -> dict[str, Any]:
        embedded = net.apply({"params": params}, features, method="embed")
        encoded = net.apply({"params": params}, embedded, True, method="encode")
        blocks = {f"block {i + 1}": layer for i, layer in enumerate(encoded.layers)}
        return {"patches": embedded, **blocks, "tokens": encoded.tokens}

    return dict(jax.jit(layers)(variables["params"]["encoder"], features))


def _conmix_layers(variables: Mapping[str, Any], config: ClassifierConfig, features: Any) -> dict[str, Any]:
    net = conmix_zoo.build_encoder(config)
    encoder = {kind: tree["encoder"] for kind, tree in variables.items()}
    tokens, seen = jax.jit(
        lambda v, f: net.apply(v, f, mode=EVAL, capture_intermediates=True, mutable=["intermediates"])
    )(encoder, features)
    return {"resnet": seen["intermediates"]["resnet"]["__call__"][0], "tokens": tokens}


def _vggish_layers(variables: Mapping[str, Any], config: ClassifierConfig, features: Any) -> dict[str, Any]:
    net = vggish_zoo.build_encoder(config)
    encoder = {"params": variables["params"]["encoder"]}
    tokens, seen = jax.jit(
        lambda v, f: net.apply(v, f, mode=EVAL, capture_intermediates=True, mutable=["intermediates"])
    )(encoder, features)
    last = seen["intermediates"][f"conv{sum(config.geometry['convs'])}"]["__call__"][0]
    return {"image": jax.nn.relu(last), "tokens": tokens}


_WHOLE = {"conmix": torch_conmix.layers, "vggish": torch_vggish.layers}
"""Family -> PyTorch's layers by our names, the logits among them, of `(variables, config, features)`."""

_LAYERS = {
    "hubert": _hubert_layers,
    "amaut": _amaut_layers,
    "spectrogram_transformer": _spectrogram_layers,
    "conmix": _conmix_layers,
    "vggish": _vggish_layers,
}
"""Family -> our layers by name, of `(variables, config, features)`."""
