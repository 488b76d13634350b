"""How many programs this process has compiled: after warm-up the number stands still, or a request waited for one."""

from __future__ import annotations

import functools

import jax

_EVENT = "/jax/core/compile/backend_compile_duration"
_counted: list[None] = []


def count() -> int:
    """Programs that were compiled, or read from the compilation cache, since the first call; on whatever thread."""
    _listen()
    return len(_counted)


@functools.cache
def _listen() -> None:
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, *_, **__: _counted.append(None) if event == _EVENT else None
    )
