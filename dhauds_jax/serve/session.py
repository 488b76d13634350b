"""One session: its state, the clips that it is learning from, and what was decided about its updates."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Generator, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from dhauds_jax.model.rejecting import Rejecting
from dhauds_jax.serve import adaptation, guards, telling
from dhauds_jax.serve.adaptation import Adaptation, Programs
from dhauds_jax.serve.canary import Canary
from dhauds_jax.serve.clips import NOT_FINITE, Clip, exactly, in_16_bit, unanswered, waves_of
from dhauds_jax.serve.contracts import Served, Verdict
from dhauds_jax.serve.filters import Sieve
from dhauds_jax.types import AdaptState

WAITING = 4
"""Full buffers that may wait for their update; a further one is let go, and counted."""

JOURNAL = 16
"""Verdicts that are told of a session, the last ones."""


class Parts(NamedTuple):
    """What all sessions share."""

    how: Adaptation
    programs: Programs
    served: Served
    canary: Canary | None = None
    rule: Rejecting | None = None


class Session:
    """The state of one session, and how it goes on; everything is called on the compute thread.

    Args:
      parts: what it shares with others.
    """

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._begin()

    def _begin(self) -> None:
        how = self.parts.how
        self.good: deque[AdaptState] = deque(maxlen=how.snapshots)
        self.sieve = Sieve(how.filters)
        self.buffer: list[Clip] = []
        self.waiting: deque[list[Clip]] = deque()
        self.recent: deque[Clip] = deque(maxlen=how.judged)
        self.counts: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.left_out: Counter[str] = Counter()
        self.journal: deque[dict[str, Any]] = deque(maxlen=JOURNAL)
        self.rollbacks_in_a_row = 0
        self.from_source = False
        self.under_way: Generator[None, None, None] | None = None

    @property
    def state(self) -> AdaptState:
        """The state that predicts: the last good one, or the first."""
        return self.good[-1] if self.good else self.parts.programs.first

    @property
    def has_work(self) -> bool:
        """Whether an update waits, or is under way."""
        return self.under_way is not None or bool(self.waiting)

    @property
    def room(self) -> int:
        """Clips until the buffer is full."""
        return self.parts.how.adapt_batch - len(self.buffer)

    @property
    def top_class(self) -> float | None:
        """The share of the most frequent class at its last verdict."""
        return self.journal[-1]["signs"].get("top_class", (None, None))[1] if self.journal else None

    def reset(self) -> None:
        """Back to the first state; everything it has learnt and remembered is gone."""
        self._begin()

    def predict(self, waves: Float[np.ndarray, "rows time"]) -> Float[np.ndarray, "rows columns"] | None:
        """What the session says, each row by itself; None where it answers from the source model.

        Args:
          waves: (rows, time), as many rows as one of the shapes.

        Returns:
          Columns as those of `Served.answers`.
        """
        programs, rule = self.parts.programs, self.parts.rule
        if self.from_source:
            return None
        if rule is None:
            return programs.predict(self.state, waves)
        found = programs.logits(self.state, waves)
        return np.concatenate([programs.report(found), rule.compared(found)], -1)

    def take(
        self,
        waves: Float[np.ndarray, "rows time"],
        answers: Float[np.ndarray, "rows columns"],
        sources: Float[np.ndarray, "rows classes"] | None,
        now: float,
    ) -> None:
        """Learns from clips later on; those that the filters leave out, or that no model can answer, are counted.

        Args:
          waves: (rows, time), as they were predicted, without padding.
          answers: (rows, columns) of the session.
          sources: (rows, classes) by the source model, None where it was not asked.
          now: seconds.
        """
        if self.from_source:
            return
        lost = unanswered(waves, answers, sources, self.source)
        for row, wave in enumerate(waves):
            fault = NOT_FINITE if lost[row] else self.sieve.fault(wave, now)
            if fault:
                self.left_out[fault] += 1
                continue
            source = None if sources is None else np.array(sources[row])
            clip = Clip(exactly(wave), self.counts["taken"], source)
            self.counts["taken"] += 1
            self.buffer.append(clip)
            if not self.room:
                self._wait()

    def _wait(self) -> None:
        full, self.buffer = self.buffer, []
        if len(self.waiting) >= WAITING:
            self.counts["let_go"] += 1
            return
        self.waiting.append(full)

    def let_go(self) -> None:
        """Drops the clips that wait, and counts their buffers, one that is not full among them."""
        self.counts["let_go"] += len(self.waiting) + bool(self.buffer) + (self.under_way is not None)
        self.waiting.clear()
        self.buffer, self.under_way = [], None

    def work(self) -> bool:
        """One piece of an update, at most one compiled call or two; says whether there was one to do.

        Raises:
          Exception: what the update raised. It is counted as refused ("failed"), and the state stays as it was.
        """
        if self.under_way is None:
            if not self.waiting:
                return False
            self.under_way = self._update(self.waiting.popleft())
        try:
            ended = next(self.under_way, "done") == "done"
        except Exception:
            self._failed()
            raise
        if ended:
            self.under_way = None
        return True

    def _failed(self) -> None:
        """An update that raised: its clips are gone, and after some in a row nothing more is tried."""
        self.under_way = None
        self._refused(Verdict(False, "failed", {}))
        if self.rollbacks_in_a_row >= self.parts.how.rollbacks:
            self._give_up()

    def finish(self) -> None:
        """All updates that wait."""
        while self.has_work:
            self.work()

    def _update(self, clips: list[Clip]) -> Generator[None, None, None]:
        """Learns from a full buffer on a shadow state, kept if the verdict says so; yields between its calls."""
        programs, how = self.parts.programs, self.parts.how
        number = self.counts["tried"]
        self.counts["tried"] += 1
        numbers = np.array([clip.number for clip in clips], np.int32)
        shadow, finite = programs.step(self.state, waves_of(clips), numbers, number)
        self.recent.extend(map(in_16_bit, clips))
        yield
        if how.limits is None:
            self._keep(shadow, len(clips))
            return
        source = yield from self._source_of_recent()
        verdict = yield from self._judged(shadow, source, finite)
        if verdict.keep:
            self._note(verdict)
            self._keep(shadow, len(clips))
            return
        self._refused(verdict)
        if self.rollbacks_in_a_row >= how.rollbacks:
            self._give_up()
        else:
            yield from self._back()

    def _refused(self, verdict: Verdict) -> None:
        self._note(verdict)
        self.reasons[verdict.reason] += 1
        self.counts["rollbacks"] += 1
        self.rollbacks_in_a_row += 1

    def _keep(self, state: AdaptState, clips: int) -> None:
        self.good.append(state)
        self.counts["updates"] += 1
        self.counts["learnt_from"] += clips
        self.rollbacks_in_a_row = 0

    def _back(self) -> Generator[None, None, None]:
        """To the last good state; when that led to refused updates again and again, to the one before it, and so on.

        Of those the newest that does not fail on the canary; where none is left, to the first state.
        """
        for _ in range(self.rollbacks_in_a_row - 1):
            if self.good:
                self.good.pop()
        while self.good and self.parts.canary is not None:
            right = yield from self._canary(self.good[-1])
            if not guards.canary_fails(*right, self.parts.how.limits):
                return
            self.good.pop()

    def _give_up(self) -> None:
        """From now on the source model answers, and nothing is learnt, until the session is reset."""
        self.from_source = True
        self.good.clear()
        self.buffer, self.under_way = [], None
        self.waiting.clear()
        self.recent.clear()

    def _source_of_recent(self) -> Generator[None, None, np.ndarray]:
        """The source model's probabilities of the judged clips; those that were not asked for yet are asked now."""
        missing = [place for place, clip in enumerate(self.recent) if clip.source is None]
        if missing:
            found = self.source(waves_of([self.recent[place] for place in missing]))
            found = found[:, : len(self.parts.served.classes)]
            for place, probabilities in zip(missing, found, strict=True):
                self.recent[place] = self.recent[place]._replace(source=probabilities)
            yield
        return np.stack([clip.source for clip in self.recent])

    def source(self, waves: Float[np.ndarray, "rows time"]) -> Float[np.ndarray, "rows columns"]:
        """What the source model answers to any number of clips."""
        served = self.parts.served
        return adaptation.in_chunks(lambda x: served.answers(x, np.ones(len(x), np.float32)), waves, served.shapes)

    def _judged(self, state: AdaptState, source: np.ndarray, finite: bool) -> Generator[None, None, Verdict]:
        """The verdict on a state, by the clips of now and the canary."""
        parts = self.parts
        sound, drift = parts.programs.measure(state)
        adapted = yield from self._said(state, waves_of(self.recent))
        right = None if parts.canary is None else (yield from self._canary(state))
        facts = {"finite": finite and sound, "drift": drift, "canary": right, "number": self.counts["tried"]}
        return guards.judge(source, adapted, **facts, limits=parts.how.limits)

    def _canary(self, state: AdaptState) -> Generator[None, None, guards.Right]:
        """Which of the canary's clips the source model has right, and which a state."""
        canary = self.parts.canary
        said = yield from self._said(state, canary.waves)
        return canary.source_right, said.argmax(-1) == canary.labels

    def _said(self, state: AdaptState, waves: np.ndarray) -> Generator[None, None, np.ndarray]:
        """What a state says of any number of clips; yields between calls."""
        programs, found = self.parts.programs, []
        for start in range(0, len(waves), programs.shapes[-1]):
            part = waves[start : start + programs.shapes[-1]]
            found.append(adaptation.in_chunks(lambda x: programs.predict(state, x), part, programs.shapes))
            yield
        return np.concatenate(found)

    def _note(self, verdict: Verdict) -> None:
        told = {"update": self.counts["tried"], "kept": verdict.keep, "reason": verdict.reason, "signs": verdict.signs}
        self.journal.append(told)

    def describe(self) -> dict[str, Any]:
        """All of it as JSON can hold it."""
        return telling.described(self)

    def told(self) -> dict[str, Any]:
        """What is written beside its state, so that it goes on after a restart; no sound is."""
        kept = ("counts", "reasons", "left_out")
        return {
            **{name: dict(getattr(self, name)) for name in kept},
            "journal": telling.plain(list(self.journal)),
            "rollbacks_in_a_row": self.rollbacks_in_a_row,
            "from_source": self.from_source,
        }

    def restore(self, state: AdaptState, told: Mapping[str, Any]) -> None:
        """Goes on from what was written: its last good state is the only one to go back to, and no clip waits."""
        self._begin()
        for name in ("counts", "reasons", "left_out"):
            getattr(self, name).update(told[name])
        self.counts.setdefault("taken", self.counts["learnt_from"])  # older ones counted what they took as learnt from
        self.journal.extend(told["journal"])
        self.rollbacks_in_a_row, self.from_source = told["rollbacks_in_a_row"], told["from_source"]
        if told["counts"].get("updates") and not self.from_source:
            self.good.append(state)
