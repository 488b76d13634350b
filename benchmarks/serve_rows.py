#!/usr/bin/env python3
"""Rows of docs/performance.md on the service, each by one short command; what it asks it starts and stops itself.

  lone      one client: what the service takes beside the network, which is the latency less what it says it computed
  null      many clients: answers a second beside those of a service whose network answers at once, in turns
  start     seconds from a process to /ping 200: with no compiled programs kept, and with those of the start before
  sessions  requests at random moments: p99 without sessions, beside that of `--adapt=session`, requests to each in
            turn, and how many updates there were meanwhile
  sigterm   SIGTERM under load: answers by status before and after, what got none and why, exit code, seconds to it
  sigkill   SIGKILL under load with --session_dir, again and again: updates of all sessions just before and after the
            next start, sessions that were lost (none may be), and what was left of writing
Prints one JSON object. A net in place of a checkpoint has random weights.

Example: python -m benchmarks.serve_rows --row=lone --checkpoint=words15
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import statistics
import sys
import tempfile
import threading
import time
import wave
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.serve_engine import models_of
from dhauds_jax.nets import checkpoint, zoo
from dhauds_jax.serve import http_client, load
from dhauds_jax.serve.started import Started, started

RATE = 16_000
"""Hz, of what is sent."""

NULL = (sys.executable, "-m", "benchmarks.serve_null")
"""A service whose network answers at once."""


def recording(number: int, seconds: float) -> bytes:
    """A noisy tone at 16 kHz, as a 16-bit wav file."""
    rng, time_s = np.random.default_rng(number), np.arange(round(RATE * seconds)) / RATE
    samples = 0.3 * np.sin(2 * np.pi * 200 * (number + 1) * time_s) + 0.05 * rng.normal(size=len(time_s))
    with io.BytesIO() as out:
        with wave.open(out, "wb") as file:
            file.setparams((1, 2, RATE, 0, "NONE", ""))
            file.writeframes((32_767 * samples.clip(-1, 1)).astype("<i2").tobytes())
        return out.getvalue()


def requests(service: Started, seconds: float, names: list[str] | None = None) -> list[bytes]:
    """Whole requests of eight recordings; or forty to each session, all different: it learns from none twice."""
    place = http_client.place_of(service.url, "/v1/classify")
    if names is None:
        return [http_client.request(place, recording(number, seconds)) for number in range(8)]
    return [
        http_client.request(place, recording(number, seconds), {"X-Session-Id": name})
        for number, name in enumerate(names * 40)
    ]


def put(service: Started, sent: list[bytes], plan: load.Plan) -> load.Outcome:
    """What came of a load; as many requests as there are clients before it do not count."""
    place = http_client.place_of(service.url, "/v1/classify")
    asyncio.run(load.send(place, sent, load.Plan(2 * plan.clients, plan.clients)))
    return asyncio.run(load.send(place, sent, plan))


def numbers(outcome: load.Outcome) -> dict[str, float]:
    """Answers a second, and latencies in ms."""
    good = outcome.status == 200
    p50, p99 = np.quantile(outcome.latency_s[good] * 1e3, [0.5, 0.99]).tolist()
    found = {"answered": int(good.sum()), "sent": len(good), "per_s": int(good.sum()) / outcome.wall_s}
    return found | {"p50_ms": p50, "p99_ms": p99, "late_p99_ms": float(np.quantile(outcome.late_s, 0.99) * 1e3)}


async def _lone(service: Started, sent: list[bytes], count: int) -> list[tuple[float, float, float]]:
    connection, rows = http_client.Connection(http_client.place_of(service.url, "/v1/classify")), []
    for k in range(count):
        began = time.perf_counter()
        _, body = await connection.ask(sent[k % len(sent)], 30.0)
        whole, said = (time.perf_counter() - began) * 1e3, json.loads(body)["milliseconds"]
        rows.append((whole, said["compute"], said["decode"]))
    connection.close()
    return rows


def lone(args: argparse.Namespace, flags: list[str]) -> dict[str, Any]:
    """Medians in ms, the first tenth left out."""
    with started(flags) as service:
        rows = asyncio.run(_lone(service, requests(service, args.seconds), args.requests))[args.requests // 10 :]
    whole, compute, decode = np.array(rows).T
    found = {"latency_ms": np.median(whole), "compute_ms": np.median(compute), "decode_ms": np.median(decode)}
    return {**found, "own_ms": np.median(whole - compute), "own_p99_ms": np.quantile(whole - compute, 0.99)}


def null(args: argparse.Namespace, flags: list[str]) -> dict[str, Any]:
    """Answers a second of both, and the median of their ratios over blocks."""
    plan = load.Plan(args.requests // args.blocks, args.clients)
    with started(flags) as real, started(flags, program=NULL) as nothing:
        found = [
            [numbers(put(one, requests(one, args.seconds), plan))["per_s"] for one in (real, nothing)]
            for _ in range(args.blocks)
        ]
    ratio = statistics.median(a / b for a, b in found)
    return {"per_s": [statistics.median(each) for each in zip(*found, strict=True)], "ratio": ratio}


def start(args: argparse.Namespace, flags: list[str]) -> dict[str, Any]:
    """Seconds of a first start, and of the next ones."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        seconds = []
        for _ in range(1 + args.blocks):
            with started(flags) as service:
                seconds.append(service.start_s)
    return {"cold_s": seconds[0], "warm_s": statistics.median(seconds[1:]), "all_s": seconds}


