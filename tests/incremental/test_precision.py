"""A learner with a closed form runs in float64 wherever it is called, and each of its functions is compiled once."""

import threading

import jax
import jax.numpy as jnp
import numpy as np

from dhauds_jax.incremental import learners
from dhauds_jax.incremental.precision import compiled, over_seeds, seed_of
from dhauds_jax.types import Learner, LearnerInfo, LearnerState, Shots

INFO = LearnerInfo(max_classes=4, max_sessions=20, max_rows=6, shape=(2,))
KEY = jax.random.key(0)


def sums(double=True, traced=None):
    """A learner that adds its shots up, in float64 with `double`; `traced` is told of each tracing."""
    dtype = jnp.float64 if double else jnp.float32
    told = [] if traced is None else traced

    def init(variables, info, key):
        return LearnerState((), (), jnp.zeros(2, dtype), jnp.zeros(4, jnp.float32), jnp.int32(0))

    def learn(state, shots, key):
        told.append("learn")
        memory = state.memory + (shots.inputs.astype(dtype) * shots.weights[:, None]).sum(0)
        return state._replace(memory=memory, session=state.session + 1), {}

    def predict(state, inputs):
        told.append("predict")
        return {"sum": inputs.astype(dtype) @ jnp.broadcast_to(state.memory[:, None], (2, 4))}

    bytes_held = lambda state: int(jnp.asarray(state.memory).nbytes)  # noqa: E731
    return Learner(init, learn, predict, ("sum",), "embedding", bytes_held, double=double)


def shots(value=1.0):
    rows = jnp.full((6, 2), value, jnp.float32)
    return Shots(rows, jnp.arange(6, dtype=jnp.int32) % 4, jnp.ones(6), jnp.ones(6), jnp.arange(6, dtype=jnp.int32))


def test_a_closed_form_is_double_whoever_calls_it():
    learner = compiled(sums())
    state = learner.learn(learner.init({}, INFO, KEY), shots(1.0), KEY)[0]
    tiny = shots(1e-9)
    run = lambda: found.append(learner.learn(state, tiny, KEY)[0])  # noqa: E731
    found = []
    run()
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    for after in found:
        assert after.memory.dtype == jnp.float64
        np.testing.assert_allclose(np.asarray(after.memory) - 6.0, 6e-9, rtol=1e-5)  # lost in float32
        assert learner.predict(after, tiny.inputs)["sum"].dtype == jnp.float64
        assert learner.bytes_held(after) == 16
    assert not jax.config.jax_enable_x64
    plain = compiled(sums(double=False))
    assert plain.learn(plain.init({}, INFO, KEY), shots(), KEY)[0].memory.dtype == jnp.float32


def test_twenty_sessions_are_one_program_and_saved_states_are_taken_back():
    traced = []
    learner = compiled(sums(traced=traced))
    state = learner.init({}, INFO, KEY)
    for session in range(20):
        state, _ = learner.learn(state, shots(session), jax.random.key(session))
        learner.predict(state, shots().inputs)
    assert sorted(traced) == ["learn", "predict"]
    saved = jax.tree.map(np.asarray, state)
    assert saved.memory.dtype == np.float64
    restored, _ = learner.learn(saved, shots(), KEY)
    np.testing.assert_array_equal(restored.memory, learner.learn(state, shots(), KEY)[0].memory)
    assert sorted(traced) == ["learn", "predict"]


def test_seeds_are_learnt_side_by_side():
    one, many = compiled(sums()), compiled(over_seeds(sums()))
    keys = jax.random.split(KEY, 3)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(shots(value) for value in (1.0, 2.0, 3.0)))
    states, _ = many.learn(many.init({}, INFO, keys), stacked, keys)
    assert states.memory.shape == (3, 2) and states.memory.dtype == jnp.float64
    for seed, value in enumerate((1.0, 2.0, 3.0)):
        alone, _ = one.learn(one.init({}, INFO, keys[seed]), shots(value), keys[seed])
        mine = seed_of(states, seed)
        assert mine.memory.dtype == jnp.float64
        np.testing.assert_array_equal(mine.memory, alone.memory)
    logits = many.predict(states, stacked.inputs)["sum"]
    assert logits.shape == (3, 6, 4)


def test_a_float32_learner_keeps_its_functions():
    learner = learners.make("prototype", None)
    made = compiled(learner)
    assert made.init is learner.init and made.prepare is None
    state, _ = made.learn(made.init({}, INFO, KEY), shots(), KEY)
    assert state.memory.total.dtype == jnp.float32
