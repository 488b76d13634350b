"""The command that serves: what it refuses before it compiles, and a process that starts, answers and ends well."""

import contextlib
import csv
import gc
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from dhauds_jax.errors import BadInput
from dhauds_jax.model import load
from dhauds_jax.runs import serve, serve_ray, serve_sessions
from dhauds_jax.serve import canary, running
from dhauds_jax.serve.request import ServeRun
from dhauds_jax.serve.snapshots import Snapshots
from tests.runs import tiny
from tests.serve import malformed
from tests.serve.adapted import asked, sessions_of, tiny_model
from tests.serve.serving import Network, recording, service_of, wait_until

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"port": 70_000}, r"--port=70000: expected at least 0 and at most 65535"),
        ({"checkpoint": ()}, r"^--checkpoint: names nothing, expected a checkpoint's folder"),
        ({"max_batch": 0}, r"--max_batch=0: expected at least 1"),
        ({"max_body_mb": 0.0}, r"--max_body_mb=0\.0: expected a finite number above 0"),
        ({"batch_wait_ms": -1.0}, r"--batch_wait_ms=-1\.0"),
        ({"overlap": 1.0}, r"--overlap=1\.0"),
        ({"views": "flip:2"}, r"--views=flip:2: expected shift:N or shift:N:SECONDS, N copies"),
        ({"views": "shift:0"}, r"--views=shift:0"),
        ({"token_file": "nowhere"}, r"--token_file=nowhere: no such file"),
        ({"host": "no.such.host.invalid"}, r"--host=no\.such\.host\.invalid: .*, expected a name or an address"),
        (
            {"checkpoint": ("words15", "words15"), "adapt": "session", "port": 0},
            r"--adapt=session: a session adapts one",
        ),
        ({"checkpoint": ("nowhere",), "port": 0}, r"nowhere"),
        (
            {"reject": 0.05, "port": 0},
            r"^--reject: words15 holds no scores of left-out clips, expected a checkpoint that does, as of "
            r"experiments\.learn or experiments\.crossval, or the flag left out$",
        ),
        ({"reject_background": 0.1, "port": 0}, r"^--reject_background: words15 holds no scores of background alone"),
        (
            {"reject": 0.05, "checkpoint": ("words15", "words15")},
            r"^--reject: held-out scores are those of one network as it is, expected one --checkpoint and",
        ),
        ({"reject": 0.05, "views": "shift:2"}, r"^--reject: held-out scores are those of one network"),
        ({"method": "tent"}, r"^--method: expected with --adapt=session .* the flag would be ignored$"),
        ({"options": ["lr=1"]}, r"^--options: expected with --adapt=session"),
        ({"canary": "canary"}, r"^--canary: expected with --adapt=session"),
        ({"filters": False}, r"^--filters: expected with --adapt=session"),
        (
            {"adapt": "session", "session_dir": "/dev/null/sessions", "port": 0},
            r"^--session_dir=/dev/null/sessions: (?!--session_dir)",
        ),
        pytest.param(
            {"adapt": "session", "method": "shot", "port": 0}, r"--method=shot: it looks at", marks=pytest.mark.slow
        ),
    ],
)
def test_what_cannot_be_served_is_said_before_anything_is_compiled(flags, said):
    with pytest.raises(BadInput, match=said):
        serve.serve(ServeRun(**{"checkpoint": ("words15",), **flags}))


def test_a_threshold_that_there_is_not_is_said_before_a_cluster_is_started(monkeypatch):
    monkeypatch.setattr(serve_ray.ray_cluster, "check_package", lambda: None)
    with pytest.raises(BadInput, match=r"^--reject: words15 holds no scores of left-out clips"):
        serve.serve(ServeRun(checkpoint=("words15",), reject=0.05, engine="ray"))


def test_a_port_that_is_taken_is_said():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            BadInput, match=rf"^--port={port}: cannot be used at 127\.0\.0\.1 \(.*\), expected a free port"
        ):
            running.reserved("127.0.0.1", port)
    with running.reserved("127.0.0.1", 0) as free:
        assert running.address(free) == f"http://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(ConnectionRefusedError):  # it is held, and refuses until a server listens
            socket.create_connection(free.getsockname(), timeout=10)


def test_an_address_of_another_machine_is_said_of_the_host():
    with pytest.raises(BadInput, match=r"^--host=192\.0\.2\.1: is no address of this machine \(Cannot assign"):
        running.reserved("192.0.2.1", 0)  # of documentation (RFC 5737): nobody has it


