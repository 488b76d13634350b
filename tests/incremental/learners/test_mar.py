"""MAR: levels, fusion, weights and logits of the published code, its commented-out training, finite differences."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from converters import spectrogram
from converters.mapping import canonical, to_flax
from dhauds_jax.errors import BadInput
from dhauds_jax.incremental import learners
from dhauds_jax.incremental.as_classifier import as_classifier
from dhauds_jax.incremental.descent import descend
from dhauds_jax.incremental.learners import mar
from dhauds_jax.incremental.regression import LAMBDAS
from dhauds_jax.nets import zoo
from dhauds_jax.nets.levels import Fusion, last_levels
from dhauds_jax.nets.normalisers import EVAL
from tests.goldens.golden_weights import golden_state_dict
from tests.incremental.learning import KEY, begun, info_for, placed_to_be_drawn, shots, taught
from tests.paths import GOLDENS, golden, largest_error

CLASSES = tuple("abcde")


@functools.cache
def numbers():
    return golden("mar_small")


@functools.cache
def published():
    """(state dict of the published module, config of its network of patches alone)."""
    state = golden_state_dict(str(GOLDENS / "mar_small.spec.json"))
    config = zoo.preset("ast_base_fsc89_patches", CLASSES)
    return state, config.replace(geometry={**config.geometry, "width": 48, "heads": 4, "mlp": 192})


def fusion_of(state):
    places = {"hidden": "0", "output": "2"}
    return {
        name: {
            "kernel": jnp.asarray(state[f"fusion_module.mlp.{place}.weight"].T),
            "bias": jnp.asarray(state[f"fusion_module.mlp.{place}.bias"]),
        }
        for name, place in places.items()
    }


@functools.cache
def layers():
    """(60, 12, 48), what the learner reads of the golden's clips."""
    state, config = published()
    named = canonical(
        {key.removeprefix("backbone."): leaf for key, leaf in state.items() if key.startswith("backbone.")}
    )
    named = {**named, "v.pos_embed": numbers()["pos_embed"].astype(np.float32)}
    variables = to_flax(named, spectrogram.encoder_leaves(config.geometry, "original"), spectrogram.IGNORE).variables
    features = (jnp.asarray(numbers()["features"]) + 4.26) / 9.14
    return np.asarray(jax.jit(lambda v, f: zoo.build(config).tap(v, f, "layers"))(variables, features))


@pytest.mark.slow
def test_levels_fusion_and_embedding_are_the_published_ones():
    wanted = numbers()
    assert largest_error(layers()[50:], wanted["levels"]) < 1e-5 * np.abs(wanted["levels"]).max()
    assert largest_error(layers()[:4, -6:], wanted["last6_first_levels"]) < 1e-5 * np.abs(wanted["levels"]).max()
    fused, weights = Fusion().apply({"params": fusion_of(published()[0])}, last_levels(jnp.asarray(layers()), 6))
    assert largest_error(weights, wanted["fusion_weights"]) < 1e-5
    assert largest_error(fused, wanted["embedding"]) < 1e-5 * np.abs(wanted["embedding"]).max()


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["reference", "exact"])
def test_two_sessions_are_the_published_ones(profile):
    """In float32 as the code runs; in float64 with the lambdas that it chose."""
    wanted, info = numbers(), info_for((12, 48), classes=50, sessions=2, rows=25)
    exact = {"profile": "corrected", "fusion": "random"}
    state = None
    for session, order in enumerate(wanted["orders"]):
        ending = "" if profile == "exact" else "_f32"
        chosen = float(wanted[f"small_lambda_{session}{ending}"])
        options = {"profile": "reference"} if profile == "reference" else {**exact, "lambda_": str(chosen)}
        learner, fresh = begun("mar", info, **options)
        if state is None:
            state = fresh._replace(params={**fresh.params, "fusion": fusion_of(published()[0])})
        elif profile == "exact":
            ridge = state.params["ridge"]._replace(penalty=fresh.params["ridge"].penalty)
            state = state._replace(params={**state.params, "ridge": ridge})
        order = placed_to_be_drawn(order, KEY, 25 * session)
        given = shots(layers()[order], wanted["labels"][order].astype(np.int32), 25, first=25 * session)
        state, losses = learner.learn(state, given, KEY)
        assert LAMBDAS[round(float(losses["log10_lambda"])) + 8] == pytest.approx(chosen)
        seen, tolerance = 5 * (session + 1), 1e-4 if profile == "exact" else 2e-3
        logits = np.asarray(learner.predict(state, layers())["ridge"])
        assert np.isneginf(logits[:, seen:]).all()
        assert largest_error(logits[:, :seen], wanted[f"small_logits_{session}{ending}"]) < 16 * tolerance
        weights = wanted[f"small_weight_{session}{ending}"]
        assert largest_error(state.heads.T[:seen], weights) < tolerance * np.abs(weights).max()


def training_loss(params, batch, weights):
    wanted = numbers()
    levels = jnp.asarray(layers())[:, -6:]
    labels = jnp.asarray(wanted["labels"], jnp.int32)
    value = mar.head_loss(params, levels[batch], labels[batch], weights, jnp.ones(5), 16.0)
    return value, {"loss": value}


