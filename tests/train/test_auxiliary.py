"""Training with an auxiliary head: one step worked out view by view, the falling rate, what is refused."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dhauds_jax.data import sets
from dhauds_jax.nets import masks
from dhauds_jax.nets.normalisers import EVAL, TRAIN
from dhauds_jax.nets.normalisers import batch as batch_statistics
from dhauds_jax.runs.train import first_variables
from dhauds_jax.train.auxiliary import check_aux_options
from dhauds_jax.train.loop import TrainBatch, TrainOptions, make_optimiser, make_step
from dhauds_jax.train.request import TrainRun
from dhauds_jax.tta.aux_tasks import random_labels
from tests.tta import tiny

OPTIONS = TrainOptions(
    optimiser="multistep",
    lr=0.1,
    weight_decay=5e-4,
    smoothing=0.0,
    views=("clean",),
    milestones=(2,),
    aux_task="time_shift",
)
KEY = jax.random.key(2)
SHIFT = 67  # 0.2625 of 256 samples


@pytest.fixture(scope="module")
def net():
    """With features of 16 x 16 samples; a fourth auxiliary logit, for rotations, is always 0."""
    classifier = tiny.NETS["aux"]()

    def apply_features(variables, image, **batch):
        outputs, stats = classifier.apply(variables, image.reshape(len(image), tiny.LENGTH), **batch)
        return outputs._replace(aux=jnp.pad(outputs.aux, ((0, 0), (0, image.shape[1] // 16)))), stats

    square = classifier._replace(features=lambda wave: wave.reshape(-1, 16, 16), apply_features=apply_features)
    return {"time_shift": classifier, "rotation": square}, tiny.variables_of(classifier, tiny.LENGTH)


def a_batch():
    wave = np.array(tiny.waves()[:6])
    wave[5] = 7.0
    weights = jnp.asarray([1.0] * 5 + [0.0])
    full = jnp.full(6, tiny.LENGTH, jnp.int32)
    labels, index = jnp.arange(6, dtype=jnp.int32) % tiny.CLASSES, jnp.arange(6, dtype=jnp.int32)
    return TrainBatch(wave=jnp.asarray(wave), labels=labels, lengths=full, index=index, weights=weights)


def changed(row, label, task):
    if task == "rotation":
        return np.rot90(row.reshape(16, 16).T, label).T.reshape(-1)
    return np.roll(row, [0, -SHIFT, SHIFT][label])


@pytest.mark.slow
@pytest.mark.parametrize("task", ["time_shift", "rotation"])
@pytest.mark.parametrize("labels", ["random", "expand"])
def test_a_step_descends_both_losses_and_each_head_sees_its_own_view(net, task, labels):
    classifier, variables = net[0][task], net[1]
    options = OPTIONS.replace(aux_task=task, aux_labels=labels)
    batch = a_batch()
    optimiser = make_optimiser(options, steps_per_epoch=3)
    jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})  # each runs once
    step = jit(make_step(classifier, options, optimiser, None, short=False))
    after, _, loss = step(variables, optimiser.init(variables["params"]), batch, KEY)

    wave, classes = np.asarray(batch.wave), {"time_shift": 3, "rotation": 4}[task]
    if labels == "expand":
        shifts, weights = np.repeat(range(classes), 6), np.tile(batch.weights, classes)
    else:
        shifts = np.asarray(random_labels(jax.random.fold_in(KEY, 2000), batch.index, 1, classes)[:, 0])
        weights = np.asarray(batch.weights)
        assert len(set(shifts[:5])) > 1
    rows = np.tile(wave, (classes, 1)) if labels == "expand" else wave
    copies = np.stack([changed(row, int(s), task) for row, s in zip(rows, shifts)])
    real = weights > 0

    def forward(params, stats, x, w, key):
        rngs = {"dropout": jax.random.fold_in(KEY, key)}
        mode = TRAIN._replace(aux=batch_statistics if key == 2001 else None)  # the second view is the auxiliary head's
        return classifier.apply({"params": params, "batch_stats": stats}, x, mode=mode, weights=w, rngs=rngs)

    def both(params):
        first, stats = forward(params, variables["batch_stats"], batch.wave, batch.weights, 1000)
        second, last = forward(params, stats, jnp.asarray(copies), jnp.asarray(weights), 2001)
        second = second._replace(aux=jnp.pad(second.aux, ((0, 0), (0, classes - 3))))
        picked = jax.nn.log_softmax(first.logits)[np.arange(5), batch.labels[:5]]
        shifted = jax.nn.log_softmax(second.aux)[np.flatnonzero(real), shifts[real]]
        return -picked.mean() - shifted.mean(), last

    (value, stats), slopes = jit(jax.value_and_grad(both, has_aux=True))(variables["params"])
    np.testing.assert_allclose(loss, value, rtol=1e-5)
    wanted = jax.tree.map(lambda p, g: p - 0.1 * (g + 5e-4 * p), variables["params"], slopes)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), after["params"], wanted)
    # The extractor's statistics follow both views; the auxiliary head's only its own, so not the first one's.
    found = after["batch_stats"]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), found["encoder"], stats["encoder"])
    _, once = forward(variables["params"], variables["batch_stats"], jnp.asarray(copies), jnp.asarray(weights), 2001)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), found["aux"], once["aux"])
    _, leaked = forward(variables["params"], variables["batch_stats"], batch.wave, batch.weights, 2001)
    _, leaked = forward(variables["params"], leaked, jnp.asarray(copies), jnp.asarray(weights), 2001)
    assert np.abs(found["aux"]["batch_norm"]["mean"] - leaked["aux"]["batch_norm"]["mean"]).max() > 1e-4
    assert masks.count(after["params"], "aux_path") > 0


@pytest.mark.parametrize(("momentum", "steps"), [(0.0, [0.1] * 6 + [0.01] * 3), (0.5, [0.1, 0.15, 0.175])])
def test_the_rate_falls_to_a_tenth_after_each_milestone(momentum, steps):
    optimiser = make_optimiser(OPTIONS.replace(momentum=momentum, weight_decay=0.0), steps_per_epoch=3)
    state = optimiser.init(jnp.zeros(()))
    for wanted in steps:
        update, state = optimiser.update(jnp.ones(()), state, jnp.zeros(()))
        assert float(update) == pytest.approx(-wanted, rel=1e-5)


def test_adam_keeps_its_rate_without_milestones_and_decays_with_the_gradient():
    options = OPTIONS.replace(optimiser="adam", weight_decay=1.0, lr=0.01, milestones=())
    optimiser = make_optimiser(options, steps_per_epoch=3)
    plain = optax.adam(0.01)
    state, reference = optimiser.init(jnp.ones(())), plain.init(jnp.ones(()))
    for _ in range(8):
        update, state = optimiser.update(jnp.asarray(0.5), state, jnp.asarray(2.0))
        wanted, reference = plain.update(jnp.asarray(2.5), reference)
        assert float(update) == pytest.approx(float(wanted), rel=1e-6)


def test_what_cannot_be_is_refused(net):
    _, variables = net
    check_aux_options(OPTIONS, variables)
    for changes, message in (
        ({"aux_task": "angle"}, "--aux_task=angle: expected none, time_shift or rotation"),
        ({"aux_labels": "all"}, "--aux_labels=all: expected random or expand"),
        ({"aux_shift": 1.0}, "--aux_shift=1.0: expected a share of the clip"),
    ):
        with pytest.raises(ValueError, match=message):
            check_aux_options(OPTIONS.replace(**changes), variables)
    without = {"params": {"encoder": {}, "head": {}}}
    check_aux_options(TrainOptions(), without)
    with pytest.raises(ValueError, match="--aux_task=time_shift: the network has no auxiliary head"):
        check_aux_options(OPTIONS, without)


@pytest.mark.slow
@pytest.mark.parametrize(("profile", "twice"), [("reference", True), ("corrected", False)])
def test_the_double_softmax_is_the_profiles(profile, twice):
    run = TrainRun(
        dataset="synthetic", net="tta_in_ac_cnn_sc1", workdir="nowhere", seed=0, options=OPTIONS, profile=profile
    )
    classifier, variables = first_variables(run, sets.get("synthetic", None))
    assert classifier.config.head["softmax_output"] is twice
    wave = jnp.asarray(np.random.default_rng(0).normal(0, 0.1, (2, 16000)), jnp.float32)
    sums = classifier.apply(variables, wave, mode=EVAL)[0].logits.sum(1)
    assert bool(np.allclose(sums, 1.0, atol=1e-5)) is twice
