"""Values of records that no table can show are refused with record and key."""

import json
import math
from pathlib import Path

import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.workdir import record_types, records

SOUND = {"dataset": "d", "seed": 1, "adapted_last": 0.5, "curve": [{"epoch": 1}], "options": {}, "n": None}


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("dataset", 3, "dataset is 3, expected a text"),
        ("adapted_last", "0.5", "adapted_last is '0.5', expected a number"),
        ("curve", [1], r"curve is \[1\], expected a list of objects"),
        ("options", [], r"options is \[\], expected an object"),
        ("adapted_last", 1e300, r"adapted_last holds 1e\+300, expected numbers up to 1e\+20"),
        ("options", {"a": [{"b": math.inf}]}, r"options holds inf, expected numbers up to 1e\+20"),
        ("curve", [{"epoch": 0}] * 200_000, "holds more than 100,000 values"),
        ("seed", "x", "seed is 'x', expected a whole number"),
    ],
)
def test_a_value_of_another_kind_is_named(key, value, said):
    with pytest.raises(BadInput, match=f"a.jsonl: record 2: {said}.*; remove the line"):
        record_types.check([SOUND, {**SOUND, key: value}], "results", Path("a.jsonl"))


def test_values_of_ours_pass():
    record_types.check([SOUND, {**SOUND, "nll": math.nan, "more": "x"}], "results", Path("a.jsonl"))


def test_lines_that_are_no_records_are_left_out_whatever_they_are(tmp_path):
    """Found by tests/faults: bytes, nesting and digits each ended reading in a traceback."""
    whole = json.dumps(dict.fromkeys(records.KINDS["results"].always, 0)).encode()
    broken = (b"\xff", b"[" * 100_000, b'{"n": ' + b"9" * 5_000 + b"}", b'{"cell": []}')
    (tmp_path / records.FILE).write_bytes(b"\n".join([whole, *broken, whole]) + b"\n")
    assert len(records.read(tmp_path)) == 2
    (tmp_path / records.FILE).write_text(json.dumps({**json.loads(whole), "format": records.FORMAT, "cell": []}))
    assert records.done(tmp_path).cells == {}
