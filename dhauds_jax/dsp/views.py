"""Views of a clip: padding, cutting and circular shifts, keyed by clip so that batches change nothing."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray


def pad_to(
    wave: Float[Array, "*batch time"], length: int, head: Int[Array, "*batch"] | None = None
) -> Float[Array, "*batch padded"]:
    """Pads with zeros to `length` samples; longer clips pass unchanged.

    Args:
      wave: (..., time) samples.
      length: samples wanted.
      head: (...) zeros before each clip, 0 to `length - time` (None: half of the missing samples, rounded down).
    """
    missing = length - wave.shape[-1]
    if missing <= 0:
        return wave
    none = [(0, 0)] * (wave.ndim - 1)
    if head is None:
        return jnp.pad(wave, [*none, (missing // 2, missing - missing // 2)])
    padded = jnp.pad(wave, [*none, (0, missing)])
    return _roll_rows(padded, head)


def clip_to(
    wave: Float[Array, "*batch time"], length: int, start: int | Int[Array, "*batch"] = 0
) -> Float[Array, "*batch cut"]:
    """Cuts to `length` samples from `start` on; shorter clips pass unchanged.

    Args:
      wave: (..., time) samples.
      length: samples wanted.
      start: first sample kept, one number or (...) one for each clip, 0 to `time - length` (others are moved into it).
    """
    excess = wave.shape[-1] - length
    if excess <= 0:
        return wave
    if isinstance(start, int):
        start = min(max(start, 0), excess)
        return wave[..., start : start + length]
    rows = wave.reshape(-1, wave.shape[-1])
    cut = jax.vmap(lambda row, first: jax.lax.dynamic_slice(row, (first,), (length,)))(rows, start.reshape(-1))
    return cut.reshape(*wave.shape[:-1], length)


def _roll_rows(wave: Float[Array, "*batch time"], shift: Int[Array, "*batch"]) -> Float[Array, "*batch time"]:
    rows = wave.reshape(-1, wave.shape[-1])
    length = wave.shape[-1]

    def roll_row(row: Array, by: Array) -> Array:
        # One contiguous slice of the clip written twice: much cheaper than an index for each sample.
        return jax.lax.dynamic_slice(jnp.concatenate([row, row]), ((-by) % length,), (length,))

    return jax.vmap(roll_row)(rows, shift.reshape(-1)).reshape(wave.shape)


def roll(wave: Float[Array, "batch time"], shift: Int[Array, " batch"]) -> Float[Array, "batch time"]:
    """Rolls every row circularly by its own number of samples (positive: to the right, later in time).

    Args:
      wave: (batch, time) samples.
      shift: (batch,) samples, of any size and sign.
    """
    return _roll_rows(wave, shift)


def _uniform(key: PRNGKeyArray, index: Int[Array, " batch"], count: int) -> Float[Array, "batch {count}"]:
    """`count` draws of U[0, 1) for each clip, from the key folded with the clip's index alone."""
    return jax.vmap(lambda i: jax.random.uniform(jax.random.fold_in(key, i), (count,)))(index)


def rolled_views(
    key: PRNGKeyArray, wave: Float[Array, "batch time"], index: Int[Array, " batch"], limit: float = 0.17
) -> tuple[Float[Array, "batch time"], Float[Array, "batch time"]]:
    """Two time-shifted views of each clip: one rolled right, one rolled left, by up to `limit` of its length.

    The shifts are `int(u limit time)` and `int(-u' limit time)` samples with u, u' of U[0, 1) drawn from
    `fold_in(key, index[row])`, so neither the size nor the order of a batch changes a view.

    Args:
      key: random key of the epoch.
      wave: (batch, time) samples.
      index: (batch,) position of each clip in its set.
      limit: largest shift as a fraction of the clip.

    Returns:
      right, left: (batch, time) each.

    Source: DHAuDS, lib/component.py (time shift) and its two-view adaptation.
    """
    u = _uniform(key, index, 2) * limit * wave.shape[-1]
    return _roll_rows(wave, u[:, 0].astype(jnp.int32)), _roll_rows(wave, -u[:, 1].astype(jnp.int32))


