"""A model's own sounds as a small bank of statistics of their embeddings, and how far other sounds lie from it.

The measure is the relative Mahalanobis distance: to the nearest class less that to all of the bank's sounds together.
Class means share a covariance, and all sounds have that plus the means' own. So the two distances differ in no other
directions than those in which the means differ, which are the only ones kept: the numbers are those of the whole
matrices. Source: Ren et al. 2021, arXiv 2106.09022.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from dhauds_jax import schemas
from dhauds_jax.arrays import read_npz
from dhauds_jax.errors import BadInput, told
from dhauds_jax.files import write_atomically
from dhauds_jax.tta import expected

FILE = "bank.npz"
"""Its file beside a checkpoint's config."""

SCHEMA = schemas.Schema(1)
"""The form of that file."""

DIRECTIONS = 48
"""Directions that are kept at most, those in which the classes differ most: 75 kB of 768 features."""

LOST = 0.01
"""Mean change of the own sounds' distances from which half precision is too coarse for a file."""

RIDGE = 1e-3
"""Share of the mean variance that is added to each feature's, so that few clips have an inverse."""


class Space(NamedTuple):
    """The embeddings of the model's own sounds under one kind of statistics.

    Attributes:
      projection: onto directions in which a class's own variance is 1.
      means: of the classes that were heard.
      centre: mean of all sounds.
      spread: variance of all sounds along each direction.
      origin: is taken off embeddings first, so that a mean far beyond the deviations costs no digits.
      exact: whether the file needs more than half precision.
    """

    projection: Float[np.ndarray, "features directions"]
    means: Float[np.ndarray, "classes directions"]
    centre: Float[np.ndarray, " directions"]
    spread: Float[np.ndarray, " directions"]
    origin: Float[np.ndarray, " features"]
    exact: bool = False


class Bank(NamedTuple):
    """A model's own sounds, clean and in noise.

    Attributes:
      running: as the model is, with its own BatchNorm statistics.
      batch: with those of batches of one kind of sounds.
      scrambled: `tightness` of own clips that were cut into pieces and put together in another order.
      expected: weights of `expected.fit` for the labels of both statistics; None in older files.
    """

    running: Space
    batch: Space
    scrambled: float
    expected: Float[np.ndarray, "2 weights"] | None = None


class Distance(NamedTuple):
    """How far sounds lie from a bank.

    Attributes:
      running: mean `far` with the model's own statistics.
      batch: mean `far` with the batches' statistics.
      tight: `tightness` with the batches' statistics, less that of the bank's scrambled clips.
      right: share of the model's labels that is expected to be right (`expected`); None of an older bank.
      right_batch: the same with the batches' statistics.
    """

    running: float
    batch: float
    tight: float
    right: float | None = None
    right_batch: float | None = None


def fit(embeddings: Float[np.ndarray, "clips features"], labels: Int[np.ndarray, " clips"]) -> Space:
    """The space of labelled embeddings of at least two classes."""
    given, found = np.asarray(embeddings, np.float64), np.unique(labels)
    origin = given.mean(0).astype(np.float32)
    x = given - origin
    means = np.stack([x[labels == k].mean(0) for k in found])
    within = x - means[np.searchsorted(found, labels)]
    own = within.T @ within / len(x)
    own += RIDGE * np.trace(own) / len(own) * np.eye(len(own)) + 1e-12 * np.eye(len(own))
    centre = x.mean(0)
    between = (means - centre) * np.sqrt(np.bincount(np.searchsorted(found, labels)) / len(x))[:, None]
    white = np.linalg.inv(np.linalg.cholesky(own)).T
    _, values, axes = np.linalg.svd(between @ white, full_matrices=False)
    kept = min(len(found) - 1, x.shape[1], DIRECTIONS)
    projection = (white @ axes[:kept].T).astype(np.float32)
    space = Space(
        projection,
        (means @ projection).astype(np.float32),
        (centre @ projection).astype(np.float32),
        (1 + values[:kept] ** 2).astype(np.float32),
        origin,
    )
    lost = np.abs(far(_unpacked(_packed(space)), given) - far(space, given)).mean()
    return space._replace(exact=not lost <= LOST)  # nor where it is not a number


