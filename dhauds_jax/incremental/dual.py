"""What EDE keeps and how its heads grow: exemplars, prototypes, the linear head's extension."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from dhauds_jax.dsp.unit_rows import unit_rows
from dhauds_jax.nets.dual_embedding import Adapter, Sizes

CHUNK = 32
"""Rows that go through an adapter at once where there may be many."""


class Exemplars(NamedTuple):
    """Clips kept between sessions.

    Attributes:
      tokens: (max_classes, memory, tokens, width), G's.
      vectors: (max_classes, memory, 1 + max_sessions, width): I's part of the embedding, then the adapters' that there
        are, all frozen, and zeros.
      weights: (max_classes, memory) 1 for a clip.
      clip_bytes: what one counts as.
    """

    tokens: Float[Array, "max_classes memory tokens width"]
    vectors: Float[Array, "max_classes memory parts width"]
    weights: Float[Array, "max_classes memory"]
    clip_bytes: Int[Array, ""]


class Heads(NamedTuple):
    """Of every head what it predicts by; parts of the embedding that are not there yet are zeros.

    Attributes:
      kernel: (max_sessions, width, max_classes), the linear head over the adapters.
      bias: (max_classes,).
      prototypes: (max_classes, 1 + max_sessions, width), of the joined embedding.
      count: (max_classes,) shots that the prototypes are means of.
      means: (max_classes, max_sessions, width), means of exemplars over the adapters, of length 1.
    """

    kernel: Float[Array, "sessions width max_classes"]
    bias: Float[Array, " max_classes"]
    prototypes: Float[Array, "max_classes parts width"]
    count: Float[Array, " max_classes"]
    means: Float[Array, "max_classes sessions width"]


class Rows(NamedTuple):
    """Clips of a session, or exemplars: tokens, parts of the embedding, classes, and 1 or 0."""

    tokens: Float[Array, "rows tokens width"]
    vectors: Float[Array, "rows parts width"]
    labels: Int[Array, " rows"]
    weights: Float[Array, " rows"]


def both(first: Rows, second: Rows) -> Rows:
    """One after the other."""
    return Rows(*(jnp.concatenate(pair) for pair in zip(first, second)))


def rows_of(kept: Exemplars) -> Rows:
    """The exemplars, class after class."""
    classes, memory = kept.weights.shape
    flat = [leaf.reshape(classes * memory, *leaf.shape[2:]) for leaf in (kept.tokens, kept.vectors)]
    return Rows(*flat, jnp.repeat(jnp.arange(classes), memory), kept.weights.reshape(-1))


def adapted(params: Any, sizes: Sizes, tokens: Float[Array, "rows tokens width"]) -> Float[Array, "rows width"]:
    """One adapter's output."""
    return Adapter(sizes).apply({"params": params}, tokens)


def adapted_in_chunks(params: Any, sizes: Sizes, tokens: Float[Array, "rows tokens width"]) -> Array:
    """The same, a few rows at a time; there may be none."""
    if not len(tokens):
        return jnp.zeros((0, tokens.shape[-1]), jnp.float32)
    if len(tokens) <= CHUNK:
        return adapted(params, sizes, tokens)
    return jax.lax.map(lambda clip: adapted(params, sizes, clip[None])[0], tokens, batch_size=CHUNK)


def one_of(adapters: Any, which: Array | int) -> Any:
    """One adapter of the stack."""
    return jax.tree.map(lambda leaf: leaf[which], adapters)


def vectors_of(
    adapters: Any,
    sizes: Sizes,
    tokens: Float[Array, "rows tokens width"],
    first: Float[Array, "rows width"],
    count: Int[Array, ""] | int,
    parts: int,
) -> Float[Array, "rows parts width"]:
    """The joined embedding's parts: `first`, then the outputs of the first `count` adapters, then zeros."""
    empty = jnp.zeros((len(tokens), parts, first.shape[-1]), jnp.float32).at[:, 0].set(first)

    def add(j: Array, made: Array) -> Array:
        return made.at[:, j + 1].set(adapted_in_chunks(one_of(adapters, j), sizes, tokens))

    return jax.lax.fori_loop(0, count, add, empty)


def draw_heads(key: Array, heads: Heads, session: Int[Array, ""]) -> tuple[Array, Array]:
    """Fresh weights: of the linear head (sessions, width, classes) and of the auxiliary one (width, 1 + classes).

    Kaiming's uniform with gain 1: within sqrt(3 / inputs), the linear head's inputs those of the adapters so far.
    """
    sessions, width, classes = heads.kernel.shape
    linear, aux = jax.random.split(key)
    bound = jnp.sqrt(3.0 / (width * (session + 1.0)))
    kernel = jax.random.uniform(linear, (sessions, width, classes), jnp.float32, -1.0, 1.0) * bound
    second = (3.0 / width) ** 0.5
    return kernel, jax.random.uniform(aux, (width, 1 + classes), jnp.float32, -second, second)


