"""HuBERT beside torchaudio and transformers as they are installed: values layer by layer and every gradient.

Needs the extra `test-parity`; the goldens hold the same numbers for machines without it.
"""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from converters import conversion, hubert, verify
from converters.mapping import merge, prefixed, to_flax, to_torch
from dhauds_jax.nets import hubert_zoo, zoo
from dhauds_jax.nets.normalisers import EVAL

torch = pytest.importorskip("torch", reason="the PyTorch side")

pytestmark = pytest.mark.slow

SMALL = {
    "width": 48,
    "depth": 3,
    "heads": 4,
    "feed_forward": 96,
    "convs": tuple((32, taps, stride) for taps, stride in hubert_zoo.WAV2VEC2_CONVS),
}
GEOMETRIES = {
    "post-norm": hubert_zoo.geometry(pre_norm=False, conv_norm="group", **SMALL),
    "pre-norm": hubert_zoo.geometry(pre_norm=True, conv_norm="layer", **SMALL),
    "pre-norm, bias": hubert_zoo.geometry(pre_norm=True, conv_norm="layer", conv_bias=True, **SMALL),
    "base": {**hubert_zoo.BASE, **dict.fromkeys(("projection_dropout", "attention_dropout", "dropout"), 0.0)},
}
WAVE = 0.1 * np.random.default_rng(0).standard_normal((2, 8000)).astype(np.float32)


def cotangent(shape):
    """Fixed weights of the loss; a plain mean square would have no gradient behind a layer norm."""
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def ours(geometry, state, style):
    """Encoded noise and the gradients of sum(cotangent * frames) under the source's names."""
    config = zoo.preset("hubert_base").replace(geometry=geometry)
    net = hubert_zoo.build_encoder(config)
    leaves = prefixed(hubert.encoder_leaves(config.geometry, style), "encoder/")
    arrays = {key: value.detach().numpy() for key, value in state.items()}
    params = to_flax(merge(encoder=arrays), leaves, hubert.ignore(style)).variables["params"]["encoder"]
    wave = jnp.asarray(WAVE)
    encoded = jax.jit(lambda p: net.apply({"params": p}, wave, mode=EVAL, keep_all=True, method="encode"))(params)
    weights = cotangent(encoded.frames.shape)
    gradient = jax.jit(jax.grad(lambda p: (weights * net.apply({"params": p}, wave, mode=EVAL)).sum()))(params)
    named = to_torch({"params": {"encoder": gradient}}, leaves)
    return encoded, {key.removeprefix("encoder/"): array for key, array in named.items()}


def compare(encoded, gradients, layers, last, model):
    """All layers to 2e-5 (base: 1e-4), gradients to 1e-4 of each tensor's largest value."""
    tolerance = 1e-4 if encoded.frames.shape[-1] == 768 else 2e-5
    for found, expected in [(encoded.frames, last), *zip(encoded.layers, layers)]:
        assert np.abs(np.asarray(found) - expected.detach().numpy()).max() < tolerance
    (torch.from_numpy(cotangent(last.shape)) * last).sum().backward()
    for key, parameter in model.named_parameters():
        if parameter.grad is None:
            continue
        expected = parameter.grad.numpy()
        if key.endswith("k_proj.bias"):
            assert np.abs(gradients[key]).max() < 1e-3  # the softmax does not see a shift of all scores
        else:
            assert np.abs(gradients[key] - expected).max() < 1e-4 * np.abs(expected).max(), key


@pytest.mark.parametrize("name", list(GEOMETRIES))
def test_torchaudio(name):
    pytest.importorskip("torchaudio", reason="the PyTorch side", exc_type=(ImportError, OSError))
    torch.manual_seed(0)
    model = verify.torchaudio_model(GEOMETRIES[name])
    encoded, gradients = ours(GEOMETRIES[name], model.state_dict(), "torchaudio")
    wave = torch.from_numpy(WAVE)
    layers, _ = model.extract_features(wave)
    compare(encoded, gradients, layers, model(wave)[0], model)


@pytest.mark.parametrize("name", list(GEOMETRIES))
def test_transformers(name):
    transformers = pytest.importorskip("transformers", reason="the PyTorch side")
    sizes = GEOMETRIES[name]
    torch.manual_seed(0)
    dims, kernels, strides = zip(*sizes["convs"])
    config = transformers.HubertConfig(
        hidden_size=sizes["width"],
        num_hidden_layers=sizes["depth"],
        num_attention_heads=sizes["heads"],
        intermediate_size=sizes["feed_forward"],
        conv_dim=dims,
        conv_kernel=kernels,
        conv_stride=strides,
        conv_bias=sizes["conv_bias"],
        feat_extract_norm=sizes["conv_norm"],
        do_stable_layer_norm=sizes["pre_norm"],
        num_conv_pos_embeddings=sizes["positional_taps"],
        num_conv_pos_embedding_groups=sizes["positional_groups"],
    )
    model = transformers.HubertModel(config).eval()
    encoded, gradients = ours(sizes, model.state_dict(), "huggingface")
    found = model(torch.from_numpy(WAVE), output_hidden_states=True)
    # Hidden state 0 is the blocks' input; with pre-norm blocks the last one already has the final norm.
    layers = found.hidden_states[1:-1] if sizes["pre_norm"] else found.hidden_states[1:]
    compare(encoded, gradients, layers, found.last_hidden_state, model)


def test_verify_loads_a_file_of_torchaudio_s_names_itself(tmp_path):
    """The file's own tensors go into torchaudio's module, so that a wrong map shows itself."""
    pytest.importorskip("torchaudio", reason="the PyTorch side", exc_type=(ImportError, OSError))
    torch.manual_seed(0)
    sizes = GEOMETRIES["pre-norm, bias"]
    state = verify.torchaudio_model(sizes).state_dict()
    torch.save({f"module.{key}": tensor for key, tensor in state.items()}, tmp_path / "hubert.pt")
    config = zoo.preset("hubert_base").replace(geometry=sizes, length=4000, net="custom").to_dict()
    given = {key: config[key] for key in ("geometry", "head", "front_end", "sample_rate", "length", "classes")}
    (tmp_path / "given.json").write_text(json.dumps(given))
    out, source = tmp_path / "out", [tmp_path / "hubert.pt"]
    made = conversion.convert("hubert", source, out, config=tmp_path / "given.json", verify=True)
    assert made.beside == "torchaudio's wav2vec2_model" and max(made.verified.values()) < 2e-5
    assert list(made.verified) == ["conv features", "block 1", "block 2", "block 3", "last hidden", "logits"]
    report = (out / "report.md").read_text()
    assert "| layer | largest difference to torchaudio's wav2vec2_model |" in report
