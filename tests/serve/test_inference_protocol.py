"""The Open Inference Protocol over real sockets: JSON and binary tensors, and errors as texts."""

import base64
import json
import struct
import threading

import numpy as np
import pytest

from dhauds_jax.serve import inference_protocol
from dhauds_jax.serve.failures import Failure
from tests.serve.serving import CLASSES, LENGTH, POISON, RATE, probabilities, recording, served, tone

NAME = "tiny"
INFER = f"/v2/models/{NAME}/infer"
WAVES = np.stack([tone(), 0.5 * tone()[::-1]]).astype(np.float32)
EXPECTED = probabilities(WAVES)


@pytest.fixture(scope="module")
def service():
    with served(model={"net": NAME}, decoders=1, longest=2.0) as running:
        yield running


def asked(waves=WAVES, **more):
    tensor = {"name": "wave", "datatype": "FP32", "shape": list(waves.shape), "data": waves.ravel().tolist()}
    return {"inputs": [tensor | more.pop("tensor", {})], **more}


def infer(service, request, tail=b"", headers=()):
    head = json.dumps(request).encode()
    sent = {"Inference-Header-Content-Length": str(len(head))} if tail else {}
    return service("POST", INFER, head + tail, sent | dict(headers))


def test_health_and_metadata(service):
    assert service("GET", "/v2/health/live")[0] == service("GET", "/v2/health/ready")[0] == 200
    assert service("GET", f"/v2/models/{NAME}/ready")[0] == service("GET", f"/v2/models/{NAME}/versions/1")[0] == 200
    said = service("GET", "/v2")[1]
    assert (said["name"], said["models"]) == ("dhauds_jax", [NAME])
    said = service("GET", f"/v2/models/{NAME}")[1]
    assert (said["name"], said["versions"], said["outputs"][0]["shape"]) == (NAME, ["1"], [-1, 3])
    assert [(one["name"], one["datatype"]) for one in said["inputs"]] == [("wave", "FP32"), ("audio", "BYTES")]
    for path in ("/v2/models/other", f"/v2/models/{NAME}/versions/2", "/v2/models/other/ready", "/v2/nowhere"):
        status, said, _ = service("GET", path)
        assert status == 404 and said["error"].startswith("there is no such "), path
    status, said, headers = service("GET", INFER)
    assert status == 405 and said == {"error": "GET is not answered here; expected POST"} and headers["allow"] == "POST"


def test_all_errors_are_texts():
    with served(model={"net": NAME}, tokens=(b"alpha",)) as running:
        status, said, headers = running("GET", f"/v2/models/{NAME}")
        assert status == 401 and said["error"].startswith("no token that is known here; expected the header")
        assert headers["www-authenticate"] == "Bearer"
        running.service.compute.stuck = True
        try:
            assert running("GET", "/v2/health/ready")[1]["error"].startswith("the compute thread is stuck; expected")
        finally:
            running.service.compute.stuck = False


def test_more_recordings_than_may_wait_are_answered_and_counted_as_one_request():
    with served(model={"net": NAME}, limit=4) as running:
        status, said, _ = infer(running, asked(np.repeat(WAVES, 8, 0)))
        assert status == 200 and said["outputs"][0]["shape"] == [16, 3]
        assert running.service.answered == 1


def test_waves_in_json(service):
    status, said, headers = infer(service, asked(id="7"))
    assert status == 200 and headers["content-type"] == "application/json"
    assert (said["id"], said["model_name"], said["model_version"]) == ("7", NAME, "1")
    found = {one["name"]: one for one in said["outputs"]}
    assert found["probabilities"]["shape"] == [2, 3] and found["label"]["shape"] == [2]
    assert np.abs(np.reshape(found["probabilities"]["data"], (2, 3)) - EXPECTED).max() < 1e-6
    assert found["label"]["data"] == [CLASSES[i] for i in EXPECTED.argmax(-1)]


def test_a_wave_of_another_rate_is_resampled(service):
    twice = np.repeat(tone()[None], 2, 1)  # at 16 kHz as long as the wave at 8 kHz
    said = infer(service, asked(twice, tensor={"parameters": {"sample_rate": 2 * RATE}}))[1]
    assert said["outputs"][0]["shape"] == [1, 3]
    status, said, _ = infer(service, asked(tensor={"parameters": {"sample_rate": 10**9}}))
    assert status == 422 and said["error"].startswith("the sample_rate is out of range; expected ")


def test_binary_tensors_both_ways(service):
    tail = WAVES.astype("<f4").tobytes()
    tensor = {"parameters": {"binary_data_size": len(tail)}}
    request = asked(
        tensor=tensor, outputs=[{"name": n, "parameters": {"binary_data": True}} for n in ("label", "probabilities")]
    )
    del request["inputs"][0]["data"]
    status, said, headers = infer(service, request, tail)
    assert status == 200 and headers["content-type"] == "application/octet-stream"
    raw = said.encode("latin-1") if isinstance(said, str) else said
    end = int(headers["inference-header-content-length"])
    outputs = json.loads(raw[:end])["outputs"]
    first = outputs[0]["parameters"]["binary_data_size"]
    labels, place = [], end
    while place < end + first:
        (size,) = struct.unpack_from("<I", raw, place)
        labels.append(raw[place + 4 : place + 4 + size].decode())
        place += 4 + size
    values = np.frombuffer(raw[end + first :], "<f4").reshape(2, 3)
    assert labels == [CLASSES[i] for i in EXPECTED.argmax(-1)] and np.array_equal(values, np.float32(EXPECTED))


