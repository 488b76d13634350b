"""What is counted of a service, for Prometheus: a registry for each service, read when it is asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Bounds of the histograms of seconds."""

ROWS = (1, 2, 4, 8, 16, 32, 64, 128)
"""Bounds of the histogram of batches."""

STAGES = ("decode", "queue", "compute", "all")
"""What seconds are counted of."""


def resident_bytes() -> int:
    """Memory of this process that lies in RAM; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as sizes:
            return int(sizes.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


class Counters:
    """The counters of a service; its methods may be called from any thread."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Histogram

        self.registry = CollectorRegistry()
        same = {"registry": self.registry}
        self._requests = Counter("dhauds_requests", "Requests by route and status.", ["route", "code"], **same)
        self._seconds = Histogram(
            "dhauds_seconds", "Seconds of answered requests by stage.", ["stage"], buckets=SECONDS, **same
        )
        self._stages = {stage: self._seconds.labels(stage) for stage in STAGES}
        self._rows = Histogram("dhauds_batch_rows", "Windows of a batch, without padding.", buckets=ROWS, **same)
        self._padding = Counter("dhauds_padding_rows", "Rows of batches that were padding.", **same)
        self._computed = Counter("dhauds_computed_rows", "Rows of batches, padding included.", **same)
        self._failed_work = Counter(
            "dhauds_failed_work", "Pieces of work on sessions that raised an exception.", **same
        )
        self._unknown = Counter("dhauds_unknown", "Recordings that were called unknown.", **same)
        self._failed = Counter("dhauds_failed_batches", "Batches that raised an exception.", **same)

    def request(self, route: str, status: int) -> None:
        """A request has its answer."""
        self._requests.labels(route, str(status)).inc()

    def unknown(self) -> None:
        """A recording was called unknown."""
        self._unknown.inc()

    def seconds(self, **stages: float) -> None:
        """Seconds of one answered request, by stage."""
        for stage, value in stages.items():
            self._stages[stage].observe(value)

    def ran(self, piece: Any) -> None:
        """A `compute.Ran`: what the compute thread has done."""
        if piece.kind == "work" and piece.error is not None:
            self._failed_work.inc()
        if piece.kind != "batch":
            return
        self._rows.observe(piece.rows)
        self._computed.inc(piece.shape)
        self._padding.inc(piece.shape - piece.rows)
        if piece.error is not None:
            self._failed.inc()

    def watch(self, gauges: Callable[[], Mapping[str, Any]]) -> None:
        """Reads further numbers whenever they are asked for.

        `gauges()` gives, by name: a number, or numbers by the value of the label "reason"; names that end with
        `_total` are counters.
        """
        self.registry.register(_Read(gauges))

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        from prometheus_client import generate_latest

        return generate_latest(self.registry)


class _Read:
    """A collector of numbers that others hold."""

    def __init__(self, gauges: Callable[[], Mapping[str, Any]]) -> None:
        self._gauges = gauges

    def describe(self) -> list[Any]:
        return []

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        for name, value in self._gauges().items():
            family = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            said = name.removesuffix("_total").replace("_", " ")
            if isinstance(value, Mapping):
                metric = family(f"dhauds_{name}", f"{said}.", labels=["reason"])
                for reason, number in value.items():
                    metric.add_metric([reason], number)
            else:
                metric = family(f"dhauds_{name}", f"{said}.", value=value)
            yield metric
