"""A learner's state as a classifier of the zoo, so that whatever takes a `Classifier` takes what was learnt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from dhauds_jax.errors import BadInput
from dhauds_jax.nets import zoo
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
    return zoo.build(config, **compute), _with_head(classifier.config.head, variables, params)


def inner_of(head: Mapping[str, Any]) -> Mapping[str, Any]:
    """The record of the head whose embedding a learner reads: one that is learnt itself has it inside."""
    return head.get("inner", head)


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
            "the classifier's embedding are random features, expected what they are made of: read `unlearnt`"
        )
    seen = np.asarray(state.seen)
    strange = [name for name, place in classes.items() if not 0 <= place < len(seen) or not seen[place]]
    if strange or not classes:
        raise BadInput(f"classes {strange} have not been learnt, expected at least one and only learnt ones")


def _with_head(head: Mapping[str, Any], variables: Variables, params: Mapping[str, Any]) -> Variables:
    """The variables with a learnt head around what is left of the old one."""
    old, there = dict(variables["params"]["head"]), "inner" in head
    kept = old.get("inner", {}) if there else {name: leaf for name, leaf in old.items() if name != "classifier"}
    made = {**params, **({"inner": kept} if kept else {})}
    stats = dict(variables.get("batch_stats", {}))
    if not there and "head" in stats:
        stats["head"] = {"inner": stats["head"]}
    return {**variables, "params": {**variables["params"], "head": made}, "batch_stats": stats}


def unlearnt(classifier: Classifier, variables: Variables) -> tuple[Classifier, Variables]:
    """The classifier for later learners to read: of a learnt head it gives the embedding that was read for it.

    Its only class then is named "-" and has no meaning; a classifier whose head is not learnt stays as it is.
    """
    head = classifier.config.head
    if "inner" not in head:
        return classifier, variables
    record = {"kind": "prototypes", "inner": head["inner"], "unit": head.get("unit", False), "scale": 1.0}
    made = zoo.build(classifier.config.replace(head=record, classes=("-",), groups={}))
    shapes = zoo.shapes(made)["params"]["head"]
    params = {name: np.zeros(shapes[name].shape, np.float32) for name in OF_CLASSES}
    return made, _with_head(head, variables, params)