def test_how_sessions_adapt_is_told(tmp_path):
    how, labels = asked("tent"), np.zeros(40, np.int32)
    right = canary.Canary(np.zeros((40, 256), np.float32), labels, np.arange(40) < 10)
    run = ServeRun(checkpoint=("x",), adapt="session", method="tent", session_dir=str(tmp_path), canary="room")
    for model in ("another", "this"):
        kept = sessions_of(tiny_model(), how, labelled=right, snapshots=Snapshots(tmp_path, {"model": model}))
        if model == "another":
            kept.open()
            kept.stop()
    assert serve_sessions.told(run, kept) == (
        "adapts by tent, 16 clips an update; canary: 40 clips of room, the source model has 25.0 % of them right; "
        f"sessions are kept in {tmp_path} (0 found, and 1 of another model, method or options, which are unknown here)"
    )
    kept.open()
    kept.stop()
    assert kept.snapshots.count() == (1, 1)
    alone = serve_sessions.told(run.replace(session_dir=None), sessions_of(tiny_model(), how))
    assert alone.endswith(
        "canary: none (--canary); sessions are in memory alone (--session_dir keeps them over a restart)"
    )


def test_one_deadline_holds_for_the_whole_end(monkeypatch):
    service = service_of(Network())
    monkeypatch.setattr(running, "time", SimpleNamespace(monotonic=lambda: 1_000.0))
    assert running.left_s(service) == running.GRACE_S
    service.ends_by = 1_010.0  # 15 of the 25 s are over
    assert running.left_s(service) == 10.0
    service.ends_by = 999.0
    assert running.left_s(service) == running.SAVING_S


def test_a_start_that_is_told_to_stop_while_it_compiles_ends_with_0(monkeypatch):
    class Left(Exception):
        """The process has ended."""

    def leave():
        raise Left

    stopped = []
    compute = SimpleNamespace(start=lambda: None, stop=lambda timeout: stopped.append(timeout) or False)
    monkeypatch.setattr(serve, "warm", lambda service: sys.exit(0))  # as the handler of SIGTERM does
    monkeypatch.setattr(running, "leave", leave)
    service = service_of(Network())
    service.compute = compute
    with running.reserved("127.0.0.1", 0) as bound, pytest.raises(Left):
        serve._run(ServeRun(checkpoint=("x",)), service, bound)
    assert stopped == [serve.COMPILING_S]
    compute.stop = lambda timeout: True
    with running.reserved("127.0.0.1", 0) as bound, pytest.raises(SystemExit) as ended:
        serve._run(ServeRun(checkpoint=("x",)), service, bound)
    assert ended.value.code == 0


def test_what_is_there_when_the_port_opens_is_not_looked_at_by_the_garbage_collector():
    gc.unfreeze()
    kept = [[number] for number in range(10)]
    try:
        running.freeze()
        assert gc.get_freeze_count() > 10
        assert not any(one is kept for one in gc.get_objects())
    finally:
        gc.unfreeze()
    assert any(one is kept for one in gc.get_objects())


def test_who_lets_other_machines_in_is_told_so():
    with running.reserved("127.0.0.1", 0) as alone, running.reserved("0.0.0.0", 0) as everybody:
        assert serve.open_to_others(alone, ()) == ""
        assert "no token is asked for; keep" in serve.open_to_others(everybody, ())
        assert "no token is asked for at /invocations; keep" in serve.open_to_others(everybody, (b"alpha",))


def test_tokens_are_read(tmp_path):
    (tmp_path / "tokens").write_text("one\n\n two \n")
    assert serve.read_tokens(str(tmp_path / "tokens")) == (b"one", b"two")
    (tmp_path / "tokens").write_text("\n")
    with pytest.raises(BadInput, match="holds no token"):
        serve.read_tokens(str(tmp_path / "tokens"))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny.make_checkpoint(tmp_path_factory.mktemp("serve") / "checkpoint")


