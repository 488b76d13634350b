"""What defines each method, worked out independently of it; names, options and needs."""

import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax import names, registry, tta
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import masks
from dhauds_jax.nets.normalisers import MOMENTUM
from dhauds_jax.tta import methods, protocols, selection, vectorised
from dhauds_jax.tta.declared import declares
from dhauds_jax.types import Batch, Classifier, Linear, Outputs, RunInfo
from tests.tta import tiny

INFO = RunInfo(steps_per_epoch=2, clips=8, classes=2)


def linear_classifier() -> Classifier:
    """logits = scale * normalised wave + bias over two "classes": small enough to adapt by hand."""

    def apply(variables, wave, *, mode, weights=None, rngs=None, axis_name=None):
        from dhauds_jax.types import Running

        p, s = variables["params"]["encoder"]["batch_norm"], variables["batch_stats"]["encoder"]["batch_norm"]
        y, kept = mode.norm(wave, Running(s["mean"], s["var"]), 1e-5, weights, axis_name)
        logits = y * p["scale"][None] + p["bias"][None]
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
    return method, state, *jax.jit(method.step)(state, BATCH, jax.random.key(0))


def test_norm_by_hand():
    _, _, state, prediction = run("norm")
    wanted = (WAVE - WAVE.mean(0)) / np.sqrt(WAVE.var(0) + 1e-5) * [1.0, 2.0] + [0.1, -0.2]
    np.testing.assert_allclose(prediction.logits, wanted, rtol=1e-5, atol=1e-5)
    stats = state.variables["batch_stats"]["encoder"]["batch_norm"]
    np.testing.assert_allclose(stats["mean"], MOMENTUM * WAVE.mean(0), rtol=1e-5)
    np.testing.assert_allclose(stats["var"], 0.9 + MOMENTUM * WAVE.var(0, ddof=1), rtol=1e-5)


@pytest.mark.parametrize("moments", ["unbiased", "biased"])
def test_norm_blend_by_hand(moments):
    _, before, state, prediction = run("norm", statistics="blend", alpha=0.25, moments=moments)
    mean, var = 0.25 * WAVE.mean(0), 0.25 * WAVE.var(0, ddof=int(moments == "unbiased")) + 0.75
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


@pytest.mark.slow
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


@pytest.mark.slow
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
    said = r"predict was compiled twice in one run: batch\.wave was float32\[4,256\] and is float32\[5,256\]"
    with pytest.raises(RuntimeError, match=said):
        run.predict(state, Batch(jnp.zeros((5, 256)), jnp.ones(5), jnp.arange(5)))
    said = r"batch\.wave was float32\[4,256\] and is float16\[4,256\]"
    with pytest.raises(RuntimeError, match=said):
        run.predict(state, Batch(jnp.zeros((4, 256), jnp.float16), jnp.ones(4), jnp.arange(4)))


def test_another_precision_of_products_compiles_anew_and_is_no_bug():
    classifier = tiny.NETS["batch_norm"]()
    run = protocols.compiled(methods.make("source", classifier, {}))
    state = run.method.init(tiny.variables_of(classifier, tiny.LENGTH), INFO)
    batch = Batch(jnp.asarray(tiny.waves()[:4]), jnp.ones(4), jnp.arange(4))
    first = run.predict(state, batch)
    with jax.default_matmul_precision("float32"):
        np.testing.assert_array_equal(run.predict(state, batch), first)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda s, p: (s, p._replace(logits=p.logits[:3])),
            r"step returned an array of shape \(3, 2\) as logits, expected shape \(8, classes\): \(batch, classes\)",
        ),
        (lambda s, p: (s, p._replace(logits=p.logits[..., 0])), r"an array of shape \(8,\) as logits, expected shape"),
        (
            lambda s, p: (s, p._replace(losses={"total": jnp.ones(4)})),
            r"step's loss 'total' is an array of shape \(4,\)",
        ),
        (
            lambda s, p: (s._replace(memory=jnp.zeros(3)), p),
            r"structure, shapes and types of its state, but state\.memory was not there and is float32\[3\]",
        ),
        (lambda s, p: (s._replace(step=s.step + 0.5), p), r"but state\.step was int32\[\] and is float32\[\]"),
        (lambda s, p: s, r"step returned an AdaptState, expected \(AdaptState, types.Prediction\)"),
    ],
)
def test_a_step_that_returns_what_protocols_cannot_use_says_so(change, said):
    """By the rule that holds methods of a user's own too, which are told whose it is (tests/tta/test_plugged.py)."""
    method = methods.make("source", linear_classifier(), {})
    wrong = method._replace(step=lambda state, batch, key: change(*method.step(state, batch, key)))
    with pytest.raises(TypeError, match=f"^a method's .*{said}"):
        protocols.compiled(wrong).step(method.init(VARIABLES, INFO), BATCH, jax.random.key(0))


