"""FOA: adaptation by forward passes alone: an equaliser found by CMA-ES, and embeddings shifted back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from dhauds_jax import registry
from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.nets.normalisers import EVALUATIONS
from dhauds_jax.parallel import total
from dhauds_jax.tta import cma_es, losses
from dhauds_jax.tta.declared import declares
from dhauds_jax.types import AdaptState, Batch, Classifier, Method, Outputs, Prediction, RunInfo, Variables


class Moments(NamedTuple):
    """Of embeddings: mean, and standard deviation over one clip less than there are."""

    mean: Float[Array, " features"]
    deviation: Float[Array, " features"]


class FoaMemory(NamedTuple):
    """Memory of FOA.

    Attributes:
      source: moments of the source's embeddings.
      search: CMA-ES over the equaliser's gains in dB.
      best: the gains that fitted the last batch best.
      history: moving average of the test clips' mean embedding.
      seen: whether `history` holds anything yet.
    """

    source: Moments
    search: cma_es.Search
    best: Float[Array, " bands"]
    history: Float[Array, " features"]
    seen: Bool[Array, ""]


def equalised(wave: Float[Array, "batch time"], gains_db: Float[Array, " bands"]) -> Float[Array, "batch time"]:
    """Waves with the gains (dB) at knots from 0 to half the rate, linear in dB between; the phase stays.

    Knots lie at equal steps of the root of the frequency, so that low bands are narrow.
    """
    samples = wave.shape[-1]
    bins = jnp.sqrt(jnp.arange(samples // 2 + 1) / max(samples // 2, 1))
    curve = jnp.interp(bins, jnp.linspace(0.0, 1.0, len(gains_db)), gains_db)
    return jnp.fft.irfft(jnp.fft.rfft(wave) * 10.0 ** (curve / 20)[None], samples).astype(wave.dtype)


def moments(
    embedding: Float[Array, "batch features"], weights: Float[Array, " batch"], axis_name: str | None
) -> Moments:
    """Over the real rows of the whole batch; the deviation of a single one is 0."""
    rows = jnp.where(weights[:, None] > 0, embedding, 0.0)
    summed, count = total((rows.sum(0), weights.sum()), axis_name)
    mean = summed / count
    squares = total((weights[:, None] * jnp.square(rows - mean[None])).sum(0), axis_name)
    return Moments(mean, jnp.sqrt(squares / jnp.maximum(count - 1, 1.0)))


def discrepancy(found: Moments, source: Moments) -> Float[Array, ""]:
    """`sum_j (mu_j - mu_j^S)^2 + (sd_j - sd_j^S)^2`, each feature in units of the source's deviation."""
    unit = jnp.where(source.deviation > 1e-6, source.deviation, 1.0)
    return sum(jnp.square((a - b) / unit).sum() for a, b in zip(found, source, strict=True))


def _source_moments(
    forward: Callable[[Variables, Array, Array], Outputs], variables: Variables, waves: Array
) -> Moments:
    """Of clips that pass in batches of 64 (the statistics of a batch, where they count, are of as many)."""
    run = jax.jit(lambda v, wave, weights: forward(v, wave, weights).embedding)
    found = []
    for first in range(0, len(waves), 64):
        part = waves[first : first + 64]
        found.append(run(variables, part, jnp.ones(len(part), jnp.float32)))
    embedding = jnp.concatenate(found)
    return moments(embedding, jnp.ones(len(embedding), embedding.dtype), None)


class _Parts(NamedTuple):
    forward: Callable[..., Outputs]
    shift_rate: float
    axis_name: str | None


def _said(parts: _Parts, state: AdaptState, kernel: Array, batch: Batch, gains: Array) -> tuple[Array, Array, Outputs]:
    """Logits under some gains, shifted ones, and all outputs."""
    outputs = parts.forward(state.variables, equalised(batch.wave, gains), batch.weights)
    kept = state.memory
    back = jnp.where(kept.seen, kept.source.mean - kept.history, 0.0)
    return outputs.logits, outputs.logits + parts.shift_rate * (back @ kernel)[None], outputs