def extended(heads: Heads, drawn: Array, session: Int[Array, ""], before: Array, seen: Array) -> tuple[Array, Array]:
    """The linear head for one more adapter and more classes: old classes keep what they have for old adapters.

    Args:
      heads: as they are.
      drawn: (sessions, width, classes) fresh weights.
      session: its number, from 0.
      before: (classes,) 1 for classes known before it.
      seen: (classes,) 1 for those and the new ones.
    """
    block = jnp.arange(len(drawn))[:, None, None]
    old = (block < session) & (before[None, None] > 0)
    there = (block <= session) & (seen[None, None] > 0)
    kernel = jnp.where(old, heads.kernel, jnp.where(there, drawn, 0.0))
    return kernel, jnp.where(before > 0, heads.bias, 0.0)


def auxiliary(labels: Array, new: Array, fresh: Array) -> Array:
    """(rows,) targets of the auxiliary head: 0 for clips of known classes, 1, 2, ... for those of the new ones.

    Args:
      labels: (rows,) classes.
      new: (rows,) 1 for clips of the session itself, 0 for exemplars.
      fresh: (classes,) 1 for classes that come with the session; they are counted in the order of their numbers.
    """
    place = jnp.cumsum(fresh).astype(jnp.int32)
    return jnp.where((new > 0) & (fresh[labels] > 0), place[labels], 0)


def sums(rows: Rows, values: Float[Array, "rows parts width"], classes: int) -> tuple[Array, Array]:
    """Of each class the sum of its rows' values, and their number."""
    mine = jax.nn.one_hot(rows.labels, classes, dtype=jnp.float32) * rows.weights[:, None]
    safe = jnp.where(rows.weights[:, None, None] > 0, values, 0.0)
    return jnp.einsum("rc,rpw->cpw", mine, safe, precision="highest"), mine.sum(0)


def with_prototypes(heads: Heads, shots: Rows, kept: Rows, session: Int[Array, ""], replaced: bool) -> Heads:
    """The prototypes after a session, whose adapter's part is the last.

    `replaced`: those of all classes at hand are means of the clips at hand, old classes' exemplars among them (the
    published code, ede.py:176-200). Else a class keeps the mean of all its shots for the parts that were there when
    they came, which are frozen, and has only the last part of clips at hand (zeros without any).
    """
    classes = len(heads.count)
    given, number = sums(shots, shots.vectors, classes)
    at_hand, present = (a + b for a, b in zip((given, number), sums(kept, kept.vectors, classes)))
    mean = at_hand / jnp.maximum(present, 1)[:, None, None]
    total = heads.count + number
    if replaced:
        prototypes = jnp.where(present[:, None, None] > 0, mean, heads.prototypes)
    else:
        running = (heads.prototypes * heads.count[:, None, None] + given) / jnp.maximum(total, 1)[:, None, None]
        last = jnp.arange(running.shape[1])[None, :, None] == session + 1
        prototypes = jnp.where(last, mean, running)
    return heads._replace(prototypes=prototypes, count=total)


def with_means(heads: Heads, rows: Rows) -> Heads:
    """The means of unit embeddings over the adapters, of the classes that have a row; others stay."""
    made = rows.vectors[:, 1:]
    unit = unit_rows(made.reshape(len(made), -1)).reshape(made.shape)
    total, number = sums(rows, unit, len(heads.count))
    mean = unit_rows(total.reshape(len(total), -1)).reshape(total.shape)
    return heads._replace(means=jnp.where(number[:, None, None] > 0, mean, heads.means))


def logits_of(heads: Heads, vectors: Float[Array, "rows parts width"], scale: float) -> dict[str, Array]:
    """Of every head, for all classes of the room."""
    count, own = len(vectors), vectors[:, 1:]
    linear = jnp.einsum("rsw,swc->rc", own, heads.kernel, precision="highest") + heads.bias[None]
    x = unit_rows(vectors.reshape(count, -1))
    rows = unit_rows(heads.prototypes.reshape(len(heads.count), -1))
    unit, means = unit_rows(own.reshape(count, -1)), heads.means.reshape(len(heads.count), -1)
    squares = jnp.square(unit).sum(1)[:, None] + jnp.square(means).sum(1)[None]
    near = 2 * jnp.matmul(unit, means.T, precision="highest") - squares
    return {"prototype": scale * jnp.matmul(x, rows.T, precision="highest"), "linear": linear, "nme": near}
