"""Whether an update of a session is kept: signs of what it did, judged against the source model on the same clips.

Pure functions of arrays on the host; nothing here knows of sessions. The signs need no labels, but for the canary's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.serve.contracts import Verdict
from dhauds_jax.tta import advice

JUDGED = 64
"""Clips that an update is judged by, the session's last ones."""

FEWEST_CANARIES = 40
"""Labelled clips below which a lost one weighs more than 2.5 points."""

Probabilities = Float[np.ndarray, "clips classes"]
Right = tuple[Bool[np.ndarray, " canaries"], Bool[np.ndarray, " canaries"]]
"""Which canary clips the source model has right, and which the adapted one."""


class Limits(NamedTuple):
    """How far an update may go.

    Attributes:
      top_class: share of the judged clips that one class may get where it gets more than the source model gives any.
      information: how far the information of the predictions (0 to 1) may fall below the source's. On clean speech,
        where there is nothing to gain, it falls by 0.001 under TENT and by 0.019 under `norm` with no label lost.
      less_sure: how far the mean confidence may fall below the source's (`advice.LESS_SURE`, where it was measured). It
        is what tells without labels that a stream of one class, or of none, ruins a session.
      changed: share of labels that may change where information does not rise, or the top class grows.
      chance: standard errors of the difference of two shares that the top class may grow by chance. On speech in white
        noise it grew by 0.03 to 0.14 of 64 clips (two are 0.17) while accuracy doubled.
      max_drift: distance of the moving weights from the source's, of the source's own length. Sessions that gained came
        to 0.004 (`dhauds`) and 0.01 (TENT) in twenty updates, one that a rate of 0.1 ruined to 0.3 in two.
      canary_drop: accuracy on the canary that may be lost.
      alpha: error probability of the canary's bound over all updates together.
    """

    top_class: float = 0.8
    information: float = 0.02
    less_sure: float = advice.LESS_SURE
    changed: float = 0.5
    chance: float = 2.0
    max_drift: float = 0.25
    canary_drop: float = 0.05
    alpha: float = 0.05


def check(limits: Limits) -> None:
    """Raises `BadInput` for limits that are no shares, or a drift that is not above 0."""
    for name in ("top_class", "information", "less_sure", "changed"):
        check_number(name, getattr(limits, name), 0.0, 1.0)
    check_number("--canary_drop", limits.canary_drop, 0.0, 1.0)
    check_number("chance", limits.chance, 0.0)
    check_number("--max_drift", limits.max_drift, 0.0, above=True)
    check_number("alpha", limits.alpha, 0.0, 1.0, above=True, below=True)


def judge(
    source: Probabilities,
    adapted: Probabilities,
    *,
    finite: bool = True,
    drift: float = 0.0,
    canary: Right | None = None,
    number: int = 1,
    limits: Limits = Limits(),  # noqa: B008  (a tuple)
) -> Verdict:
    """The verdict on a state, by what it and the source model say of the same clips.

    The first rule that it breaks is the reason: `not_finite`, where a weight, a loss or a probability is not; those of
    `_broken`; `canary`, where the paired accuracy on all labelled clips fell by more than `limits.canary_drop`.

    Args:
      source: (clips, classes) probabilities by the source model.
      adapted: (clips, classes) by the state.
      finite: whether its weights and losses are.
      drift: the distance of its weights from the source's (`adaptation.Programs.measure`).
      canary: which of the labelled clips either has right; None where there is no canary.
      number: the update's, from 1 on, for the canary's bound.
      limits: how far it may go.

    Raises:
      BadInput: no clips.
    """
    if not len(source):
        raise BadInput("no clips to judge an update by, expected at least one")
    if not finite or not np.isfinite(adapted).all():
        return Verdict(False, "not_finite", {"clips": len(source)})
    signs = _signs(source, adapted, drift)
    if canary is not None:
        signs["canary"] = canary_signs(*canary, number, limits.alpha)
    broken = _broken(signs, limits)
    broken["canary"] = canary is not None and canary_fails(*canary, limits)
    reason = next((name for name, is_broken in broken.items() if is_broken), "")
    return Verdict(not reason, reason, signs)


