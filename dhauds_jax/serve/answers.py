"""What is said of a recording, as JSON can hold it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dhauds_jax.serve.naming import Named, named
from dhauds_jax.serve.service import Asked, Service

UNKNOWN = -1
"""The number of no class."""


def published(service: Service, asked: Asked) -> dict[str, Any]:
    """The published service's answer: the class's number and all probabilities, and nothing else."""
    said = asked.said
    number = said.best if said.label == service.served.classes[said.best] else UNKNOWN
    return {"label": number, "probability": said.probabilities.tolist()}


def whole(service: Service, asked: Asked, session: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Everything that there is to say.

    Args:
      service: which answered.
      asked: the recording with its answer.
      session: what is told of the session that answered; None: the model did.
    """
    classes, answer, heard, said = service.served.classes, asked.answer, asked.heard, asked.said
    found = {
        **_called(said, classes),
        "confidence": said.confidence,
        "probabilities": _by_name(classes, said.probabilities),
        "seconds": round(heard.seconds, 6),
        "windows": [
            {
                "start": round(float(start), 6),
                "end": round(float(end), 6),
                **_called(window := named(row[None], classes, service.rule), classes),
                "probabilities": window.probabilities.tolist(),
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
        source = named(answer.source, classes, service.rule)
        found["source"] = {**_called(source, classes), "probabilities": _by_name(classes, source.probabilities)}
    return found


def _called(said: Named, classes: tuple[str, ...]) -> dict[str, Any]:
    """The label; where it may be unknown also the best class, and what was compared with the threshold."""
    more = {} if said.sure is None else {"best": classes[said.best], "sureness": said.sure}
    return {"label": said.label, **more}


def _by_name(classes: tuple[str, ...], probabilities: np.ndarray) -> dict[str, float]:
    return {name: float(value) for name, value in zip(classes, probabilities, strict=True)}
