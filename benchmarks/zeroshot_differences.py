"""What three habits of the published evaluation are worth on real speech, and how sure its scores may be taken to be.

    python -m benchmarks.zeroshot_differences --data=data --output=out/zeroshot_differences
    python -m benchmarks.zeroshot_differences --fill=docs/results.md

DATA, network, backgrounds and halves are those of benchmarks/zeroshot_speech.py. The 900 test clips, of six speakers,
are in six folds, a speaker each: prototypes are the means of the other speakers' clips, of the noisy ones (train same,
as published) or of the clean ones, brought to unit length or not. The background is known from 60 seconds of the other
half (audio), from the clips of least certain scores (quiet), or is the very stretch that was mixed in (oracle).

Writes OUTPUT/embeddings (those of benchmarks.zeroshot_unknown's clips are shared where OUTPUT is), OUTPUT/rows and
OUTPUT/differences.csv; `--fill` renders the tables of a page from docs/records/zeroshot_differences/rows.csv.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.zeroshot_differences_table import COLUMNS, fill
from benchmarks.zeroshot_speech import CROPS, SNRS, arguments, clips_of, embedded, halves, mixed, recordings
from dhauds_jax.data.loading import Clips
from dhauds_jax.files import write_csv
from dhauds_jax.model.record import Model, load
from dhauds_jax.nets.checkpoint import variables_hash
from dhauds_jax.runs import zeroshot_backgrounds, zeroshot_sets
from dhauds_jax.runs.requests.zeroshot import ZeroshotRun
from dhauds_jax.runs.zeroshot import Inputs, run_rows
from dhauds_jax.runs.zeroshot_towers import Towers
from dhauds_jax.workdir.vectors import Vectors

_BOTH: dict[str, Any] = {"train": ("same", "clean"), "weight": ("0.5", "auto")}
GRIDS: tuple[tuple[str, dict[str, Any]], ...] = (
    *(
        (made_of, {**_BOTH, "normalised": unit, "background": kinds, "scorer": scorers})
        for unit in (False, True)
        for made_of, kinds, scorers in (
            ("own", ("oracle",), ("subtract",)),
            ("place", ("audio", "quiet"), ("plain", "subtract", "centre", "whiten")),
        )
    ),
    *(
        ("place", {"train": ("clean",), "background": ("audio",), "weight": ("auto",), "scale": scale, "scorer": some})
        for scale in ("none", "nll")
        for some in [("plain", "subtract", "centre", "whiten")]
    ),
)
"""What is asked for of every background and SNR; `own`: with every clip's own stretch, `place`: with the other half."""


class Setting(NamedTuple):
    """One background at one SNR: waves of the test clips, of the stretch under each, and of the other half's crops."""

    background: str
    snr_db: int
    waves: np.ndarray
    stretches: np.ndarray
    crops: np.ndarray


def settings(test: Clips, noises: dict[str, np.ndarray], seed: int) -> Iterator[Setting]:
    """Every background at every SNR, the draws those of benchmarks.zeroshot_speech."""
    width = test.waves.shape[1]
    for place, (name, noise) in enumerate(noises.items()):
        here, other = halves(noise, seed, width)
        begins = np.random.default_rng([seed, place, 1]).integers(0, len(other) - width + 1, CROPS)
        crops = np.stack([other[begin : begin + width] for begin in begins]).astype(np.float32)
        begins = np.random.default_rng([seed, place, 0]).integers(0, len(here) - width + 1, len(test.ids))
        stretches = np.stack([here[begin : begin + width] for begin in begins]).astype(np.float32)
        for snr in SNRS:
            yield Setting(name, snr, mixed(test, here, snr, np.random.default_rng([seed, place, 0])), stretches, crops)


def speaker_of(name: str) -> str:
    """The speaker in a clip's name: "00000014" of "dataset/zero/00000014_NO_01.flac"."""
    return Path(name).name.partition("_")[0]


