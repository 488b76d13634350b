"""The routes over real sockets: what is answered, and the sentence of everything that is refused."""

import base64
import contextlib
import datetime
import http.client
import json
import re
import socket
import struct

import numpy as np
import pytest

from dhauds_jax.model.rejecting import Rejecting
from dhauds_jax.serve import running
from dhauds_jax.serve.failures import RETRY_AFTER_S, STATUS, Failure
from dhauds_jax.serve.replies import failure_of
from dhauds_jax.serve.service import Limits
from dhauds_jax.types import Calibration
from tests.serve.serving import (
    CLASSES,
    LENGTH,
    RATE,
    FakeSessions,
    probabilities,
    recording,
    served,
    tone,
    wav,
)

GOOD = recording(tone(), subtype="FLOAT")
LIMITS = Limits(body_bytes=200_000, body_timeout_s=0.3, deadline_s=20.0)


@pytest.fixture(scope="module")
def service():
    with served(FakeSessions(), limits=LIMITS, decoders=1) as made:
        yield made


def told(service, *words, **more):
    """The error of a request that is refused, which has the shape of all errors."""
    status, said, headers = service(*words, **more)
    assert set(said) == {"error"} and set(said["error"]) == {"code", "message", "expected"}
    assert status == STATUS[said["error"]["code"]] and "Traceback" not in str(said) and "/dhauds" not in str(said)
    return status, said["error"]["code"], headers


def test_ping_is_a_newline(service):
    assert service("GET", "/ping")[:2] == (200, "\n")
    assert service("HEAD", "/ping")[:2] == (200, "")


@pytest.mark.parametrize("kind", ["", "audio/wav", "application/x-www-form-urlencoded", "text/html", "nonsense"])
def test_invocations_says_exactly_what_the_published_service_does(service, kind):
    status, said, headers = service("POST", "/invocations", GOOD, {"Content-Type": kind} if kind else {})
    expected = probabilities(tone()[None])[0]
    assert status == 200 and list(said) == ["label", "probability"] and headers["content-type"] == "application/json"
    assert said["label"] == int(expected.argmax()) and np.abs(np.array(said["probability"]) - expected).max() < 1e-12


def test_text_json_in_profile_reference():
    with served(text_json=True) as running:
        assert running("POST", "/invocations", GOOD)[2]["content-type"].startswith("text/json")
        assert "json" in running("POST", "/invocations", b"")[2]["content-type"]


def test_classify_says_all_that_there_is(service):
    wave = np.tile(tone(2 * LENGTH + 500), (2, 1)).T
    status, said, _ = service.classify(recording(wave))
    assert status == 200
    mono = np.float32(np.round(wave[:, 0] * 2**15) / 2**15)
    windows = np.stack([mono[:LENGTH], mono[LENGTH : 2 * LENGTH], mono[-LENGTH:]])
    expected = probabilities(windows)
    assert [(w["start"], w["end"]) for w in said["windows"]] == [(0, 0.25), (0.25, 0.5), (0.3125, 0.5625)]
    assert np.abs(np.array([w["probabilities"] for w in said["windows"]]) - expected).max() < 1e-4
    assert list(said["probabilities"]) == list(CLASSES) and sum(said["probabilities"].values()) == pytest.approx(1)
    assert said["label"] == CLASSES[int(expected.mean(0).argmax())]
    assert said["confidence"] == max(said["probabilities"].values()) and said["seconds"] == 0.5625
    assert said["notices"] == [{"code": "mixed_down", "message": "2 channels mixed down to one"}]
    assert said["session"] is None and said["batch"] == 2 and "spectrogram" not in said
    assert set(said["milliseconds"]) == {"decode", "queue", "compute"} and min(said["milliseconds"].values()) >= 0


class Threshold(FakeSessions):
    """Answers with a column more, which is compared: a window's largest probability less 0.5."""

    def predict(self, session, waves, weights):
        return tuple(
            None if one is None else np.concatenate([one, one.max(1, keepdims=True) - 0.5], 1)
            for one in super().predict(session, waves, weights)
        )