async def _opened(service: Started, count: int) -> list[str]:
    connection = http_client.Connection(place := http_client.place_of(service.url, "/v1/sessions"))
    answers = [await connection.ask(http_client.request(place, b""), 30.0) for _ in range(count)]
    connection.close()
    return [json.loads(body)["session"] for _, body in answers]


async def _told(service: Started, names: list[str]) -> list[int | None]:
    """The updates of each session; None of one that is unknown."""
    found = []
    for name in names:
        connection = http_client.Connection(place := http_client.place_of(service.url, f"/v1/sessions/{name}"))
        status, body = await connection.ask(http_client.request(place), 30.0)
        connection.close()
        found.append(json.loads(body)["updates"] if status == 200 else None)
    return found


def sessions(args: argparse.Namespace, flags: list[str]) -> dict[str, Any]:
    """Latencies of both, and the ratio of the p99."""
    plan, found = load.Plan(args.requests, args.clients, args.rate), {}
    with started(flags) as service:
        found["off"] = numbers(put(service, requests(service, args.seconds), plan))
    with started([*flags, "--adapt=session"]) as service:
        names = asyncio.run(_opened(service, args.sessions))
        found["on"] = numbers(put(service, requests(service, args.seconds, names), plan))
        updates = sum(one or 0 for one in asyncio.run(_told(service, names)))
    ratio = found["on"]["p99_ms"] / found["off"]["p99_ms"]
    return {**found, "sessions": args.sessions, "updates": updates, "rate": args.rate, "p99": ratio}


def sigterm(args: argparse.Namespace, flags: list[str]) -> dict[str, Any]:
    """A row a time: statuses, faults of requests that got no answer, exit code, seconds from the signal to the end."""
    rows = []
    for _ in range(args.blocks):
        with started(flags) as service:
            ended = []

            def end(service: Started = service, ended: list[float] = ended) -> None:
                began = time.monotonic()
                service.process.terminate()
                service.process.wait(40)
                ended.append(time.monotonic() - began)

            timer = threading.Timer(2.0, end)
            timer.start()
            outcome = put(service, requests(service, args.seconds), load.Plan(10**6, args.clients, longest_s=4.0))
            timer.join()
            statuses = Counter(outcome.status[outcome.status > 0].tolist())
            row = {"answers": dict(statuses), "no_answer": dict(outcome.faults), "end_s": ended[0]}
            rows.append(row | {"exit_code": service.process.returncode})
    return {"rows": rows}


def sigkill(args: argparse.Namespace, flags: list[str]) -> dict[str, Any]:
    """A row a time: all sessions' updates before and after, sessions lost, temporary names in the folder.

    A session that had learnt nothing lies nowhere, and counts as lost.
    """
    rows, names, before, random = [], [], [], np.random.default_rng(0)

    def kill(service: Started) -> None:
        before[:] = [one or 0 for one in asyncio.run(_told(service, names))]
        service.process.kill()

    with tempfile.TemporaryDirectory() as folder:
        adapting = [*flags, "--adapt=session", f"--session_dir={folder}"]
        for block in range(args.blocks + 1):
            with started(adapting) as service:
                after = asyncio.run(_told(service, names))
                if block:
                    left = [one.name for one in Path(folder).rglob("*.tmp")]
                    kept = sum(one or 0 for one in after)
                    rows.append({"before": sum(before), "after": kept, "lost": after.count(None), "left": left})
                if block == args.blocks:
                    break
                names = names or asyncio.run(_opened(service, args.sessions))
                wait_s = random.uniform(12.0, 18.0)
                timer = threading.Timer(wait_s, kill, [service])
                timer.start()
                plan = load.Plan(10**6, args.clients, args.rate, longest_s=wait_s + 1.0)
                put(service, requests(service, args.seconds, names), plan)
                timer.join()
    return {"sessions": args.sessions, "rate": args.rate, "rows": rows}


ROWS = {each.__name__: each for each in (lone, null, start, sessions, sigterm, sigkill)}


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--row", required=True, choices=list(ROWS))
    ap.add_argument("--checkpoint", default="words15", help="a checkpoint, or the name of a net")
    ap.add_argument("--flags", default="", help="more flags of experiments.serve, a space between")
    ap.add_argument("--requests", type=int, default=1200)
    ap.add_argument("--clients", type=int, default=50)
    ap.add_argument("--sessions", type=int, default=50)
    ap.add_argument("--rate", type=float, default=100.0, help="requests a second of --row=sessions, sigkill")
    ap.add_argument("--blocks", type=int, default=3, help="turns, or times")
    ap.add_argument("--seconds", type=float, default=1.0, help="of a recording")
    args = ap.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = args.checkpoint
        if place in zoo.names() and not Path(place).is_dir():
            model = models_of(place, 1)[0]
            place = str(checkpoint.save(Path(folder) / "net", model.variables, model.config))
        found = ROWS[args.row](args, [f"--checkpoint={place}", *args.flags.split()])
    print(json.dumps({"what": f"serve_{args.row}", "checkpoint": args.checkpoint, **found}, default=float))


if __name__ == "__main__":
    main()
