"""Every published row runs: from data in the published layout, noises and a checkpoint to its record.

The nets are tiny, under the names, rates, heads and classes of the rows, and a run has one epoch; all else is the
row's: its data set's lists, corruption, level, method, options, batches, draws, seeds.
"""

import csv
import functools
import json
from collections import Counter

import flax.linen as nn
import jax
import numpy as np
import pytest

from dhauds_jax.data import sets
from dhauds_jax.names import CLEAN
from dhauds_jax.nets import Family, checkpoint, mel_image, zoo
from dhauds_jax.nets.conmix import InputNorm
from dhauds_jax.nets.mel_image import ImageSpec
from dhauds_jax.recipes import table
from dhauds_jax.recipes.rows import Roots, selected
from dhauds_jax.runs.requests.sweep import SweepRun
from dhauds_jax.runs.sweep import sweep
from dhauds_jax.tta import methods
from dhauds_jax.workdir import records
from tests.data.fakes import FAKES

ROWS = {"dhauds": 124, "ntta": 33, "tta_in_ac": 216, "amaut": 9, "iom_eolr": 9}
RUNNING = {
    ("reef_set", "dhauds"): 40,
    ("reef_set", "iom_eolr"): 9,
    ("speech_commands_v2", "dhauds"): 40,
    ("speech_commands_v2", "ntta"): 8,
    ("speech_commands_v2", "amaut"): 1,
    ("vocal_sound", "dhauds"): 28,
    ("vocal_sound", "ntta"): 7,
    ("vocal_sound", "amaut"): 1,
    ("urban_sound_8k", "dhauds"): 16,
    ("audio_mnist", "tta_in_ac"): 59,
    ("audio_mnist", "amaut"): 5,
    ("audio_mnist", "ntta"): 0,
    ("speech_commands_v1", "tta_in_ac"): 58,
    ("speech_commands_v1", "ntta"): 4,
    ("speech_commands_v1", "amaut"): 1,
    ("cochl_scene", "amaut"): 1,
    ("cochl_scene", "ntta"): 0,
}
"""How many rows of a table run on a data set or on a variant of it; all others wait."""
WAITING = {
    ("audio_mnist", "ntta"): {"ast_audiomnist, WHNP": 2},
    ("cochl_scene", "ntta"): {"ast_cochlscene, WHNP": 2},
    ("speech_commands_v2", "ntta"): {"ENQP": 4, "WHNP": 2, "ENDP1": 2},
    ("speech_commands_v1", "ntta"): {"conmix_pseudo_label": 2},
    ("audio_mnist", "tta_in_ac"): {"resnet50": 26},
    ("speech_commands_v1", "tta_in_ac"): {
        "resnet50": 27,
        "speech_commands_v1/purity": 1,
        "speech_commands_v1/random": 13,
        "speech_commands_v1/numbers": 4,
        "speech_commands_v1/numbers, resnet50": 8,
        "speech_commands_v1/random, resnet50": 14,
        "speech_commands_v1/norm, resnet50": 6,
    },
}
"""What the other rows wait for: networks, corruptions and labels that the package lacks, and subsets whose lists were
not published."""
CLIPS = {"vocal_sound": 12, "cochl_scene": 26, "urban_sound_8k": 31, "reef_set": 37, "audio_mnist": 24}
CLIPS |= {"audio_mnist/german_accent": 40, "speech_commands_v1": 30, "speech_commands_v2": 35}
"""Test clips of the fakes."""
DRAWS = ("draw", "draw_seed", "evaluation_draw_seed")
"""What a record's options say of its draws."""
SMALL = {"amaut": "amaut_tiny", "hubert": "hubert_tiny", "conmix": "conmix_tiny"}
"""Presets that give a small net its front end; those of the rows' other families have the one of `resnet_tiny`."""
GEOMETRY = {
    "amaut": {"stages": [0], "depth": 0},
    "hubert": {"depth": 1, "convs": [[8, 10, 5], [8, 3, 4], [8, 3, 4]]},
    "conmix": {"depth": 1},
    "resnet": {},
    "cnn": {"channels": [2, 2, 4, 4]},
}
"""What is smaller still than in those presets."""
LINEAR = {f"amaut_{place}" for place in ("audiomnist", "rs", "sc2", "vs")}
LINEAR |= {f"conmix_{place}" for place in ("am", "sc1")}
LINEAR |= {f"hubert_base_{place}" for place in ("rs", "sc2", "us8", "vs")}
"""Nets of so many folds or options that to compile a network of the family for each would take minutes:
their encoder is one linear layer. Each family has nets beside them."""


