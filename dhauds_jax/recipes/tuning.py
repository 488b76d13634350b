"""The rule that chooses a method's options: which values are tried, when the grid goes on, and what wins."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dhauds_jax.recipes.tuned import Line, trials_of

SAME_NLL = 1e-3
"""Nats within which two likelihoods are equal: what moves nothing differs from its floor by less, by chance."""

MOST = 10
"""Trials of a method at most, the floor apart."""

REASONS: Mapping[str, str] = {
    "best": "the best of the tried values",
    "default": "no value is better than the default",
    "harm": "no value is better than the floor, so the default stays (the best, where the default collapses)",
    "collapse": "every value collapses, so the default stays",
}
"""Why a value was chosen -> what that means."""


class Trial(NamedTuple):
    """What a value gave.

    Attributes:
      options: those that differ from the defaults.
      scores: the metric of each seed, 0 to 1; empty where the losses or predictions of one were not finite.
      nll: negative log-likelihood of each seed, nats.
      collapsed: of each seed, whether one class took nearly all predictions.
      seconds: of all seeds.
      cells: names of the records of each seed.
    """

    options: Mapping[str, Any]
    scores: tuple[float, ...]
    nll: tuple[float, ...] = ()
    collapsed: tuple[bool, ...] = ()
    seconds: float = 0.0
    cells: tuple[str, ...] = ()

    @property
    def stands(self) -> bool:
        """Whether it may be chosen: it neither diverges nor collapses with any seed."""
        return bool(self.scores) and not any(self.collapsed)

    @property
    def score(self) -> float:
        """The mean metric, rounded, so that ties are ties; -inf of numbers that were not finite."""
        return round(float(np.mean(self.scores)), 9) if self.scores else -math.inf

    @property
    def likelihood(self) -> float:
        """The mean log-likelihood, nats; -inf of numbers that were not finite."""
        return -float(np.mean(self.nll)) if self.scores else -math.inf

    def beats(self, other: Trial) -> bool:
        """Whether its metric is higher, or equal with an NLL that is lower by more than `SAME_NLL`."""
        if self.score != other.score:
            return self.score > other.score
        return self.likelihood > other.likelihood + SAME_NLL


class Choice(NamedTuple):
    """What the rule chose for a method, and all that it looked at.

    Attributes:
      trial: the chosen one.
      why: a word of `REASONS`.
      floor: the same method at rate 0, or the unadapted network.
      trials: all, in the order in which they were run.
    """

    trial: Trial
    why: str
    floor: Trial
    trials: tuple[Trial, ...]

    @property
    def diverged(self) -> bool:
        """Whether no value gave finite numbers."""
        return not any(trial.scores for trial in self.trials)


def search(
    space: Sequence[Line], run: Callable[[Mapping[str, Any]], Trial], default: Mapping[str, Any], floor: Trial
) -> Choice:
    """Runs the trials of a space and chooses among them.

    The first values of every line are tried. While the best so far stands at an end of its line, the value beyond that
    end is tried too (never a lower one while the best is no better than the floor, which is what lower rates lead to);
    where none stands, lower ones than the first line's are tried. After `MOST` trials it ends.

    The best metric wins, of equal ones the lower NLL, of equal ones (`SAME_NLL`) the default, then the first. What
    collapses or diverges with any seed cannot win. Where nothing is better than the floor the method does harm with
    every value, and the default stays.

    Args:
      space: of `tuned.space`.
      run: gives the trial of some options.
      default: the method's own value of every option.
      floor: the trial that harm is measured against.
    """
    tried: dict[tuple[int, Any], Trial] = {}
    wanted = list(trials_of(space))
    while wanted and len(tried) < MOST:
        place, value = wanted.pop(0)
        tried[place, value] = run(space[place].options(value))
        if not wanted:
            wanted = _next(space, tried, default, floor)
    return _choice(tried, default, floor)


def _is_default(trial: Trial, default: Mapping[str, Any]) -> bool:
    return all(default[name] == value for name, value in trial.options.items())


def _best(tried: Mapping[tuple[int, Any], Trial], default: Mapping[str, Any]) -> tuple[int, Any] | None:
    """Of those that stand the best one, the default winning ties, then the first; None where none stands."""
    standing = [key for key, trial in tried.items() if trial.stands]
    top = max((tried[key] for key in standing), key=lambda trial: (trial.score, trial.likelihood), default=None)
    ties = [key for key in standing if not top.beats(tried[key])]
    return max(ties, key=lambda key: _is_default(tried[key], default), default=None)


def _next(
    space: Sequence[Line], tried: Mapping[tuple[int, Any], Trial], default: Mapping[str, Any], floor: Trial
) -> list[tuple[int, Any]]:
    """The value beyond the end at which the best one stands, or none."""
    best = _best(tried, default)
    if best is None:
        place, ends = next((i for i, line in enumerate(space) if line.option), 0), (False,)
    else:
        place, ends = best[0], (True, False) if tried[best].beats(floor) else (True,)
    line, values = space[place], [value for at, value in tried if at == place]
    for up in ends if line.option else ():
        end = max(values) if up else min(values)
        there = line.beyond(end, up)
        if (best is None or best[1] == end) and there is not None:
            return [(place, there)]
    return []


def _choice(tried: Mapping[tuple[int, Any], Trial], default: Mapping[str, Any], floor: Trial) -> Choice:
    trials = tuple(tried.values())
    best = _best(tried, default)
    own = next((trial for trial in trials if _is_default(trial, default)), trials[0])
    if best is None:
        return Choice(own, "collapse", floor, trials)
    found = tried[best]
    if not found.beats(floor):
        return Choice(own if own.stands else found, "harm", floor, trials)
    return Choice(found, "default" if found is own else "best", floor, trials)
