"""Numbers that no refactoring may change: small command lines, run anew and compared with `frozen.json`.

Meant to change? `python -m tests.frozen.make`, and the reason in the commit (see there).
"""

import copy
import json

import pytest

from tests.frozen import make
from tests.frozen.commands import COMMANDS
from tests.frozen.compare import differences, kind
from tests.frozen.runs import Runs

SHOWN = 40
STORED = make.load()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    found = Runs(tmp_path_factory.mktemp("frozen"))
    yield found
    found.close()


def marks(name):
    """The longest command has a worker to itself."""
    return [pytest.mark.slow, pytest.mark.xdist_group("frozen methods" if name == "methods" else "frozen")]


@pytest.mark.parametrize("name", [pytest.param(name, marks=marks(name)) for name in COMMANDS])
def test_frozen(name, runs):
    made_on = make.kind_of(STORED, name)
    lines = differences(STORED["commands"][name], runs.found(name), made_on == kind(), name)
    more = [f"... and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    assert not lines, "\n".join(
        [f"stored on {made_on}, found on {kind()}: {len(lines)} values differ", *lines[:SHOWN], *more]
    )


def records():
    return [record for summary in STORED["commands"].values() for record in summary.get("records", {}).values()]


def test_everything_of_the_first_revision_is_frozen():
    """Whoever adds a method need not add a cell; what was there when the cells were made stays."""
    assert list(STORED["commands"]) == list(COMMANDS)
    assert len({record["method"] for record in records()} - {"single", "aug_elect", "multi_train", "hybrid"}) == 23
    assert len({record["protocol"] for record in records()} - {"election"}) == 11
    single = {record["corruption"] for record in records() if "+" not in record["corruption"]}
    assert single == {"clean", "WHN", "ENQ", "END1", "END2", "ENSC", "PSH", "TST", "SCN", "CLP", "UNI"}
    assert {record["profile"] for record in records()} == {"reference", "corrected"}
    nets = {record["net"] for record in records()}
    nets |= {s["checkpoint"]["config"]["net"] for s in STORED["commands"].values() if "checkpoint" in s}
    assert nets >= {"amaut_tiny", "hubert_tiny", "ssast_test", "conmix_tiny", "resnet_tiny", "tta_in_ac_cnn_sc1"}


def test_a_summary_agrees_with_itself():
    assert differences(STORED["commands"], copy.deepcopy(STORED["commands"]), True) == []


def test_a_command_made_anew_elsewhere_has_a_kind_of_its_own():
    """Only its lines change: the others keep the kind that theirs were made on."""
    stored = {"kind": {"cores": 2}, "kinds": {"tune": {"cores": 4}}, "commands": {"tune": {"records": {"a": 1}}}}
    assert json.loads(make.text(stored)) == stored
    assert make.kind_of(stored, "tune") == {"cores": 4} and make.kind_of(stored, "adapt") == {"cores": 2}


CELL = {"n": 30, "metric": "f1", "curve": [{"nll": 2.5}, {"nll": 400.0}], "sha256": "ab", "moved": True}


@pytest.mark.parametrize(
    "changes, exact, line",
    [
        ({"n": 31}, False, "here > n: stored 30, found 31"),
        ({"n": 30.0}, False, "here > n: stored 30, found 30.0"),
        ({"metric": "map"}, False, "here > metric: stored 'f1', found 'map'"),
        ({"moved": 1}, False, "here > moved: stored True, found 1"),
        ({"curve": [{"nll": 2.50003}, {"nll": 400.0}]}, False, "here > curve[0] > nll: stored 2.5, found 2.50003"),
        ({"curve": [{"nll": 2.5}, {"nll": 400.005}]}, False, "here > curve[1] > nll: stored 400.0, found 400.005"),
        ({"curve": [{"nll": 2.5000001}, {"nll": 400.0}]}, True, "here > curve[0] > nll: stored 2.5, found 2.5000001"),
        ({"curve": [{"nll": 2.5}]}, False, "here > curve: stored [{'nll': 2.5}, {'nll': 400.0}], found [{'nll': 2.5}]"),
        ({"sha256": "cd"}, True, "here > sha256: stored 'ab', found 'cd'"),
        ({"metric": None}, True, "here > metric: stored 'f1', found None"),
    ],
)
def test_a_difference_is_named(changes, exact, line):
    assert differences(CELL, {**CELL, **changes}, exact, "here") == [line]


def test_what_may_differ():
    near = {**CELL, "curve": [{"nll": 2.50002}, {"nll": 400.003}], "sha256": "cd"}
    assert differences(CELL, near, False) == []
    assert len(differences(CELL, near, True)) == 3
    assert differences(CELL, {**CELL, "added": 1}, True) == []


def test_a_missing_key_is_named():
    found = {key: value for key, value in CELL.items() if key != "n"}
    assert differences(CELL, found, False, "here") == ["here > n: missing, stored 30"]
