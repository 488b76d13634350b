"""Cores of this process, on systems that say which they are and on others."""

import os
import sys

from dhauds_jax.data import measuring
from dhauds_jax.processors import available_cores, one_thread_of_linear_algebra


def test_cores_are_those_that_the_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 2, 5}, raising=False)
    assert available_cores() == 3


def test_cores_where_the_system_does_not_say(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert available_cores() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available_cores() == 1


def test_linear_algebra_of_one_thread_is_asked_of_scipys_library(monkeypatch):
    from scipy.linalg import cython_blas

    one_thread_of_linear_algebra.cache_clear()
    assert one_thread_of_linear_algebra() or sys.platform != "linux"  # SciPy's wheels of others have other libraries
    one_thread_of_linear_algebra.cache_clear()
    monkeypatch.setattr(cython_blas, "__file__", "no/such/library")
    assert not one_thread_of_linear_algebra()
    one_thread_of_linear_algebra.cache_clear()


def test_files_are_measured_where_the_system_does_not_say(monkeypatch, tmp_path):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    path = tmp_path / "empty.wav"
    path.write_bytes(b"")
    assert [found.kind for found in measuring.measure_files([path], "check", False, None)] == ["empty"]
