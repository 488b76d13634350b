"""Small files of CLAP as LAION and transformers write them, with random weights, for the tests of conversion."""

import json

import numpy as np

from converters import clap
from converters.mapping import to_torch
from dhauds_jax.nets import clap_mel, clap_zoo
from tests.nets.clap import variables_of


def laion_state(net="clap_test", changes=()):
    """What LAION's module of a preset or config holds, with AudioSet's head; `changes` are put in place."""
    config = clap_zoo.PRESETS.get(net, net)
    state = to_torch(variables_of(net), clap.leaves(config, "laion"))
    state |= {
        "audio_branch.logmel_extractor.melW": clap_mel.filters(config.front_end).astype(np.float32),
        "audio_branch.tscam_conv.weight": np.ones((4, 128, 2, 3), np.float32),
        "audio_branch.head.bias": np.ones(4, np.float32),
        "audio_branch.bn0.num_batches_tracked": np.asarray(7, np.int64),
        "text_branch.embeddings.position_ids": np.arange(80)[None],
        "audio_transform.sequential.0.bias": np.ones(4, np.float32),
    }
    return {f"module.{key}": value for key, value in {**state, **dict(changes)}.items() if value is not None}


def save_laion(path, state, **beside):
    """The file as it is published: pickle protocol 4, NumPy's scalars, the optimiser's state beside the weights."""
    import torch

    saved = {
        "epoch": np.int64(3),
        "name": "epoch_latest",
        "top": np.float64(0.9),
        "state_dict": {key: torch.from_numpy(np.array(array)) for key, array in state.items()},
        "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 0.1, "params": [0]}]},
        **beside,
    }
    torch.save(saved, path, pickle_protocol=4)
    return path


def config_json(net="clap_test", text=(), audio=(), **changes):
    """A `config.json` of the sizes of a preset or config as transformers writes it."""
    from converters.torch_clap import library_record

    record = library_record(clap_zoo.PRESETS.get(net, net))
    return {
        "architectures": ["ClapModel"],
        "model_type": "clap",
        **record,
        "text_config": {
            **record["text_config"],
            "model_type": "clap_text_model",
            "layer_norm_eps": 1e-12,
            **dict(text),
        },
        "audio_config": {**record["audio_config"], "model_type": "clap_audio_model", **dict(audio)},
        **changes,
    }


PREPROCESSOR = {
    "feature_extractor_type": "ClapFeatureExtractor",
    "feature_size": 16,
    "sampling_rate": 48000,
    "fft_window_size": 1024,
    "hop_length": 480,
    "frequency_min": 50,
    "frequency_max": 14000,
    "max_length_s": 1,
    "nb_max_samples": 48000,
    "padding": "repeatpad",
    "truncation": "rand_trunc",
    "top_db": None,
}


def hf_folder(folder, name="clap_test", **changes):
    """A folder as transformers writes it, without the library: `model.safetensors` and two records."""
    from safetensors.numpy import save_file

    state = to_torch(variables_of(name), clap.leaves(clap_zoo.PRESETS[name], "huggingface"))
    state["audio_model.audio_encoder.batch_norm.num_batches_tracked"] = np.asarray(0, np.int64)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(state, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config_json(name, **changes)))
    truncation = "fusion" if name.endswith("fused") else "rand_trunc"
    (folder / "preprocessor_config.json").write_text(json.dumps({**PREPROCESSOR, "truncation": truncation}))
    return folder
