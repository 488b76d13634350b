"""Arrays in files of ours: read by name, and damaged or absurd ones refused in a sentence."""

import io
import zipfile

import numpy as np
import pytest

from dhauds_jax import arrays
from dhauds_jax.errors import BadInput


@pytest.fixture
def path(tmp_path):
    np.savez(tmp_path / "a.npz", one=np.arange(3), two=np.ones((2, 2), np.float32))
    return tmp_path / "a.npz"


def test_arrays_by_name(path):
    found = arrays.read_npz(path, ("two", "one"), "it")
    assert list(found) == ["two", "one"] and found["one"].tolist() == [0, 1, 2]
    assert list(arrays.read_npz(path, (), "it")) == ["one", "two"]


def claiming(path, shape, compressed=False):
    """A file whose first array's header says another shape than its bytes have."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f4", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED) as archive:
        archive.writestr("one.npy", head.getvalue() + bytes(64))


@pytest.mark.parametrize("shape", [(2**40,), (2**31, 2**31), (100,), (2**62, 4)])
def test_an_array_of_more_bytes_than_there_are_is_refused_before_room_is_made_for_it(path, shape):
    claiming(path, shape)
    with pytest.raises(BadInput, match=r"a\.npz: cannot be read \(ValueError: one\.npy says that it has .* bytes"):
        arrays.read_npz(path, ("one",), "what was written")


@pytest.mark.parametrize("damage", ["cut", "bytes", "absent", "lacks", "text"])
def test_damaged_ones_are_refused(path, damage):
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-30])
    elif damage == "bytes":
        content = bytearray(path.read_bytes())
        content[60:90] = bytes(30)
        path.write_bytes(content)
    elif damage == "text":
        path.write_text("no arrays")
    elif damage == "absent":
        path.unlink()
    names = ("three",) if damage == "lacks" else ()
    with pytest.raises(BadInput, match=r"a\.npz: cannot be read \(\w+.*\), expected what was written"):
        arrays.read_npz(path, names, "what was written")
