"""Serving classifiers in replicas of Ray Serve, on this machine or on a cluster."""

from __future__ import annotations

import contextlib
import functools
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dhauds_jax.estimates import say
from dhauds_jax.runs import serve_unknown
from dhauds_jax.serve import ray_app, ray_cluster, running
from dhauds_jax.serve.request import ServeRun
from dhauds_jax.serve.service import Service
from dhauds_jax.wording import counted


def serve(run: ServeRun) -> str:
    """Starts or joins a cluster, waits until all replicas are warm, and serves until it is told to stop.

    Raises:
      BadInput: what cannot be served, most of it before the cluster is started.
    """
    from dhauds_jax.runs.serve import read_tokens

    ray_cluster.check_package()
    serve_unknown.check_checkpoint(run)
    run, tokens = placed(run), read_tokens(run.token_file)
    with running.reserved(run.host, run.port) as bound:  # said now if it is taken; Ray's proxy takes it later
        host, port = bound.getsockname()[:2]
        address = running.address(bound)
    with ray_cluster.joined(run.ray_address), _told_to_stop() as told:  # in this order: Ray sets handlers of its own
        share = ray_cluster.share_of(run.replicas)
        say(f"starting {counted(run.replicas, 'replica')} with {share.cpus:g} cores and {share.gpus:g} GPUs each")
        application = application_of(run, tokens, share)
        timeout_s = run.body_timeout_s + run.deadline_s + 5
        with ray_cluster.served(application, host, port, timeout_s):
            print(
                f"serving at {address} from {counted(run.replicas, 'replica')} (POST a recording to /v1/classify or "
                "/invocations; GET /ping)\nCtrl-C (or SIGTERM) stops it when what was accepted is answered",
                flush=True,
            )
            told.wait()
    return "stopped"


@contextlib.contextmanager
def _told_to_stop() -> Iterator[threading.Event]:
    """An event that SIGTERM and Ctrl-C set; the second Ctrl-C ends the process at once."""
    told = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield told
        return

    def tell(number: int, frame: Any) -> None:
        if told.is_set():
            raise KeyboardInterrupt
        told.set()

    before = {number: signal.signal(number, tell) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def placed(run: ServeRun) -> ServeRun:
    """The same request with whole paths: replicas work in folders of their own."""

    def whole(path: str) -> str:
        return str(Path(path).absolute())

    return run.replace(
        checkpoint=tuple(whole(one) if Path(one).exists() else one for one in run.checkpoint),
        session_dir=None if run.session_dir is None else whole(run.session_dir),
        canary=None if run.canary is None else whole(run.canary),
    )


def application_of(run: ServeRun, tokens: Sequence[bytes], share: ray_app.Share) -> Any:
    """What Ray Serve runs."""
    make = functools.partial(service_of, run, tuple(tokens))
    return ray_app.application(
        make, replicas=run.replicas, share=share, max_queue=run.max_queue, max_sessions=run.max_sessions
    )


def service_of(run: ServeRun, tokens: Sequence[bytes], tag: str) -> Service:
    """A replica's service, warm and computing; its sessions' names begin with `tag`."""
    from dhauds_jax.command import compilation_cache
    from dhauds_jax.runs import serve as one

    compilation_cache.use()
    service = one.made(run, tokens, tag)
    service.compute.start()
    compiled = one.warm(service)
    service.compute.watch(run.stuck_s)
    one.watch(service, compiled)
    running.freeze()
    return service


def application(args: Mapping[str, Any]) -> Any:
    """What a Ray Serve config file imports (container/ray.yaml): `args` are flags of experiments.serve by name.

    Two more of them say what a replica may use: `cpus` (1) and `gpus` (0).

    Raises:
      BadInput: what cannot be served.
    """
    from dhauds_jax.runs.serve import check, read_tokens

    given = dict(args)
    share = ray_app.Share(float(given.pop("cpus", 1)), float(given.pop("gpus", 0)))
    for name in ("checkpoint", "options"):
        if isinstance(given.get(name), str):
            given[name] = tuple(given[name].split(","))
    run = ServeRun(**{**given, "engine": "ray"})
    check(run)
    serve_unknown.check_checkpoint(run)
    return application_of(run, read_tokens(run.token_file), share)
