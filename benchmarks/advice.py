"""Runs of `classify` whose truth is known: folders of speech and of other sounds, adapted to as `classify` does.

Example: python -m benchmarks.advice --data=data --digits=work/digits/checkpoint --output=work/advice
The folders of `advice_folders` are written below OUTPUT/folders. A run is kept as OUTPUT/runs/NAME.npz (logits of the
windows before and after), so that the command goes on where it was, and signs can be tried without adapting again.
`advice_table` makes rows and tables of them.
"""

from __future__ import annotations

import argparse
import functools
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import advice_fresh_folders, advice_new_folders
from benchmarks.advice_folders import HALVES, make, training
from dhauds_jax import names
from dhauds_jax.command import compilation_cache
from dhauds_jax.data import recordings
from dhauds_jax.model import adapting, own_sounds, record
from dhauds_jax.nets.config import reading
from dhauds_jax.tta import methods

COMMON = ("source", "tent", "norm", "dhauds")
"""Methods of all folders."""

EVERY = {
    "fit": ("running_tap_10dB", "clean", "home_sounds"),
    "report": ("doing_the_dishes_10dB", "clean", "home_sounds"),
}
"""Folders of all methods (of `words15`)."""

LACKING, OPTIONS = ("ttt", "foa", "rmt", "santa", "gtta"), {"eata": {"fisher": 0.0}}
"""What needs more than a folder of unlabelled recordings (an auxiliary head, the source's clips), and how to do
without."""


def run(model: record.Model, how: adapting.Request, made: Callable[[int], Any], folder: Path) -> dict[str, np.ndarray]:
    """One run, as `classify` makes it: what it needs to be judged. `made` is its method for batches of a size."""
    config = model.config
    wanted = {"sample_rate": config.sample_rate, "length": config.length, **reading(config.front_end)}
    found = recordings.load(folder, on_bad_file="stop", **wanted)
    method = made(min(how.batch_size, len(found.waves)))
    started = time.perf_counter()
    outcome = model.adapting(how, method, found.waves, progress=False)
    took = time.perf_counter() - started
    truth = json.loads((folder / "truth.json").read_text())
    kept = {
        "before": outcome.before,
        "after": outcome.logits,
        "owner": found.owner,
        "truth": [-1 if label is None else model.classes.index(label) for label in truth],
        "silent": np.isin(found.files, found.silent),
        "position": outcome.position,
        "seconds": took,
    }
    return {name: np.asarray(value) for name, value in kept.items()}


def methods_of(model: str, folder: Path, every: bool) -> Iterator[str]:
    """The methods that a folder is adapted with."""
    half, kind = folder.parts[-3], folder.name
    yield from COMMON if kind != "nine_files" else COMMON[:2]
    if every and kind in EVERY.get(half, ()) and model == "words15":
        yield from (name for name in names.METHODS if name not in COMMON and name not in LACKING)


def measure(models: Mapping[str, record.Model], folders: list[Path], output: Path, half: str, every: bool) -> None:
    """Makes the runs of a half that are not there yet."""
    for method_name in (*COMMON, *(name for name in names.METHODS if name not in COMMON)):
        for name, model in models.items():
            mine = [f for f in folders if f.parts[-3:-1] == (half, name) and method_name in methods_of(name, f, every)]
            options = methods.resolve_options(method_name, "corrected", OPTIONS.get(method_name, {}))
            how = adapting.Request(method_name, options)

            @functools.cache  # a compiled method takes batches of one shape
            def made(size: int, model: record.Model = model, how: adapting.Request = how) -> Any:
                return methods.make(how.method, model.classifier, how.options)

            for folder in mine:
                target = output / "runs" / f"{half}-{name}-{folder.name}-{method_name}.npz"
                if target.exists():
                    continue
                kept = run(model, how, made, folder)
                target.parent.mkdir(parents=True, exist_ok=True)
                np.savez_compressed(target.with_suffix(".tmp.npz"), **kept)
                target.with_suffix(".tmp.npz").replace(target)
                print(f"{target.stem}: {float(kept['seconds']):.1f} s", flush=True)


def distances(models: Mapping[str, record.Model], folders: list[Path], output: Path) -> None:
    """Writes how far each folder lies from the sounds of its model, OUTPUT/far/NAME.json, where that is not known."""
    for folder in folders:
        half, name, kind = folder.parts[-3:]
        target, model = output / "far" / f"{half}-{name}-{kind}.json", models[name]
        if target.exists() or model.bank is None:
            continue
        config = model.config
        wanted = {"sample_rate": config.sample_rate, "length": config.length, **reading(config.front_end)}
        waves = recordings.load(folder, on_bad_file="stop", **wanted).waves
        found = own_sounds.distance(model.bank, model.classifier, model.variables, waves)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--digits", help="checkpoint of the digit classifier; without it, OUTPUT/digits gets its clips")
    parser.add_argument("--every", action="store_true", help="all methods on the folders of EVERY")
    given = parser.parse_args()
    if not given.digits:
        training(given.data, given.output / "digits")
        return
    models = {"words15": record.load("words15"), "digits": record.load(given.digits)}
    compilation_cache.use()
    folders = make(given.data, given.output / "folders", list(models))
    later = advice_new_folders, advice_fresh_folders
    folders += [f for module in later for f in module.make(given.data, given.output / "folders", list(models))]
    distances(models, folders, given.output)
    for every in (False, True)[: 1 + given.every]:
        for half in (*HALVES, *(module.NAME for module in later)):
            measure(models, folders, given.output, half, every)


if __name__ == "__main__":
    main()
