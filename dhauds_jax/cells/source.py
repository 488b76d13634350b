"""The source model of a run: a classifier, the weights it starts from, and source clips for methods that need some."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from dhauds_jax.cells import targets
from dhauds_jax.cells.request import AdaptRun
from dhauds_jax.cells.targets import load_for
from dhauds_jax.data import sets
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import checkpoint as checkpoints
from dhauds_jax.nets import precision, zoo
from dhauds_jax.nets.checkpoint import variables_hash
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.tta import methods, protocols
from dhauds_jax.tta.options import parse_options
from dhauds_jax.types import Classifier, SourceData, Variables

_CLASSIFIERS: dict[tuple[str, str, bool], Classifier] = {}


def load_source(run: AdaptRun) -> SourceModel:
    """The source model of a run, checked against its data set and `--net`, with source clips if a method needs them."""
    variables, config, _ = checkpoints.load(run.checkpoint)
    dataset = sets.get(run.dataset, run.data_dir)
    targets.check_fits(config, dataset, run.checkpoint)
    if run.net and run.net != config.net:
        raise BadInput(f"--net={run.net}: the checkpoint {run.checkpoint} is of net {config.net}")
    # One object a configuration: runs of several seeds then share what was compiled.
    built = zoo.build(config, **precision.compute_options(run.precision, run.remat))
    classifier = _CLASSIFIERS.setdefault((config.to_json(), run.precision, run.remat), built)
    made = (
        methods.make(name, classifier, parse_options(name, run.profile, run.options, run.method)) for name in run.method
    )
    data = _source_clips(run, config) if any("source_data" in method.needs for method in made) else None
    return source_model(classifier, jax.tree.map(jnp.asarray, variables), data)


def _source_clips(run: AdaptRun, config: ClassifierConfig) -> SourceData:
    """The first `--source_clips` clips of the training split in an order that depends on their number alone."""
    loaded = load_for(run, "train", config)
    waves, _ = targets.laid_out(loaded)
    rows = protocols.stream_order(jax.random.key(0), len(waves))[: run.source_clips]
    return SourceData(jnp.asarray(waves[rows]), jnp.asarray(loaded.clips.labels[rows]))


class SourceModel(NamedTuple):
    """The classifier and the weights it starts from, with their hash; labelled source clips for methods that need some.

    The hash names the weights alone: the source clips are those the weights were trained on.
    """

    classifier: Classifier
    variables: Variables
    sha256: str
    data: SourceData | None = None


def source_model(classifier: Classifier, variables: Variables, data: SourceData | None = None) -> SourceModel:
    """A source model with its hash."""
    return SourceModel(classifier, variables, variables_hash(variables), data)
