"""CLAP's towers against the numbers of transformers and of LAION's own modules; tolerances as measured there."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.dsp.clip_layout import lay_out
from dhauds_jax.nets import clap_zoo
from dhauds_jax.nets.htsat import PatchEmbed
from dhauds_jax.nets.swin import Stage
from tests.nets.clap_goldens import features, towers, unit
from tests.paths import golden, largest_error

AUDIO = [
    pytest.param("clap_base_hf", "", 3e-6, 5e-5, marks=pytest.mark.slow),
    pytest.param("clap_base_hf_fused", "", 3e-6, 5e-5, marks=pytest.mark.slow),
    ("clap_laion_names_fused", "_db", 5e-6, 1e-4),
]
"""Golden, ending of its entries, tolerance of the embeddings and of tokens."""


def hear(config, variables, inputs, longer):
    """The projection of every row and its tokens after every part of the encoder, by the golden's names."""
    tower, _ = clap_zoo.build_towers(config)
    own = {"params": variables["params"]["audio"], "batch_stats": variables["batch_stats"]["audio"]}

    def run(own, inputs, longer):
        kept = {"capture_intermediates": lambda module, _: isinstance(module, PatchEmbed | Stage)}
        projected, found = tower.apply(own, inputs, longer, mutable=["intermediates"], **kept)
        parts = found["intermediates"]["encoder"]
        return projected, {name: parts[name]["__call__"][0] for name in parts}

    projected, parts = jax.jit(run)(own, jnp.asarray(inputs), jnp.asarray(longer))
    tokens = {name: part.reshape(len(part), -1, part.shape[-1]) for name, part in parts.items()}
    tokens["patch_tokens"] = tokens.pop("patch_embed")
    return projected, tokens


def read(config, variables, ids, mask):
    """The text tower's projection and what lies before it."""
    _, tower = clap_zoo.build_towers(config)
    own = variables["params"]["text"]

    def run(own, ids, mask):
        encoded = tower.encoder.apply({"params": own["encoder"]}, ids, mask, True, method="encode")
        return encoded, tower.projection.apply({"params": own["projection"]}, encoded.pooled)

    return jax.jit(run)(own, jnp.asarray(ids), jnp.asarray(mask, bool))


@pytest.mark.parametrize(("name", "ending", "embeds", "tokens"), AUDIO)
def test_audio_tower_part_by_part(name, ending, embeds, tokens):
    numbers, (config, variables) = golden(name), towers(name)
    projected, parts = hear(config, variables, *features(name))
    assert largest_error(unit(projected), numbers[f"audio_embeds{ending}"]) < embeds
    assert largest_error(projected, numbers[f"audio_projected{ending}"]) < 2e-5
    assert set(parts) == {"patch_tokens", "stage0", "stage1", "stage2", "stage3"}
    for part, found in parts.items():
        assert largest_error(found[:, :6], numbers[f"{part}{ending}"]) < tokens


@pytest.mark.parametrize("name", ["clap_base_hf", "clap_laion_names"])
def test_text_tower_layer_by_layer(name):
    """At the golden's padding and, for one text, at its own length: the same."""
    numbers, (config, variables) = golden(name), towers(name)
    ids, mask = numbers["input_ids"], numbers["attention_mask"].astype(bool)
    encoded, projected = read(config, variables, ids, mask)
    assert largest_error(unit(projected), numbers["text_embeds"]) < 3e-6
    assert largest_error(projected, numbers["text_projected"]) < 2e-5
    if "text_pooled" in numbers:
        assert largest_error(encoded.pooled, numbers["text_pooled"]) < 2e-5
    kept = numbers["text_embeddings"].shape[1]
    for found, part in zip((encoded.embedded, *encoded.layers), ("embeddings", "layer0", "layer1")):
        seen = mask[:, :kept]
        assert largest_error(np.asarray(found)[:, :kept][seen], numbers[f"text_{part}"][seen]) < 5e-5
    for row in range(0, len(ids), 3):
        own = slice(row, row + 1), slice(0, int(mask[row].sum()))
        assert (
            largest_error(unit(read(config, variables, ids[own], mask[own])[1]), unit(projected)[row : row + 1]) < 1e-6
        )


@pytest.mark.parametrize(
    ("name", "wrong"), [("clap_base_hf", 1e-5), pytest.param("clap_laion_names", 1e-12, marks=pytest.mark.slow)]
)
def test_text_tower_with_the_other_style_s_epsilon_is_seen(name, wrong):
    """The two styles' epsilons differ by 1e-5 in embeddings, three times what the parity test allows."""
    numbers, (config, variables) = golden(name), towers(name)
    assert {config.text["epsilon"], wrong} == {1e-5, 1e-12}
    config = config.replace(text={**config.text, "epsilon": wrong})
    found = read(config, variables, numbers["input_ids"], numbers["attention_mask"])[1]
    assert 8e-6 < largest_error(unit(found), numbers["text_embeds"]) < 3e-5


