"""Unknown or one of fifteen words: noise alone and foreign words against known ones, at rates that were asked for.

    python -m benchmarks.zeroshot_unknown --data=data --output=out/zeroshot_unknown
    python -m benchmarks.zeroshot_unknown --fill=docs/results.md

DATA is that of benchmarks/zeroshot_speech.py, and so are network, prototypes, backgrounds and halves. What is recorded
in a place is the 900 test clips, 350 clips of the 20 words of Speech Commands 0.02 that are none of the fifteen (said
in English), both over one half of the place's recording, and 60 seconds of that half alone. What is known of the place
is the other half: 30 seconds are the profile of `subtract`, 30 more, and 300 of the set's own held-out clips (split
val) over that half, set the temperature (by likelihood) and the thresholds; the held-out clips as they were recorded,
without the noise, set them once more. All scorers are linear, so what is held out is scored by the layer that the
recorded clips gave, as experiments.classify does.

Writes OUTPUT/embeddings (computed once) and OUTPUT/rows.csv; `--fill` renders the tables of a page from
docs/records/zeroshot_unknown/rows.csv.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from benchmarks.zeroshot_speech import arguments, clips_of, embedded, halves, mixed, recordings
from benchmarks.zeroshot_unknown_table import COLUMNS, fill
from dhauds_jax import calibration, metrics
from dhauds_jax.data import sets
from dhauds_jax.data.loading import Clips, load_split
from dhauds_jax.dsp.unit_rows import unit_rows
from dhauds_jax.files import write_csv
from dhauds_jax.model.record import Model, load
from dhauds_jax.types import Calibration, ScorerInfo
from dhauds_jax.zeroshot import abstain, background, choose, prototypes, scorers, scoring

SNRS: tuple[int | None, ...] = (None, 10, 5, 0)
"""In dB; None: words as they were recorded."""

SCORERS = ("plain", "subtract", "centre", "whiten")
HELD, WINDOWS, RATE = 300, 60, 0.05


class Place(NamedTuple):
    """Unit embeddings of what is recorded in a place, and of what is known of it.

    Attributes:
      known, words, noise: recorded.
      labels: of `known`.
      held: held-out known clips over the other half, `clean` without it, `held_labels` theirs.
      profile, windows: of the other half alone.
    """

    known: np.ndarray
    words: np.ndarray
    noise: np.ndarray
    labels: np.ndarray
    held: np.ndarray
    clean: np.ndarray
    held_labels: np.ndarray
    profile: np.ndarray
    windows: np.ndarray


def foreign_words(data: Path, model: Model) -> Clips:
    """The clips of Speech Commands 0.02 whose word is, as a name, none of the model's."""
    config, place = model.config, data / "SpeechCommands"
    dataset = sets.get("speech_commands_v2", place)
    how: dict[str, Any] = {"sample_rate": config.sample_rate, "length": config.length, "progress": False}
    found = [load_split(dataset, place, split, allow_partial=True, **how) for split in ("train", "test", "val")]
    apart = [np.array([one.classes[k] not in model.classes for k in one.labels]) for one in found]
    pairs = list(zip(found, apart, strict=True))
    ids = tuple(name for one, kept in pairs for name, k in zip(one.ids, kept, strict=True) if k)
    waves, labels, lengths = (
        np.concatenate([getattr(one, field)[kept] for one, kept in pairs]) for field in ("waves", "labels", "lengths")
    )
    return Clips(ids, waves, labels, lengths, found[0].classes, config.sample_rate)


def crops(noise: np.ndarray, count: int, width: int, draw: np.random.Generator) -> np.ndarray:
    """Drawn stretches of a recording, (count, width)."""
    begins = draw.integers(0, len(noise) - width + 1, count)
    return np.stack([noise[begin : begin + width] for begin in begins]).astype(np.float32)


def places(model: Model, data: Path, output: Path, seed: int) -> Any:
    """(background, SNR, `Place`) one after the other; the SNRs of a background share all draws."""
    test, val = (clips_of(data, model, split) for split in ("test", "val"))
    words, rate = foreign_words(data, model), model.config.sample_rate
    some = np.random.default_rng([seed, 7]).permutation(len(val.ids))[:HELD]
    held = val._replace(waves=val.waves[some], labels=val.labels[some], lengths=val.lengths[some])

    def made(waves: np.ndarray, name: str) -> np.ndarray:
        return np.asarray(unit_rows(jnp.asarray(embedded(model, waves, output / "embeddings" / f"{name}.npy"))))

    for place, (name, noise) in enumerate(recordings(data, rate).items()):
        width = test.waves.shape[1]
        here, other = halves(noise, seed, width)
        alone = made(crops(here, WINDOWS, width, np.random.default_rng([seed, place, 2])), f"{name}-here")
        there = made(crops(other, WINDOWS, width, np.random.default_rng([seed, place, 1])), f"{name}-other")
        for snr in SNRS:

            def over(clips: Clips, half: np.ndarray, number: int, snr: int | None = snr, place: int = place) -> Any:
                draw = np.random.default_rng([seed, place, number])
                return clips.waves if snr is None else mixed(clips, half, snr, draw)

            vectors = [
                made(over(test, here, 0), f"{name}-test"),
                made(over(words, here, 3), f"{name}-words"),
                made(over(held, other, 4), f"{name}-held"),
            ]
            yield name, snr, Place(
                vectors[0], vectors[1], alone, test.labels, vectors[2], made(held.waves, "held"), held.labels,
                there[::2], there[1::2],
            )  # fmt: skip