@pytest.mark.parametrize("subtype", ["FLOAT", "PCM_16"])
def test_files_in_base64_and_binary(service, subtype):
    file = recording(tone(), subtype=subtype)
    expected = service.classify(file)[1]["probabilities"]
    tensor = {"name": "audio", "datatype": "BYTES", "shape": [2]}
    as_text = {"inputs": [tensor | {"data": [base64.b64encode(file).decode()] * 2}]}
    tail = (struct.pack("<I", len(file)) + file) * 2
    as_bytes = {"inputs": [tensor | {"parameters": {"binary_data_size": len(tail)}}]}
    for status, said, _ in (infer(service, as_text), infer(service, as_bytes, tail)):
        assert status == 200
        assert np.allclose(said["outputs"][0]["data"], 2 * list(expected.values()), atol=1e-7)


POISONED = np.where(np.arange(LENGTH) == 0, np.float32(POISON), WAVES)


@pytest.mark.parametrize(
    ("request_", "status", "said"),
    [
        ([], 400, "not one input"),
        ({"inputs": []}, 400, "not one input"),
        (asked(tensor={"name": "x"}), 400, "an input of another name"),
        (asked(tensor={"datatype": "INT8"}), 400, "a tensor of another kind or shape"),
        (asked(tensor={"shape": [2, LENGTH, 1]}), 400, "a tensor of another kind or shape"),
        (asked(tensor={"shape": [2, 0]}), 400, "a tensor of another kind or shape"),
        (asked(tensor={"shape": [2, 2**31 + 1]}), 400, "a tensor of another kind or shape"),
        (asked(tensor={"shape": [3, LENGTH]}), 400, "4000 numbers for the shape"),
        (asked(tensor={"data": ["a"]}), 400, "data that are no numbers"),
        (asked(tensor={"data": ["0.5"] * (2 * LENGTH)}), 400, "data that are no numbers"),
        (asked(tensor={"data": [True] * (2 * LENGTH)}), 400, "data that are no numbers"),
        (asked(tensor={"data": [10**400] * (2 * LENGTH)}), 400, "data that are no numbers"),
        (asked(tensor={"data": [1e300] * (2 * LENGTH)}), 400, "samples that are not finite"),
        (asked(tensor={"data": None}), 400, "data that are no numbers"),
        (asked(tensor={"parameters": {"binary_data_size": float("inf")}}), 400, "binary_data_size says where"),
        (asked(tensor={"parameters": {"binary_data_size": 0.0}}), 400, "binary_data_size says where"),
        (asked(tensor={"parameters": {"binary_data_size": "9" * 5_000}}), 400, "binary_data_size says where"),
        (asked(tensor={"data": [float("nan")] * (2 * LENGTH)}), 400, "samples that are not finite"),
        (asked(tensor={"shape": [1, 2 * RATE + 1]}), 422, "16001 samples"),
        (asked(tensor={"parameters": {"binary_data_size": 8}}), 400, "binary_data_size says where"),
        (asked(outputs=[{"name": "frames"}]), 400, "outputs that there are not"),
        (asked(np.repeat(WAVES[:, :4], 33, 0)), 400, "66 recordings in one request"),
        (asked(parameters={"session": "../x"}), 404, "the service has no sessions"),
        ({"inputs": [{"name": "audio", "datatype": "BYTES", "shape": [1], "data": ["%"]}]}, 400, "BYTES data that are"),
        ({"inputs": [{"name": "audio", "datatype": "BYTES", "shape": [1], "data": ["UEs="]}]}, 415, ""),
        (
            {"inputs": [{"name": "audio", "datatype": "BYTES", "shape": [1], "data": "UEs="}]},
            400,
            "BYTES data that are",
        ),
        ({"inputs": [{"name": "audio", "datatype": "BYTES", "shape": [65], "data": []}]}, 400, "65 recordings in one"),
        (asked(np.stack([WAVES[0], POISONED[1]])), 500, "recording 2 of 2: the network's probabilities are not finite"),
    ],
)
def test_what_is_refused_is_a_text(service, request_, status, said):
    found = infer(service, request_)
    assert found[0] == status and list(found[1]) == ["error"] and found[1]["error"].startswith(said), found
    assert infer(service, asked())[0] == 200


def test_a_body_that_is_no_json(service):
    for body in (b"", b"{", b"\xff\xfe", b"[" * 100_000):
        assert service("POST", INFER, body)[0] == 400
    assert service("POST", INFER, b'{"inputs": ' + b"9" * 5_000 + b"}")[0] == 400
    assert service("POST", INFER, b"{}", {"Inference-Header-Content-Length": "-5"})[0] == 400
    one = recording(tone())
    good, bad = (base64.b64encode(x).decode() for x in (one, one[:60]))
    tensor = {"name": "audio", "datatype": "BYTES", "shape": [2], "data": [good, bad]}
    assert infer(service, {"inputs": [tensor]})[1]["error"].startswith("recording 2 of 2: ")


def test_a_million_recordings_are_refused_before_anything_is_made_of_them(monkeypatch):
    made = []
    monkeypatch.setattr(inference_protocol, "Decoded", lambda *words: made.append(words))
    tail = bytes(4 * 1_000_000)
    tensor = {
        "name": "wave",
        "datatype": "FP32",
        "shape": [1_000_000, 1],
        "parameters": {"binary_data_size": len(tail)},
    }
    head = json.dumps({"inputs": [tensor]}).encode()
    with pytest.raises(Failure, match="1000000 recordings in one request"):
        inference_protocol.read(head + tail, str(len(head)), RATE, 2.0)
    assert made == []


def test_a_request_is_read_beside_the_event_loop(service, monkeypatch):
    names, read = [], inference_protocol.read
    monkeypatch.setattr(
        inference_protocol, "read", lambda *words: (names.append(threading.current_thread().name), read(*words))[1]
    )
    assert infer(service, asked())[0] == 200
    assert len(names) == 1 and names[0].startswith("decode")
