"""The contract table: every method under the two ways to run on every tiny net, and one of a user's own.

A new method is taken up by its name. What a row may refuse, what options it needs and which net is its home all follow
from what the method says of itself (`types.Method`, `tta.declared`): no method is named in the table.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.nets import masks, mel_image
from dhauds_jax.tta import evaluation, methods, protocols
from dhauds_jax.types import Batch, RunInfo, SourceData
from tests.tta import tiny
from tests.tta.guarded import guarded

BATCH = 8
METHODS = (*methods.METHODS, "tests.tta.foreign:nudge")


def info(waves):
    """The run's facts, with labelled source clips for the methods that need some."""
    source = SourceData(jnp.asarray(waves), jnp.arange(len(waves), dtype=jnp.int32) % tiny.CLASSES)
    return RunInfo(steps_per_epoch=3, clips=tiny.CLIPS, classes=tiny.CLASSES, source=source, batch_size=BATCH)


def build(method, classifier):
    options = methods.resolve_options(method, "reference", methods.contract_options(method))
    return methods.make(method, classifier, options)


@functools.cache
def home(method):
    """The tiny net that has all that a method can need."""
    return "aux" if "aux_head" in build(method, tiny.NETS["batch_norm"]()).needs else "batch_norm"


def marks(method, net):
    """Rows of one method and net share a worker and what it compiles; all but a method's home are slow.

    But for the linear nets that must refuse a method: that takes no time.
    """
    slow = net in tiny.ZOO or not (net == home(method) or lacks(method, net))
    return [pytest.mark.xdist_group(f"{method} {net}"), *([pytest.mark.slow] if slow else [])]


@functools.lru_cache(maxsize=len(tiny.NETS))
def variables_of(net):
    """Shapes of a net's variables."""
    classifier = tiny.NETS[net]()
    return jax.eval_shape(classifier.init, jax.random.key(0), jnp.zeros((2, tiny.length_of(net))))


def lacks(method, net):
    """Whether the method's own declaration says that it cannot run on the net."""
    built, variables = build(method, tiny.NETS[net]()), variables_of(net)
    params = variables["params"]
    missing = {
        "batch_norm": not masks.has_batch_norm({"params": params}),
        "aux_head": "aux" not in params,
        "source_data": False,
        "input_norm": not mel_image.has_statistics(variables),
    }
    nothing_moves = built.adapts != "none" and not masks.split(params, built.adapts)[0]
    return nothing_moves or any(missing[need] for need in built.needs)


ROWS = pytest.mark.parametrize(
    ("method", "net"),
    [pytest.param(method, net, marks=marks(method, net)) for method in METHODS for net in tiny.NETS],
    scope="module",  # so that pytest runs all tests of a row before those of the next
)


UNOPTIMISED = {"xla_backend_optimization_level": 0}
"""Optimising programs that run a few dozen times would take most of the table's time, and no fact of it is of speed."""


@functools.lru_cache(maxsize=len(tiny.NETS))
def net_of(net):
    """(classifier, variables, waves), made once for all methods."""
    classifier, length = tiny.NETS[net](), tiny.length_of(net)
    return classifier, tiny.variables_of(classifier, length), tiny.waves(length)


@functools.lru_cache(maxsize=1)
def made(method, net):
    """(classifier's variables, waves, Compiled) of a row, or the sentence why the method cannot run on the net.

    The four tests of a row follow each other and share what is compiled here.
    """
    classifier, variables, waves = net_of(net)
    built = build(method, classifier)
    try:
        methods.check_needs(method, built, variables, info(waves))
        built.init(variables, info(waves))
    except BadInput as error:
        return str(error), None, None
    return variables, waves, guarded(protocols.compiled(built, UNOPTIMISED))


def fits(method, net):
    """Skips nothing: rows that cannot run must say so in one sentence that names the method, and end there."""
    variables, waves, run = made(method, net)
    assert (run is None) == lacks(method, net)
    if run is None:
        assert variables.startswith(f"method {method} ")
        assert "\n" not in variables
        return None
    return variables, waves, run


