"""HuBERT's convolutions over the waveform, and the norm that the whole encoder uses."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from dhauds_jax.nets.convolution import conv1d
from dhauds_jax.nets.layers import ACTIVATIONS, torch_uniform


class Norm(nn.Module):
    """Layer norm (over channels) or group norm with one group per channel (over time), in float32."""

    axis: int = -1
    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: Float[Array, "batch time channels"]) -> Float[Array, "batch time channels"]:
        scale = self.param("scale", nn.initializers.ones_init(), (x.shape[-1],))
        bias = self.param("bias", nn.initializers.zeros_init(), (x.shape[-1],))
        scale, bias = (jnp.broadcast_to(v, x.shape) for v in (scale, bias))
        centred = x.astype(jnp.float32)
        centred = centred - centred.mean(self.axis, keepdims=True)
        variance = jnp.square(centred).mean(self.axis, keepdims=True)
        return (centred * (jax.lax.rsqrt(variance + self.epsilon) * scale) + bias).astype(x.dtype)


class ConvLayer(nn.Module):
    """One convolution of the front end, without padding."""

    features: int
    taps: int
    stride: int
    use_bias: bool
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "batch time channels"]) -> Float[Array, "batch out features"]:
        fan_in = self.taps * x.shape[-1]
        dtype = self.dtype or x.dtype
        # He's normal, as wav2vec 2.0 starts its convolutions: seven GELUs then do not shrink the signal to nothing.
        init = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
        kernel = self.param("kernel", init, (self.taps, x.shape[-1], self.features))
        y = conv1d(x.astype(dtype), kernel.astype(dtype), self.stride, 0)
        if self.use_bias:
            y = y + self.param("bias", torch_uniform(fan_in), (self.features,)).astype(dtype)[None, None]
        return y


class FrontEnd(nn.Module):
    """The convolutions with their activation; `norm`: a group norm after the first, or a layer norm after each."""

    convs: tuple[tuple[int, int, int], ...]
    use_bias: bool
    norm: str
    dtype: DTypeLike | None = None
    activation: str = "gelu"

    @nn.compact
    def __call__(self, wave: Float[Array, "batch time"]) -> Float[Array, "batch frames channels"]:
        x = wave[..., None]
        for i, (features, taps, stride) in enumerate(self.convs):
            x = ConvLayer(features, taps, stride, self.use_bias, self.dtype, name=f"conv{i}")(x)
            if self.norm == "layer":
                x = Norm(name=f"layer_norm{i}")(x)
            elif i == 0:
                x = Norm(axis=1, name="group_norm0")(x)
            x = ACTIVATIONS[self.activation](x)
        return x
