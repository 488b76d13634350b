"""What listens and what is listened to, from the flags of `experiments.listen`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from dhauds_jax.data.audio import LONGEST_SECONDS, Reading
from dhauds_jax.data.mixdown import SILENT, Mixdown
from dhauds_jax.data.streaming import delay_s
from dhauds_jax.errors import check_number
from dhauds_jax.model import load
from dhauds_jax.model.rejecting import Rejecting
from dhauds_jax.nets.config import reading
from dhauds_jax.runs import serve_sessions, serve_unknown
from dhauds_jax.runs.requests.listen import ListenRun
from dhauds_jax.serve import engine, pcm
from dhauds_jax.serve.contracts import Served
from dhauds_jax.serve.listening import Listener, Window
from dhauds_jax.serve.request import ServeRun
from dhauds_jax.serve.sessions import Sessions
from dhauds_jax.wording import counted


class Ears(NamedTuple):
    """A model that listens.

    Attributes:
      served: the model as it is.
      listener: what is asked of windows.
      sessions: what it adapts by, None where it does not.
      read_as: its `layout` and `resampler`.
      now: seconds of the sound so far, in a list of one: what sessions take for the time.
      rule: which windows are unknown by what held-out clips say; None where nothing of the kind is asked for.
    """

    served: Served
    listener: Listener
    sessions: Sessions | None
    read_as: dict[str, str]
    now: list[float]
    rule: Rejecting | None

    def told(self) -> dict[str, Any]:
        """What is told of the session; nothing where there is none."""
        return {} if self.sessions is None else self.sessions.describe(self.listener.session)


class Sound(NamedTuple):
    """What is listened to.

    Attributes:
      rate: Hz.
      blocks: float32 (time,), as they come.
      notices: what must be said of it when it has ended.
    """

    rate: int
    blocks: Iterator[np.ndarray]
    notices: Callable[[], Sequence[str]]


def hop_of(seconds: float, served: Served) -> int:
    """Samples of a hop; raises `BadInput` for one that leaves sound between two windows out."""
    window = served.length / served.sample_rate
    check_number("--hop", seconds, 0.0, window, because="a longer one than a window would leave sound out")
    return max(1, round(seconds * served.sample_rate)) if seconds else served.length


def as_served(run: ListenRun) -> ServeRun:
    """The flags as a service has them: one session that is never left alone.

    The source model is asked where an update is judged.
    """
    common = {name: getattr(run, name) for name in ListenRun.names() if name in ServeRun.names()}
    return ServeRun(**{**common, "max_sessions": 1, "idle_s": 1e9, "shadow": False})


def ears_of(run: ListenRun) -> Ears:
    """The model of the flags, not compiled yet."""
    asked = as_served(run)
    serve_unknown.check(asked)
    serve_unknown.check_checkpoint(asked)
    models = [load(place, precision=run.precision) for place in run.checkpoint]
    rule, shapes = serve_unknown.rule_of(asked, models[0]), engine.shapes_up_to(run.max_batch)
    served = engine.serve_models(models, shapes=shapes, rule=rule)
    read_as, now = reading(models[0].config.front_end), [0.0]
    if run.adapt == "none":
        listener = Listener(engine.SourceOnly(served), served.shapes, served.length)
        return Ears(served, listener, None, read_as, now, rule)
    sessions = serve_sessions.made(asked, served, models[0], clock=lambda: now[0], rule=rule)
    name = sessions.open()
    listener = Listener(sessions, served.shapes, served.length, name, lambda waves: sessions.says(name, waves))
    return Ears(served, listener, sessions, read_as, now, rule)


def sound_of(run: ListenRun, raw: bool, own_rate: int) -> Sound:
    """The sound of the flags; a pipe is opened when its first block is asked for. Raises `BadFile` for a bad file."""
    if not raw:
        found = Reading(run.input, LONGEST_SECONDS)
        return Sound(found.sample_rate, found.blocks(), lambda: found.notices(found.sample_rate))
    how = pcm.Raw(run.rate or own_rate, run.format, run.channels)
    mix = Mixdown(how.channels)

    def notices() -> list[str]:
        silent = (
            ["the sound is silent throughout: is it the right source?"] if mix.samples and mix.peak < SILENT else []
        )
        return silent + ["the channels cancel when they are mixed down"] * mix.cancels()

    return Sound(how.rate, pcm.samples(pcm.read_from(run.input), how, mix), notices)


def warm(ears: Ears) -> float:
    """Compiles everything; the median of the seconds that a window takes then."""
    ears.served.warm()
    if ears.sessions is not None:
        ears.sessions.warm()
    noise = np.random.default_rng(0).normal(scale=0.1, size=(1, ears.served.length)).astype(np.float32)
    took = []
    for _ in range(5):
        begun = time.perf_counter()
        if ears.sessions is None:
            ears.listener.predict([Window(noise[0], 0, ears.served.length, 0.0)])
        else:
            ears.sessions.says(ears.listener.session, noise)
        took.append(time.perf_counter() - begun)
    return statistics.median(took)


def heading(run: ListenRun, ears: Ears, sound: Sound, hop: int, took: float) -> str:
    """What is said before the first label: what listens to what, and how long a sound is under way to its label."""
    rate, own = sound.rate, ears.served.sample_rate
    window_ms, hop_ms, compute_ms = 1e3 * ears.served.length / own, 1e3 * hop / own, 1e3 * took
    parts = [f"window {window_ms:.0f} + hop {hop_ms:.0f} + compute {compute_ms:.1f}"]
    held_ms = 0.0 if rate == own else 1e3 * delay_s(rate, own, ears.read_as["resampler"])
    if held_ms:
        parts.append(f"resampling from {rate} to {own} Hz {held_ms:.1f}")
    lines = [
        f"listening to {'stdin' if run.input == pcm.STDIN else run.input}; "
        f"{counted(len(ears.served.classes), 'class', 'classes')}, windows of {window_ms / 1e3:g} s at {own} Hz"
        f"{serve_unknown.told(ears.rule)}",
        f"latency from a sound's beginning to its label, at most: {window_ms + hop_ms + compute_ms + held_ms:.0f} ms "
        f"({' + '.join(parts)})",
    ]
    if run.speed and compute_ms * run.speed > hop_ms:
        need = compute_ms * run.speed / 1e3
        lines.append(
            f"a window takes longer than a hop: some will be late or dropped; expected --hop={need:.2g} at least"
        )
    return "\n".join(lines)