@pytest.mark.parametrize("least", [-1.0, 1.0])
def test_with_a_threshold_every_route_says_unknown(least):
    rule = Rejecting(Calibration(1.0, "nll", "energy"), {}, least)
    with served(Threshold(), rule=rule) as running:
        said = running.classify(GOOD)[1]
        best = CLASSES[int(np.argmax(list(said["probabilities"].values())))]
        label = best if least < 0 else "unknown"
        assert (said["label"], said["best"]) == (label, best)
        assert said["sureness"] == pytest.approx(said["confidence"] - 0.5) and said["windows"][0]["label"] == label
        published = running("POST", "/invocations", GOOD)[1]
        assert published["label"] == (CLASSES.index(best) if least < 0 else -1) and len(published["probability"]) == 3
        name = running("POST", "/v1/sessions")[1]["session"]
        here = running.classify(GOOD, name)[1]
        assert here["source"]["label"] == label and here["label"] == ("unknown" if least > 0 else here["best"])
        body = json.dumps(
            {"inputs": [{"name": "wave", "datatype": "FP32", "shape": [1, 4], "data": [0, 0.1, 0, -0.1]}]}
        )
        probable, labels = running("POST", "/v2/models/model/infer", body.encode())[1]["outputs"]
        assert probable["shape"] == [1, 3] and labels["data"] == (["unknown"] if least > 0 else labels["data"])
        assert f"\ndhauds_unknown_total {0.0 if least < 0 else 4.0}\n" in running("GET", "/metrics")[1]


@pytest.mark.parametrize(("kind", "subtype"), [("FLAC", "PCM_16"), ("OGG", "VORBIS")])
def test_flac_and_ogg_are_decoded_too_and_drawn(service, kind, subtype):
    body = recording(tone(4_410), 44_100, kind, subtype)
    status, said, _ = service("POST", "/v1/classify?spectrogram=1", body)
    assert status == 200 and {notice["code"] for notice in said["notices"]} == {"resampled", "padded"}
    drawn = said["spectrogram"]
    assert len(base64.b64decode(drawn["levels"])) == drawn["frames"] * drawn["bins"] and drawn["hz"] == RATE / 2


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/invocations", b"", 400, "empty"),
        ("POST", "/v1/classify", GOOD[:-2], 400, "truncated"),
        ("POST", "/v1/classify", wav(struct.pack("<f", np.inf), tag=3, bits=32), 400, "not_finite"),
        ("POST", "/v1/classify", wav(frame=9), 400, "bad_header"),
        ("POST", "/v1/classify", b"fLaC" + bytes(50), 400, "damaged"),
        ("POST", "/v1/classify", b"PK\3\4", 415, "format"),
        ("POST", "/v1/classify", wav(tag=17, bits=4, frame=36), 415, "format"),
        ("POST", "/v1/classify", wav(bytes(42_000), rate=1_000), 422, "too_long"),
        ("POST", "/v1/classify", wav(bytes(400), channels=100), 422, "channels"),
        ("POST", "/v1/classify", wav(rate=999), 422, "rate"),
        ("POST", "/v1/classify", bytes(200_001), 413, "too_large"),
        ("POST", "/v1/classify", bytes(2_000_000), 413, "too_large"),
        ("GET", "/nowhere", b"", 404, "not_found"),
        ("POST", "/v1/classify/../../etc/passwd", GOOD, 404, "not_found"),
        ("GET", "/invocations", b"", 405, "wrong_method"),
        ("DELETE", "/v1/classify", b"", 405, "wrong_method"),
        ("GET", "/v1/sessions/%2e%2e%2f%2e%2e%2fetc", b"", 404, "not_found"),
        ("GET", "/v1/sessions/..", b"", 404, "unknown_session"),
        ("GET", f"/v1/sessions/{'f' * 32}", b"", 404, "unknown_session"),
        ("DELETE", f"/v1/sessions/{'F' * 32}", b"", 404, "unknown_session"),
        ("POST", "/v1/sessions/zzz/reset", b"", 404, "unknown_session"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else str(value),
)
def test_what_is_refused_has_its_status_and_sentence(service, method, path, body, status, code):
    assert told(service, method, path, body=body)[:2] == (status, code)
    assert service.classify(GOOD)[0] == 200


