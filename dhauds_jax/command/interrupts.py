"""Ctrl-C at a moment that suits; see `dhauds_jax.interrupts`, where every room may import it."""

from __future__ import annotations

from dhauds_jax.interrupts import deferred

__all__ = ["deferred"]
