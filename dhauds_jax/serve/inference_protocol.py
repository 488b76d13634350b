"""The Open Inference Protocol (version 2, as KServe and Triton speak it): requests read, answers written; no I/O.

JSON, and its extension for binary tensors: the header `Inference-Header-Content-Length` says where the JSON ends and
the tensors begin. Source: kserve/open-inference-protocol, inference_rest.md; triton-inference-server/server,
extension_binary_data.md.
"""

from __future__ import annotations

import itertools
import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from dhauds_jax.data.audio import Decoded
from dhauds_jax.data.opening import MAX_RATE, MIN_RATE
from dhauds_jax.serve.failures import Failure

WAVE, AUDIO = "wave", "audio"
"""The inputs: FP32 samples of recordings of one length, or BYTES, whole files."""

PROBABILITIES, LABEL = "probabilities", "label"
"""The outputs."""

MOST = 64
"""Recordings of one request."""

HEADER = "inference-header-content-length"
"""Where the JSON of a body with binary tensors ends."""


class Asked(NamedTuple):
    """What a request asks.

    Attributes:
      recordings: each a decoded wave, or the bytes of a file.
      name: that the client gave the request, "" for none.
      session: that answers, of the request's parameter "session"; "" for the model.
      outputs: names of the outputs that are wanted.
      binary: those of them that are wanted as binary tensors.
    """

    recordings: tuple[Decoded | bytes, ...]
    name: str
    session: str
    outputs: tuple[str, ...]
    binary: frozenset[str]


def metadata(name: str, classes: int) -> dict[str, Any]:
    """What is told of a model: its tensors, -1 where any size will do."""
    return {
        "name": name,
        "versions": ["1"],
        "platform": "dhauds_jax",
        "inputs": [
            {"name": WAVE, "datatype": "FP32", "shape": [-1, -1]},
            {"name": AUDIO, "datatype": "BYTES", "shape": [-1]},
        ],
        "outputs": [
            {"name": PROBABILITIES, "datatype": "FP32", "shape": [-1, classes]},
            {"name": LABEL, "datatype": "BYTES", "shape": [-1]},
        ],
    }


def read(body: bytes, header: str | None, sample_rate: int, longest: float) -> Asked:
    """Reads a request.

    Args:
      body: all of it.
      header: of `HEADER`; None where it was not sent.
      sample_rate: Hz, of waves without a parameter "sample_rate".
      longest: seconds that a wave may last.

    Raises:
      Failure: it is none, or asks for what there is not.
    """
    end = len(body) if header is None else _number(header, "the header", len(body))
    try:
        found = json.loads(body[:end])
    except (ValueError, RecursionError):  # also of an integer with thousands of digits
        raise _bad("the body's JSON cannot be read", "an inference request") from None
    inputs = found.get("inputs") if isinstance(found, dict) else None
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise _bad("not one input", f"inputs with one tensor, {WAVE} (FP32) or {AUDIO} (BYTES)")
    tensor, parameters = inputs[0], _mapping(found.get("parameters"))
    outputs, binary = _outputs(found, parameters)
    session, name = parameters.get("session", ""), found.get("id", "")
    if not isinstance(session, str) or not isinstance(name, str):
        raise _bad("an id or a session that is no text", "texts")
    own = _mapping(tensor.get("parameters"))
    raw = body[end:] if "binary_data_size" in own else None
    if raw is not None and _number(own["binary_data_size"], "binary_data_size", len(raw)) != len(raw):
        raise _bad(f"{len(raw)} bytes of tensors", f"{own['binary_data_size']}, as the request says")
    if tensor.get("name") == WAVE:
        rate = own.get("sample_rate", sample_rate)
        if not isinstance(rate, int) or isinstance(rate, bool) or not MIN_RATE <= rate <= MAX_RATE:
            raise Failure("rate", "the sample_rate is out of range", f"{MIN_RATE} to {MAX_RATE} Hz")
        recordings: Sequence[Any] = [
            Decoded(wave, rate, 1, float(np.abs(wave).max())) for wave in _waves(tensor, raw, rate * longest)
        ]
    elif tensor.get("name") == AUDIO:
        recordings = _files(tensor, raw)
    else:
        raise _bad("an input of another name", f"{WAVE} (FP32) or {AUDIO} (BYTES)")
    return Asked(tuple(recordings), name, session, outputs, binary)


def _waves(tensor: Mapping[str, Any], raw: bytes | None, most: float) -> Float[np.ndarray, "recordings time"]:
    """The samples of an FP32 tensor."""
    shape = _shape(tensor, "FP32", 2)
    if shape[1] > most:
        raise Failure("too_long", f"{shape[1]} samples", f"at most {most:.0f}")
    try:
        values = np.frombuffer(raw, "<f4") if raw is not None else _numbers(tensor.get("data"))
    except (TypeError, ValueError, OverflowError):
        raise _bad("data that are no numbers", "FP32 data in the order of rows") from None
    if values.size != shape[0] * shape[1]:
        raise _bad(f"{values.size} numbers for the shape {list(shape)}", f"{shape[0] * shape[1]}")
    if not np.isfinite(values).all():
        raise Failure("not_finite", "samples that are not finite", "finite numbers, full scale 1")
    return values.astype(np.float32).reshape(shape)


