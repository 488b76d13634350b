"""The predictor: members, copies and groups as if each were computed by itself, and nothing compiled after warm-up."""

import functools
import math
import threading
from concurrent.futures import Future

import jax
import numpy as np
import pytest

from dhauds_jax import calibration
from dhauds_jax.errors import BadInput
from dhauds_jax.metrics import softmax
from dhauds_jax.model import Model, load
from dhauds_jax.model.rejecting import rejecting
from dhauds_jax.nets import checkpoint, zoo
from dhauds_jax.serve import compilations, engine, stacking
from dhauds_jax.serve.batching import Batcher, Item
from dhauds_jax.serve.compute import Compute
from dhauds_jax.serve.contracts import Predictor, UnknownSession
from dhauds_jax.types import Calibration
from tests.runs import tiny

SHAPES = (1, 2, 4)
CLASSES = ("bark", "howl", "glass", "bird")


@functools.cache
def classifier():
    return zoo.build(tiny.smallest(CLASSES))


def a_model(seed=0, temperature=None):
    """A tiny network with weights of its own, as a fold of an ensemble has them."""
    config = classifier().config
    variables = tiny._variables(CLASSES, tiny.smallest)
    variables = jax.tree.map(
        lambda x: x + np.random.default_rng(seed).normal(0, 0.1, x.shape).astype(x.dtype) ** 2, variables
    )
    made = Calibration(temperature or 1.0, "nll", "max_probability")
    extra = {} if temperature is None else {"calibration": calibration.to_extra(made)}
    return Model(classifier(), jax.tree.map(jax.numpy.asarray, variables), config.replace(source={"fold": seed}), extra)


@functools.cache
def clips(rows=7):
    return np.stack([tiny.tone(k, k, classifier().config.length) for k in range(rows)]).astype(np.float32)


@functools.cache
def alone():
    """One model, served."""
    served = engine.serve_models([a_model()], shapes=SHAPES)
    assert set(served.warm()) == set(SHAPES)
    return served


def one_by_one(served, waves):
    return np.concatenate([served.predict(wave[None], np.ones(1, np.float32)) for wave in waves])


def test_a_served_model_says_what_the_model_says():
    expected = softmax(a_model().logits(clips()))
    np.testing.assert_allclose(one_by_one(alone(), clips()), expected, rtol=0, atol=1e-6)
    assert alone()[:4] == (16_000, classifier().config.length, CLASSES, SHAPES)


@pytest.mark.parametrize("rows", [2, 4])
def test_no_row_depends_on_what_lies_beside_it(rows):
    waves = clips()[:rows]
    both = alone().predict(waves, np.ones(rows, np.float32))
    np.testing.assert_allclose(both, one_by_one(alone(), waves), rtol=0, atol=1e-6)
    poisoned = waves.copy()
    poisoned[0] = np.nan
    found = alone().predict(poisoned, np.ones(rows, np.float32))
    assert np.isnan(found[0]).all()
    np.testing.assert_array_equal(found[1:], both[1:])


def test_int16_rows_are_the_same_rows():
    whole = np.round(clips()[:2] * 32_768).astype(np.int16)
    found = alone().predict(whole, np.ones(2, np.float32))
    np.testing.assert_array_equal(found, alone().predict(whole / np.float32(32_768), np.ones(2, np.float32)))


def test_members_and_copies_are_their_mean_each_at_its_own_temperature():
    models = [a_model(0), a_model(1, 2.0), a_model(2, 5.0)]
    served = engine.serve_models(models, views=3, view_step_s=0.05, shapes=(2,))
    waves, expected = clips()[:2], []
    for model, temperature in zip(models, (1.0, 2.0, 5.0), strict=True):
        for offset in (0, 800, 1600):
            copy = np.zeros_like(waves)
            copy[:, : waves.shape[1] - offset] = waves[:, offset:]
            expected.append(softmax(model.logits(copy) / temperature))
    assert np.ptp(expected, axis=0).max() > 0.01
    np.testing.assert_allclose(served.predict(waves, np.ones(2)), np.mean(expected, 0), rtol=0, atol=1e-6)


def test_copies_that_take_turns_say_the_same(monkeypatch):
    models, waves = [a_model(0), a_model(1)], clips()[:4]
    at_once = engine.serve_models(models, views=2, view_step_s=0.1, shapes=(4,)).predict(waves, np.ones(4))
    monkeypatch.setattr(stacking, "AT_ONCE", 4)
    in_turn = engine.serve_models(models, views=2, view_step_s=0.1, shapes=(4,)).predict(waves, np.ones(4))
    np.testing.assert_allclose(in_turn, at_once, rtol=0, atol=1e-6)


