"""Where CI says what may be skipped (`DHAUDS_TESTS_MAY_SKIP`), any other skip is a failure."""

import types

import pytest

import conftest


@pytest.mark.parametrize(
    ("may", "reason", "outcome"),
    [
        (None, "the PyTorch side", "skipped"),
        ("apache_beam", "the PyTorch side", "failed"),
        ("apache_beam", "apache_beam is not installed", "skipped"),
        ("", "apache_beam is not installed", "failed"),
    ],
)
def test_a_skip_fails_where_it_may_not_be(monkeypatch, may, reason, outcome):
    monkeypatch.setattr(conftest, "MAY_SKIP", may)
    report = types.SimpleNamespace(outcome="skipped", skipped=True, longrepr=("file.py", 3, f"Skipped: {reason}"))
    assert conftest._required(report).outcome == outcome
    if outcome == "failed":
        said = f"Skipped: {reason}; skipping is a failure here (DHAUDS_TESTS_MAY_SKIP={may})"
        assert report.longrepr == said
