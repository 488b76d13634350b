"""What the tests of killed and starved commands share: what commands read, and a process that forks them."""

import pytest

from tests.faults import commands
from tests.faults.victims import Victims


@pytest.fixture(scope="package")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults")
    commands.made(folder / commands.MADE)
    return folder


@pytest.fixture(scope="package")
def victims(place):
    with Victims(place) as started:
        yield started
