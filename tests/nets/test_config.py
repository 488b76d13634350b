"""The classifier's record: round trip, and one sentence for every mistake."""

import json

import pytest

from dhauds_jax.nets import zoo
from dhauds_jax.nets.config import ClassifierConfig, take


@pytest.mark.parametrize("name", zoo.names())
def test_json_round_trip(name):
    config = zoo.preset(name, ("a", "b", "é"))
    again = ClassifierConfig.from_json(config.to_json())
    assert again == config
    assert hash(again) == hash(config)
    assert again.classes == ("a", "b", "é")
    assert again != config.replace(length=config.length + 1)


def record(**changes):
    return {**zoo.preset("amaut_tiny", ("a", "b")).to_dict(), **changes}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rate": 3}, r"foreign keys \['rate'\]"),
        ({"sample_rate": 0}, "sample_rate is 0, expected a positive number"),
        ({"sample_rate": "16k"}, "sample_rate is '16k', expected a whole number of Hz"),
        ({"classes": ["a", "a"]}, "each once"),
        ({"classes": [1, 2]}, "expected a list of names"),
        ({"classes": []}, "at least one name"),
        ({"head": {"kind": "mlp"}}, "unknown head kind 'mlp': expected "),
        ({"head": {"kind": "hub_classifier"}}, r"lacks \['stages'\]"),
        ({"front_end": {}}, "front_end.kind is None"),
        ({"geometry": 3}, "geometry is 3, expected an object"),
        ({"groups": 3}, "groups is 3, expected an object"),
        ({"groups": {"names": ["x"]}}, "expected names, each once, and of, for each of the 2 classes the number"),
        ({"groups": {"names": ["x", "x"], "of": [0, 1]}}, "expected names, each once"),
        ({"groups": {"names": ["x", "y"], "of": [0, 0]}}, "so that every name has a class"),
        ({"groups": {"names": ["x"], "of": [0]}}, "for each of the 2 classes"),
        ({"groups": {"names": ["x"], "of": [0, 0.0]}}, "groups are"),
    ],
)
def test_mistakes_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        ClassifierConfig.from_dict(record(**changes))


def test_missing_keys_and_no_json_are_named():
    short = record()
    del short["length"], short["head"]
    with pytest.raises(ValueError, match=r"my.json: missing keys \['head', 'length'\]"):
        ClassifierConfig.from_json(json.dumps(short), "my.json")
    with pytest.raises(ValueError, match=r"my.json: is not JSON"):
        ClassifierConfig.from_json("<html>", "my.json")
    with pytest.raises(ValueError, match="holds a list"):
        ClassifierConfig.from_json("[]")
    with pytest.raises(ValueError, match=r"here: missing keys \['b'\], foreign keys \['c'\]"):
        take({"a": 1, "c": 2}, ("a", "b"), "here")


def test_groups_are_in_the_record_where_there_are_some_and_say_what_is_reported():
    """Older records have no such key, and their text names runs: it stays as it was."""
    config = ClassifierConfig.from_dict(record())
    assert "groups" not in config.to_json()
    assert config.reported == ("a", "b")
    grouped = config.replace(groups={"names": ("both",), "of": (0, 0)})
    assert ClassifierConfig.from_json(grouped.to_json()) == grouped
    assert (grouped.reported, grouped.classes) == (("both",), ("a", "b"))
    assert grouped.replace(groups={}).to_json() == config.to_json()
