"""`POST /v1/classify`: everything that there is to say of a recording."""

from __future__ import annotations

import asyncio
from typing import Any

from dhauds_jax.serve import answers
from dhauds_jax.serve.replies import reply
from dhauds_jax.serve.routes import sessions
from dhauds_jax.serve.service import Service
from dhauds_jax.serve.spectrogram import spectrogram

SESSION = "x-session-id"
"""The header that names a session."""


async def classify(service: Service, request: Any) -> Any:
    """The label, all probabilities, windows with their times, notices, the model; with ?spectrogram=1 a picture."""
    name = request.headers.get(SESSION, "")
    asked = await service.ask(request, sessions.checked(service, name) if name else "", tell=bool(name))
    said = answers.whole(service, asked, sessions.shown(service, name, asked.session or {}) if name else None)
    if request.query_params.get("spectrogram", "0") not in ("", "0"):
        loop, rate = asyncio.get_running_loop(), service.wanted.sample_rate
        said["spectrogram"] = await loop.run_in_executor(service.threads, spectrogram, asked.heard.wave, rate)
    return reply(said)
