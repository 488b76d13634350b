"""The learner that `experiments.learn` teaches: a new one on a network, or the one that a checkpoint holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from dhauds_jax.errors import BadInput
from dhauds_jax.incremental import learners, precision, rooms, stored
from dhauds_jax.incremental.rooms import Learned
from dhauds_jax.model import taps
from dhauds_jax.model.record import Model
from dhauds_jax.nets import prototypes
from dhauds_jax.runs import learn_clips
from dhauds_jax.runs.learn_clips import Clips
from dhauds_jax.runs.learn_network import Network, check_head
from dhauds_jax.runs.requests.learn import LEARNER, LearnRun
from dhauds_jax.tta.options import given_for
from dhauds_jax.types import Learner
from dhauds_jax.wording import counted


def first(run: LearnRun, model: Model, network: Network) -> tuple[Learned, list[str], tuple[tuple[str, str], ...]]:
    """The learner before the folder is learnt: new, or with the classes that the checkpoint had."""
    name = run.learner or LEARNER
    options = options_of(name, run.options)
    learner = made(name, options, network)
    head = run.head or learner.heads[0]
    if head not in learner.heads:
        raise BadInput(f"--head={head}: learner {name} has {', '.join(learner.heads)}, expected one of them")
    if run.keep == "head":
        _check_cosine(name, learner, network, run)
    shape = taps.shape_of(network.classifier, network.variables, learner.reads)
    about = {"seed": run.seed, "memory": run.memory, "clip_bytes": 2 * network.config.length}
    learned = rooms.begun(name, options, head, learner, network.variables, shape, **about)
    facts = [f"learner {name}{said_options(options)} on {network.config.net}, which reads {learner.reads}"]
    if run.keep == "clips":
        clips = learn_clips.read(
            run.base_dir,
            network.config,
            flag="base_dir",
            least=run.min_clips,
            most=run.base_clips,
            only=model.classes,
            on_bad_file=run.on_bad_file,
        )
        learned, said = session(run, learned, network, clips)
        facts.append(f"the checkpoint's {counted(len(model.classes), 'class', 'classes')} learnt from clips")
        return learned, [*facts, *clips.notices, *([said] if said else [])], clips.skipped
    if run.keep == "head":
        rows = np.asarray(jax.device_get(model.classifier.head(model.variables).kernel), np.float32).T
        owners, ones = np.arange(len(rows), dtype=np.int32), np.ones(len(rows), np.float32)
        nameless = [rooms.Clip(f"the last layer's row of {name}", "") for name in model.classes]
        learned, _ = rooms.taught(learned, rows, model.classes, ones, owners, nameless)
        facts.append(
            f"the checkpoint's {counted(len(model.classes), 'class', 'classes')} are kept as the rows of its last "
            "layer: how accurate they are was not measured"
        )
        return learned, facts, ()
    facts.append(f"the checkpoint's {counted(len(model.classes), 'class', 'classes')} are not kept (--keep)")
    return learned, facts, ()


def options_of(name: str, given: Sequence[str]) -> dict[str, Any]:
    """The options of a learner, from texts; raises `BadInput` for those that it does not have."""
    learners.factory(name)
    texts = given_for(name, given, [name])
    try:
        return learners.resolve_options(name, texts)
    except BadInput as error:
        raise BadInput(f"--options: {error}") from None


def made(name: str, options: Mapping[str, Any], network: Network) -> Learner:
    """A learner on a network, its functions compiled.

    Raises:
      BadInput: one that cannot be the head of a classifier, or that trains the network itself.
    """
    learner = learners.make(name, network.classifier, options)
    check_head(learner, name)
    if learner.prepare is not None or learner.reads == taps.WAVE:
        raise BadInput(
            f"--learner={name}: trains the network itself, for which a folder of a few clips is too small, expected "
            "options that leave this out (docs/incremental.md), or another learner; experiments.incremental measures it"
        )
    return precision.compiled(learner)


def said_options(options: Mapping[str, Any]) -> str:
    """Options in brackets, for a sentence."""
    return f" ({', '.join(f'{key}={value}' for key, value in options.items())})" if options else ""


def _check_cosine(name: str, learner: Learner, network: Network, run: LearnRun) -> None:
    """Raises `BadInput` for learners whose classes are no directions: a row of a last layer is nothing to them."""
    shape = taps.shape_of(network.classifier, network.variables, learner.reads)
    state = rooms.begun(name, {}, "", learner, network.variables, shape, max_classes=2, max_sessions=1, max_rows=2)
    head = learner.as_head(state.state, run.head or learner.heads[0])
    if learner.reads != "embedding" or head.kind != prototypes.KIND or not head.options["unit"]:
        raise BadInput(
            f"--keep=head: learner {name} does not compare angles, so rows of a last layer are no classes to it, "
            "expected --learner=prototype, or --keep=clips with --base_dir"
        )


def later(run: LearnRun, entry: Mapping[str, Any], network: Network, place: str) -> Learned:
    """The learner of a checkpoint that learns more; flags of a first session have to say the same or nothing."""
    learned = stored_learner(entry, network, place)
    if run.keep is not None:
        raise BadInput(
            f"--keep={run.keep}: {place} has learnt already and its classes are kept, expected the flag left out; "
            "--remove takes classes away"
        )
    if run.learner not in (None, learned.name):
        raise BadInput(
            f"--learner={run.learner}: {place} learns by {learned.name}, expected the flag left out, or the checkpoint "
            "that it began from"
        )
    if run.head not in (None, learned.head):
        raise BadInput(f"--head={run.head}: {place} has head {learned.head}, expected the flag left out")
    if run.options and options_of(learned.name, run.options) != learned.options:
        raise BadInput(
            f"--options: {place} learns by {learned.name}{said_options(learned.options)}, expected the same, or none"
        )
    return learned


def stored_learner(entry: Any, network: Network, place: str) -> Learned:
    """The learner of a checkpoint's `extra`; raises `BadInput` where there is none, or one of another network."""
    if entry is None:
        raise BadInput(f"checkpoint {place}: has learnt nothing, expected one of experiments.learn")
    if entry.get("backbone") != network.hash:
        raise BadInput(
            f"checkpoint {place}: its network ({network.hash}) is not the one that it learnt on "
            f"({entry.get('backbone')}), as after an adaptation, expected the checkpoint of experiments.learn itself"
        )
    return stored.from_extra(entry, lambda name, options: made(name, options, network), network.variables)


def session(run: LearnRun, learned: Learned, network: Network, clips: Clips) -> tuple[Learned, str]:
    """After one session more, and a sentence where its room had to grow."""
    inputs = taps.read(
        network.classifier,
        network.variables,
        clips.waves,
        learned.learner.reads,
        batch_size=run.batch_size,
        progress="read by the network",
    )
    names = [clips.labels[owner] for owner in clips.owner]
    about = [rooms.Clip(*pair) for pair in zip(clips.names, clips.digests, strict=True)]
    return rooms.taught(learned, inputs, names, clips.weights, clips.owner, about)
