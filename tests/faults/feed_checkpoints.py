"""Campaign feed_checkpoints: damaged weights of every converter family, of each kind of file, with their records."""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tests.faults import feeding, mutations, own_checkpoints
from tests.faults.mutations import one_of
from tests.faults.outcomes import Outcome
from tests.faults.sources import MAKERS, Sources, State
from tests.faults.trying import Target

TRIES, BLOCK = 200, 50

ENDINGS = (".pt", ".safetensors", ".npz")

TYPES = ("float64", "float16", "int64", "uint8", "bool", "complex64", "float32", ">f4", "int8")


def other_state(rng: np.random.Generator, state: State) -> State:
    """A state dict of which some tensors are missing, of other shapes, types or numbers, or called something else."""
    state = dict(state)
    for _ in range(int(rng.integers(1, 4))):
        if not state:
            break
        name = one_of(rng, sorted(state))
        array, kind = state[name], int(rng.integers(9))
        if kind == 0:
            state.pop(name)
        elif kind == 1:
            state[one_of(rng, (*mutations.HOSTILE[-30:], f"{name}.weight", name.upper()))] = state.pop(name)
        elif kind == 2:
            state[name] = array.reshape(-1) if rng.random() < 0.5 else array[None]
        elif kind == 3:
            state[name] = np.swapaxes(array, 0, -1) if array.ndim > 1 else np.tile(array, 2)
        elif kind == 4:
            with np.errstate(all="ignore"):
                state[name] = np.asarray(array).astype(one_of(rng, TYPES))
        elif kind == 5:
            state[name] = np.full(array.shape, one_of(rng, (np.nan, np.inf, -1e38, 0)), np.float32)
        elif kind == 6:
            state[name] = np.zeros(one_of(rng, ((), (0,), (0, 3), (1,) * 8, (1, 1), (3, 0, 2))), np.float32)
        elif kind == 7:
            state[name] = array[tuple(slice(0, max(0, n - 1)) for n in array.shape)]
        else:
            state[f"encoder.layers.{rng.integers(99)}.{name}"] = array
    return state


def write(path: Path, state: State, rng: np.random.Generator | None = None) -> None:
    """A file of tensors, of the kind that its ending says; with a generator a `.pt` may hold other things beside."""
    if path.suffix == ".npz":
        named = ((name.replace("\0", "").encode("utf-8", "replace").decode(), array) for name, array in state.items())
        np.savez(path, **{name or "_": array for name, array in named})
    elif path.suffix == ".safetensors":
        from safetensors.numpy import save_file

        plain = {name.encode("utf-8", "replace").decode(): native(array) for name, array in state.items()}
        save_file(plain, path)
    else:
        _write_torch(path, state, rng)


def native(array: np.ndarray) -> np.ndarray:
    """An array in C order and in the machine's order of bytes, of the same shape."""
    return np.array(array, array.dtype.newbyteorder("="), order="C").reshape(array.shape)


def _write_torch(path: Path, state: State, rng: np.random.Generator | None) -> None:
    import torch

    saved: dict[str, Any] = {name: torch.from_numpy(native(array)) for name, array in state.items()}
    old = False
    if rng is not None and rng.random() < 0.5:
        old = rng.random() < 0.3
        for _ in range(int(rng.integers(1, 4))):
            saved[one_of(rng, sorted(saved) or ["a"])] = one_of(rng, _strange())
        saved = one_of(rng, (saved, {"state_dict": saved}, {"model": saved, "args": None}, {"model": {"model": saved}}))
        saved = one_of(rng, (saved, saved, saved, [saved], (saved, saved), "text", 3, None, {}))
    torch.save(saved, path, _use_new_zipfile_serialization=not old, pickle_protocol=2)


def _strange() -> tuple[Any, ...]:
    """What a state dict may hold in place of a tensor."""
    import torch

    deep: Any = torch.ones(2)
    for _ in range(50):
        deep = [deep]
    return (
        *("a text", 3, None, [], {}, {"a": {"b": torch.ones(1)}}, [torch.ones(2)], 1 << 70, float("nan"), b"bytes"),
        *(torch.ones(1).expand(1 << 30), torch.ones(2, 2).T, torch.zeros(0), torch.ones(1, dtype=torch.complex64)),
        *(torch.zeros(3, dtype=torch.bfloat16), np.float64(2.0), np.arange(5), torch.Size([1, 2]), deep),
    )


def attempt(sources: Sources, place: Path, rng: np.random.Generator) -> Iterator[None]:
    """One conversion of damaged files; nothing may lie there after a refusal."""
    from converters import conversion

    parts = [other_state(rng, state) if rng.random() < 0.5 else dict(state) for state in sources.parts]
    ending = one_of(rng, ENDINGS)
    if sources.records:
        paths = [_folder(sources, parts[0], place / "hub", rng)]
    else:
        paths = [place / f"{number}{ending}" for number in range(len(parts))]
        for path, state in zip(paths, parts, strict=True):
            write(path, state, rng)
            if rng.random() < 0.4:
                path.write_bytes(mutations.damaged(rng, path.read_bytes()))
    config = None
    if sources.config is not None and rng.random() < 0.97:
        config = place / "config.json"
        bent = mutations.bent(rng, sources.config) if rng.random() < 0.3 else sources.config
        config.write_bytes(mutations.text_of(rng, bent) if rng.random() < 0.2 else json.dumps(bent).encode())
    yield
    conversion.convert(sources.family, paths, place / "out", config=config)


def _folder(sources: Sources, state: State, folder: Path, rng: np.random.Generator) -> Path:
    folder.mkdir()
    weights = folder / one_of(rng, ("model.safetensors", "pytorch_model.bin"))
    write(weights, state, rng)
    if rng.random() < 0.3:
        weights.write_bytes(mutations.damaged(rng, weights.read_bytes()))
    for name, record in sources.records.items():
        changed = mutations.bent(rng, record) if rng.random() < 0.5 else record
        text = mutations.text_of(rng, changed) if rng.random() < 0.2 else json.dumps(changed).encode()
        (folder / name).write_bytes(text)
    if rng.random() < 0.1:
        index = {"weight_map": {name: weights.name for name in state}}
        (folder / "model.safetensors.index.json").write_bytes(mutations.text_of(rng, mutations.bent(rng, index)))
        weights.rename(folder / one_of(rng, ("a.safetensors", weights.name)))
    return folder


def prepared(name: str, folder: Path) -> Sources:
    """The sources of a case; that they convert is tried once."""
    from converters import conversion

    sources = MAKERS[name](folder)
    paths = [folder / f"{number}.safetensors" for number in range(len(sources.parts))]
    if sources.records:
        (folder / "sound").mkdir()
        paths = [folder / "sound"]
        for record, content in sources.records.items():
            (folder / "sound" / record).write_text(json.dumps(content))
        write(folder / "sound" / "model.safetensors", sources.parts[0])
    else:
        for path, state in zip(paths, sources.parts, strict=True):
            write(path, state)
    if sources.config is not None:
        (folder / "config.json").write_text(json.dumps(sources.config))
    conversion.convert(
        sources.family,
        paths,
        folder / "out",
        config=folder / "config.json" if sources.config is not None else None,
    )
    return sources


TARGETS = {**{name: Target(partial(prepared, name), attempt) for name in MAKERS}, **own_checkpoints.TARGETS}


def run(tries: int, seed: int, place: Path, tell: Callable[[Outcome], None], done: Container[str]) -> None:
    """The campaign (see `campaigns`)."""
    feeding.run("feed_checkpoints", __name__, list(TARGETS), BLOCK, (tries, seed, place, tell, done))


tables = feeding.table
