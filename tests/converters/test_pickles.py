"""The machine that reads pickles: plain data as Python reads it, no global imported, no call but our own."""

import argparse
import io
import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest

from converters import pickles
from converters.torch_values import CALLS, STAND_INS, VALUES, NumpyArray, filled

MEANINGS = pickles.Meanings(CALLS, STAND_INS, VALUES, lambda identifier: ("outside", identifier), filled)
PLAIN = {
    "numbers": [0, 1, 255, 256, 65536, -1, 2**40, -(2**70), 0.1, True, False, None],
    "texts": ["", "a", "ß" * 300, b"", b"\x00\xff" * 200],
    "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
    ("a", 1): {"nested": {"deeper": [[]]}},
    7: {1, 2},
    8: frozenset({3}),
}


class Command:
    """What would run a command when an ordinary reader met it."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("protocol", range(2, 6))
def test_plain_data_are_as_python_reads_them(protocol):
    assert pickles.load(pickle.dumps(PLAIN, protocol=protocol), MEANINGS) == PLAIN


@pytest.mark.parametrize("protocol", range(2, 6))
def test_numpy_s_arrays_scalars_and_types_are_read(protocol):
    values = {
        "float": np.float64(0.25),
        "whole": np.int32(-3),
        "flag": np.bool_(True),
        "big": np.arange(6, dtype=">i4").reshape(2, 3),
        "columns": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        "names": np.array(["a", "bcd"]),
        "empty": np.zeros((0, 4), np.float16),
    }
    found = pickles.load(pickle.dumps(values, protocol=protocol), MEANINGS)
    for name, value in values.items():
        array = found[name].array() if isinstance(found[name], NumpyArray) else found[name]
        np.testing.assert_array_equal(array, value)
        assert array.dtype == value.dtype and array.shape == value.shape


def test_the_stream_is_left_behind_the_pickle():
    stream = io.BytesIO(pickle.dumps([1]) + pickle.dumps("second") + b"rest")
    assert pickles.load(stream, MEANINGS) == [1] and pickles.load(stream, MEANINGS) == "second"
    assert stream.read() == b"rest"


def test_a_list_that_holds_itself_and_one_object_twice():
    mine, shared = [], {"a": 1}
    mine += [mine, shared, shared]
    found = pickles.load(pickle.dumps(mine, protocol=4), MEANINGS)
    assert found[0] is found and found[1] is found[2] and found[1] == {"a": 1}


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: [{"a": (1, [x])}], lambda x: OrderedDict(a=x)])
def test_a_command_is_refused_by_its_name_and_not_run(protocol, wrap, tmp_path):
    target = tmp_path / "run"
    with pytest.raises(pickles.Refused, match=r"global posix.system is refused") as error:
        pickles.load(pickle.dumps(wrap(Command(target)), protocol=protocol), MEANINGS)
    assert error.value.name == "posix.system" and not target.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"c__builtin__\neval\n.",
        b"\x80\x04\x8c\x08builtins\x8c\x04exec\x93.",
        b"\x80\x04\x8c\x05numpy\x8c\x04save\x93.",
        b"\x80\x04\x8c\x10converters.pickl\x8c\x04load\x93.",
        b"\x80\x04\x8c\x08builtins\x8c\x0c__import__.x\x93.",
        b"\x80\x02ctorch.hub\nload\n.",
    ],
)
def test_a_name_without_a_meaning_is_refused_where_it_stands(content):
    with pytest.raises(pickles.Refused):
        pickles.load(content, MEANINGS)


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02U\x02osU\x06system\x85R.",  # a text is called
        b"\x80\x02cargparse\nNamespace\nq\x00K\x01R.",  # arguments that are no tuple
        b"\x80\x02cnumpy\nndarray\n)R.",  # a value is called
        b"\x80\x02cargparse\nNamespace\n)\x81q\x00ccollections\nOrderedDict\n}b.",  # a name is filled
        b"\x80\x02ccollections\nOrderedDict\n}U\x08__init__K\x01sb.",
        b"\x80\x02K\x01}b.",  # a number is filled
        b"\x80\x02K\x01K\x02a.",
        b"\x80\x02}(K\x01u.",
        b"\x80\x02(K\x01(K\x02t000.",
        b"\x80\x02(i__main__\nx\n.",
        b"\x80\x02\x82\x01.",  # an entry of Python's table of extensions
        b"\x80\x020.",
        b"\x80\x02a.",
        b"\x80\x02t.",
        b"\x80\x02.",
        b"\x80\x02h\x05.",
        b"\x80\x02K\x01",
        b"",
        b"\xff\xff",
    ],
)
def test_what_no_plain_data_need_is_an_error(content):
    with pytest.raises((pickle.UnpicklingError, ValueError, KeyError)):
        pickles.load(content, MEANINGS)


def test_objects_of_foreign_classes_are_inert():
    found = pickles.load(pickle.dumps([argparse.Namespace(secret=1)], protocol=4), MEANINGS)
    assert type(found[0]) is pickles.Inert and vars(found[0]) == {}


def test_an_array_of_objects_or_records_holds_nothing():
    records = np.zeros(2, [("a", "f4"), ("b", "i8")])
    for value in (np.array([None, 1], object), records):
        found = pickles.load(pickle.dumps({"x": value}, protocol=2), MEANINGS)["x"]
        with pytest.raises(ValueError, match="an array of objects"):
            found.array()


def test_keys_that_are_no_plain_values_do_not_crash():
    """Python's hash of a tuple calls itself without a bound: 200,000 levels end the process."""
    deep = ()
    for _ in range(200_000):
        deep = (deep,)
    assert type(pickles.plain_key(deep)) is pickles.Inert
    found = pickles.load(b"\x80\x02})" + b"\x85" * 100 + b"K\x01s.", MEANINGS)
    assert [type(key) for key in found] == [pickles.Inert]


def test_bytes_of_any_kind_end_in_an_error_or_in_plain_data():
    """One byte changed or cut away anywhere: never anything but an error of reading, or data."""
    whole = pickle.dumps({"a": [1.5, ("x", b"y")], "b": np.arange(3)}, protocol=4)
    rng = np.random.default_rng(0)
    for place in range(len(whole)):
        for content in (whole[:place], whole[:place] + bytes([rng.integers(256)]) + whole[place + 1 :]):
            try:
                pickles.load(content, MEANINGS)
            except (pickle.UnpicklingError, ValueError, KeyError, TypeError, IndexError, MemoryError, OverflowError):
                continue
