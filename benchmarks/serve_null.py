#!/usr/bin/env python3
"""`experiments.serve` with an engine that answers at once: what HTTP, decoding and batching alone reach.

Takes the flags of experiments.serve. Beside the real service it says what share of the whole the network takes:
  python -m benchmarks.serve_null --checkpoint=words15 --port=8081 &
  python -m experiments.load --serve="checkpoint=words15" --compare=http://127.0.0.1:8081
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from dhauds_jax.command import app, flags
from dhauds_jax.model import Model
from dhauds_jax.serve import engine
from dhauds_jax.serve.contracts import Served
from dhauds_jax.serve.request import ServeRun

flags.flags_of(ServeRun)


def null(models: Sequence[Model], **options: Any) -> Served:
    """As `engine.serve_models`, but that every class is as likely."""
    served = engine.serve_models(models, **options)
    row = np.full((1, len(served.classes)), 1 / len(served.classes), np.float32)
    return served._replace(
        warm=lambda: dict.fromkeys(served.shapes, 0.0), predict=lambda waves, _: row.repeat(len(waves), 0)
    )


def main() -> str:
    from dhauds_jax.runs import serve

    serve.engine = SimpleNamespace(**{**vars(engine), "serve_models": null})
    return serve.serve(flags.from_flags(ServeRun))


if __name__ == "__main__":
    app.run(main)
