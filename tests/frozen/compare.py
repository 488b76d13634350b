"""Stored against found: what differs, and on which kind of processor to the last bit."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

TOLERANCE = 1e-5
"""Of floats on another kind of processor, relative to max(1, |stored|)."""

LEAVES_TOLERANCE = 3e-4
"""The same of a trained checkpoint's leaves, whose summaries are a mean and a norm: the gradient of a bias before a
BatchNorm is rounding alone, and a training adds it up. Between two families of one make, with the same code, a mean
came to 8e-5 and a norm to 1.8e-4."""

SAME_KIND = {
    "sha256": "of computed floats",
    "samples_sha256": "of computed floats",
    "source_checkpoint": "of computed floats",
    "checksum": "of computed floats",
    "selection": "epochs may tie up to rounding, as those of `source` do",
}
"""Keys that are compared on the same kind of processor alone, and why."""


def kind() -> dict[str, Any]:
    """The kind of processor and what computes on it; two runs of one kind give the same bits.

    The number of cores is part of it because sums that are shared out over threads may be added in another order.
    """
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    table = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    flags = " ".join(sorted(table.get("flags", table.get("Features", "")).split()))
    return {
        "processor": table.get("model name") or platform.processor() or platform.machine(),
        "family": " ".join(table.get(name, "") for name in ("cpu family", "model", "stepping")),
        "flags_sha256": hashlib.sha256(flags.encode()).hexdigest()[:16],
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        **{name: importlib.metadata.version(name) for name in ("jaxlib", "numpy")},
    }


def differences(stored: Any, found: Any, exact: bool, path: str = "") -> list[str]:
    """One line for each value that differs: where, what is stored, what is found.

    Args:
      stored: a summary. What it has must be there; what is new beside it is allowed, since records grow.
      found: the summary now.
      exact: whether both are of one kind of processor.
      path: keys that lead here.
    """
    if isinstance(stored, dict) and isinstance(found, dict):
        lines = []
        for key, value in stored.items():
            below = f"{path} > {key}" if path else key
            if key not in found:
                lines.append(f"{below}: missing, stored {_shortened(value)}")
            elif exact or key not in SAME_KIND:
                lines += differences(value, found[key], exact, below)
        return lines
    if isinstance(stored, list) and isinstance(found, list) and len(stored) == len(found):
        return [line for i, pair in enumerate(zip(stored, found)) for line in differences(*pair, exact, f"{path}[{i}]")]
    if isinstance(stored, float) and isinstance(found, float) and not exact:
        trained = path.startswith(("train", "pretrain")) and " > leaves > " in path
        tolerance = LEAVES_TOLERANCE if trained else TOLERANCE
        same = abs(stored - found) <= tolerance * max(1.0, abs(stored))
    else:
        same = type(stored) is type(found) and stored == found
    return [] if same else [f"{path}: stored {_shortened(stored)}, found {_shortened(found)}"]


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
