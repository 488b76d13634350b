"""pmap and mesh against one device: 8 devices in one process, and 2 processes with 2 devices each."""

import json

import jax
import numpy as np
import pytest

from dhauds_jax import parallel
from dhauds_jax.tta import feeding
from dhauds_jax.types import Batch
from tests import parallel_case
from tests.children import address, child, finished, outputs

# Devices add in another order. After two epochs of six updates the values are off by 4e-7 of the largest of their leaf
# (measured); gradients of an untrained residual network, through its BatchNorm layers over few rows, by 1.1e-6.
STATE, GRADIENT = 3e-6, 1e-5


@pytest.fixture(scope="module")
def found():
    return json.loads(finished(child(8, "tests.parallel_case", "devices")).splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("case", parallel_case.CASES)
def test_eight_devices_give_the_state_logits_and_losses_of_one(found, case):
    assert found["devices"] == 8
    assert {"pmap", "mesh"} <= set(found[case])
    assert max(found[case].values()) <= STATE


@pytest.mark.slow
def test_eight_devices_give_the_gradients_and_statistics_of_one(found):
    assert found["largest gradient"] > 0.1
    assert max(found["gradients"].values()) <= GRADIENT


@pytest.mark.slow
def test_all_devices_hold_the_same_state_after_a_step(found):
    assert found["copies"] == 0.0


def plain_on(devices):
    return json.loads(finished(child(devices, "tests.parallel_case", "plain")).splitlines()[-1])


@pytest.mark.slow
def test_two_runs_on_one_device_end_with_the_same_bits(monkeypatch):
    """The second one compiles everything again."""
    first = plain_on(1)
    monkeypatch.setenv("JAX_ENABLE_COMPILATION_CACHE", "false")
    assert plain_on(1) == first == {"devices": 1, "digest": first["digest"], "apart": {}}


@pytest.mark.slow
@pytest.mark.parametrize("devices", [2, 4])
def test_fewer_devices_end_as_one_too(devices):
    found = plain_on(devices)
    assert found["devices"] == devices and set(found["apart"]) == {"pmap", "mesh"}
    assert max(found["apart"].values()) <= STATE


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """What each of two processes ended with, by kind."""
    folder, where = tmp_path_factory.mktemp("processes"), address()
    words = ("tests.parallel_case", "process", where, 2)
    outputs([child(2, *words, number, folder) for number in range(2)])
    return {kind: [folder / f"{kind}{number}.npz" for number in range(2)] for kind in ("pmap", "mesh")}


@pytest.fixture(scope="module")
def one_device():
    return parallel_case.adapted("jit")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pmap", "mesh"])
def test_two_processes_of_two_devices_end_as_one_device(two_processes, one_device, kind):
    state, logits, losses = one_device
    for file in two_processes[kind]:
        with np.load(file) as stored:
            leaves = [stored[f"arr_{i}"] for i in range(len(stored.files) - 2)]
            assert parallel_case.apart(jax.tree.leaves(state), leaves) <= STATE
            np.testing.assert_allclose(stored["logits"], logits, atol=STATE)
            seen = json.loads(str(stored["losses"]))
        assert seen == pytest.approx(losses, abs=STATE)


def test_batches_are_filled_up_and_the_added_rows_do_not_count():
    batch = Batch(np.arange(12.0).reshape(6, 2), np.array([1, 1, 1, 1, 1, 0], np.float32), np.arange(6))
    filled = feeding.padded(batch, 4)
    assert filled.wave.shape == (8, 2)
    assert filled.weights.tolist() == [1, 1, 1, 1, 1, 0, 0, 0]
    assert filled.slot.tolist() == [1, 1, 1, 1, 1, 1, 0, 0]
    assert filled.index.tolist() == [0, 1, 2, 3, 4, 5, 0, 0]
    assert feeding.padded(batch, 3) is batch


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: parallel.make("pjit"), "--parallel=pjit: expected one of jit, pmap, mesh"),
        (lambda: parallel.start(None, 2, 0), "expected HOST:PORT of the first process"),
        (lambda: parallel.start("host", 2, 0), "expected HOST:PORT of the first process"),
        (lambda: parallel.start("host:1", 1, 0), "at least 2 processes, or neither flag"),
        (lambda: parallel.start("host:1", 2, 2), "--process_id=2: expected 0 to 1"),
    ],
)
def test_bad_flags_get_one_sentence(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_one_process_starts_nothing_and_writes():
    parallel.start(None, 1, 0)
    assert parallel.writes()
    assert parallel.make("jit").describe() == {}
    assert parallel.make("mesh").describe() == {"parallel": {"kind": "mesh", "devices": 1, "processes": 1}}


def test_a_held_set_is_kept_in_16_bits_where_that_loses_nothing():
    exact = (np.random.default_rng(0).integers(-(2**15), 2**15, (300, 7)) / 2**15).astype(np.float32)
    held = feeding.hold(exact, parallel.ONE, budget_mb=1.0)
    assert (len(held), held.waves.dtype) == (300, np.int16)
    rows, weights = np.array([3, 299, 3]), np.ones(3, np.float32)
    assert np.array_equal(feeding.batch_of(held, rows, weights).wave, exact[rows])
    for other in (exact * np.float32(1.5), exact + np.float32(2**-17), np.ones((2, 7), np.float32)):
        held = feeding.hold(other, parallel.ONE, budget_mb=1.0)
        assert held.waves.dtype == np.float32
        assert np.array_equal(feeding.batch_of(held, rows[:1] % 2, weights[:1]).wave, other[rows[:1] % 2])


def test_a_set_that_does_not_fit_stays_on_the_host():
    waves = np.zeros((10, 100), np.float32)
    assert feeding.hold(waves, parallel.ONE, budget_mb=0.001) is waves
    assert feeding.hold(waves, parallel.ONE) is waves  # a CPU has it in its memory already
    assert feeding.hold(None, parallel.ONE) is None
