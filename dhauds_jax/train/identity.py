"""What names a training: its flags, and the content of what they point to, whatever that is called or where it lies."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dhauds_jax.data import content
from dhauds_jax.data.pipeline import ClipSplit
from dhauds_jax.digests import of_arrays, together
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import checkpoint as checkpoints
from dhauds_jax.nets import zoo
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.registry import source_digest
from dhauds_jax.requests import set_names
from dhauds_jax.train.optimisers import FALL_OVER_EPOCHS
from dhauds_jax.train.request import PretrainRun, TrainRun
from dhauds_jax.wording import differing


def of_flags(run: TrainRun | PretrainRun, names: Sequence[str], *configs: ClassifierConfig) -> dict[str, Any]:
    """The part that is known before a file is read: some flags, all options, the user's own files.

    Args:
      run: the request.
      names: of its fields that name a training.
      configs: what its net stands for, and that of the checkpoint it starts from: files of their families, heads and
        front ends count too, and settings that are not their preset's.
    """
    named = {name: getattr(run, name) for name in names}
    places = dict.fromkeys(place for config in configs for place in config.places())
    net = together(map(source_digest, places))
    own = {"dataset_source": together(map(source_digest, set_names(run.dataset))), "net_source": net}
    own["config"] = together(map(zoo.own_settings, configs))
    named |= {name: digest for name, digest in own.items() if digest}
    return json.loads(json.dumps({**named, "options": run.options.as_dict()}))


def of_files(
    run: TrainRun | PretrainRun, train: ClipSplit, validation: ClipSplit, noise: np.ndarray | None = None
) -> dict[str, Any]:
    """The part that is known when the data is there: both splits, the noise recording, the weights it starts from."""
    return {
        "train": content.of_split(train),
        "validation": content.of_split(validation),
        "noise": None if noise is None else of_arrays(noise),
        "weights": checkpoints.variables_hash(checkpoints.load(run.checkpoint)[0]) if run.checkpoint else None,
    }


def same_but_epochs(stored: Any, wanted: Any) -> bool:
    """Whether two identities differ in nothing but the number of epochs: one training is the beginning of the other."""
    return isinstance(stored, dict) and _without_epochs(stored) == _without_epochs(wanted)


def check_free(folder: Path, flags: dict[str, Any], states: Sequence[Path] = ()) -> None:
    """Raises `BadInput` when a checkpoint is there that was made with other flags; nothing else is read for that.

    Args:
      folder: of the checkpoint.
      flags: the identity, as far as it is known (`of_flags`).
      states: where the state lies from which a finished training may go on with more epochs (none: it may not).

    Raises:
      BadInput: another run's checkpoint, or one of fewer epochs that cannot be gone on with.
    """
    if not folder.exists():
        return
    stored = _stored(folder)
    found = {name: stored.get(name) for name in flags}
    if found == flags or _goes_on(folder, found, flags, states):
        return
    raise _another(folder, found, flags)


def _goes_on(folder: Path, stored: dict[str, Any], flags: dict[str, Any], states: Sequence[Path]) -> bool:
    """Whether a finished training is the beginning of the one asked for; `BadInput` where it is, but cannot go on."""
    if not states or not same_but_epochs(stored, flags):
        return False
    done, asked = stored["options"]["epochs"], flags["options"]["epochs"]
    if done > asked:
        raise BadInput(f"--epochs={asked}: {folder} was trained for {done}: choose another --workdir or remove it")
    if flags["options"]["optimiser"] in FALL_OVER_EPOCHS:
        raise BadInput(
            f"--epochs={asked}: {folder} was trained for {done}, over which the rate of "
            f"--optimiser={flags['options']['optimiser']} fell to 0, so {asked} are another training from the first "
            "epoch on: choose another --workdir or remove it"
        )
    if not any(state.exists() for state in states):
        raise BadInput(
            f"--epochs={asked}: {folder} was trained for {done}, and the state to go on from is not in {states[0]}: "
            "choose another --workdir or remove the checkpoint to train all epochs"
        )
    return True


def is_finished(folder: Path, identity: dict[str, Any]) -> bool:
    """Whether a checkpoint is there that this very run wrote; `BadInput` if another run wrote it.

    One with fewer epochs, which `check_free` let pass, is not finished.
    """
    if not folder.exists():
        return False
    stored = _stored(folder)
    if stored == identity:
        checkpoints.load(folder)  # whole, or it says what is wrong with it
        return True
    if same_but_epochs(stored, identity):
        return False
    raise _another(folder, stored, identity)


_SAID = {
    "train": "clips of train",
    "validation": "clips that are validated on",
    "noise": "recording of the noise view",
    "weights": "weights to start from",
}
"""What the names of `of_files` are to a user; the other ones are flags."""


def _another(folder: Path, stored: dict[str, Any], wanted: dict[str, Any]) -> BadInput:
    if not same_but_epochs(stored, wanted):  # more epochs alone would have been none of the reasons
        stored, wanted = _without_epochs(stored), _without_epochs(wanted)
    told, asked = ({_SAID.get(name, name): value for name, value in one.items()} for one in (stored, wanted))
    return BadInput(
        f"{folder} holds the checkpoint of another run (other {differing(told, asked)}): choose another --workdir or "
        "remove it"
    )


def _without_epochs(identity: dict[str, Any]) -> dict[str, Any]:
    options = identity.get("options") or {}
    return {**identity, "options": {name: value for name, value in options.items() if name != "epochs"}}


def _stored(folder: Path) -> dict[str, Any]:
    return checkpoints.load_extra(folder).get("training", {}).get("identity", {})


def workdir_state(workdir: Path) -> Path:
    """Where a training run keeps the state of an unfinished run."""
    return Path(workdir) / "state" / "train"


def trained_state(workdir: Path) -> Path:
    """Where the state lies that a finished run ended with, for one with more epochs."""
    return Path(workdir) / "state" / "trained"
