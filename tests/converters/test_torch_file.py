"""Files of torch.save, zip and older, of any protocol: the numbers that PyTorch reads, and damaged or hostile ones."""

import io
import os
import pickle
import zipfile

import numpy as np
import pytest

from converters import pickles, read, torch_file
from converters.torch_values import Storage, Tensor

torch = pytest.importorskip("torch", reason="writes the PyTorch files that are read")

LAYOUTS = [(True, protocol) for protocol in range(2, 6)] + [(False, 2), (False, 4)]
layouts = pytest.mark.parametrize(("zipped", "protocol"), LAYOUTS)


def save(value, path, zipped=True, protocol=2):
    torch.save(value, path, _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
    return path


def tensors():
    """Tensors of every type, views, strides, no elements, no axes, and two of one storage."""
    base = torch.arange(24.0).reshape(4, 6)
    kinds = (*("float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"),)
    found = {kind: torch.tensor([[0, 1, 2], [3, 4, 5]]).to(getattr(torch, kind)) for kind in kinds}
    return {
        **found,
        "complex": torch.tensor([1 + 2j]),
        "later": torch.tensor([1, 2], dtype=torch.uint16),
        "float8": torch.tensor([1.0, 2.0]).to(torch.float8_e4m3fn),
        "view": base[1:3, 2:5],
        "transposed": base.T,
        "expanded": base[:1].expand(3, 6),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(base * 2),
    }


@layouts
def test_tensors_are_those_that_torch_reads(zipped, protocol, tmp_path):
    path = save(tensors(), tmp_path / "w.pt", zipped, protocol)
    state = read.read(path).state
    assert list(state) == list(tensors())
    for name, tensor in tensors().items():
        tensor = tensor.detach()
        low = name in ("bfloat16", "float8")
        wanted = (tensor.float() if low else tensor).numpy()
        assert state[name].shape == wanted.shape and (low or state[name].dtype == wanted.dtype)
        np.testing.assert_array_equal(state[name].astype(np.float32) if low else state[name], wanted)
    assert {"bfloat16", "float8_e4m3fn", "uint16"} <= set(read.read(path).types)
    assert np.shares_memory(state["view"], state["transposed"])


@layouts
def test_a_training_program_s_numbers_beside_the_weights(zipped, protocol, tmp_path):
    """As CLAP's are published: protocol 4, NumPy's scalars, the optimiser's state and a `state_dict`."""
    saved = {
        "epoch": np.int64(12),
        "name": "run",
        "best": {"top": np.float64(0.5), "flag": np.bool_(True)},
        "optimizer": {
            "state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.ones(5)}},
            "param_groups": [{"lr": 0.1}],
        },
        "state_dict": {"module.a.weight": torch.arange(6.0).reshape(2, 3)},
    }
    path = save(saved, tmp_path / "clap.pt", zipped, protocol)
    with torch_file.opened(path) as loaded:
        assert (loaded["epoch"], loaded["best"]["top"], loaded["best"]["flag"]) == (12, 0.5, True)
        assert loaded["optimizer"]["param_groups"] == [{"lr": 0.1}]
        np.testing.assert_array_equal(loaded["optimizer"]["state"][0]["exp_avg"].array(), np.ones(5))
    state = read.read(path).state
    np.testing.assert_array_equal(state["module.a.weight"], np.arange(6).reshape(2, 3))


def test_only_what_is_asked_for_is_read(tmp_path, monkeypatch):
    path = save({"optimizer": torch.ones(1000), "state_dict": {"a": torch.ones(3)}}, tmp_path / "w.pt")
    counts = []
    original = torch_file.member
    monkeypatch.setattr(torch_file, "member", lambda *a: counts.append(a[-1]) or original(*a))
    read.read(path)
    assert counts == [3]


class Command:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


@layouts
def test_a_hostile_file_is_refused_and_runs_nothing(zipped, protocol, tmp_path):
    target = tmp_path / "run"
    saved = {"state_dict": {"a": torch.ones(2)}, "deep": [{"x": (Command(target),)}]}
    path = save(saved, tmp_path / "hostile.pt", zipped, protocol)
    with pytest.raises(ValueError, match=r"hostile.pt: holds an object of class posix.system, which is refused"):
        read.read(path)
    assert not target.exists()


def test_a_hostile_pickle_at_any_place_of_an_older_file_is_refused(tmp_path):
    """The five pickles of the layout: magic number, layout, machine, data, keys."""
    save({"a": torch.ones(2)}, tmp_path / "w.pt", zipped=False)
    stream, pickled = io.BytesIO((tmp_path / "w.pt").read_bytes()), []
    meanings = torch_file._meanings(lambda identifier: Storage(np.dtype("f4"), 2, np.zeros))
    for _ in range(5):
        start = stream.tell()
        pickles.load(stream, meanings)
        pickled.append(stream.getvalue()[start : stream.tell()])
    target = tmp_path / "run"
    hostile = pickle.dumps(Command(target), protocol=2)
    for place in range(5):
        content = b"".join([*pickled[:place], hostile, *pickled[place + 1 :]]) + stream.getvalue()[stream.tell() :]
        (tmp_path / "bad.pt").write_bytes(content)
        with pytest.raises(ValueError, match=r"posix.system, which is refused"):
            read.read(tmp_path / "bad.pt")
    assert not target.exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_a_cut_file_is_refused_wherever_it_is_cut(zipped, tmp_path):
    whole = save({"a": torch.arange(40.0)}, tmp_path / "w.pt", zipped).read_bytes()
    for length in range(1, len(whole) - 1, 37):
        (tmp_path / "cut.pt").write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"cut.pt: is truncated or no PyTorch file"):
            read.read(tmp_path / "cut.pt")


