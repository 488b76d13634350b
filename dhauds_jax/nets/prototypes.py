"""Classification by products with prototypes, over the embedding of any other head: zero-shot, few-shot and ridge
classifiers are of this kind, so that whatever takes a `Classifier` takes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from dhauds_jax.dsp.unit_rows import unit_rows
from dhauds_jax.errors import BadInput
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.nets.heads import build_head
from dhauds_jax.types import Classifier, Linear, Mode, Variables

KIND = "prototypes"

NOBODY = ("nobody",)
"""The one class of a network without a last layer (`unlearnt`)."""


class Prototypes(nn.Module):
    """`scale (e @ kernel) + bias`, e the embedding of the head that `inner` describes, which has no last layer then.

    `unit` brings e to length 1 first (it is the embedding then), so that logits are scaled cosines of unit prototypes;
    `scale` is a number of the record, not a parameter.
    """

    classes: int
    inner: Mapping[str, Any]
    unit: bool
    scale: float
    dtype: DTypeLike | None = None

    @property
    def needs_features(self) -> bool:
        """Whether the inner head has to be given the front end's output."""
        return getattr(build_head(self.inner, 0), "needs_features", False)

    @property
    def reads(self) -> str | None:
        """What of `Classifier.tap` the inner head has to be given."""
        return getattr(build_head(self.inner, 0), "reads", None)

    @nn.compact
    def __call__(
        self,
        tokens: Float[Array, "batch tokens width"],
        *,
        mode: Mode,
        weights: Float[Array, " batch"] | None = None,
        axis_name: str | None = None,
        **beside: Array,
    ) -> tuple[Float[Array, "batch classes"], Float[Array, "batch features"]]:
        inner = build_head(self.inner, 0, self.dtype, name="inner")
        _, x = inner(tokens, mode=mode, weights=weights, axis_name=axis_name, **beside)
        x = unit_rows(x) if self.unit else x
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (x.shape[-1], self.classes))
        bias = self.param("bias", nn.initializers.zeros_init(), (self.classes,))
        return self.scale * jnp.matmul(x, kernel, precision="highest") + bias[None], x

    def linear(self, params: Mapping[str, Any]) -> Linear:
        """The last layer, as a product and a bias, the scale in the product."""
        return Linear(self.scale * params["kernel"], params["bias"])

    @staticmethod
    def check(inner: Any, unit: Any, scale: Any) -> None:
        """Raises `BadInput` for options that the head does not take."""
        if not isinstance(inner, Mapping) or inner.get("kind") == KIND:
            raise BadInput(f"config head: inner is {inner!r}, expected the record of a head of another kind")
        if not isinstance(unit, bool):
            raise BadInput(f"config head: unit is {unit!r}, expected true or false")
        if isinstance(scale, bool) or not isinstance(scale, int | float) or not 0 < scale < float("inf"):
            raise BadInput(f"config head: scale is {scale!r}, expected a positive number")


def with_prototypes(
    config: ClassifierConfig,
    variables: Variables,
    kernel: Float[Array | np.ndarray, "features classes"],
    bias: Float[Array | np.ndarray, " classes"],
    classes: Sequence[str],
    *,
    scale: float = 1.0,
    unit: bool = True,
) -> tuple[ClassifierConfig, Variables]:
    """A classifier whose last layer is replaced by products with prototypes: its record and variables.

    Args:
      config: of the classifier; one that has prototypes already gets others.
      variables: its variables.
      kernel: (features, classes), the prototypes as columns, in the space of `Outputs.embedding` (brought to length 1
        with `unit`).
      bias: (classes,), added to the scaled products.
      classes: their names, in the order of the columns.
      scale: what products are multiplied by.
      unit: whether the embedding is brought to length 1 before.

    Raises:
      BadInput: prototypes of another width, another number of names, numbers that are not finite, or
        a learnt head of another kind.
    """
    kernel, bias = np.asarray(kernel, np.float32), np.asarray(bias, np.float32)
    if kernel.ndim != 2 or bias.shape != kernel.shape[1:] or len(classes) != kernel.shape[1]:
        raise BadInput(
            f"prototypes: a kernel of shape {kernel.shape}, a bias of {bias.shape} and {len(classes)} names, expected "
            "(features, classes), (classes,) and a name for each class"
        )
    if not (np.isfinite(kernel).all() and np.isfinite(bias).all()):
        raise BadInput("prototypes: some are not finite, expected finite numbers")
    kind = config.head["kind"]
    if "inner" in config.head and kind != KIND:
        raise BadInput(
            f"prototypes: the classifier's embedding is that of a learnt head ({kind}), expected that of a network, or "
            "prototypes that others take the place of"
        )
    head = {"kind": KIND, "inner": inner_of(config.head), "unit": unit, "scale": float(scale)}
    made = config.replace(head=head, classes=tuple(classes))
    return made, around(config.head, variables, {"kernel": kernel, "bias": bias})


def inner_of(head: Mapping[str, Any]) -> Mapping[str, Any]:
    """The record of the head whose embedding a learner reads: one that is learnt itself has it inside."""
    return head.get("inner", head)


def around(head: Mapping[str, Any], variables: Variables, params: Mapping[str, Any]) -> Variables:
    """The variables with a learnt head around what is left of the old one: all of it but its last layer.

    Args:
      head: the old one's record.
      variables: with the old one's parameters and running statistics.
      params: of the learnt head.
    """
    old, there = dict(variables["params"]["head"]), "inner" in head
    kept = old.get("inner", {}) if there else {name: leaf for name, leaf in old.items() if name != "classifier"}
    stats = dict(variables.get("batch_stats", {}))
    if not there and "head" in stats:
        stats["head"] = {"inner": stats["head"]}
    made = {**params, **({"inner": kept} if kept else {})}
    return {**variables, "params": {**variables["params"], "head": made}, "batch_stats": stats}


def unlearnt(
    config: ClassifierConfig, variables: Variables, build: Callable[[ClassifierConfig], Classifier] | None = None
) -> tuple[Classifier, Variables]:
    """A classifier without its last layer, for learners to read: its embedding is that of the head below it.

    Whether a learnt head brings that embedding to length 1 first is the head's own affair: what is read here is as the
    network gives it, for a trained network and for whatever was learnt on it alike.

    Args:
      config: of a trained network, or of one with a learnt head.
      variables: its variables.
      build: what makes a classifier of a record; None: `nets.zoo.build`.
    """
    from dhauds_jax.nets import zoo  # which imports heads

    record = {"kind": KIND, "inner": inner_of(config.head), "unit": False, "scale": 1.0}
    made = (build or zoo.build)(config.replace(head=record, classes=NOBODY, groups={}))
    shapes = zoo.shapes(made)["params"]["head"]
    params = {name: np.zeros(shapes[name].shape, np.float32) for name in ("kernel", "bias")}
    return made, around(config.head, variables, params)
