"""Putting load on one or two services in turn, and saying what came of it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import shlex
import statistics
import wave
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dhauds_jax.data import recordings
from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.runs.requests.load import LoadRun
from dhauds_jax.serve import http_client, started
from dhauds_jax.serve.load import Outcome, Plan, joined, send
from dhauds_jax.wording import counted

TONES = 8
"""Recordings that are made where none are given."""

UNANSWERED = 1
"""Exit code where a service answered nothing."""

MOST_BYTES = 256 * 2**20
"""Of the recordings, which are held in memory."""

RATIOS = {
    "per_s": "answers a second",
    "p50_ms": "p50",
    "p99_ms": "p99",
    "core_ms_per_answer": "time of a core an answer",
}
"""What two services are compared by, and what it is called."""


class Service(NamedTuple):
    """One of the services.

    Attributes:
      name: for the table.
      url: its address.
      cpu_s: seconds of a core that it has taken so far (None: nobody knows).
      start_s: seconds until it answered, where this command started it.
    """

    name: str
    url: str
    cpu_s: Callable[[], float | None]
    start_s: float | None


class Measured(NamedTuple):
    """What came of the parts that a service was asked in, and its seconds of a core (None: nobody knows)."""

    service: Service
    parts: list[Outcome]
    cpu_s: float | None


def load(run: LoadRun, command: str) -> tuple[str, int]:
    """Asks the services as the flags say; returns the table, or JSON, and the exit code.

    Raises:
      BadInput: flags that do not go together, no recordings, or no service.
    """
    _check(run)
    bodies = [path.read_bytes() for path in _files(run.audio_dir)] if run.audio_dir else _tones(run)
    with contextlib.ExitStack() as stack:
        services = _services(run, stack)
        measured = _measure(run, services, bodies)
    rows = [_row(run, one) for one in measured]
    ratio = _ratio(measured, rows) if len(rows) > 1 else {}
    code = 0 if all(row["answered"] for row in rows) else UNANSWERED
    if run.json:
        found = {"what": "load", "services": rows, "ratio": ratio, "cores": os.cpu_count(), "command": command}
        return json.dumps(found), code
    return _table(run, rows, ratio), code


def _check(run: LoadRun) -> None:
    if (run.url is None) == (run.serve is None):
        raise BadInput("--url and --serve: expected one of them, the address of a service or the flags to start one")
    for url in (run.url, run.compare if run.compare and "://" in run.compare else None):
        if url is not None and not http_client.place_of(url).is_loopback and not run.allow_remote:
            raise BadInput(f"{url}: another machine, expected this one (127.0.0.1), or --allow_remote where you may")
    if run.compare and "://" not in run.compare and (run.serve is None or not _flag_of(run.compare)):
        raise BadInput(
            f"--compare={run.compare}: expected the address of a second service, or with --serve a flag that differs, "
            "such as max_batch:1"
        )
    for name, most in (("clients", 4_096), ("requests", 1_000_000), ("blocks", 100)):
        check_number(f"--{name}", getattr(run, name), 1, most)
    check_number("--rate", run.rate, 0.0, 100_000.0)
    for name in ("longest_s", "timeout_s", "clip_s"):
        check_number(f"--{name}", getattr(run, name), 0.0, 3_600.0, above=True)
    check_number("--clip_rate", run.clip_rate, 1_000, 384_000)


def _flag_of(compare: str) -> str | None:
    """The flag of NAME:VALUE; None for another text."""
    name, colon, value = compare.partition(":")
    return f"--{name}={value}" if colon and name.isidentifier() and value else None


def _files(place: str) -> list[Path]:
    found = recordings.find(place).paths
    total = sum(path.stat().st_size for path in found)
    if total > MOST_BYTES:
        raise BadInput(f"--audio_dir={place}: {total / 2**20:.0f} MB of recordings, expected at most 256: give fewer")
    return found


def _tones(run: LoadRun) -> list[bytes]:
    """Noisy tones of several pitches, as 16-bit wav files."""
    bodies, t = [], np.arange(max(1, round(run.clip_s * run.clip_rate))) / run.clip_rate
    for k in range(TONES):
        rng = np.random.default_rng([run.seed, k])
        samples = 0.3 * np.sin(2 * np.pi * 200 * (k + 1) * t) + 0.05 * rng.normal(size=len(t))
        with io.BytesIO() as out:
            with wave.open(out, "wb") as file:
                file.setparams((1, 2, run.clip_rate, 0, "NONE", ""))
                file.writeframes((32_767 * samples.clip(-1, 1)).astype("<i2").tobytes())
            bodies.append(out.getvalue())
    return bodies


def _services(run: LoadRun, stack: contextlib.ExitStack) -> list[Service]:
    """The services in their order, those that are to be started started."""
    found = []
    if run.serve is not None:
        flags = [f"--{word.removeprefix('--')}" for word in shlex.split(run.serve)]
        wanted = [("the service", flags)]
        if run.compare and "://" not in run.compare:
            wanted.append((_flag_of(run.compare), [*flags, _flag_of(run.compare)]))
        for name, each in wanted:
            one = stack.enter_context(started.started(each))
            found.append(Service(name, one.url, one.cpu_s, one.start_s))
    else:
        found.append(Service(run.url, run.url, lambda: None, None))
    if run.compare and "://" in run.compare:
        found.append(Service(run.compare, run.compare, lambda: None, None))
    for one in found:
        if not started.answers(one.url):
            raise BadInput(f"{one.url}: no service answers there (GET /ping), expected one of experiments.serve")
    return found


def _measure(run: LoadRun, services: Sequence[Service], bodies: Sequence[bytes]) -> list[Measured]:
    """Part by part, the services in turn, in the other order every second time; a few requests before do not count."""
    headers = {}
    if run.token_file:
        headers = {"Authorization": f"Bearer {Path(run.token_file).read_text(encoding='utf-8').split()[0]}"}
    parts: list[list[Outcome]] = [[] for _ in services]
    used: list[list[float | None]] = [[] for _ in services]
    shares = [len(numbers) for numbers in np.array_split(np.arange(run.requests), min(run.blocks, run.requests))]
    for block in range(-1, len(shares)):
        for k in sorted(range(len(services)), reverse=block % 2 == 1):
            place = http_client.place_of(services[k].url, run.route)
            requests = [http_client.request(place, body, headers) for body in bodies]
            if block < 0:
                asyncio.run(send(place, requests, Plan(2 * run.clients, run.clients, 0.0, 30.0, run.timeout_s)))
                continue
            done = sum(shares[:block]) % len(requests)
            requests = requests[done:] + requests[:done]
            plan = Plan(shares[block], run.clients, run.rate, run.longest_s, run.timeout_s, run.seed + block)
            before = services[k].cpu_s()
            parts[k].append(asyncio.run(send(place, requests, plan)))
            after = services[k].cpu_s()
            used[k].append(None if before is None or after is None else after - before)
    return [
        Measured(one, own, None if None in cpu else sum(cpu))
        for one, own, cpu in zip(services, parts, used, strict=True)
    ]


def _row(run: LoadRun, measured: Measured) -> dict[str, Any]:
    """The numbers of a service."""
    whole, service = joined(measured.parts), measured.service
    good = whole.status == 200
    at = np.quantile(whole.latency_s[good] * 1e3, [0.5, 0.9, 0.99, 1.0]).tolist() if good.any() else [None] * 4
    row = {"service": service.name, "clients": run.clients, "rate": run.rate, "planned": run.requests}
    row |= {"sent": len(whole.status)}
    row |= {"answered": int(good.sum()), "lost": int((whole.status == 0).sum()), "faults": dict(whole.faults)}
    row |= {"codes": dict(sorted(Counter(whole.status[whole.status > 0].tolist()).items()))}
    row |= {"seconds": whole.wall_s, "per_s": int(good.sum()) / whole.wall_s}
    row |= dict(zip(("p50_ms", "p90_ms", "p99_ms", "max_ms"), at, strict=True))
    row |= {"late_p99_ms": float(np.quantile(whole.late_s, 0.99) * 1e3) if len(whole.late_s) else 0.0}
    row |= {"generator_cores": whole.cpu_s / whole.wall_s}
    known = measured.cpu_s is not None and good.any()
    row |= {"service_cores": measured.cpu_s / whole.wall_s if known else None}
    row |= {"core_ms_per_answer": 1e3 * measured.cpu_s / int(good.sum()) if known else None}
    return row | {"start_s": service.start_s}


def _ratio(measured: Sequence[Measured], rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The first service to the second: answers a second as the median over parts, percentiles over all."""
    first, second = ([int((p.status == 200).sum()) / p.wall_s for p in one.parts] for one in measured)
    found = {"per_s": statistics.median(a / b for a, b in zip(first, second, strict=True) if b)} if all(second) else {}
    others = [key for key in RATIOS if key != "per_s" and rows[0][key] and rows[1][key]]
    return found | {key: rows[0][key] / rows[1][key] for key in others}


