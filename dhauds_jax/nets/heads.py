"""Classification heads over an encoder's tokens; each returns (logits, embedding), the embedding being the input of its
last linear layer, and has `linear(params)`, that last layer with weight norm applied.

A head is a linen module called as these are; its fields are the sizes that a config's `head` gives under their names
(those without a default must be there), beside `classes` (0: no last layer, the embedding alone is wanted) and, where
it has products before the last layer, `dtype`, their type (None: float32); means over tokens, norms and the last layer
are float32 and exact. A head whose sizes have choices says so in `check(**sizes)`, a static method; one that also takes
the front end's output, `features`, says so by a property `needs_features`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core import FrozenDict
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from dhauds_jax.errors import BadInput
from dhauds_jax.nets.config import find_kind, head_sizes, take
from dhauds_jax.nets.convolution import conv1d
from dhauds_jax.nets.layers import (
    BatchNorm,
    Bottleneck,
    Dense,
    Stem,
    WeightNormDense,
    torch_uniform,
    weight_norm_kernel,
    xavier_normal,
)
from dhauds_jax.types import Linear, Mode
from dhauds_jax.wording import counted


def last_layer(
    layer: Callable[..., nn.Module], classes: int, x: Float[Array, "batch features"], **options: Any
) -> Float[Array, "batch classes"]:
    """The logits, by a layer under the name that all heads give it; a head of no classes has none."""
    return layer(classes, name="classifier", **options)(x) if classes else x[:, :0]


class AudioClassifier(nn.Module):
    """Mean over tokens, two linear maps, BatchNorm (the embedding), a weight-normed linear layer; no non-linearity.

    A product of linear maps around one BatchNorm, kept as the reference has it (DHAuDS, AuT/lib/model.py:93).
    """

    classes: int
    hidden: int
    features: int
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self,
        tokens: Float[Array, "batch tokens width"],
        *,
        mode: Mode,
        weights: Float[Array, " batch"] | None = None,
        axis_name: str | None = None,
    ) -> tuple[Float[Array, "batch classes"], Float[Array, "batch features"]]:
        x = Dense(self.hidden, dtype=self.dtype, name="expand")(tokens.mean(1))
        zeros = nn.initializers.zeros_init()
        x = Dense(self.features, kernel_init=xavier_normal, bias_init=zeros, dtype=self.dtype, name="squeeze")(x)
        x = BatchNorm(1e-6, name="batch_norm")(x.astype(tokens.dtype), mode=mode, weights=weights, axis_name=axis_name)
        return last_layer(WeightNormDense, self.classes, x), x

    @staticmethod
    def linear(params: Mapping[str, Any]) -> Linear:
        """The last layer, as a product and a bias."""
        last = params["classifier"]
        return Linear(weight_norm_kernel(last["v"], last["g"]), last["bias"])


class BottleneckClassifier(nn.Module):
    """Mean over tokens, a linear map, BatchNorm (the embedding), a weight-normed linear layer: CoNMix's head.

    No non-linearity, as the reference has it: the ReLU and the dropout that it makes are never called (DHAuDS,
    CoNMix/lib/models.py:46).
    """

    classes: int
    features: int
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self,
        tokens: Float[Array, "batch tokens width"],
        *,
        mode: Mode,
        weights: Float[Array, " batch"] | None = None,
        axis_name: str | None = None,
    ) -> tuple[Float[Array, "batch classes"], Float[Array, "batch features"]]:
        zeros = nn.initializers.zeros_init()
        inits = {"kernel_init": xavier_normal, "bias_init": zeros}
        x = Dense(self.features, **inits, dtype=self.dtype, name="squeeze")(tokens.mean(1))
        x = BatchNorm(1e-5, name="batch_norm")(x.astype(tokens.dtype), mode=mode, weights=weights, axis_name=axis_name)
        return last_layer(WeightNormDense, self.classes, x), x

    linear = staticmethod(AudioClassifier.linear)


class FCEClassifier(nn.Module):
    """A 15-tap convolution along the features of two tokens, LayerNorm (the embedding), a linear layer.

    `pair` is "ends" (AMAuT's cls and tail tokens) or "first" (the first two, as HuBERT had it).
    """

    classes: int
    pair: str = "ends"

    @nn.compact
    def __call__(
        self,
        tokens: Float[Array, "batch tokens width"],
        *,
        mode: Mode,
        weights: Float[Array, " batch"] | None = None,
        axis_name: str | None = None,
    ) -> tuple[Float[Array, "batch classes"], Float[Array, "batch width"]]:
        if tokens.shape[1] < 2:
            raise BadInput(f"{counted(tokens.shape[1], 'token is', 'tokens are')} left for the head 'fce', expected 2")
        two = tokens[:, :2] if self.pair == "first" else tokens[:, jnp.array([0, -1])]
        kernel = self.param("kernel", torch_uniform(30), (15, 2, 1))
        bias = self.param("bias", torch_uniform(30), (1,))
        x = (conv1d(jnp.swapaxes(two, 1, 2), kernel, 1, 7) + bias[None, None])[..., 0]
        x = nn.LayerNorm(1e-6, use_fast_variance=False, name="layer_norm")(x)
        return last_layer(Dense, self.classes, x, precision="highest"), x

    @staticmethod
    def linear(params: Mapping[str, Any]) -> Linear:
        """The last layer, as a product and a bias."""
        return Linear(params["classifier"]["kernel"], params["classifier"]["bias"])

    @staticmethod
    def check(pair: str) -> None:
        """Raises `BadInput` for options that the head does not take."""
        _check_choice("pair", pair, ("ends", "first"))


class HuBClassifier(nn.Module):
    """A one-dimensional residual network over the tokens, global average, two linear layers.

    `stages` gives the number of blocks after the first, strided one of each stage; the last of a stage comes back to
    the tokens' width. Embedding: after the LayerNorm, width / 2.
    """

    classes: int
    stages: tuple[int, ...]
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self,
        tokens: Float[Array, "batch tokens width"],
        *,
        mode: Mode,
        weights: Float[Array, " batch"] | None = None,
        axis_name: str | None = None,
    ) -> tuple[Float[Array, "batch classes"], Float[Array, "batch features"]]:
        batch = {"mode": mode, "weights": weights, "axis_name": axis_name}
        width = tokens.shape[-1]
        x = Stem(width, name="stem")(tokens.astype(self.dtype or tokens.dtype), **batch)
        block = 0
        for blocks in self.stages:
            for i in range(1 + blocks):
                features = width if i == blocks else 2 * width
                stride = 2 if i == 0 else 1
                x = Bottleneck(features, width // 2, stride, name=f"block{block}")(x, **batch)
                block += 1
        x = Dense(width // 2, name="squeeze")(x.mean(1)).astype(tokens.dtype)
        x = nn.LayerNorm(1e-5, use_fast_variance=False, name="layer_norm")(x)
        return last_layer(Dense, self.classes, x, precision="highest"), x

    linear = staticmethod(FCEClassifier.linear)


class LinearHead(nn.Module):
    """A linear layer over all tokens side by side, channel by channel as PyTorch flattens an image.

    `softmax_output` keeps a quirk of TTA-in-AC's CNN: its logits are the outputs of a softmax already, and cross
    entropy and entropy put another one on top (lib/models.py, WavClassifier).
    """

    classes: int
    softmax_output: bool

    @nn.compact
    def __call__(
        self,
        tokens: Float[Array, "batch tokens width"],
        *,
        mode: Mode,
        weights: Float[Array, " batch"] | None = None,
        axis_name: str | None = None,
    ) -> tuple[Float[Array, "batch classes"], Float[Array, "batch features"]]:
        x = jnp.swapaxes(tokens, 1, 2).reshape(tokens.shape[0], -1)
        logits = last_layer(Dense, self.classes, x, precision="highest")
        return jax.nn.softmax(logits, -1) if self.softmax_output and self.classes else logits, x

    linear = staticmethod(FCEClassifier.linear)


class ProjectedMean(nn.Module):
    """A linear map of every token, the mean over tokens (the embedding), a linear layer.

    The head of Hugging Face's `HubertForSequenceClassification` (SUPERB, arXiv 2105.01051).
    """

    classes: int
    features: int
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self,
        tokens: Float[Array, "batch tokens width"],
        *,
        mode: Mode,
        weights: Float[Array, " batch"] | None = None,
        axis_name: str | None = None,
    ) -> tuple[Float[Array, "batch classes"], Float[Array, "batch features"]]:
        x = Dense(self.features, dtype=self.dtype, name="projector")(tokens).astype(tokens.dtype).mean(1)
        return last_layer(Dense, self.classes, x, precision="highest"), x

    linear = staticmethod(FCEClassifier.linear)


class TokenPool(nn.Module):
    """Mean of the patches' tokens ("average") or of the first `prefix` ("cls"), LayerNorm (the embedding), linear.

    The head of AST ("cls") and SSAST (either; arXiv 2110.09784, `ft_avgtok` and `ft_cls`).
    """

    classes: int
    pool: str
    prefix: int
    epsilon: float

    @nn.compact
    def __call__(
        self,
        tokens: Float[Array, "batch tokens width"],
        *,
        mode: Mode,
        weights: Float[Array, " batch"] | None = None,
        axis_name: str | None = None,
    ) -> tuple[Float[Array, "batch classes"], Float[Array, "batch width"]]:
        chosen = tokens[:, self.prefix :] if self.pool == "average" else tokens[:, : self.prefix]
        x = nn.LayerNorm(self.epsilon, use_fast_variance=False, name="layer_norm")(chosen.mean(1))
        return last_layer(Dense, self.classes, x, precision="highest"), x

    linear = staticmethod(FCEClassifier.linear)

    @staticmethod
    def check(pool: str, prefix: int, epsilon: float) -> None:
        """Raises `BadInput` for options that the head does not take."""
        _check_choice("pool", pool, ("average", "cls") if prefix else ("average",))


def _check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise BadInput(f"config head: {name} is {value!r}, expected {' or '.join(map(repr, choices))}")


def _hashable(value: Any) -> Any:
    """Lists, which is how JSON gives tuples back, as tuples, and records as frozen ones: linen modules are hashed."""
    if isinstance(value, Mapping):
        return FrozenDict({key: _hashable(inner) for key, inner in value.items()})
    return tuple(map(_hashable, value)) if isinstance(value, list) else value


def build_head(
    record: Mapping[str, Any], classes: int, dtype: DTypeLike | None = None, name: str | None = None
) -> nn.Module:
    """The head that a config's `head` describes; `dtype` is for those that have products before the last layer.

    `classes` 0 leaves the last layer out; `name` is the module's inside another one.

    Raises:
      BadInput: an unknown kind, a missing or foreign size, one out of its choices.
    """
    head, own = find_kind("head", record), {key: value for key, value in record.items() if key != "kind"}
    sizes = head_sizes(head)
    defaults = {name: value for name, value in sizes.items() if value is not dataclasses.MISSING}
    given = {name: _hashable(value) for name, value in take({**defaults, **own}, tuple(sizes), "config head").items()}
    if hasattr(head, "check"):
        head.check(**given)
    typed = {"dtype": dtype} if any(field.name == "dtype" for field in dataclasses.fields(head)) else {}
    return head(classes=classes, **given, **typed, **({} if name is None else {"name": name}))
