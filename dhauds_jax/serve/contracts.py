"""What the parts of the service hand each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float


class Served(NamedTuple):
    """One or several checkpoints as a predictor whose programs are compiled ahead.

    Attributes:
      sample_rate: of the rows, in Hz.
      length: samples of a row, a window.
      classes: names of what is reported, groups already summed.
      shapes: numbers of rows that are compiled ahead, ascending, e.g. (1, 2, 4, 8, 16, 32).
      warm: `() -> seconds by shape`; compiles them all and predicts once. Whatever is compiled later is a fault.
      predict: `(waves int16 or float32 (rows, length), weights (rows,)) -> probabilities (rows, classes)`; the number
        of rows is one of `shapes`, and no row depends on another; rows of weight 0 are padding.
      answer: as `predict`, but behind the probabilities stands what a threshold is compared with; None: nothing does.
    """

    sample_rate: int
    length: int
    classes: tuple[str, ...]
    shapes: tuple[int, ...]
    warm: Callable[[], Mapping[int, float]]
    predict: Callable[[np.ndarray, np.ndarray], Float[np.ndarray, "rows classes"]]
    answer: Callable[[np.ndarray, np.ndarray], Float[np.ndarray, "rows columns"]] | None = None

    def answers(self, waves: np.ndarray, weights: Float[np.ndarray, " rows"]) -> Float[np.ndarray, "rows columns"]:
        """What the queue takes: `answer`, or `predict` where there is no threshold."""
        return (self.answer or self.predict)(waves, weights)


class Answer(NamedTuple):
    """What is said of the windows of one request.

    Attributes:
      probabilities: (windows, classes), by the model that answers (of a session: the adapted one).
      source: (windows, classes), by the model as it was given; None where it was not asked (`--shadow`).
        On their way through the queue both may have more columns (`Served.answer`).
      queue_s: seconds that the request waited for its first batch.
      compute_s: seconds that its batches took.
      batch: rows of the largest batch that it was part of, padding left out.
    """

    probabilities: Float[np.ndarray, "windows classes"]
    source: Float[np.ndarray, "windows classes"] | None = None
    queue_s: float = 0.0
    compute_s: float = 0.0
    batch: int = 0


@runtime_checkable
class Predictor(Protocol):
    """What the compute thread asks; nothing else calls it."""

    def predict(
        self, session: str, waves: np.ndarray, weights: Float[np.ndarray, " rows"], /
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Answers (rows, columns) to a batch of one session ("": the source model), and the source's beside them.

        Their columns are those of `Served.answers`, probabilities first.

        The number of rows is one of the shapes; rows of weight 0 are padding. The second is None where not asked.
        """
        ...

    def work(self) -> bool:
        """Does one piece of what can wait (an update), and says whether there was any."""
        ...


class Verdict(NamedTuple):
    """Whether an update is kept.

    Attributes:
      keep: whether the adapted state becomes the session's.
      reason: "" where it is kept, else one of `REASONS`.
      signs: what it was judged by, numbers by name.
    """

    keep: bool
    reason: str
    signs: Mapping[str, Any]


REASONS = ("not_finite", "top_class", "information", "less_sure", "changed", "drift", "canary", "failed")
"""Why an update is refused: a number is not finite; one class gets most clips; the predictions carry less information
than the source's; they are much less sure; too many labels changed; the weights are too far from the source's; labelled
clips lost accuracy; it ended with an error, such as memory that did not do."""


class UnknownSession(KeyError):
    """No session of that name was ever open here."""


class ClosedSession(KeyError):
    """The session was closed, or left alone for longer than it is kept."""


class TooManySessions(RuntimeError):
    """As many sessions as are allowed are open, and all are in use."""


class Full(RuntimeError):
    """As many items wait as are allowed."""


class Late(TimeoutError):
    """An item's deadline passed before all of it was computed."""


class NotFinite(ArithmeticError):
    """The network's probabilities for an item are not finite numbers."""


class Stuck(RuntimeError):
    """The compute thread has ended, or shows no life: what waits for it is given up."""
