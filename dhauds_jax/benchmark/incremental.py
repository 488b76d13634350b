"""Learning classes session after session: the network read once a clip, then all sessions, one seed or many at once.

Classes come five a session, from five clips each; clips are noise, since the cost does not depend on them. Beside it
PyTorch (benchmarks/torch_incremental.py), as the published code goes about it and on kept tokens.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dhauds_jax.benchmark import device
from dhauds_jax.benchmark.programs import Sizes, build
from dhauds_jax.errors import BadInput
from dhauds_jax.incremental import learners, precision
from dhauds_jax.incremental.asked import Asked
from dhauds_jax.processors import available_cores
from dhauds_jax.tta.options import given_for
from dhauds_jax.types import Classifier, Learner, LearnerInfo, Shots

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "torch_incremental.py"
WAY, SHOT, POOL, MEMORY = 5, 5, 500, 1
"""Classes a session, clips of each, training clips of each (which only the published code looks at), exemplars kept."""
COMPARED = "ede"
"""The learner that PyTorch's script has."""
_PATTERNS = 64  # different clips; what they hold costs nothing more or less


class Shape(NamedTuple):
    """How much is learnt: classes in all, clips of each that are tested, seeds at once."""

    classes: int
    tests: int
    seeds: int

    @property
    def sessions(self) -> int:
        """Of `WAY` classes each."""
        return self.classes // WAY


def check(
    shape: Shape, nets: Sequence[Classifier], names: Sequence[str], options: Sequence[str], vs_torch: bool
) -> None:
    """Raises `BadInput` in one sentence for what cannot be learnt or compared."""
    if shape.classes % WAY or not shape.sessions:
        raise BadInput(f"--classes={shape.classes}: come {WAY} a session, expected a multiple of {WAY} such as 25")
    for name in names:
        options_of(name, options, names)
    if not vs_torch:
        return
    if COMPARED not in names:
        raise BadInput(f"--vs_torch: PyTorch has the learner {COMPARED} alone, expected it among --learner")
    if find_spec("torch") is None:
        raise BadInput("--vs_torch: torch is not installed here, expected it (pip install torch)")
    if not SCRIPT.is_file():
        raise BadInput(f"--vs_torch: {SCRIPT} is missing, expected a checkout with its folder benchmarks")
    for net in nets:
        if net.config.family != "spectrogram_transformer":
            raise BadInput(f"--vs_torch: {net.config.net} is of family {net.config.family}, expected an AST or SSAST")


