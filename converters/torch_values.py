"""What the pickles of `torch.save` may name, and what it gives here: tensors, NumPy's arrays, scalars and types.

`CALLS` are what they may call, `VALUES` what stands as a value, and of `STAND_INS` the contents are dropped. Nothing of
PyTorch is imported, and nothing that a file names.
"""

from __future__ import annotations

import math
import pickle
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

import ml_dtypes
import numpy as np

from converters.pickles import plain_key

STAND_INS = frozenset(
    (
        "argparse.Namespace",
        "collections.Counter",
        "collections.defaultdict",
        "fairseq.data.dictionary.Dictionary",
        "omegaconf.base.ContainerMetadata",
        "omegaconf.base.Metadata",
        "omegaconf.dictconfig.DictConfig",
        "omegaconf.listconfig.ListConfig",
        "omegaconf.nodes.AnyNode",
        "omegaconf.nodes.BooleanNode",
        "omegaconf.nodes.EnumNode",
        "omegaconf.nodes.FloatNode",
        "omegaconf.nodes.IntegerNode",
        "omegaconf.nodes.StringNode",
        "lightning.fabric.utilities.data.AttributeDict",
        "lightning.pytorch.utilities.parsing.AttributeDict",
        "lightning_fabric.utilities.data.AttributeDict",
        "pytorch_lightning.utilities.parsing.AttributeDict",
        "pathlib.PosixPath",
        "pathlib.WindowsPath",
        "pathlib._local.PosixPath",
        "pathlib._local.WindowsPath",
        "torch.device",
        "typing.Any",
        "builtins.bool",
        "builtins.complex",
        "builtins.dict",
        "builtins.float",
        "builtins.int",
        "builtins.list",
        "builtins.str",
    )
)
"""Classes that training programs leave beside the weights; their contents are dropped."""

_NUMBERS = {
    "Float": ("float32", "float"),
    "Double": ("float64", "double"),
    "Half": ("float16", "half"),
    "BFloat16": ("bfloat16",),
    "Long": ("int64", "long"),
    "Int": ("int32", "int"),
    "Short": ("int16", "short"),
    "Char": ("int8",),
    "Byte": ("uint8",),
    "Bool": ("bool",),
    "ComplexFloat": ("complex64", "cfloat"),
    "ComplexDouble": ("complex128", "cdouble"),
}
"""PyTorch's names of storages, without "Storage", and of the types in them."""
_OTHERS = ("uint16", "uint32", "uint64", "float8_e4m3fn", "float8_e5m2")


def _type(name: str) -> np.dtype:
    return np.dtype(getattr(ml_dtypes, name, name))


VALUES: dict[str, Any] = {
    **{f"torch.{kind}Storage": _type(names[0]) for kind, names in _NUMBERS.items()},
    **{f"torch.{name}": _type(names[0]) for names in _NUMBERS.values() for name in names},
    **{f"torch.{name}": _type(name) for name in _OTHERS},
    "torch.storage.UntypedStorage": np.dtype(np.uint8),
    "numpy.ndarray": np.ndarray,
}
"""Names that stand as values: a storage or a type of PyTorch as the NumPy type of its numbers."""


REPEATED = 1 << 20
"""Numbers that a tensor may have where its storage holds fewer: steps of 0 or overlaps repeat them (`expand`)."""

Read = Callable[[np.dtype, int], np.ndarray]
"""(type of the numbers, how many) -> the numbers of a storage."""


class Storage:
    """Numbers outside the pickle that tensors share, read once and when they are first asked for."""

    def __init__(self, dtype: np.dtype, count: int, read: Read) -> None:
        self.dtype, self.count, self._read = dtype, count, read
        self._values: np.ndarray | None = None

    def values(self) -> np.ndarray:
        """All of them, (count,)."""
        if self._values is None:
            self._values = self._read(self.dtype, self.count)
        return self._values


class Tensor:
    """A tensor of a file, of which nothing is read yet."""

    def __init__(self, storage: Any, offset: Any, size: Any, stride: Any, dtype: np.dtype | None = None) -> None:
        size, stride = tuple(size), tuple(stride)
        numbers = (offset, *size, *stride)
        if not isinstance(storage, Storage) or len(size) != len(stride) or len(size) > 32:
            raise ValueError("a tensor without its storage")
        if not all(type(number) is int and number >= 0 for number in numbers):
            raise ValueError("a tensor of negative size")
        self.storage, self.offset, self.shape, self.stride = storage, offset, size, stride
        self.dtype = storage.dtype if dtype is None else dtype
        if not isinstance(self.dtype, np.dtype):
            raise ValueError("a tensor of no type")
        last = offset + sum((length - 1) * step for length, step in zip(size, stride)) if math.prod(size) else -1
        if (last + 1) * self.dtype.itemsize > storage.count * storage.dtype.itemsize:
            raise ValueError("a tensor larger than its storage")

    def array(self) -> np.ndarray:
        """Its values; a view of what it shares with other tensors of the file.

        An expanded tensor says more numbers than are stored. As a view it costs nothing, but whoever copies it pays:
        a few bytes would become terabytes, so there are `REPEATED` at the most.

        Raises:
          ValueError, OSError, zipfile.BadZipFile: the file is truncated or damaged; a tensor expanded beyond measure.
        """
        count = math.prod(self.shape)
        if not count:
            return np.zeros(self.shape, self.dtype)
        stored = self.storage.count * self.storage.dtype.itemsize // self.dtype.itemsize
        if count > max(stored, REPEATED):
            raise ValueError(f"a tensor of {count:,} numbers, expanded from {stored:,}: save tensor.contiguous()")
        values = self.storage.values().view(self.dtype)[self.offset :]
        strides = tuple(step * self.dtype.itemsize for step in self.stride)
        return np.lib.stride_tricks.as_strided(values, self.shape, strides)


