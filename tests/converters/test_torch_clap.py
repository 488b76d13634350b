"""CLAP beside transformers' own ClapModel: folders that it writes, LAION's names, and `--verify`.

Needs the extra `test-parity`.
"""

import json

import numpy as np
import pytest

from converters import conversion
from dhauds_jax.nets import checkpoint, clap_prompts, clap_zoo
from tests.converters import faces
from tests.converters.clap_files import PREPROCESSOR, config_json, laion_state, save_laion
from tests.nets.clap import SENTENCES, write_vocabulary

torch = pytest.importorskip("torch", reason="the PyTorch side")
transformers = pytest.importorskip("transformers", reason="the PyTorch side", exc_type=(ImportError, OSError))

pytestmark = pytest.mark.slow

LAYERS = [
    *("patches", "stage 1", "stage 2", "stage 3", "stage 4", "words", "text block 1", "text block 2"),
    *("sounds", "sentences"),
]


def sizes(fused):
    """A net with shifted windows, whose last stage is not smaller than a window or a piece, as the library wants it."""
    preset = clap_zoo.PRESETS["clap_test_fused" if fused else "clap_test"]
    audio = {**preset.audio, "window": 2, "depths": [2, 1, 1, 1], "mels": 32}
    return preset.replace(net="custom", audio=audio, front_end={**preset.front_end, "n_mels": 32})


def written(folder, fused, file="safetensors"):
    """A folder that the library wrote, its weights drawn, and its model."""
    torch.manual_seed(0)
    record = config_json(sizes(fused))
    net = faces.drawn(transformers.ClapModel(transformers.ClapConfig(**record)))
    net.save_pretrained(folder)
    if file == "bin":
        (folder / "model.safetensors").unlink()
        torch.save(net.state_dict(), folder / "pytorch_model.bin")
    truncation = "fusion" if fused else "rand_trunc"
    (folder / "preprocessor_config.json").write_text(
        json.dumps({**PREPROCESSOR, "feature_size": 32, "truncation": truncation})
    )
    return net


@pytest.mark.parametrize(("fused", "file"), [(False, "bin"), (True, "safetensors")])
def test_a_folder_of_the_library(fused, file, tmp_path):
    net = written(tmp_path / "hf", fused, file)
    vocabulary = write_vocabulary(tmp_path / "roberta")
    made = conversion.convert("clap", [tmp_path / "hf"], tmp_path / "out", tokenizer=vocabulary, verify=True)
    assert sorted(made.verified) == sorted([*LAYERS, "features"]) and made.beside == "transformers' ClapModel"
    assert made.verified.pop("features") < 1e-3
    check(made.verified)
    assert made.used + len(made.ignored) == len(net.state_dict())
    variables, config, _ = checkpoint.load_audio_text(tmp_path / "out")
    ours = clap_prompts.embed_texts(clap_zoo.build_audio_text(config), variables, SENTENCES, tmp_path / "out")
    read = transformers.RobertaTokenizer(str(vocabulary / "vocab.json"), str(vocabulary / "merges.txt"))
    tokens = read(SENTENCES, padding=True, truncation=True, max_length=77, return_tensors="pt")
    with torch.no_grad():
        theirs = net.get_text_features(**tokens).pooler_output.numpy()
    np.testing.assert_allclose(ours, theirs, atol=3e-6)


def check(verified):
    """PyTorch's bicubic stretch is in float32, which alone is 2.5e-4 off before the audio tower."""
    for layer, apart in verified.items():
        assert apart < (5e-4 if layer.startswith(("patches", "stage")) else 1e-4 if layer == "sounds" else 2e-5), layer


def test_laion_s_names_through_the_library_s_module(tmp_path):
    (tmp_path / "c.json").write_text(json.dumps({"text": {"heads": 2}, "length": 48000}))
    path = save_laion(tmp_path / "a.pt", laion_state(sizes(fused=True)))
    made = conversion.convert("clap", [path], tmp_path / "out", config=tmp_path / "c.json", verify=True)
    assert sorted(made.verified) == sorted(LAYERS) and "sizes of no preset" in made.notes[0]
    check(made.verified)


def test_what_the_library_cannot_have_is_said(tmp_path):
    path = save_laion(tmp_path / "a.pt", laion_state())
    with pytest.raises(ValueError, match=r"--verify: transformers does not load .*a.pt \(Error.* size mismatch"):
        conversion.convert("clap", [path], tmp_path / "out", verify=True)
