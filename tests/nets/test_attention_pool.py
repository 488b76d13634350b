"""Attention pooling against PyTorch's, with the rows of short clips as the published code has them and masked.

Golden `tomofun_head.npz` (float64): 40 clips of five embeddings, `valid` says how many lead. Weights by
`golden_weights.py` from `tomofun_head.spec.json`.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.dsp.vggish import OFFSET
from dhauds_jax.nets import zoo
from dhauds_jax.nets.attention_pool import AttentionPool
from dhauds_jax.nets.heads import build_head
from dhauds_jax.nets.normalisers import EVAL, TRAIN
from dhauds_jax.nets.prototypes import with_prototypes
from tests.goldens.golden_weights import golden_state_dict
from tests.nets.vggish_weights import pool_params
from tests.paths import GOLDENS, golden, largest_error

PARAMS = pool_params(golden_state_dict(GOLDENS / "tomofun_head.spec.json"))
STORED = golden("tomofun_head")
FLOOR = np.float32(np.log(OFFSET))
FEATURES = np.where(STORED["valid"][..., None, None], np.float32(0), FLOOR) + np.zeros((96, 64), np.float32)


@jax.jit
def plain(tokens):
    """(logits, embedding) of all rows."""
    return AttentionPool(15).apply({"params": PARAMS}, tokens, mode=EVAL)


@jax.jit
def masked(tokens, features):
    """(logits, embedding) of valid rows."""
    return AttentionPool(15, mask="trailing_zeros").apply({"params": PARAMS}, tokens, mode=EVAL, features=features)


def test_all_rows():
    logits, pooled = plain(STORED["embeddings"])
    assert largest_error(logits, STORED["logits"]) < 1e-5
    assert largest_error(pooled, STORED["pooled"]) < 1e-5
    for temperature in (0.5, 1, 2):
        assert largest_error(jax.nn.softmax(logits / temperature), STORED[f"softmax_t{temperature}"]) < 1e-6


@pytest.mark.parametrize("rows", ["zero_mel_rows", "zero_vector_rows"])
def test_rows_behind_short_clips_as_published(rows):
    behind = STORED["zero_row_embedding"] if rows == "zero_mel_rows" else np.zeros(128, np.float32)
    tokens = np.where(STORED["valid"][..., None], STORED["embeddings"], behind)
    assert largest_error(plain(tokens)[0], STORED[f"logits_{rows}"]) < 1e-5


def test_masked_rows_change_nothing():
    for behind in (STORED["embeddings"], np.float32(1e3)):
        tokens = np.where(STORED["valid"][..., None], STORED["embeddings"], behind)
        assert largest_error(masked(tokens, FEATURES)[0], STORED["logits_masked"]) < 1e-5
    assert not STORED["valid"].all(1).all() and STORED["valid"][:, 0].all()


def test_the_first_weights_are_drawn_as_pytorch_draws_them():
    drawn = AttentionPool(15).init(jax.random.key(0), jnp.zeros((1, 5, 128)), mode=EVAL)["params"]
    attention = drawn["attention"]
    for name, bound in (("q", (1.5 / 128) ** 0.5), ("o", 128**-0.5)):
        assert 0.98 * bound < np.abs(attention[name]["kernel"]).max() <= bound
        assert not attention[name]["bias"].any()
    assert np.abs(drawn["classifier"]["bias"]).max() > 0


def test_dropout_is_on_the_attention_weights():
    head = AttentionPool(15, dropout=0.5)
    tokens = jnp.asarray(STORED["embeddings"][:2])

    def logits(mode, seed):
        return head.apply({"params": PARAMS}, tokens, mode=mode, rngs={"dropout": jax.random.key(seed)})[0]

    assert largest_error(logits(TRAIN, 0), logits(TRAIN, 1)) > 1e-3
    assert largest_error(logits(EVAL, 0), logits(EVAL, 1)) == 0


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ({"heads": 0}, "heads is 0, expected a whole number from 1 on"),
        ({"dropout": 1}, "dropout is 1, expected a number from 0 to below 1"),
        ({"mask": "zeros"}, "mask is 'zeros', expected 'none' or 'trailing_zeros'"),
        ({"query": 1}, r"foreign keys \['query'\]"),
    ],
)
def test_options_are_checked(size, message):
    with pytest.raises(ValueError, match=message):
        build_head({"kind": "attention_pool", **size}, 15)


@pytest.mark.slow
def test_prototypes_over_it_hear_the_same_examples():
    config = zoo.preset("vggish_small", ("a", "b"))
    config = config.replace(geometry={**config.geometry, "widths": [2, 2, 4, 4], "dense": [8]})
    net = zoo.build(config)
    wave = np.random.default_rng(0).standard_normal((2, 80_000)).astype(np.float32)
    wave[1, 30_000:] = 0
    wave = jnp.asarray(wave)
    variables = net.init(jax.random.key(0), wave)

    def run(config, variables):
        return jax.jit(lambda v: zoo.build(config).apply(v, wave, mode=EVAL)[0])(variables)

    before = run(config, variables)
    changed, theirs = with_prototypes(config, variables, *net.head(variables), ("a", "b"), unit=False)
    np.testing.assert_allclose(run(changed, theirs).embedding, before.embedding, atol=1e-6)
    unmasked = run(config.replace(head={**config.head, "mask": "none"}), variables)
    np.testing.assert_allclose(unmasked.embedding[0], before.embedding[0], atol=1e-6)
    # A hundred times what the unmasked clip may differ by: the random net of this size moves by 3e-4.
    assert largest_error(unmasked.embedding[1], before.embedding[1]) > 1e-4
