"""What defines each method, worked out independently of it; names, options and needs."""

import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.nets.normalisers import MOMENTUM
from dhauds_jax.tta import methods, protocols
from dhauds_jax.types import Batch, Classifier, Linear, Outputs, RunInfo
from tests.tta import tiny

INFO = RunInfo(steps_per_epoch=2, clips=8, classes=2)


def linear_classifier() -> Classifier:
    """logits = scale * normalised wave + bias over two "classes": small enough to adapt by hand."""

    def apply(variables, wave, *, mode, weights=None, rngs=None, axis_name=None):
        from dhauds_jax.types import Running

        p, s = variables["params"]["encoder"]["batch_norm"], variables["batch_stats"]["encoder"]["batch_norm"]
        y, kept = mode.norm(wave, Running(s["mean"], s["var"]), 1e-5, weights, axis_name)
        logits = y * p["scale"] + p["bias"]
        stats = {"encoder": {"batch_norm": {"mean": kept.mean, "var": kept.var}}}
        return Outputs(logits, logits, logits[:, None]), stats

    return Classifier(None, apply, lambda w: w, apply, lambda v: Linear(jnp.eye(2), jnp.zeros(2)), None)


VARIABLES = {
    "params": {"encoder": {"batch_norm": {"scale": jnp.asarray([1.0, 2.0]), "bias": jnp.asarray([0.1, -0.2])}}},
    "batch_stats": {"encoder": {"batch_norm": {"mean": jnp.zeros(2), "var": jnp.ones(2)}}},
}
WAVE = np.random.default_rng(1).normal(1.0, 2.0, (8, 2)).astype(np.float32)
BATCH = Batch(jnp.asarray(WAVE), jnp.ones(8), jnp.arange(8, dtype=jnp.int32))


def run(name, **options):
    method = methods.make(name, linear_classifier(), methods.resolve_options(name, "reference", options))
    state = method.init(VARIABLES, INFO)
    return method, state, *method.step(state, BATCH, jax.random.key(0))


def test_norm_by_hand():
    _, _, state, prediction = run("norm")
    wanted = (WAVE - WAVE.mean(0)) / np.sqrt(WAVE.var(0) + 1e-5) * [1.0, 2.0] + [0.1, -0.2]
    np.testing.assert_allclose(prediction.logits, wanted, rtol=1e-5, atol=1e-5)
    stats = state.variables["batch_stats"]["encoder"]["batch_norm"]
    np.testing.assert_allclose(stats["mean"], MOMENTUM * WAVE.mean(0), rtol=1e-5)
    np.testing.assert_allclose(stats["var"], 0.9 + MOMENTUM * WAVE.var(0, ddof=1), rtol=1e-5)


def test_norm_blend_by_hand():
    _, before, state, prediction = run("norm", statistics="blend", alpha=0.25)
    mean, var = 0.25 * WAVE.mean(0), 0.25 * WAVE.var(0) + 0.75
    wanted = (WAVE - mean) / np.sqrt(var + 1e-5) * [1.0, 2.0] + [0.1, -0.2]
    np.testing.assert_allclose(prediction.logits, wanted, rtol=1e-5, atol=1e-5)
    assert jax.tree.all(jax.tree.map(np.array_equal, before.variables, state.variables))


def numpy_entropy_gradient(scale, bias):
    """Mean entropy of softmax(scale x + bias) and its gradients, by hand: dH/dz_k = -p_k (log p_k + H)."""
    x = (WAVE - WAVE.mean(0)) / np.sqrt(WAVE.var(0) + 1e-5)
    z = x * scale + bias
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    h = -(p * np.log(p)).sum(1)
    dz = -p * (np.log(p) + h[:, None]) / len(x)
    return h.mean(), (dz * x).sum(0), dz.sum(0)


def test_tent_takes_adams_first_step_on_the_entropy():
    _, _, state, prediction = run("tent", lr=0.01)
    h, dscale, dbias = numpy_entropy_gradient(np.array([1.0, 2.0]), np.array([0.1, -0.2]))
    assert float(prediction.losses["entropy"]) == pytest.approx(h, rel=1e-5)
    moved = state.variables["params"]["encoder"]["batch_norm"]
    # Adam's first step is lr * g / (|g| + eps)
    np.testing.assert_allclose(moved["scale"], [1.0, 2.0] - 0.01 * dscale / (np.abs(dscale) + 1e-8), rtol=1e-5)
    np.testing.assert_allclose(moved["bias"], [0.1, -0.2] - 0.01 * dbias / (np.abs(dbias) + 1e-8), rtol=1e-4)


def test_tent_evaluates_with_the_batch_when_asked():
    method, state, *_ = run("tent", evaluate="batch")
    np.testing.assert_allclose(method.predict(state, BATCH).std(0), [1.0, 2.0], rtol=1e-4)


def test_source_is_the_classifier():
    method, state, after, prediction = run("source")
    np.testing.assert_allclose(prediction.logits, WAVE / np.sqrt(1 + 1e-5) * [1.0, 2.0] + [0.1, -0.2], rtol=1e-5)
    assert np.array_equal(prediction.logits, method.predict(state, BATCH))
    assert int(after.step) == 1


