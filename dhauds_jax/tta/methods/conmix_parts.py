"""What CoNMix keeps of the set, and what its functions share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, UInt32

from dhauds_jax.nets.mel_image import Moments, Statistics
from dhauds_jax.tta.methods.conmix_labels import Rates
from dhauds_jax.types import Batch, Classifier


class Memory(NamedTuple):
    """What the method keeps of the whole set.

    Attributes:
      soft: (clips, classes) pseudo-labels.
      previous: (clips,) classes of the pseudo-labels.
      mean: (classes,) mean softmax over the set.
      looked: whether the set was looked at (protocols with one pass never do).
      rolls: data of the key of every clip's roll, drawn before the first epoch.
      strong: statistics of the changed clips' images.
    """

    soft: Float[Array, "clips classes"]
    previous: Int[Array, " clips"]
    mean: Float[Array, " classes"]
    looked: Bool[Array, ""]
    rolls: UInt32[Array, "..."]
    strong: Statistics


class Observed(NamedTuple):
    """What a look at the whole set keeps of each clip; `strong` is zeros for nets without images."""

    logits: Float[Array, "clips classes"]
    embedding: Float[Array, "clips features"]
    strong: Moments


class Labelling(NamedTuple):
    """How pseudo-labels are made and refined.

    Attributes:
      centroids: options of `conmix_labels.soft_labels`.
      refinement: options of `conmix_labels.refined_labels`; None: labels are not refined.
    """

    centroids: Mapping[str, int]
    refinement: Mapping[str, Any] | None


class Ending(NamedTuple):
    """When updates change nothing any more: from epoch `last` on (0: never), and on partial batches if `drops`."""

    last: int
    drops: bool


class Parts(NamedTuple):
    """What the method's functions share; made once from its options.

    Attributes:
      classifier: the network.
      strong_view: `(key of the rolls, key of the pieces, batch) -> features` of the changed clips.
      own_statistics: whether the changed clips' images are normalised with statistics of their own.
      labelling: of the pseudo-labels.
      rates: of the losses.
      optimiser: of the leaves of `group`.
      group: parameters that move.
      ending: when they stop.
      axis_name: the mapped axis over which the batch is spread.
    """

    classifier: Classifier
    strong_view: Callable[[PRNGKeyArray, PRNGKeyArray, Batch], Array]
    own_statistics: bool
    labelling: Labelling
    rates: Rates
    optimiser: optax.GradientTransformation
    group: str
    ending: Ending
    axis_name: str | None
