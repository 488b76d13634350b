"""AST and SSAST against the numbers of transformers and of the authors' modules."""

import jax
import jax.numpy as jnp
import pytest

from converters import spectrogram
from converters.mapping import canonical, to_flax
from dhauds_jax.nets import spectrogram_zoo, zoo
from dhauds_jax.nets.heads import build_head
from dhauds_jax.nets.normalisers import EVAL
from dhauds_jax.nets.spectrogram_transfer import for_clips
from tests.goldens.golden_weights import golden_state_dict
from tests.paths import GOLDENS, golden, largest_error

SSAST = [
    "ssast_tiny_patch",
    "ssast_tiny_frame",
    pytest.param("ssast_base_patch", marks=pytest.mark.slow),
    pytest.param("ssast_base_frame_long", marks=pytest.mark.slow),
]


def state_of(*names):
    state = {}
    for name in names:
        state |= golden_state_dict(str(GOLDENS / f"{name}.spec.json"))
    return canonical(state)


def configs(name):
    """A golden's pretraining config and its fine-tuning config."""
    fshape, tshape, fstride, tstride, pretrained, frames, classes = (int(n) for n in golden(name)["geometry"])
    before = zoo.preset("_".join([*name.split("_")[:3], "pretrain"]))
    assert before.geometry["patch"] == before.geometry["stride"] == [fshape, tshape]
    before = before.replace(front_end={**before.front_end, "frames": pretrained})
    after = before.replace(
        geometry={**before.geometry, "stride": [fstride, tstride]},
        front_end={**before.front_end, "frames": frames},
        classes=tuple(str(i) for i in range(classes)),
    )
    return before, after


@pytest.mark.parametrize("name", SSAST)
def test_ssast_equals_the_authors_modules(name):
    """The self-supervised checkpoint, its positions cut or interpolated, both ways to pool."""
    numbers, (before, after) = golden(name), configs(name)
    state = state_of(f"{name}_pretrained", f"{name}_mlp_head")
    leaves = [
        *spectrogram.encoder_leaves(before.geometry, "original"),
        *spectrogram.head_leaves("original"),
        *spectrogram.pretraining_leaves(),
    ]
    tree = to_flax(state, leaves, spectrogram.IGNORE).variables
    for profile in ("reference", "corrected"):
        variables = for_clips(tree, before, after, jax.random.key(0), profile)
        found = variables["params"]["encoder"]["positions"][None]
        assert largest_error(found, numbers["pos_embed"]) < 1e-6
    variables["params"]["head"] = tree["params"]["head"]
    net = zoo.build(after)
    outputs, _ = jax.jit(lambda v, x: net.apply_features(v, x, mode=EVAL))(variables, numbers["fbank"])
    assert largest_error(outputs.logits, numbers["logits_avgtok"]) < 2e-5
    kernel, bias = net.head(variables)
    assert largest_error(outputs.embedding @ kernel + bias[None], outputs.logits) < 2e-5
    pooled = build_head({**after.head, "pool": "cls"}, len(after.classes))
    logits, _ = pooled.apply({"params": variables["params"]["head"]}, outputs.frames, mode=EVAL)
    assert largest_error(logits, numbers["logits_cls"]) < 2e-5


@pytest.mark.slow
def test_ast_equals_transformers():
    numbers = golden("ast_base_hf")
    config = zoo.preset("ast_audioset", ("no", "yes"))
    leaves = spectrogram.encoder_leaves(config.geometry, "huggingface") + spectrogram.head_leaves("huggingface")
    variables = to_flax(state_of("ast_base_hf"), leaves, (), zoo.shapes(zoo.build(config))).variables
    net = zoo.build(config)
    features = jnp.asarray(numbers["input_values"])
    outputs, _ = jax.jit(lambda v, x: net.apply_features(v, x, mode=EVAL))(variables, features)
    assert largest_error(outputs.logits, numbers["logits"]) < 1e-4
    encoder = spectrogram_zoo.build_encoder(config)

    def last_block(params, x):
        embedded = encoder.apply({"params": params}, x, method="embed")
        return encoder.apply({"params": params}, embedded, True, method="encode").layers[-1]

    found = jax.jit(last_block)(variables["params"]["encoder"], features)
    assert largest_error(found[:, :20], numbers["last_hidden"]) < 1e-4
