"""The container's file: its steps in a fresh environment, and what `serve` starts there (no image is built)."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from shutil import copy, copytree, ignore_patterns

import numpy as np
import pytest
import yaml

from dhauds_jax.model import load
from tests.serve.serving import recording

ROOT = Path(__file__).resolve().parents[2]
CONTAINER = ROOT / "container"


def steps():
    """(instruction, words) of the Dockerfile."""
    lines = [line for line in (CONTAINER / "Dockerfile").read_text().splitlines() if line and not line.startswith("#")]
    return [tuple(line.split(" ", 1)) for line in lines]


def test_the_dockerfile_starts_serve_without_a_shell():
    by_name = dict(steps())
    assert json.loads(by_name["CMD"]) == ["serve"] and "ENTRYPOINT" not in by_name and by_name["EXPOSE"] == "8080"
    subprocess.run(["sh", "-n", str(CONTAINER / "serve")], check=True)


def test_kserves_file_asks_for_routes_and_flags_that_there_are():
    from dhauds_jax.serve.app import ROUTES
    from dhauds_jax.serve.request import ServeRun

    (container,) = yaml.safe_load((CONTAINER / "kserve.yaml").read_text())["spec"]["predictor"]["containers"]
    paths = {container[probe]["httpGet"]["path"] for probe in ("readinessProbe", "livenessProbe")}
    assert paths <= {route.path for route in ROUTES if not route.private}
    given = {re.match(r"--(\w+)=", word)[1] for word in container["args"]}
    assert given <= set(ServeRun.__dataclass_fields__) and container["command"] == ["serve"]
    assert {one["name"] for one in container["env"]} == {"STORAGE_URI", "MODEL_DIR"}


def installed(place):
    """A fresh environment with the steps of the file done in it; packages of others lie beside, nothing is fetched."""
    for name in ("dhauds_jax", "converters", "experiments", "container"):
        copytree(ROOT / name, place / "src" / name, ignore=ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        copy(ROOT / name, place / "src" / name)
    subprocess.run([sys.executable, "-m", "venv", str(place / "venv")], check=True, timeout=900)
    binaries, (site,) = place / "venv" / "bin", (place / "venv").glob("lib/python3*/site-packages")
    (site / "beside.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    # An environment's own setuptools (Python 3.11 brings one) may be older than the one beside.
    subprocess.run([binaries / "python", "-m", "pip", "uninstall", "-q", "-y", "setuptools"], check=True, timeout=900)
    # The same command as in the file; the packages that it would fetch are those that lie beside.
    offline = {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0"}
    env = {**os.environ, **offline, "PATH": f"{binaries}:{os.environ['PATH']}", "HOME": str(place)}
    env.pop("PYTHONPATH", None)
    for name, words in steps():
        if name == "ENV":
            env |= dict(word.split("=", 1) for word in words.split())
        if name == "RUN":
            here = words.replace("/src", str(place / "src")).replace("/usr/local/bin", str(binaries))
            done = subprocess.run(["sh", "-c", here], env=env, cwd=place, capture_output=True, text=True, timeout=900)
            assert done.returncode == 0, done.stdout + done.stderr
    return env


@pytest.mark.slow
def test_its_steps_and_serve_in_a_fresh_environment(tmp_path):
    env = installed(tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    (command,) = [json.loads(words) for name, words in steps() if name == "CMD"]
    done = subprocess.run(command, env=env | {"MODEL_DIR": str(empty)}, capture_output=True, text=True, timeout=900)
    assert done.returncode == 2 and done.stderr.startswith(f"{empty}: no config.json in it")

    model, wave = load("words15"), np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    for fold in ("fold1", "fold2"):
        model.save(tmp_path / "model" / fold)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    more = {"MODEL_DIR": str(tmp_path / "model"), "SAGEMAKER_BIND_TO_PORT": str(port), "SERVE_FLAGS": "--max_batch=1"}
    with subprocess.Popen(command, env=env | more, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        try:
            until_ready(port, process)
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("POST", "/invocations", recording(wave, 16_000, subtype="FLOAT"))
            said = json.loads(connection.getresponse().read())
            connection.close()
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()
    expected = model.predict(wave, rate=16_000).probabilities[0]
    assert np.abs(np.array(said["probability"]) - expected).max() < 1e-6


def until_ready(port, process):
    """Waits until /ping is 200, as SageMaker does."""
    while process.poll() is None:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/ping")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.2)
        finally:
            connection.close()
    raise AssertionError("the service ended")