def far(space: Space, embeddings: Float[np.ndarray, "clips features"]) -> Float[np.ndarray, " clips"]:
    """The relative Mahalanobis distance of each clip, a direction: 0 on average over the sounds that made the bank."""
    x = (np.asarray(embeddings, np.float64) - space.origin) @ space.projection
    nearest = ((x[:, None] - space.means) ** 2).sum(-1).min(-1)
    return (nearest - ((x - space.centre) ** 2 / space.spread).sum(-1)) / x.shape[1]


def tightness(embeddings: Float[np.ndarray, "clips features"], labels: Int[np.ndarray, " clips"]) -> float:
    """Share of the embeddings' variance that lies between the predicted classes, 1 less the adjusted rest.

    The rest is adjusted for the number of classes, of which few clips would make any share.
    """
    x, found = np.asarray(embeddings, np.float64), np.unique(labels)
    whole = ((x - x.mean(0)) ** 2).sum()
    rest = sum(((x[labels == k] - x[labels == k].mean(0)) ** 2).sum() for k in found)
    if whole < 1e-12 or len(found) < 2:
        return 0.0
    return float(1 - rest / whole * (len(x) - 1) / max(1, len(x) - len(found)))


_COARSE = ("projection", "means")


def _packed(space: Space) -> dict[str, np.ndarray]:
    """A space's arrays as they are stored: in half precision where that is enough, those of much range scaled to 1."""
    found = {name: np.asarray(getattr(space, name), np.float32) for name in Space._fields[:-1]}
    for name in _COARSE:
        scale = np.float32(np.abs(found[name]).max(initial=0) or 1)
        found |= {name: found[name] / scale, f"{name}.scale": scale}
        if not space.exact:
            found[name] = found[name].astype(np.float16)
    return found


def _unpacked(stored: dict[str, np.ndarray]) -> Space:
    """The space of stored arrays; those of older files have neither scales nor an origin."""
    found = {name: stored[name].astype(np.float32) for name in Space._fields[:4]}
    for name in _COARSE:
        found[name] = found[name] * np.float32(stored.get(f"{name}.scale", 1))
    origin = stored.get("origin", np.zeros(len(found["projection"])))
    return Space(**found, origin=origin.astype(np.float32), exact=stored["projection"].dtype != np.float16)


def packed(bank: Bank) -> bytes:
    """The file's content: half precision, which changes a distance in its fourth digit, or single where that loses."""
    arrays = {f"{name}.{k}": v for name in Bank._fields[:2] for k, v in _packed(getattr(bank, name)).items()}
    if bank.expected is not None:
        arrays["expected"] = np.asarray(bank.expected, np.float32)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **schemas.stamp(SCHEMA), **arrays, scrambled=np.float64(bank.scrambled))
    return buffer.getvalue()


def writing(bank: Bank | None) -> Callable[[Path], object] | None:
    """What writes the file into the folder of a checkpoint; None without a bank."""
    return None if bank is None else lambda folder: write_atomically(folder / FILE, packed(bank))


def read(folder: Path) -> Bank | None:
    """The bank beside a checkpoint's config, None where there is none; raises `BadInput` for a damaged or newer one."""
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        arrays = read_npz(path, (), _EXPECTED)
        stamp = {name: arrays[name].item() for name in (schemas.FORMAT, schemas.WRITTEN_BY) if name in arrays}
        schemas.migrated(stamp, SCHEMA, str(path))
        if any(array.dtype.kind not in "fiub" for name, array in arrays.items() if "." in name):
            raise ValueError("arrays of something else than numbers")
        parts = [{k.removeprefix(f"{s}."): v for k, v in arrays.items() if k.startswith(f"{s}.")} for s in _SPACES]
        return Bank(*map(_unpacked, parts), float(arrays["scrambled"]), _weights(arrays.get("expected")))
    except (ValueError, KeyError, TypeError) as error:  # arrays of something else
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"{path}: cannot be read ({told(error)}), expected {_EXPECTED}") from error


def _weights(stored: np.ndarray | None) -> np.ndarray | None:
    """The weights of what is expected, as they are stored; raises `ValueError` for others."""
    if stored is None:
        return None
    if stored.shape != (2, expected.SIGNS + 1) or stored.dtype.kind != "f":
        raise ValueError(f"weights of the shape {stored.shape}")
    return stored.astype(np.float64)


_SPACES = Bank._fields[:2]
_EXPECTED = "what experiments.evaluate --bank writes"
