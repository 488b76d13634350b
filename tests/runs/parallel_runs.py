"""What the child processes of `test_parallel_runs.py` do on their devices.

`python -m tests.runs.parallel_runs FOLDER` trains and adapts each way in one process; `... FOLDER HOST:PORT NUMBER
STAGE` is one of two processes, see `as_process`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from dhauds_jax import parallel
from dhauds_jax.cells.programs import Programs
from dhauds_jax.cells.request import AdaptRun
from dhauds_jax.runs.adapt import adapt
from dhauds_jax.runs.train import train_and_save
from dhauds_jax.train.request import TrainOptions, TrainRun
from dhauds_jax.workdir.saver import Saver
from tests.runs import tiny

OPTIONS = TrainOptions(epochs=2, batch_size=12, views=("shift",), mixup=0.5, lr=1e-3)


def _place(folder: Path) -> dict[str, str]:
    return {"dataset": "arabic_speech_commands", "data_dir": str(folder / "data"), "noise_dir": str(folder / "noise")}


def training(folder: Path, name: str, kind: str) -> TrainRun:
    """A training of two epochs in `folder/name`, whose state is saved after each."""
    run = TrainRun(**_place(folder), net=tiny.NET, workdir=str(folder / name), seed=1, options=OPTIONS)
    return run.replace(parallel=kind, save_every_s=0.0)


def adaptation(folder: Path, name: str, kind: str, **changes: Any) -> AdaptRun:
    """Four cells in `folder/name`, or those of `changes`; states are saved after every epoch and step of a stream."""
    run = AdaptRun(
        **_place(folder),
        net=None,
        checkpoint=str(folder / "checkpoint"),
        method=["source", "tent"],
        corruption=["WHN"],
        level=["L2"],
        protocol=["offline", "online"],
        profile="reference",
        seed=1,
        epochs=1,
        batch_size=6,
        options=[],
        criterion="information",
        split="test",
        workdir=str(folder / name),
        save_every_s=0.0,
        allow_partial=False,
        draw="single",
        parallel=kind,
    )
    return run.replace(**changes)


def in_one_process(folder: Path) -> None:
    """`train-KIND` and `adapt-KIND` under the folder; 15 test clips and 30 training clips of `tiny.make_arabic`."""
    programs = Programs()
    for kind in ("jit", "pmap", "mesh"):
        train_and_save(training(folder, f"train-{kind}", kind), "c")
        adapt(adaptation(folder, f"adapt-{kind}", kind), "c", programs=programs)


class Stopped(Exception):
    """In the place of Ctrl-C."""


def after_save(position: int, act: Callable[[], None]) -> Callable[..., bool]:
    """`Saver.save`, and `act` when the state of this position has been saved."""
    save = Saver.save

    def save_and_act(saver: Saver, tree: Any, info: dict[str, Any], **when: bool) -> bool:
        saved = save(saver, tree, info, **when)
        if saved and info["position"] == position:
            act()
        return saved

    return save_and_act


def stop() -> None:
    """Ends a run in the middle; one state is there then, that of the second batch."""
    raise Stopped


def die() -> None:
    """Kills the first process; whoever started them kills the other one."""
    if parallel.writes():
        os.kill(os.getpid(), signal.SIGKILL)


def as_process(folder: Path, coordinator: str, number: str, stage: str) -> None:
    """One of two processes: "first" adapts, is stopped and goes on, and dies in a training that "second" ends."""
    leave = parallel.start(coordinator, 2, int(number))
    killed = training(folder, "train-killed", "mesh")
    if stage == "first":
        programs = Programs()
        whole, stopped = (
            adaptation(folder, f"adapt-{name}", "mesh", method=["tent"], protocol=["online"])
            for name in ("two", "stopped")
        )
        adapt(whole, "c", programs=programs)
        with contextlib.suppress(Stopped), mock.patch.object(Saver, "save", after_save(2, stop)):
            adapt(stopped, "c", programs=programs)
        adapt(stopped, "c", programs=programs)
        with mock.patch.object(Saver, "save", after_save(1, die)):
            train_and_save(killed, "c")
    train_and_save(killed, "c")
    leave()


if __name__ == "__main__":
    place, *words = sys.argv[1:]
    as_process(Path(place), *words) if words else in_one_process(Path(place))
