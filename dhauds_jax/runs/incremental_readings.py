"""What learners read of the clips: of the network, under every corruption, once for all seeds and learners."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from dhauds_jax import digests, registry
from dhauds_jax.cells import targets
from dhauds_jax.cells.request import title
from dhauds_jax.data.layout import raw_clip
from dhauds_jax.dsp.clip_layout import cut
from dhauds_jax.errors import BadInput
from dhauds_jax.model import taps
from dhauds_jax.names import CLEAN
from dhauds_jax.nets import checkpoint as checkpoints
from dhauds_jax.runs.incremental_backbone import Backbone
from dhauds_jax.runs.incremental_cache import FOLDER, Cache, Read, whole
from dhauds_jax.runs.incremental_clips import Pool
from dhauds_jax.runs.incremental_loading import waves_of
from dhauds_jax.runs.requests.incremental import IncrementalRun
from dhauds_jax.types import Variables

Condition = tuple[str, str]
"""A corruption and its level."""

CLEAN_ONE: Condition = (CLEAN, "-")


BACKGROUND = "_background_noise_"
"""In `--noise_dir`: Speech Commands' recordings of background, which are of no class."""

BACKGROUND_ALONE: Condition = (BACKGROUND, "-")

MOST_WINDOWS = 240

MADE_BY = ("data", "dsp", "nets", "model/taps.py")
"""The code that what is read follows from: where it changed, what a folder kept from before is not taken."""


def _windows(loaded: targets.Loaded, noise_dir: str) -> Float[np.ndarray, "windows time"]:
    """Windows of background of a clip's length, of every recording equally many at the most."""
    bank = targets.bank_for(loaded.dataset, noise_dir, "ENSC", "L2", loaded.clips.sample_rate)
    each = max(1, MOST_WINDOWS // len(bank.waves))
    found = [list(itertools.islice(cut([np.asarray(w, np.float32)], loaded.length, 0.0), each)) for w in bank.waves]
    return np.stack([window for some in found for window in some])


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
        kept = {"always": bool(run.cache_dir), "dtype": run.cache_dtype, "batch": run.batch_size}
        self.cache = Cache(run.memory_budget_mb, folder, **kept)
        self._waves: dict[Condition, tuple[np.ndarray, targets.Corrupted]] = {}
        self._shapes: dict[tuple[str, str], tuple[int, ...]] = {}
        self._found: dict[tuple[str, Condition, str], tuple[Mapping[str, Any], Read]] = {}
        self._windows = targets.once(lambda: _windows(pool.loaded, run.noise_dir))
        self._moved: tuple[Variables, str] | None = None
        tests = [one.tests for plan in pool.plans for one in plan]
        self._tests = np.unique(np.concatenate(tests))

    def shape(self, what: str) -> tuple[int, ...]:
        """What is read of one clip; raises `BadInput` where the network has no such thing."""
        if self._backbone.classifier is None:
            if what != "embedding":
                raise BadInput(
                    f"reads {what} of a network, and --embeddings has vectors alone, expected a learner that reads an "
                    "embedding, such as ridge, or --dataset with --checkpoint"
                )
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
        """What is read of the clips under a condition, numbered as in the pool.

        Args:
          what: of `names.READS`.
          condition: corruption and level.
          variables: of the network as a learner's session 0 or an adaptation left it; None: as it was loaded.
        """
        if self._pool.vectors is not None:
            return whole(self._pool.vectors)
        rows, made = self._condition(condition)
        count = len(self._pool.clips.ids)
        if what == taps.WAVE:
            return whole(made.waves()).placed(rows, count)
        follows: dict[str, Any] = {"corruption": list(condition)}
        if condition != CLEAN_ONE:
            follows |= {"noise": made.noise, "profile": self._run.profile}
            follows |= {"source": registry.source_digest(condition[0])}
        waves = (lambda some: self._clean(rows[some])) if condition == CLEAN_ONE else lambda some: made.waves()[some]
        read = self._read(what, condition, variables, follows, lambda: self._names(rows, made), waves)
        return read.placed(rows, count)

    def _read(
        self,
        what: str,
        condition: Condition,
        variables: Variables | None,
        follows: Mapping[str, Any],
        names: Callable[[], Sequence[str]],
        waves: Callable[[Int[np.ndarray, " rows"]], Float[np.ndarray, "rows time"]],
    ) -> Read:
        """What a network gives of waves, each of which follows from its name and from what all of them follow from."""
        weights, held = self._weights(variables), variables or self._backbone.variables
        if (what, condition, weights) not in self._found:
            net = {"net": self._backbone.described(), "weights": weights, "precision": self._run.precision}
            known = {"what": what, "code": digests.of_code(*MADE_BY), **net, **follows}
            under = "" if condition == CLEAN_ONE else f" {title(*condition).removesuffix('--')}"

            def fill(rows: np.ndarray, out: np.ndarray, tick: Callable[[], Any]) -> None:
                options = {"batch_size": self._run.batch_size, "out": out, "tick": tick}
                taps.read(self._backbone.classifier, held, waves(rows), what, **options)

            shape, said = self._shape(what, held, weights), f"{what} of {self._pool.name}{under}"
            found = self.cache.of(known, names(), shape, fill, said)
            self._found[what, condition, weights] = known, found
        return self._found[what, condition, weights][1]

    def _clean(self, rows: Int[np.ndarray, " rows"]) -> Float[np.ndarray, "rows time"]:
        """Clips as recorded, laid out; not held, since they are the pool's own."""
        return waves_of(self._pool.loaded, rows, CLEAN_ONE, self._run, lambda: targets.Noise(None, None)).waves()

    @functools.cached_property
    def _digests(self) -> tuple[str, ...]:
        """Of each clip of the pool its own samples, as they were loaded."""
        clips = self._pool.loaded.clips
        own = (raw_clip(wave, int(samples)) for wave, samples in zip(clips.waves, clips.lengths, strict=True))
        return tuple(map(digests.of_arrays, own))

    def _names(self, rows: Int[np.ndarray, " rows"], made: targets.Corrupted) -> list[str]:
        """Of each clip what its samples under a condition follow from, beside what all clips follow from."""
        own, draws = [self._digests[row] for row in rows], made.each()
        return [digests.of_texts(*pair) for pair in zip(own, draws, strict=True)] if draws else own

    @functools.cached_property
    def background(self) -> str | None:
        """The digest of the windows of background alone that are measured; None where `--noise_dir` has none."""
        place = self._run.noise_dir
        if self._pool.loaded is None or place is None or not (Path(place) / BACKGROUND).is_dir():
            return None
        return digests.of_arrays(self._windows())

    def noises(self, what: str, variables: Variables | None = None) -> Read | None:
        """What is read of windows of background alone, those of `--noise_dir`; None where it has none."""
        if self.background is None:
            return None
        if what == taps.WAVE:
            return whole(self._windows())
        return self._read(
            what,
            BACKGROUND_ALONE,
            variables,
            {"corruption": [BACKGROUND]},
            lambda: list(map(digests.of_arrays, self._windows())),
            lambda some: self._windows()[some],
        )

    def drop_moved(self) -> None:
        """Lets go of all that was read of networks that a course moved: no checkpoint has their weights."""
        for key in [key for key in self._found if key[2] != self._backbone.weights]:
            self.cache.drop(self._found.pop(key)[0])
        self._moved = None

    def drop(self, what: str, condition: Condition, variables: Variables) -> None:
        """Lets go of what was read of a network that is not asked again."""
        known, _ = self._found.pop((what, condition, self._weights(variables)), (None, None))
        if known is not None:
            self.cache.drop(known)
