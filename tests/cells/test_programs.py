"""Programs are found by what they were compiled for, shared where nothing differs, and dropped at one word."""

import gc
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.cells import programs as programs_module
from dhauds_jax.cells.cell import Cell
from dhauds_jax.cells.programs import Programs, wrapped_method
from dhauds_jax.nets import zoo
from dhauds_jax.tta.evaluation import own
from dhauds_jax.types import Batch, RunInfo

CONFIG = zoo.preset("amaut_tiny", ("a", "b"))
CELL = Cell("d", "WHN", "L1", "amaut_tiny", "tent", "online", "reference", 0, (), 1, 4, "information")


def test_one_classifier_a_configuration_and_precision():
    programs = Programs()
    first = programs.classifier(CONFIG)
    assert programs.classifier(zoo.preset("amaut_tiny", ("a", "b"))) is first
    assert programs.classifier(CONFIG, "bfloat16") is not first
    assert programs.classifier(CONFIG, remat=True) is not first
    assert Programs().classifier(CONFIG) is not first


def test_a_program_belongs_to_its_classifier_and_not_to_a_place_in_memory():
    """An id may be given again once an object is gone; here the programs themselves keep the classifier."""
    programs, like = Programs(), np.zeros((1, CONFIG.length), np.float32)
    classifier = zoo.build(CONFIG)
    first = programs.compiled(CELL, classifier, wrapped_method(CELL, classifier), like)
    assert programs.compiled(CELL._replace(seed=3), classifier, wrapped_method(CELL, classifier), like) is first
    other = zoo.build(CONFIG)
    assert programs.compiled(CELL, other, wrapped_method(CELL, other), like) is not first
    assert (
        programs.compiled(CELL._replace(batch_size=5), classifier, wrapped_method(CELL, classifier), like) is not first
    )
    kept = weakref.ref(classifier.apply)
    del classifier, other, first
    gc.collect()
    assert kept() is not None
    programs.forget()
    gc.collect()
    assert kept() is None


@pytest.fixture(scope="module")
def small():
    """(classifier, its variables, four clips)."""
    classifier = zoo.build(CONFIG)
    waves = np.random.default_rng(0).normal(size=(4, CONFIG.length)).astype(np.float32)
    return classifier, classifier.init(jax.random.key(0), jnp.asarray(waves[:2])), waves


def test_rates_share_their_programs_where_asked_and_give_the_same_numbers(small, monkeypatch):
    """Two rates and one trace of the update; the reset rule and the method's other options are the cell's own."""
    classifier, variables, waves = small
    cells = [CELL._replace(options=(("group", "batch_norm"), ("lr", rate))) for rate in (1e-3, 3e-2)]
    batch, traces = Batch(jnp.asarray(waves), jnp.ones(4), jnp.arange(4, dtype=jnp.int32)), []
    shared, apart = Programs(any_rate=True), Programs()
    made = programs_module.wrapped_method
    monkeypatch.setattr(programs_module, "wrapped_method", lambda *given: traces.append(1) or made(*given))
    moved = {}
    for cell in cells:
        method = made(cell, classifier)
        for programs in (shared, apart):
            state = own(method.init(variables, RunInfo(1, 4, 2)))
            run = programs.compiled(cell, classifier, method, (state, batch.wave))
            state, prediction = run.step(state, batch, jax.random.key(0))
            assert programs.flops(cell, classifier, run, state, CONFIG.length) > 0
            leaves = jax.tree.leaves((state.variables, prediction.losses))
            moved[programs is shared, cell] = np.concatenate([np.ravel(x) for x in leaves])
    for cell in cells:
        np.testing.assert_allclose(moved[True, cell], moved[False, cell], rtol=1e-5, atol=1e-6)
    assert not np.allclose(moved[True, cells[0]], moved[True, cells[1]], atol=1e-3)
    assert len(traces) == 2 + 1 + 2, "a method for each rate, one while the update is traced; two apart"


def test_operations_are_counted_without_another_trace_of_the_update(small):
    """Before, the count traced a gradient that the run had traced already: 2 s a method in the quickstart."""
    classifier, variables, waves = small
    traces = []
    method = wrapped_method(CELL, classifier)

    def step(state, batch, key):
        traces.append(1)
        return method.step(state, batch, key)

    programs = Programs()
    state = method.init(variables, RunInfo(1, 4, 2, None, 4))
    run = programs.compiled(CELL, classifier, method._replace(step=step), (state, waves[:1]))
    batch = Batch(jnp.asarray(waves), jnp.ones(4), jnp.arange(4, dtype=jnp.int32))
    after, _ = run.step(jax.tree.map(jnp.copy, state), batch, jax.random.key(1))  # the state is donated
    assert len(traces) == 1
    counted = programs.flops(CELL, classifier, run, after, CONFIG.length)
    assert len(traces) == 1
    fresh = Programs()
    alone = fresh.flops(CELL, classifier, fresh.compiled(CELL, classifier, method, after), after, CONFIG.length)
    assert counted == alone > 1e6


def test_unadapted_logits_are_kept_for_the_next_method_alone(small, monkeypatch):
    classifier, variables, waves = small
    seen, evaluate = [], programs_module.protocols.evaluate

    def counting(*args, **more):
        seen.append(1)
        return evaluate(*args, **more)

    monkeypatch.setattr(programs_module.protocols, "evaluate", counting)
    programs = Programs()
    first = programs.source_logits(classifier, variables, waves, 4)
    assert programs.source_logits(classifier, variables, waves, 4) is first and len(seen) == 1
    # Another set, another model and another batch size are computed, also where their numbers are equal.
    np.testing.assert_array_equal(programs.source_logits(classifier, variables, waves.copy(), 4), first)
    moved = jax.tree.map(lambda x: x + 0.1, variables)
    assert not np.array_equal(programs.source_logits(classifier, moved, waves, 4), first)
    np.testing.assert_allclose(programs.source_logits(classifier, variables, waves, 2), first, rtol=1e-5, atol=1e-6)
    assert len(seen) == 4
    kept = weakref.ref(waves := waves.copy())
    programs.source_logits(classifier, variables, waves, 4)
    del waves
    gc.collect()
    assert kept() is None  # the set itself is not held on to
