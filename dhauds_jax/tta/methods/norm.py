"""BatchNorm statistics of the target set in place of the source's."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from dhauds_jax import registry
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import normalisers
from dhauds_jax.parallel import total
from dhauds_jax.tta.declared import declares
from dhauds_jax.types import (
    AdaptState,
    Batch,
    Classifier,
    Method,
    Mode,
    Normaliser,
    Prediction,
    RunInfo,
    Running,
    Variables,
)

STATISTICS = ("running", "batch", "blend")


def source_weighted(prior: float, moments: str = "unbiased") -> Normaliser:
    """Means and variances `N/(n+N) running + n/(n+N) batch` normalise, n the batch's real clips, `prior` = N.

    `moments` are those of `normalisers.moments_to_blend`.

    Source: Schneider et al., NeurIPS 2020, arXiv 2006.16971, equation 2.
    """

    def blended(
        x: Array, running: Running, epsilon: float, weights: Array | None = None, axis_name: str | None = None
    ) -> tuple[Array, Running]:
        mean, var = normalisers.moments_to_blend(x, weights, axis_name, moments)
        clips = total(jnp.asarray(x.shape[0], x.dtype) if weights is None else weights.sum(), axis_name)
        alpha = clips / (clips + prior)
        mixed = alpha * mean + (1 - alpha) * running.mean
        spread = alpha * var + (1 - alpha) * running.var
        mixed, scale = (jnp.broadcast_to(v, x.shape) for v in (mixed, jax.lax.rsqrt(spread + epsilon)))
        return (x - mixed) * scale, running

    return blended


@declares(unsaid={"moments": lambda options: options["statistics"] != "blend"})
def norm(
    classifier: Classifier,
    *,
    statistics: str = "running",
    alpha: float = 0.5,
    prior: float = 0.0,
    moments: str = "unbiased",
    axis_name: str | None = None,
) -> Method:
    """Re-estimates BatchNorm statistics from the unlabelled clips, without gradients.

    Each step predicts with the statistics of its own batch (`blend`: `alpha * batch + (1 - alpha) * source`).

    Args:
      classifier: the network.
      statistics: "running" also moves the running statistics towards the batch's (0.9 old + 0.1 new), which later
        evaluations use; "batch" and "blend" change nothing and evaluate each batch with its own statistics.
      alpha: share of the batch's statistics in "blend", 0 to 1.
      prior: above 0, "blend" takes the share n/(n + prior) instead, n the clips of the batch: the source counts as that
        many clips.
      moments: of the batch, in "blend": its "unbiased" variance, as the authors' code, or the "biased" one.
      axis_name: the mapped axis over which the batch is spread.

    Raises:
      BadInput: unknown `statistics` or `moments`, a negative `prior` or one without "blend", an `alpha` that is no
        share.

    Source: Nado et al. 2020, arXiv 2006.10963; Schneider et al., NeurIPS 2020, arXiv 2006.16971; TTA-in-AC, normAdapt.
    """
    registry.check("statistics of method norm", statistics, STATISTICS)
    registry.check("moments of method norm", moments, normalisers.MOMENTS)
    if prior < 0 or (prior > 0 and statistics != "blend"):
        raise BadInput(
            f"norm: prior is {prior} with statistics {statistics}, expected 0, or a number above 0 with blend"
        )
    if not 0.0 <= alpha <= 1.0:
        raise BadInput(f"norm: alpha is {alpha}, expected a share from 0 (the source's statistics) to 1 (the batch's)")
    normalise = {
        "running": normalisers.batch,
        "batch": normalisers.batch_frozen,
        "blend": source_weighted(prior, moments) if prior > 0 else normalisers.blend(alpha, moments),
    }[statistics]
    while_adapting = Mode(dropout=False, norm=normalise)
    evaluating = normalisers.EVAL if statistics == "running" else while_adapting

    def init(variables: Variables, info: RunInfo) -> AdaptState:
        return AdaptState(variables, (), (), jnp.zeros((), jnp.int32))

    def forward(state: AdaptState, batch: Batch, mode: Mode) -> tuple[Array, Variables]:
        outputs, batch_stats = classifier.apply(
            state.variables, batch.wave, mode=mode, weights=batch.weights, axis_name=axis_name
        )
        return outputs.logits, {**state.variables, "batch_stats": batch_stats}

    def predict(state: AdaptState, batch: Batch) -> Array:
        return forward(state, batch, evaluating)[0]

    def step(state: AdaptState, batch: Batch, key: PRNGKeyArray) -> tuple[AdaptState, Prediction]:
        logits, variables = forward(state, batch, while_adapting)
        return state._replace(variables=variables, step=state.step + 1), Prediction(logits, {})

    return Method(init, step, predict, adapts="none", passes=(1, 0), needs=("batch_norm",))
