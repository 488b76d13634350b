"""A learner's state as a classifier of the zoo, so that whatever takes a `Classifier` takes what was learnt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from dhauds_jax.errors import BadInput
from dhauds_jax.nets import zoo
from dhauds_jax.nets.prototypes import around, inner_of
from dhauds_jax.types import Classifier, Learner, LearnerState, Variables

OF_CLASSES = ("kernel", "bias")
"""Parameters of a learnt head whose last axis is its classes; others serve all classes."""


def as_classifier(
    classifier: Classifier,
    variables: Variables,
    learner: Learner,
    state: LearnerState,
    head: str,
    classes: Mapping[str, int],
    **compute: Any,
) -> tuple[Classifier, Variables]:
    """The network with a learnt head in place of its last layer, and its variables.

    Args:
      classifier: that the learner read.
      variables: of the classifier; a learner of waves has its own, which stand in their place.
      learner: whose state it is, compiled or as made.
      state: after a session; of one seed.
      head: one of the learner's.
      classes: name -> place in the learner's room, in the order that the logits are to have.
      compute: how to compute it, as for `nets.zoo.build`.

    Raises:
      BadInput: a head that the learner does not have, a learner that cannot be a head (a quadratic one), a class that
        it has not learnt, or numbers that are not finite.
    """
    _check(classifier, learner, state, head, classes)
    learnt = learner.as_head(state, head)
    if learner.reads == "wave":
        variables = state.params
    places = np.asarray(list(classes.values()))
    # Layers inside a head have kernels of their own, which serve all classes.
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), dict(learnt.params))
    params |= {name: params[name][..., places] for name in OF_CLASSES if name in params}
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params)):
        raise BadInput(f"head {head}: some learnt numbers are not finite, expected finite ones: look at the embeddings")
    record = {"kind": learnt.kind, "inner": inner_of(classifier.config.head), **learnt.options}
    if "unit" in record and classifier.config.head.get("unit"):  # what was read had length 1 already
        record["unit"] = True
    config = classifier.config.replace(head=record, classes=tuple(classes), groups={})
    return zoo.build(config, **compute), around(classifier.config.head, variables, params)


def _check(
    classifier: Classifier, learner: Learner, state: LearnerState, head: str, classes: Mapping[str, int]
) -> None:
    if head not in learner.heads:
        raise BadInput(f"head {head!r} is none of the learner's, expected {' or '.join(learner.heads)}")
    if learner.as_head is None:
        raise BadInput(
            f"head {head}: its learner's logits are no linear function of an embedding, expected a learner that can be "
            "the last layer of a classifier: take one such as ridge"
        )
    if classifier.config.head["kind"] == "random_projection":
        raise BadInput(
            "the classifier's embedding are random features, expected what they are made of: read "
            "`nets.prototypes.unlearnt`"
        )
    seen = np.asarray(state.seen)
    strange = [name for name, place in classes.items() if not 0 <= place < len(seen) or not seen[place]]
    if strange or not classes:
        raise BadInput(f"classes {strange} have not been learnt, expected at least one and only learnt ones")
