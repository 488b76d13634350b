"""`--engine=ray`: what is refused before a cluster is started, the cluster's file, and replicas that are killed."""

import concurrent.futures
import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml

from dhauds_jax.errors import BadInput
from dhauds_jax.model import load
from dhauds_jax.runs import serve, serve_ray
from dhauds_jax.serve import ray_cluster, ray_proxy
from dhauds_jax.serve.request import ServeRun
from dhauds_jax.serve.snapshots import is_name
from tests.runs import tiny
from tests.serve.serving import recording, wait_until

ROOT = Path(__file__).resolve().parents[2]


def test_without_ray_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BadInput, match=r"^--engine=ray: Ray Serve is not installed, expected: pip install 'dhauds_"):
        serve.serve(ServeRun(checkpoint=("words15",), engine="ray"))


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"replicas": 2}, r"--replicas and --ray_address: expected with --engine=ray"),
        ({"ray_address": "auto"}, r"--replicas and --ray_address: expected with --engine=ray"),
        ({"engine": "ray", "replicas": 0}, r"--replicas=0: expected at least 1"),
    ],
)
def test_flags_that_do_not_fit_are_said(flags, said):
    with pytest.raises(BadInput, match=said):
        serve.serve(ServeRun(checkpoint=("words15",), **flags))


def test_replicas_find_paths_and_are_given_what_there_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checkpoint").mkdir()
    run = ServeRun(checkpoint=("checkpoint", "words15"), session_dir="sessions")
    placed = serve_ray.placed(run)
    assert placed.checkpoint == (str(tmp_path / "checkpoint"), "words15")
    assert placed.session_dir == str(tmp_path / "sessions") and placed.canary is None


def test_the_clusters_file_names_what_there_is(monkeypatch):
    (found,) = yaml.safe_load_all((ROOT / "container" / "ray.yaml").read_text())
    config = yaml.safe_load(found["spec"]["serveConfigV2"])
    (application,) = config["applications"]
    assert application["import_path"] == f"{serve_ray.__name__}:{serve_ray.application.__name__}"
    assert [one["name"] for one in application["deployments"]] == [ray_cluster.NAME]
    given = []
    monkeypatch.setattr(serve_ray, "application_of", lambda run, tokens, share: given.append((run, share)))
    serve_ray.application(application["args"])
    ((run, share),) = given
    assert run.checkpoint == ("/models/checkpoint",) and run.engine == "ray" and share.cpus == 2
    spec = found["spec"]["rayClusterConfig"]
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    for group in groups:
        (container,) = group["template"]["spec"]["containers"]
        named = {one["name"]: one["value"] for one in container["env"]}
        assert named == {"RAY_USAGE_STATS_ENABLED": "0", ray_proxy.CALLBACK: "dhauds_jax.serve.ray_proxy:middlewares"}
        assert callable(ray_proxy.middlewares)
        mounted = {one["mountPath"] for one in container["volumeMounts"]}
        assert mounted == {"/models", run.session_dir}
    assert config["http_options"]["request_timeout_s"] == run.body_timeout_s + run.deadline_s + 5


