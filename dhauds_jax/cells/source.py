"""The source model of a run: a classifier, the weights it starts from, and source clips for methods that need some."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dhauds_jax import digests
from dhauds_jax.cells import targets
from dhauds_jax.cells.checking import Checked
from dhauds_jax.cells.programs import Programs
from dhauds_jax.cells.request import AdaptRun
from dhauds_jax.cells.targets import load_for
from dhauds_jax.data import sets
from dhauds_jax.data.sets.base import check_split, list_split
from dhauds_jax.errors import BadInput
from dhauds_jax.names import CLEAN
from dhauds_jax.nets import checkpoint as checkpoints
from dhauds_jax.nets.checkpoint import variables_hash
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.tta import methods, protocols
from dhauds_jax.types import Classifier, SourceData, Variables


class SourceModel(NamedTuple):
    """The classifier and the weights it starts from, with labelled source clips for methods that need some.

    Attributes:
      classifier: the network.
      variables: its weights.
      sha256: names the weights alone.
      data: the first clips of the training split in an order that depends on their number alone.
      data_for: names of the methods that get them.
      data_digest: names these clips (`digests.of_arrays`).
    """

    classifier: Classifier
    variables: Variables
    sha256: str
    data: SourceData | None = None
    data_for: frozenset[str] = frozenset()
    data_digest: str | None = None

    def data_of(self, method: str) -> SourceData | None:
        """The source clips that a method gets: those that need some alone."""
        return self.data if method in self.data_for else None


def source_model(classifier: Classifier, variables: Variables) -> SourceModel:
    """A source model with its hash, without source clips."""
    return SourceModel(classifier, variables, variables_hash(variables))


def load_source(run: AdaptRun, checked: Checked, programs: Programs) -> SourceModel:
    """The source model of a run, checked against its data set and `--net`, with source clips if a method needs them."""
    variables, config, _ = checkpoints.load(run.checkpoint)
    dataset = sets.get(run.dataset, run.data_dir)
    check_split(dataset, run.split)
    targets.check_fits(config, dataset, run.checkpoint)
    if run.net and run.net != config.net:
        raise BadInput(f"--net={run.net}: the checkpoint {run.checkpoint} is of net {config.net}")
    _check_noise(run, checked.pairs, dataset, config.sample_rate)
    classifier = programs.classifier(config, run.precision, run.remat)
    source = source_model(classifier, jax.tree.map(jnp.asarray, variables))
    made = {name: methods.make(name, classifier, options) for name, options in checked.options.items()}
    needing = frozenset(name for name, method in made.items() if "source_data" in method.needs)
    for name, method in made.items():  # what the network lacks is said before clips are read
        methods.check_needs(name, method, source.variables, None)
    if not needing:
        return source
    if dataset.listing is not None:  # what is adapted to is looked for before the training clips are read
        list_split(dataset, run.data_dir, run.split, run.allow_partial)
    return _with_clips(source, run, config, needing)


def _check_noise(run: AdaptRun, pairs: Sequence[tuple[str, str]], dataset: sets.DataSet, rate: int) -> None:
    """Raises `BadInput` if the recordings that a corruption mixes in are not there, before any clip is read.

    Where draws are read from a -C set it depends on the protocols which recordings are wanted, so these come later.
    """
    if run.corrupted_dir or run.adaptation_dir:
        return
    for corruption, level in pairs:
        if corruption != CLEAN:
            targets.check_noise(dataset, run.noise_dir, corruption, level, rate)


def _with_clips(source: SourceModel, run: AdaptRun, config: ClassifierConfig, needing: frozenset[str]) -> SourceModel:
    """The first `--source_clips` clips of the training split in an order that depends on their number alone."""
    loaded = load_for(run, "train", config, first=False)  # the split that is adapted to will be
    waves, _ = targets.laid_out(loaded)
    rows = protocols.stream_order(jax.random.key(0), len(waves))[: run.source_clips]
    waves, labels = waves[rows], loaded.clips.labels[rows]
    data = SourceData(jnp.asarray(waves), jnp.asarray(labels))
    return source._replace(data=data, data_for=needing, data_digest=digests.of_arrays(waves, labels))
