"""The network under a learner: what it reads, whatever head is on it, and the classifier that it becomes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dhauds_jax import digests
from dhauds_jax.errors import BadInput
from dhauds_jax.incremental.as_classifier import as_classifier
from dhauds_jax.incremental.rooms import Learned
from dhauds_jax.model import compiled
from dhauds_jax.nets import prototypes, zoo
from dhauds_jax.nets.checkpoint import variables_hash
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.types import Classifier, Learner, Variables


class Network(NamedTuple):
    """A classifier without its last layer.

    Attributes:
      classifier: pure functions; its embedding is that of the head below the last layer.
      variables: weights, on the device.
      encoder: a hash of sizes and of the encoder's weights, sixteen hexadecimal digits.
      inner: likewise of what lies between the encoder and the last layer.
    """

    classifier: Classifier
    variables: Variables
    encoder: str
    inner: str

    @property
    def config(self) -> ClassifierConfig:
        """Its record."""
        return self.classifier.config

    def hash(self, reads: str) -> str:
        """Names all that decides what a learner reads: learners on the same network have the same."""
        return digests.of_texts(self.encoder, self.inner) if reads == "embedding" else self.encoder


def without_head(config: ClassifierConfig, variables: Variables, precision: str) -> Network:
    """The network of a classifier, of a trained one and of one that was learnt alike.

    Raises:
      BadInput: a head whose embedding is not the input of its last layer.
    """
    classifier, own = prototypes.unlearnt(
        config, variables, lambda bare: compiled.classifier(bare.to_json(), precision)
    )
    encoder = {kind: {k: v for k, v in tree.items() if k not in ("head", "aux")} for kind, tree in own.items()}
    below = {kind: own[kind].get("head", {}).get("inner", {}) for kind in ("params", "batch_stats")}
    settings = classifier.config.replace(source={}, net="").to_json()
    names = digests.of_texts(settings, variables_hash(encoder)), variables_hash(below)[: digests.DIGITS]
    return Network(classifier, jax.tree.map(jnp.asarray, own), *names)


def classifier_of(learned: Learned, network: Network) -> tuple[ClassifierConfig, Variables]:
    """The record and variables of a classifier of the learnt classes, in the order of `Learned.known`.

    Raises:
      BadInput: a learner whose state is no head.
    """
    check_head(learned.learner, learned.name)
    classes = dict(zip(learned.known, learned.places.tolist(), strict=True))
    made, variables = as_classifier(
        network.classifier, network.variables, learned.learner, learned.state, learned.head, classes
    )
    return made.config, _only(variables, zoo.shapes(made))


def _only(tree: Variables, shapes: Variables) -> Variables:
    """Without leaves that the network does not have: heads over levels or tokens use nothing of the old head."""
    return {
        name: _only(tree[name], below) if isinstance(below, Mapping) else tree[name] for name, below in shapes.items()
    }


def check_head(learner: Learner, name: str) -> None:
    """Raises `BadInput` for a learner that cannot be the head of a classifier."""
    if learner.as_head is None:
        raise BadInput(
            f"--learner={name}: what it learns is no head of a classifier, so recordings could not be labelled by it; "
            "expected another one (docs/incremental.md), or experiments.incremental, which measures it"
        )
