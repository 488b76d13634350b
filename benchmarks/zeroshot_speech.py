"""Background correction of a speech classifier's own embeddings: ten real backgrounds, three SNRs, every scorer.

    python -m benchmarks.zeroshot_speech --data=data --output=out/zeroshot_speech --seeds=0,1,2
    python -m benchmarks.zeroshot_speech --fill=docs/results.md

DATA holds arabic-speech-commands/, ESC-50/ and SpeechCommands/speech_commands_v0.02/. Prototypes are means of the 2,700
clean training clips; the 900 test clips have one half of a background recording mixed in (a drawn stretch of it for
each clip, the SNR over the clip's samples), and 60 drawn seconds of the other half are what is known of the background.
Seeds draw stretches and crops, and which half is which. Ten recordings: boiler, washing machine, the first clips of
five classes of ESC-10, dishes, exercise bike, tap.

Writes OUTPUT/embeddings (computed once), OUTPUT/rows/zeroshot.jsonl (as experiments.zeroshot does; experiments.report
reads it) and OUTPUT/rows.csv, what the tables need of them. With `--tta=tent,dhauds` the rows at 5 dB with seed 0 are
computed once more with weights that were adapted to each background's 900 clips, 5 epochs, the epoch chosen without
labels; prototypes are then those of the adapted weights (`--tta_only`: these alone, into rows_tent,dhauds.csv).
`--fill` renders the tables of a page from docs/records/zeroshot_speech/rows.csv.
"""

from __future__ import annotations

import argparse
import csv
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.zeroshot_speech_table import COLUMNS, fill
from dhauds_jax import digests
from dhauds_jax.data import sets
from dhauds_jax.data.audio import read_audio
from dhauds_jax.data.loading import Clips, load_split
from dhauds_jax.files import write_atomically, write_csv
from dhauds_jax.model.adapting import Request
from dhauds_jax.model.record import Model, load
from dhauds_jax.nets.checkpoint import variables_hash
from dhauds_jax.runs import zeroshot_backgrounds as places
from dhauds_jax.runs import zeroshot_sets
from dhauds_jax.runs.requests.zeroshot import ZeroshotRun
from dhauds_jax.runs.zeroshot import Inputs, run_rows
from dhauds_jax.runs.zeroshot_towers import Towers
from dhauds_jax.tta import methods
from dhauds_jax.workdir.vectors import Vectors

SNRS = (10, 5, 0)
CROPS = 60
_ESC = ("rain", "sea_waves", "helicopter", "crackling_fire", "chainsaw")
_TAKEN = ("doing_the_dishes", "exercise_bike", "running_tap")
_WHOLE = ("centre", "whiten", "em", "treff", "chain:subtract+em", "chain:centre+em", "chain:whiten+em")
GRIDS: tuple[dict[str, Any], ...] = (
    {
        "prototypes": ("supervised",),
        "scorer": ("plain", "subtract", *_WHOLE),
        "background": ("audio", "quiet"),
        "weight": ("0.2", "0.5", "0.8", "1.0", "auto"),
    },
    {
        "prototypes": ("head",),
        "scorer": ("plain", "subtract", "centre", "whiten"),
        "background": ("audio",),
        "weight": ("auto",),
    },
    {"prototypes": ("supervised",), "scorer": ("centre", "treff"), "online": True},
)
"""What is asked for of every background, SNR and seed: text-free, since the network has no text tower."""


def clips_of(data: Path, model: Model, split: str) -> Clips:
    """A split of the Arabic words, laid out."""
    config, place = model.config, data / "arabic-speech-commands"
    dataset = sets.get("arabic_speech_commands", place)
    return load_split(dataset, place, split, sample_rate=config.sample_rate, length=config.length, progress=False)


def recordings(data: Path, rate: int) -> dict[str, np.ndarray]:
    """The ten backgrounds, (time,) each."""
    with (data / "ESC-50" / "meta" / "esc50.csv").open(newline="") as file:
        rows = sorted((row["category"], row["filename"]) for row in csv.DictReader(file))
    there = [(name, data / "ESC-50" / "audio" / file) for name, file in rows]
    noises = data / "SpeechCommands" / "speech_commands_v0.02" / "_background_noise_"
    paths = {name: data / "arabic-speech-commands" / "background_noise" / f"{name}.wav" for name in _ARABIC}
    paths |= {name: next(p for own, p in there if own == name and p.is_file()) for name in _ESC}
    paths |= {name: noises / f"{name}.wav" for name in _TAKEN}
    return {name: read_audio(path, rate)[0] for name, path in paths.items()}