def leaves_equal(a, b):
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.array_equal(np.asarray(x), np.asarray(y)) for x, y in pairs)


def offline(row, begin=0, state=None, epochs=2):
    variables, waves, run = row
    state = run.method.init(variables, info(waves)) if state is None else state
    out = []
    for epoch in protocols.offline(
        run, state, waves, epochs=epochs, batch_size=BATCH, key=jax.random.key(3), begin=begin
    ):
        out.append((epoch.index, jax.tree.map(np.asarray, epoch.state), epoch.logits, epoch.losses))
    return out


@functools.lru_cache(maxsize=1)
def first_run(method, net):
    """Two epochs of a row, which two of its tests look at."""
    return offline(made(method, net))


def online(row, begin=0, state=None):
    variables, waves, run = row
    state = run.method.init(variables, info(waves)) if state is None else state
    out = []
    for step in protocols.online(run, state, waves, batch_size=BATCH, key=jax.random.key(3), begin=begin):
        out.append((step.index, jax.tree.map(np.asarray, step.state), step.rows, step.logits))
    return out


@ROWS
def test_offline_runs_repeats_and_resumes_to_the_same_bits(method, net):
    row = fits(method, net)
    if row is None:
        return
    first, again = first_run(method, net), offline(row)
    assert [index for index, *_ in first] == [0, 1, 2]
    for (_, state, logits, losses), (_, state2, logits2, losses2) in zip(first, again, strict=True):
        assert logits.shape == (tiny.CLIPS, tiny.CLASSES)
        assert np.all(np.isfinite(logits))
        assert leaves_equal(state, state2)
        assert np.array_equal(logits, logits2)
        assert losses == losses2
    resumed = offline(row, begin=1, state=jax.tree.map(jnp.asarray, first[1][1]))
    assert [index for index, *_ in resumed] == [2]
    assert leaves_equal(resumed[-1][1], first[-1][1])
    assert np.array_equal(resumed[-1][2], first[-1][2])


@ROWS
def test_online_sees_every_clip_once_and_resumes_to_the_same_bits(method, net):
    row = fits(method, net)
    if row is None:
        return
    steps = online(row)
    seen = np.concatenate([rows for _, _, rows, _ in steps])
    assert sorted(seen) == list(range(tiny.CLIPS))
    assert all(np.all(np.isfinite(logits)) for *_, logits in steps)
    resumed = online(row, begin=1, state=jax.tree.map(jnp.asarray, steps[0][1]))
    assert leaves_equal(resumed[-1][1], steps[-1][1])
    assert np.array_equal(resumed[-1][3], steps[-1][3])


@ROWS
def test_only_the_named_group_moves_and_the_state_keeps_its_shape(method, net):
    row = fits(method, net)
    if row is None:
        return
    variables, waves, run = row
    final = first_run(method, net)[1][1]
    moving, frozen = masks.split(final.variables["params"], run.method.adapts)
    before_moving, before_frozen = masks.split(variables["params"], run.method.adapts)
    assert leaves_equal(frozen, before_frozen)
    assert not moving or not leaves_equal(moving, before_moving)
    start = run.method.init(variables, info(waves))
    assert jax.tree.structure(start) == jax.tree.structure(final)
    assert [(x.shape, x.dtype) for x in jax.tree.leaves(start)] == [(x.shape, x.dtype) for x in jax.tree.leaves(final)]


