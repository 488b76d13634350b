"""CLAP's weight maps: there and back to the bit, sizes from shapes, what is set aside, what is missing."""

import json

import numpy as np
import pytest

from converters import clap
from converters.mapping import canonical, to_flax, to_torch
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import clap_zoo
from tests.nets.clap_goldens import TINY, raw_state, towers
from tests.paths import GOLDENS, golden


def shapes_of(name):
    """The state dict of a golden, every array zeros that take no memory."""
    spec = json.loads((GOLDENS / f"{name}.spec.json").read_text())
    return canonical({key: np.broadcast_to(np.float32(0), entry["shape"]) for key, entry in spec.items()})


@pytest.mark.parametrize("name", TINY)
def test_there_and_back(name):
    """Every key of the file comes back with its bits, those that were set aside too."""
    state = canonical(raw_state(name))
    config, variables = towers(name)
    style = clap.style_of(state)
    assert style == ("laion" if "laion" in name else "huggingface")
    leaves = clap.leaves(config, style)
    converted = to_flax(state, leaves, clap.IGNORE[style])
    back = to_torch(variables, leaves, converted.ignored)
    assert set(back) == set(state)
    for key, array in state.items():
        assert back[key].dtype == array.dtype and back[key].shape == array.shape
        np.testing.assert_array_equal(back[key], array)


def test_what_is_set_aside():
    state = canonical(raw_state("clap_laion_names"))
    state["audio_branch.layers.0.blocks.1.attn_mask"] = np.zeros((64, 64, 64), np.float32)
    state["audio_branch.layers.0.blocks.1.attn.relative_position_index"] = np.zeros((64, 64), np.int64)
    state["audio_branch.spectrogram_extractor.stft.conv_real.weight"] = np.zeros((513, 1, 1024), np.float32)
    state["audio_branch.bn0.num_batches_tracked"] = np.array(7)
    config, _ = towers("clap_laion_names")
    ignored = set(to_flax(state, clap.leaves(config, "laion"), clap.IGNORE["laion"]).ignored)
    kinds = {key.split(".")[0] + "." + key.split(".")[1] for key in ignored}
    assert kinds == {
        *("audio_branch.tscam_conv", "audio_branch.head", "audio_branch.logmel_extractor", "audio_branch.layers"),
        *("audio_branch.spectrogram_extractor", "audio_branch.bn0", "text_branch.embeddings"),
        *("audio_transform.sequential", "text_transform.sequential"),
    }
    # The mask's windows show how large the image is.
    assert clap.inferred(state, "laion").audio["spec"] == 256
    state["audio_branch.layers.0.blocks.1.attn_mask"] = np.zeros((16, 64, 64), np.float32)
    assert clap.inferred_audio(state, "laion")["spec"] == 128


@pytest.mark.parametrize(
    ("golden_name", "preset"),
    [("clap_htsat_unfused_hf", "clap_htsat_tiny"), ("clap_htsat_fused_hf", "clap_htsat_tiny_fused")],
)
def test_published_sizes_follow_from_shapes(golden_name, preset):
    """Hugging Face's tiny: our preset but for the text's epsilon and the int16 step."""
    state = shapes_of(golden_name)
    found, ours = clap.inferred(state, "huggingface"), clap_zoo.audio_text_preset(preset)
    assert found.audio == ours.audio and found.projection == ours.projection
    assert found.text == {**ours.text, "epsilon": 1e-12}
    assert found.front_end == {**ours.front_end, "quantise": False}
    wanted = clap.leaves(found, "huggingface")
    to_flax(state, wanted, clap.IGNORE["huggingface"], clap_zoo.shapes(clap_zoo.build_audio_text(found)))


def test_other_sizes_follow_from_shapes():
    audio = towers("clap_base_hf_fused")[0].audio
    assert (audio["width"], audio["depths"], audio["heads"]) == (32, [2, 2, 4, 2], [4, 8, 16, 32])
    assert (audio["fusion"], audio["spec"], audio["patch"], audio["window"]) == (8, 256, 4, 8)
    laion = towers("clap_laion_names")[0]
    assert (laion.audio["fusion"], laion.audio["depths"], laion.text["positions"]) == (None, [2, 2, 2, 2], 80)
    assert laion.text["epsilon"] == 1e-5 and laion.front_end["quantise"]
    assert laion.projection == {"hidden": 24, "width": 24}


def test_files_that_hold_something_else():
    state = canonical(raw_state("clap_laion_names"))
    assert clap.style_of({"encoder.weight": np.zeros(1)}) is None
    without = {key: array for key, array in state.items() if not key.startswith("text_branch.")}
    with pytest.raises(BadInput, match=r"'text_branch.embeddings.word_embeddings.weight' is missing, expected it"):
        clap.inferred(without, "laion")
    config, _ = towers("clap_laion_names")
    state["audio_branch.extra.weight"] = np.zeros(3, np.float32)
    with pytest.raises(BadInput, match=r"1 key left over \['audio_branch.extra.weight'\]"):
        to_flax(state, clap.leaves(config, "laion"), clap.IGNORE["laion"])


def test_tables_of_mel_filters():
    numbers = golden("clap_frontend")
    assert clap_zoo.mel_kind(numbers["laion_melW"]) == "slaney"
    assert clap_zoo.mel_kind(numbers["mel_htk"]) == "htk"
    assert clap_zoo.mel_kind(numbers["mel_slaney"] + np.float32(2e-6)) is None
