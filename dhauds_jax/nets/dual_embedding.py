"""EDE's embedding: a frozen network I, one that session 0 may have moved, G, and an adapter on G's tokens a session.

    e = [mean over tokens of norm(I), A_0(G), A_1(G), ...],   A_j(G) = mean over tokens of LN_j(block_j(G)),

G and I being tokens before the last norm, all of them (cls and the like included), `norm` that last norm. Where nothing
has moved G is I and one encoder gives both; else I stands in `params["initial"]` beside `params["encoder"]`, and
`Classifier.tap` gives of "tokens" one row more: I's mean.

Source: YongjieSi/EDE, utils/inc_net.py:256-318, models/vit/vision_transformer_memo.py:394-417 (arXiv 2406.08122).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from dhauds_jax.dsp.unit_rows import unit_rows
from dhauds_jax.errors import BadInput
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.nets.prototypes import Prototypes
from dhauds_jax.nets.spectrogram_transformer import Block, layer_norm
from dhauds_jax.types import Mode, Variables

INITIAL = "initial"
"""Of `params`: the encoder as it was before session 0, where that moved it."""

OWN_EPSILON = {"amaut": 1e-6, "hubert": 1e-5}
"""Of the norms of families whose geometry need not say it."""


class Sizes(NamedTuple):
    """Of an adapter's block.

    Attributes:
      heads: of its attention: those of the network's blocks, else one for each 64 of the width.
      mlp: width inside its feed-forward, four times that of the tokens.
      epsilon: of its norms, the network's own.
    """

    heads: int
    mlp: int
    epsilon: float


def sizes_of(config: ClassifierConfig, width: int) -> Sizes:
    """The sizes of adapters on a network's tokens of that width."""
    heads = config.geometry.get("heads")
    epsilon = config.geometry.get("epsilon", OWN_EPSILON.get(config.family, 1e-6))
    return Sizes(heads if isinstance(heads, int) else max(1, width // 64), 4 * width, float(epsilon))


def last_norm(config: ClassifierConfig, variables: Variables) -> dict[str, Array] | None:
    """`scale` and `bias` of the encoder's last norm; None of one whose blocks norm what they give."""
    if config.geometry.get("pre_norm") is False:
        return None
    return jax.tree.map(jnp.asarray, dict(variables["params"]["encoder"]["layer_norm"]))


def untrained(config: ClassifierConfig) -> tuple[str, ...]:
    """Parts of the encoder that its tokens before the last norm do not depend on."""
    return ("layer_weights",) if config.geometry.get("pre_norm") is False else ("layer_weights", "layer_norm")


def mean_of_normed(
    tokens: Float[Array, "*batch tokens width"], norm: Mapping[str, Any] | None, epsilon: float
) -> Float[Array, "*batch width"]:
    """The first part of the embedding."""
    if norm is not None:
        tokens = layer_norm(epsilon, None).clone(parent=None).apply({"params": norm}, tokens)
    return tokens.mean(-2)


class Adapter(nn.Module):
    """One pre-norm block and a layer norm, then the mean over all tokens."""

    sizes: Sizes

    @nn.compact
    def __call__(self, tokens: Float[Array, "batch tokens width"]) -> Float[Array, "batch width"]:
        x, _ = Block(self.sizes.heads, self.sizes.mlp, self.sizes.epsilon, name="block")(tokens, False)
        return layer_norm(self.sizes.epsilon, None, "layer_norm")(x).mean(1)


def draw_adapter(key: PRNGKeyArray, sizes: Sizes, width: int) -> dict[str, Any]:
    """Random parameters: PyTorch's default of linear layers (the published ones are made after timm's own draws)."""
    like = jax.eval_shape(lambda k: Adapter(sizes).init(k, jnp.zeros((1, 2, width), jnp.float32)), jax.random.key(0))[
        "params"
    ]
    leaves, tree = jax.tree_util.tree_flatten_with_path(like)
    drawn = []
    for place, (path, leaf) in enumerate(leaves):
        names = [part.key for part in path]
        if "norm" in names[-2]:
            drawn.append(jnp.full(leaf.shape, float(names[-1] == "scale"), jnp.float32))
            continue
        bound = (sizes.mlp if names[-2] == "mlp2" else width) ** -0.5
        own = jax.random.fold_in(key, place)
        drawn.append(jax.random.uniform(own, leaf.shape, jnp.float32, -bound, bound))
    return jax.tree.unflatten(tree, drawn)


class Joined(nn.Module):
    """Products with the joined embedding: `scale (e @ kernel) + bias`, of an encoder with adapters.

    `unit` brings e to length 1 first; `first` says whether I's part is in it; `initial` whether I is another encoder
    than G; `inner` is the record of the head whose place it took. The adapters' parameters are stacked.
    """

    classes: int
    inner: Mapping[str, Any]
    adapters: int
    heads: int
    mlp: int
    epsilon: float
    unit: bool
    scale: float
    first: bool
    initial: bool

    @property
    def reads(self) -> str:
        """What of `Classifier.tap` it is given beside the tokens."""
        return "tokens"

    @nn.compact
    def __call__(
        self,
        tokens: Float[Array, "batch tokens width"],
        *,
        mode: Mode,
        weights: Float[Array, " batch"] | None = None,
        axis_name: str | None = None,
        read: Float[Array, "batch tokens width"],
    ) -> tuple[Float[Array, "batch classes"], Float[Array, "batch features"]]:
        stack = nn.vmap(
            Adapter,
            in_axes=None,
            out_axes=1,
            axis_size=self.adapters,
            variable_axes={"params": 0},
            split_rngs={"params": True},
        )
        adapted = stack(Sizes(self.heads, self.mlp, self.epsilon), name="adapters")(read)
        x = jnp.concatenate([tokens.mean(1, keepdims=True), adapted], 1) if self.first else adapted
        x = x.reshape(len(x), -1)
        x = unit_rows(x) if self.unit else x
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (x.shape[-1], self.classes))
        bias = self.param("bias", nn.initializers.zeros_init(), (self.classes,))
        return self.scale * jnp.matmul(x, kernel, precision="highest") + bias[None], x

    linear = Prototypes.linear

    @staticmethod
    def check(**sizes: Any) -> None:
        """Raises `BadInput` for options that the head does not take."""
        Prototypes.check(sizes["inner"], sizes["unit"], sizes["scale"])
        for name in ("adapters", "heads", "mlp"):
            if isinstance(sizes[name], bool) or not isinstance(sizes[name], int) or sizes[name] < 1:
                raise BadInput(f"config head: {name} is {sizes[name]!r}, expected a whole number of at least 1")
        for name in ("first", "initial"):
            if not isinstance(sizes[name], bool):
                raise BadInput(f"config head: {name} is {sizes[name]!r}, expected true or false")


def with_initial(variables: Variables, encoder: Mapping[str, Any]) -> Variables:
    """Variables whose encoder has moved to other parameters, the old ones kept beside them."""
    params, stats = variables["params"], variables.get("batch_stats", {})
    if "encoder" in stats:
        stats = {**stats, INITIAL: stats["encoder"]}
    moved = {**params, "encoder": encoder, INITIAL: params.get(INITIAL, params["encoder"])}
    return {**variables, "params": moved, "batch_stats": stats}


def adapter_bytes(sizes: Sizes, width: int) -> int:
    """Of one adapter's parameters in float32."""
    block = 4 * width * width + 4 * width + 2 * width * sizes.mlp + sizes.mlp + width + 4 * width
    return int(np.int64(4) * (block + 2 * width))
