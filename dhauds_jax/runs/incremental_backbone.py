"""The network that class-incremental runs read: a checkpoint's, or what made the vectors that were given."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dhauds_jax.errors import BadInput
from dhauds_jax.nets import boxed, precision, time_statistics, twins, zoo
from dhauds_jax.nets import checkpoint as checkpoints
from dhauds_jax.runs.requests.incremental import IncrementalRun
from dhauds_jax.types import Classifier, Variables


class Backbone(NamedTuple):
    """The network that is read, or what made the embeddings.

    Attributes:
      classifier: None for embeddings, as the next one.
      variables: its weights.
      weights: their hash; of embeddings that of the encoder, "unknown" where nothing says it.
      net: its name.
      trained_on: the data set it was trained on, as its checkpoint says.
      classes: those that it was trained to tell apart; none after a pretraining without labels, None where nothing
        says them.
    """

    classifier: Classifier | None
    variables: Variables
    weights: str
    net: str
    trained_on: str
    classes: tuple[str, ...] | None

    def about(self, classes: tuple[str, ...]) -> dict[str, Any]:
        """What a record says of it; of classes that are learnt, how many it was trained to know (None: not known).

        Of joined sets, which name a class "part/class", the class's own name counts.
        """
        knew = None
        if self.classes is not None:
            known = {_own_name(name) for name in self.classes}
            knew = sum(_own_name(name) in known for name in classes)
        return {"hash": self.weights, "trained_on": self.trained_on, "knew_these_classes": knew}

    def described(self) -> dict[str, Any] | None:
        """The network as it reads clips: front end, geometry and options, without its classes; None for embeddings."""
        if self.classifier is None:
            return None
        return json.loads(self.classifier.config.replace(classes=("-",), source={}, groups={}).to_json())


def _own_name(name: str) -> str:
    return name.rpartition("/")[2].casefold()


def load(run: IncrementalRun) -> Backbone:
    """The network of `--checkpoint`, its position table fitted to `--net`.

    Raises:
      BadInput: none, or weights that do not fit.
    """
    if run.checkpoint is None:
        raise BadInput("--dataset: needs a network to read its clips, expected --checkpoint=FOLDER")
    variables, config, extra = checkpoints.load(run.checkpoint)
    classes = () if "pretraining" in extra else config.classes
    training = extra.get("training", {}) if isinstance(extra.get("training"), Mapping) else {}
    trained_on = str(training.get("identity", {}).get("dataset", "unknown"))
    if boxed.is_one(str(run.checkpoint)) and trained_on == "unknown":
        trained_on = f"what the card of {run.checkpoint} says"
    if run.net is not None and run.net != config.net:
        config, variables = twins.twin(variables, config, run.net, jax.random.key(0))
    config, variables = time_statistics.with_reading(config, variables, run.reading)
    net = config.net if run.reading == time_statistics.NETWORK else f"{config.net}, {run.reading}"
    classifier = zoo.build(config, **precision.compute_options(run.precision, False))
    variables = jax.tree.map(jnp.asarray, dict(variables))
    return Backbone(classifier, variables, checkpoints.variables_hash(variables), net, trained_on, classes)


def of_embeddings(run: IncrementalRun) -> Backbone:
    """What is known of what made the vectors: their manifest, where they have one."""
    from dhauds_jax.workdir import vectors

    encoder = vectors.read(run.embeddings).manifest.get("encoder", {})
    weights, net = str(encoder.get("hash", "unknown")), str(encoder.get("net", Path(run.embeddings).stem))
    return Backbone(None, {}, weights, net, "unknown", None)