def test_large_matrices_lie_transposed_and_say_the_same(monkeypatch):
    models, waves = [a_model(0), a_model(1)], clips()[:2]
    expected = engine.serve_models(models, shapes=(2,)).predict(waves, np.ones(2))
    monkeypatch.setattr(stacking, "LARGE", 64)
    turned, own = (jax.tree.leaves(tree) for tree in (stacking.stacks(models)[0].members[1][0], models[1].variables))
    assert any(a.shape == b.shape[::-1] != b.shape for a, b in zip(turned, own, strict=True))
    found = engine.serve_models(models, shapes=(2,)).predict(waves, np.ones(2))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_winograds_convolutions_answer_within_1e_5_of_the_direct_ones(tmp_path):
    config = zoo.preset("vggish_small", CLASSES).replace(length=16_000)
    config = config.replace(geometry={**config.geometry, "widths": [16, 32], "convs": [1, 2], "dense": [8]})
    variables = zoo.build(config).init(jax.random.key(0), jax.numpy.zeros((1, config.length)))
    variables["params"]["head"]["classifier"]["kernel"] *= 30  # so that clips are told apart
    checkpoint.save(tmp_path / "net", variables, config)
    waves = np.stack([tiny.tone(k, k, config.length) for k in (0, 9)]).astype(np.float32)
    direct, winograd = (
        engine.serve_models([load(tmp_path / "net", convolution=how)], shapes=(2,)).predict(waves, np.ones(2))
        for how in ("direct", "winograd")
    )
    assert np.abs(direct[0] - direct[1]).max() > 0.01 and not np.array_equal(winograd, direct)
    np.testing.assert_allclose(winograd, direct, rtol=0, atol=1e-5)


def test_winograds_convolutions_are_refused_where_there_are_none():
    with pytest.raises(BadInput, match="winograd: amaut_arabic15 has no 3 by 3 convolutions, expected direct"):
        load("words15", convolution="winograd")
    with pytest.raises(BadInput, match=r"^--convolution=winograd: audio-text models have no 3 by 3 convolutions"):
        load("anywhere", class_names=["dog", "cat"], convolution="winograd")


def test_models_of_several_configs_are_weighed_by_the_model():
    models = [a_model(0), a_model(1), a_model(2)]
    other = Model(models[2].classifier, models[2].variables, models[2].config.replace(net="another"), {})
    served = engine.serve_models([*models[:2], other], shapes=(2,))
    expected = np.mean([softmax(model.logits(clips()[:2])) for model in models], 0)
    np.testing.assert_allclose(served.predict(clips()[:2], np.ones(2)), expected, rtol=0, atol=1e-6)
    assert len(stacking.stacks([*models[:2], other])) == 2


def test_groups_are_summed():
    groups = {"names": ["dog", "rest"], "of": [0, 0, 1, 1]}
    model = a_model()
    grouped = Model(model.classifier, model.variables, model.config.replace(groups=groups))
    served = engine.serve_models([grouped], shapes=(2,))
    found, whole = served.predict(clips()[:2], np.ones(2)), softmax(a_model().logits(clips()[:2]))
    assert served.classes == ("dog", "rest")
    np.testing.assert_allclose(found, np.stack([whole[:, :2].sum(1), whole[:, 2:].sum(1)], 1), rtol=0, atol=1e-6)


@pytest.mark.parametrize("score", ["max_probability", "max_score", "energy"])
def test_with_a_threshold_what_is_compared_stands_behind_the_probabilities(score):
    model, waves, ones = a_model(temperature=2.0), clips()[:2], np.ones(2, np.float32)
    rule = rejecting(Calibration(2.0, "nll", score, np.zeros(1), None), {}, 0.0)
    served = engine.serve_rejecting(model, rule, shapes=(2,))
    assert set(served.warm()) == {2} and served.classes == CLASSES
    expected = model.logits(waves)
    found = served.answers(waves, ones)
    np.testing.assert_allclose(found[:, :4], softmax(expected / 2), rtol=0, atol=1e-6)
    np.testing.assert_allclose(found[:, 4:], calibration.compared(rule.made, expected), rtol=0, atol=1e-5)
    np.testing.assert_array_equal(served.predict(waves, ones), found[:, :4])
    np.testing.assert_array_equal(engine.SourceOnly(served).predict("", waves, ones)[0], found)


