"""JSON of others: every way of being none is one error, with words for a sentence."""

import pytest

from dhauds_jax import json_texts
from dhauds_jax.errors import BadInput

BROKEN = {
    b"{": "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
    b"\xff": "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte",
    b"[" * 100_000: "nested too deeply",
    b"9" * 5_000: "a number of thousands of digits",
}
"""Found by tests/faults: Python raises four kinds of errors, of which two are no `JSONDecodeError`."""


@pytest.mark.parametrize(("text", "said"), BROKEN.items(), ids=["cut", "bytes", "deep", "digits"])
def test_what_is_no_json_is_said(tmp_path, text, said):
    with pytest.raises(json_texts.NotJson) as error:
        json_texts.parsed(text)
    assert str(error.value) == said
    (tmp_path / "a.json").write_bytes(text)
    with pytest.raises(BadInput, match=r"a\.json: is no JSON \(.*\), expected it; mend it") as error:
        json_texts.object_of(tmp_path / "a.json", "it; mend it")


def test_json_is_read_and_an_object_is_asked_for(tmp_path):
    assert json_texts.parsed('{"a": [1, null]}') == json_texts.parsed(b'{"a": [1, null]}') == {"a": [1, None]}
    (tmp_path / "a.json").write_text("[1]")
    assert json_texts.read(tmp_path / "a.json") == [1]
    with pytest.raises(BadInput, match=r"a\.json: holds a list, expected an object"):
        json_texts.object_of(tmp_path / "a.json", "an object")
