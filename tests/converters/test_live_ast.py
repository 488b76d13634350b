"""A folder that transformers writes, converted: from the waveform to the logits, beside its own extractor and model.

Needs the extra `test-parity`; the goldens hold the same architecture's numbers for machines without it.
"""

import json

import jax
import numpy as np
import pytest

from converters import conversion
from dhauds_jax.nets import checkpoint, zoo
from dhauds_jax.nets.normalisers import EVAL

torch = pytest.importorskip("torch", reason="the PyTorch side")
transformers = pytest.importorskip("transformers", reason="the PyTorch side")

# 128 bands of a 512-point transform leave some without a bin; transformers says so, torchaudio does not.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:At least one mel filter:UserWarning")]


def test_folder_of_transformers_from_wave_to_logits(tmp_path):
    torch.manual_seed(0)
    sizes = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
    labels = {0: "yes", 1: "no", 2: "up"}
    config = transformers.ASTConfig(**sizes, max_length=64, num_mel_bins=128, id2label=labels)
    model = transformers.ASTForAudioClassification(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # the library starts biases and tokens at 0
            parameter.add_(0.02 * torch.randn_like(parameter))
    extractor = transformers.ASTFeatureExtractor(max_length=64, mean=-5.5, std=3.5)
    model.save_pretrained(tmp_path / "hf")
    extractor.save_pretrained(tmp_path / "hf")
    (tmp_path / "length.json").write_text(json.dumps({"length": 8000}))
    made = conversion.convert("ast", [tmp_path / "hf"], tmp_path / "out", config=tmp_path / "length.json")
    assert made.ignored == [] and made.used == len(model.state_dict())
    variables, ours, _ = checkpoint.load(tmp_path / "out")
    assert ours.classes == ("yes", "no", "up") and (ours.front_end["mean"], ours.front_end["std"]) == (-5.5, 3.5)
    wave = (0.1 * np.random.default_rng(0).standard_normal((2, 8000))).astype(np.float32)
    inputs = extractor(list(wave), sampling_rate=16000, return_tensors="pt")
    net = zoo.build(ours)
    features = jax.jit(net.features)(wave)
    assert np.abs(np.asarray(features) - inputs["input_values"].numpy()).max() < 1e-3
    outputs, _ = jax.jit(lambda v, w: net.apply(v, w, mode=EVAL))(variables, wave)
    with torch.no_grad():
        expected = model(**inputs).logits.numpy()
    assert np.abs(np.asarray(outputs.logits) - expected).max() < 1e-4
