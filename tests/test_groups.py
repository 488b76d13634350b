"""The tests of a file share a worker, and so its fixtures and what it compiles."""

import os


def test_a_file_is_a_group(request):
    """pytest-xdist writes a test's group behind its name; it could not with pytest 9.2, and every worker made all."""
    group = "@tests/test_groups.py" if "PYTEST_XDIST_WORKER" in os.environ else ""
    assert request.node.nodeid == f"tests/test_groups.py::test_a_file_is_a_group{group}"
