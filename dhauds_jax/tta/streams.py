"""Streams: which clip comes when. Pure functions of (key, set, protocol), so that an order can be rebuilt anywhere.

A set of several domains (corruptions) is one array of clips, domain after domain: clip `i` of domain `d` is row
`d * clips + i`. Labels, where an order depends on them, decide the order alone: no method sees them.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int, PRNGKeyArray

from dhauds_jax.errors import BadInput


class Stream(NamedTuple):
    """A stream's order.

    Attributes:
      rows: positions in the set, in order of arrival; a clip may be left out, none comes twice.
      domains: the domain of each arrival. Batches end where it changes, unless domains are mixed (then all are 0).
    """

    rows: np.ndarray
    domains: np.ndarray


class StreamBatch(NamedTuple):
    """A batch of a stream: rows, weights (0 for padding), its domain, and whether it is the domain's first batch."""

    rows: np.ndarray
    weights: np.ndarray
    domain: int
    opens: bool


def shuffled(key: PRNGKeyArray, clips: int) -> Stream:
    """All clips of one domain in random order."""
    rows = np.asarray(jax.random.permutation(jax.random.fold_in(key, 0), clips))
    return Stream(rows, np.zeros(clips, np.int64))


def continual(key: PRNGKeyArray, clips: int, domains: int) -> Stream:
    """Domain after domain, each with `clips` clips in an order of its own; one domain is `shuffled`."""
    orders = [d * clips + shuffled(jax.random.fold_in(key, d) if d else key, clips).rows for d in range(domains)]
    return Stream(np.concatenate(orders), np.repeat(np.arange(domains), clips))


def mixed(key: PRNGKeyArray, clips: int, domains: int) -> Stream:
    """Every clip once, in random order, each in a domain drawn for it."""
    chosen = np.asarray(jax.random.randint(jax.random.fold_in(key, 1), (clips,), 0, domains))
    order = shuffled(key, clips).rows
    return Stream(chosen[order] * clips + order, np.zeros(clips, np.int64))


def correlated(key: PRNGKeyArray, labels: Int[np.ndarray, " clips"], concentration: float = 0.1) -> Stream:
    """A label-correlated stream: clips of one class tend to follow each other.

    The stream has as many slots as there are classes; the clips of a class are spread over the slots in shares drawn
    from a Dirichlet distribution, and within a slot classes come one after the other.

    Args:
      key: of the order.
      labels: class of each clip.
      concentration: of the Dirichlet distribution; small values give long runs of one class.

    Source: Gong et al., NeurIPS 2022, arXiv 2208.05117; Yuan et al., CVPR 2023, arXiv 2303.13899.
    """
    if concentration <= 0:
        raise BadInput(f"concentration is {concentration}, expected a number above 0")
    classes = np.unique(labels)
    order = shuffled(key, len(labels)).rows
    shares = np.asarray(
        jax.random.dirichlet(jax.random.fold_in(key, 2), np.full(len(classes), concentration), (len(classes),))
    )
    slots: list[list[np.ndarray]] = [[] for _ in classes]
    for label, share in zip(classes, shares, strict=True):
        mine = order[labels[order] == label]
        cuts = np.rint(np.cumsum(share)[:-1] * len(mine)).astype(int)
        for slot, part in enumerate(np.split(mine, np.clip(cuts, 0, len(mine)))):
            slots[slot].append(part)
    turns = [
        np.asarray(jax.random.permutation(jax.random.fold_in(key, 3 + s), len(classes))) for s in range(len(slots))
    ]
    rows = np.concatenate([slot[turn] for slot, order_ in zip(slots, turns, strict=True) for turn in order_])
    return Stream(rows, np.zeros(len(rows), np.int64))


def label_shift(key: PRNGKeyArray, labels: Int[np.ndarray, " clips"], imbalance: float = 10.0) -> Stream:
    """A stream with another class distribution than the source's: a long tail.

    Classes are ranked at random; of the class with rank `r` of `C` the share `imbalance^(-r / (C - 1))` of its clips
    comes (at least one), so the most frequent class has `imbalance` times as many as the rarest.

    Args:
      key: of the ranks and of the order.
      labels: class of each clip.
      imbalance: ratio of the most frequent to the rarest class, 1 for none.

    Source: the exponential profile of Cao et al., NeurIPS 2019, arXiv 1906.07413.
    """
    if imbalance < 1:
        raise BadInput(f"imbalance is {imbalance}, expected a ratio of at least 1")
    classes = np.unique(labels)
    ranks = np.asarray(jax.random.permutation(jax.random.fold_in(key, 4), len(classes)))
    keep = imbalance ** (-ranks / max(1, len(classes) - 1))
    order = shuffled(key, len(labels)).rows
    kept = np.zeros(len(labels), bool)
    for label, share in zip(classes, keep, strict=True):
        mine = order[labels[order] == label]
        kept[mine[: max(1, round(share * len(mine)))]] = True
    rows = order[kept[order]]
    return Stream(rows, np.zeros(len(rows), np.int64))


def batches(stream: Stream, batch_size: int) -> list[StreamBatch]:
    """Cuts a stream into batches of equal size; the last of each domain is filled up at weight 0."""
    out = []
    edges = np.flatnonzero(np.diff(stream.domains)) + 1
    for rows, domains in zip(np.split(stream.rows, edges), np.split(stream.domains, edges), strict=True):
        for i, (padded, weights) in enumerate(padded_batches(rows, batch_size)):
            out.append(StreamBatch(padded, weights, int(domains[0]), i == 0))
    return out


def padded_batches(
    order: Int[np.ndarray, " clips"], batch_size: int
) -> list[tuple[Int[np.ndarray, " batch"], Float[np.ndarray, " batch"]]]:
    """Cuts an order into batches of equal size; the last is filled with its first clip, at weight 0."""
    out = []
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        weights = np.zeros(batch_size, np.float32)
        weights[: len(rows)] = 1
        out.append((np.concatenate([rows, np.full(batch_size - len(rows), rows[0], rows.dtype)]), weights))
    return out
