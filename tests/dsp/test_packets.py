"""The chain of Gilbert and Elliott against its closed forms, and bursts counted."""

import jax
import numpy as np
import pytest

from dhauds_jax.dsp.packets import enter_for, loss_rate, losses, mean_burst


def runs_of(gone):
    """Lengths of the runs of lost packets that begin and end within each row."""
    edges = np.diff(np.pad(gone.astype(int), ((0, 0), (1, 1))), axis=1)
    return np.concatenate([np.flatnonzero(row == -1) - np.flatnonzero(row == 1) for row in edges])


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "burst", "lost"), [(0.1, 2.0, 1.0), (0.2, 4.0, 0.7), (0.05, 1.5, 0.6)])
def test_share_and_bursts_are_those_of_the_closed_form(rate, burst, lost):
    leave = 1 / burst
    enter = enter_for(rate, leave, lost)
    assert loss_rate(enter, leave, lost) == pytest.approx(rate)
    if lost == 1.0:
        assert mean_burst(enter, leave, lost) == pytest.approx(burst)
    rows, packets = 64, 4_000
    gone = np.asarray(jax.jit(jax.vmap(lambda key: losses(key, packets, enter, leave, lost)))(
        jax.random.split(jax.random.key(0), rows)))  # fmt: skip
    # 256,000 packets whose correlation lasts some ten: within 5 standard deviations of 25,000 free ones.
    assert abs(gone.mean() - rate) < 5 * np.sqrt(rate * (1 - rate) / 25_000)
    found = runs_of(gone)
    assert abs(found.mean() - mean_burst(enter, leave, lost)) < 5 * found.std() / np.sqrt(len(found))
    # The first packet is drawn from where the chain ends up, too.
    assert abs(gone[:, 0].mean() - rate) < 5 * np.sqrt(rate * (1 - rate) / rows)


def test_a_worse_chain_is_bad_wherever_the_better_one_is():
    better, worse = (losses(jax.random.key(7), 5_000, enter, leave, 1.0) for enter, leave in ((0.05, 0.6), (0.1, 0.4)))
    assert np.all(worse | ~better) and worse.sum() > better.sum()
