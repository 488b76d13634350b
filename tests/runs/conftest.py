"""What the tests of a file share: the programs that commands compile."""

import pytest

from dhauds_jax.cells.programs import Programs
from dhauds_jax.runs import adapt, elect, study, sweep, tune


@pytest.fixture(autouse=True, scope="module")
def programs():
    """One `Programs` a file, as a sweep hands one to all its rows; else every call would trace the same nets anew."""
    shared = Programs()
    with pytest.MonkeyPatch.context() as patched:
        for module in (adapt, elect, study, sweep, tune):
            patched.setattr(module, "Programs", lambda **_: shared)
        yield shared
