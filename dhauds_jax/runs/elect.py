"""Elections over views and models, one record a mode and corruption."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dhauds_jax import digests, metrics, registry
from dhauds_jax.cells import targets
from dhauds_jax.cells.programs import Programs
from dhauds_jax.cells.scoring import scored
from dhauds_jax.cells.source import SourceModel, source_model
from dhauds_jax.cells.worklist import set_name
from dhauds_jax.data import content as contents
from dhauds_jax.data import sets
from dhauds_jax.data.corruptions import public
from dhauds_jax.data.sets.base import check_split
from dhauds_jax.dsp.mel import MelSpec, ragged_log_mel
from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.estimates import Estimate, say
from dhauds_jax.names import CLEAN, PROFILES
from dhauds_jax.nets import checkpoint as checkpoints
from dhauds_jax.nets import precision, zoo
from dhauds_jax.nets.config import ClassifierConfig, reading
from dhauds_jax.nets.normalisers import EVAL
from dhauds_jax.requests import set_names
from dhauds_jax.runs.requests.elect import ElectRun
from dhauds_jax.tta import election
from dhauds_jax.tta.evaluation import check_finite_logits
from dhauds_jax.tta.streams import padded_batches
from dhauds_jax.wording import counted
from dhauds_jax.workdir import locks, provenance, records

UNPADDED_SETS = ("audio_mnist", "vocal_sound", "cochl_scene")
"""Data sets whose published elections have views of unpadded clips (quirk 61)."""


_UNADAPTED = "in an election; expected checkpoints of finite weights"


@locks.holding()
@precision.exactly()
def run_election(run: ElectRun, command: str) -> str:
    """Scores every mode on every corruption that has no records yet; returns the sentence that says where they are.

    Raises:
      BadInput: bad input; models whose layouts or classes differ. FloatingPointError: a prediction is not finite.
    """
    pairs = targets.expand(run.corruption, run.level)
    registry.check("profile", run.profile, PROFILES)
    if not run.checkpoint:
        raise BadInput("--checkpoint is empty: expected the folder of at least one model")
    check_number("--batch_size", run.batch_size, 1)
    check_number("--shift", run.shift, -1.0, 1.0, because="a share of the clip")
    if run.average not in election.AVERAGES:
        raise BadInput(f"--average={run.average}: expected {' or '.join(election.AVERAGES)}")
    check_split(sets.get(run.dataset, run.data_dir), run.split)
    programs = Programs()
    sources = _models(run, programs)
    configs = [source.classifier.config for source in sources]
    config = configs[0]
    views = {pair: views_of(run, configs, pair[0]) for pair in pairs}
    loaded = targets.load(run.dataset, run.data_dir, run.split, config)
    clips, written, there = contents.of_split(loaded.clips), 0, 0
    done, modes = records.done(Path(run.workdir)), election.MODES[: 2 if len(sources) == 1 else 4]
    each = f"{counted(len(loaded.clips.ids), 'clip')} in 3 views by {counted(len(sources), 'model')}"
    say(f"work: {counted(len(pairs), 'corruption')}, {each}")
    # Of each model the clips as they are and two rolled; of unpadded views, whose plain clips stay padded, one more.
    parts = {pair: len(sources) * (4 if views[pair] == "unpadded" else 3) for pair in pairs}
    estimate = Estimate(sum(parts.values()), "view", few=True)
    models = [_counted(_model(source, run.batch_size, programs), estimate) for source in sources]
    for corruption, level in pairs:
        noise = functools.partial(targets.noise_for, loaded, run.noise_dir, corruption, level)
        drawn = targets.corrupted(
            loaded, corruption, level, seed=run.seed, profile=run.profile, noise=targets.once(noise)
        )
        drawn, names = (
            drawn._replace(draw=(*drawn.draw, ("views", views[corruption, level]))),
            (public(corruption), level),
        )
        finished = [mode for mode in modes if _named(run, sources, names, drawn, mode, clips)["cell"] in done.cells]
        there += len(finished)
        if len(finished) == len(modes):
            estimate.there(parts[corruption, level], parts[corruption, level])
            continue
        waves = drawn.waves()
        begun = time.perf_counter()
        said = election.elect(
            models,
            waves,
            share=run.shift,
            average=run.average,
            lengths=_lengths(loaded, configs) if views[corruption, level] == "unpadded" else None,
        )
        seconds = time.perf_counter() - begun
        for mode, logits in said.items():
            if mode in finished:  # an election that was broken off between its modes
                continue
            record = _record(run, sources, loaded, names, drawn, mode, said["single"], logits, clips)
            records.append(Path(run.workdir), {**record, "seconds": seconds, **provenance.block(command)})
            written += 1
            score = f"{100 * record['adapted_last']:.2f} % {loaded.dataset.metric}"
            print(f"{names[0]} {level} {mode} seed {run.seed}: {score}")
    found = f", {counted(there, 'was', 'were')} there already" if there else ""
    return f"{counted(written, 'record')} written{found}{done.note}: {Path(run.workdir) / records.FILE}"


def views_of(run: ElectRun, configs: Sequence[ClassifierConfig], corruption: str) -> str:
    """What the views of a cell are of; raises `BadInput` where clips cannot be had without their padding."""
    silent = all(reading(config.front_end)["layout"] != "repeat_pad" for config in configs)
    possible = corruption == CLEAN and silent and all(c.front_end["kind"] == "log_mel" for c in configs)
    if run.views not in (None, "padded", "unpadded"):
        raise BadInput(f"--views={run.views}: expected padded or unpadded")
    if run.views == "unpadded" and not silent:
        nets = ", ".join(config.net for config in configs)
        raise BadInput(
            f"--views=unpadded: among {nets} are front ends that repeat short clips (front_end.layout repeat_pad), "
            "expected such that pad them with silence, or --views=padded"
        )
    if run.views == "unpadded" and not possible:
        nets = ", ".join(dict.fromkeys(config.net for config in configs))
        raise BadInput(
            f"--views=unpadded: {corruption} on {nets}, expected clean clips "
            "(corruptions cover the padding too) and networks over log-mel spectrograms alone"
        )
    published = run.profile == "reference" and run.dataset.split("/")[0] in UNPADDED_SETS and possible
    return run.views or ("unpadded" if published else "padded")


def _lengths(loaded: targets.Loaded, configs: Sequence[ClassifierConfig]) -> np.ndarray:
    """Samples of each laid out clip that are its own; enough for the longest window of the models."""
    lengths = np.minimum(loaded.clips.lengths, loaded.length)
    least = max(config.front_end["n_fft"] for config in configs) // 2
    if lengths.min() <= least:
        clip = loaded.clips.ids[int(lengths.argmin())]
        raise BadInput(f"{clip}: has {lengths.min()} samples, expected more than {least}: choose --views=padded")
    return lengths


def _model(source: SourceModel, batch_size: int, programs: Programs) -> Callable[[Any], np.ndarray]:
    """The logits of a model, of padded clips or (compiled once for all lengths) of `election.OwnSamples`."""
    classifier = source.classifier

    @jax.jit
    def alone(variables: Any, waves: jax.Array, lengths: jax.Array) -> jax.Array:
        spec = MelSpec(**{key: value for key, value in classifier.config.front_end.items() if key != "kind"})
        return classifier.apply_features(variables, ragged_log_mel(waves, lengths, spec), mode=EVAL)[0].logits

    def predict(view: Any) -> np.ndarray:
        if not isinstance(view, election.OwnSamples):
            return programs.source_logits(classifier, source.variables, view, batch_size)
        batches = padded_batches(np.arange(len(view.waves)), batch_size)
        said = [alone(source.variables, jnp.asarray(view.waves[r]), jnp.asarray(view.lengths[r])) for r, _ in batches]
        return check_finite_logits(np.concatenate(said)[: len(view.waves)], _UNADAPTED)

    return predict


def _counted(predict: Callable[[Any], np.ndarray], estimate: Estimate) -> Callable[[Any], np.ndarray]:
    """A model each of whose views is a part of the estimate."""

    def predict_and_count(view: Any) -> np.ndarray:
        logits = predict(view)
        estimate.part()
        return logits

    return predict_and_count


def _models(run: ElectRun, programs: Programs) -> list[SourceModel]:
    """The models, checked against the data set and against each other."""
    sources = []
    for folder in run.checkpoint:
        variables, config, _ = checkpoints.load(folder)
        targets.check_fits(config, sets.get(run.dataset, run.data_dir), folder)
        first = sources[0].classifier.config if sources else config
        if (config.sample_rate, config.length) != (first.sample_rate, first.length):
            raise BadInput(
                f"{folder}: clips of {config.length} samples at {config.sample_rate} Hz, expected those of the first "
                f"model, {first.length} at {first.sample_rate} Hz"
            )
        if reading(config.front_end) != reading(first.front_end):
            found, expected = (" and ".join(reading(one.front_end).values()) for one in (config, first))
            raise BadInput(
                f"{folder}: its front end has recordings read with {found}, expected {expected}, as the first model's"
            )
        sources.append(source_model(programs.classifier(config), jax.tree.map(jnp.asarray, variables)))
    return sources


def _named(
    run: ElectRun,
    sources: Sequence[SourceModel],
    names: tuple[str, str],
    drawn: targets.Corrupted,
    mode: str,
    clips: str,
) -> dict[str, Any]:
    """The part of a record that names it, known before anything is predicted."""
    options = {"shift": run.shift, "average": run.average, "models": len(sources), **dict(drawn.draw)}
    hashes = "+".join(s.sha256 for s in sources)
    own = digests.together(zoo.own_settings(s.classifier.config) for s in sources)
    content = {"clips": clips, "noise": drawn.noise, "config": own}
    content = {name: digest for name, digest in content.items() if digest}
    parts = [*set_names(run.dataset), names[0], *(n for s in sources for n in s.classifier.config.places())]
    content |= {name: digest for name in parts if (digest := registry.source_digest(name))}
    named = [run.dataset, run.split, names, mode, run.profile, run.seed, options, content, hashes]
    cell = digests.of_texts(records.FORMAT, *named)
    return {"cell": cell, "options": options, "content": content, "source_checkpoint": hashes}


def _record(
    run: ElectRun,
    sources: Sequence[SourceModel],
    loaded: targets.Loaded,
    names: tuple[str, str],
    drawn: targets.Corrupted,
    mode: str,
    single: np.ndarray,
    logits: np.ndarray,
    clips: str,
) -> dict[str, Any]:
    metric, labels = loaded.dataset.metric, loaded.labels
    curve = [scored(0, single, labels, metric, {}), scored(1, logits, labels, metric, {})]
    views = 3 if mode in ("aug_elect", "hybrid") else 1
    models = len(sources) if mode in ("multi_train", "hybrid") else 1
    named = _named(run, sources, names, drawn, mode, clips)
    value = curve[1]["metric"]
    return {
        "cell": named["cell"],
        "dataset": set_name(run.dataset, run.split),
        "corruption": names[0],
        "level": names[1],
        "net": sources[0].classifier.config.net,
        "method": mode,
        "protocol": "election",
        "profile": run.profile,
        "metric": metric,
        "n": len(labels),
        "seed": run.seed,
        "non_adapted": curve[0]["metric"],
        **{key: value for key in ("adapted_last", "adapted_selected", "adapted_oracle")},
        "selection": {"criterion": "none", "epoch": 1, "oracle_epoch": 1},
        "curve": curve,
        "metrics": metrics.everything(logits, labels),
        **{key: curve[1][key] for key in ("ece", "nll", "collapsed")},
        "passes": {"forward": views * models, "backward": 0, "evaluation": 0},
        "parameters_moved": 0,
        **named,
    }