@pytest.mark.slow
def test_a_clip_alone_is_the_clip_in_a_batch_of_longer_ones():
    """In the batch it has four channels, of which three count in longer rows alone; alone it has one."""
    numbers, (config, variables) = golden("clap_base_hf_fused"), towers("clap_base_hf_fused")
    (inputs, longer) = features("clap_base_hf_fused")
    assert longer.tolist() == [True, False, True]
    model = clap_zoo.build_audio_text(config)
    audio = jax.jit(model.audio)
    alone = audio(variables, inputs[1:2, :1], longer[1:2])
    assert largest_error(unit(alone), numbers["audio_embeds"][1:2]) < 3e-6
    model_alone = audio(variables, inputs[:1], longer[:1])
    assert largest_error(unit(model_alone), numbers["audio_embeds"][:1]) < 3e-6


def shrunk(mel, frames):
    """Time shrunk to `frames` as torchvision does with antialiasing, a triangle for each frame; in float64."""
    scale = len(mel) / frames
    centre, place = (np.arange(frames)[:, None] + 0.5) * scale, np.arange(len(mel))[None] + 0.5
    weights = np.maximum(0, 1 - np.abs(place - centre) / scale)
    return weights / weights.sum(1, keepdims=True) @ np.asarray(mel, np.float64)


def wave_features(model):
    """(4, 4, 1001, 64) features of the golden waves of 3, 10, 11 and 10.004 s, and which are longer."""
    numbers, mels = golden("clap_frontend"), jax.jit(model.features)
    waves = {name: numbers[f"wave_{name}"].astype(np.float32) / 128 for name in ("3s", "10s", "11s")}
    rows = [mels(lay_out(waves[name], 480000, layout="repeat_pad")[None])[0] for name in ("3s", "10s")]
    long = np.asarray(mels(waves["11s"][None])[0])
    crops = [long[start : start + 1001] for start in numbers["laion_htk_11s_start"]]
    whole = np.stack([shrunk(long, 1001), *crops]).astype(np.float32)
    rows.append(mels(waves["11s"][None, :480200])[0])
    same = [np.repeat(np.asarray(row)[None], 4, 0) for row in rows]
    return np.stack([same[0], same[1], whole, same[2]]), np.array([False, False, True, False])


@pytest.mark.slow
def test_waves_through_front_end_and_laion_s_modules():
    """Int16 step, repetition, both kinds of mel bands; a long clip with the crops that were drawn there."""
    numbers, (config, variables) = golden("clap_laion_names"), towers("clap_laion_names")
    model = clap_zoo.build_audio_text(config)
    assert clap_zoo.mel_kind(numbers["buffer/module.audio_branch.logmel_extractor.melW"]) == "slaney"
    inputs, _ = wave_features(model)
    projected, parts = hear(config, variables, inputs[:2, :1], np.zeros(2, bool))
    assert largest_error(unit(projected), numbers["audio_embeds_wave"]) < 5e-6
    assert largest_error(projected, numbers["audio_projected_wave"]) < 2e-5
    for part, found in parts.items():
        assert largest_error(found[:, :6], numbers[f"{part}_wave"]) < 1e-4
    numbers, (config, variables) = golden("clap_laion_names_fused"), towers("clap_laion_names_fused")
    model = clap_zoo.build_audio_text(config)
    inputs, longer = wave_features(model)
    projected, parts = hear(config, variables, inputs, longer)
    assert largest_error(unit(projected), numbers["audio_embeds_wave"]) < 5e-6
    assert largest_error(projected, numbers["audio_projected_wave"]) < 2e-5
    for part, found in parts.items():
        assert largest_error(found[:, :6], numbers[f"{part}_wave"]) < 1e-4
    short, _ = hear(config, variables, inputs[:2, :1], np.zeros(2, bool))
    assert largest_error(unit(short), numbers["audio_embeds_allshort"]) < 5e-6


@pytest.mark.slow
@pytest.mark.parametrize("name", ["clap_htsat_unfused_hf", "clap_htsat_fused_hf"])
def test_full_size(name):
    """HTSAT tiny and roberta-base, also every row alone."""
    numbers, (config, variables) = golden(name), towers(name)
    model = clap_zoo.build_audio_text(config)
    audio, text = jax.jit(model.audio), jax.jit(model.text)
    inputs, longer = jnp.asarray(numbers["input_features"]), jnp.asarray(numbers["is_longer"][:, 0])
    found = unit(audio(variables, inputs, longer))
    assert largest_error(found, numbers["audio_embeds"]) < 1e-4
    for row in range(len(inputs)):
        own = slice(row, row + 1)
        channels = inputs[own] if longer[row] else inputs[own, :1]
        assert largest_error(unit(audio(variables, channels, longer[own])), found[own]) < 1e-5
    ids, mask = jnp.asarray(numbers["input_ids"]), jnp.asarray(numbers["attention_mask"], bool)
    assert largest_error(unit(text(variables, ids, mask)), numbers["text_embeds"]) < 3e-6
