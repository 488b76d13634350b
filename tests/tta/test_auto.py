"""Auto: the choice by hand, against the advice's own numbers, and what a step and an epoch hand on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.tta import advice, methods, selection
from dhauds_jax.tta.batchwise import chose_said
from dhauds_jax.tta.methods.auto import CANDIDATES, Tally, choice
from dhauds_jax.types import RunInfo
from tests.tta import linear, tiny

KEY = jax.random.key(0)
INFO = RunInfo(steps_per_epoch=1, clips=8, classes=2, batch_size=8)


def tally_of(*logits, window=10**6):
    """After one batch of what each candidate said of it."""
    classes = logits[0].shape[-1]
    size = len(logits)
    empty = Tally(jnp.zeros((size, classes)), jnp.zeros(size), jnp.zeros(size), jnp.zeros(()))
    batch = linear.BATCH._replace(weights=jnp.ones(len(logits[0])))
    return empty.added(jnp.asarray(np.stack(logits), jnp.float32), batch, window, None)


def said(gap, clips=40, classes=4):
    """Logits of clips whose labels go round, `gap` above the rest."""
    return gap * np.eye(classes)[np.arange(clips) % classes]


def test_the_information_is_that_of_the_criterion_and_of_the_advice():
    z = np.random.default_rng(0).normal(size=(3, 40, 4)) * 3
    found = tally_of(*z).information()
    np.testing.assert_allclose(found, [selection.information(one) / np.log(4) for one in z], rtol=1e-4)
    p = linear.softmax(z[0])
    assert float(found[0]) == pytest.approx(advice.information(p), rel=1e-4)


def test_old_clips_fade():
    first, second = said(4.0), said(1.0)
    twice = tally_of(first, window=20).added(jnp.asarray(second[None], jnp.float32), linear.BATCH._replace(
        weights=jnp.ones(40)), 20, None)  # fmt: skip
    share = 0.95**40
    entropies = [linear.entropy(z).sum() for z in (first, second)]
    assert float(twice.entropy[0]) == pytest.approx(share * entropies[0] + entropies[1], rel=1e-4)
    assert float(twice.clips) == pytest.approx(40 * share + 40, rel=1e-5)


@pytest.mark.parametrize(
    ("source", "others", "seen", "leave", "wanted"),
    [
        (1.0, (3.0, 6.0), 40, True, 2),  # the most informative
        (1.0, (3.0, 6.0), 29, True, 0),  # too few clips to say
        (1.0, (3.0, 6.0), 8, False, 2),
        (1.0, (0.5, 1.05), 40, True, 0),  # neither grows by 4 points
        (1.0, (0.5, 1.05), 40, False, 2),
        (5.0, (5.5, 9.0), 40, True, 0),  # 98 % sure: 10 points are asked for, and there are but 9 to gain
        (1.0, (np.nan, 3.0), 40, True, 2),
    ],
)
def test_the_choice_follows_the_advice(source, others, seen, leave, wanted):
    tally = tally_of(said(source), *(said(one) for one in others))
    assert int(choice(tally, jnp.int32(seen), leave)) == wanted


def test_a_collapse_and_less_sureness_are_left():
    one_class = np.tile([9.0, 0.0, 0.0, 0.0], (40, 1))
    assert int(choice(tally_of(said(1.0), one_class), jnp.int32(40), True)) == 0
    # Half of the source's clips are of one class and sure; the other says less sure things of all classes.
    narrow = np.concatenate([np.tile([[6.0, 0, 0, 0]], (38, 1)), said(6.0)[:2]])
    tally = tally_of(narrow, said(2.2))
    growth = tally.information()
    assert float(growth[1] - growth[0]) > advice.GROWTH[1]
    assert int(choice(tally, jnp.int32(40), True)) == 0


@pytest.mark.slow
def test_steps_of_two_methods_side_by_side():
    """Each candidate makes the steps it makes alone, with its share of the key; one of the two is what is said."""
    made = linear.compiled("auto", candidates="norm+tent", leave=False)
    state = made.init(linear.VARIABLES, INFO)
    alone = {}
    for i, name in enumerate(("norm", "tent")):
        method = methods.make(name, linear.classifier(), methods.default_options(name, "reference"))
        its = method.init(linear.VARIABLES, INFO)
        for step in range(2):
            its, prediction = method.step(its, linear.BATCH, jax.random.fold_in(jax.random.key(step), i))
        alone[name] = its, prediction.logits, method.predict(its, linear.BATCH)
    for step in range(2):
        state, prediction = made.step(state, linear.BATCH, jax.random.key(step))
    chosen = ("source", "norm", "tent")[int(state.memory.chosen)]
    assert chosen != "source" and float(prediction.losses[f"chose_{chosen}"]) == 1.0
    assert chose_said({name: float(value) for name, value in prediction.losses.items()}) == f"{chosen} 100 %"
    its, logits, evaluated = alone[chosen]
    np.testing.assert_allclose(prediction.logits, logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(made.predict(state, linear.BATCH), evaluated, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(linear.affine(state.variables), linear.affine(its.variables), rtol=1e-5)
    assert made.passes == (3, 1)


def test_the_source_is_what_is_left():
    """Eight clips are too few: the source's prediction, its variables, while the candidate moves on."""
    made = linear.compiled("auto", candidates="tent")
    state, prediction = made.step(made.init(linear.VARIABLES, INFO), linear.BATCH, KEY)
    plain = linear.logits(linear.WAVE, linear.affine(linear.VARIABLES))
    np.testing.assert_allclose(prediction.logits, plain, rtol=1e-5, atol=1e-6)
    assert np.array_equal(linear.affine(state.variables), linear.affine(linear.VARIABLES).astype(np.float32))
    assert not np.allclose(linear.affine(state.memory.states[0].variables), linear.affine(linear.VARIABLES))


def test_what_its_candidates_need_it_needs():
    """Source clips are read for what says so, so `auto` has to say it in their place."""
    assert methods.make("auto", linear.classifier(), {"candidates": "tent+eata"}).needs == ("source_data",)
    assert methods.make("auto", linear.classifier(), {"candidates": "tent+t3a"}).needs == ()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"candidates": "auto"}, r"auto: candidates is 'auto', expected methods with \+ between, such as dhauds\+shot"),
        ({"candidates": "tnt"}, "unknown method 'tnt'"),
        ({"window": 1}, "auto: window=1: expected above 1"),
    ],
)
def test_bad_options_get_one_sentence(given, message):
    with pytest.raises(ValueError, match=message):
        methods.make("auto", linear.classifier(), given)


@pytest.mark.slow
def test_the_first_three_of_the_board_are_taken_as_they_come():
    classifier = tiny.NETS["batch_norm"]()
    method = methods.make("auto", classifier, methods.resolve_options("auto", "reference", {}))
    variables = tiny.variables_of(classifier, tiny.LENGTH)
    state = method.init(variables, RunInfo(1, 8, tiny.CLASSES, batch_size=8))
    assert len(state.memory.states) == len(CANDIDATES) == 3
    batch = linear.BATCH._replace(wave=jnp.asarray(tiny.waves()[:8]))
    state = method.begin_epoch(state, method.observe(state, batch), KEY)
    after, prediction = jax.jit(method.step)(state, batch, KEY)
    assert np.isfinite(prediction.logits).all() and int(after.memory.chosen) == 0
