"""What is told of a session."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from dhauds_jax.serve import adaptation

if TYPE_CHECKING:
    from dhauds_jax.serve.session import Session


def described(session: Session) -> dict[str, Any]:
    """What is told of a session, as JSON can hold it."""
    how = session.parts.how
    last = session.journal[-1]["signs"] if session.journal else {}
    return {
        "method": how.method,
        "answers_from": "source" if session.from_source else "session",
        "updates": session.counts["updates"],
        "rollbacks": session.counts["rollbacks"],
        "rollbacks_by_reason": dict(session.reasons),
        "rollbacks_in_a_row": session.rollbacks_in_a_row,
        "clips_learnt_from": session.counts["learnt_from"],
        "clips_left_out": dict(session.left_out),
        "buffers_let_go": session.counts["let_go"],
        "clips_waiting": len(session.buffer) + sum(map(len, session.waiting)),
        "top_class": session.top_class,
        "signs": plain(last),
        "verdicts": plain(list(session.journal)),
        "bytes": _bytes(session),
    }


def plain(found: Any) -> Any:
    """Tuples as lists, numbers as Python's, those that are not finite as None: JSON has none."""
    if isinstance(found, Mapping):
        return {key: plain(value) for key, value in found.items()}
    if isinstance(found, list | tuple):
        return [plain(value) for value in found]
    found = found.item() if isinstance(found, np.generic) else found
    return None if isinstance(found, float) and not math.isfinite(found) else found


def _bytes(session: Session) -> dict[str, int]:
    """Bytes of its state of what it keeps to go back to (what sessions share left out), and of its clips."""
    programs = session.parts.programs
    beside = (programs.first, programs.frozen)
    states = list(session.good)
    clips = {id(clip.wave): clip.wave.nbytes for clip in [*session.buffer, *chain(*session.waiting), *session.recent]}
    return {
        "state": adaptation.bytes_of(states[-1:], beside),
        "snapshots": adaptation.bytes_of(states[:-1], (beside, states[-1:])),
        "clips": sum(clips.values()),
    }
