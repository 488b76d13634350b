"""CLAP's towers by transformers' own ClapModel beside ours, for `--verify` alone.

A Hugging Face folder is loaded as it is; LAION's names, whose package is not needed, go through our map into the same
module. Sounds are noise, long ones where the net fuses, and sentences are numbers at random.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from converters import clap
from converters.families import Part
from converters.read import Source
from converters.torch_face import keep, quiet
from converters.torch_side import imported, state_of
from converters.verify import CLIPS, NOISE_SEED, TOO_MUCH, Compared
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import clap_zoo
from dhauds_jax.nets.audio_text_config import AudioTextConfig
from dhauds_jax.nets.htsat import PatchEmbed
from dhauds_jax.nets.swin import Stage

BESIDE = "transformers' ClapModel"
TOKENS = 12
FIRST_WORD = 5
"""Smaller numbers are marks."""


def compared(
    variables: Mapping[str, Any], config: AudioTextConfig, files: Sequence[Source], parts: Mapping[str, Part]
) -> Compared:
    """Largest absolute difference of each layer, evaluation mode, on noise and on numbers at random.

    Args:
      variables: the converted towers'.
      config: likewise.
      files: the one source; a folder is read again.
      parts: of it.

    Raises:
      BadInput: torch or transformers cannot be imported (the extra is named), or does not load the source.
    """
    torch = imported("torch")
    draw, model = np.random.default_rng(NOISE_SEED), clap_zoo.build_audio_text(config)
    channels = 1 if config.audio["fusion"] is None else 4
    wave = (0.1 * draw.standard_normal((CLIPS * channels, config.length))).astype(np.float32)
    ids = draw.integers(FIRST_WORD, config.text["vocabulary"], (CLIPS, min(TOKENS, config.text["positions"] - 2)))
    longer = np.arange(CLIPS) < (0 if channels == 1 else 1)
    with jax.default_matmul_precision("highest"), torch.no_grad(), quiet():
        features = np.array(jax.jit(model.features)(wave))
        inputs = features.reshape(CLIPS, channels, *features.shape[1:])
        ours = {"features": features, **_ours(variables, config, inputs, longer, ids)}
        net = _module(variables, config, files[0], parts)
        theirs = _theirs(net, torch.from_numpy(inputs), torch.from_numpy(longer), torch.from_numpy(ids))
        theirs |= _extracted(files[0], config, wave)
    found = {name: float(np.max(np.abs(np.asarray(ours[name]) - theirs[name].numpy()))) for name in theirs}
    worst = max(found, key=lambda name: found[name])
    said = f"the largest difference ({worst}) is {found[worst]:.2g}: this network does not compute what {BESIDE} does"
    return Compared(found, BESIDE, (said,) if found[worst] > TOO_MUCH else ())


def _ours(
    variables: Mapping[str, Any], config: AudioTextConfig, inputs: np.ndarray, longer: np.ndarray, ids: np.ndarray
) -> dict[str, Any]:
    sounds, sentences = clap_zoo.build_towers(config)
    heard = {"params": variables["params"]["audio"], "batch_stats": variables["batch_stats"]["audio"]}
    read = variables["params"]["text"]

    @jax.jit
    def run(heard: Any, read: Any, inputs: Any, longer: Any, ids: Any) -> dict[str, Any]:
        kept = {"capture_intermediates": lambda module, _: isinstance(module, PatchEmbed | Stage)}
        projected, seen = sounds.apply(heard, inputs, longer, mutable=["intermediates"], **kept)
        inner = {name: part["__call__"][0] for name, part in seen["intermediates"]["encoder"].items()}
        found = {"patches": inner["patch_embed"]}
        found |= {f"stage {i + 1}": inner[f"stage{i}"] for i in range(len(config.audio["depths"]))}
        found = {name: part.reshape(len(part), -1, part.shape[-1]) for name, part in found.items()}
        encoder, mask = {"params": read["encoder"]}, jnp.ones(ids.shape, bool)
        encoded = sentences.encoder.apply(encoder, ids, mask, True, method="encode")
        blocks = {f"text block {i + 1}": layer for i, layer in enumerate(encoded.layers)}
        told = sentences.projection.apply({"params": read["projection"]}, encoded.pooled)
        return {**found, "sounds": projected, "words": encoded.embedded, **blocks, "sentences": told}

    return run(heard, read, jnp.asarray(inputs), jnp.asarray(longer), jnp.asarray(ids))


def _theirs(net: Any, inputs: Any, longer: Any, ids: Any) -> dict[str, Any]:
    """The library's layers by our names."""
    seen: dict[str, Any] = {}
    encoder, text = net.audio_model.audio_encoder, net.text_model
    encoder.patch_embed.register_forward_hook(keep(seen, "patches"))
    for i, stage in enumerate(encoder.layers):
        stage.register_forward_hook(keep(seen, f"stage {i + 1}"))
    text.embeddings.register_forward_hook(keep(seen, "words"))
    for i, block in enumerate(text.encoder.layer):
        block.register_forward_hook(keep(seen, f"text block {i + 1}"))
    net.audio_projection.register_forward_hook(keep(seen, "sounds"))
    net.text_projection.register_forward_hook(keep(seen, "sentences"))
    net(input_ids=ids, input_features=inputs, is_longer=longer[:, None])
    return seen