def test_a_form_is_told_how_to_send_a_file(service):
    status, said, _ = service("POST", "/v1/classify", body=b"--x\r\nContent-Disposition: form-data\r\n")
    assert status == 415 and "--data-binary @FILE" in said["error"]["message"]


def test_a_length_that_is_missing_or_false_does_not_help(service):
    head = b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    piece = b"ffff\r\n" + bytes(65_535) + b"\r\n"
    said = service.raw(head + b"Transfer-Encoding: chunked\r\n\r\n", *[piece] * 5, b"0\r\n\r\n")
    assert b" 413 " in said and b"too_large" in said
    said = service.raw(head + b"Content-Length: 99999999\r\nExpect: 100-continue\r\n\r\n")
    assert b" 413 " in said and b"100 Continue" not in said


def test_a_slow_or_half_sent_body_is_told_so_and_holds_nothing_up(service):
    head = b"POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
    said = service.raw(head, GOOD[:100])
    assert b" 408 " in said and b"slow_body" in said and b"100 bytes came in 0.3 s" in said
    assert service.raw(b"POST /v1/cla") == b""  # headers that never end: closed without a word
    assert service.classify(GOOD)[0] == 200


def test_headers_that_never_end_are_closed_on_a_connection_that_was_answered(service):
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
    with contextlib.closing(connection):
        connection.request("GET", "/ping")
        assert connection.getresponse().read() == b"\n"
        connection.sock.sendall(b"G")  # uvicorn alone would wait for ever
        assert connection.sock.recv(65_536) == b""


def test_connections_are_bounded(service, monkeypatch):
    monkeypatch.setattr(running, "CONNECTIONS", 0)
    with socket.create_connection(("127.0.0.1", service.port), timeout=3) as connection:
        assert connection.recv(1) == b""
    monkeypatch.undo()
    assert service.classify(GOOD)[0] == 200


def test_no_path_is_redirected(service):
    assert told(service, "GET", "/ping/", headers={"Host": "elsewhere.example"})[:2] == (404, "not_found")


def test_sessions_are_opened_described_reset_and_closed(service):
    status, said, headers = service("POST", "/v1/sessions")
    name = said["session"]
    assert status == 201 and re.fullmatch("[0-9a-f]{32}", name) and headers["location"] == f"/v1/sessions/{name}"
    assert said["method"] == "fake" and said["updates"] == 3 and said["idle_s"] == 900
    _, here, _ = service.classify(GOOD, name)
    _, there, _ = service.classify(GOOD)
    assert here["session"]["session"] == name and list(here["source"]["probabilities"]) == list(CLASSES)
    assert list(here["probabilities"].values()) == list(there["probabilities"].values())[::-1]  # the fake turns them
    assert here["source"]["probabilities"] == there["probabilities"] and "source" not in there
    assert service("POST", f"/v1/sessions/{name}/reset")[0] == 200
    second = service("POST", "/v1/sessions")[1]["session"]
    status, code, headers = told(service, "POST", "/v1/sessions")
    assert (status, code, headers["retry-after"]) == (429, "too_many_sessions", "30")
    for one in (name, second):
        assert service("DELETE", f"/v1/sessions/{one}")[:2] == (200, {"session": one, "closed": True})
    assert told(service, "GET", f"/v1/sessions/{name}")[:2] == (409, "closed_session")
    assert told(service, "POST", "/v1/classify", body=GOOD, headers={"X-Session-Id": name})[:2] == (
        409,
        "closed_session",
    )


