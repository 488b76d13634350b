"""An exception of a user's own code is told with that file; one of ours is to be reported."""

import sys

import pytest

from dhauds_jax.command import bugs
from dhauds_jax.tta import methods
from tests.tta.linear import classifier

OWN = """
import jax.numpy as jnp
from dhauds_jax.registry import resolve

def factory(classifier):
    raise KeyError("gain")

def shapes(classifier):
    return jnp.ones(2) @ jnp.ones(3)

def below(classifier):
    return resolve("json:nothing")

def picky(classifier, wanted):
    return None
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A plug-in of a user's in a folder of theirs."""
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "my_sounds_of_bugs.py"
    path.write_text(OWN)
    yield path
    sys.modules.pop(path.stem, None)


def said(name):
    command = f"python -m experiments.adapt --method=source,{name} --workdir=out"
    try:
        methods.make(name, classifier(), {})
    except Exception as error:
        return bugs.report(error, command)
    pytest.fail("it ran")


@pytest.mark.parametrize(
    ("function", "how", "line"),
    [("factory", "in", 6), ("shapes", "in", 9), ("below", "in a call from", 12)],
)
def test_the_users_file_is_named(own, function, how, line):
    """Before, it ended with "this is a bug, please report it" to us."""
    text = said(f"{own.stem}:{function}")
    place = f"{own}, line {line}, in {function}"
    start = f"the exception came up {how} code that is not of dhauds_jax: {place}; look for the mistake there"
    end = " (dhauds_jax " if how == "in" else ", and if it is right, report this with the lines above (dhauds_jax "
    assert text.startswith(start + end)


def test_a_file_that_is_no_python_is_named(own):
    own.write_text("def factory(:\n")
    text = said(f"{own.stem}:factory")
    assert text.startswith(f"the exception came up in code that is not of dhauds_jax: {own}, line 1, in its text; ")


def test_a_plug_in_that_no_line_of_the_traceback_shows_is_said_beside_the_report(own):
    text = said(f"{own.stem}:picky")  # our call lacks an argument that it asks for
    assert text.startswith("this is a bug, please report it with the lines above: dhauds_jax ")
    assert text.endswith(f"; it runs {own.stem}, which is not of dhauds_jax: look there first")


def test_a_bug_of_ours_is_to_be_reported_whatever_has_a_colon():
    try:
        {}["key"]
    except KeyError as error:
        text = bugs.report(error, "python -m experiments.adapt --corruption=WHN:L1 --workdir=out")
    assert text.startswith("this is a bug, please report it with the lines above: dhauds_jax ")
    assert text.endswith("command: python -m experiments.adapt --corruption=WHN:L1 --workdir=out")
