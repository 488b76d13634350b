"""What becomes of every key of a Hugging Face `config.json`: used, held to a value, or known to change no output.

A key that is none of these stops the conversion, because nobody here knows what it does; so does a value that the
network cannot have. A key that is absent says nothing: its default is ours, or a preset or --config has to give it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dhauds_jax.errors import BadInput

ACTIVATIONS = {
    **dict.fromkeys(("gelu", "gelu_python"), "gelu"),
    **dict.fromkeys(("gelu_new", "gelu_fast", "gelu_pytorch_tanh", "gelu_python_tanh", "gelu_accurate"), "gelu_tanh"),
    "relu": "relu",
    **dict.fromkeys(("silu", "swish"), "silu"),
}
"""Hugging Face's names of non-linearities -> ours (`nets.layers.ACTIVATIONS`)."""


class Face(NamedTuple):
    """What is known of the config of one kind of model.

    Attributes:
      types: its names in `model_type`.
      geometry: key -> the name in our geometry under which it is used as it stands.
      activations: key -> the name in our geometry of the non-linearity that it gives.
      elsewhere: keys that are used in another way.
      only: key -> values that the network can have.
      harmless: reason -> keys that change no output of a network in evaluation.
    """

    types: tuple[str, ...]
    geometry: Mapping[str, str]
    activations: Mapping[str, str]
    elsewhere: tuple[str, ...]
    only: Mapping[str, tuple[Any, ...]]
    harmless: Mapping[str, tuple[str, ...]]


ONLY = {
    "is_causal": (False,),
    "is_encoder_decoder": (False,),
    "problem_type": (None, "single_label_classification", "multi_label_classification"),
    "pruned_heads": ({},),
}
HARMLESS = {
    "says where the file comes from": (
        "_commit_hash",
        "_name_or_path",
        "finetuning_task",
        "name_or_path",
        "processor_class",
        "task_specific_params",
        "tokenizer_class",
    ),
    "is the type of the numbers, which the file itself shows": ("dtype", "torch_dtype", "use_bfloat16"),
    "says how the library computes or what it returns": (
        "_attn_implementation",
        "_attn_implementation_autoset",
        "attn_implementation",
        "chunk_size_feed_forward",
        "gradient_checkpointing",
        "output_attentions",
        "output_hidden_states",
        "return_dict",
        "torchscript",
        "use_cache",
    ),
    "is for models with a decoder": (
        "add_cross_attention",
        "cross_attention_hidden_size",
        "decoder_start_token_id",
        "is_decoder",
        "tie_encoder_decoder",
        "tie_word_embeddings",
    ),
    "is for generating text": (
        "bad_words_ids",
        "begin_suppress_tokens",
        "bos_token_id",
        "diversity_penalty",
        "do_sample",
        "early_stopping",
        "encoder_no_repeat_ngram_size",
        "eos_token_id",
        "exponential_decay_length_penalty",
        "forced_bos_token_id",
        "forced_eos_token_id",
        "length_penalty",
        "min_length",
        "no_repeat_ngram_size",
        "num_beam_groups",
        "num_beams",
        "num_return_sequences",
        "output_scores",
        "pad_token_id",
        "prefix",
        "remove_invalid_values",
        "repetition_penalty",
        "return_dict_in_generate",
        "sep_token_id",
        "suppress_tokens",
        "temperature",
        "top_k",
        "top_p",
        "typical_p",
    ),
    "starts the weights of a new model": ("initializer_range",),
}
ELSEWHERE = ("architectures", "id2label", "label2id", "model_type", "num_labels", "transformers_version")
"""What every face has of these three."""

