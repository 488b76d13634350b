"""Installs shape checking before anything imports the package, and fixes the numerics that the goldens need."""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import jax
import jaxtyping
import pytest

import tests.typecheck  # noqa: F401  (the hook looks it up as an attribute of `tests`)

jaxtyping.install_import_hook("dhauds_jax", "tests.typecheck.check")
jax.config.update("jax_default_matmul_precision", "highest")
jax.config.update("jax_platforms", "cpu")


@pytest.fixture(autouse=True, scope="module")
def forget_compiled_programs():
    """Drops what a file compiled when it is done: a worker that keeps every program grows by gigabytes."""
    yield
    cells = sys.modules.get("experiments.cells")
    if cells is not None:
        cells.forget_compiled()
    jax.clear_caches()


def pytest_collection_modifyitems(items):
    """Keeps each file's tests on one worker, unless they name a group: they share fixtures and compiled functions."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.location[0]))