def _broken(signs: Mapping[str, Any], limits: Limits) -> dict[str, bool]:
    """Which rules the signs break, in the order in which they are a reason.

    `top_class`, one class gets more than `limits.top_class` of the clips, and more than any gets by the source model;
    `information`, the predictions carry less than the source's;
    `less_sure`, their mean confidence is lower by more than `limits.less_sure`;
    `changed`, more than `limits.changed` of the labels changed, for no more information, or for a top class that grew
    by more than chance;
    `drift`, the weights are further than `limits.max_drift` from the source's.
    """
    (top_before, top_after), (info_before, info_after) = signs["top_class"], signs["information"]
    error = math.sqrt(sum(share * (1 - share) for share in (top_before, top_after)) / signs["clips"])
    better = info_after > info_before and top_after <= top_before + limits.chance * error
    return {
        "top_class": top_after > max(limits.top_class, top_before),
        "information": info_after < info_before - limits.information,
        "less_sure": signs["confidence"][1] < signs["confidence"][0] - limits.less_sure,
        "changed": signs["changed"] > limits.changed and not better,
        "drift": signs["drift"] > limits.max_drift,
    }


def _signs(source: Probabilities, adapted: Probabilities, drift: float) -> dict[str, Any]:
    """What a verdict goes by, pairs before and after."""
    before, after = source.argmax(-1), adapted.argmax(-1)
    return {
        "clips": len(source),
        "top_class": (advice.top_share(before), advice.top_share(after)),
        "information": (advice.information(source), advice.information(adapted)),
        "confidence": (float(source.max(-1).mean()), float(adapted.max(-1).mean())),
        "changed": float(np.mean(before != after)),
        "drift": float(drift),
    }


def canary_fails(source: Bool[np.ndarray, " canaries"], adapted: Bool[np.ndarray, " canaries"], limits: Limits) -> bool:
    """Whether more than `limits.canary_drop` of all canary clips are lost, those that were won counted against them."""
    lost = int(source.sum()) - int(adapted.sum())
    return lost > limits.canary_drop * len(source) + 1e-9


def canary_signs(
    source: Bool[np.ndarray, " canaries"], adapted: Bool[np.ndarray, " canaries"], number: int, alpha: float
) -> Mapping[str, float]:
    """Accuracy of both on the canary, the drop, and below which number the true drop is unlikely to be (`bound`)."""
    drop = float(source.mean() - adapted.mean())
    bound, width = canary_bound(drop, len(source), number, alpha)
    accuracies = {"source": float(source.mean()), "adapted": float(adapted.mean())}
    return {"clips": len(source), **accuracies, "drop": drop, "bound": bound, "width": width}


def canary_bound(drop: float, clips: int, number: int, alpha: float = 0.05) -> tuple[float, float]:
    """A lower bound on the true drop of accuracy at the `number`-th update, and the width it lies below the seen drop.

    Hoeffding's inequality for paired differences of -1, 0 and 1, with alpha_k = 6 alpha / (pi^2 k^2), whose sum over
    all updates k is alpha: `width = sqrt(2 ln(1 / alpha_k) / clips)`. It holds for states that were not chosen by the
    canary; those that a verdict let through were, so it is a guide, and no verdict goes by it: with 40 clips the width
    of the first update is already 0.41, and a loss of 5 points could never be shown.

    Args:
      drop: the paired drop seen on the canary.
      clips: of the canary.
      number: of the update, from 1 on.
      alpha: error probability over all updates.

    Source: Hoeffding 1963, theorem 2; the union over k as in Schirmer et al., NeurIPS 2025, arXiv 2507.08721.
    """
    alpha_k = 6 * alpha / (math.pi**2 * number**2)
    width = math.sqrt(2 * math.log(1 / alpha_k) / clips)
    return drop - width, width
