"""What is compiled for a model: models of one configuration share it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax

from dhauds_jax.errors import BadInput
from dhauds_jax.nets import precision as precisions
from dhauds_jax.nets import zoo
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.nets.lost_rows import with_lost_rows
from dhauds_jax.nets.normalisers import EVAL
from dhauds_jax.types import AdaptState, Batch, Classifier, Method


def lost_rows(extra: Mapping[str, Any]) -> bool:
    """Whether a checkpoint's network was trained with `nets.lost_rows`, as profile reference of crossval does."""
    return bool(extra.get("crossval", {}).get("identity", {}).get("flags", {}).get("lost_rows"))


@functools.lru_cache(maxsize=4)
def classifier(config: str, precision: str, convolution: str = "direct", lost: bool = False) -> Classifier:
    """One classifier a configuration: models that share it share what was compiled for it; `lost` as of `lost_rows`.

    Raises:
      BadInput: a `convolution` (of `names.CONVOLUTIONS`) other than "direct" of a network that has none of them.
    """
    made, how = ClassifierConfig.from_json(config, "config"), precisions.compute_options(precision)
    if convolution != "direct":
        if "convolution" not in zoo.family(made.family).compute:
            raise BadInput(f"--convolution={convolution}: {made.net} has no 3 by 3 convolutions, expected direct")
        how["convolution"] = convolution
    found = zoo.build(made, **how)
    return with_lost_rows(found) if lost else found


@functools.lru_cache(maxsize=4)
def predict(classifier: Classifier) -> Callable[[AdaptState, Batch], Any]:
    """A batch's logits by the weights of a state."""
    return jax.jit(lambda state, batch: classifier.apply(state.variables, batch.wave, mode=EVAL)[0].logits)


@functools.lru_cache(maxsize=4)
def embed(classifier: Classifier) -> Callable[[AdaptState, Batch], Any]:
    """The input of the last layer for a batch, by the weights of a state."""
    return jax.jit(lambda state, batch: classifier.apply(state.variables, batch.wave, mode=EVAL)[0].embedding)


@functools.lru_cache(maxsize=4)
def predict_adapted(method: Method) -> Callable[[AdaptState, Batch], Any]:
    """A batch's logits as a method predicts."""
    return jax.jit(method.predict)