def _numbers(data: Any) -> Float[np.ndarray, " samples"]:
    """Numbers of JSON, in rows or one after another; texts and truth values are none."""
    flat = list(itertools.chain.from_iterable(data) if data and isinstance(data[0], list) else data)
    if not set(map(type, flat)) <= {int, float}:
        raise TypeError
    with np.errstate(over="ignore"):  # infinite then, which is refused
        return np.array(flat, np.float32)


def _files(tensor: Mapping[str, Any], raw: bytes | None) -> list[bytes]:
    """The elements of a BYTES tensor: binary ones with their lengths, or base64 in JSON, which holds texts alone."""
    (count,) = _shape(tensor, "BYTES", 1)
    if raw is None:
        found = _from_texts(tensor.get("data"), count)
    else:
        found, place = [], 0
        while place < len(raw) and len(found) < count:
            if place + 4 > len(raw):
                raise _bad("a binary element without its length", "4 bytes of length before each")
            (size,) = struct.unpack_from("<I", raw, place)
            found.append(raw[place + 4 : place + 4 + size])
            place += 4 + size
        if place != len(raw):
            raise _bad("binary elements that do not fill their tensor", "4 bytes of length before each")
    if len(found) != count:
        raise _bad(f"{len(found)} elements for the shape [{count}]", f"{count}")
    return found


def _from_texts(data: Any, count: int) -> list[bytes]:
    import base64
    import binascii

    if isinstance(data, list) and len(data) != count:
        raise _bad(f"{len(data)} elements for the shape [{count}]", f"{count}")
    if not isinstance(data, list):
        data = (None,)

    try:
        return [base64.b64decode(one, validate=True) for one in data]
    except (TypeError, ValueError, binascii.Error):
        raise _bad("BYTES data that are no base64", "files in base64, or binary data") from None


def _shape(tensor: Mapping[str, Any], kind: str, axes: int) -> tuple[int, ...]:
    """The shape of a tensor of a kind; no axis may be 0, and the first at most `MOST`."""
    shape = tensor.get("shape")
    good = isinstance(shape, list) and len(shape) == axes
    good = good and all(isinstance(n, int) and not isinstance(n, bool) and 0 < n <= 2**31 for n in shape)
    if tensor.get("datatype") != kind or not good:
        raise _bad("a tensor of another kind or shape", f"datatype {kind} with {axes} axes, none of them 0")
    if shape[0] > MOST:  # before anything is made of them
        raise _bad(f"{shape[0]} recordings in one request", f"at most {MOST}")
    return tuple(shape)


def _outputs(found: Mapping[str, Any], parameters: Mapping[str, Any]) -> tuple[tuple[str, ...], frozenset[str]]:
    """The outputs that are wanted, and which of them as binary tensors."""
    everything = bool(parameters.get("binary_data_output", False))
    wanted = found.get("outputs") or [{"name": PROBABILITIES}, {"name": LABEL}]
    if not isinstance(wanted, list) or not all(isinstance(one, dict) for one in wanted):
        raise _bad("outputs that are no list of tensors", f"{PROBABILITIES}, {LABEL}")
    names = tuple(one.get("name") for one in wanted)
    if len(set(map(str, names))) != len(names) or not set(map(str, names)) <= {PROBABILITIES, LABEL}:
        raise _bad("outputs that there are not", f"{PROBABILITIES}, {LABEL}")
    binary = {one["name"] for one in wanted if _mapping(one.get("parameters")).get("binary_data", everything)}
    return names, frozenset(binary)


def written(
    asked: Asked, name: str, labels: Sequence[str], probabilities: Float[np.ndarray, "recordings classes"]
) -> tuple[bytes, int | None]:
    """The answer's body, and where its JSON ends if it has binary tensors.

    Args:
      asked: the request.
      name: of the model.
      labels: of the recordings.
      probabilities: (recordings, classes).
    """
    tensors, tails = [], []
    for output in asked.outputs:
        values: Any = np.float32(probabilities) if output == PROBABILITIES else list(labels)
        tensor: dict[str, Any] = {
            "name": output,
            "datatype": "FP32" if output == PROBABILITIES else "BYTES",
            "shape": list(np.shape(values)),
        }
        if output in asked.binary:
            tail = np.asarray(values, "<f4").tobytes() if output == PROBABILITIES else _bytes(labels)
            tensor["parameters"] = {"binary_data_size": len(tail)}
            tails.append(tail)
        else:
            tensor["data"] = values if output == LABEL else [float(x) for x in values.ravel()]
        tensors.append(tensor)
    said = {"model_name": name, "model_version": "1", "outputs": tensors}
    head = json.dumps(said | ({"id": asked.name} if asked.name else {}), allow_nan=False).encode()
    return b"".join([head, *tails]), (len(head) if tails else None)


def _bytes(texts: Sequence[str]) -> bytes:
    encoded = [text.encode() for text in texts]
    return b"".join(struct.pack("<I", len(one)) + one for one in encoded)


def _mapping(found: Any) -> Mapping[str, Any]:
    return found if isinstance(found, dict) else {}


def _number(found: Any, what: str, most: int) -> int:
    digits = str(found) if type(found) in (int, str) and len(str(found)) < 20 else ""
    number = int(digits) if digits.isascii() and digits.isdecimal() else -1
    if not 0 <= number <= most:
        raise _bad(f"{what} says where binary data lie, and they do not", f"0 to {most} bytes")
    return number


def _bad(message: str, expected: str) -> Failure:
    return Failure("bad_request", message, expected)