class Glance(nn.Module):
    """Sixteen tokens: a linear layer over a clip's first features, of an image those of its first rows, normalised."""

    image: ImageSpec | None

    @nn.compact
    def __call__(self, features, *, mode, weights=None, axis_name=None):
        if self.image is not None:
            features = InputNorm(self.image.mean, self.image.deviation, name=mel_image.NAME)(features)
        return nn.Dense(8, name="embed")(features.reshape(features.shape[0], -1)[:, :128].reshape(-1, 16, 8))


GLANCE = Family(lambda config: Glance(mel_image.spec_of(config.front_end)))


def _is_size(value):
    """Whether a field of a head is a size, or the sizes of its stages, and no choice."""
    return type(value) in (int, list)


def smallest(net, classes):
    """A tiny network with the rate, the front end's and the head's kind, and the auxiliary task of a row's own."""
    full = zoo.preset(net, classes)
    like = zoo.preset(SMALL.get(full.family, "resnet_tiny"), classes)
    inherited = {} if full.family == "cnn" else like.geometry
    same = {name: full.geometry[name] for name in ("aux_classes",) if name in full.geometry}
    linear = {"family": f"{__name__}:GLANCE", "geometry": {}}
    sizes = {name: min(size, 16) if type(size) is int else [] for name, size in full.head.items() if _is_size(size)}
    rates = {name: full.front_end[name] for name in ("sample_rate", "f_max") if name in like.front_end}
    found = full.replace(
        geometry={**inherited, **GEOMETRY[full.family], **same},
        head={**full.head, **sizes},
        front_end={**like.front_end, **rates},
        length=like.length,
    )
    return found.replace(**linear) if net in LINEAR else found


def make_checkpoint(folder, net, classes):
    """Writes a checkpoint of `smallest` with random weights."""
    config = smallest(net, classes)
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        """Small weights; scales and the like lie around 1."""
        return (rng.normal(0, 0.1, leaf.shape) + (path[-1].key in ("scale", "var", "deviation"))).astype(leaf.dtype)

    variables = jax.tree_util.tree_map_with_path(draw, zoo.shapes(zoo.build(config)))
    stats = jax.tree.map(np.abs, variables["batch_stats"])
    checkpoint.save(folder, {**variables, "batch_stats": stats}, config)


@functools.cache
def published(name):
    """The rows of a table, read once."""
    return table.read(name).rows


