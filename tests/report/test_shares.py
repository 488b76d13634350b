"""Shares with their intervals, against published ones and another implementation."""

import numpy as np
import pytest
from scipy.stats import binomtest

from dhauds_jax.report import shares


def test_a_share_has_wilsons_interval():
    """Newcombe 1998, table I: 81 of 263 and 1 of 29."""
    assert np.allclose(shares.share(81, 263), (81 / 263, 0.2553, 0.3662), atol=5e-5)
    assert np.allclose(shares.share(1, 29), (1 / 29, 0.0061, 0.1718), atol=5e-5)
    assert str(shares.share(5, 10)) == "50.0 % (23.7 to 76.3)"


@pytest.mark.parametrize(("hits", "of"), [(0, 1), (1, 1), (0, 25), (25, 25), (7, 25), (600, 1000)])
def test_the_interval_is_scipys(hits, of):
    wanted = binomtest(hits, of).proportion_ci(0.95, "wilson")
    assert np.allclose(shares.share(hits, of)[1:], (wanted.low, wanted.high), rtol=0, atol=1e-14)
