"""Standard normals for large arrays: `jax.random.normal`'s own numbers, in a third of its time on a CPU."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, UInt

from dhauds_jax.threefry import rounds

_ONE = np.uint32(0x3F800000)  # the exponent of numbers from 1 up to 2


def normal(words: UInt[Array, " words"], shape: tuple[int, ...]) -> Float[Array, "..."]:
    """`jax.random.normal(key, shape, float32)` of the key with these words, bit for bit.

    JAX runs the rounds of Threefry in a loop on a CPU, which writes and reads all numbers between them; here they are
    one expression, which stays in the processor's registers.

    Args:
      words: `jax.random.key_data` of a key; of a generator other than Threefry (more words) JAX draws.
      shape: of fewer than 2^32 numbers.

    Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3" (Threefry-2x32, 20 rounds); how a number
    is made of its counter and its bits is JAX's (jax/_src/prng.py with `jax_threefry_partitionable`, random.py).
    """
    if not _ours(words):
        return jax.random.normal(jax.random.wrap_key_data(words), shape, jnp.float32)
    return _at(words, lax.iota(jnp.uint32, int(np.prod(shape))).reshape(shape))


def columns(
    words: UInt[Array, "words"], shape: tuple[int, int], first: Int[Array, ""] | int, count: int
) -> Float[Array, "rows count"]:
    """`normal(words, shape)[:, first : first + count]`, drawn alone where the generator allows it.

    Args:
      words: as of `normal`.
      shape: (rows, columns) of all, fewer than 2^32 numbers.
      first: the first column; one that is not known before it is computed may be given.
      count: columns; those beyond the last hold what stands for nothing.
    """
    rows, many = shape
    if not _ours(words):
        whole = jnp.pad(normal(words, shape), ((0, 0), (0, count)))
        return lax.dynamic_slice_in_dim(whole, first, count, 1)
    row, column = (lax.broadcasted_iota(jnp.uint32, (rows, count), axis) for axis in (0, 1))
    return _at(words, row * np.uint32(many) + column + jnp.asarray(first).astype(jnp.uint32))


def _ours(words: UInt[Array, "words"]) -> bool:
    return words.shape == (2,) and bool(jax.config.jax_threefry_partitionable)


def _at(words: UInt[Array, "2"], counter: UInt[Array, "..."]) -> Float[Array, "..."]:
    """The numbers of these places."""
    low = np.nextafter(np.float32(-1), np.float32(0))
    one = np.float32(1)
    within = lax.bitcast_convert_type((_bits(words, counter) >> np.uint32(9)) | _ONE, jnp.float32) - one
    return np.float32(np.sqrt(2)) * lax.erf_inv(jnp.maximum(low, within * (one - low) + low))


def _bits(words: UInt[Array, "2"], counter: UInt[Array, "..."]) -> UInt[Array, "..."]:
    """32 random bits for each place: both words of its counter's hash, one over the other."""
    first, second = rounds((words[0], words[1]), jnp.zeros(counter.shape, jnp.uint32), counter)
    return first ^ second
