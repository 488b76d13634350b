"""CLAP's parts: the towers and the front end, and PyTorch's beside them (benchmarks/torch_clap.py)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dhauds_jax.benchmark.programs import Sizes, compute_options
from dhauds_jax.benchmark.pytorch import compared
from dhauds_jax.benchmark.timing import Program, row_of
from dhauds_jax.errors import BadInput
from dhauds_jax.nets.clap_prompts import embed_tokens
from dhauds_jax.nets.clap_zoo import audio_text_preset, build_audio_text
from dhauds_jax.processors import available_cores

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "torch_clap.py"
PARTS = ("audio", "mel", "text")
LENGTHS = tuple(7 + i % 6 for i in range(64))
"""Tokens of each of 64 sentences: about those of "This is a sound of ..." with a class of one to three words."""


def check(nets: Sequence[str], vs_torch: bool) -> None:
    """Raises `BadInput` for a net that is no pair of towers, or where there is nothing to compare with."""
    for net in nets:
        audio_text_preset(net)
    for package in ("torch", "transformers") if vs_torch else ():
        if find_spec(package) is None:
            raise BadInput(f"--vs_torch: {package} is not installed here, expected it (pip install {package})")
    if vs_torch and not SCRIPT.is_file():
        raise BadInput(f"--vs_torch: {SCRIPT} is missing, expected a checkout with its folder benchmarks")


def rows(nets: Sequence[str], sizes: Sizes, rounds: int, vs_torch: bool) -> Iterator[dict[str, Any]]:
    """A row for each part of each net: seconds of a batch of clips, or of 64 sentences.

    Weights are random and features noise: the cost does not depend on them.
    """
    for net in nets:
        theirs = _theirs(net, sizes, rounds) if vs_torch else {}
        for row in _ours(net, sizes, rounds):
            yield compared(row, theirs[row["part"]]) if row["part"] in theirs else row


def _ours(net: str, sizes: Sizes, rounds: int) -> Iterator[dict[str, Any]]:
    config = audio_text_preset(net)
    model = build_audio_text(config, **compute_options(sizes))
    variables = jax.tree.map(jnp.asarray, model.init(jax.random.key(0)))
    draw = np.random.default_rng(0)
    wave = jnp.asarray(0.1 * draw.normal(size=(sizes.batch, config.length)), jnp.float32)
    about = {"what": "clap", "net": net, "batch": sizes.batch, "clip_seconds": config.length / config.sample_rate}
    features = jax.jit(model.features)(wave)[:, None]
    short = jnp.zeros(sizes.batch, bool)
    sounds = {"params": {"audio": variables["params"]["audio"]}, "batch_stats": variables["batch_stats"]}
    audio = (sounds, features, short)
    yield row_of(
        Program({**about, "part": "audio"}, model.audio, audio, False, model.audio, 1, False), sizes.dtype, rounds, ""
    )
    mel = Program({**about, "part": "mel"}, model.features, (wave,), False, model.features, 1, False)
    yield row_of(mel, sizes.dtype, rounds, "")
    yield {**about, "part": "text", "batch": len(LENGTHS), "clip_seconds": 0.0, **_sentences(model, variables, rounds)}


def _sentences(model: Any, variables: Any, rounds: int) -> dict[str, Any]:
    """Seconds of 64 sentences by the way that `classify` takes: rows of alike lengths together."""
    from dhauds_jax.benchmark import device

    draw = np.random.default_rng(1)
    sizes = model.config.text
    tokens = [[0, *draw.integers(4, sizes["vocabulary"], length - 2).tolist(), 2] for length in LENGTHS]
    tower = jax.jit(model.text)
    found = device.timed(lambda: embed_tokens(model, variables, tokens, tower=tower), rounds)
    return {**found, "tokens": sum(LENGTHS)}


def _theirs(net: str, sizes: Sizes, rounds: int) -> dict[str, dict[str, Any]]:
    words = [sys.executable, str(SCRIPT), "--net", net, "--batch", str(sizes.batch), "--dtype", sizes.dtype]
    words += ["--rounds", str(rounds), "--threads", str(available_cores()), "--lengths", *map(str, LENGTHS)]
    done = subprocess.run(words, capture_output=True, text=True)
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not found:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise BadInput(f"--vs_torch: {SCRIPT.name} ended with code {done.returncode}: {last}")
    return {row["part"]: row for row in found}