def test_a_method_of_the_users_own_takes_the_same_road():
    name, classifier = "tests.tta.foreign:nudge", tiny.NETS["batch_norm"]()
    variables = tiny.variables_of(classifier, tiny.LENGTH)
    assert name in methods.METHODS and name not in list(methods.METHODS)
    assert methods.default_options(name, "reference") == {"lr": 0.1, "evaluations": 1}
    options = methods.resolve_options(name, "corrected", {"lr": "0.5"})
    assert options == {"lr": 0.5, "evaluations": 1}
    method = methods.make(name, classifier, options)
    methods.check_needs(name, method, variables, INFO)
    assert method.passes == (1, 1)
    assert masks.name_of(method.adapts) == "biases_of_the_head"
    assert masks.count(variables["params"], method.adapts) == tiny.CLASSES
    copies = vectorised.study(name, classifier, options, rates=(0.1, 0.2))
    state, shared = vectorised.start(copies, variables, INFO)
    assert state.variables["params"]["head"]["classify"]["bias"].shape == (1, 2, tiny.CLASSES)
    assert "kernel" in shared.frozen["head"]["classify"]


@pytest.mark.parametrize(
    ("name", "axis_name", "said"),
    [
        ("tests.tta.foreign:NOT_A_FACTORY", None, "is an int, expected a factory"),
        ("tests.tta.foreign:forgetful", None, "its factory returned a NoneType, expected a types.Method"),
        (
            "tests.tta.foreign:of_nothing",
            None,
            r"its factory takes \(\) and is called with \(classifier\): too many positional arguments; expected a "
            r"factory \(classifier, \*, options with their values\.\.\.\)$",
        ),
        ("tests.tta.foreign:on_one_device", "batch", "its factory takes no axis_name: it runs on one device"),
        ("tests.tta.foreign:nudged", None, "module tests.tta.foreign has no 'nudged', expected nudge"),
        ("tests.tta.nowhere:nudge", None, "there is no module 'tests.tta.nowhere'"),
    ],
)
def test_what_is_no_method_of_a_user_is_said_in_one_sentence(name, axis_name, said):
    with pytest.raises(BadInput, match=said) as caught:
        methods.make(name, tiny.NETS["batch_norm"](), {}, axis_name)
    assert "\n" not in str(caught.value)


def test_an_unknown_need_is_said_with_the_known_ones():
    name = "tests.tta.foreign:on_one_device"
    method = methods.make(name, tiny.NETS["batch_norm"](), {})
    with pytest.raises(BadInput, match="'batch_nrm': expected batch_norm, source_data, aux_head or input_norm"):
        methods.check_needs(name, method, VARIABLES, INFO)


def test_names_import_nothing_before_they_are_used():
    table = registry.Registry("method", {"tent": "no.such.module:tent"})
    assert (list(table), len(table), "tent" in table, "tentt" in table) == (["tent"], 1, True, False)
    assert table.get("tentt") is None
    with pytest.raises(ModuleNotFoundError):
        table["tent"]
    assert isinstance(methods.METHODS, registry.Registry) and isinstance(protocols.PROTOCOLS, registry.Registry)
    assert list(methods.METHODS) == list(names.METHODS)


def test_declarations_say_why_and_the_package_exports_what_the_readme_uses():
    with pytest.raises(ValueError, match="without `because`"):
        declares(contract_options={"margin": 1.0})
    assert methods.contract_options("eata") == {"margin": 1.0}
    assert methods.contract_options("tent") == {} == methods.contract_options("tests.tta.foreign:nudge")
    assert (tta.methods, tta.protocols, tta.selection) == (methods, protocols, selection)
    assert {"methods", "protocols", "selection"} <= set(dir(tta))
    with pytest.raises(AttributeError, match="has no attribute 'metods'"):
        tta.metods  # noqa: B018


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: methods.factory("tentt"), r"unknown method 'tentt': expected tent, ntta or ttt \(\d+ names"),
        (
            lambda: methods.resolve_options("tent", "reference", {"rate": "1"}),
            "method tent has no option 'rate': valid",
        ),
        (lambda: methods.resolve_options("tent", "reference", {"lr": "fast"}), "option lr is 'fast', expected a float"),
        (lambda: methods.default_options("tent", "faithful"), "unknown profile 'faithful': expected reference or"),
        (
            lambda: methods.make("norm", linear_classifier(), {"statistics": "mine"}),
            "unknown statistics of method norm 'mine': expected",
        ),
        (
            lambda: methods.make("dhauds", linear_classifier(), {"gent_views": "x"}),
            "unknown gent_views of method dhauds 'x': expected",
        ),
        (
            lambda: protocols.check_protocol("episodic!"),
            "unknown protocol 'episodic!': expected episodic",
        ),
    ],
)
def test_bad_names_and_options_get_one_sentence(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def unbounded(classifier, *, clip: float = float("inf")):
    """A method of a user's own whose number may be infinite."""
    return methods.make("source", classifier, {})


def test_numbers_are_held_to_what_they_mean_and_no_further():
    """A learning rate of 0 is a control that adapts nothing; a user's own default may be infinite."""
    assert methods.resolve_options("tent", "reference", {"lr": "0"})["lr"] == 0.0
    with pytest.raises(BadInput, match=r"option b2=2\.0: expected a finite number of at least 0 and below 1$"):
        methods.resolve_options("tent", "reference", {"b2": "2"})
    own = f"{__name__}:unbounded"
    assert methods.resolve_options(own, "reference", {"clip": "inf"}) == {"clip": float("inf")}
    with pytest.raises(BadInput, match=r"option clip=nan: expected a finite number$"):
        methods.resolve_options(own, "reference", {"clip": "nan"})


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
