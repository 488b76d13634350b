"""A cluster of Ray with the service on it: started here or joined, opened, and left as it was found."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import Any

from dhauds_jax.errors import BadInput, sentence
from dhauds_jax.serve import ray_proxy
from dhauds_jax.serve.ray_app import NAME, Share
from dhauds_jax.serve.running import KEEP_ALIVE_S

STORE_BYTES = 128 * 2**20
"""Of the memory that the processes of a cluster started here share: requests do not go through it."""

LOOPBACK = "127.0.0.1"
"""Where the daemons of a cluster started here listen: whoever reaches them can run what he likes."""


def set_up() -> None:
    """What Ray's processes read when they start: to report nothing to its makers, and where our part of a proxy is."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault(ray_proxy.CALLBACK, "dhauds_jax.serve.ray_proxy:middlewares")


def check_package() -> None:
    """Raises `BadInput` where Ray Serve is not installed."""
    set_up()
    try:
        import ray.serve  # noqa: F401
    except ImportError as error:
        raise BadInput(
            "--engine=ray: Ray Serve is not installed, expected: pip install 'dhauds_jax[serve-ray]'"
        ) from error


@contextlib.contextmanager
def joined(address: str) -> Iterator[None]:
    """A block with a cluster: one that is started here, without dashboard, for "local".

    Raises:
      BadInput: there is none at the address.
    """
    import ray

    set_up()
    here = {"include_dashboard": False, "object_store_memory": STORE_BYTES, "_node_ip_address": LOOPBACK}
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **(here if address == "local" else {}))
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise BadInput(f"--ray_address={address}: {sentence(error)}, expected local, auto or HOST:PORT") from error
    try:
        yield
    finally:
        ray.shutdown()


def share_of(replicas: int) -> Share:
    """What each of so many replicas gets of the cluster: a GPU where there are any, else a share of the cores.

    Raises:
      BadInput: there are fewer GPUs than replicas.
    """
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus, cpus = (sum(node.get(kind, 0.0) for node in nodes) for kind in ("GPU", "CPU"))
    if gpus:
        if replicas > gpus:
            raise BadInput(f"--replicas={replicas}: the cluster has {gpus:g} GPUs, expected one for each replica")
        return Share(1.0, 1.0)
    each = min(cpus / replicas, max((node.get("CPU", 0.0) for node in nodes), default=0.0))
    return Share(float(int(each)) if each >= 1 else round(each, 3))


@contextlib.contextmanager
def served(application: Any, host: str, port: int, timeout_s: float) -> Iterator[None]:
    """A block in which an application answers at a port.

    Args:
      application: of `ray_app.application`.
      host: the proxies' address, a free one.
      port: the proxies' port; of a cluster that serves already those of its proxies stay.
      timeout_s: after which a request is given up.

    Raises:
      BadInput: no replica came up.
    """
    from ray import serve

    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    options = {"host": host, "port": port, "request_timeout_s": timeout_s, "keep_alive_timeout_s": KEEP_ALIVE_S}
    quiet = {"log_level": "ERROR", "enable_access_log": False}
    serve.start(http_options=options, logging_config=quiet)
    try:
        try:
            serve.run(application, name=NAME, route_prefix="/", logging_config=quiet)
        except RuntimeError as error:
            raise BadInput(f"--engine=ray: no replica came up: {_why(serve) or sentence(error)}") from error
        yield
    finally:
        serve.delete(NAME)  # what was accepted is answered; a proxy that was shut down at once would lose it


def _why(serve: Any) -> str:
    """The last line of what Ray says of a deployment that failed."""
    said = [one.message for app in serve.status().applications.values() for one in app.deployments.values()]
    lines = [line.strip() for text in said for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
