"""Which sessions are in memory: named, looked up, put out least recently used first, written to the folder and back."""

from __future__ import annotations

import secrets
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from typing import NamedTuple

from dhauds_jax.errors import check_number
from dhauds_jax.serve.contracts import ClosedSession, TooManySessions, UnknownSession
from dhauds_jax.serve.session import Session
from dhauds_jax.serve.snapshots import TIDIED_S, Snapshots
from dhauds_jax.types import AdaptState

REMEMBERED = 10_000
"""Names of closed sessions that are remembered, so that it is not said that they never were."""


class Keeping(NamedTuple):
    """How many sessions are kept, and how long.

    Attributes:
      max_sessions: in memory at once.
      idle_s: seconds after which one that nobody asks for leaves the memory.
      spare_s: seconds of rest after which one leaves the memory where another needs its place.
      save_s: least seconds between two times that a session is written to the folder.
      shared: whether all clients share one.
      tag: hexadecimal digits that new names begin with, where several replicas open sessions (`ray_routing.tag`).
    """

    max_sessions: int = 64
    idle_s: float = 900.0
    spare_s: float = 30.0
    save_s: float = 5.0
    shared: bool = False
    tag: str = ""


def check(keeping: Keeping) -> None:
    """Raises `BadInput` for numbers out of their range."""
    check_number("--max_sessions", keeping.max_sessions, 1)
    check_number("--idle_s", keeping.idle_s, 0.0, above=True)
    check_number("spare_s", keeping.spare_s, 0.0)
    check_number("save_s", keeping.save_s, 0.0)


class Held(NamedTuple):
    """A session in memory.

    Attributes:
      session: it.
      used: when it was asked for last.
      saved: when it was written last.
      written: updates that it had tried when it was written.
      before: what it had counted when it came here.
      on_disk: whether it was ever written.
    """

    session: Session
    used: float
    saved: float
    written: int
    before: Counter[str]
    on_disk: bool = False


