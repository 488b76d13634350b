"""Which recordings a service calls unknown: by the rule of `experiments.classify`, from its own flags."""

from __future__ import annotations

from typing import Any

from dhauds_jax import calibration
from dhauds_jax.dsp.shifts import read_views
from dhauds_jax.errors import BadInput
from dhauds_jax.incremental import rejection
from dhauds_jax.model import Model
from dhauds_jax.model.rejecting import Rejecting, rejecting
from dhauds_jax.nets import checkpoint
from dhauds_jax.serve.request import ServeRun
from dhauds_jax.types import Calibration

HELD = {"reject": ("known", "left-out clips"), "reject_background": ("background", "background alone")}
"""Of each flag what of a `types.Calibration` it needs, and what these are scores of."""


def asked(run: ServeRun) -> tuple[str, ...]:
    """The flags that ask for a threshold."""
    return tuple(name for name in HELD if getattr(run, name) is not None)


def check(run: ServeRun) -> None:
    """Raises `BadInput` for several networks or copies, whose mean no held-out score is of."""
    if asked(run) and (len(run.checkpoint) > 1 or read_views(run.views)[0] > 1):
        raise BadInput(
            f"--{asked(run)[0]}: held-out scores are those of one network as it is, expected one --checkpoint and "
            "--views=shift:1"
        )


def check_checkpoint(run: ServeRun) -> None:
    """Raises `BadInput` for a checkpoint without the scores, which is read for that and put on no device."""
    if asked(run):
        _check_held(run, calibration.from_extra(checkpoint.load(run.checkpoint[0])[2]))


def _check_held(run: ServeRun, made: Calibration | None) -> None:
    for name in asked(run):
        held, of = HELD[name]
        if getattr(made, held, None) is None:
            raise BadInput(
                f"--{name}: {run.checkpoint[0]} holds no scores of {of}, expected a checkpoint that does, as of "
                "experiments.learn or experiments.crossval, or the flag left out"
            )


def rule_of(run: ServeRun, model: Model) -> Rejecting | None:
    """The rule of the checkpoint's own held-out scores; None where no rate is asked for.

    Raises:
      BadInput: the checkpoint has no such scores.
    """
    made = calibration.from_extra(model.extra)
    _check_held(run, made)
    return rejecting(made, model.config.groups, run.reject, run.reject_background)


def facts(run: ServeRun, rule: Rejecting | None) -> dict[str, Any]:
    """What is told of a threshold with every answer; nothing without one."""
    if rule is None:
        return {}
    rates = {name: getattr(run, name) for name in asked(run)}
    return {"unknown": {**rates, "score": rejection.flag_of(rule.made), "below": rule.least}}


def told(rule: Rejecting | None) -> str:
    """A sentence for the start, "" without a threshold."""
    if rule is None:
        return ""
    score = rejection.flag_of(rule.made)
    return f"; unknown is whose {rejection.WORDS[score]} ({score}) is below {rule.least:.4f}"
