"""Serving classifiers over HTTP, from their weights to the last answer."""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dhauds_jax import calibration, digests
from dhauds_jax.dsp.shifts import read_views
from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.estimates import say
from dhauds_jax.model import Model, load
from dhauds_jax.nets.checkpoint import variables_hash
from dhauds_jax.nets.config import reading
from dhauds_jax.runs import serve_sessions, serve_unknown
from dhauds_jax.serve import compilations, engine, running
from dhauds_jax.serve.batching import Batcher
from dhauds_jax.serve.compute import Compute
from dhauds_jax.serve.counters import Counters, resident_bytes
from dhauds_jax.serve.decode import Decoders
from dhauds_jax.serve.reading import Wanted
from dhauds_jax.serve.request import ADAPTING, ServeRun
from dhauds_jax.serve.service import Limits, Service
from dhauds_jax.wording import counted

COMPILING_S = 2.0
"""Seconds that the compute thread gets to end in before the port was open: nobody waits for an answer."""


def serve(run: ServeRun) -> str:
    """Loads, compiles, opens the port and serves until it is told to stop; returns what it has done.

    Raises:
      BadInput: what cannot be served, before anything is compiled.
    """
    check(run)
    _check_packages()
    if run.engine == "ray":
        from dhauds_jax.runs import serve_ray

        return serve_ray.serve(run)
    tokens = read_tokens(run.token_file)
    with running.reserved(run.host, run.port) as bound, _ends_at_sigterm():
        if note := open_to_others(bound, tokens):
            say(note)
        service = made(run, tokens)
        _run(run, service, bound)
    return f"stopped; {counted(service.answered, 'request')} answered"


