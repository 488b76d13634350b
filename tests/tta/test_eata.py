"""EATA, ETA and RDumb against steps worked out in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.tta.batchwise import redundancy_for
from dhauds_jax.tta.methods.eata import _squared_gradients, fisher_diagonal
from dhauds_jax.types import SourceData
from tests.tta import affine, tiny
from tests.tta.affine import BIAS, CLASSES, SCALE, affine_slope, entropy, entropy_slope, normalised, parameters, softmax

KEY = jax.random.key(0)
LN = np.log(CLASSES)
LR, MARGIN, REDUNDANCY = 0.05, 0.85, 0.8


def selected(p, average=None):
    """Rows that ETA learns from."""
    keep = entropy(p) < MARGIN * LN
    if average is not None:
        cosine = p @ average / np.linalg.norm(p, axis=1) / np.linalg.norm(average)
        keep &= np.abs(cosine) < REDUNDANCY
    return keep


def eta_slope(scale, bias, x, average=None):
    """Gradient of ETA's loss by hand; also the loss, the probabilities and the chosen rows."""
    p = softmax(normalised(x) * scale + bias)
    keep = selected(p, average)
    factor = np.exp(MARGIN * LN - entropy(p)) * keep / keep.sum()
    return affine_slope(factor[:, None] * entropy_slope(p), normalised(x)), (factor * entropy(p)).sum(), p, keep


def options(**more):
    return {"lr": LR, "margin": MARGIN, "redundancy": REDUNDANCY, "few_classes": "as_given", "fisher": 0.0, **more}


def test_eta_takes_two_steps_by_hand():
    x1, x2 = affine.wave(1), affine.wave(2)
    method, state = affine.make("eata", **options())
    state, first = method.step(state, affine.batch(x1), KEY)
    g1, loss1, p1, keep1 = eta_slope(SCALE, BIAS, x1)
    assert 1 < keep1.sum() < 8
    theta = [SCALE - LR * g1[0], BIAS - LR * g1[1]]
    np.testing.assert_allclose(parameters(state), theta, rtol=1e-5)
    assert float(first.losses["total"]) == pytest.approx(loss1, rel=1e-5)
    assert float(first.losses["kept"]) == pytest.approx(keep1.mean())
    np.testing.assert_allclose(state.memory.average, p1[keep1].mean(0), rtol=1e-5)

    average = p1[keep1].mean(0)
    state, second = method.step(state, affine.batch(x2), KEY)
    g2, loss2, p2, keep2 = eta_slope(*theta, x2, average)
    assert 1 < keep2.sum() < selected(p2).sum()
    assert float(second.losses["total"]) == pytest.approx(loss2, rel=1e-4)
    velocity = [0.9 * a + b for a, b in zip(g1, g2, strict=True)]
    np.testing.assert_allclose(parameters(state), [t - LR * v for t, v in zip(theta, velocity, strict=True)], rtol=1e-4)
    np.testing.assert_allclose(state.memory.average, 0.9 * average + 0.1 * p2[keep2].mean(0), rtol=1e-4)
    np.testing.assert_allclose(softmax(np.asarray(second.logits)), p2, rtol=1e-4, atol=1e-6)


def test_a_batch_that_nothing_is_learnt_from_moves_only_running_statistics():
    method, state = affine.make("eata", **options())
    state, _ = method.step(state, affine.batch(affine.wave(1)), KEY)
    dull = affine.batch(np.repeat(affine.wave(3)[:1], 8, 0))  # no spread: logits are the bias, entropy near ln C
    after, prediction = method.step(state, dull, KEY)
    assert (float(prediction.losses["kept"]), float(prediction.losses["idle"])) == (0.0, 1.0)
    np.testing.assert_array_equal(parameters(after), parameters(state))
    assert jax.tree.all(jax.tree.map(np.array_equal, after.opt_state, state.opt_state))
    np.testing.assert_array_equal(after.memory.average, state.memory.average)
    assert not np.array_equal(affine.running(after)[0], affine.running(state)[0])


@pytest.mark.parametrize("classes, wanted", [(2, 0.894), (6, 0.516), (10, 0.4), (1000, 0.4)])
def test_few_classes_have_a_wider_cosine(classes, wanted):
    """A sure clip's with a uniform average is `1 / sqrt(C)`: 0.707 and 0.408 of two and six classes."""
    assert redundancy_for(0.4, classes, "scaled") == pytest.approx(wanted, abs=1e-3)
    assert redundancy_for(0.4, classes, "scaled") > 1 / np.sqrt(classes)
    assert redundancy_for(0.4, classes, "as_given") == 0.4


@pytest.mark.parametrize("name", ["eata", pytest.param("rdumb", marks=pytest.mark.slow)])
def test_sure_clips_of_three_classes_are_learnt_from(name):
    """As many of each class, so the average is near uniform."""
    sure = affine.batch(np.float32(np.tile(8 * np.eye(3), (3, 1))))
    given = {"margin": 0.95, **({"fisher": 0.0} if name == "eata" else {})}
    for few, kept in (("scaled", 1.0), ("as_given", 0.0)):
        method, state = affine.make(name, few_classes=few, **given)
        state, first = method.step(state, sure, KEY)
        _, second = method.step(state, sure, KEY)
        assert [float(said.losses["kept"]) for said in (first, second)] == [1.0, kept]
        assert float(second.losses["idle"]) == 1.0 - kept
    with pytest.raises(BadInput, match=f"unknown few_classes of method {name} 'mine': expected scaled or as_given"):
        affine.make(name, few_classes="mine", **given)