class Cluster:
    """`python -m experiments.serve --engine=ray` with two replicas."""

    def __init__(self, folder, *flags):
        place = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default"}
        words = [sys.executable, "-m", "experiments.serve", "--port=0", "--engine=ray", "--replicas=2", *flags]
        self.known, self.statuses = set(), Counter()
        self.process = subprocess.Popen(
            words, cwd=folder, env=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        said = self.process.stdout.readline()
        found = re.match(r"serving at http://127\.0\.0\.1:(\d+) from 2 replicas ", said)
        assert found, self.process.communicate(timeout=120)[1]
        self.port = int(found[1])

    def processes(self, title=""):
        """Those that came of ours and go by this name; once seen, they are known although their parents have ended."""
        living = {}
        for place in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it may have ended
                state, parent = (place / "stat").read_text().rpartition(") ")[2].split()[:2]
                if state != "Z":
                    living[int(place.name)] = int(parent), (place / "cmdline").read_bytes().decode(errors="replace")
        before = None
        while before != self.known:
            before = set(self.known)
            self.known |= {one for one, (parent, _) in living.items() if parent in (self.process.pid, *before)}
        return [one for one in self.known & living.keys() if title in living[one][1]]

    def __call__(self, method, path, body=b"", session="", tries=20):
        """Status and what is said; where the service says when to come again, it is asked again then."""
        for _ in range(tries):
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
            with contextlib.closing(connection):
                connection.request(method, path, body, {"X-Session-Id": session} if session else {})
                response = connection.getresponse()
                said = json.loads(response.read())
            self.statuses[response.status] += 1
            if response.status != 503:
                break
            assert said["error"]["code"] in ("lost", "full")
            time.sleep(float(response.headers["retry-after"]))
        return response.status, said


def opened_in_both(cluster):
    """A session in each replica: their names begin with other digits."""
    found = {}
    for _ in range(60):
        status, said = cluster("POST", "/v1/sessions")
        assert status == 201 and is_name(said["session"])
        found[said["session"][:8]] = said["session"]
        if len(found) == 2:
            return sorted(found.values())
    raise AssertionError("one replica alone opens sessions")


def written(folder, session):
    """Whether a session lies in the folder of all of them."""
    return any(folder.glob(f"*/{session}/*[0-9]/info.json"))


@pytest.mark.slow
def test_a_killed_replica_loses_no_request_and_no_session(tmp_path):
    pytest.importorskip("ray", reason="ray is not installed (pip install 'dhauds_jax[serve-ray]')")
    checkpoint = tiny.make_checkpoint(tmp_path / "checkpoint")
    flags = ("--max_batch=4", "--adapt=session", "--method=t3a", "--adapt_batch=4", "--session_dir=sessions")
    cluster = Cluster(tmp_path, f"--checkpoint={checkpoint}", *flags)
    clips = [recording(tiny.tone(k % 4, k, tiny.RATE // 4), tiny.RATE, subtype="FLOAT") for k in range(12)]
    try:
        sessions = opened_in_both(cluster)
        before = {}
        for session in sessions:
            assert {cluster("POST", "/v1/classify", clip, session)[0] for clip in clips[:4]} == {200}
            # It learns when nobody waits.
            wait_until(lambda session=session: written(tmp_path / "sessions", session))
            before[session] = cluster("GET", f"/v1/sessions/{session}")[1]
            assert (before[session]["updates"], before[session]["rollbacks"]) == (1, 0)

        answered, victim = answers_while_one_is_killed(cluster, clips)
        assert len(answered) == 200 and {status for status, _ in answered} == {200}
        expected = load(checkpoint).predict([tiny.tone(k % 4, k, tiny.RATE // 4) for k in range(12)], rate=tiny.RATE)
        for k, (_, said) in enumerate(answered):
            ours = np.array(list(said["probabilities"].values()))
            assert np.abs(ours - expected.probabilities[k % 12]).max() < 1e-5

        for session in sessions:  # one of them was the lost replica's
            status, said = cluster("GET", f"/v1/sessions/{session}")
            assert status == 200
            for key in ("updates", "rollbacks", "verdicts", "signs"):
                assert said[key] == before[session][key]
            assert cluster("POST", "/v1/classify", clips[5], session)[0] == 200
        wait_until(lambda: len(set(cluster.processes("ray::ServeReplica")) - {victim}) == 2, 300)
        for session in sessions:  # the new replica takes nothing away
            assert cluster("GET", f"/v1/sessions/{session}")[1]["clips_waiting"] == 1
        assert cluster("GET", f"/v1/sessions/{'0' * 32}")[0] == 404
        cluster.process.send_signal(signal.SIGTERM)
        out, err = cluster.process.communicate(timeout=120)
        assert cluster.process.returncode == 0 and out.endswith("stopped\n"), err
        wait_until(lambda: not cluster.processes())
    finally:
        for one in cluster.processes():
            with contextlib.suppress(OSError):
                os.kill(one, signal.SIGKILL)
        cluster.process.communicate(timeout=120)


def answers_while_one_is_killed(cluster, clips):
    """The answers to 200 requests of eight clients, in order, and the replica that was killed among them."""
    victim = cluster.processes("ray::ServeReplica")[0]
    with concurrent.futures.ThreadPoolExecutor(8) as clients:
        asked = [clients.submit(cluster, "POST", "/v1/classify", clips[k % 12]) for k in range(200)]
        asked[60].result(300)
        os.kill(victim, signal.SIGKILL)
        return [one.result(300) for one in asked], victim
