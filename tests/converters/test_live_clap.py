"""Small random models of transformers, converted in memory and compared part by part, both kinds, wave to embedding.

Needs the extra `test-parity`; the goldens hold the same architecture's numbers for machines without it.
"""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from converters import clap, huggingface_clap
from converters.mapping import canonical, to_flax, to_torch
from dhauds_jax.dsp.clip_layout import lay_out
from dhauds_jax.nets import clap_zoo
from dhauds_jax.nets.htsat import PatchEmbed
from dhauds_jax.nets.swin import Stage
from tests.nets.clap_goldens import unit

torch = pytest.importorskip("torch", reason="the PyTorch side")
transformers = pytest.importorskip("transformers", reason="the PyTorch side")

pytestmark = pytest.mark.slow

AUDIO = {
    **{"patch_embeds_hidden_size": 24, "depths": [2, 1, 2, 1], "num_attention_heads": [2, 4, 4, 8]},
    **{"hidden_size": 192, "spec_size": 256, "num_mel_bins": 64, "patch_size": 4, "patch_stride": [4, 4]},
    **{"window_size": 8, "projection_dim": 20, "mlp_ratio": 2.0, "aff_block_r": 3},
}
TEXT = {
    **{"hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 6, "intermediate_size": 80},
    **{"vocab_size": 90, "max_position_embeddings": 40, "projection_dim": 20},
}


def model_of(fused):
    """A model whose every parameter and statistic is random, so that none can be left out unseen."""
    torch.manual_seed(0)
    audio = transformers.ClapAudioConfig(**AUDIO, enable_fusion=fused, fusion_type="aff_2d" if fused else None)
    config = transformers.ClapConfig(
        audio_config=audio.to_dict(), text_config=transformers.ClapTextConfig(**TEXT).to_dict(), projection_dim=20
    )
    model = transformers.ClapModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(torch.randn_like(buffer))
            elif name.endswith("running_var"):
                buffer.copy_(0.5 + torch.rand_like(buffer))
    return model


@pytest.mark.parametrize("fused", [False, True])
def test_part_by_part(fused):
    model = model_of(fused)
    state = canonical({key: value.numpy() for key, value in model.state_dict().items()})
    config = clap.inferred(state, "huggingface")
    config = config.replace(text={**config.text, "heads": 6})
    assert config.audio["fusion"] == (8 if fused else None) and config.audio["mlp_ratio"] == 2
    leaves = clap.leaves(config, "huggingface")
    towers = clap_zoo.build_audio_text(config)
    converted = to_flax(state, leaves, clap.IGNORE["huggingface"], clap_zoo.shapes(towers))
    back = to_torch(converted.variables, leaves, converted.ignored)
    assert set(back) == set(state) and all(np.array_equal(back[key], state[key]) for key in state)
    _check_text(model, config, converted.variables)
    _check_audio(model, config, converted.variables, fused)
    scale = float(towers.scale(converted.variables))
    np.testing.assert_allclose(scale, float(model.logit_scale_a.detach().exp()), rtol=1e-6)


def _check_audio(model, config, variables, fused):
    rng = np.random.default_rng(1)
    inputs = (10 * rng.normal(size=(3, 4 if fused else 1, 1001, 64)) - 30).astype(np.float32)
    longer = np.array([True, False, True]) if fused else np.zeros(3, bool)
    tower = clap_zoo.build_towers(config)[0]
    own = {"params": variables["params"]["audio"], "batch_stats": variables["batch_stats"]["audio"]}
    kept = {"capture_intermediates": lambda module, _: isinstance(module, PatchEmbed | Stage)}
    run = jax.jit(
        lambda x, rows: tower.apply(jax.tree.map(jnp.asarray, own), x, rows, mutable=["intermediates"], **kept)
    )
    projected, found = run(inputs, longer)
    parts = found["intermediates"]["encoder"]
    with torch.no_grad():
        options = {"is_longer": torch.from_numpy(longer)[:, None]} if fused else {}
        model.double()  # in float32 its bicubic interpolation is 2.5e-4 off
        theirs = model.audio_model(torch.from_numpy(inputs).double(), output_hidden_states=True, **options)
        expected = model.audio_projection(theirs.pooler_output).numpy()
    for name, hidden in zip(("patch_embed", "stage0", "stage1", "stage2", "stage3"), theirs.hidden_states):
        np.testing.assert_allclose(parts[name]["__call__"][0], hidden.permute(0, 2, 3, 1).numpy(), atol=5e-5)
    np.testing.assert_allclose(projected, expected, atol=2e-5)
    np.testing.assert_allclose(unit(projected), unit(expected), atol=5e-6)


def _check_text(model, config, variables):
    rng = np.random.default_rng(2)
    ids, lengths = rng.integers(3, 90, (4, 17)), np.array([3, 17, 9, 12])
    mask = np.arange(17)[None] < lengths[:, None]
    ids = np.where(mask, ids, 1)
    tower, own = clap_zoo.build_towers(config)[1], jax.tree.map(jnp.asarray, variables["params"]["text"])
    encoded = tower.encoder.apply(
        {"params": own["encoder"]}, jnp.asarray(ids), jnp.asarray(mask), True, method="encode"
    )
    with torch.no_grad():
        inputs = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask).long()}
        theirs = model.text_model(**inputs, output_hidden_states=True)
        expected = model.text_projection(theirs.pooler_output).numpy()
    assert len(theirs.hidden_states) == 1 + len(encoded.layers)
    for ours, hidden in zip((encoded.embedded, *encoded.layers), theirs.hidden_states):
        np.testing.assert_allclose(np.asarray(ours)[mask], hidden.numpy()[mask], atol=1e-5)
    np.testing.assert_allclose(encoded.pooled, theirs.pooler_output.numpy(), atol=1e-5)
    projected = tower.projection.apply({"params": own["projection"]}, encoded.pooled)
    np.testing.assert_allclose(unit(projected), unit(expected), atol=3e-6)