def rows_of(
    one: Setting, own: dict[str, np.ndarray], test: Clips, model: Model, out: Path, seed: int, said: str
) -> Any:
    """The records of a setting; `own` holds the embeddings of "clean", "noisy", "stretches" and "crops"."""
    groups = tuple(map(speaker_of, test.ids))

    def made(name: str, vectors: np.ndarray, **more: Any) -> Vectors:
        return Vectors(name, test.ids, vectors, test.labels, model.classes, groups=groups, **more)

    about = {"corruption": {"name": one.background, "level": f"{one.snr_db}dB"}}
    names = tuple(f"stretch{k}" for k in range(len(test.ids)))
    towers = Towers(net=model.config.net, weights=variables_hash(model.variables))
    inputs = {}
    for kind, columns, other in (
        ("own", {"backgrounds": names}, Vectors("stretches", names, own["stretches"])),
        ("place", {}, Vectors("crops", tuple(f"crop{k}" for k in range(CROPS)), own["crops"])),
    ):
        read = [made("clean", own["clean"]), made(one.background, own["noisy"], manifest=about, **columns)]
        sets = zeroshot_sets.of_vectors(read, ["clean", one.background], str(len(set(groups))), seed=seed)
        inputs[kind] = Inputs(sets, towers, zeroshot_backgrounds.recordings([other]), [None, None])
    found = []
    for kind, flags in GRIDS:
        how = {"prototypes": ("supervised",), "folds": str(len(set(groups))), **flags}
        run = ZeroshotRun(workdir=str(out / "rows"), seed=seed, **how)
        records, _, _ = run_rows(run, inputs[kind], said, {"snr_db": one.snr_db}, printed=False)
        found += [record for record in records if record["dataset"] == one.background]
    return found


def csv_row(record: dict[str, Any]) -> list[object]:
    """What the tables need of a record."""
    chosen, weight = record["selection"], record["weight_chosen_by"]
    numbers = [record[key] for key in ("non_adapted", "adapted_last", "adapted_selected", "adapted_oracle")]
    numbers += [record["ece"], record["nll"], record["risk_coverage"]["area"]]
    return [
        record["corruption"], record["snr_db"], record["seed"], "unit" if record["normalised"] else "mean",
        record["train"], record["scorer"], record["background"],
        {"given": "0.5", "none": ""}.get(weight, "auto"), record["scale_asked"] or "20",
        *(f"{value:.4f}" for value in numbers),
        *("" if chosen[key] is None else chosen[key] for key in ("weight", "oracle_weight")),
    ]  # fmt: skip


def measure(data: Path, output: Path, checkpoint: str, seeds: Sequence[int], command: str) -> None:
    """Measures every row of `GRIDS`; writes OUTPUT/differences.csv."""
    model = load(checkpoint)
    test, folder, found = clips_of(data, model, "test"), output / "embeddings", []
    clean = embedded(model, test.waves, folder / "test.npy")
    for seed in seeds:
        for one in settings(test, recordings(data, model.config.sample_rate), seed):
            own = {
                "clean": clean,
                "noisy": embedded(model, one.waves, folder / f"{one.background}-test.npy"),
                "stretches": embedded(model, one.stretches, folder / f"{one.background}-stretches.npy"),
                "crops": embedded(model, one.crops, folder / f"{one.background}-other.npy"),
            }
            rows = rows_of(one, own, test, model, output, seed, command)
            found += map(csv_row, rows)
            print(one.background, one.snr_db, seed, f"{len(rows)} rows", flush=True)
    write_csv(output / "differences.csv", [COLUMNS, *found])


def main() -> None:
    given = arguments(__doc__).parse_args()
    if given.fill:
        print(fill(given.fill))
        return
    seeds = list(map(int, given.seeds.split(",")))
    command = " ".join(["python -m benchmarks.zeroshot_differences", *map(shlex.quote, sys.argv[1:])])
    measure(given.data, given.output, given.checkpoint, seeds, command)


if __name__ == "__main__":
    main()
