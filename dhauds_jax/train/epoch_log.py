"""What a training writes while it goes on: `progress.jsonl`, a line an epoch, and TensorBoard's event files."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dhauds_jax import json_texts, parallel
from dhauds_jax.errors import BadInput
from dhauds_jax.files import check_no_link, write_atomically

PROGRESS = "progress.jsonl"
"""In the work folder: an object a line with `epoch`, `loss`, `accuracy`, `macro_f1`, `nll`, `lr` and `seconds`."""

EVENTS = "tensorboard"
"""In the work folder: the folder for `tensorboard --logdir`."""

TAGS = {"loss": "train/loss", "lr": "train/lr"}
"""TensorBoard's tags; those of all other values are `validation/NAME`."""


def check_tensorboard() -> None:
    """Raises `BadInput` when there is no writer of event files."""
    if importlib.util.find_spec("tensorboardX") is None:
        raise BadInput(
            "--tensorboard: tensorboardX is not installed, expected it (pip install dhauds_jax[tensorboard])"
        )


class EpochLog:
    """The files of one sitting; an epoch has one line, however often the training was resumed."""

    def __init__(self, workdir: Path, tensorboard: bool = False) -> None:
        self.path = Path(workdir) / PROGRESS
        self.events = Path(workdir) / EVENTS if tensorboard and parallel.writes() else None
        self._writer: Any = None
        self._begun = False

    def add(self, history: Sequence[Mapping[str, float]], scores: Mapping[str, float], seconds: float) -> None:
        """The end of an epoch.

        Args:
          history: of all epochs up to this one, as `train.loop.train` fills it.
          scores: of this epoch (`TrainEpoch.scores`); empty for one of an earlier sitting.
          seconds: that this epoch took, validation included.
        """
        if not parallel.writes():
            return
        if not self._begun:
            self._begin(history[:-1] if scores else history)
        if not scores:
            return
        row = {"epoch": len(history), "loss": history[-1]["loss"], **scores, "seconds": round(seconds, 3)}
        check_no_link(self.path)  # `_begin` has made a file of it
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())  # a state that comes after it is on the disk, and knows no more than the loss
        if self._writer:
            for name, value in row.items():
                if name not in ("epoch", "seconds"):
                    self._writer.add_scalar(TAGS.get(name, f"validation/{name}"), value, row["epoch"])
            self._writer.flush()

    def close(self) -> None:
        """Ends the event file."""
        if self._writer:
            self._writer.close()

    def _begin(self, done: Sequence[Mapping[str, float]]) -> None:
        """Leaves a line for each epoch that is done, and none for one that comes again after a kill."""
        found = {row["epoch"]: row for row in _rows(self.path)}
        rows = [
            found.get(epoch, {"epoch": epoch, "loss": past["loss"], "accuracy": past["validation"]})
            for epoch, past in enumerate(done, 1)
        ]
        write_atomically(self.path, "".join(json.dumps(row) + "\n" for row in rows))
        if self.events:
            from tensorboardX import SummaryWriter

            # Names have the second in them: without a suffix a sitting that follows at once would overwrite the file.
            first = len(done) + 1
            self._writer = SummaryWriter(str(self.events), purge_step=first, filename_suffix=f".epoch{first}")
        self._begun = True


def _rows(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a file of `EpochLog`; a killed command leaves half of one at the end."""
    found = []
    for line in path.read_bytes().split(b"\n") if path.exists() else ():
        with contextlib.suppress(json_texts.NotJson):
            found.append(json_texts.parsed(line))
    return [row for row in found if isinstance(row, dict) and isinstance(row.get("epoch"), int)]
