"""HuBERT's positional convolution: grouped, weight-normed over the kernel axis, by FFT or directly.

The weight gradient of the direct form is the slowest line of a naive HuBERT; through the FFT it is cheap, exact to
rounding and needs no rule of its own.
"""

from __future__ import annotations

import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from dhauds_jax.errors import BadInput

IMPLEMENTATIONS = ("auto", "fft", "direct")
"""Ways to compute it: "auto" is direct where nothing is differentiated and by FFT elsewhere."""


def weight_norm_taps(
    v: Float[Array, "taps inputs outputs"], g: Float[Array, " taps"]
) -> Float[Array, "taps inputs outputs"]:
    """The kernel: each tap's (inputs, outputs) slice of `v` scaled to length `g` (PyTorch's weight norm, dim 2)."""
    return v * (g / jnp.sqrt(jnp.sum(jnp.square(v), (1, 2))))[:, None, None]


def fft_length(minimum: int) -> int:
    """The smallest of 2^a times 1, 3, 5, 9 or 15 that is at least `minimum`."""
    return min(m << max(0, math.ceil(math.log2(minimum / m))) for m in (1, 3, 5, 9, 15))


def direct_conv(
    x: Float[Array, "batch time width"], kernel: Float[Array, "taps inputs outputs"], groups: int
) -> Float[Array, "batch time outputs"]:
    """Cross-correlation over time, `taps // 2` zeros before and as many after as keep the length."""
    taps = kernel.shape[0]
    padding = [(taps // 2, taps - 1 - taps // 2)]
    dims = ("NWC", "WIO", "NWC")
    return jax.lax.conv_general_dilated(x, kernel, (1,), padding, dimension_numbers=dims, feature_group_count=groups)


def fft_conv(
    x: Float[Array, "batch time width"], kernel: Float[Array, "taps inputs outputs"], groups: int
) -> Float[Array, "batch time outputs"]:
    """The same as `direct_conv` in the frequency domain, in float32.

    Taps that only ever meet padding are cut, and the length need not hold the whole circle: what wraps around is not
    among the frames that are kept.
    """
    batch, time, _ = x.shape
    taps, inputs, outputs = kernel.shape
    before, after = min(taps // 2, time - 1), min(taps - 1 - taps // 2, time - 1)
    kernel = kernel[taps // 2 - before : taps // 2 + after + 1]
    n = fft_length(time + max(before, after))
    spectrum = jnp.fft.rfft(x.astype(jnp.float32).reshape(batch, time, groups, inputs), n, axis=1)
    filters = jnp.fft.rfft(kernel.astype(jnp.float32).reshape(-1, inputs, groups, outputs // groups), n, axis=0)
    product = jnp.einsum("bfgi,figo->bfgo", spectrum, filters.conj())
    y = jnp.roll(jnp.fft.irfft(product, n, axis=1), before, axis=1)[:, :time]
    return y.reshape(batch, time, outputs).astype(x.dtype)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def auto_conv(
    x: Float[Array, "batch time width"], kernel: Float[Array, "taps inputs outputs"], groups: int
) -> Float[Array, "batch time outputs"]:
    """`direct_conv` where nothing is differentiated, `fft_conv` and its derivative where something is."""
    return direct_conv(x, kernel, groups)


@auto_conv.defjvp
def _auto_conv_jvp(groups: int, primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    return jax.jvp(functools.partial(fft_conv, groups=groups), primals, tangents)


_CONVS = {"auto": auto_conv, "fft": fft_conv, "direct": direct_conv}


class PositionalConv(nn.Module):
    """A weight-normed grouped convolution that keeps the length; bias, but no activation.

    Params: `v` (taps, width / groups, width), `g` (taps,), `bias` (width,). `g` starts as the lengths of `v`, so the
    kernel starts as `v`, drawn from N(0, 4 / (taps width)) as wav2vec 2.0 does (Baevski et al., arXiv 2006.11477).
    An even number of taps looks one frame further back than ahead (PyTorch: padding taps / 2, last output dropped).
    """

    taps: int
    groups: int
    implementation: str = "auto"
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "batch time width"]) -> Float[Array, "batch time width"]:
        if self.implementation not in _CONVS:
            raise BadInput(f"positional convolution: {self.implementation!r}, expected one of {IMPLEMENTATIONS}")
        width = x.shape[-1]
        if width % self.groups:
            raise BadInput(f"positional convolution: width {width} is no multiple of {self.groups} groups")
        init = nn.initializers.normal(math.sqrt(4.0 / (self.taps * width)))
        v = self.param("v", init, (self.taps, width // self.groups, width))
        g = self.param("g", lambda _: jnp.sqrt(jnp.sum(jnp.square(v), (1, 2))))
        bias = self.param("bias", nn.initializers.zeros_init(), (width,))
        dtype = self.dtype or x.dtype
        y = _CONVS[self.implementation](x.astype(dtype), weight_norm_taps(v, g).astype(dtype), self.groups)
        return y + bias.astype(dtype)[None, None]
