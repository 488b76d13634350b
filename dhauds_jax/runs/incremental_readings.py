"""What learners read of the clips: of the network, under every corruption, once for all seeds and learners."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from dhauds_jax import digests
from dhauds_jax.cells import targets
from dhauds_jax.cells.request import title
from dhauds_jax.dsp.clip_layout import cut
from dhauds_jax.errors import BadInput
from dhauds_jax.model import taps
from dhauds_jax.names import CLEAN
from dhauds_jax.nets import boxed, precision, time_statistics, twins, zoo
from dhauds_jax.nets import checkpoint as checkpoints
from dhauds_jax.runs.incremental_cache import FOLDER, Cache
from dhauds_jax.runs.incremental_clips import Pool
from dhauds_jax.runs.incremental_loading import waves_of
from dhauds_jax.runs.requests.incremental import IncrementalRun
from dhauds_jax.types import Classifier, Variables

Condition = tuple[str, str]
"""A corruption and its level."""

CLEAN_ONE: Condition = (CLEAN, "-")


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


BACKGROUND = "_background_noise_"
"""In `--noise_dir`: Speech Commands' recordings of background, which are of no class."""

MOST_WINDOWS = 240


def _windows(loaded: targets.Loaded, noise_dir: str) -> Float[np.ndarray, "windows time"]:
    """Windows of background of a clip's length, of every recording equally many at the most."""
    bank = targets.bank_for(loaded.dataset, noise_dir, "ENSC", "L2", loaded.clips.sample_rate)
    each = max(1, MOST_WINDOWS // len(bank.waves))
    found = [list(itertools.islice(cut([np.asarray(w, np.float32)], loaded.length, 0.0), each)) for w in bank.waves]
    return np.stack([window for some in found for window in some])


class Read(NamedTuple):
    """What was read of some clips: `take` gives that of positions in the pool."""

    array: np.ndarray
    place: Int[np.ndarray, " pool"]

    def take(self, rows: Int[np.ndarray, " rows"]) -> Float[np.ndarray, "rows ..."]:
        """A copy of what was read of clips, by their positions in the pool."""
        return np.asarray(self.array[self.place[rows]], np.float32)


class Readings:
    """Reads clips when they are asked for.

    Args:
      run: the flags.
      pool: the clips.
      backbone: the network.
    """

    def __init__(self, run: IncrementalRun, pool: Pool, backbone: Backbone) -> None:
        self._run, self._pool, self._backbone = run, pool, backbone
        folder = Path(run.cache_dir) if run.cache_dir else Path(run.workdir) / FOLDER
        self.cache = Cache(run.memory_budget_mb, folder, bool(run.cache_dir))
        self._waves: dict[Condition, tuple[np.ndarray, targets.Corrupted]] = {}
        self._digests: dict[int, str] = {}
        self._shapes: dict[tuple[str, str], tuple[int, ...]] = {}
        self._noises: dict[tuple[str, str], np.ndarray] = {}
        self._windows = targets.once(lambda: _windows(pool.loaded, run.noise_dir))
        self._moved: tuple[Variables, str] | None = None
        self._of_moved: dict[str, Mapping[str, Any]] = {}
        tests = [one.tests for plan in pool.plans for one in plan]
        self._tests = np.unique(np.concatenate(tests))

    def shape(self, what: str) -> tuple[int, ...]:
        """What is read of one clip; raises `BadInput` where the network has no such thing."""
        if self._backbone.classifier is None:
            if what != "embedding":
                raise BadInput(f"reads {what} of a network, and --embeddings has vectors alone")
            return self._pool.vectors.shape[1:]
        return self._shape(what, self._backbone.variables, self._backbone.weights)

    def _shape(self, what: str, variables: Variables, weights: str) -> tuple[int, ...]:
        """Traced once: session 0 of a learner may have made another network, which gives more."""
        if (what, weights) not in self._shapes:
            self._shapes[what, weights] = taps.shape_of(self._backbone.classifier, variables, what)
        return self._shapes[what, weights]

    def _weights(self, variables: Variables | None) -> str:
        """The hash of a network; that of one that moved is kept while it is the one that is asked for."""
        if variables is None:
            return self._backbone.weights
        if self._moved is None or self._moved[0] is not variables:
            self._moved = variables, checkpoints.variables_hash(variables)
        return self._moved[1]

    def _condition(self, condition: Condition) -> tuple[np.ndarray, targets.Corrupted]:
        """The positions of the clips that are there under a condition, and their waves."""
        if condition not in self._waves:
            every = condition == CLEAN_ONE or self._run.shots_corruption == "same"
            rows = np.arange(len(self._pool.clips.ids)) if every else self._tests
            noise = targets.once(lambda: targets.noise_for(self._pool.loaded, self._run.noise_dir, *condition))
            self._waves[condition] = rows, waves_of(self._pool.loaded, rows, condition, self._run, noise)
        return self._waves[condition]

    def draw(self, condition: Condition) -> dict[str, Any]:
        """What names a condition's draw; {} where nothing is drawn."""
        if self._pool.loaded is None or condition == CLEAN_ONE:
            return {}
        made = self._condition(condition)[1]
        return {**dict(made.draw), **({"noise": made.noise} if made.noise else {})}

    def waves(self, condition: Condition) -> Read:
        """The laid-out clips."""
        return self.of("wave", condition)

    def of(self, what: str, condition: Condition, variables: Variables | None = None) -> Read:
        """What is read of the clips under a condition.

        Args:
          what: of `names.READS`.
          condition: corruption and level.
          variables: of the network as a learner's session 0 or an adaptation left it; None: as it was loaded.
        """
        if self._pool.vectors is not None:
            return Read(self._pool.vectors, np.arange(len(self._pool.vectors)))
        rows, made = self._condition(condition)
        place = np.full(len(self._pool.clips.ids), len(rows), int)  # beyond the end: a clip that is not there
        place[rows] = np.arange(len(rows))
        if what == taps.WAVE:
            return Read(made.waves(), place)
        known, held = self._known(what, condition, rows, variables), variables or self._backbone.variables
        if known["weights"] != self._backbone.weights:
            self._of_moved[json.dumps(known, sort_keys=True)] = known
        name = f"{what} of {self._pool.name}{'' if condition == CLEAN_ONE else f' {title(*condition)}'}"
        fill = self._filler(what, made.waves, held, name)
        shape = self._shape(what, held, known["weights"])
        return Read(self.cache.of(known, (len(rows), *shape), fill), place)

    @functools.cached_property
    def background(self) -> str | None:
        """The digest of the windows of background alone that are measured; None where `--noise_dir` has none."""
        place = self._run.noise_dir
        if self._pool.loaded is None or place is None or not (Path(place) / BACKGROUND).is_dir():
            return None
        return digests.of_arrays(self._windows())

    def noises(self, what: str, variables: Variables | None = None) -> Float[np.ndarray, "windows ..."] | None:
        """What is read of windows of background alone, those of `--noise_dir`; None where it has none."""
        if self.background is None:
            return None
        key = what, self._weights(variables)
        if key not in self._noises:
            classifier, held = self._backbone.classifier, variables or self._backbone.variables
            read = taps.read(classifier, held, self._windows(), what, batch_size=self._run.batch_size)
            self._noises = {key: read}
        return self._noises[key]

    def _filler(
        self, what: str, waves: Callable[[], np.ndarray], variables: Variables, name: str
    ) -> Callable[[np.ndarray], Any]:
        options = {"batch_size": self._run.batch_size, "progress": name}

        def fill(out: np.ndarray) -> None:
            taps.read(self._backbone.classifier, variables, waves(), what, out=out, **options)

        return fill

    def _known(
        self, what: str, condition: Condition, rows: Int[np.ndarray, " rows"], variables: Variables | None
    ) -> dict[str, Any]:
        return {
            "what": what,
            "weights": self._weights(variables),
            "net": self._backbone.described(),
            "clips": self._digest(rows),
            "corruption": list(condition),
            "draw": self.draw(condition),
            "precision": self._run.precision,
        }

    def _digest(self, rows: Int[np.ndarray, " rows"]) -> str:
        if len(rows) not in self._digests:  # all clips, or those that are tested
            self._digests[len(rows)] = self._pool.digest(rows)
        return self._digests[len(rows)]

    def drop_moved(self) -> None:
        """Lets go of all that was read of networks that a course moved: no checkpoint has their weights."""
        for known in self._of_moved.values():
            self.cache.drop(known)
        self._of_moved, self._moved = {}, None

    def drop(self, what: str, condition: Condition, variables: Variables) -> None:
        """Lets go of what was read of a network that is not asked again."""
        if self._pool.vectors is None and what != taps.WAVE:
            self.cache.drop(self._known(what, condition, self._condition(condition)[0], variables))
