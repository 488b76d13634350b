"""One or several checkpoints as a predictor: shifted copies, members and groups in one program, compiled ahead."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from dhauds_jax.dsp import shifts
from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.model import Model
from dhauds_jax.model.rejecting import Rejecting
from dhauds_jax.nets import precision as precisions
from dhauds_jax.nets.config import ClassifierConfig, reading
from dhauds_jax.serve import stacking
from dhauds_jax.serve.contracts import Served, UnknownSession
from dhauds_jax.serve.items import FULL_SCALE

SHAPES = (1, 2, 4, 8, 16, 32)
"""Numbers of rows that are compiled ahead unless others are asked for."""


class SourceOnly:
    """What the compute thread asks where there are no sessions: a `contracts.Predictor` of the models as they are."""

    def __init__(self, served: Served) -> None:
        """Predicts with `served`; there is nothing to do when nothing waits."""
        self.served = served

    def predict(
        self, session: str, waves: np.ndarray, weights: Float[np.ndarray, " rows"]
    ) -> tuple[Float[np.ndarray, "rows columns"], None]:
        """The answers to a batch, and no second opinion; raises `UnknownSession` for any session but ""."""
        if session:
            raise UnknownSession(session)
        return self.served.answers(waves, weights), None

    def work(self) -> bool:
        """Nothing."""
        return False


def shapes_up_to(most: int) -> tuple[int, ...]:
    """The powers of two below a number of rows, and that number."""
    check_number("--max_batch", most, 1)
    return (*(2**k for k in range(most.bit_length()) if 2**k < most), most)


def serve_models(
    models: Sequence[Model],
    *,
    views: int = 1,
    view_step_s: float = shifts.STEP_SECONDS,
    shapes: Sequence[int] = SHAPES,
    rule: Rejecting | None = None,
) -> Served:
    """The predictor of some checkpoints: the mean over them and over shifted copies of the probabilities they report.

    Each member's softmax has the temperature of its checkpoint's calibration; groups of classes are summed. Members of
    one config share a program, in which all copies are one dispatch (`stacking`).

    Args:
      models: at least one, which report the same classes of clips of one rate and length.
      views: copies of a window: copy i begins i * `view_step_s` seconds later, and ends in as much silence.
      view_step_s: seconds.
      shapes: numbers of rows to compile.
      rule: which recordings are unknown, of one model without copies: see `serve_rejecting`; None: none is.

    Raises:
      BadInput: no models, models that do not go together, or copies beyond the window's end.
    """
    if rule is not None:
        return serve_rejecting(models[0], rule, shapes=shapes)
    shapes = tuple(sorted(set(shapes)))
    if not models or not shapes or shapes[0] < 1:
        raise BadInput(f"{len(models)} models and shapes {shapes}: expected at least one of each, and rows from 1 on")
    config, classes = models[0].config, _classes([model.config for model in models])
    offsets = _offsets(views, view_step_s, config)
    programs = [(jax.jit(stacking.probabilities(one, offsets)), one.members) for one in stacking.stacks(models)]

    def mean(rows: np.ndarray) -> np.ndarray:
        total = sum(np.asarray(program(*member, rows)) for program, members in programs for member in members)
        return total / np.float32(len(models))

    predict = _predictor(mean, shapes, config.length)
    warm = functools.partial(_warm, predict, shapes, config.length)
    return Served(config.sample_rate, config.length, classes, shapes, warm, predict)


def serve_rejecting(model: Model, rule: Rejecting, *, shapes: Sequence[int] = SHAPES) -> Served:
    """The predictor of one checkpoint as it is, with what the threshold of a rule is compared with.

    Args:
      model: the checkpoint.
      rule: of its calibration.
      shapes: numbers of rows to compile.
    """
    shapes, config = tuple(sorted(set(shapes))), model.config
    (stack,) = stacking.stacks([model])
    ((variables, _),), program = stack.members, jax.jit(stacking.logits(stack))
    classes = config.reported

    def said(rows: np.ndarray) -> np.ndarray:
        found = np.asarray(program(variables, rows), np.float64)
        return np.concatenate([model.probabilities(found), rule.compared(found)], -1)

    answer = _predictor(said, shapes, config.length)

    def predict(waves: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return answer(waves, weights)[:, : len(classes)]

    warm = functools.partial(_warm, predict, shapes, config.length)
    return Served(config.sample_rate, config.length, classes, shapes, warm, predict, answer)


def _predictor(
    program: Callable[[np.ndarray], Any], shapes: tuple[int, ...], length: int
) -> Callable[[np.ndarray, np.ndarray], Float[np.ndarray, "rows classes"]]:
    """`Served.predict` by a program of float32 rows."""

    @precisions.exactly()
    def predict(waves: np.ndarray, weights: Float[np.ndarray, " rows"]) -> Float[np.ndarray, "rows classes"]:
        if len(waves) not in shapes or waves.shape[1:] != (length,):
            raise ValueError(f"waves of shape {waves.shape}, expected (rows, {length}), rows one of {shapes}")
        # Divided on the host: so one program a shape serves both types.
        rows = waves / np.float32(FULL_SCALE) if waves.dtype == np.int16 else waves
        return np.asarray(program(np.asarray(rows, np.float32)))

    return predict


def _warm(predict: Callable[..., np.ndarray], shapes: tuple[int, ...], length: int) -> Mapping[int, float]:
    """Compiles every shape, and makes a real prediction; seconds by shape."""
    seconds = {}
    for rows in shapes:
        start = time.perf_counter()
        predict(np.zeros((rows, length), np.float32), np.ones(rows, np.float32))
        seconds[rows] = time.perf_counter() - start
    _check_prediction(predict, shapes[0], length)
    return seconds


def _classes(configs: Sequence[ClassifierConfig]) -> tuple[str, ...]:
    """What they report; raises `BadInput` unless all report the same of the same clips, read in the same way."""
    kinds = list(dict.fromkeys(map(_kind, configs)))
    if len(kinds) > 1:
        one, other = kinds[:2]
        same = one.classes == other.classes
        which = "the same classes" if same else f"{len(one.classes)} and {len(other.classes)} classes"
        if one[:3] == other[:3]:
            raise BadInput(
                f"checkpoints that do not go together: recordings read as {one.reading} and as {other.reading}, "
                "expected one layout and resampler, for a recording is read once: serve them apart"
            )
        raise BadInput(
            f"checkpoints that do not go together: {which}, clips of {one.length} samples at {one.sample_rate} Hz and "
            f"of {other.length} at {other.sample_rate} Hz, expected the same classes in one order, rate and length"
        )
    return kinds[0].classes


class _Kind(NamedTuple):
    """What checkpoints that are served together agree in."""

    classes: tuple[str, ...]
    sample_rate: int
    length: int
    reading: str


def _kind(config: ClassifierConfig) -> _Kind:
    how = ", ".join(f"{key}={value}" for key, value in reading(config.front_end).items())
    return _Kind(config.reported, config.sample_rate, config.length, how)


def _offsets(views: int, step_s: float, config: ClassifierConfig) -> tuple[int, ...]:
    """Where copies begin, in samples."""
    check_number("--views", views, 1)
    check_number("step between views", step_s, 0.0, above=True)
    return shifts.shift_starts(views, config.sample_rate, config.length, step_s)


def _check_prediction(predict: Callable[..., np.ndarray], rows: int, length: int) -> None:
    """Raises `BadInput` unless noise gets probabilities: weights that are not finite show here, not in an answer."""
    noise = np.random.default_rng(0).normal(scale=0.1, size=(rows, length)).astype(np.float32)
    found = predict(noise, np.ones(rows, np.float32))
    if not np.allclose(found.sum(-1), 1.0, rtol=0, atol=1e-3):
        raise BadInput(
            f"a first prediction sums to {found.sum(-1)[0]}, expected 1: the checkpoint's weights are broken"
        )