class NumpyType:
    """A NumPy type of a pickle; `dtype` is None where its values are no plain numbers or texts."""

    def __init__(self, code: Any, *_: Any) -> None:
        plain = isinstance(code, str) and re.fullmatch(r"b1|[iu][1248]|f[248]|c8|c16|[SU]\d{1,6}", code)
        self.dtype = np.dtype(code) if plain else None


class NumpyArray:
    """A NumPy array of a pickle; it holds nothing where its values are no plain numbers or texts."""

    def __init__(self) -> None:
        self._array: np.ndarray | None = None

    def fill(self, shape: Any, dtype: Any, fortran: Any, content: Any) -> None:
        """Takes the values, as bytes."""
        if not isinstance(dtype, NumpyType) or not isinstance(shape, tuple):
            raise ValueError("an array of no type")
        if dtype.dtype is not None:
            values = np.frombuffer(_bytes(content), dtype.dtype).copy()
            self._array = values.reshape(shape, order="F" if fortran else "C")

    def array(self) -> np.ndarray:
        """Its values.

        Raises:
          ValueError: they are no plain numbers or texts.
        """
        if self._array is None:
            raise ValueError("an array of objects")
        return self._array


def _bytes(content: Any) -> bytes:
    if isinstance(content, str):  # as Python 2 wrote them
        return content.encode("latin-1")
    if not isinstance(content, bytes | bytearray):
        raise ValueError("values that are no bytes")
    return bytes(content)


def _encoded(text: str, encoding: str) -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise ValueError(f"encoding {encoding}")
    return text.encode("latin-1")


def _scalar(dtype: NumpyType, content: Any) -> Any:
    return None if dtype.dtype is None else np.frombuffer(_bytes(content), dtype.dtype)[0]


def _from_buffer(content: Any, dtype: NumpyType, shape: Any, order: str) -> NumpyArray:
    made = NumpyArray()
    made.fill(shape, dtype, order == "F", content)
    return made


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, grad: Any, hooks: Any, marks: Any = None) -> Tensor:
    if marks:
        raise ValueError("a tensor that is conjugated or negated on reading")
    return Tensor(storage, offset, size, stride)


def _tensor_of_type(
    storage: Any, offset: Any, size: Any, stride: Any, grad: Any, hooks: Any, dtype: Any, marks: Any = None
) -> Tensor:
    if marks:
        raise ValueError("a tensor that is conjugated or negated on reading")
    return Tensor(storage, offset, size, stride, dtype)


def _ordered(items: Iterable[Any] = ()) -> OrderedDict[Any, Any]:
    return OrderedDict((plain_key(key), value) for key, value in items)


_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")
CALLS: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": Tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_of_type,
    "torch._utils._rebuild_parameter": lambda data, *_: data,
    "torch._utils._rebuild_parameter_with_state": lambda data, *_: data,
    "torch.Size": lambda sizes=(): tuple(sizes),
    "collections.OrderedDict": _ordered,
    "builtins.set": lambda items=(): {plain_key(item) for item in items},
    "builtins.frozenset": lambda items=(): frozenset(plain_key(item) for item in items),
    "builtins.bytes": lambda items=(): bytes(tuple(items)),
    "_codecs.encode": _encoded,
    "numpy.dtype": NumpyType,
    **{f"{place}._reconstruct": lambda *_: NumpyArray() for place in _MULTIARRAY},
    **{f"{place}.scalar": _scalar for place in _MULTIARRAY},
    **{f"{place}._frombuffer": _from_buffer for place in ("numpy.core.numeric", "numpy._core.numeric")},
}
"""What a pickle may call, and what that gives here."""


def filled(made: Any, state: Any) -> None:
    """Fills an array or a type of NumPy that `CALLS` made; raises `pickle.UnpicklingError` for anything else."""
    if isinstance(made, NumpyArray) and isinstance(state, tuple) and len(state) in (4, 5):
        made.fill(*state[-4:])
    elif isinstance(made, NumpyType) and isinstance(state, tuple) and len(state) > 1:
        if made.dtype is not None and state[1] in ("<", ">"):
            made.dtype = made.dtype.newbyteorder(state[1])
    else:
        raise pickle.UnpicklingError(f"a state for a {type(made).__name__}")
