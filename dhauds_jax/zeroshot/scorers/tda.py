"""TDA: caches of sure and of half-sure clips that came before, beside the prototypes, without training."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from dhauds_jax.dsp.unit_rows import unit_rows
from dhauds_jax.errors import check_number
from dhauds_jax.types import Background, Scorer, ScorerInfo
from dhauds_jax.zeroshot.unit_vectors import cosines


class Cache(NamedTuple):
    """Clips of each predicted class: unit vectors, entropies in nats (infinite: an empty place), and their votes."""

    keys: Float[Array, "classes shots width"]
    entropy: Float[Array, "classes shots"]
    votes: Float[Array, "classes shots classes"]


class Dynamic(NamedTuple):
    """State: prototypes, what cosines are multiplied by, and the two caches."""

    prototypes: Float[Array, "classes width"]
    scale: Float[Array, ""]
    positive: Cache
    negative: Cache


def _empty(classes: int, shots: int, width: int) -> Cache:
    return Cache(
        jnp.zeros((classes, shots, width)), jnp.full((classes, shots), jnp.inf), jnp.zeros((classes, shots, classes))
    )


def cached(
    cache: Cache,
    key: Float[Array, " width"],
    label: Int[Array, ""],
    entropy: Float[Array, ""],
    votes: Float[Array, " classes"],
) -> Cache:
    """With a clip in an empty place of its class, or in that of the class's least sure clip where it is surer."""
    place = jnp.argmax(cache.entropy[label])
    taken = entropy < cache.entropy[label, place]

    def put(old: Array, new: Array) -> Array:
        return old.at[label, place].set(jnp.where(taken, new, old[label, place]))

    return Cache(*(put(old, new) for old, new in zip(cache, (key, entropy, votes), strict=True)))


def said(cache: Cache, key: Float[Array, " width"], sharpness: float) -> Float[Array, " classes"]:
    """`sum_i exp(-sharpness (1 - a . F_i)) v_i` over the cached clips."""
    near = jnp.exp(-sharpness * (1 - jnp.einsum("csw,w->cs", cache.keys, key, precision="highest")))
    near = jnp.where(jnp.isfinite(cache.entropy), near, 0.0)
    return jnp.einsum("cs,csk->k", near, cache.votes, precision="highest")


def tda(
    *,
    shots: int = 3,
    alpha: float = 2.0,
    beta: float = 5.0,
    negative_shots: int = 2,
    negative_alpha: float = 0.117,
    negative_beta: float = 1.0,
    lower: float = 0.2,
    upper: float = 0.5,
    mask: float = 0.03,
) -> Scorer:
    """`scale s = scale a . P + alpha sum_+ exp(-beta (1 - a . F)) v - negative_alpha sum_- exp(-negative_beta ...) v`.

    Clips go one after the other, and each joins the caches before it is scored. A clip of predicted class c and entropy
    H (of the softmax of the scaled cosines with P) takes a place among the `shots` surest of c in the positive cache,
    where its vote is c, and, if `lower < H / log2 K < upper` over K classes, among the `negative_shots` of c in the
    negative one, where it votes against all classes with a probability above `mask`. Rows are brought to unit length
    first. State: prototypes and caches.

    Args:
      shots: places of a class in the positive cache.
      alpha: weight of its votes beside the scaled cosines.
      beta: how fast its votes fall with distance.
      negative_shots: places of a class in the negative cache; 0 leaves it out.
      negative_alpha: weight of its votes.
      negative_beta: how fast they fall with distance.
      lower: least entropy, in nats over `log2 K` (a certain clip has 0, one that knows nothing ln 2), of what is half
        sure; the authors' code measures so.
      upper: its largest entropy.
      mask: probability above which a class is voted against.

    Source: Karmanov et al., CVPR 2024, arXiv 2403.18293, section 3; its code's tda_runner.py and
    configs/imagenet.yaml (all defaults).
    """
    check_number("scorer tda: option shots", shots, 1)
    check_number("scorer tda: option negative_shots", negative_shots, 0)
    for name, value in (("beta", beta), ("negative_beta", negative_beta)):
        check_number(f"scorer tda: option {name}", value, 0.0)

    def init(prototypes: Float[Array, "classes width"], background: Background | None, info: ScorerInfo) -> Dynamic:
        classes, width = prototypes.shape
        return Dynamic(
            jnp.asarray(prototypes),
            jnp.float32(info.scale),
            _empty(classes, shots, width),
            _empty(classes, max(negative_shots, 1), width),
        )

    def one(state: Dynamic, row: tuple[Array, Array]) -> tuple[Dynamic, Array]:
        clip, weight = row
        score = cosines(clip[None], state.prototypes)[0]
        log_p = jax.nn.log_softmax(state.scale * score)
        p, label = jnp.exp(log_p), jnp.argmax(log_p)
        entropy = -(p * log_p).sum()
        share = entropy / math.log2(max(len(score), 2))
        votes = jax.nn.one_hot(label, len(score), dtype=score.dtype)
        against = ((p > mask) & (p < 1.0)).astype(score.dtype)
        half_sure = (share > lower) & (share < upper) & (negative_shots > 0)

        def joined(state: Dynamic) -> Dynamic:
            positive = cached(state.positive, clip, label, entropy, votes)
            negative = cached(state.negative, clip, label, jnp.where(half_sure, entropy, jnp.inf), against)
            return state._replace(positive=positive, negative=negative)

        joint = joined(state)
        # `where`, for a padded row may hold anything.
        state = jax.tree.map(lambda new, old: jnp.where(weight > 0, new, old), joint, state)
        votes = alpha * said(state.positive, clip, beta) - negative_alpha * said(state.negative, clip, negative_beta)
        return state, score + votes / state.scale

    def step(
        state: Dynamic, vectors: Float[Array, "rows width"], weights: Float[Array, " rows"]
    ) -> tuple[Dynamic, Float[Array, "rows classes"]]:
        return jax.lax.scan(one, state, (unit_rows(vectors), weights))

    return Scorer(init, step, ("past",))