def test_sagemakers_headers_open_use_and_close_a_session(service):
    header, other = "X-Amzn-SageMaker-Session-Id", "X-Amzn-SageMaker-Custom-Attributes"
    status, said, headers = service("POST", "/invocations", GOOD, {header: "NEW_SESSION"})
    name, expires = headers["x-amzn-sagemaker-new-session-id"].split("; Expires=")
    assert status == 200 and list(said) == ["label", "probability"]
    left = datetime.datetime.fromisoformat(expires) - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta() < left <= datetime.timedelta(seconds=900)
    again = service("POST", "/invocations", GOOD, {header: name})
    assert again[1] == said and "x-amzn-sagemaker-new-session-id" not in again[2]
    assert said["probability"] == service("POST", "/invocations", GOOD)[1]["probability"][::-1]
    status, _, headers = service("POST", "/invocations", b"", {header: name, other: "close"})
    assert status == 200 and headers["x-amzn-sagemaker-closed-session-id"] == name
    status, code, headers = told(service, "POST", "/invocations", body=GOOD, headers={header: name})
    assert (status, code) == (409, "closed_session") and headers["x-amzn-sagemaker-closed-session-id"] == name
    assert told(service, "POST", "/invocations", body=GOOD, headers={header: "../x"})[:2] == (404, "unknown_session")
    before = len(service.service.compute.predictor.names)
    assert told(service, "POST", "/invocations", body=b"no", headers={header: "NEW_SESSION"})[1] == "format"
    assert service("GET", "/metrics")[0] == 200  # the compute thread has closed it by now
    assert len(service.service.compute.predictor.names) == before


def test_metrics_are_counted_and_bodies_and_names_are_not_in_them(service):
    name = service("POST", "/v1/sessions")[1]["session"]
    service.classify(GOOD, name)
    status, said, headers = service("GET", "/metrics")
    assert status == 200 and headers["content-type"].startswith("text/plain")
    found = dict(line.rsplit(" ", 1) for line in said.splitlines() if not line.startswith("#"))
    assert float(found['dhauds_requests_total{code="200",route="/v1/classify"}']) >= 1
    assert float(found['dhauds_requests_total{code="400",route="/invocations"}']) >= 1
    for stage in ("decode", "queue", "compute", "all"):
        assert float(found[f'dhauds_seconds_count{{stage="{stage}"}}']) >= 1
    assert float(found["dhauds_batch_rows_count"]) >= 1 and "dhauds_padding_rows_total" in found
    assert name not in said
    service("DELETE", f"/v1/sessions/{name}")


def test_a_token_is_asked_for_where_there_are_tokens():
    with served(tokens=(b"alpha", b"beta")) as running:
        for path, method in (("/v1/classify", "POST"), ("/metrics", "GET")):
            for header in ({}, {"Authorization": "Bearer gamma"}, {"Authorization": "Basic alpha"}):
                status, code, headers = told(running, method, path, body=GOOD, headers=header)
                assert (status, code, headers["www-authenticate"]) == (401, "no_token", "Bearer")
            assert running(method, path, GOOD, {"Authorization": "Bearer beta"})[0] == 200
        assert running("POST", "/invocations", GOOD)[0] == 200 and running("GET", "/ping")[0] == 200


def test_without_sessions_that_is_said():
    with served() as running:
        assert told(running, "POST", "/v1/sessions")[:2] == (404, "sessions_off")
        header = {"X-Amzn-SageMaker-Session-Id": "NEW_SESSION"}
        assert told(running, "POST", "/invocations", body=GOOD, headers=header)[:2] == (404, "sessions_off")


def test_where_all_share_one_session_none_is_opened_or_named():
    """It is not that too many are in use: to come again later would not help."""
    with served(FakeSessions(), model={"adapt": "shared"}) as running:
        for path, headers in (
            ("/v1/sessions", {}),
            ("/invocations", {"X-Amzn-SageMaker-Session-Id": "NEW_SESSION"}),
            ("/v1/classify", {"X-Session-Id": "0" * 32}),
        ):
            status, code, given = told(running, "POST", path, body=GOOD, headers=headers)
            assert (status, code, given.get("retry-after")) == (404, "sessions_off", None)
        assert running.classify(GOOD)[0] == 200


def test_a_mistake_of_ours_is_no_story_for_the_client(capsys):
    failure = failure_of(ZeroDivisionError("/root/secret"))
    assert (failure.code, failure.status) == ("internal", 500) and "secret" not in str(failure.payload())
    assert "ZeroDivisionError" in capsys.readouterr().err
    with pytest.raises(KeyError):
        _ = Failure("unheard of", "").status
    assert all(code in STATUS for code in RETRY_AFTER_S)