def layer(name: str, anchors: np.ndarray, place: Place) -> tuple[np.ndarray, np.ndarray, float | None]:
    """The linear layer that a scorer comes to on what is recorded, and the weight that it chose without labels."""
    recorded = np.concatenate([place.known, place.words, place.noise])
    origin = background.from_audio(place.profile) if name == "subtract" else None
    weight = None if origin is None else choose.choose_weight(recorded, anchors, origin)[0]
    scorer = scorers.make(name, {} if weight is None else {"weight": weight})
    state, _ = scoring.score(scorer, anchors, origin, ScorerInfo(choose.SCALE), recorded)
    kernel, bias = scorers.linear_head(name, scorer, state)
    return np.asarray(kernel), np.asarray(bias), weight


def row_of(place: Place, kernel: np.ndarray, bias: np.ndarray) -> dict[str, float]:
    """What a layer tells apart: areas under the ROC curve, and what keeps a name at each rate, shares from 0 to 1."""
    recorded = {"known": place.known, "words": place.words, "noise": place.noise}
    scores = {kind: rows @ kernel + bias for kind, rows in recorded.items()}
    held, clean, windows = (rows @ kernel + bias for rows in (place.held, place.clean, place.windows))
    row = {"accuracy": float(np.mean(scores["known"].argmax(-1) == place.labels))}
    for ends, known in (("held", held), ("clean", clean)):
        warm = calibration.temperature("nll", known, labels=place.held_labels)
        how = Calibration(warm, "nll", "max_probability")
        how = calibration.with_scores(how, known, windows)
        sure = {kind: calibration.sureness(how, each) for kind, each in scores.items()}
        least = {
            "reject": calibration.threshold(how, reject=RATE),
            "background": calibration.threshold(how, reject_background=RATE),
        }
        for kind in ("words", "noise"):
            row[f"auroc_{kind}_{ends}"] = metrics.auroc(sure["known"], sure[kind])
        for rate, end in least.items():
            row |= {f"{rate}_{kind}_{ends}": abstain.accepted(sure[kind], end) for kind in recorded}
        row[f"ece_{ends}"] = metrics.ece(scores["known"] / warm, place.labels)
    for kind in ("words", "noise"):
        row[f"auroc_{kind}_score"] = metrics.auroc(scores["known"].max(-1), scores[kind].max(-1))
    return row


def csv_row(named: Sequence[object], row: Mapping[str, float]) -> list[object]:
    """A row of the csv in the order of `COLUMNS`."""
    return [*named, *(f"{row[name]:.4f}" for name in COLUMNS[len(named) :])]


def measure(data: Path, output: Path, checkpoint: str, seeds: Sequence[int]) -> None:
    """Measures every scorer in every place; writes OUTPUT/rows.csv."""
    model = load(checkpoint)
    train = clips_of(data, model, "train")
    vectors = unit_rows(jnp.asarray(embedded(model, train.waves, output / "embeddings" / "train.npy")))
    counted = prototypes.supervised(
        vectors, jnp.asarray(train.labels), jnp.ones(len(vectors)), classes=len(model.classes)
    )
    anchors, found = np.asarray(counted), []
    for seed in seeds:
        for name, snr, place in places(model, data, output, seed):
            for scorer in SCORERS:
                kernel, bias, weight = layer(scorer, anchors, place)
                row = row_of(place, kernel, bias)
                at = "clean" if snr is None else snr
                found.append(csv_row((name, at, seed, scorer, "" if weight is None else weight), row))
                print(name, at, seed, scorer, *(f"{k} {100 * v:.1f}" for k, v in list(row.items())[:6]), flush=True)
    write_csv(output / "rows.csv", [COLUMNS, *found])


def main() -> None:
    given = arguments(__doc__).parse_args()
    if given.fill:
        print(fill(given.fill))
        return
    measure(given.data, given.output, given.checkpoint, list(map(int, given.seeds.split(","))))


if __name__ == "__main__":
    main()
