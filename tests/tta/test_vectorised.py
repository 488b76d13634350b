"""Copies of a run under vmap: equal to the plain runs one by one, and no more copied than what moves."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.nets import masks
from dhauds_jax.tta import methods, protocols, vectorised, vectorised_protocols
from dhauds_jax.types import RunInfo, SourceData
from tests.tta import tiny

BATCH, EPOCHS = 8, 2
RATES = (1e-3, 1e-2)
FEW_LEAVES = {"dhauds": {"group": "batch_norm"}}
"""Options that let few parameters move."""
PROTOCOLS = pytest.mark.parametrize("protocol", [pytest.param("offline", marks=pytest.mark.slow), "online"])


def options_of(method, net="batch_norm"):
    more = {"group": "norm"} if net == "layer_norm" and method != "t3a" else {}
    return methods.resolve_options(
        method, "reference", {**methods.contract_options(method), **FEW_LEAVES.get(method, {}), **more}
    )


def info(waves):
    source = SourceData(jnp.asarray(waves), jnp.arange(len(waves), dtype=jnp.int32) % tiny.CLASSES)
    return RunInfo(steps_per_epoch=3, clips=tiny.CLIPS, classes=tiny.CLASSES, source=source, batch_size=BATCH)


@functools.cache
def place(net="batch_norm"):
    """Drawn once a process, and its forward pass traced once, whatever runs it."""
    classifier = tiny.traced_once(tiny.NETS[net]())
    return classifier, tiny.variables_of(classifier, tiny.LENGTH), tiny.waves()


def keys_of(seeds):
    return [jax.random.key(seed) for seed in seeds]


@functools.cache
def compiled(method, lr=None):
    """A plain method, compiled once a process, whatever sets, seeds and protocols run it."""
    changes = {} if lr is None else {"lr": lr}
    return protocols.compiled(methods.make(method, place()[0], {**options_of(method), **changes}))


@functools.cache
def study_of(method, rates, seeds):
    """A study, likewise."""
    return vectorised.study(method, place()[0], options_of(method), rates=rates, seeds=seeds)


def plain(method, waves, seed, protocol, lr=None):
    """(final state, logits, losses of the last item) of the plain run."""
    run = compiled(method, lr)
    state = run.method.init(place()[1], info(waves))
    key, logits = jax.random.key(seed), np.zeros((tiny.CLIPS, tiny.CLASSES), np.float32)
    if protocol == "offline":
        *_, last = protocols.offline(run, state, waves, epochs=EPOCHS, batch_size=BATCH, key=key)
        return last.state, last.logits, last.losses
    for last in protocols.online(run, state, waves, batch_size=BATCH, key=key):
        logits[last.rows] = last.logits
    return last.state, logits, last.losses


def many(method, waves, seeds, protocol, rates=None):
    """(copies, shared, logits, losses) of the study."""
    study = study_of(method, rates, len(seeds))
    one_set = waves if isinstance(waves, np.ndarray) else waves[0]
    copies, shared = vectorised.start(study, place()[1], info(one_set))
    given = {"batch_size": BATCH, "keys": keys_of(seeds)}
    if protocol == "offline":
        points = list(vectorised_protocols.offline(study, copies, shared, waves, epochs=EPOCHS, **given))
        assert [point.index for point in points] == list(range(EPOCHS + 1))
        return points[-1].copies, shared, points[-1].logits, points[-1].losses
    logits = np.zeros((*study.shape, tiny.CLIPS, tiny.CLASSES), np.float32)
    for last in vectorised_protocols.online(study, copies, shared, waves, **given):
        for seed, rows in enumerate(last.rows):
            logits[seed][:, rows] = last.logits[seed]
    return last.copies, shared, logits, last.losses


def close(mine, other, what):
    """Sums run in another order under vmap: float32 rounding, which a few updates leave small (measured: 7e-7)."""
    np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-6, err_msg=what)


def assert_equal_runs(found, copy, expected):
    copies, shared, logits, losses = found
    state, plain_logits, plain_losses = expected
    mine = vectorised.state_of(copies, shared, copy)
    pairs = zip(jax.tree_util.tree_leaves_with_path(mine), jax.tree.leaves(state), strict=True)
    for (path, a), b in pairs:
        close(a, b, jax.tree_util.keystr(path))
    close(logits[copy], plain_logits, "logits")
    assert set(losses) == set(plain_losses)
    for name, value in plain_losses.items():
        close(losses[name][copy], value, name)


@pytest.mark.slow
@PROTOCOLS
@pytest.mark.parametrize("method", ["tent", "eata", "dhauds"])
def test_rates_equal_the_loop(method, protocol):
    waves = place()[2]
    found = many(method, waves, [5], protocol, RATES)
    for r, rate in enumerate(RATES):
        assert_equal_runs(found, (0, r), plain(method, waves, 5, protocol, rate))
    moved = jax.tree.leaves(found[0].variables["params"])
    assert any(np.abs(leaf[0, 0] - leaf[0, 1]).max() > 1e-4 for leaf in moved), "the rates make a difference"


@pytest.mark.slow
@PROTOCOLS
@pytest.mark.parametrize("method", ["norm", "t3a"])
def test_seeds_equal_the_loop_each_in_its_own_order(method, protocol):
    waves = place()[2]
    found = many(method, waves, [0, 1, 7], protocol)
    for k, seed in enumerate([0, 1, 7]):
        assert_equal_runs(found, (k, 0), plain(method, waves, seed, protocol))
    if method == "norm":  # t3a keeps all of these few clips, in whatever order they come
        assert np.abs(found[2][0] - found[2][1]).max() > 1e-4, "the seeds make a difference"


@pytest.mark.slow
@PROTOCOLS
def test_a_grid_with_a_set_for_each_seed_equals_the_loop(protocol):
    waves = place()[2]
    sets = [waves, np.roll(waves, 40, axis=1) * 1.3]
    found = many("tent", sets, [2, 3], protocol, RATES)
    for k, seed in enumerate([2, 3]):
        for r, rate in enumerate(RATES):
            assert_equal_runs(found, (k, r), plain("tent", sets[k], seed, protocol, rate))


WITHOUT_LR = ("source", "norm", "lame", "t3a", "ttaug", "foa", "auto")


@pytest.mark.slow
@pytest.mark.parametrize("method", methods.METHODS)
def test_every_method_runs_as_a_study(method):
    """All take traced rates, those with a pass over the set too; of each one epoch is compared with the plain run."""
    classifier, variables, waves = place("aux" if method == "ttt" else "batch_norm")
    rates = None if method in WITHOUT_LR else (1e-3, 4e-3)
    assert (rates is None) == ("lr" not in options_of(method))
    quick = {"xla_backend_optimization_level": 0}
    study = vectorised.study(method, classifier, options_of(method), rates=rates, seeds=2, compiler_options=quick)
    copies, shared = vectorised.start(study, variables, info(waves))
    given = {"epochs": 1, "batch_size": BATCH}
    *_, last = vectorised_protocols.offline(study, copies, shared, waves, keys=keys_of([0, 1]), **given)
    changes = {} if rates is None else {"lr": rates[-1]}
    built = methods.make(method, classifier, {**options_of(method), **changes})
    run, state = protocols.compiled(built, quick), built.init(variables, info(waves))
    *_, alone = protocols.offline(run, state, waves, key=jax.random.key(1), **given)
    np.testing.assert_allclose(last.logits[1, -1], alone.logits, rtol=1e-4, atol=1e-4)
    assert not last.diverged


@pytest.mark.slow
def test_only_what_moves_is_copied():
    classifier, variables, waves = place()
    study = vectorised.study("tent", classifier, options_of("tent"), rates=RATES, seeds=2)
    copies, shared = vectorised.start(study, variables, info(waves))
    moving, frozen = masks.split(variables["params"], "batch_norm")
    assert jax.tree.structure(shared.frozen) == jax.tree.structure(frozen)
    assert all(a is b for a, b in zip(jax.tree.leaves(shared.frozen), jax.tree.leaves(frozen), strict=True))
    for copied, one in (
        (copies.variables["params"], moving),
        (copies.variables["batch_stats"], variables["batch_stats"]),
    ):
        shapes = zip(jax.tree.leaves(copied), jax.tree.leaves(one), strict=True)
        assert all(a.shape == (2, 2, *b.shape) for a, b in shapes)
    *_, last = vectorised_protocols.online(study, copies, shared, waves, batch_size=BATCH, keys=keys_of([0, 1]))
    assert jax.tree.structure(last.copies) == jax.tree.structure(copies)
    ones, moved = jax.tree.map(np.asarray, (moving, last.copies.variables["params"]))
    assert sum(leaf.size for leaf in jax.tree.leaves(moved)) == 4 * sum(leaf.size for leaf in jax.tree.leaves(ones))


def test_one_step_serves_grids_of_other_rates():
    classifier, variables, waves = place()
    study = vectorised.study("tent", classifier, options_of("tent"), rates=RATES)
    for rates in (RATES, (0.1, 0.2)):
        other = study._replace(rates=rates)
        copies, shared = vectorised.start(other, variables, info(waves))
        list(vectorised_protocols.online(other, copies, shared, waves, batch_size=BATCH, keys=keys_of([0])))
    assert study.step._cache_size() == 1


def test_a_copy_that_diverges_is_named_and_leaves_the_others_alone():
    classifier, variables, waves = place()
    study = vectorised.study("tent", classifier, options_of("tent"), rates=(1e-3, 3e38))
    copies, shared = vectorised.start(study, variables, info(waves))
    given = {"epochs": EPOCHS, "batch_size": BATCH, "keys": keys_of([5])}
    *_, last = vectorised_protocols.offline(study, copies, shared, waves, **given)
    assert list(last.diverged) == [(0, 1)]
    assert last.diverged[0, 1].startswith("the loss is not finite at epoch 1, step ")
    _, logits, _ = plain("tent", waves, 5, "offline", 1e-3)
    close(last.logits[0, 0], logits, "logits")


def test_bad_input_is_one_sentence():
    classifier, variables, waves = place()
    make = lambda method, **grid: vectorised.study(method, classifier, options_of(method), **grid)  # noqa: E731
    with pytest.raises(ValueError, match="--lr is empty"):
        make("tent", rates=[])
    with pytest.raises(ValueError, match="method norm has no learning rate to vary: expected one of tent, dhauds"):
        make("norm", rates=[0.1])
    for rate in (-0.1, 0.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"--lr={rate}: expected a finite number above 0"):
            make("tent", rates=[0.1, rate])
    with pytest.raises(ValueError, match="a study over 0 seeds"):
        make("tent", seeds=0)
    study = make("tent", seeds=2)
    with pytest.raises(ValueError, match="3 trees of variables for 2 seeds"):
        vectorised.start(study, [variables] * 3, info(waves))
    copies, shared = vectorised.start(study, variables, info(waves))
    online = lambda waves, seeds, **more: list(  # noqa: E731
        vectorised_protocols.online(study, copies, shared, waves, batch_size=BATCH, keys=keys_of(seeds), **more)
    )
    with pytest.raises(ValueError, match="1 keys for 2 seeds: expected one a seed"):
        online(waves, [0])
    with pytest.raises(ValueError, match="expected one set, or one a seed of equal shape"):
        online([waves, waves[:5]], [0, 1])
    with pytest.raises(ValueError, match="unknown order 'both': expected predict_first or adapt_first"):
        online(waves, [0, 1], order="both")