def fisher_by_hand(x, size):
    """Squared gradients of the cross-entropy against the argmax, batch by batch, averaged."""
    squares = []
    for part in np.split(x, range(size, len(x), size)):
        p = softmax(normalised(part) * SCALE + BIAS)
        dz = (p - np.eye(CLASSES)[p.argmax(1)]) / len(part)
        squares.append([g**2 for g in affine_slope(dz, normalised(part))])
    return [np.mean([s[i] for s in squares], 0) for i in range(2)]


def test_eata_holds_what_fisher_says_is_dear():
    source, x = affine.wave(5, 12), affine.wave(1)
    info = affine.INFO._replace(source=SourceData(jnp.asarray(source), jnp.zeros(12, jnp.int32)))
    method, state = affine.make("eata", info, **options(fisher=50.0, fisher_batch=8))
    assert method.needs == ("source_data",)
    wanted = fisher_by_hand(source, 8)
    found = state.memory.fisher["encoder"]["batch_norm"]
    np.testing.assert_allclose([found["scale"], found["bias"]], 50.0 * np.array(wanted), rtol=1e-4, atol=1e-7)

    state, _ = method.step(state, affine.batch(x), KEY)
    g1, _, p1, keep1 = eta_slope(SCALE, BIAS, x)  # at the source the term and its gradient are 0
    theta = [SCALE - LR * g1[0], BIAS - LR * g1[1]]
    np.testing.assert_allclose(parameters(state), theta, rtol=1e-5)
    x2 = affine.wave(2)
    state, prediction = method.step(state, affine.batch(x2), KEY)
    g2, loss2, _, _ = eta_slope(*theta, x2, p1[keep1].mean(0))
    away = [t - s for t, s in zip(theta, (SCALE, BIAS), strict=True)]
    penalty = sum((50.0 * f * a**2).sum() for f, a in zip(wanted, away, strict=True))
    assert float(prediction.losses["fisher"]) == pytest.approx(penalty, rel=1e-3)
    assert float(prediction.losses["total"]) == pytest.approx(loss2 + penalty, rel=1e-4)
    slopes = [0.9 * a + b + 100.0 * f * d for a, b, f, d in zip(g1, g2, wanted, away, strict=True)]
    np.testing.assert_allclose(parameters(state), [t - LR * g for t, g in zip(theta, slopes, strict=True)], rtol=1e-4)


@pytest.mark.parametrize(("clips", "batch"), [(0, 64), (10, 0)])
def test_eata_refuses_a_fisher_term_of_no_clips(clips, batch):
    with pytest.raises(BadInput) as error:
        affine.make("eata", fisher_clips=clips, fisher_batch=batch)
    said = f"eata: fisher_clips is {clips} and fisher_batch {batch}, expected at least 1 of each"
    assert str(error.value) == f"{said}; fisher=0 leaves the term out"


def test_eata_without_source_clips_says_how_to_go_on():
    with pytest.raises(ValueError, match="method eata needs source clips for its Fisher term: give some, or set fish"):
        affine.make("eata")
    assert affine.make("eata", fisher=0.0)[0].needs == ()


def run(name, waves, **more):
    given = {"lr": LR, "margin": MARGIN, "redundancy": REDUNDANCY, "few_classes": "as_given"}
    method, state = affine.make(name, **given, **more)
    for x in waves:
        state, prediction = method.step(state, affine.batch(x), KEY)
    return state, prediction


def assert_close(a, b):
    """Equal up to the rounding of two compiled programs."""
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)


def test_rdumb_is_eta_that_starts_over():
    waves = [affine.wave(seed) for seed in (1, 2, 4)]
    before, _ = run("rdumb", waves[:2], every=2)
    eta, _ = run("eata", waves[:2], fisher=0.0)
    assert_close(before.variables, eta.variables)
    assert not np.allclose(parameters(before), [SCALE, BIAS], atol=1e-4)
    after, prediction = run("rdumb", waves, every=2)
    fresh, wanted = run("eata", waves[2:], fisher=0.0)
    assert_close(
        (after.variables, after.opt_state, after.memory.eta, prediction.logits),
        (fresh.variables, fresh.opt_state, fresh.memory, wanted.logits),
    )
    assert (int(after.step), int(fresh.step)) == (3, 1)
    slope = np.array(eta_slope(SCALE, BIAS, waves[2])[0])
    np.testing.assert_allclose(parameters(after), np.array([SCALE, BIAS]) - LR * slope, rtol=1e-5)


def test_rdumb_refuses_no_steps():
    with pytest.raises(ValueError, match="rdumb: every is 0, expected at least 1 step between resets"):
        affine.make("rdumb", every=0)


def test_the_fisher_term_is_compiled_once_and_holds_no_weights():
    """All weights were constants of a program that was compiled anew at every start."""
    traces = []
    classifier = tiny.NETS["batch_norm"]()

    def apply(*args, **given):
        traces.append(1)
        return classifier.apply(*args, **given)

    counted = classifier._replace(apply=apply)
    variables, waves = tiny.variables_of(classifier, tiny.LENGTH), jnp.asarray(tiny.waves()[:8])
    first = fisher_diagonal(counted, variables, "norm", waves, 4)
    once = len(traces)
    moved = jax.tree.map(lambda x: 1.1 * x + 0.01, variables)
    second = fisher_diagonal(counted, moved, "norm", waves, 4)
    assert len(traces) == once
    assert not np.array_equal(first["encoder"]["batch_norm"]["scale"], second["encoder"]["batch_norm"]["scale"])
    parts = (waves.reshape(2, 4, -1), jnp.ones((2, 4)))
    assert _squared_gradients.trace(apply, "norm", variables, parts).jaxpr.consts == []