def test_a_damaged_byte_of_the_weights_is_seen(tmp_path):
    path = save({"a": torch.arange(40.0)}, tmp_path / "w.pt")
    content = bytearray(path.read_bytes())
    content[content.index(np.arange(40, dtype=np.float32).tobytes()) + 7] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"is truncated or no PyTorch file .*CRC"):
        read.read(path)


def test_an_archive_that_is_no_file_of_torch_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("a/other.txt", "x")
    with pytest.raises(ValueError, match="is truncated or no PyTorch file"):
        read.read(tmp_path / "a.pt")


@pytest.mark.parametrize(
    ("offset", "size", "stride", "words"),
    [
        (0, (3,), (1,), "larger than its storage"),
        (1, (2,), (1,), "larger than its storage"),
        (0, (2,), (1 << 62,), "larger than its storage"),
        (-1, (1,), (1,), "negative"),
        (0, (2,), (-1,), "negative"),
        (0, (2, 1), (1,), "without its storage"),
        (0, (2.0,), (1,), "negative"),
    ],
)
def test_a_tensor_reaches_no_further_than_its_storage(offset, size, stride, words):
    storage = Storage(np.dtype("f4"), 2, lambda dtype, count: np.arange(count, dtype=dtype))
    with pytest.raises(ValueError, match=words):
        Tensor(storage, offset, size, stride)
    np.testing.assert_array_equal(Tensor(storage, 1, (1,), (5,)).array(), [1])


def test_a_tensor_is_expanded_only_so_far(tmp_path):
    """351 bytes said 2e9 numbers, all of them one; what an honest file expands is small, and may be."""
    few = torch.ones(1).expand(1 << 10, 1 << 10)
    np.testing.assert_array_equal(read.read(save({"a": few}, tmp_path / "few.pt")).state["a"], np.ones((1024, 1024)))
    path = save({"optimizer": torch.ones(1).expand(1 << 31), "state_dict": {"a": few}}, tmp_path / "beside.pt")
    assert read.read(path).state["a"].shape == (1024, 1024)  # what nobody asks for does no harm
    words = r"huge.pt: is truncated or no PyTorch file \(a tensor of 1,048,577 numbers, expanded from 1: save tensor.c"
    with pytest.raises(ValueError, match=words):
        read.read(save({"a": torch.ones(1).expand((1 << 20) + 1)}, tmp_path / "huge.pt"))
    whole = torch.arange(float((1 << 20) + 1))
    assert read.read(save({"a": whole}, tmp_path / "whole.pt")).state["a"][-1] == 1 << 20


def test_a_storage_larger_than_its_file_is_refused_before_any_room_is_taken(tmp_path):
    path = save({"a": torch.ones(2)}, tmp_path / "w.pt")
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    (name,) = (name for name in files if name.endswith("data.pkl"))
    huge = (1 << 50).to_bytes(8, "little")
    files[name] = files[name].replace(b"K\x02tq", b"\x8a\x08" + huge + b"tq", 1)
    with zipfile.ZipFile(path, "w") as archive:
        for each, content in files.items():
            archive.writestr(each, content)
    with pytest.raises(ValueError, match=r"is truncated or no PyTorch file \(w/data/0 is too short\)"):
        read.read(path)


def test_a_directory_that_promises_more_than_the_file_holds_gives_no_strange_memory(tmp_path):
    """The sizes of a member stand in the central directory; where they go on too far the reading stops early."""
    path = tmp_path / "w.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("w/data/0", np.ones(1, np.float32).tobytes())
    content = bytearray(path.read_bytes())
    size = content.index(b"PK\x01\x02") + 24  # the uncompressed size of the member
    assert content[size : size + 4] == (4).to_bytes(4, "little")
    content[size : size + 4] = (4_000).to_bytes(4, "little")
    path.write_bytes(content)
    with zipfile.ZipFile(path) as archive, pytest.raises(ValueError, match=r"^w/data/0 is too short$"):
        torch_file.member(archive, "w/data/0", np.dtype("f4"), 1_000)


DEEP = b")" + 3 * b"\x85"
"""An empty tuple in others: of 400,000 in one another the hash runs out of C's stack, and Python dies."""


def text(value):
    return b"X" + len(value).to_bytes(4, "little") + value


def mention(key, view=b""):
    """A pickle of one storage, called `key`."""
    identifier = text(b"storage") + b"ctorch\nFloatStorage\n" + key + text(b"cpu") + b"K\x02" + view
    return b"\x80\x02(" + identifier + b"tQ."


def older(data, keys):
    """An older file: three pickles that are always the same, the data, the keys."""
    head = (torch_file.MAGIC, torch_file.LAYOUT, {"little_endian": True})
    return b"".join([*(pickle.dumps(value, protocol=2) for value in head), data, keys])


@pytest.mark.parametrize("place", ["zip", "key", "start", "keys"])
def test_a_storage_is_called_by_a_text_or_a_number(place, tmp_path):
    path, nothing = tmp_path / "deep.pt", pickle.dumps([], protocol=2)
    whole = mention(text(b"0"), b"N")
    files = {
        "key": older(mention(DEEP, b"N"), nothing),
        "start": older(mention(text(b"0"), b"(" + text(b"0") + DEEP + b"K\x02t"), nothing),
        "keys": older(whole, b"\x80\x02](" + DEEP + b"e."),
    }
    if place == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("deep/data.pkl", mention(DEEP))
    else:
        path.write_bytes(files[place])
    words = "a storage that begins nowhere" if place == "start" else "a storage without a name"
    with pytest.raises(ValueError, match=rf"deep.pt: is truncated or no PyTorch file \({words}\)"):
        read.read(path)
