"""PyTorch beside the benchmark: the same network and update in a process of its own, timed in turns with ours.

Networks and methods of that side are in the checkout's folder `benchmarks/yardstick`.
"""

from __future__ import annotations

import inspect
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax

from dhauds_jax.benchmark import pairs
from dhauds_jax.benchmark.programs import Given, Sizes, config_of
from dhauds_jax.benchmark.timing import Program, counts_of, time_program
from dhauds_jax.errors import BadInput
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.processors import available_cores
from dhauds_jax.tta import flops as tta_flops
from dhauds_jax.tta import methods

ROOT = Path(__file__).resolve().parents[2]
MODULE = "benchmarks.yardstick.side"
COMPARED = ("forward", "adapt")

FAMILIES = {
    "hubert": ("torchaudio",),
    "amaut": (),
    "spectrogram_transformer": (),
    "conmix": (),
    "clap": ("transformers",),
    "vggish": (),
    "resnet": (),
    "cnn": (),
}
"""Families of networks that PyTorch's side has, with what they need beside torch."""

HEADS = ("audio_classifier", "token_pool", "bottleneck", "projected_tokens", "attention_pool", "linear")
METHODS = ("tent", "eata", "sar", "cotta", "roid", "rotta", "dhauds", "suta", "memo")
"""Heads and methods that PyTorch's side has."""

NETS = (
    "amaut_arabic15",
    "tta_in_ac_resnet26_sc1",
    "hubert_small",
    "conmix_small",
    "vggish_small",
    "ssast_tiny",
    "clap_htsat_tiny",
    "vggish",
    "amaut_sc2",
    "conmix_sc2",
    "hubert_base",
    "ssast_base",
    "ast_sc2",
)
"""What `--net=all` stands for beside PyTorch: every family, small networks first."""

MODES = ("eager", "compiled", "channels_last", "bf16")
"""What `--torch_modes` may have; compiled and channels_last are tried alone and together."""

PROBES = 3
"""Calls by which the fastest mode is chosen."""


class Side:
    """The process with PyTorch in it; it sleeps until it is asked something (benchmarks/yardstick/side.py)."""

    def __init__(self) -> None:
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._process = subprocess.Popen([sys.executable, "-m", MODULE], cwd=ROOT, text=True, **pipes)

    def ask(self, do: str, **given: Any) -> dict[str, Any]:
        """The answer to a question.

        Raises:
          BadInput: it cannot be done there, or the process has ended.
        """
        pipes = self._process
        assert pipes.stdin is not None and pipes.stdout is not None
        try:
            pipes.stdin.write(json.dumps({"do": do, **given}) + "\n")
            pipes.stdin.flush()
            line = pipes.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise BadInput(f"--vs_torch: PyTorch's process ended with code {pipes.wait()}; what it said stands above")
        answer = json.loads(line)
        if "error" in answer:
            raise BadInput(f"--vs_torch: {' '.join(answer['error'].split())[:300]}")
        return answer

    def __enter__(self) -> Side:
        return self

    def __exit__(self, *raised: object) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def lacks(config: ClassifierConfig) -> str | None:
    """Why PyTorch's side does not have a network, None where it does."""
    if config.family not in FAMILIES:
        return f"PyTorch's side has no family {config.family!r}, expected {', '.join(FAMILIES)}"
    if config.head["kind"] not in HEADS:
        return f"PyTorch's side has no head {config.head['kind']!r}, expected {', '.join(HEADS)}"
    missing = [package for package in FAMILIES[config.family] if find_spec(package) is None]
    return f"{missing[0]} is not installed here, expected it for {config.family}" if missing else None


def check(what: Sequence[str], nets: Sequence[str], names: Sequence[str], modes: Sequence[str], sizes: Sizes) -> None:
    """Raises `BadInput` in one sentence where there is nothing to compare with.

    Of several networks or methods, those that PyTorch's side lacks get rows that say so.
    """
    if find_spec("torch") is None:
        raise BadInput("--vs_torch: torch is not installed here, expected it (pip install torch)")
    if not (ROOT / "benchmarks" / "yardstick" / "side.py").is_file():
        raise BadInput(f"--vs_torch: {ROOT}/benchmarks is missing, expected a checkout with its folder benchmarks")
    foreign = [each for each in what if each not in COMPARED]
    if foreign:
        raise BadInput(f"--vs_torch: --what has {foreign[0]!r}, expected some of {', '.join(COMPARED)}")
    odd = [mode for mode in modes if mode not in MODES]
    if odd:
        raise BadInput(f"--torch_modes: unknown {odd[0]!r}, expected some of {', '.join(MODES)}")
    if "adapt" in what and not set(names) & set(METHODS):
        raise BadInput(f"--vs_torch: --method is {','.join(names)}, expected some of {', '.join(METHODS)}")
    reasons = [lacks(config_of(net, sizes)) for net in nets]
    if all(reasons):
        raise BadInput(f"--vs_torch: {reasons[0]}")


