"""The yardstick of the zero-shot grid: the published arithmetic as a loop in NumPy, beside our compiled program.

    python -m benchmarks.numpy_zeroshot --clips=8732 --width=512 --sets=7 --folds=10

The loop does what the published script does for each of its 147 rows (7 sets x 3 kinds of prototypes x plain and two
backgrounds at three weights): for every fold prototypes from the other folds' clips, profiles, correction, accuracy.
What it shares with nothing is what the script shares with nothing; each fold's products are single matrix products.
`--sklearn` also loops over scikit-learn's NearestCentroid, for the labelled prototypes alone (49 rows).
One JSON object a line: seconds, and ratios to ours. Random unit vectors: speed hangs on no number of theirs.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Set(NamedTuple):
    """Everything that the published script reads, for all sets."""

    vectors: np.ndarray
    labels: np.ndarray
    folds: np.ndarray
    text: np.ndarray
    sentences: np.ndarray
    recordings: np.ndarray
    own: np.ndarray


def drawn(sets: int, clips: int, width: int, classes: int, folds: int, recordings: int = 1440, seed: int = 0) -> Set:
    """Random unit vectors in the shapes of UrbanSound8K over scenes; 1,440 recordings is a scene of TAU 2019."""
    draw = np.random.default_rng(seed)

    def unit(*shape: int) -> np.ndarray:
        x = draw.normal(size=(*shape, width)).astype(np.float32)
        return x / np.linalg.norm(x, axis=-1, keepdims=True)

    return Set(
        unit(sets, clips),
        draw.integers(0, classes, clips),
        draw.integers(0, folds, clips),
        unit(classes),
        unit(sets, 3),
        unit(recordings),
        draw.integers(0, recordings, (sets, clips)),
    )


def row_accuracies(data: Set, which: int, kind: str, background: str, weight: float, topn: int = 35) -> list[float]:
    """One row of the grid: its accuracies in % in every fold, as the published script computes them."""
    vectors, found = data.vectors[which], []
    for fold in np.unique(data.folds):
        test, train = data.folds == fold, data.folds != fold
        prototypes = _prototypes(data, vectors[train], data.labels[train], kind, topn)
        scores = vectors[test] @ prototypes.T
        if background == "text":
            scores = scores - weight * (data.sentences[which] @ prototypes.T).mean(0)
        elif background == "audio":
            scores = scores - weight * (data.recordings[data.own[which][test]] @ prototypes.T)
        found.append(100 * float(np.mean(scores.argmax(-1) == data.labels[test])))
    return found


def _prototypes(data: Set, vectors: np.ndarray, labels: np.ndarray, kind: str, topn: int) -> np.ndarray:
    if kind == "text":
        return data.text
    if kind == "supervised":
        return np.stack([vectors[labels == c].mean(0) for c in range(len(data.text))])
    cosines = vectors @ data.text.T
    best = np.argpartition(-cosines, topn, axis=0)[:topn]
    return vectors[best].mean(0)


def numpy_grid(data: Set, weights: tuple[float, ...], kinds: tuple[str, ...]) -> np.ndarray:
    """(sets, rows, folds), the order of dhauds_jax.zeroshot.grid.rows."""
    corrected = [(background, weight) for background in ("text", "audio") for weight in weights]
    rows = [(kind, *one) for kind in kinds for one in [("none", 0.0), *corrected]]
    return np.array([[row_accuracies(data, which, *row) for row in rows] for which in range(len(data.vectors))])


def sklearn_grid(data: Set, rows: int) -> None:
    """As many fits of scikit-learn's NearestCentroid as `rows` rows a set have folds, by labels, without correction."""
    from sklearn.neighbors import NearestCentroid

    for vectors in data.vectors:
        for _ in range(rows):
            for fold in np.unique(data.folds):
                train = data.folds != fold
                model = NearestCentroid().fit(vectors[train], data.labels[train])
                model.predict(vectors[~train])


def seconds(run: Callable[[], Any]) -> float:
    """Wall seconds of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def ours(data: Set, weights: tuple[float, ...], kinds: tuple[str, ...]) -> Callable[[], np.ndarray]:
    """The compiled grid; the first call compiles it."""
    import jax.numpy as jnp

    from dhauds_jax.zeroshot import grid, prototypes

    def run() -> np.ndarray:
        _, train = prototypes.fold_weights(data.folds)
        given = (data.vectors, data.labels, train, data.text, data.sentences.mean(1), data.recordings, data.own)
        found = grid.accuracies(*map(jnp.asarray, given), jnp.asarray(weights, jnp.float32), kinds=kinds)
        return np.asarray(found)

    return run


def scorer_seconds(data: Set, repeats: int) -> dict[str, float]:
    """Median seconds of `em` over one set, and of one clip's step of plain, subtract and the running centre."""
    import jax
    import jax.numpy as jnp

    from dhauds_jax.types import Background, ScorerInfo
    from dhauds_jax.zeroshot import scorers

    vectors, ones = jnp.asarray(data.vectors[0]), jnp.ones(len(data.labels))
    background, info = Background(jnp.asarray(data.recordings.mean(0)), "audio", None), ScorerInfo(20.0)
    found = {}
    for key, name, options, rows in (
        ("em_s", "em", {}, len(data.labels)),
        ("plain_step_s", "plain", {}, 1),
        ("subtract_step_s", "subtract", {}, 1),
        ("centre_running_step_s", "centre", {"running": True}, 1),
    ):
        scorer = scorers.make(name, options)
        step, state = jax.jit(scorer.step), scorer.init(jnp.asarray(data.text), background, info)

        def run(step: Any = step, state: Any = state, rows: int = rows) -> Any:
            return jax.block_until_ready(step(state, vectors[:rows], ones[:rows]))

        run()
        found[key] = float(np.median([seconds(run) for _ in range(repeats)]))
    return found


def main() -> None:
    """Parses the flags and prints the lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("sets", 7), ("clips", 8732), ("width", 512), ("classes", 10), ("folds", 10), ("repeats", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--sklearn", action="store_true")
    flags = parser.parse_args()
    weights, kinds = (0.2, 0.5, 0.8), ("text", "tgap", "supervised")
    data = drawn(flags.sets, flags.clips, flags.width, flags.classes, flags.folds)
    run = ours(data, weights, kinds)
    cold, mine = seconds(run), run()
    warm = float(np.median([seconds(run) for _ in range(flags.repeats)]))
    loop_start = time.perf_counter()
    loop = numpy_grid(data, weights, kinds)
    numpy_s = time.perf_counter() - loop_start
    print(
        json.dumps(
            {
                "what": "zeroshot grid",
                "rows": int(mine.shape[0] * mine.shape[1]),
                "cold_s": round(cold, 3),
                "warm_s": round(warm, 3),
                "numpy_s": round(numpy_s, 3),
                "numpy_over_warm": round(numpy_s / warm, 2),
                "numpy_over_cold": round(numpy_s / cold, 2),
                "largest_difference_points": float(np.abs(mine - loop).max()),
            }
        )
    )
    if flags.sklearn:
        sklearn_s = seconds(lambda: sklearn_grid(data, 1 + 2 * len(weights)))
        row = {"what": "sklearn NearestCentroid, a third of the rows", "seconds": round(sklearn_s, 3)}
        print(json.dumps({**row, "over_warm_whole_grid": round(sklearn_s / warm, 2)}))
    print(json.dumps({"what": "zeroshot scorers", **scorer_seconds(data, 20 * flags.repeats)}))


if __name__ == "__main__":
    main()