def _module(variables: Mapping[str, Any], config: AudioTextConfig, file: Source, parts: Mapping[str, Part]) -> Any:
    """The library's model with the source's weights, float32, evaluation mode.

    Raises:
      BadInput: it does not load the folder, or has no such net.
    """
    transformers = imported("transformers")
    wrong = (RuntimeError, ValueError, OSError, KeyError, imported("huggingface_hub.errors").StrictDataclassError)
    try:
        if file.record is not None:
            net, found = transformers.ClapModel.from_pretrained(file.path, output_loading_info=True)
            odd = [str(key) for kind in ("missing_keys", "mismatched_keys") for key in found[kind]]
        else:
            net = transformers.ClapModel(transformers.ClapConfig(**library_record(config)))
            lacking = net.load_state_dict(state_of(variables, clap.leaves(config, "huggingface")), strict=False)
            odd = [key for key in (*lacking.missing_keys, *lacking.unexpected_keys) if not _is_buffer(key)]
    except wrong as error:
        first = " ".join((str(error) or type(error).__name__).split())[:200]
        raise BadInput(f"--verify: transformers does not load {file.path} ({first}), expected CLAP's sizes") from None
    odd = [key for key in odd if not _is_buffer(key)]
    if odd:
        raise BadInput(f"--verify: transformers finds {odd[:4]} missing or foreign in {file.path}, expected none")
    return net.float().eval()


def _is_buffer(key: str) -> bool:
    """Whether a key is of a table or a counter that the library computes."""
    return key.endswith(("relative_position_index", "position_ids", "token_type_ids", "num_batches_tracked"))


def library_record(config: AudioTextConfig) -> dict[str, Any]:
    """The library's settings of our sizes.

    Raises:
      BadInput: projections with another width inside, which it has not.
    """
    audio, text, width = config.audio, config.text, config.projection["width"]
    if config.projection["hidden"] != width:
        raise BadInput(f"--verify: transformers has projections of one width, not {config.projection}")
    return {
        "projection_dim": width,
        "text_config": {
            "vocab_size": text["vocabulary"],
            "hidden_size": text["width"],
            "num_hidden_layers": text["depth"],
            "num_attention_heads": text["heads"],
            "intermediate_size": text["mlp"],
            "max_position_embeddings": text["positions"],
            "type_vocab_size": text["types"],
            "layer_norm_eps": text["epsilon"],
        },
        "audio_config": {
            "patch_embeds_hidden_size": audio["width"],
            "hidden_size": audio["width"] * 2 ** (len(audio["depths"]) - 1),
            "depths": audio["depths"],
            "num_hidden_layers": len(audio["depths"]),
            "num_attention_heads": audio["heads"],
            "enable_fusion": audio["fusion"] is not None,
            "aff_block_r": audio["width"] // (audio["fusion"] or audio["width"]),
            "spec_size": audio["spec"],
            "num_mel_bins": audio["mels"],
            "patch_size": audio["patch"],
            "patch_stride": [audio["patch"]] * 2,
            "window_size": audio["window"],
            "mlp_ratio": float(audio["mlp_ratio"]),
            "layer_norm_eps": audio["epsilon"],
        },
    }


def _extracted(file: Source, config: AudioTextConfig, wave: np.ndarray) -> dict[str, Any]:
    """What the folder's own extractor makes of the noise, to compare our front end with; {} without one."""
    if file.preprocessor is None:
        return {}
    extractor = imported("transformers").ClapFeatureExtractor.from_pretrained(file.path)
    found = extractor(list(wave), sampling_rate=config.sample_rate, return_tensors="pt")["input_features"]
    return {"features": found[:, 0]}