HUBERT = Face(
    types=("hubert", "wav2vec2"),
    geometry={
        "hidden_size": "width",
        "num_hidden_layers": "depth",
        "num_attention_heads": "heads",
        "intermediate_size": "feed_forward",
        "layer_norm_eps": "epsilon",
        "feat_extract_norm": "conv_norm",
        "conv_bias": "conv_bias",
        "num_conv_pos_embeddings": "positional_taps",
        "num_conv_pos_embedding_groups": "positional_groups",
        "do_stable_layer_norm": "pre_norm",
        "feat_proj_dropout": "projection_dropout",
        "attention_dropout": "attention_dropout",
        "activation_dropout": "inner_dropout",
        "hidden_dropout": "dropout",
        "layerdrop": "layer_drop",
    },
    activations={"hidden_act": "activation", "feat_extract_activation": "conv_activation"},
    elsewhere=(
        *ELSEWHERE,
        *("conv_dim", "conv_kernel", "conv_stride", "num_feat_extract_layers"),
        *("classifier_proj_size", "use_weighted_layer_sum", "tie_last_hidden_states"),
    ),
    only={**ONLY, "add_adapter": (False,), "conv_pos_batch_norm": (False,), "feat_proj_layer_norm": (True,)},
    harmless={
        **HARMLESS,
        "is for generating text": (*HARMLESS["is for generating text"], "max_length"),
        "is for training alone": (
            "apply_spec_augment",
            "feat_extract_dropout",
            "final_dropout",
            "hidden_dropout_prob",
            "mask_channel_length",
            "mask_channel_min_space",
            "mask_channel_other",
            "mask_channel_prob",
            "mask_channel_selection",
            "mask_feature_length",
            "mask_feature_min_masks",
            "mask_feature_prob",
            "mask_time_length",
            "mask_time_min_masks",
            "mask_time_min_space",
            "mask_time_other",
            "mask_time_prob",
            "mask_time_selection",
        ),
        "is for pre-training": (
            "codevector_dim",
            "contrastive_logits_temperature",
            "diversity_loss_weight",
            "feat_quantizer_dropout",
            "num_codevector_groups",
            "num_codevectors_per_group",
            "num_negatives",
            "proj_codevector_dim",
        ),
        "is for speech recognition": ("ctc_loss_reduction", "ctc_zero_infinity", "vocab_size"),
        "is for adapters, of which there are none": (
            "adapter_kernel_size",
            "adapter_stride",
            "num_adapter_layers",
            "output_hidden_size",
        ),
        "is for telling speakers apart": ("tdnn_dilation", "tdnn_dim", "tdnn_kernel", "xvector_output_dim"),
    },
)
"""HuBERT, and wav2vec 2.0, which is the same network."""

AST = Face(
    types=("audio-spectrogram-transformer",),
    geometry={
        "hidden_size": "width",
        "num_hidden_layers": "depth",
        "num_attention_heads": "heads",
        "intermediate_size": "mlp",
        "layer_norm_eps": "epsilon",
    },
    activations={"hidden_act": "activation"},
    elsewhere=(*ELSEWHERE, "frequency_stride", "time_stride", "patch_size", "max_length", "num_mel_bins", "head_dim"),
    only={**ONLY, "qkv_bias": (True,)},
    harmless={
        **HARMLESS,
        "is for training alone": ("attention_probs_dropout_prob", "hidden_dropout_prob"),
        "is for text": ("vocab_size",),
    },
)
"""AST, the only spectrogram transformer of the library."""


def geometry_of(face: Face, record: Mapping[str, Any], where: Path) -> dict[str, Any]:
    """What a `config.json` says of our geometry; absent keys are left out.

    Args:
      face: what is known of such a config.
      record: its contents.
      where: the folder, for the sentence.

    Raises:
      BadInput: a key that is not known, or a value that the network cannot have; all of them are named.
    """
    record = {key: value for key, value in record.items() if value is not None}  # null is the default
    problems = _problems(face, record)
    if problems:
        raise BadInput(f"{where}/config.json: {'; '.join(problems)}")
    found = {ours: record[key] for key, ours in face.geometry.items() if key in record}
    found |= {ours: ACTIVATIONS[record[key]] for key, ours in face.activations.items() if key in record}
    if all(key in record for key in ("conv_dim", "conv_kernel", "conv_stride")):
        found["convs"] = [list(c) for c in zip(record["conv_dim"], record["conv_kernel"], record["conv_stride"])]
    if "frequency_stride" in record and "time_stride" in record:
        found["stride"] = [record["frequency_stride"], record["time_stride"]]
    if "patch_size" in record:
        size = record["patch_size"]
        found["patch"] = list(size) if isinstance(size, list) else [size, size]
    return found


