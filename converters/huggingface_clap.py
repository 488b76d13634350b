"""What a Hugging Face folder of CLAP says of its towers, in `config.json`, and of its front end.

As for the other families, a key that is not known stops the conversion (`huggingface`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from converters.huggingface import ELSEWHERE, HARMLESS, ONLY, Face, geometry_of
from converters.read import Source
from dhauds_jax.errors import BadInput

_TRAINING = {"is for training alone": ("attention_probs_dropout_prob", "hidden_dropout_prob")}
_STARTS = {"starts the weights of a new model": ("initializer_factor", "initializer_range")}

TEXT = Face(
    types=("clap_text_model",),
    geometry={
        "hidden_size": "width",
        "num_hidden_layers": "depth",
        "num_attention_heads": "heads",
        "intermediate_size": "mlp",
        "vocab_size": "vocabulary",
        "max_position_embeddings": "positions",
        "type_vocab_size": "types",
        "layer_norm_eps": "epsilon",
    },
    activations={},
    elsewhere=(*ELSEWHERE, "projection_dim"),
    only={
        **ONLY,
        "hidden_act": ("gelu",),
        "projection_hidden_act": ("relu",),
        "position_embedding_type": ("absolute",),
        "pad_token_id": (1,),
        "bos_token_id": (0,),
        "eos_token_id": (2,),
    },
    harmless={
        **HARMLESS,
        **_TRAINING,
        **_STARTS,
        "is for generating text": (*HARMLESS["is for generating text"], "max_length", "min_length"),
        "is for other uses of the tower": ("classifier_dropout", "fusion_hidden_size", "fusion_num_hidden_layers"),
        "is the width of a projection, which its weights show": ("projection_hidden_size",),
    },
)
"""The text tower."""

AUDIO = Face(
    types=("clap_audio_model",),
    geometry={
        "patch_embeds_hidden_size": "width",
        "depths": "depths",
        "num_attention_heads": "heads",
        "spec_size": "spec",
        "num_mel_bins": "mels",
        "window_size": "window",
        "layer_norm_eps": "epsilon",
        "drop_path_rate": "drop_path",
    },
    activations={},
    elsewhere=(
        *(*ELSEWHERE, "projection_dim", "patch_size", "patch_stride", "mlp_ratio", "enable_fusion", "aff_block_r"),
        *("hidden_size", "num_hidden_layers"),
    ),
    only={
        **ONLY,
        "hidden_act": ("gelu",),
        "projection_hidden_act": ("relu",),
        "qkv_bias": (True,),
        "flatten_patch_embeds": (True,),
        "enable_patch_layer_norm": (True,),
        "patch_embed_input_channels": (1,),
        "fusion_type": ("aff_2d",),  # or null; "channel_map" is another net
    },
    harmless={
        **HARMLESS,
        **_TRAINING,
        **_STARTS,
        "is for generating text": (*HARMLESS["is for generating text"], "max_length", "min_length"),
        "is for AudioSet's head, which the folders have not": ("num_classes",),
        "is read nowhere in the library": ("enable_patch_fusion", "fusion_hidden_size", "fusion_num_hidden_layers"),
        "is the width of a projection, which its weights show": ("projection_hidden_size",),
    },
)
"""The audio tower."""

BOTH = Face(
    types=("clap",),
    geometry={},
    activations={},
    elsewhere=(
        *(*ELSEWHERE, "text_config", "audio_config", "projection_dim", "hidden_size", "num_hidden_layers"),
        *("text_config_dict", "audio_config_dict"),
    ),
    only={**ONLY, "projection_hidden_act": ("relu",)},
    harmless={
        **HARMLESS,
        "starts the weights of a new model": ("initializer_factor", "initializer_range", "logit_scale_init_value"),
        "is for generating text": (*HARMLESS["is for generating text"], "max_length", "min_length"),
        "is read nowhere in the library": ("fusion_num_hidden_layers",),
    },
)
"""What stands around the two."""


def towers_of(file: Source) -> dict[str, dict[str, Any]]:
    """What `config.json` says of the sizes: {"audio": {...}, "text": {...}}; absent keys are the library's defaults.

    Raises:
      BadInput: a key that is not known, or a value that the network cannot have; all of them are named.
    """
    record = file.record or {}
    geometry_of(BOTH, record, file.path)
    text = geometry_of(TEXT, _part(file, "text_config"), file.path)
    audio = {
        "epsilon": 1e-5,
        "spec": 256,
        "drop_path": 0.0,
        **geometry_of(AUDIO, _part(file, "audio_config"), file.path),
    }
    given = _part(file, "audio_config")
    patch = audio.pop("patch", [4, 4])
    stride = given.get("patch_stride", patch)
    stride = stride if isinstance(stride, list) else [stride, stride]
    if list(stride) != patch or len({*patch}) > 1:
        raise BadInput(
            f"{file.path}/config.json: patch_size is {patch} and patch_stride {stride}, supported is one number for all"
        )
    audio["patch"] = patch[0]
    if "mlp_ratio" in given:
        audio["mlp_ratio"] = int(given["mlp_ratio"])
    if not given.get("enable_fusion", False):
        audio["fusion"] = None
    elif "patch_embeds_hidden_size" in given:
        audio["fusion"] = given["patch_embeds_hidden_size"] // given.get("aff_block_r", 4)
    return {"audio": audio, "text": {"heads": 12, "epsilon": 1e-12, **text}}


def _part(file: Source, name: str) -> dict[str, Any]:
    found = (file.record or {}).get(name) or {}
    if not isinstance(found, Mapping):
        raise BadInput(f"{file.path}/config.json: {name} is {found!r}, expected an object")
    return dict(found)


_PREPROCESSOR = {
    "sampling_rate": "sample_rate",
    "feature_size": "n_mels",
    "fft_window_size": "n_fft",
    "hop_length": "hop",
    "frequency_min": "f_min",
    "frequency_max": "f_max",
}
"""`preprocessor_config.json` -> our front end."""


_ABSENT = {
    "sampling_rate": 48_000,
    "feature_size": 64,
    "fft_window_size": 1024,
    "hop_length": 480,
    "frequency_min": 0.0,
    "frequency_max": 14_000.0,
    "max_length_s": 10,
    "truncation": "fusion",
}
"""What the library takes for keys that `preprocessor_config.json` leaves out (transformers' `ClapFeatureExtractor`)."""


def front_end_of(file: Source) -> tuple[dict[str, Any], int | None]:
    """What `preprocessor_config.json` says of the front end, and the clip's length in samples; {}, None without one.

    Keys that it leaves out have the library's defaults, which differ from the published files (bands from 0 Hz, not
    50). The library itself reads no `top_db`, and works out `nb_max_samples` anew.

    Raises:
      BadInput: a way of padding or another extractor than the front end has.
    """
    record = {key: value for key, value in (file.preprocessor or {}).items() if value is not None}
    if not record:
        return {}, None
    for key, value in (("padding", "repeatpad"), ("feature_extractor_type", "ClapFeatureExtractor")):
        if record.get(key, value) != value:
            raise BadInput(f"{file.path}/preprocessor_config.json: {key} is {record[key]!r}, supported is {value!r}")
    record = {**_ABSENT, **record}
    found = {ours: record[key] for key, ours in _PREPROCESSOR.items()}
    found |= {key: float(found[key]) for key in ("f_min", "f_max")} | {"win_length": found["n_fft"]}
    fused = record["truncation"] == "fusion"
    found |= {"scale": "htk", "norm": None} if fused else {"scale": "slaney", "norm": "slaney"}
    return found, record["max_length_s"] * record["sampling_rate"]