def options_of(name: str, texts: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    """A learner's options, resolved."""
    return learners.resolve_options(name, given_for(name, texts, names))


def published_forwards(shape: Shape, epochs: int) -> int:
    """Clips that the published code runs through the network for one seed: 183,800 in its shape.

    A session runs its training clips (`WAY * SHOT` new ones, an exemplar of each older class) once an epoch, one epoch
    in session 0; the tests of all seen classes every fifth epoch and twice at its end; each of its training clips four
    times for prototypes; all training clips of the new classes, to choose exemplars; every exemplar once.
    """
    total = 0
    for session in range(shape.sessions):
        rows, tests = WAY * SHOT + WAY * session, shape.tests * WAY * (session + 1)
        length = epochs if session else 1
        total += length * rows + (-(-length // 5) + 2) * tests + 4 * rows + WAY * POOL + WAY * (session + 1)
    return total


def own_forwards(shape: Shape, base_epochs: int = 0) -> int:
    """Clips that are run through the network here for one seed: each once, with what session 0 moves of it twice.

    Where session 0 trains the network (`base_epochs`), it runs its clips besides, and both networks read every clip.
    """
    clips = shape.classes * (SHOT + shape.tests)
    return 2 * clips + base_epochs * WAY * SHOT if base_epochs else clips


def rows(
    nets: Sequence[str],
    names: Sequence[str],
    options: Sequence[str],
    sizes: Sizes,
    shape: Shape,
    rounds: int,
    vs_torch: bool,
) -> Iterator[dict[str, Any]]:
    """A row a net and learner: seconds of reading and of all sessions with their tests, of one seed."""
    for net in nets:
        classifier = build(net, sizes)
        theirs = {}
        for name in names:
            resolved = options_of(name, options, names)
            if vs_torch and name == COMPARED:
                theirs = _theirs(classifier, shape, resolved["epochs"])
            row = _row(name, classifier, resolved, sizes, shape, rounds)
            yield _compared(row, theirs) if name == COMPARED and theirs else row


def _row(
    name: str, classifier: Classifier, options: Mapping[str, Any], sizes: Sizes, shape: Shape, rounds: int
) -> dict[str, Any]:
    config, made = classifier.config, learners.make(name, classifier, options)
    wave = jnp.zeros((1, config.length), jnp.float32)
    variables = jax.tree.map(jnp.asarray, classifier.init(jax.random.key(0), wave))
    one, base_epochs = precision.compiled(made), 0
    if made.prepare is not None and shape.seeds > 1:
        raise BadInput(
            f"--seeds={shape.seeds}: learner {name} trains the network in its first session, so seeds share nothing, "
            "expected --seeds=1 (or --options=ede.base_epochs=0)"
        )
    labels, numbers = _clips(shape)
    read = _reader(classifier, made.reads, sizes.batch)
    held: dict[str, Any] = {}

    def reading() -> Any:
        held["inputs"] = read(variables, labels, numbers)
        return held["inputs"]

    if made.prepare is not None:
        moved, _ = one.prepare(*_before(one, classifier, variables, shape), jax.random.key(1))
        base_epochs = options.get("base_epochs", 1)
        variables = jax.tree.map(jnp.asarray, dict(moved))
    read_seconds = device.timed(reading, 1)["seconds"]
    inputs = held["inputs"]
    learnt = device.timed(lambda: _course(one, variables, inputs, shape, sizes.batch, config.length), rounds)
    seconds = {key: learnt[key] + read_seconds for key in ("seconds", "fastest", "slowest", "first_call")}
    about = {"what": "incremental", "learner": name, "net": config.net, "batch": len(labels)}
    about |= {"clip_seconds": config.length / config.sample_rate, "classes": shape.classes, "sessions": shape.sessions}
    found = {**about, **seconds, "read_seconds": read_seconds, "learn_seconds": learnt["seconds"]}
    found |= {
        "forwards": own_forwards(shape, base_epochs),
        "published_forwards": published_forwards(shape, options.get("epochs", 100)),
    }
    predicts = one.predict if one.predict_parts is None else one.predict_parts
    found["compilations"] = {"learn": _programs(one.learn), "predict": _programs(predicts)}
    return found | _many(made, one, variables, inputs, shape, sizes.batch, config.length, rounds)


def _clips(shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Class and number of every clip: all shots, class after class, then all tests."""
    shots, tests = np.arange(shape.classes).repeat(SHOT), np.arange(shape.classes).repeat(shape.tests)
    numbers = [np.arange(len(shots)) % SHOT, np.arange(len(tests)) % max(1, shape.tests) + SHOT]
    return np.concatenate([shots, tests]).astype(np.int32), np.concatenate(numbers)


def _reader(classifier: Classifier, what: str, batch: int) -> Callable[..., np.ndarray]:
    """What is read of clips, in batches of one shape; features are made, so the front end is not among the cost."""
    clip = jax.ShapeDtypeStruct((1, classifier.config.length), jnp.float32)
    frames = jax.eval_shape(classifier.features, clip).shape[1:]
    draw = np.random.default_rng(0)
    patterns = draw.normal(size=(_PATTERNS, *frames)).astype(np.float32)
    tap = jax.jit(lambda variables, features: classifier.tap(variables, features, what).astype(jnp.float32))

    def read(variables: Any, labels: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        out = []
        for first in range(0, len(labels), batch):
            chosen = np.resize(np.arange(first, min(first + batch, len(labels))), batch)
            features = 0.5 * patterns[numbers[chosen] % _PATTERNS] + patterns[labels[chosen] % _PATTERNS]
            out.append(np.asarray(tap(variables, features))[: len(labels) - first])
        return np.concatenate(out)

    return read


def _info(shape: Shape, of_one: tuple[int, ...], samples: int) -> LearnerInfo:
    return LearnerInfo(shape.classes, shape.sessions, WAY * SHOT, of_one, MEMORY, 2 * samples)


def _before(made: Learner, classifier: Classifier, variables: Any, shape: Shape) -> tuple[Any, Any, Shots]:
    """Network, state and waves of the first session, for learners that train the network in it."""
    of_one = classifier.tap, jax.ShapeDtypeStruct((1, classifier.config.length), jnp.float32)
    tapped = jax.eval_shape(lambda v, w: of_one[0](v, classifier.features(w), made.reads), variables, of_one[1])
    state = made.init(variables, _info(shape, tapped.shape[1:], classifier.config.length), jax.random.key(0))
    waves = np.random.default_rng(1).normal(size=(WAY * SHOT, classifier.config.length)).astype(np.float32)
    return variables, state, _shots(0.1 * waves, 0)


def _shots(inputs: Any, session: int) -> Shots:
    ones = jnp.ones(WAY * SHOT)
    labels = jnp.arange(WAY, dtype=jnp.int32).repeat(SHOT) + WAY * session
    clip = jnp.arange(WAY * SHOT, dtype=jnp.int32) + WAY * SHOT * session
    return Shots(jnp.asarray(inputs), labels, ones, ones, clip)


def _course(
    made: Learner, variables: Any, inputs: np.ndarray, shape: Shape, batch: int, samples: int, seeds: Sequence[int] = ()
) -> Any:
    """All sessions with the tests of all seen classes after each; with `seeds`, that many at once (`over_seeds`).

    A seed's classes come in another order, by a turn of the first one's; it costs the same.
    """
    keys = [jax.random.key(seed) for seed in seeds or (0,)]
    state = made.init(variables, _info(shape, inputs.shape[1:], samples), keys if seeds else keys[0])
    shots = inputs[: shape.classes * SHOT].reshape(shape.classes, SHOT, *inputs.shape[1:])
    tests = inputs[shape.classes * SHOT :].reshape(shape.classes, shape.tests, *inputs.shape[1:])
    found, asked = None, Asked(made, shape.classes * shape.tests, shape.sessions, batch)

    def chosen(clips: np.ndarray, first: int, last: int) -> np.ndarray:
        turned = [np.roll(np.arange(shape.classes), -seed)[first:last] for seed in seeds or (0,)]
        parts = np.stack([clips[order].reshape(-1, *inputs.shape[1:]) for order in turned])
        return parts if seeds else parts[0]

    def each(one: Any) -> Any:
        return jnp.broadcast_to(one[None], (len(seeds), *one.shape)) if seeds else one

    for session in range(shape.sessions):
        given = _shots(chosen(shots, WAY * session, WAY * (session + 1)), session)
        given = given._replace(**{name: each(getattr(given, name)) for name in Shots._fields[1:]})
        key = jax.random.split(jax.random.key(session), len(seeds)) if seeds else jax.random.key(session)
        state, _ = made.learn(state, given, key)
        if made.remember is not None:
            state = made.remember(state, given, key)
        given = chosen(tests, 0, WAY * (session + 1))
        if not seeds:
            found = asked.logits(state, given.__getitem__, made.heads, len(given))
            continue
        rows = given.shape[1]
        for first in range(0, rows, batch):
            take = np.resize(np.arange(first, min(first + batch, rows)), batch)
            found = made.predict(state, given[:, take])
    return state, found


def _many(
    made: Learner, one: Learner, variables: Any, inputs: np.ndarray, shape: Shape, batch: int, samples: int, rounds: int
) -> dict[str, Any]:
    """All seeds by `vmap` against one after the other, both compiled before; reading is shared by both."""
    if shape.seeds == 1:
        return {}
    seeds = tuple(range(shape.seeds))
    many = precision.compiled(precision.over_seeds(made))
    same = (variables, inputs, shape, batch, samples)
    together = device.timed(lambda: _course(many, *same, seeds), rounds)["seconds"]
    alone = device.timed(lambda: [_course(one, *same) for _ in seeds], rounds)["seconds"]
    return {"seeds": shape.seeds, "together_s": together, "alone_s": alone, "seeds_ratio": alone / together}


def _programs(function: Any) -> int | None:
    """Compilations of a jitted function, or of the one that it wraps."""
    for found in (function, getattr(function, "__wrapped__", None)):
        if hasattr(found, "_cache_size"):
            return found._cache_size()
    return None


def command(classifier: Classifier, shape: Shape, epochs: int) -> list[str]:
    """The command line of the same work in PyTorch."""
    config = classifier.config
    clip = jax.ShapeDtypeStruct((1, config.length), jnp.float32)
    frames, bins = jax.eval_shape(classifier.features, clip).shape[1:]
    sizes = {name: config.geometry[name] for name in ("width", "depth", "heads", "prefix", "epsilon")}
    sizes |= {"bins": bins, "frames": frames, "classes": shape.classes, "way": WAY, "shot": SHOT, "pool": POOL}
    sizes |= {"tests": shape.tests, "epochs": epochs, "threads": available_cores()}
    words = [sys.executable, str(SCRIPT), *(word for name, size in sizes.items() for word in (f"--{name}", str(size)))]
    for name in ("patch", "stride"):
        words += [f"--{name}", *map(str, config.geometry[name])]
    return words


def _theirs(classifier: Classifier, shape: Shape, epochs: int) -> dict[str, dict[str, Any]]:
    done = subprocess.run(command(classifier, shape, epochs), capture_output=True, text=True)
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or len(found) < 2:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise BadInput(f"--vs_torch: {SCRIPT.name} ended with code {done.returncode}: {last}")
    return {row["way"]: row for row in found}


def _compared(row: dict[str, Any], theirs: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """A row of ours with PyTorch's both ways, and how many times their seconds ours are in each."""
    on_gpu = jax.default_backend() == "gpu"
    if any((one["device"] == "cuda") != on_gpu for one in theirs.values()):
        return {**row, "torch_ways": dict(theirs), "torch_reason": "PyTorch ran on another device"}
    ratios = {f"vs_torch_{way}": one["seconds"] / row["seconds"] for way, one in theirs.items()}
    return {**row, "torch_ways": dict(theirs), **ratios}