class Holding:
    """The sessions in memory, least recently used first.

    Args:
      keeping: how many, and how long.
      make: a new session.
      first: the state that one starts with, whose structure all have.
      snapshots: where sessions are written; None: one that leaves the memory is closed.
      clock: seconds; it does not go back.
    """

    def __init__(
        self,
        keeping: Keeping,
        make: Callable[[], Session],
        first: AdaptState,
        snapshots: Snapshots | None,
        clock: Callable[[], float],
    ) -> None:
        check(keeping)
        self.totals: Counter[str] = Counter()
        self._keeping, self._make, self._first, self._snapshots, self._clock = keeping, make, first, snapshots, clock
        self._held: OrderedDict[str, Held] = OrderedDict()
        self._closed: OrderedDict[str, None] = OrderedDict()
        self._tidied = clock()

    @property
    def sessions(self) -> Mapping[str, Session]:
        """Those in memory, by name."""
        return {name: held.session for name, held in self._held.items()}

    def open(self, name: str = "") -> str:
        """A new session's name, random behind `Keeping.tag`; one that was written under a given name comes back.

        Raises:
          TooManySessions: as many as are allowed are in use.
        """
        self.expire()
        self._make_room()
        restored = self._restored(name) if name else None
        name = name or (self._keeping.tag + secrets.token_hex(16))[:32]
        self._put(name, restored or self._make(), restored is not None)
        self.totals["opened"] += 1
        return name

    def get(self, name: str) -> Session:
        """A session, now the one used last; one that had left the memory comes back from the folder.

        Raises:
          UnknownSession: there is none. ClosedSession: it was closed, or left alone for too long.
          TooManySessions: it is in the folder, and as many as are allowed are in use.
        """
        self.expire()
        if name not in self._held:
            if name in self._closed:
                raise ClosedSession(name)
            restored = self._restored(name)
            if restored is None:
                raise UnknownSession(name)
            self._make_room()
            self._put(name, restored, on_disk=True)
        self._held[name] = self._held[name]._replace(used=self._clock())
        self._held.move_to_end(name)
        return self._held[name].session

    def close(self, name: str) -> None:
        """Forgets a session, in memory and in the folder, where it needs no place in memory for that.

        Raises:
          UnknownSession, ClosedSession: as `get`.
        """
        self.expire()
        if name in self._held:
            self._leave(name)
        elif name in self._closed:
            raise ClosedSession(name)
        elif self._restored(name) is None:
            raise UnknownSession(name)
        self._unwrite(name)
        self._remember(name)

    def reset(self, name: str) -> None:
        """A session as it was at first, in memory and in the folder; raises as `get`."""
        session = self.get(name)
        self._leave(name)
        self._unwrite(name)
        session.reset()
        self._put(name, session)

    def counted(self) -> Counter[str]:
        """What all sessions counted here, those that are gone too."""
        return sum(map(self._new, self._held.values()), self.totals.copy())

    def write_one(self) -> bool:
        """Writes a session that has changed and was not written for a while; says whether there was one."""
        if self._snapshots is None:
            return False
        now = self._clock()
        if now - self._tidied >= TIDIED_S:
            self._tidied = now
            self._snapshots.tidy(self._held)
        for name, held in self._held.items():
            if self._changed(held) and now - held.saved >= self._keeping.save_s:
                self._write(name)
                return True
        return False

    def stop(self) -> None:
        """Writes all sessions that have changed, and waits for it."""
        if self._snapshots is None:
            return
        for name, held in list(self._held.items()):
            if self._changed(held) or not held.on_disk:
                self._write(name)
        self._snapshots.close()

    def _put(self, name: str, session: Session, on_disk: bool = False) -> None:
        tried, counted = session.counts["tried"], _counted(session)
        self._held[name] = Held(session, self._clock(), -float("inf"), tried, counted, on_disk)

    def _changed(self, held: Held) -> bool:
        return held.session.counts["tried"] != held.written

    def _write(self, name: str) -> None:
        session = self._held[name].session
        self._snapshots.save(name, session.state, session.told())
        self._held[name] = self._held[name]._replace(saved=self._clock(), written=session.counts["tried"], on_disk=True)

    def _unwrite(self, name: str) -> None:
        if self._snapshots is not None:
            self._snapshots.delete(name)

    def _restored(self, name: str) -> Session | None:
        found = None if self._snapshots is None else self._snapshots.load(name, self._first)
        if found is None:
            return None
        session = self._make()
        session.restore(*found)
        return session

    def expire(self) -> None:
        """Those that nobody asked for leave the memory; to be called now and then, where nobody asks for any."""
        now = self._clock()
        for name, held in list(self._held.items()):
            if self._keeping.shared or now - held.used < self._keeping.idle_s:
                break  # the others were used later
            self._put_out(name)

    def _make_room(self) -> None:
        while len(self._held) >= self._keeping.max_sessions:
            name, held = next(iter(self._held.items()))
            if self._clock() - held.used < self._keeping.spare_s:
                raise TooManySessions(f"{len(self._held)} sessions are in use, as many as are allowed: try again later")
            self._put_out(name)

    def _put_out(self, name: str) -> None:
        """A session leaves the memory, for the folder whatever it has tried; without one it is closed.

        Clips that wait are gone, for no sound is written: they count as let go.
        """
        self._held[name].session.let_go()
        if self._snapshots is None:
            self._remember(name)
        else:
            self._write(name)
        self.totals["put_out"] += 1
        self._leave(name)

    def _leave(self, name: str) -> None:
        """Takes a session out of the memory; what it counted stays counted."""
        self.totals += self._new(self._held.pop(name))

    def _new(self, held: Held) -> Counter[str]:
        return _counted(held.session) - held.before

    def _remember(self, name: str) -> None:
        self._closed[name] = None
        if len(self._closed) > REMEMBERED:
            self._closed.popitem(last=False)


def _counted(session: Session) -> Counter[str]:
    """What a session counted, under one key each."""
    return Counter(
        {
            **{key: session.counts[key] for key in ("updates", "rollbacks", "let_go", "learnt_from")},
            **{f"reason:{key}": value for key, value in session.reasons.items()},
            **{f"left_out:{key}": value for key, value in session.left_out.items()},
        }
    )