@declares(contract_options={"population": 4}, because="every clip pays all guesses, and four differ as a dozen do")
def foa(
    classifier: Classifier,
    *,
    bands: int = 16,
    sigma_db: float = 3.0,
    population: int = 0,
    rate: float = 0.4,
    shift_rate: float = 1.0,
    source_clips: int = 2000,
    statistics: str = "running",
    axis_name: str | None = None,
) -> Method:
    """Searches without gradients what at the input makes a batch sure and like the source; shifts its embeddings back.

    Each batch judges `population` guesses of CMA-ES, and the last best, by
    `mean H(p) + rate / 64 sum_j ((mu_j - mu_j^S) / sd_j^S)^2 + ((sd_j - sd_j^S) / sd_j^S)^2`, mu and sd the moments of
    its embeddings and S the source's. It is predicted by the best of them, with `mu^S - history` added to every
    embedding, history being the moving average (0.9 old + 0.1 new) of the batches before. No parameter moves.

    In the paper the guesses are prompts, tokens put before a vision transformer's, and the moments those of the class
    token in all layers. Networks of sounds here have no such entrance in common: the guesses are gains of an equaliser
    on the wave (which is an additive shift of a log-mel spectrogram), and the moments those of what enters the last
    layer, in units of the source's deviation, as the layer norms of the original make them.

    Args:
      classifier: the network.
      bands: knots of the equaliser.
      sigma_db: CMA-ES' first step, dB.
      population: guesses of a batch; 0: `4 + 3 ln(bands)`, as the authors' (27 for their 2,304 numbers).
      rate: of the discrepancy (the paper's lambda), for a sum over a batch of 64 as in its code.
      shift_rate: of the shift of embeddings; 0 leaves it out.
      source_clips: source clips that the moments are of, the first ones (the paper: 32 suffice).
      statistics: BatchNorm's, "running" (the source's) or "batch" (of each batch, and of 64 source clips at a time).
      axis_name: the mapped axis over which the batch is spread.

    Raises:
      BadInput: sizes that are impossible, or no source clips.

    Source: Niu et al., ICML 2024, arXiv 2404.01650, equations 5 to 9; its code's tta_library/foa.py.
    """
    for name, value, least in (("bands", bands, 2), ("population", population, 0), ("source_clips", source_clips, 2)):
        check_number(f"foa: {name}", value, least)
    check_number("foa: sigma_db", sigma_db, 0.0, above=True)
    if population in (1, 2, 3):
        raise BadInput(f"foa: population is {population}, expected 0 (by the bands) or at least 4 guesses")
    registry.check("statistics of method foa", statistics, EVALUATIONS)
    guesses = population or cma_es.usual_population(bands)

    def forward(variables: Variables, wave: Array, weights: Array) -> Outputs:
        mode = EVALUATIONS[statistics]
        return classifier.apply(variables, wave, mode=mode, weights=weights, axis_name=axis_name)[0]

    def alone(variables: Variables, wave: Array, weights: Array) -> Outputs:
        return classifier.apply(variables, wave, mode=EVALUATIONS[statistics], weights=weights)[0]

    parts = _Parts(forward, shift_rate, axis_name)

    def init(variables: Variables, info: RunInfo) -> AdaptState:
        if info.source is None:
            raise BadInput("method foa needs source clips for the moments of their embeddings: give some")
        source = _source_moments(alone, variables, info.source.waves[:source_clips])
        zero = jnp.zeros_like(source.mean)
        search = cma_es.begin(bands, sigma_db)
        kept = FoaMemory(source, search, jnp.zeros(bands, jnp.float32), zero, jnp.zeros((), bool))
        return AdaptState(variables, (), kept, jnp.zeros((), jnp.int32))

    def predict(state: AdaptState, batch: Batch) -> Array:
        kernel = classifier.head(state.variables).kernel
        return _said(parts, state, kernel, batch, state.memory.best)[1]

    def step(state: AdaptState, batch: Batch, key: PRNGKeyArray) -> tuple[AdaptState, Prediction]:
        kept, kernel = state.memory, classifier.head(state.variables).kernel
        gains = jnp.concatenate([cma_es.ask(kept.search, key, guesses), kept.best[None]])

        def judged(gains: Array) -> dict[str, Any]:
            logits, shifted, outputs = _said(parts, state, kernel, batch, gains)
            entropy = losses.weighted_mean(losses.exact_entropy_rows(logits), batch.weights, axis_name)
            found = moments(outputs.embedding, batch.weights, axis_name)
            apart = discrepancy(found, kept.source)
            terms = {"total": entropy + rate / 64 * apart, "entropy": entropy, "discrepancy": apart}
            return {"logits": shifted, "mean": found.mean, "terms": terms}

        said = jax.lax.map(judged, gains)
        fitness = said["terms"]["total"]
        chosen = jnp.argmin(jnp.where(jnp.isfinite(fitness), fitness, jnp.inf))
        mean = said["mean"].mean(0)
        kept = kept._replace(
            search=cma_es.tell(kept.search, gains, fitness, guesses),
            best=gains[chosen],
            history=jnp.where(kept.seen, 0.9 * kept.history + 0.1 * mean, mean),
            seen=jnp.ones((), bool),
        )
        terms = {name: values[chosen] for name, values in said["terms"].items()}
        return state._replace(memory=kept, step=state.step + 1), Prediction(said["logits"][chosen], terms)

    return Method(init, step, predict, adapts="none", passes=(guesses + 1, 0), needs=("source_data",))