def equals_no_jit(run, state, waves):
    """On one net a method: operation by operation, every one is compiled by itself."""
    batch = Batch(jnp.asarray(waves[:8]), jnp.ones(8), jnp.arange(8, dtype=jnp.int32))
    eager_state, eager = run.method.step(state, batch, jax.random.key(2))
    jit_state, jitted = run.step(evaluation.own(state), batch, jax.random.key(2))
    np.testing.assert_allclose(eager.logits, jitted.logits, rtol=1e-5, atol=1e-5)
    for a, b in zip(jax.tree.leaves(eager_state), jax.tree.leaves(jit_state), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@ROWS
def test_a_step_traces_whole_equals_itself_unjitted_and_padding_changes_nothing(method, net):
    """One jaxpr holds the step (no hidden host sync), and what lies in padded rows reaches neither state nor losses."""
    row = fits(method, net)
    if row is None:
        return
    variables, waves, run = row
    state = run.method.init(variables, info(waves))
    weights = jnp.asarray([1.0] * 6 + [0.0] * 2)
    key = jax.random.key(1)

    def batch(fill):
        wave = np.concatenate([waves[:6], np.full((2, waves.shape[1]), fill, np.float32)])
        return Batch(jnp.asarray(wave), weights, jnp.arange(8, dtype=jnp.int32))

    assert len(run.step.trace(state, batch(0.0), key).jaxpr.eqns) > 0
    state_a, prediction_a = run.step(evaluation.own(state), batch(0.0), key)
    state_b, prediction_b = run.step(evaluation.own(state), batch(0.7), key)
    for a, b in zip(jax.tree.leaves(state_a), jax.tree.leaves(state_b), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(prediction_a.logits[:6], prediction_b.logits[:6], rtol=1e-4, atol=1e-5)
    if net == home(method):
        equals_no_jit(run, state, waves)


@pytest.mark.parametrize("net", [pytest.param(net, marks=marks("source", net)) for net in tiny.NETS])
def test_the_source_changes_nothing(net):
    row = fits("source", net)
    assert leaves_equal(offline(row, epochs=1)[-1][1].variables, row[0])


def test_ttt_needs_an_auxiliary_head():
    text, _, run = made("ttt", "batch_norm")
    assert run is None
    assert text == "method ttt needs a network trained with an auxiliary head, and this one has none"


def test_methods_that_need_batch_norm_say_so():
    text, _, run = made("norm", "layer_norm")
    assert run is None
    assert text == "method norm needs a network with BatchNorm layers, and this one has none"
    text, _, run = made("tent", "layer_norm")
    assert run is None
    assert "choose another with --options=group=NAME" in text


def test_tent_adapts_layer_norms_when_asked():
    classifier = tiny.NETS["layer_norm"]()
    variables = tiny.variables_of(classifier, tiny.LENGTH)
    method = methods.make("tent", classifier, methods.resolve_options("tent", "reference", {"group": "norm"}))
    state = method.init(variables, info(tiny.waves()))
    batch = Batch(jnp.asarray(tiny.waves()[:8]), jnp.ones(8), jnp.arange(8, dtype=jnp.int32))
    after, prediction = jax.jit(method.step)(state, batch, jax.random.key(0))
    again = jax.jit(method.step)(after, batch, jax.random.key(0))[1]
    assert float(again.losses["entropy"]) < float(prediction.losses["entropy"])
    assert leaves_equal(masks.split(after.variables["params"], "head")[0], masks.split(variables["params"], "head")[0])


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["amaut_small_2s", "amaut_small_5s", "amaut_small_10s"])
def test_the_presets_for_clips_of_ones_own_take_the_table_s_steps(preset):
    """By shapes alone: their parts are those of `amaut_tiny`, which all methods run on, in other sizes.

    Of the methods those that README and tutorial name; tracing them all takes a minute and says nothing more.
    """
    classifier = tiny.from_zoo(preset)
    waves = np.zeros((BATCH, classifier.config.length), np.float32)
    variables = jax.eval_shape(classifier.init, jax.random.key(0), waves)
    batch = Batch(jnp.asarray(waves), jnp.ones(BATCH), jnp.arange(BATCH, dtype=jnp.int32))
    shapes = functools.partial(jax.tree.map, lambda x: (x.shape, x.dtype))
    for name in ("source", "norm", "tent", "dhauds"):
        method = build(name, classifier)
        state = jax.eval_shape(lambda v, method=method: method.init(v, info(waves)), variables)
        after, prediction = jax.eval_shape(method.step, state, batch, jax.random.key(1))
        assert prediction.logits.shape == (BATCH, tiny.CLASSES)
        assert shapes(after) == shapes(state)
