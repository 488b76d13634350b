"""The tables of benchmarks/zeroshot_speech.py, from its rows.csv."""

from __future__ import annotations

from pathlib import Path

COLUMNS = (
    "weights", "background", "snr_db", "seed", "prototypes", "scorer", "profile", "protocol", "weight",
    "plain", "given", "chosen", "oracle", "ece", "chosen_weight", "oracle_weight", "own_head", "uses",
)  # fmt: skip


def fill(page: Path) -> str:
    raise NotImplementedError