def _problems(face: Face, record: Mapping[str, Any]) -> list[str]:
    """A phrase for each key that stops a conversion."""
    found = []
    if record.get("model_type", face.types[0]) not in face.types:
        found.append(f"model_type is {record['model_type']!r}, supported is {' or '.join(map(repr, face.types))}")
    for key, ours in face.activations.items():
        if str(record.get(key, "gelu")) not in ACTIVATIONS:
            found.append(f"{key} is {record[key]!r} (geometry.{ours}), supported is one of {', '.join(ACTIVATIONS)}")
    for key, values in face.only.items():
        if key in record and record[key] not in values:
            found.append(f"{key} is {record[key]!r}, supported is {' or '.join(map(repr, values))}")
    found += _inconsistent(record)
    known = {*face.geometry, *face.activations, *face.elsewhere, *face.only}.union(*face.harmless.values())
    found += [
        f"{key} is {value!r}, and what it does is not known here; take the key out of the file if it changes no output"
        for key, value in sorted(record.items())
        if key not in known
    ]
    return found


def _inconsistent(record: Mapping[str, Any]) -> list[str]:
    convs = [key for key in ("conv_dim", "conv_kernel", "conv_stride") if key in record]
    lengths = {key: len(record[key]) if isinstance(record[key], list) else 0 for key in convs}
    if "num_feat_extract_layers" in record:
        lengths["num_feat_extract_layers"] = record["num_feat_extract_layers"]
    found = []
    if len(set(lengths.values())) > 1:
        each = ", ".join(f"{key} {count}" for key, count in lengths.items())
        found.append(f"the convolutions differ in number ({each}), expected one number")
    heads, width, own = (record.get(key) for key in ("num_attention_heads", "hidden_size", "head_dim"))
    if own is not None and heads and width and own * heads != width:
        found.append(f"head_dim is {own}, supported is {width // heads} (hidden_size / num_attention_heads)")
    return found


_ID2LABEL = 'an object of the number of each output, once, and its name, such as {"0": "dog", "1": "cat"}'


def labels_of(record: Mapping[str, Any]) -> tuple[list[str] | None, bool]:
    """The names of the outputs in order (None: the file has none), and whether they only count (`LABEL_0`, ...).

    Raises:
      BadInput: `id2label` is no object, or has a key that is no number, one twice, or a name that is no text.
    """
    table = record.get("id2label")
    if not table:
        return None, True
    if not isinstance(table, Mapping):
        raise BadInput(f"config.json: id2label is {str(table)[:60]}, expected {_ID2LABEL}")
    numbers = {key: int(key) if re.fullmatch(r"[0-9]+", str(key)) else None for key in table}
    strange = [key for key, label in table.items() if numbers[key] is None or not isinstance(label, str | int | float)]
    strange += [key for key in table if list(numbers.values()).count(numbers[key]) > 1]
    if strange:
        raise BadInput(f"config.json: id2label has {strange[0]!r}: {table[strange[0]]!r}, expected {_ID2LABEL}")
    labels = [str(table[key]) for key in sorted(table, key=numbers.__getitem__)]
    return labels, labels == [f"LABEL_{i}" for i in range(len(labels))]


def notes_of(record: Mapping[str, Any]) -> list[str]:
    """What a user should know of values that are no part of the network."""
    if record.get("problem_type") != "multi_label_classification":
        return []
    return ["config.json has problem_type multi_label_classification: classes are read by the largest logit here"]
