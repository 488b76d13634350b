"""The service as a deployment of Ray Serve: each replica a process with the same application, queue and thread.

Ray starts replicas, puts lost ones back, and routes; batches, sessions and limits are the service's own (`service`,
`batching`, `sessions`). A replica is healthy when everything is compiled, as a port is open.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from dhauds_jax.serve import ray_routing
from dhauds_jax.serve.app import create_app
from dhauds_jax.serve.ray_proxy import MODEL_ID
from dhauds_jax.serve.service import Service
from dhauds_jax.serve.snapshots import is_name

NAME = "dhauds"
"""Of the application and its deployment in Ray."""

ROUTER = "dhauds_jax.serve.ray_router:SessionRouter"
"""What Ray imports to route by."""

GRACE_S = 25.0
"""Seconds that a replica which is to end has for what it accepted."""

HEALTH_S = 5.0
"""Seconds between two looks at a replica's health."""


class Share(NamedTuple):
    """What one replica may use, as Ray counts it.

    Attributes:
      cpus: cores.
      gpus: graphics processors.
    """

    cpus: float
    gpus: float = 0.0


def application(
    make: Callable[[str], Service], *, replicas: int, share: Share, max_queue: int, max_sessions: int = 64
) -> Any:
    """What `ray.serve.run` takes.

    Args:
      make: called in a replica with what its sessions' names begin with; a service that is warm and computes. It is
        found by its name in its module, which must be installed on all machines.
      replicas: how many at once, where nothing scales them.
      share: of each.
      max_queue: requests that a replica works on, and that wait for one in a proxy; more are refused (503).
      max_sessions: of a replica.
    """
    from ray import serve
    from ray.serve.config import RequestRouterConfig

    deployment = serve.deployment(
        name=NAME,
        num_replicas=replicas,
        ray_actor_options={"num_cpus": share.cpus, "num_gpus": share.gpus},
        max_ongoing_requests=max_queue,
        max_queued_requests=max_queue,
        health_check_period_s=HEALTH_S,
        health_check_timeout_s=30.0,
        graceful_shutdown_timeout_s=GRACE_S,
        graceful_shutdown_wait_loop_s=0.2,
        request_router_config=RequestRouterConfig(request_router_class=ROUTER),
    )
    return deployment(_replica(max_sessions)).bind(make)


_here: list[Any] = []
"""The ASGI application of this process; a replica is a process of its own."""


def _application() -> Any:
    return _here[-1]


def _held(make: Callable[[str], Service], tag: str, took_over: Callable[[str], Any]) -> Service:
    """A service, whose application is then this process's (Ray copies a class to its replicas, but not a module)."""
    service = make(tag)
    _here.append(_noting(create_app(service), tag, took_over))
    return service


def _replica(max_sessions: int) -> type:
    """The class of the replicas."""
    from ray import serve

    @serve.ingress(_application)
    class Replica:
        """A service in a process of Ray's."""

        def __init__(self, make: Callable[[str], Service]) -> None:
            tag = ray_routing.tag(serve.get_replica_context().replica_id.unique_id)
            self._service = _held(make, tag, self._took_over)

        @serve.multiplexed(max_num_models_per_replica=max_sessions)
        async def _took_over(self, session: str) -> str:
            """Lets Ray know that a session of a replica that was lost is here now."""
            return session

        def check_health(self) -> None:
            """Raises where the compute thread shows no life: Ray then puts another replica in place."""
            if self._service.compute.stuck:
                raise RuntimeError("the compute thread is stuck")

        def __del__(self) -> None:
            stop(self._service)

    return Replica


def stop(service: Service) -> None:
    """Ends what computes; sessions are written first, where there is a folder for them."""
    service.draining = True
    if service.sessions is not None:
        service.compute.call(service.sessions.stop)
    service.compute.stop(timeout=GRACE_S)


def _noting(app: Any, tag: str, took_over: Callable[[str], Any]) -> Any:
    """The application; each session of another replica that it answers for is told."""

    async def noting(scope: Any, receive: Any, send: Any) -> None:
        name = dict(scope.get("headers", ())).get(MODEL_ID, b"").decode("latin-1")

        async def sent(message: Any) -> None:
            if message["type"] == "http.response.start" and message["status"] < 400:
                await took_over(name)
            await send(message)

        foreign = is_name(name) and not name.startswith(tag)
        await app(scope, receive, sent if foreign else send)

    return noting