@pytest.mark.slow
def test_one_step_of_the_training_that_the_code_leaves_out():
    """Fusion and head alone: the golden also moves the network, whose change its first step does not feel."""
    wanted = numbers()
    start = {"fusion": fusion_of(published()[0]), "rows": jnp.asarray(wanted["train1_fc_draw"], jnp.float32)}
    order = jnp.asarray(wanted["orders"][:1], jnp.int32)
    loss, _ = training_loss(start, order[0], jnp.ones(25))
    assert float(loss) == pytest.approx(float(wanted["train1_loss"]), rel=3e-6)
    weights = jnp.zeros(60).at[order[0]].set(1.0)
    rest = jnp.setdiff1d(jnp.arange(60), order[0])
    orders = jnp.concatenate([order, rest[None]], 1)
    moved, told = jax.jit(lambda p: descend(training_loss, p, orders, weights, mar.DESCENT, 1))(start)
    assert float(told["loss"]) == pytest.approx(float(wanted["train1_loss"]), rel=3e-6)
    changes = {
        "fc.weight": moved["rows"] - start["rows"],
        "fusion_module.mlp.0.weight": (moved["fusion"]["hidden"]["kernel"] - start["fusion"]["hidden"]["kernel"]).T,
        "fusion_module.mlp.0.bias": moved["fusion"]["hidden"]["bias"] - start["fusion"]["hidden"]["bias"],
        "fusion_module.mlp.2.weight": (moved["fusion"]["output"]["kernel"] - start["fusion"]["output"]["kernel"]).T,
        "fusion_module.mlp.2.bias": moved["fusion"]["output"]["bias"] - start["fusion"]["output"]["bias"],
    }
    for name, change in changes.items():
        size = np.abs(wanted[f"train1_change/{name}"]).max()
        # In float32 a change is the difference of two numbers 1e3 times as large.
        assert largest_error(change, wanted[f"train1_change/{name}"]) < 3e-3 * size, name


@pytest.mark.slow
def test_gradients_of_the_fusion_are_finite_differences():
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        levels = jnp.asarray(rng.normal(size=(7, 3, 5)))
        params = Fusion().init(jax.random.key(0), levels)["params"]
        params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), params)
        probe = jnp.asarray(rng.normal(size=(7, 5)))

        def value(params):
            return (Fusion().apply({"params": params}, levels)[0] * probe).sum()

        slopes = jax.grad(value)(params)
        for layer in ("hidden", "output"):
            for place in (0, 3):
                step = jnp.zeros_like(params[layer]["kernel"]).at[place, 1].set(1e-6)
                ends = [
                    value({**params, layer: {**params[layer], "kernel": params[layer]["kernel"] + sign * step}})
                    for sign in (1, -1)
                ]
                difference = float((ends[0] - ends[1]) / 2e-6)
                assert difference == pytest.approx(float(slopes[layer]["kernel"][place, 1]), rel=1e-6, abs=1e-9)


def test_the_fusion_is_trained_in_session_0_alone():
    labels = numbers()["labels"].astype(np.int32)
    learner, state = begun("mar", info_for((12, 48), classes=12, sessions=2, rows=25), epochs=3)
    sessions = [np.arange(25), np.arange(25, 50)]
    after, losses = taught(learner, state, layers(), labels, sessions[:1], 25)
    assert float(losses["fusion_loss"]) > 0
    moved = largest_error(after.params["fusion"]["hidden"]["kernel"], state.params["fusion"]["hidden"]["kernel"])
    assert moved > 1e-5
    later, losses = taught(learner, after, layers(), labels, sessions[1:], 25)
    assert float(losses["fusion_loss"]) == 0
    jax.tree.map(np.testing.assert_array_equal, later.params["fusion"], after.params["fusion"])
    assert learner.forget is None and learner.merge is None
    assert learners.make("mar", None, {"fusion": "random"}).forget is not None


@pytest.mark.slow
def test_it_is_the_head_of_a_classifier():
    config = zoo.preset("ssast_test", ("x", "y"))
    classifier = zoo.build(config)
    waves = jnp.asarray(np.random.default_rng(0).normal(size=(6, 4000)) * 0.1, jnp.float32)
    variables = classifier.init(jax.random.key(1), waves[:1])
    rows = np.asarray(classifier.tap(variables, classifier.features(waves), "layers"))
    labels = np.int32([0, 0, 1, 1, 4, 4])
    learner, state = begun("mar", info_for(rows.shape[1:], classes=6, sessions=1, rows=6), epochs=2)
    state, _ = taught(learner, state, rows, labels, [np.arange(6)], 6)
    made, changed = as_classifier(classifier, variables, learner, state, "ridge", {"c": 4, "a": 0})
    outputs, _ = made.apply(changed, waves, mode=EVAL)
    wanted = np.asarray(learner.predict(state, rows)["ridge"])[:, [4, 0]]
    np.testing.assert_allclose(outputs.logits, wanted, atol=2e-5)
    linear = made.head(changed)
    np.testing.assert_allclose(outputs.embedding @ linear.kernel + linear.bias[None], wanted, atol=2e-5)


def test_what_it_refuses():
    with pytest.raises(BadInput, match=r"profile is 'published', expected reference or corrected"):
        learners.make("mar", None, {"profile": "published"})
    with pytest.raises(BadInput, match=r"option fusion is 'none', expected random or trained"):
        learners.make("mar", None, {"fusion": "none"})
    with pytest.raises(BadInput, match=r"what is read has shape \(24,\), expected \(depth, width\)"):
        learners.make("mar", None).init({}, info_for(24), KEY)
