"""`experiments.load`: one or two services, what is said of them, and what is refused before anything is sent."""

import io
import json
import sys

import pytest
import soundfile

from dhauds_jax.errors import BadInput
from dhauds_jax.runs import load as loading
from dhauds_jax.runs.requests.load import LoadRun
from dhauds_jax.serve import started
from tests.serve.tiny_server import Tiny

PROGRAM = (sys.executable, "-m", "tests.serve.tiny_server")


def test_a_service_is_asked_and_its_numbers_are_said():
    with Tiny() as tiny:
        said, code = loading.load(LoadRun(url=tiny.url, clients=2, requests=12, blocks=3), "the command")
        found = json.loads(
            loading.load(LoadRun(url=tiny.url, clients=2, requests=12, json=True, rate=1e4), "the command")[0]
        )
    assert said.splitlines()[0] == "2 clients, each asks again when it has its answer"
    assert code == 0 and "12 of 12 answered, 0 lost" in said and "the load generator took" in said
    (row,) = found["services"]
    assert row["planned"] == 12
    assert (row["sent"], row["answered"], row["lost"], row["codes"]) == (12, 12, 0, {"200": 12})
    assert 0 < row["p50_ms"] <= row["p90_ms"] <= row["p99_ms"] <= row["max_ms"]
    assert row["per_s"] == pytest.approx(12 / row["seconds"]) and row["service_cores"] is None
    assert (found["ratio"], found["command"], row["rate"]) == ({}, "the command", 1e4)
    bodies = {body for _, body in tiny.asked if body}
    assert len(bodies) == loading.TONES
    wave, rate = soundfile.read(io.BytesIO(min(bodies)))
    assert (len(wave), rate) == (16_000, 16_000) and 0.3 < abs(wave).max() < 0.6


def test_requests_that_were_planned_and_not_sent_are_said():
    with Tiny() as tiny:
        said, code = loading.load(LoadRun(url=tiny.url, clients=1, requests=5, blocks=1, longest_s=1e-9), "")
    assert "0.0 answers a second; 0 of 0 answered (5 planned), 0 lost" in said and code == loading.UNANSWERED == 1


def test_two_services_are_asked_in_turn():
    def refuses(number, head, body):
        return b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"

    with Tiny() as first, Tiny(refuses) as second:
        run = LoadRun(url=first.url, compare=second.url, clients=1, requests=6, blocks=2)
        said, code = loading.load(run, "")
        assert f"{second.url}: 0.0 answers a second; 0 of 6" in said and "6 with code 503" in said and code == 1
        assert "the first to the second" not in said
        said, code = loading.load(run.replace(compare=first.url), "")
    assert "the first to the second: " in said and " x the answers a second" in said and " x the p99" in said


def test_services_are_started_with_a_flag_that_differs(monkeypatch):
    monkeypatch.setattr(started, "PROGRAM", PROGRAM)
    run = LoadRun(serve="max_batch=32", compare="max_batch:1", clients=2, requests=8, json=True)
    found = json.loads(loading.load(run, "")[0])
    assert [row["service"] for row in found["services"]] == ["the service", "--max_batch=1"]
    assert all(row["answered"] == 8 and row["start_s"] > 0 for row in found["services"])
    assert found["ratio"]["per_s"] > 0
    if sys.platform == "linux":
        assert all(row["service_cores"] >= 0 for row in found["services"])
    with pytest.raises(BadInput, match=r"does not serve \(error: --broken: expected nothing of the kind\)"):
        loading.load(run.replace(serve="broken=1"), "")


def test_recordings_are_sent_as_they_are(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"RIFF, or something like it")
    with Tiny() as tiny:
        loading.load(LoadRun(url=tiny.url, audio_dir=str(tmp_path), clients=1, requests=2), "")
    assert {body for _, body in tiny.asked if body} == {b"RIFF, or something like it"}


def test_a_token_is_sent(tmp_path):
    (tmp_path / "token").write_text("secret\n")
    with Tiny() as tiny:
        loading.load(LoadRun(url=tiny.url, token_file=str(tmp_path / "token"), clients=1, requests=1), "")
    assert all("Authorization: Bearer secret\r\n" in head for head, body in tiny.asked if body)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({}, "--url and --serve: expected one of them"),
        ({"url": "http://127.0.0.1:1", "serve": ""}, "--url and --serve: expected one of them"),
        ({"url": "http://example.org"}, "another machine, expected this one"),
        (
            {"url": "http://127.0.0.1:1", "compare": "http://example.org:8080"},
            "http://example.org:8080: another machine",
        ),
        ({"url": "http://127.0.0.1:1", "compare": "max_batch:1"}, "expected the address of a second service, or with"),
        ({"serve": "", "compare": "max_batch"}, "a flag that differs, such as max_batch:1"),
        ({"url": "http://127.0.0.1:1", "clients": 0}, "--clients=0: expected at least 1"),
        (
            {"url": "http://127.0.0.1:1", "requests": 2_000_000},
            "--requests=2000000: expected at least 1 and at most 1e",
        ),
        ({"url": "http://127.0.0.1:1", "rate": -1.0}, "--rate=-1.0"),
        ({"url": "http://127.0.0.1:1"}, "no service answers there"),
        ({"url": "http://127.0.0.1:1", "audio_dir": "nowhere"}, "--audio_dir=nowhere: no such folder"),
    ],
)
def test_what_cannot_be_done_is_refused(flags, said):
    with pytest.raises(BadInput, match=said):
        loading.load(LoadRun(**flags), "")