def modes_of(ways: Sequence[str], dtype: str, wanted: Sequence[str]) -> tuple[list[str], list[str]]:
    """Modes of the same arithmetic as ours, of which the fastest counts, and others that are said beside it.

    Args:
      ways: that the network can be run in, of "compiled" and "channels_last".
      dtype: of our arithmetic.
      wanted: of `MODES`; none: all.
    """
    wanted = wanted or MODES
    allowed = [way for way in ("compiled", "channels_last") if way in ways and way in wanted]
    found = [*(["eager"] if "eager" in wanted else []), *allowed]
    found += ["compiled+channels_last"] if len(allowed) == 2 else []
    if dtype == "bfloat16":
        return ["bf16" if mode == "eager" else f"{mode}+bf16" for mode in found], []
    return found, ["bf16"] if "bf16" in wanted else []


def record_of(given: Given) -> dict[str, Any]:
    """What PyTorch's side builds the network from."""
    config = given.classifier.config
    kept = {name: getattr(config, name) for name in ("family", "geometry", "head", "front_end")}
    scale = 0.1 if given.inputs.ndim == 2 else 1.0
    return {**kept, "classes": len(config.classes), "shape": list(given.inputs.shape[1:]), "scale": scale}


def options_of(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """All options of a method, defaults included, as far as they are plain values."""
    defaults = {key: each.default for key, each in inspect.signature(methods.factory(name)).parameters.items()}
    found = {**defaults, **options}
    return {key: value for key, value in found.items() if isinstance(value, bool | int | float | str)}


class Beside:
    """Times programs of ours in turns with PyTorch's; one process for all of them.

    Args:
      side: that process.
      options: `method name -> its options`.
      sizes: of the programs.
      rounds: at least.
      most: rounds at the most.
      modes: of `MODES`; none: all.
    """

    def __init__(
        self,
        side: Side,
        options: Callable[[str], dict[str, Any]],
        sizes: Sizes,
        *,
        rounds: int = pairs.FEWEST,
        most: int = pairs.MOST,
        modes: Sequence[str] = (),
    ) -> None:
        self._side, self._options, self._sizes = side, options, sizes
        self._rounds, self._most, self._modes = rounds, max(rounds, most), modes

    def __call__(self, program: Program, given: Given) -> dict[str, Any]:
        """The row of a program with PyTorch's beside it.

        Raises:
          BadInput: PyTorch's side cannot do it.
        """
        reason = lacks(given.classifier.config)
        if reason:
            raise BadInput(f"--vs_torch: {reason}")
        sizes, row = self._sizes, program.row
        asked = {"batch": sizes.batch, "dtype": sizes.dtype, "threads": available_cores(), "seed": 0}
        net = self._side.ask("net", record=record_of(given), **asked)
        if (net["device"] == "cuda") != (jax.default_backend() == "gpu"):
            raise BadInput(f"--vs_torch: PyTorch runs on {net['device']}, this on {jax.default_backend()}")
        work: dict[str, Any] = {"what": row["what"]}
        if row["what"] == "adapt":
            work |= {"method": row["method"], "options": options_of(row["method"], self._options(row["method"]))}
        mode, tried = self._fastest(work, *modes_of(net["ways"], sizes.dtype, self._modes))
        theirs = self._side.ask("work", **work, mode=mode)
        shapes = tta_flops.shapes_of(program.args)
        timed = time_program(program, 1)
        found = pairs.measured(_calls(timed.call), self._called, self._rounds, self._most)
        self._side.ask("drop")
        kept = {**row, **timed.times, **pairs.described(found)}
        about = {"mode": mode, "modes": tried, "parameters": net["parameters"], "moving": theirs["moving"]}
        about |= {"first_call": theirs["first_call"], "torch": net["torch"], "device": net["device"]}
        kept["torch"] = {**kept["torch"], **about, "clips_per_s": sizes.batch / kept["torch"]["seconds"]}
        return {**kept, **counts_of(program, shapes, timed, kept["seconds"], sizes.dtype), "date": _today()}

    def _called(self, calls: int) -> float:
        return self._side.ask("call", calls=calls)["seconds"]

    def _fastest(self, work: dict[str, Any], same: list[str], others: list[str]) -> tuple[str, dict[str, Any]]:
        """The fastest mode of `same`, and seconds of a call in every mode or why there are none."""
        tried: dict[str, Any] = {}
        for mode in (*same, *others):
            try:
                self._side.ask("work", **work, mode=mode)
                tried[mode] = statistics.median(self._called(1) for _ in range(PROBES))
            except BadInput as error:
                tried[mode] = str(error).removeprefix("--vs_torch: ")
        ran = {mode: tried[mode] for mode in same if isinstance(tried[mode], float)}
        if not ran:
            raise BadInput(f"--vs_torch: {tried[same[0]] if same else 'no mode to run in'}")
        return min(ran, key=lambda mode: ran[mode]), tried


def _calls(call: Callable[[], Any]) -> pairs.Seconds:
    def seconds(calls: int) -> float:
        begun = time.perf_counter()
        for _ in range(calls):
            jax.block_until_ready(call())
        return (time.perf_counter() - begun) / calls

    return seconds


def _today() -> str:
    return time.strftime("%Y-%m-%d", time.gmtime())


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