@contextlib.contextmanager
def _ends_at_sigterm() -> Iterator[None]:
    """Ends the process at SIGTERM while there is nobody to answer; the first one of a container would ignore it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(run: ServeRun, service: Service, bound: socket.socket) -> None:
    """Compiles, serves, and ends what computes."""
    was_open = False
    service.compute.start()
    try:
        compiled = warm(service)
        service.compute.watch(run.stuck_s)
        watch(service, compiled)
        if service.sessions is not None:
            say(serve_sessions.told(run, service.sessions))
        from dhauds_jax.serve.app import create_app

        def opened() -> None:
            nonlocal was_open
            was_open = True
            running.freeze()
            print(opening(service, running.address(bound)), flush=True)

        running.run(service, create_app(service), bound, opened)
    finally:
        if service.sessions is not None:
            service.compute.call(service.sessions.stop)
        ended = service.compute.stop(timeout=running.left_s(service) if was_open else COMPILING_S)
        if not (ended or was_open) and isinstance(sys.exc_info()[1], SystemExit):
            running.leave()  # it compiles, which cannot be broken off: Python would end with SIGABRT


def check(run: ServeRun) -> None:
    """Raises `BadInput` for numbers out of their range, and where no checkpoint is named."""
    if not run.checkpoint:
        raise BadInput("--checkpoint: names nothing, expected a checkpoint's folder, or several with commas between")
    check_number("--port", run.port, 0, 65_535)
    check_number("--max_batch", run.max_batch, 1, 4_096)
    check_number("--batch_wait_ms", run.batch_wait_ms, 0.0, 10_000.0)
    for name in ("max_queue", "decoders", "replicas"):
        check_number(f"--{name}", getattr(run, name), 1)
    for name in (
        "max_body_mb",
        "max_memory_mb",
        "session_dir_mb",
        "max_seconds",
        "body_timeout_s",
        "deadline_s",
        "stuck_s",
    ):
        check_number(f"--{name}", getattr(run, name), 0.0, above=True)
    check_number("--overlap", run.overlap, 0.0, 1.0, below=True)
    if run.engine != "ray" and (run.replicas > 1 or run.ray_address != "local"):
        raise BadInput("--replicas and --ray_address: expected with --engine=ray; one process serves without it")
    _check_adapting(run)
    serve_unknown.check(run)
    several = len(run.checkpoint) > 1 or read_views(run.views)[0] > 1
    if several and run.adapt != "none":
        raise BadInput(
            f"--adapt={run.adapt}: a session adapts one network as it is, expected one --checkpoint and --views=shift:1"
        )


def _check_adapting(run: ServeRun) -> None:
    """Raises `BadInput` for flags of sessions where nothing adapts: they would be ignored."""
    defaults = ServeRun.defaults()
    for name in ADAPTING if run.adapt == "none" else ():
        given, default = getattr(run, name), defaults[name]
        if (tuple(given) if name == "options" else given) != default:
            raise BadInput(
                f"--{name}: expected with --adapt=session (or --adapt=shared); without it nothing adapts, and the flag "
                "would be ignored"
            )


def _check_packages() -> None:
    try:
        import prometheus_client  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise BadInput(f"{error.name} is not installed, expected: pip install 'dhauds_jax[serve]'") from error


def read_tokens(path: str | None) -> tuple[bytes, ...]:
    """The tokens of a file, one on each line.

    Raises:
      BadInput: there is no such file, or it has none.
    """
    if path is None:
        return ()
    if not Path(path).is_file():
        raise BadInput(f"--token_file={path}: no such file, expected one with a token on each line")
    found = tuple(filter(None, (line.strip() for line in Path(path).read_bytes().splitlines())))
    if not found:
        raise BadInput(f"--token_file={path}: holds no token, expected one on each line")
    return found


def open_to_others(bound: socket.socket, tokens: Sequence[bytes]) -> str:
    """What is said of a service that other machines reach, "" of one that they do not."""
    if ipaddress.ip_address(bound.getsockname()[0].partition("%")[0]).is_loopback:
        return ""
    asks = "no token is asked for at /invocations" if tokens else "--token_file is not given: no token is asked for"
    return f"--host lets other machines in, and {asks}; keep others out before it"


def made(run: ServeRun, tokens: Sequence[bytes] = (), tag: str = "") -> Service:
    """A service whose compute thread does not run yet; `tag` is what the names of its sessions begin with."""
    how = {"precision": run.precision, "convolution": run.convolution}
    models = [load(place, **how) for place in run.checkpoint]
    rule, shapes, (copies, step_s) = (
        serve_unknown.rule_of(run, models[0]),
        engine.shapes_up_to(run.max_batch),
        read_views(run.views),
    )
    served = engine.serve_models(models, views=copies, view_step_s=step_s, shapes=shapes, rule=rule)
    sessions = None if run.adapt == "none" else serve_sessions.made(run, served, models[0], tag, rule=rule)
    counters = Counters()
    batcher = Batcher(served.shapes, served.length, wait_s=run.batch_wait_ms / 1e3, limit=run.max_queue)
    compute = Compute(sessions or engine.SourceOnly(served), batcher, ran=counters.ran)
    read_as = reading(models[0].config.front_end)
    return Service(
        served=served,
        batcher=batcher,
        compute=compute,
        wanted=Wanted(served.sample_rate, served.length, longest=run.max_seconds, overlap=run.overlap, **read_as),
        model={**facts(run, models), **serve_unknown.facts(run, rule)},
        limits=Limits(
            int(run.max_body_mb * 2**20),
            run.body_timeout_s,
            run.deadline_s,
            2 * run.max_queue,
            int(run.max_memory_mb * 2**20),
        ),
        rule=rule,
        sessions=sessions,
        counters=counters,
        decoders=Decoders(run.decoders),
        tokens=tuple(tokens),
        text_json=run.profile == "reference",
        idle_s=run.idle_s,
    )


def facts(run: ServeRun, models: Sequence[Model]) -> dict[str, Any]:
    """What is told of the model that answers."""
    found = [calibration.from_extra(model.extra) for model in models]
    hashes = [variables_hash(model.variables) for model in models]
    return {
        "net": models[0].config.net,
        "hash": (hashes[0] if len(hashes) == 1 else digests.of_texts(*hashes))[:16],
        "members": len(models),
        "views": read_views(run.views)[0],
        "temperature": [1.0 if one is None else float(one.temperature) for one in found],
        "sample_rate": models[0].config.sample_rate,
        "window_s": models[0].config.length / models[0].config.sample_rate,
        "adapt": run.adapt,
    }


def warm(service: Service) -> int:
    """Compiles everything and makes a real prediction, on the compute thread; how many programs there are then."""
    compilations.count()
    shapes = ", ".join(map(str, service.served.shapes))
    say(f"compiling for {shapes} windows at once")
    seconds = service.compute.call(service.served.warm).result()
    if service.sessions is not None:
        more = service.compute.call(service.sessions.warm).result()
        seconds = {rows: seconds.get(rows, 0.0) + more.get(rows, 0.0) for rows in {**seconds, **more}}
    say("compiled in seconds: " + ", ".join(f"{rows}: {took:.1f}" for rows, took in seconds.items()))
    return compilations.count()


def watch(service: Service, compiled: int) -> None:
    """Lets the counters read what others hold: queue, compilations since `compiled`, decoders, sessions, memory."""
    service.counters.watch(functools.partial(gauges, service, compiled))


def gauges(service: Service, compiled: int) -> dict[str, float | Mapping[str, float]]:
    """Numbers by name, as `Counters.watch` takes them."""
    found: dict[str, float | Mapping[str, float]] = {
        "queue_requests": len(service.batcher),
        "queue_oldest_seconds": max(0.0, service.batcher.oldest()),
        "requests_inflight": service.inflight,
        "held_bytes": service.memory.held,
        "compilations_after_warm_up_total": compilations.count() - compiled,
        "decoder_kills_total": service.decoders.kills,
        "compute_stalled_seconds": service.compute.stalled(),
        "resident_memory_bytes": resident_bytes(),
    }
    if totals := service.totals:
        found |= {
            "sessions": totals["open"],
            "sessions_opened_total": totals["opened"],
            "sessions_from_source": totals["from_source"],
            "sessions_removed_total": totals["removed"],
            "updates_total": totals["updates"],
            "rollbacks_total": totals["rollbacks_by_reason"],
            "clips_left_out_total": totals["left_out"],
            "top_class_share": totals["top_class"],
        }
    return found


def _adapts(adapt: str) -> str:
    return {"session": "each session adapts", "shared": "one state adapts for all"}.get(adapt, "it does not adapt")


def opening(service: Service, address: str) -> str:
    """What is said when the port is open."""
    model, classes = service.model, service.served.classes
    named = ", ".join(classes[:5]) + (f" and {len(classes) - 5} more" if len(classes) > 5 else "")
    members = f"{model['members']} checkpoints of " if model["members"] > 1 else ""
    return (
        f"serving at {address} (POST a recording to /v1/classify or /invocations, or "
        f"tensors to /v2/models/{model['net']}/infer; GET /ping, /metrics)\n"
        f"model: {members}{model['net']}, hash {model['hash']}; windows of {model['window_s']:g} s at "
        f"{model['sample_rate']} Hz; {_adapts(model['adapt'])}; {counted(len(classes), 'class', 'classes')}: {named}"
        f"{serve_unknown.told(service.rule)}\n"
        "Ctrl-C (or SIGTERM) stops it when what was accepted is answered"
    )
