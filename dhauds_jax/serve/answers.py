"""What is said of a recording, as JSON can hold it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dhauds_jax.serve.service import Asked, Service


def published(asked: Asked) -> dict[str, Any]:
    """The published service's answer: the class's number and all probabilities, and nothing else."""
    return {"label": int(asked.probabilities.argmax()), "probability": asked.probabilities.tolist()}


def whole(service: Service, asked: Asked, session: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Everything that there is to say.

    Args:
      service: which answered.
      asked: the recording with its answer.
      session: what is told of the session that answered; None: the model did.
    """
    classes, answer, heard = service.served.classes, asked.answer, asked.heard
    best = int(asked.probabilities.argmax())
    found = {
        "label": classes[best],
        "confidence": float(asked.probabilities[best]),
        "probabilities": _named(classes, asked.probabilities),
        "seconds": round(heard.seconds, 6),
        "windows": [
            {
                "start": round(float(start), 6),
                "end": round(float(end), 6),
                "label": classes[int(row.argmax())],
                "probabilities": [float(value) for value in row],
            }
            for (start, end), row in zip(heard.spans, answer.probabilities, strict=True)
        ],
        "notices": [{"code": code, "message": message} for code, message in heard.notices],
        "model": dict(service.model),
        "session": None if session is None else dict(session),
        "milliseconds": {
            "decode": round(1e3 * asked.decode_s, 3),
            "queue": round(1e3 * answer.queue_s, 3),
            "compute": round(1e3 * answer.compute_s, 3),
        },
        "batch": answer.batch,
    }
    if answer.source is not None:
        mean = np.mean(answer.source, axis=0)
        found["source"] = {"label": classes[int(mean.argmax())], "probabilities": _named(classes, mean)}
    return found


def _named(classes: tuple[str, ...], probabilities: np.ndarray) -> dict[str, float]:
    return {name: float(value) for name, value in zip(classes, probabilities, strict=True)}