@pytest.mark.parametrize("fused", [False, True])
def test_from_waves(fused):
    """The library's extractor and ours, its model and ours; it draws one short clip of a batch to be longer."""
    model = model_of(fused)
    state = canonical({key: value.numpy() for key, value in model.state_dict().items()})
    config = clap.inferred(state, "huggingface")
    towers = clap_zoo.build_audio_text(config.replace(text={**config.text, "heads": 6}))
    variables = to_flax(state, clap.leaves(config, "huggingface"), clap.IGNORE["huggingface"]).variables
    rng = np.random.default_rng(3)
    wave = [rng.normal(size=(samples,)).astype(np.float32) * 0.1 for samples in (96_000, 480_000)]
    extractor = transformers.ClapFeatureExtractor(truncation="fusion" if fused else "rand_trunc", frequency_min=50)
    inputs = extractor(wave, sampling_rate=48000, return_tensors="pt")["input_features"]
    laid = jnp.stack([lay_out(each, 480_000, layout="repeat_pad") for each in wave])
    features = jax.jit(towers.features)(laid)
    np.testing.assert_allclose(features, inputs[:, 0].numpy(), atol=1e-3)
    found = unit(jax.jit(towers.audio)(variables, features[:, None], jnp.zeros(2, bool)))
    with torch.no_grad():
        options = {"is_longer": torch.zeros(2, 1, dtype=torch.bool)} if fused else {}
        pooled = model.audio_model(inputs, **options).pooler_output
        expected = unit(model.audio_projection(pooled).numpy())
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_what_a_preprocessor_s_record_may_leave_out_is_what_the_library_takes():
    given = inspect.signature(transformers.ClapFeatureExtractor.__init__).parameters
    assert {key: given[key].default for key in huggingface_clap._ABSENT} == huggingface_clap._ABSENT
