"""PyTorch beside the benchmark: runs benchmarks/torch_adaptation.py in a process of its own and compares."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax

from dhauds_jax.benchmark.programs import Sizes, config_of
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import hubert_zoo, zoo
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.processors import available_cores

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "torch_adaptation.py"
COMPARED = ("forward", "adapt")
METHOD = "dhauds"
VGGISH = ("vggish", "vggish_small")
"""Presets of which PyTorch has the forward pass to compare with."""


def yardstick(config: ClassifierConfig) -> str | None:
    """The script's name of the same network, or None where it has none."""
    geometry = {**config.geometry, "layer_drop": hubert_zoo.BASE["layer_drop"]}
    if config.family == "hubert" and (geometry, config.head) == (hubert_zoo.BASE, hubert_zoo.AUDIO_HEAD):
        return "hubert_base"
    for name in ("amaut_small", *VGGISH):
        small = zoo.preset(name, config.classes)
        if (config.family, config.geometry, config.head) == (small.family, small.geometry, small.head):
            return name if config.front_end == small.front_end else None
    return None


def check(what: Sequence[str], nets: Sequence[str], names: Sequence[str], sizes: Sizes) -> None:
    """Raises `BadInput` in one sentence where there is nothing to compare with."""
    hubert = any(config_of(net, sizes).family == "hubert" for net in nets)
    for package in ("torch", *(["torchaudio"] if hubert else [])):
        if find_spec(package) is None:
            raise BadInput(f"--vs_torch: {package} is not installed here, expected it (pip install {package})")
    if not SCRIPT.is_file():
        raise BadInput(f"--vs_torch: {SCRIPT} is missing, expected a checkout with its folder benchmarks")
    foreign = [each for each in what if each not in COMPARED]
    if foreign:
        raise BadInput(f"--vs_torch: --what has {foreign[0]!r}, expected some of {', '.join(COMPARED)}")
    if "adapt" in what and list(names) != [METHOD]:
        raise BadInput(f"--vs_torch: --method is {','.join(names)}, expected {METHOD}, the update that PyTorch has")
    for net in nets:
        config = config_of(net, sizes)
        name = yardstick(config)
        if name is None:
            raise BadInput(
                f"--vs_torch: PyTorch's script does not have net {net!r}, expected HuBERT base with the "
                "audio_classifier head, amaut_small, amaut_arabic15, vggish or vggish_small"
            )
        if name in VGGISH and "adapt" in what:
            raise BadInput(f"--vs_torch: --what has 'adapt', expected forward, which is what PyTorch has of {net}")
        if name != "hubert_base" and not sizes.from_features:
            raise BadInput(f"--vs_torch: PyTorch's {net} starts from features, expected --from_features too")


def command(net: str, what: Sequence[str], sizes: Sizes, rounds: int, compiled: bool) -> list[str]:
    """The command line of the same work in PyTorch: same batch, length, classes, type, LayerDrop, threads, rounds."""
    config = config_of(net, sizes)
    words = [sys.executable, str(SCRIPT), "--net", str(yardstick(config)), "--what"]
    words += [each for each in COMPARED if each in what]
    words += ["--batch", str(sizes.batch), "--seconds", str(config.length / config.sample_rate)]
    words += ["--classes", str(sizes.classes), "--dtype", sizes.dtype, "--rounds", str(rounds)]
    words += ["--threads", str(available_cores())]
    if "layer_drop" in config.geometry:
        words += ["--layer_drop", str(config.geometry["layer_drop"])]
    return [*words, "--compile"] if compiled else words


def measure(net: str, what: Sequence[str], sizes: Sizes, rounds: int, compiled: bool) -> dict[str, dict[str, Any]]:
    """What PyTorch's script says of each of `what`.

    Raises:
      BadInput: the script failed; its last line is quoted.
    """
    done = subprocess.run(command(net, what, sizes, rounds, compiled), capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    found = {row["what"]: row for row in map(json.loads, lines)}
    missing = [each for each in COMPARED if each in what and each not in found]
    if done.returncode or missing:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise BadInput(f"--vs_torch: {SCRIPT.name} ended with code {done.returncode}: {last}")
    return found


def compared(row: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """A row of ours with PyTorch's under `torch` and the ratio of clips per second, ours over theirs, as `vs_torch`."""
    if "reason" in row:
        return row
    ours = row["batch"] / row["seconds"]
    on_gpu = jax.default_backend() == "gpu"
    if (theirs["device"] == "cuda") != on_gpu:
        where = jax.default_backend()
        return {**row, "torch": theirs, "torch_reason": f"PyTorch ran on {theirs['device']}, this on {where}"}
    return {**row, "torch": theirs, "vs_torch": ours / theirs["clips_per_s"]}
