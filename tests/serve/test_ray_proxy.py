"""What stands before Ray's router, without Ray: sessions get Ray's header, faults of Ray's our sentences."""

import asyncio
import json

import pytest

from dhauds_jax.serve.failures import Failure
from dhauds_jax.serve.ray_proxy import Door, middlewares, session_of

NAME = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("path", "headers", "session"),
    [
        ("/v1/classify", {b"x-session-id": NAME.encode()}, NAME),
        ("/invocations", {b"x-amzn-sagemaker-session-id": NAME.encode()}, NAME),
        ("/invocations", {b"x-amzn-sagemaker-session-id": b"NEW_SESSION"}, ""),
        (f"/v1/sessions/{NAME}", {}, NAME),
        (f"/v1/sessions/{NAME}/reset", {}, NAME),
        ("/v1/sessions", {}, ""),
        ("/v1/sessions/../../etc", {}, ""),
        ("/v1/classify", {b"x-session-id": b"\xff"}, ""),
        ("/ping", {}, ""),
    ],
)
def test_the_session_of_a_request(path, headers, session):
    assert session_of(path, headers) == session


def through(app, headers=(), path="/v1/classify"):
    """What a client is sent by an application behind the door."""
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(Door(app)({"type": "http", "path": path, "headers": list(headers)}, None, send))
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


def saying(status, kind=b"text/plain", body=b"of Ray", error=None):
    async def app(scope, receive, send):
        if error is not None:
            raise error
        if status:
            await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]})
            await send({"type": "http.response.body", "body": body})

    return app


def test_rays_header_is_set_in_place_of_a_clients():
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["headers"])
        await saying(200)(scope, receive, send)

    other = [(b"serve-multiplexed-model-id", b"other"), (b"x-session-id", NAME.encode())]
    assert through(app, other)[0] == 200
    assert seen == [[(b"x-session-id", NAME.encode()), (b"serve_multiplexed_model_id", NAME.encode())]]


@pytest.mark.parametrize(
    ("app", "status", "code"),
    [
        (saying(404), 503, "draining"),
        (saying(503), 503, "full"),
        (saying(408), 504, "deadline"),
        (saying(500), 503, "lost"),
        (saying(0), 503, "lost"),  # of a replica that dies with a request Ray's proxy says nothing
        (saying(0, error=OSError("of Ray")), 503, "lost"),
    ],
)
def test_faults_of_rays_are_said_as_the_application_says_its_own(app, status, code):
    found, headers, body = through(app)
    assert (found, json.loads(body)["error"]["code"]) == (status, code)
    assert int(headers[b"content-length"]) == len(body)
    assert headers.get(b"retry-after") == {"draining": b"5", "deadline": None}.get(code, b"1")


@pytest.mark.parametrize(
    ("status", "kind"), [(200, b"text/html"), (404, b"application/json"), (503, b"application/json")]
)
def test_answers_of_the_application_pass_as_they_are(status, kind):
    assert through(saying(status, kind)) == (status, {b"content-type": kind}, b"of Ray")


def test_a_fault_before_an_answer_begins_shows_itself(capsys):
    status, _, body = through(saying(0, error=KeyError("a bug of ours")))
    assert (status, json.loads(body)["error"]["code"]) == (503, "lost")
    assert "KeyError: 'a bug of ours'" in capsys.readouterr().err


def test_a_connection_that_fails_in_the_middle_of_an_answer_fails():
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise Failure("internal", "in the middle")

    async def send(message):
        pass

    with pytest.raises(Failure):
        asyncio.run(Door(app)({"type": "http", "path": "/", "headers": []}, None, send))


def test_ray_is_given_the_door():
    (found,) = middlewares()
    assert found.cls is Door