class Service:
    """`python -m experiments.serve` in a folder of its own."""

    def __init__(self, folder, *flags):
        words = [sys.executable, "-m", "experiments.serve", "--port=0", *flags]
        place = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        self.process = subprocess.Popen(
            words, cwd=folder, env=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.opening = [self.process.stdout.readline() for _ in range(3)]
        found = re.match(r"serving at http://127\.0\.0\.1:(\d+) ", self.opening[0])
        assert found, self.process.communicate(timeout=60)[1]
        self.port = int(found[1])

    def end(self, number=signal.SIGTERM):
        """Exit code and what was said after the opening."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


@pytest.mark.slow
def test_a_service_answers_as_the_model_does_and_is_asked_by_the_client(checkpoint, tmp_path):
    place = tmp_path / "empty"
    place.mkdir()
    for label in range(4):
        soundfile.write(tmp_path / f"{label}.wav", tiny.tone(label, 0, 40_000), tiny.RATE)
    service = Service(place, f"--checkpoint={checkpoint}", "--max_batch=4")
    try:
        assert re.match(r"model: \w+, hash [0-9a-f]{16}; windows of ", service.opening[1])
        url = f"--url=http://127.0.0.1:{service.port}"
        words = [sys.executable, "-m", "experiments.ask", url, f"--audio={tmp_path}", f"--output={tmp_path / 'l.csv'}"]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0 and done.stdout.startswith("4 recordings labelled: "), done.stderr
        with open(tmp_path / "l.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        files = [tmp_path / f"{label}.wav" for label in range(4)]
        theirs = load(checkpoint).predict(files)
        assert [row["label"] for row in rows] == list(theirs.labels)
        assert np.abs(np.array([float(row["confidence"]) for row in rows]) - theirs.confidence).max() < 1e-6
        metrics = fetched(service.port, "/metrics")
        assert "dhauds_compilations_after_warm_up_total 0.0" in metrics
    finally:
        code, out, err = service.end()
    assert code == 0 and out == "stopped; 4 requests answered\n", err
    assert list(place.iterdir()) == []


def fetched(port, path):
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: connection.recv(65_536), b"")).decode()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_end_under_load_loses_no_accepted_request(checkpoint, tmp_path, number):
    service = Service(tmp_path, f"--checkpoint={checkpoint}", "--max_batch=4")
    sent = malformed.http(recording(tiny.tone(1, 0, 30_000), tiny.RATE), path="/invocations")
    statuses, under_way = [], threading.Event()

    def ask():
        while True:
            try:
                status, _ = malformed.send(service.port, sent)
            except ConnectionRefusedError:
                return
            statuses.append(status)
            if len(statuses) > 20:
                under_way.set()
            if status == 503:
                return

    clients = [threading.Thread(target=ask) for _ in range(8)]
    for client in clients:
        client.start()
    assert under_way.wait(120)
    code, out, err = service.end(number)
    for client in clients:
        client.join(60)
    assert code == 0, err
    # 0: a connection that the system had taken and the service never saw.
    assert set(statuses) <= {200, 503, 0} and statuses.count(0) <= len(clients)
    answered = int(re.fullmatch(r"stopped; ([\d,]+) requests answered\n", out)[1].replace(",", ""))
    assert answered == statuses.count(200)


@pytest.mark.slow
def test_a_kill_loses_no_session_that_has_learnt(checkpoint, tmp_path):
    """Of what was learnt since it was last written (5 s at the most) nothing is left, nor of what was half written."""
    flags = (f"--checkpoint={checkpoint}", "--max_batch=4", "--adapt=session", "--adapt_batch=4", "--session_dir=here")
    clips = [recording(tiny.tone(k % 4, k, tiny.RATE // 4), tiny.RATE, subtype="FLOAT") for k in range(40)]

    def said(service, method, path, body=b"", name=""):
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
        with contextlib.closing(connection), contextlib.suppress(ConnectionError):
            connection.request(method, path, body, {"X-Session-Id": name} if name else {})
            return json.loads(connection.getresponse().read())

    service = Service(tmp_path, *flags)
    try:
        name = said(service, "POST", "/v1/sessions")["session"]
        assert all(said(service, "POST", "/v1/classify", clip, name)["label"] for clip in clips[:4])
        wait_until(lambda: any(tmp_path.glob(f"here/*/{name}/*[0-9]/info.json")))
        before = said(service, "GET", f"/v1/sessions/{name}")
        under_way = threading.Thread(
            target=lambda: [said(service, "POST", "/v1/classify", clip, name) for clip in clips[4:]]
        )
        under_way.start()
    finally:
        assert service.end(signal.SIGKILL)[0] == -signal.SIGKILL
    under_way.join(60)
    service = Service(tmp_path, *flags)
    try:
        after = said(service, "GET", f"/v1/sessions/{name}")
        assert before["updates"] <= after["updates"] <= 10 and after["rollbacks"] == 0
        assert after["verdicts"][0] == before["verdicts"][0] and after["clips_waiting"] == 0
        assert said(service, "POST", "/v1/classify", clips[0], name)["session"]["updates"] >= after["updates"]
    finally:
        assert service.end()[0] == 0
    assert not list(tmp_path.rglob("*.tmp"))
