"""A case's arrays, ours beside the authors'."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from tests.tta.peers import given, net
from tests.tta.peers.cases import CASES

TOLERANCES = {"float64": 1e-10, "float32": 2e-5}
"""Those that `peers.md`, which came with the file, asks for."""


def differences(name: str, dtype: str) -> dict[str, float]:
    """The largest difference of each array of a case, our method run in `dtype`.

    Where the file has no number (a step without an update has no loss) nothing is compared.
    """
    case = CASES[name]
    with jax.enable_x64(dtype == "float64"), given.choices(case.method, name):
        kind = jnp.dtype(dtype)
        ours = case.ours(net.run(case.method, kind, case.options, case.batches and case.batches(kind)))
    theirs = case.theirs(net.case(name))
    found = {}
    for key, values in ours.items():
        wanted = np.asarray(theirs[key], np.float64)
        assert values.shape == wanted.shape, f"{name}/{key}: {values.shape} beside {wanted.shape}"
        gap = np.abs(np.asarray(values, np.float64) - wanted)
        assert not np.isnan(gap[~np.isnan(wanted)]).any(), f"{name}/{key} is not a number"
        found[key] = float(np.nanmax(gap))
    return found
