"""What is read of the clips is kept clip by clip: other seeds, shots and learners read what is new alone."""

import numpy as np
import pytest

from dhauds_jax import digests
from dhauds_jax.runs import incremental as runner
from dhauds_jax.runs.incremental import incremental
from dhauds_jax.runs.incremental_readings import CLEAN_ONE
from dhauds_jax.workdir import records
from tests.runs.test_incremental import of_tones, tones

__all__ = ["tones"]

NOISY = ("WHN", "L2")


def read(run, condition):
    """What was read of the tests, of how many clips anew, and how many there are, of which some hold the same tone."""
    readings = runner._inputs(run).readings
    found = readings.of("embedding", condition)
    there = np.unique(np.concatenate([one.tests for plan in readings._pool.plans for one in plan]))
    held = len(set(readings._digests)) if condition == CLEAN_ONE else len(there)
    return found.take(there), readings.cache.made, held


@pytest.mark.slow
@pytest.mark.parametrize("condition", [NOISY, CLEAN_ONE])
def test_another_seed_reads_what_no_seed_has_read(condition, tones, tmp_path):
    same = {"corruption": condition[:1], "noise_dir": str(tones / "noise"), "cache_dir": str(tmp_path / "cache")}
    run = of_tones(tones, tmp_path, shot=2, sessions=1, **same)  # five of fifteen classes
    _, first, one = read(run, condition)
    more, made, both = read(run.replace(seeds=(0, 1)), condition)
    assert first == one and made == both - one > 0
    fresh, every, _ = read(run.replace(seeds=(0, 1), cache_dir=str(tmp_path / "fresh")), condition)
    assert every == both
    np.testing.assert_allclose(more, fresh, rtol=0, atol=1e-6 * np.abs(fresh).max())  # batches of other clips
    assert read(run.replace(seeds=(1,), shot=1), condition)[1] == 0


def test_what_changes_the_sound_is_read_anew(tones, tmp_path, monkeypatch):
    same = {"noise_dir": str(tones / "noise"), "cache_dir": str(tmp_path / "cache")}
    run = of_tones(tones, tmp_path, sessions=1, corruption=("WHN",), **same)
    made = [read(one, NOISY)[1] for one in (run, run.replace(reject=0.1), run.replace(profile="reference"))]
    assert made[0] == 20 and made[1] == 0 and made[2] == 20
    assert read(run, NOISY)[1] == 0
    with monkeypatch.context() as patched:  # a corruption or a front end was mended
        patched.setattr(digests, "of_code", lambda *places: "another")
        assert read(run, NOISY)[1] == 20
    _, clean, held = read(run, CLEAN_ONE)  # the tests among them were read under noise alone
    assert clean == held > 20


@pytest.mark.slow
def test_numbers_that_were_rounded_are_other_records(tones, tmp_path):
    for kept in ("float32", "bfloat16"):
        incremental(of_tones(tones, tmp_path, sessions=2, cache_dtype=kept), "the command")
    exact, rounded = records.read(tmp_path, "incremental")
    assert (exact["cache_dtype"], rounded["cache_dtype"]) == ("float32", "bfloat16")
    assert exact["cell"] != rounded["cell"] and exact["nll"] != rounded["nll"]
    # Logits are 16 cosines of vectors that moved by 0.4 % at the most.
    assert rounded["nll"] == pytest.approx(exact["nll"], abs=2 * 16 * 2**-8)
    assert rounded["last"] == pytest.approx(exact["last"], abs=0.05)  # of forty clips two
