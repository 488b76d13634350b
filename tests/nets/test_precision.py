"""Precisions of networks: what stays float32, how far bfloat16 is from it, that remat changes nothing."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.nets import precision, zoo
from dhauds_jax.nets.heads import build_head
from dhauds_jax.nets.normalisers import EVAL, TRAIN
from tests.tta import tiny

NETS = ("amaut_tiny", "resnet_tiny", "tta_in_ac_cnn_sc1", "hubert_tiny", "ssast_test", "conmix_tiny")


@functools.cache
def given(name):
    """A net's record, variables drawn for it, and waves."""
    config = tiny.config_of(name, **tiny.ZOO.get(name, {})).replace(classes=tuple(f"class{i}" for i in range(5)))
    wave = jnp.asarray(0.1 * np.random.default_rng(0).normal(size=(4, config.length)), jnp.float32)
    return config, zoo.build(config).init(jax.random.key(0), wave[:1]), wave


@functools.cache
def problem(name, **compute):
    """A net with its variables, waves, and the jitted value and gradients of a loss in train mode."""
    config, variables, wave = given(name)
    net = zoo.build(config, **compute)

    def loss(params, stats):
        outputs, stats = net.apply(
            {"params": params, "batch_stats": stats}, wave, mode=TRAIN, rngs={"dropout": jax.random.key(1)}
        )
        value = -jax.nn.log_softmax(outputs.logits)[:, 0].mean()
        if outputs.aux is not None:
            value -= jax.nn.log_softmax(outputs.aux)[:, 0].mean()
        return value, (outputs, stats)

    return net, variables, wave, jax.jit(jax.value_and_grad(loss, has_aux=True))


def distance(a, b):
    """Length of the difference of two trees as a share of the second one's length."""
    gap, size = (
        sum(float(np.sum(np.square(np.asarray(x, np.float64)))) for x in jax.tree.leaves(tree))
        for tree in (jax.tree.map(lambda x, y: np.asarray(x) - np.asarray(y), a, b), b)
    )
    return (gap / size) ** 0.5


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_bfloat16_of_every_family_keeps_float32_around(name):
    net, variables, wave, gradients = problem(name, **precision.compute_options("bfloat16"))
    _, _, _, exact = problem(name)
    (value, (outputs, stats)), grads = gradients(variables["params"], variables["batch_stats"])
    (wanted, (_, wanted_stats)), wanted_grads = exact(variables["params"], variables["batch_stats"])
    for tree in (outputs, stats, grads, value):
        assert {leaf.dtype for leaf in jax.tree.leaves(tree)} <= {jnp.dtype("float32")}
    # bfloat16 keeps 8 bits, and random weights on noise give small gradients: CoNMix's are 0.38 of their length away.
    gap = {"loss": abs(float(value - wanted)) / abs(float(wanted)), "gradients": distance(grads, wanted_grads)}
    if stats:
        gap["statistics"] = distance(stats, wanted_stats)
    print(name, gap)
    assert gap["loss"] < 0.05
    assert gap["gradients"] < (0.5 if name == "conmix_tiny" else 0.25)
    assert gap.get("statistics", 0.0) < 0.02
    text = jax.jit(lambda v: net.apply(v, wave, mode=EVAL)[0].logits).lower(variables).as_text()
    products = [line for line in text.splitlines() if "dot_general" in line or "stablehlo.convolution" in line]
    half = [line for line in products if "bf16" in line]
    assert len(half) >= (3 if name == "tta_in_ac_cnn_sc1" else 5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["amaut_tiny", "resnet_tiny"])
def test_tf32_is_float32_on_a_cpu_and_asks_for_it_in_the_network_alone(name):
    net, variables, wave, gradients = problem(name, **precision.compute_options("tf32"))
    _, _, _, exact = problem(name)
    found = gradients(variables["params"], variables["batch_stats"])
    with precision.exactly():
        wanted = exact(variables["params"], variables["batch_stats"])
    jax.tree.map(np.testing.assert_array_equal, found, wanted)
    with precision.exactly():
        closed = jax.make_jaxpr(lambda v: net.apply(v, wave, mode=EVAL)[0].logits)(variables)
    asked = products(closed.jaxpr)
    # The filter bank of the front end comes first and the last layer last; the auxiliary head's is between.
    assert asked[0] == asked[-1] == "HIGHEST"
    assert set(asked[1:-1]) <= {"HIGH", "HIGHEST"}
    assert asked.count("HIGH") >= len(asked) - 3


def products(jaxpr):
    """The precision of every product and convolution, in order, as JAX names it (HIGH is TF32 on a GPU)."""
    found = []
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("dot_general", "conv_general_dilated"):
            asked = equation.params["precision"]
            found.append(getattr(asked[0] if isinstance(asked, tuple) else asked, "name", str(asked)))
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                found += products(inner)
    return found


@pytest.mark.slow
def test_remat_of_amaut_gives_the_same_gradients_and_statistics():
    _, variables, _, again = problem("amaut_tiny", remat=True)
    _, _, _, exact = problem("amaut_tiny")
    (value, (_, stats)), grads = again(variables["params"], variables["batch_stats"])
    (wanted, (_, wanted_stats)), wanted_grads = exact(variables["params"], variables["batch_stats"])
    assert float(value) == pytest.approx(float(wanted), rel=5e-6)
    assert distance(grads, wanted_grads) < 5e-6
    assert distance(stats, wanted_stats) < 5e-6


@pytest.mark.slow
def test_remat_wraps_every_block_of_amaut():
    for remat, blocks in ((False, 0), (True, 2)):  # one residual block and one of the transformer
        _, variables, _, gradients = problem("amaut_tiny", **({"remat": True} if remat else {}))
        text = str(jax.make_jaxpr(gradients)(variables["params"], variables["batch_stats"]))
        assert text.count("prevent_cse=True") == blocks


@pytest.mark.slow
def test_heads_take_half_precision_tokens_products():
    tokens = jnp.asarray(np.random.default_rng(0).normal(size=(4, 40, 16)), jnp.float32)
    for record in (
        {"kind": "audio_classifier", "hidden": 32, "features": 16},
        {"kind": "bottleneck", "features": 16},
        {"kind": "hub_classifier", "stages": [1]},
    ):
        plain, half = build_head(record, 5), build_head(record, 5, jnp.bfloat16)
        variables = jax.jit(lambda key, head=plain: head.init(key, tokens, mode=EVAL))(jax.random.key(0))
        (wanted, _), (logits, embedding) = (
            jax.jit(lambda v, head=head: head.apply(v, tokens, mode=EVAL))(variables) for head in (plain, half)
        )
        assert logits.dtype == embedding.dtype == jnp.float32
        gap = distance(logits, wanted)
        assert 1e-5 < gap < 0.05, (record, gap)


def test_an_unknown_precision_names_the_valid_ones():
    with pytest.raises(ValueError, match="--precision=half: expected one of float32, tf32, bfloat16"):
        precision.compute_options("half")
