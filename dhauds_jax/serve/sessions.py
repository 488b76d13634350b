"""Sessions that adapt while they are served: what the compute thread asks where `--adapt` is on.

All methods are called on that thread (`contracts.Predictor`). Session "" is the source model.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from dhauds_jax.model.record import Model
from dhauds_jax.model.rejecting import Rejecting
from dhauds_jax.serve import adaptation, canary
from dhauds_jax.serve.adaptation import Adaptation
from dhauds_jax.serve.canary import Canary
from dhauds_jax.serve.contracts import Served, TooManySessions, UnknownSession
from dhauds_jax.serve.holding import Holding, Keeping
from dhauds_jax.serve.session import Parts, Session
from dhauds_jax.serve.snapshots import SHARED, Snapshots

SHARED_WARNING = (
    "--adapt=shared: all clients share one state, so one client can steer what the others are told; give "
    "--adapt=session unless you trust them all"
)


class Sessions:
    """Sessions over a served model.

    Args:
      served: the source model, its programs compiled.
      model: the same checkpoint, which the sessions adapt; their answers are of the rows as they are, without views.
      how: how they adapt.
      keeping: how many are kept, and how long.
      labelled: the canary; None for none.
      snapshots: where sessions are written; None: those that leave the memory are closed.
      clock: seconds; it does not go back.
      rule: which recordings are unknown; None: none is.

    Raises:
      BadInput: what cannot be adapted so.
    """

    def __init__(
        self,
        served: Served,
        model: Model,
        how: Adaptation,
        keeping: Keeping = Keeping(),  # noqa: B008  (a tuple)
        labelled: Canary | None = None,
        snapshots: Snapshots | None = None,
        clock: Callable[[], float] = time.monotonic,
        rule: Rejecting | None = None,
    ) -> None:
        self.keeping, self.snapshots, self._clock = keeping, snapshots, clock
        self._parts = Parts(how, adaptation.programs(model, how, served.shapes), served, labelled, rule)
        first = self._parts.programs.first
        self._holding = Holding(keeping, lambda: Session(self._parts), first, snapshots, clock)
        self._working = ""
        self._queue: dict[str, None] = {}
        self._failed: list[Exception] = []

    @property
    def canary(self) -> Canary | None:
        """The labelled clips that updates are held to."""
        return self._parts.canary

    def warm(self) -> dict[int, float]:
        """Compiles everything that sessions need, and asks the source model of the canary; seconds by shape."""
        parts = self._parts
        seconds = adaptation.warm(parts.programs, parts.how, parts.served.length)
        if parts.canary is not None:
            self._parts = parts._replace(canary=canary.measured(parts.canary, parts.served))
        if self.keeping.shared:
            self._holding.open(SHARED)
        return seconds

    def open(self) -> str:
        """A new session's name: 128 random bits, in hexadecimal digits.

        Raises:
          TooManySessions: as many as are allowed are in use, or all clients share one.
        """
        if self.keeping.shared:
            raise TooManySessions("all clients share one session (--adapt=shared), expected requests without a session")
        return self._holding.open()

    def close(self, name: str) -> None:
        """Forgets a session, in memory and in the folder; raises as `describe`."""
        self._holding.close(self._of_client(name))

    def reset(self, name: str) -> None:
        """Back to the source model: the next answer is the first one again. Raises as `describe`."""
        self._holding.reset(self._of_client(name))

    def _of_client(self, name: str) -> str:
        """A name as a client gave it: that of the shared session is none, nor is there any other where all share it."""
        if self.keeping.shared or name == SHARED:
            raise UnknownSession(name)
        return name

    def describe(self, name: str) -> dict[str, Any]:
        """What is told of a session, as JSON can hold it.

        Raises:
          UnknownSession: there never was one. ClosedSession: it was closed, or left alone for too long.
        """
        return self._holding.get(name).describe()

    def says(self, name: str, waves: Float[np.ndarray, "rows time"]) -> Float[np.ndarray, "rows classes"]:
        """What a session would say of any number of clips; it learns from none of them. Raises as `describe`."""
        session = self._holding.get(name)
        if session.from_source:
            return session.source(waves)
        return adaptation.in_chunks(session.predict, waves, self._parts.programs.shapes)

    def predict(self, session: str, waves: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Answers of a session (or, for "", of the source model), and the source model's beside them.

        Args:
          session: its name.
          waves: int16 or float32 (rows, length), as many rows as one of the shapes.
          weights: (rows,), 0 for padding.

        Returns:
          (rows, columns) twice, probabilities first (`Served.answers`); the second is None for "", and without
          `Adaptation.shadow`.

        Raises:
          UnknownSession, ClosedSession: as `describe`.
        """
        if not session and not self.keeping.shared:
            return self._parts.served.answers(waves, weights), None
        found = self._holding.get(self._of_client(session) if session else SHARED)
        how = self._parts.how
        sound = waves if waves.dtype == np.float32 else waves * np.float32(2**-15)
        real = np.flatnonzero(weights > 0)
        source = self._parts.served.answers(waves, weights) if how.shadow or found.from_source else None
        if how.update == "before_next":
            return self._in_order(found, sound, real, source), source if how.shadow else None
        answers = found.predict(sound)
        if answers is None:
            return source, source if how.shadow else None
        found.take(sound[real], answers[real], self._probabilities(source, real), self._clock())
        return answers, source if how.shadow else None

    def _in_order(
        self, session: Session, sound: np.ndarray, real: np.ndarray, source: np.ndarray | None
    ) -> Float[np.ndarray, "rows columns"]:
        """Answers in the order of protocol `batch1`: the update of a full buffer comes before the next clip."""
        parts, done = [], 0
        while done < len(real):
            self._finish(session)
            rows = real[done:] if session.from_source else real[done : done + session.room]
            if not session.from_source:
                parts.append(adaptation.in_chunks(session.predict, sound[rows], self._parts.programs.shapes))
                session.take(sound[rows], parts[-1], self._probabilities(source, rows), self._clock())
            else:
                parts.append(session.source(sound[rows]) if source is None else source[rows])
            done += len(rows)
        answers = np.zeros((len(sound), parts[0].shape[1]))
        answers[real] = np.concatenate(parts)
        return answers

    def _probabilities(self, answers: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
        return None if answers is None else answers[rows, : len(self._parts.served.classes)]

    def _finish(self, session: Session) -> None:
        """All updates that wait in a session. One that fails costs no answer: `work` raises its error later on."""
        while session.has_work:
            try:
                session.work()
            except Exception as error:
                self._failed.append(error)

    def work(self) -> bool:
        """One piece of what can wait: of an update of one session, or of writing one down; whether there was any.

        Sessions take turns, update by update, in the order in which they came to have one.

        Raises:
          Exception: what an update raised, here or before a prediction. It is counted and over.
        """
        if self._failed:
            raise self._failed.pop(0)
        self._holding.expire()
        sessions = self._holding.sessions
        if self._working not in sessions or sessions[self._working].under_way is None:
            if self._holding.write_one():
                return True
            self._working = self._next(sessions)
        return bool(self._working) and sessions[self._working].work()

    def _next(self, sessions: Mapping[str, Session]) -> str:
        """Whose turn it is: who waits longest of those that have work; "" where none has."""
        waits = {name for name, session in sessions.items() if session.has_work}
        self._queue = {name: None for name in self._queue if name in waits}
        self._queue |= dict.fromkeys(name for name in sessions if name in waits and name not in self._queue)
        found = next(iter(self._queue), "")
        self._queue.pop(found, None)
        return found

    def stop(self) -> None:
        """Writes all sessions that have changed, and waits for it; the last call."""
        self._holding.stop()

    def totals(self) -> dict[str, Any]:
        """Counts over all sessions that there were, and the largest share of one class in one that is."""
        self._holding.expire()
        sessions, total = self._holding.sessions.values(), self._holding.counted()
        by_kind = {
            kind: {key.partition(":")[2]: value for key, value in total.items() if key.startswith(kind)}
            for kind in ("reason:", "left_out:")
        }
        shares = [session.top_class for session in sessions]
        return {
            **{key: total[key] for key in ("opened", "put_out", "updates", "rollbacks", "learnt_from", "let_go")},
            "open": len(sessions),
            "removed": 0 if self.snapshots is None else self.snapshots.removed,
            "from_source": sum(session.from_source for session in sessions),
            "rollbacks_by_reason": by_kind["reason:"],
            "left_out": by_kind["left_out:"],
            "top_class": max((share for share in shares if share is not None), default=0.0),
        }
