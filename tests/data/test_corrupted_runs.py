"""The same corrupted set, bit by bit, from every process that makes it: another run, and other numbers of devices."""

import json

import pytest

from tests.children import child, finished

CODES = ("ENQ", "TST", "TEL")
"""Recorded noise, speed and a telephone line; docs/reliability.md has the other kinds."""


def made(folder, devices):
    return json.loads(finished(child(devices, "tests.data.corrupted_run", folder, *CODES)).splitlines()[-1])


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    return made(tmp_path_factory.mktemp("once"), 1)


@pytest.mark.as_shipped
def test_a_second_run_that_compiles_everything_again_changes_no_bit(once, tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_ENABLE_COMPILATION_CACHE", "false")
    assert made(tmp_path, 1) == once
    assert len(set(once.values())) == 1 + len(CODES)


@pytest.mark.as_shipped
@pytest.mark.parametrize("devices", [2, 4, 8])
def test_more_devices_change_no_bit(once, tmp_path, devices):
    found = made(tmp_path, devices)
    assert found.pop("devices") == devices
    assert found == {code: once[code] for code in CODES}