def random_roll(
    key: PRNGKeyArray, wave: Float[Array, "batch time"], index: Int[Array, " batch"], limit: float
) -> Float[Array, "batch time"]:
    """Rolls each clip by `int((2u - 1) limit time)` samples, u of U[0, 1) from `fold_in(key, index[row])`.

    Args:
      key: random key.
      wave: (batch, time) samples.
      index: (batch,) position of each clip in its set.
      limit: largest shift as a fraction of the clip.
    """
    u = _uniform(key, index, 1)[:, 0]
    return _roll_rows(wave, ((2 * u - 1) * limit * wave.shape[-1]).astype(jnp.int32))


def random_pad(
    key: PRNGKeyArray,
    wave: Float[Array, "batch time"],
    lengths: Int[Array, " batch"],
    index: Int[Array, " batch"],
    length: int,
) -> Float[Array, "batch padded"]:
    """Puts clips that are shorter than `length` at a random place in it, zeros around.

    The zeros before a clip number 0 to `length - lengths[row]`, both included, drawn from `fold_in(key, index[row])`.

    Args:
      key: random key.
      wave: (batch, time) samples, each row its clip and then zeros; time is at most `length`.
      lengths: (batch,) samples of each clip without its zeros.
      index: (batch,) position of each clip in its set.
      length: samples wanted.

    Raises:
      ValueError: rows longer than `length`.
    """
    if wave.shape[-1] > length:
        raise ValueError(f"random_pad: rows have {wave.shape[-1]} samples, expected at most length = {length}")
    padded = jnp.pad(wave, [(0, 0), (0, length - wave.shape[-1])])
    missing = length - lengths
    head = jax.vmap(lambda i, m: jax.random.randint(jax.random.fold_in(key, i), (), 0, m + 1))(index, missing)
    return _roll_rows(padded, head)


def repeat_pad(
    wave: Float[Array, "batch time"], lengths: Int[Array, " batch"], length: int
) -> Float[Array, "batch {length}"]:
    """Clips repeated as often as they fit whole into `length`, zeros behind; of longer ones the head.

    `clip_layout.lay_out` with the layout "repeat_pad", row by row.

    Args:
      wave: (batch, time) samples, each row its clip and then anything.
      lengths: (batch,) samples of each clip, at least 1.
      length: samples wanted.
    """
    own = jnp.maximum(lengths, 1)[:, None]
    place = jnp.arange(length)[None]
    repeated = jnp.take_along_axis(wave, place % own, 1)
    return jnp.where(place < own * jnp.maximum(1, length // own), repeated, 0.0)


def random_fit(
    key: PRNGKeyArray,
    wave: Float[Array, "batch time"],
    lengths: Int[Array, " batch"],
    index: Int[Array, " batch"],
    length: int,
    *,
    last_start: bool = False,
) -> Float[Array, "batch {length}"]:
    """Brings clips of any length to `length`: shorter ones at a random place in zeros, of longer ones a random piece.

    With e = `lengths[row] - length`, a clip with e <= 0 gets 0 to -e zeros before it, both included, as `random_pad`
    gives them; a clip with e > 0 is cut from a start in [0, e), or in [0, e] with `last_start`. Either number is drawn
    from `fold_in(key, index[row])`.

    Args:
      key: random key.
      wave: (batch, time) samples, each row its clip and then zeros; time is at least `length`.
      lengths: (batch,) samples of each clip without its zeros.
      index: (batch,) position of each clip in its set.
      length: samples wanted.
      last_start: whether the last admissible start may be drawn; the reference never draws it (quirk 34).

    Raises:
      ValueError: rows shorter than `length`.

    Source: DHAuDS, lib/component.py (random pad and random clip).
    """
    if wave.shape[-1] < length:
        raise ValueError(f"random_fit: rows have {wave.shape[-1]} samples, expected at least length = {length}")
    excess = lengths - length
    choices = jnp.where(excess > 0, excess + int(last_start), 1 - excess)
    drawn = jax.vmap(lambda i, n: jax.random.randint(jax.random.fold_in(key, i), (), 0, n))(index, choices)
    return _roll_rows(wave, jnp.where(excess > 0, -drawn, drawn))[:, :length]