_ARABIC = ("boiler", "washing_machine")


def mixed(clips: Clips, noise: np.ndarray, snr_db: float, draw: np.random.Generator) -> np.ndarray:
    """The clips over drawn stretches of a recording, the SNR over each clip's own samples."""
    out = np.zeros_like(clips.waves)
    width = clips.waves.shape[1]
    for row, (wave, begin) in enumerate(zip(clips.waves, draw.integers(0, len(noise) - width + 1, len(out)))):
        piece = noise[begin : begin + width].astype(np.float64)
        speech = np.square(wave, dtype=np.float64).sum() / max(int(clips.lengths[row]), 1)
        gain = np.sqrt(speech / max(np.mean(np.square(piece)), 1e-12) / 10 ** (snr_db / 10))
        out[row] = wave + gain * piece
    return out


def halves(noise: np.ndarray, seed: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """What is mixed in, and the half that the background is known from."""
    middle = max(len(noise) // 2, width)
    first, second = noise[:middle], noise[-middle:]
    return (first, second) if seed % 2 == 0 else (second, first)


def embedded(model: Model, waves: np.ndarray, path: Path) -> np.ndarray:
    """The embeddings of waves, kept in a file whose name ends in a digest of the weights and of the waves."""
    made = digests.of_texts(variables_hash(model.variables), digests.of_arrays(waves))
    path = path.with_name(f"{path.stem}-{made}.npy")
    if not path.is_file():
        vectors = model.window_vectors(waves, 64).astype(np.float32)
        write_atomically(path, lambda file: np.save(file, vectors))
    return np.load(path)


class Setting(NamedTuple):
    """One background at one SNR with one seed: the test clips' waves and the crops of the background's other half."""

    background: str
    snr_db: int
    seed: int
    waves: np.ndarray
    crops: np.ndarray


def settings(
    clips: Clips, noises: dict[str, np.ndarray], names: Sequence[str], seeds: Sequence[int], snrs: Sequence[int]
) -> Iterator[Setting]:
    """Every setting of the named backgrounds, mixed when it is asked for; draws hang on no other background."""
    width = clips.waves.shape[1]
    for seed in seeds:
        for place, (name, noise) in enumerate(noises.items()):
            if name not in names:
                continue
            mix, other = halves(noise, seed, width)
            begins = np.random.default_rng([seed, place, 1]).integers(0, len(other) - width + 1, CROPS)
            crops = np.stack([other[begin : begin + width] for begin in begins]).astype(np.float32)
            for snr in snrs:
                draw = np.random.default_rng([seed, place, 0])  # the same stretches at every SNR
                yield Setting(name, snr, seed, mixed(clips, mix, snr, draw), crops)


def rows_of(
    one: Setting, own: dict[str, np.ndarray], train: Clips, test: Clips, model: Model, weights: str, workdir: Path,
    command: str,
) -> list[dict[str, Any]]:  # fmt: skip
    """The records of a setting; `own` holds the embeddings of "train", "test" and "crops" by the model."""
    made = Vectors(
        one.background,
        (*(f"train/{i}" for i in train.ids), *(f"test/{i}" for i in test.ids)),
        np.concatenate([own["train"], own["test"]]),
        np.concatenate([train.labels, test.labels]),
        model.classes,
        splits=("train",) * len(train.ids) + ("test",) * len(test.ids),
        manifest={"corruption": {"name": one.background, "level": f"{one.snr_db}dB"}},
    )
    crops = Vectors(one.background, tuple(f"crop{k}" for k in range(CROPS)), own["crops"])
    (whole,) = zeroshot_sets.of_vectors([made], ["arabic_speech_commands"])
    head = model.classifier.head(model.variables)
    towers = Towers(net=model.config.net, weights=variables_hash(model.variables), head=head)
    inputs = Inputs([whole], towers, places.recordings([crops]), [None])
    found = []
    for grid in GRIDS:
        run = ZeroshotRun(workdir=str(workdir), seed=one.seed, train=("same",), **grid)
        found += run_rows(run, inputs, command, {"weights": weights, "snr_db": one.snr_db}, printed=False)[0]
    return found


def arguments(description: str | None) -> argparse.ArgumentParser:
    """What this benchmark and those over the same recordings are asked for."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--checkpoint", default="words15")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--fill", type=Path)
    return parser


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--backgrounds", default="", help="some of the ten; all by default")
    parser.add_argument("--tta", default="", help="methods whose adapted weights are tried too")
    parser.add_argument("--tta_only", action="store_true")
    given = parser.parse_args()
    if given.fill:
        print(fill(given.fill))
        return
    measure(given, " ".join(["python -m benchmarks.zeroshot_speech", *map(shlex.quote, sys.argv[1:])]))


def measure(given: argparse.Namespace, command: str) -> None:
    """Runs what is asked for, and writes OUTPUT/rows.csv."""
    model = load(given.checkpoint)
    train, test = (clips_of(given.data, model, split) for split in ("train", "test"))
    noises = recordings(given.data, model.config.sample_rate)
    names = given.backgrounds.split(",") if given.backgrounds else list(noises)
    folder = given.output / "embeddings"
    clean_train = embedded(model, train.waves, folder / "train.npy")
    found: list[dict[str, Any]] = []
    seeds = [] if given.tta_only else list(map(int, given.seeds.split(",")))
    for one in settings(test, noises, names, seeds, SNRS):
        key = f"{one.background}-{one.seed}"
        own = {
            "train": clean_train,
            "test": embedded(model, one.waves, folder / f"{key}-{one.snr_db}dB.npy"),
            "crops": embedded(model, one.crops, folder / f"{key}-crops.npy"),
        }
        found += rows_of(one, own, train, test, model, "source", given.output / "rows", command)
        said = {r["scorer"]: r for r in found[-40:] if r["prototypes"] == "supervised" and r["protocol"] == "set"}
        print(key, one.snr_db, *(f"{k} {100 * r['adapted_last']:.1f}" for k, r in said.items()), flush=True)
    for method in filter(None, given.tta.split(",")):
        found += after(method, model, given.output, train, test, settings(test, noises, names, [0], [5]), command)
    name = f"rows_{given.tta}.csv" if given.tta_only else "rows.csv"
    write_csv(given.output / name, [COLUMNS, *(csv_row(record) for record in found if is_shown(record))])


def is_shown(record: dict[str, Any]) -> bool:
    """Whether the tables need a record: given weights stand there for `subtract` by recordings alone."""
    auto = record["weight_chosen_by"] not in ("given", "none")
    by_recordings = record["scorer"] == "subtract" and record["background"] == "audio"
    if record["background"] == "quiet" and record["scorer"] != "subtract":
        return False
    return auto or by_recordings or not record["curve"]


def after(
    method: str, model: Model, output: Path, train: Clips, test: Clips, tried: Iterable[Setting], command: str
) -> list[dict[str, Any]]:  # fmt: skip
    """The rows under weights that a method adapted: 5 dB, seed 0."""
    found: list[dict[str, Any]] = []
    for one in tried:
        folder = output / "embeddings" / method / one.background
        options = methods.resolve_options(method, "corrected", {})
        how = Request(method, options, "corrected", False, epochs=5, batch_size=64, criterion="information", seed=0)
        outcome = model.adapting(how, methods.make(method, model.classifier, options), one.waves, progress=False)
        moved = Model(model.classifier, outcome.state.variables, model.config)
        waves = {"train": train.waves, "test": one.waves, "crops": one.crops}
        own = {name: embedded(moved, some, folder / f"{name}.npy") for name, some in waves.items()}
        rows = rows_of(one, own, train, test, moved, method, output / f"rows_{method}", command)
        right = float(np.mean(outcome.logits.argmax(-1) == test.labels))  # as the method itself predicts
        found += [{**r, "own_head": right} for r in rows]
        print(method, one.background, f"{100 * found[-1]['own_head']:.1f}", flush=True)
    return found


def csv_row(record: dict[str, Any]) -> list[object]:
    """What the tables need of a record."""
    chosen = record["selection"]
    numbers = [record[key] for key in ("non_adapted", "adapted_last", "adapted_selected", "adapted_oracle", "ece")]
    return [
        record["weights"], record["corruption"], record["snr_db"], record["seed"], record["prototypes"],
        record["scorer"], record["background"], record["protocol"],
        {"given": record["weight"], "none": ""}.get(record["weight_chosen_by"], "auto"),
        *(f"{value:.4f}" for value in numbers),
        *("" if chosen[key] is None else chosen[key] for key in ("weight", "oracle_weight")),
        f"{chosen['value']:.4f}",
        f"{record['own_head']:.4f}" if "own_head" in record else "",
        "+".join(record["uses"]),
    ]  # fmt: skip


if __name__ == "__main__":
    main()
