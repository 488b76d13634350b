"""Installs shape checking before anything imports the package, and fixes the numerics that the goldens need."""

import functools
import gc
import os
import shutil
import signal
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import jax
import jaxtyping
import pytest
from jax._src.interpreters import mlir

import tests.typecheck  # noqa: F401  (the hook looks it up as an attribute of `tests`)

jaxtyping.install_import_hook(["dhauds_jax", "converters"], "tests.typecheck.check")
jax.config.update("jax_default_matmul_precision", "highest")
# Arrays of different rank meet by an explicit broadcast alone: a silent one hides a wrong axis.
jax.config.update("jax_numpy_rank_promotion", "raise")
# Tests run on the CPU; DHAUDS_TEST_PLATFORM=cuda takes the parity tests to a GPU (docs/performance.md).
jax.config.update("jax_platforms", os.environ.get("DHAUDS_TEST_PLATFORM", "cpu"))

# A shell's background job ignores Ctrl-C, and so would the tests of it and their children.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Programs that several tests, workers or child processes compile are compiled once a session: the folder is new each
# time, workers and children find it in their environment, and whoever made it removes it.
_MADE = None if "JAX_COMPILATION_CACHE_DIR" in os.environ else tempfile.mkdtemp(prefix="compiled-programs-")
if _MADE is not None:
    for _name, _value in (("compilation_cache_dir", _MADE), ("persistent_cache_min_compile_time_secs", 0.1)):
        jax.config.update(f"jax_{_name}", _value)
        os.environ[f"JAX_{_name.upper()}"] = str(_value)


MAY_SKIP = os.environ.get("DHAUDS_TESTS_MAY_SKIP")
"""Packages, comma between, for want of which tests may be skipped; where it is set, any other skip is a failure."""


def _required(report):
    """A report whose skip is a failure, as in CI: a comparison that nobody runs says nothing."""
    if MAY_SKIP is None or not report.skipped or hasattr(report, "wasxfail"):
        return report
    reason = report.longrepr[-1] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if not any(name and name in reason for name in MAY_SKIP.split(",")):
        report.outcome = "failed"
        report.longrepr = f"{reason}; skipping is a failure here (DHAUDS_TESTS_MAY_SKIP={MAY_SKIP})"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    """Files that are skipped as a whole."""
    return _required((yield))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Single tests that are skipped."""
    return _required((yield))


LONG = ("tests/frozen/", "tests/runs/", "tests/test_parallel.py")
"""Where the longest groups of tests are: they begin first."""

_QUICKLY = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"


def unoptimised(config):
    """Whether the marker expression asks for tests that need no program compiled as shipped."""
    chosen = config.option.markexpr
    return bool(chosen) and "as_shipped" not in chosen.replace("not as_shipped", "")


def pytest_configure(config):
    """Chooses how XLA compiles, before anything is compiled; workers and child processes inherit it.

    Most of the tests' time is compilation, so it is kept short: no optimisation, LLVM IR without a detour over MLIR
    (a third of the time), and one module a program, not up to 32 of which each pays its own passes (a fifth).
    `-m as_shipped` and `-m ""` compile as users' programs are, for laws of bits, tests that speak many clips and the
    quickstart, which other expressions leave out.
    """
    if unoptimised(config):
        given = os.environ.get("XLA_FLAGS", "")
        if _QUICKLY not in given:  # a worker inherits them
            os.environ["XLA_FLAGS"] = f"{given} {_QUICKLY}".strip()
        os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
        jax.config.update("jax_disable_most_optimizations", True)
        # To make MLIR's context takes 6 of the 11 ms in which one operation is lowered: one context serves them all.
        if hasattr(mlir, "make_ir_context"):
            mlir.make_ir_context = functools.cache(mlir.make_ir_context)


_COMPILED = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, *_, **__: _COMPILED.append(event) if event.endswith("backend_compile_duration") else None
)


@pytest.fixture(autouse=True, scope="module")
def forget_compiled_programs(request):
    """Drops what files compiled when they are done: a worker that keeps every program grows by gigabytes.

    The quick set's programs are small and many files' are the same, so they are dropped by the thousand: to forget
    and to collect what is left takes 0.4 s a time.
    """
    yield
    if "not slow" not in request.config.option.markexpr or len(_COMPILED) > 1_500:
        _COMPILED.clear()
        jax.clear_caches()
        gc.collect()


def pytest_collection_finish():
    """Collects garbage less often: what all tests import is looked through at every full collection otherwise."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Keeps each file's tests on one worker, unless they name a group: they share fixtures and compiled functions.

    First, because pytest-xdist reads the groups in the same hook.
    """
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.location[0]))
    items.sort(key=lambda item: not item.location[0].startswith(LONG))  # the others fill the workers' last minutes
    if unoptimised(config):
        shipped = [item for item in items if item.get_closest_marker("as_shipped")]
        config.hook.pytest_deselected(items=shipped)
        items[:] = [item for item in items if item not in shipped]


def pytest_unconfigure():
    """Removes the programs that this session kept on disk."""
    if _MADE is not None:
        shutil.rmtree(_MADE, ignore_errors=True)