def of_one_epoch(name, folder):
    """A copy of a table whose rows have one epoch."""
    lines = [line for line in table.text_of(table.FOLDER / f"{name}.csv") if not line.startswith("#")]
    rows = csv.DictReader(lines)
    with (folder / f"{name}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows.fieldnames)
        writer.writeheader()
        writer.writerows({**row, "epochs": "1"} for row in rows)
    return folder / f"{name}.csv"


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    folder = tmp_path_factory.mktemp("noise")
    FAKES["qut_noise"](folder / "QUT-NOISE")
    FAKES["demand/16k"](folder / "DEMAND_16k")
    FAKES["demand/48k"](folder / "DEMAND_48k")
    FAKES["speech_commands_noise"](folder)
    return folder


def swept(name, dataset, folder, noise):
    """Sweeps a table's rows of a data set; the rows, what the sweep said, its records and what it says did not run."""
    roots = Roots(str(folder / "data"), str(noise), str(folder / "nets"))
    rows = selected(published(name), [f"{dataset}/*"], "1/1")
    FAKES[dataset](folder / "data" / dataset)
    for row in {row.folder: row for row in rows if not row.waits_for}.values():
        make_checkpoint(roots.checkpoint_dir(row), row.net, sets.get(row.dataset).classes)
    run = SweepRun(
        recipes=str(of_one_epoch(name, folder)),
        only=(f"{dataset}/*",),
        data_root=roots.data,
        noise_dir=roots.noise,
        checkpoint_root=roots.checkpoint,
        workdir=str(folder / "out"),
    )
    text, code = sweep(run, "the command")
    listed = folder / "out" / "unavailable.jsonl"
    left = [json.loads(line) for line in listed.read_text().splitlines()] if listed.exists() else []
    return rows, (code, text), records.read(folder / "out"), left


def check_record(name, row, record):
    """That a record is the row's: its names, numbers and options, of all clips, and that what was measured is there."""
    names = ("dataset", "net", "corruption", "level", "method", "protocol", "profile", "seed", "metric", "published")
    assert {key: record[key] for key in names} == {key: getattr(row, key) for key in names}
    recipe, options = record["recipe"], record["options"]
    assert (recipe["name"], recipe["row"], recipe["source"]) == (name, row.number, row.source)
    assert record["n"] == CLIPS.get(row.dataset, CLIPS[base(row.dataset)])
    for option, text in row.options:
        assert str(options[option]) == text or float(options[option]) == float(text), option
    resolved = methods.resolve_options(row.method, row.profile, dict(row.options))
    assert {option: options[option] for option in resolved} == resolved
    assert (options["epochs"], options["batch_size"]) == (1, row.batch_size)
    draws = {} if row.corruption == CLEAN else {"draw": row.draw, "draw_seed": row.seed}
    draws |= {"evaluation_draw_seed": row.evaluation_seed} if row.draw == "two" else {}
    assert {key: value for key, value in options.items() if key in DRAWS} == draws
    for key in ("non_adapted", "adapted_last", "adapted_selected", "adapted_oracle"):
        assert 0 <= record[key] <= 1, key
    assert [point["epoch"] for point in record["curve"]] == [0, 1]


def base(dataset):
    return dataset.partition("/")[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dataset", "name"),
    [pytest.param(*place, marks=pytest.mark.xdist_group(f"published rows of {place[0]}")) for place in RUNNING],
)
def test_every_row_gives_its_record_or_waits_by_name(tmp_path, noise, dataset, name):
    rows, (code, text), found, left = swept(name, dataset, tmp_path, noise)
    assert code == 0, text
    running = [row for row in rows if not row.waits_for]
    assert len(running) == RUNNING[dataset, name]
    assert [record["recipe"]["row"] for record in found] == [row.number for row in running]
    for row, record in zip(running, found, strict=True):
        check_record(name, row, record)
    assert {(entry["kind"], entry["row"]) for entry in left} == {("waits", r.number) for r in rows if r.waits_for}
    reasons = Counter(entry["reason"].removeprefix("waits for ") for entry in left)
    assert dict(reasons) == WAITING.get((dataset, name), {})


@pytest.mark.slow
def test_these_are_all_published_rows():
    found = {name: Counter(base(row.dataset) for row in published(name)) for name in ROWS}
    assert {name: counts.total() for name, counts in found.items()} == ROWS
    assert {(dataset, name) for name, counts in found.items() for dataset in counts} == set(RUNNING)
    waiting = {place: sum(reasons.values()) for place, reasons in WAITING.items()}
    for place, count in RUNNING.items():
        assert count + waiting.get(place, 0) == found[place[1]][place[0]], place
    assert (sum(RUNNING.values()), sum(waiting.values())) == (278, 113)