def test_nothing_is_compiled_after_warm_up():
    served = engine.serve_models([a_model(0), a_model(1)], views=2, view_step_s=0.1, shapes=SHAPES)
    compilations.count()
    assert set(served.warm()) == set(SHAPES)
    before = compilations.count()
    assert before > 0
    for rows in SHAPES:
        for waves in (clips()[:rows], (clips()[:rows] * 1000).astype(np.int16), np.asfortranarray(clips()[:rows])):
            served.predict(waves, np.ones(rows, np.float32))
    assert compilations.count() == before
    jax.jit(lambda x: x * 3.25)(np.float32(1))
    assert compilations.count() == before + 1


def test_rows_that_were_not_compiled_are_refused():
    for shape in ((3, clips().shape[1]), (2, 5)):
        with pytest.raises(ValueError, match="rows one of"):
            alone().predict(np.zeros(shape, np.float32), np.ones(shape[0]))


def test_broken_weights_show_before_the_first_request():
    model = a_model()
    broken = jax.tree.map(lambda x: x * np.nan, model.variables)
    with pytest.raises(BadInput, match="sums to nan, expected 1"):
        engine.serve_models([Model(model.classifier, broken, model.config)], shapes=(1,)).warm()


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        ({"classes": ("bark", "howl", "bird", "glass")}, {}, "4 and 4 classes"),
        ({"sample_rate": 8_000}, {}, "the same classes, clips of 4000 samples at 16000 Hz and of 4000 at 8000 Hz"),
        ({}, {"views": 0}, "--views=0: expected at least 1"),
        ({}, {"views": 3}, "views shift:3: the last copy starts 0.4 s into clips of 0.25 s"),
        ({}, {"views": 2, "view_step_s": 0.0}, "step between views=0.0: expected a finite number above 0"),
        ({}, {"shapes": ()}, r"shapes \(\)"),
    ],
)
def test_what_does_not_go_together_is_refused(change, options, said):
    first = a_model()
    second = Model(first.classifier, first.variables, first.config.replace(**change))
    with pytest.raises(BadInput, match=said):
        engine.serve_models([first, second], **options)


def test_models_that_read_recordings_in_different_ways_are_refused():
    first = a_model()
    for key, value in (("layout", "start"), ("resampler", "soxr_hq")):
        config = first.config.replace(front_end={**first.config.front_end, key: value})
        with pytest.raises(
            BadInput, match=rf"layout=centre, resampler=sinc and as .*{key}={value}.*: serve them apart"
        ):
            engine.serve_models([first, Model(first.classifier, first.variables, config)])


def test_shapes_are_powers_of_two_and_the_largest():
    assert [engine.shapes_up_to(n) for n in (1, 2, 6, 32)] == [(1,), (1, 2), (1, 2, 4, 6), engine.SHAPES]
    with pytest.raises(BadInput, match="--max_batch=0"):
        engine.shapes_up_to(0)


def test_without_sessions_there_is_the_source_model_alone():
    predictor = engine.SourceOnly(alone())
    assert isinstance(predictor, Predictor) and predictor.work() is False
    found, source = predictor.predict("", clips()[:1], np.ones(1, np.float32))
    assert source is None and found.shape == (1, 4)
    with pytest.raises(UnknownSession):
        predictor.predict("abc", clips()[:1], np.ones(1, np.float32))


def test_every_answer_of_fifty_clients_is_the_unbatched_one():
    """Windows of several requests share batches; a client gets its own rows, in their order."""
    batcher = Batcher(SHAPES, classifier().config.length)
    thread = Compute(engine.SourceOnly(alone()), batcher)
    expected, got = one_by_one(alone(), clips()), {}

    def client(number):
        rows = [(number + k) % len(clips()) for k in range(1 + number % 6)]
        future = Future()
        batcher.submit(Item(clips()[rows], "", math.inf, future))
        got[number] = rows, future.result(60)

    clients = [threading.Thread(target=client, args=(number,)) for number in range(50)]
    for one in clients:
        one.start()
    thread.start()
    for one in clients:
        one.join(60)
    assert thread.stop(60)
    assert len(got) == 50 and max(answer.batch for _, answer in got.values()) == 4
    for rows, answer in got.values():
        np.testing.assert_allclose(answer.probabilities, expected[rows], rtol=0, atol=1e-6)