def _table(run: LoadRun, rows: Sequence[dict[str, Any]], ratio: dict[str, float]) -> str:
    how = f"{run.rate:g} requests a second at random moments" if run.rate else "each asks again when it has its answer"
    lines = [f"{counted(run.clients, 'client')}, {how}"]
    for row in rows:
        known = [(name, row[f"{name}_ms"]) for name in ("p50", "p90", "p99", "max") if row["answered"]]
        times = ", ms: " * bool(known) + ", ".join(f"{name} {ms:.1f}" for name, ms in known)
        codes = {code: count for code, count in row["codes"].items() if code != 200}
        others = "".join(f", {count} with code {code}" for code, count in codes.items())
        unsent = f" ({row['planned']} planned)" if row["sent"] < row["planned"] else ""
        lines.append(
            f"{row['service']}: {row['per_s']:.1f} answers a second{times}; {row['answered']} of {row['sent']} "
            f"answered{unsent}, {row['lost']} lost{others}"
        )
        per = row["core_ms_per_answer"]
        service = "" if per is None else f", the service {row['service_cores']:.2f} ({per:.2f} ms of one an answer)"
        late = f", sent late by {row['late_p99_ms']:.1f} ms (p99)" if run.rate else ""
        lines.append(f"  of {os.cpu_count()} cores the load generator took {row['generator_cores']:.2f}{service}{late}")
    if ratio:
        said = ", ".join(f"{value:.2f} x the {RATIOS[name]}" for name, value in ratio.items())
        lines.append(f"the first to the second: {said}")
    return "\n".join(lines)