def test_dhauds_profiles_set_the_quirks():
    reference, corrected = (methods.default_options("dhauds", p) for p in ("reference", "corrected"))
    assert [reference[k] for k in ("gent_views", "partial_batch", "first_epoch_plain", "nesterov")] == [
        "first_twice",
        "as_is",
        True,
        False,
    ]
    assert [corrected[k] for k in ("gent_views", "partial_batch", "first_epoch_plain", "nesterov")] == [
        "both",
        "rescaled",
        False,
        True,
    ]


def test_dhauds_gent_views_differ_as_named():
    classifier = tiny.NETS["batch_norm"]()
    variables = tiny.variables_of(classifier, tiny.LENGTH)
    batch = Batch(jnp.asarray(tiny.waves()[:8]), jnp.ones(8), jnp.arange(8, dtype=jnp.int32))
    terms = {}
    for views in ("first_twice", "both"):
        method = methods.make(
            "dhauds", classifier, methods.resolve_options("dhauds", "reference", {"gent_views": views})
        )
        terms[views] = method.step(method.init(variables, INFO), batch, jax.random.key(5))[1].losses
    assert float(terms["both"]["gent"]) != float(terms["first_twice"]["gent"])
    for name in ("nucnm", "entropy", "consistency"):
        assert float(terms["both"][name]) == float(terms["first_twice"][name])


def test_a_loss_that_is_not_finite_stops_the_run_and_says_where():
    classifier = tiny.NETS["batch_norm"]()
    variables = tiny.variables_of(classifier, tiny.LENGTH)
    method = methods.make("dhauds", classifier, methods.resolve_options("dhauds", "reference", {"lr": "1e30"}))
    state = method.init(variables, RunInfo(3, tiny.CLIPS, tiny.CLASSES))
    epochs = protocols.offline(
        protocols.compiled(method), state, tiny.waves(), epochs=3, batch_size=8, key=jax.random.key(0)
    )
    with pytest.raises(FloatingPointError, match=r"the loss is not finite at epoch \d, step \d: .*total=nan"):
        list(epochs)


def test_a_second_compilation_raises():
    classifier = tiny.NETS["batch_norm"]()
    variables = tiny.variables_of(classifier, tiny.LENGTH)
    run = protocols.compiled(methods.make("source", classifier, {}))
    state = run.method.init(variables, INFO)
    run.predict(state, Batch(jnp.zeros((4, 256)), jnp.ones(4), jnp.arange(4)))
    with pytest.raises(RuntimeError, match="predict was compiled twice in one run"):
        run.predict(state, Batch(jnp.zeros((5, 256)), jnp.ones(5), jnp.arange(5)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: methods.factory("tentt"), "unknown method 'tentt': expected one of source, norm, tent, dhauds"),
        (
            lambda: methods.resolve_options("tent", "reference", {"rate": "1"}),
            "method tent has no option 'rate': valid",
        ),
        (lambda: methods.resolve_options("tent", "reference", {"lr": "fast"}), "option lr is 'fast', expected a float"),
        (lambda: methods.default_options("tent", "faithful"), "unknown profile 'faithful': expected reference or"),
        (
            lambda: methods.make("norm", linear_classifier(), {"statistics": "mine"}),
            "norm: unknown statistics 'mine', expected one of",
        ),
        (
            lambda: methods.make("dhauds", linear_classifier(), {"gent_views": "x"}),
            "dhauds: unknown gent_views 'x', expected one of",
        ),
        (
            lambda: protocols.check_protocol("episodic!"),
            "unknown protocol 'episodic!': expected one of offline, online",
        ),
    ],
)
def test_bad_names_and_options_get_one_sentence(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_options_are_converted_by_their_defaults_type():
    options = methods.resolve_options("dhauds", "reference", {"lr": "2e-3", "threshold": "7", "nesterov": "true"})
    assert (options["lr"], options["threshold"], options["nesterov"]) == (2e-3, 7, True)


def test_orders_are_permutations_that_follow_from_key_and_epoch():
    key = jax.random.key(11)
    orders = [protocols.stream_order(key, 50, epoch) for epoch in range(3)]
    assert all(sorted(o) == list(range(50)) for o in orders)
    assert len({protocols.order_checksum(o) for o in orders}) == 3
    assert np.array_equal(orders[1], protocols.stream_order(key, 50, 1))
    wanted = hashlib.sha256(bytes([0] * 8 + [1] + [0] * 7 + [2] + [0] * 7)).hexdigest()[:12]
    assert protocols.order_checksum(np.arange(3, dtype=np.int32)) == wanted


def test_padded_batches_keep_every_clip_once():
    batches = protocols.padded_batches(np.arange(10)[::-1], 4)
    assert [list(rows) for rows, _ in batches] == [[9, 8, 7, 6], [5, 4, 3, 2], [1, 0, 1, 1]]
    assert [list(w) for _, w in batches] == [[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 0, 0]]
    assert protocols.steps_per_epoch(10, 4) == 3
