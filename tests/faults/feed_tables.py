"""Campaign feed_tables: damaged lists of data sets, tables, records, prepared clips, corrupted sets, embeddings."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable, Container
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tests.faults import feeding, reports
from tests.faults.folders import Folder, attempt, of_folder
from tests.faults.outcomes import Outcome
from tests.faults.trying import Target

TRIES, BLOCK = 1_000, 100

SETS = {
    "arabic_speech_commands": "test",
    "audio_mnist/german_accent": "test",
    "cochl_scene": "test",
    "esc50/fold1": "test",
    "reef_set": "test",
    "reef_set/multiple": "test",
    "speech_commands_v2": "test",
    "tau_urban_2019/fold1": "test",
    "tut_sed": "test",
    "urban_sound_8k": "test",
    "vocal_sound": "test",
    "tomofun": "test",
    "fsc_89": "test",
    "librispeech_100": "test",
    "nsynth_100": "test",
}
"""Sets with lists -> a split."""

LISTS = (".csv", ".txt", ".json", ".lst", ".tsv", ".meta", ".ann")


def of_set(name: str, folder: Path) -> Folder:
    """A small copy of a data set, its clips listed and the first one looked for."""
    from dhauds_jax.data import sets
    from dhauds_jax.data.sets.base import list_split
    from tests.data.fakes import FAKES

    dataset = sets.get(name)
    maker = FAKES.get(name) or FAKES[name.partition("/")[0]]
    maker(folder / "copy")

    def read(place: Path) -> None:
        split = SETS[name] if SETS[name] in dataset.splits else dataset.splits[-1]
        list_split(dataset, place, split, allow_partial=True)

    return of_folder(folder / "copy", read, LISTS)


def of_file(name: str, text: str, read: Callable[[Path], Any], folder: Path) -> Folder:
    """One file with a sound text."""
    place = folder / "it"
    place.mkdir()
    (place / name).write_text(text, encoding="utf-8")
    return of_folder(place, lambda where: read(where / name))


def _truth(path: Path) -> None:
    from dhauds_jax.runs import truth

    truth.read(str(path), ("dog", "rain"))


def _subset(path: Path) -> None:
    from dhauds_jax.cells import subsets

    subsets.ids_of(str(path))


def _phrases(path: Path) -> None:
    from dhauds_jax.runs import embed_encoders

    embed_encoders.phrases(str(path))


def _class_names(path: Path) -> None:
    from dhauds_jax.runs.named_files import template_lines, text_of
    from dhauds_jax.zeroshot import templates

    templates.class_names(text_of(str(path), "--class_names"), f"--class_names={path}")
    template_lines(str(path))


def _events(path: Path) -> None:
    from dhauds_jax.data import audioset

    audioset.clips_of(audioset.read_events(path, {"/m/05tny_": "dog"}))


def _names(path: Path) -> None:
    from dhauds_jax.data import audioset

    audioset.read_names(path)


def _noises(path: Path) -> None:
    from dhauds_jax.data.corruptions import own_noises

    (path.parent / "a.wav").touch()
    own_noises.find(path.parent, path.name)


def _recipe(path: Path) -> None:
    from dhauds_jax.recipes import table

    table.read(str(path))


def _tuned(path: Path) -> None:
    from dhauds_jax.recipes import tuned

    tuned.read(path)


RECIPE = (
    "# a comment\ndataset,net,corruption,level,method,epochs,batch_size,seed,protocol,metric,lr,remark\n"
    "synthetic,amaut_small,WHN,L1,tent,2,8,0,offline,accuracy,0.001,\n"
    "synthetic,amaut_small,ENQ,L2,source,1,8,1,online,,,a remark\n"
)
EVENTS = (
    "segment_id\tstart_time_seconds\tend_time_seconds\tlabel\n"
    "b0RFKhbpFJA_30000\t0.5\t2.25\t/m/05tny_\nb0RFKhbpFJA_30000\t4.000\t9.1\t/m/0bt9lr\n"
)
TUNED = "method,option,value,score,nll,floor,trials,why\ntent,lr,0.001,0.5,1.0,0.4,3,best\n"
FILES: dict[str, tuple[str, str, Callable[[Path], Any]]] = {
    "truth": ("truth.csv", "file,label\na.wav,dog\nb.wav,rain\nsub/c.wav,dog\n", _truth),
    "a subset": ("subset.txt", "a.wav\nb/c.wav\n", _subset),
    "phrases": ("phrases.txt", "a dog barks\nrain falls\n", _phrases),
    "class names and templates": ("names.txt", "a {} dog\nrain {}\n", _class_names),
    "AudioSet's events": ("events.tsv", EVENTS, _events),
    "AudioSet's names": ("names.tsv", "/m/05tny_\tBark\n/m/0bt9lr\tDog\n", _names),
    "a list of noises": ("noises.txt", "a.wav\na.wav\n", _noises),
    "a recipe": ("recipe.csv", RECIPE, _recipe),
    "tuned options": ("tuned.csv", TUNED, _tuned),
}
"""Name of a case -> name of a file, a sound text, what reads it."""


def tables_of_runs(folder: Path) -> Folder:
    """What a sweep, a training and a crossvalidation leave and read again: small records of their own."""
    from dhauds_jax.runs import sweep_finished, sweep_outcomes
    from dhauds_jax.train import epoch_log
    from dhauds_jax.workdir import locks

    place = folder / "it"
    place.mkdir()
    (place / epoch_log.PROGRESS).write_text('{"epoch": 1, "loss": 0.5, "accuracy": 0.5}\n{"epoch": 2, "loss": 0.4}\n')
    (place / sweep_outcomes.UNAVAILABLE).write_text('{"recipes": "x", "row": 1, "kind": "bug", "reason": "a"}\n')
    (place / locks.FILE).write_text(json.dumps({"pid": 2**22 + 1, "host": socket.gethostname(), "since": "x"}))
    (place / sweep_finished.COPIES).write_text(json.dumps({"a": ["b", "c"]}))

    def read(where: Path) -> None:
        epoch_log._rows(where / epoch_log.PROGRESS)
        sweep_outcomes.listed(where / sweep_outcomes.UNAVAILABLE)
        sweep_finished._read(where / sweep_finished.COPIES)
        with contextlib.suppress(FileNotFoundError), locks.held(where):
            pass

    return of_folder(place, read)


def embeddings(folder: Path) -> Folder:
    """A folder of embeddings."""
    from dhauds_jax.workdir import vector_files, vectors

    rows = [(f"{k}.wav", "ab"[k % 2], str(k % 3), "1.5", "2", "", "test", "g") for k in range(5)]
    some = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    about = {"classes": ["a", "b"], "encoder": {"hash": "x", "front_end_hash": "y"}, "long": "first", "longer": 1}
    vector_files.write(folder / "it", [some], rows, 4, about)
    return of_folder(folder / "it", lambda place: vectors.read_all([place]))


def embeddings_npz(folder: Path) -> Folder:
    """Embeddings in one file."""
    from dhauds_jax.workdir import vectors

    embeddings(folder / "first")
    (folder / "it").mkdir()
    vectors.export_npz(vectors.read(folder / "first" / "it"), folder / "it" / "e.npz")
    return of_folder(folder / "it", lambda place: vectors.read_all([place / "e.npz"]))


def parts(folder: Path) -> Folder:
    """Parts of an unfinished command that embeds."""
    from dhauds_jax.workdir import vector_parts

    identity = {"encoder": "x", "long": "first"}
    made = vector_parts.Parts(folder / "it", identity)
    made.add([vector_parts.Clip(np.ones(3, np.float32), 1.0, 1, digest="x") for _ in range(3)])

    def read(place: Path) -> None:
        for _ in vector_parts.Parts(place, identity).read():
            pass

    return of_folder(folder / "it", read)


def prepared_clips(folder: Path) -> Folder:
    """A prepared split: an index, and files of records."""
    from dhauds_jax.data.pipeline import tfrecord

    place = folder / "it"
    place.mkdir()
    (place / "a.tfrecord-0").write_bytes(bytes(range(200)))
    numbers = {"file_number": [0, 0], "offset": [10, 60], "samples": [20, 30], "kept": [0, 1]}
    arrays = {name: np.array(values, np.int64) for name, values in numbers.items()}
    texts = {"notices": np.array([], np.str_), "skipped": np.array([], np.str_).reshape(-1, 2)}
    np.savez(place / tfrecord._INDEX, files=["a.tfrecord-0"], sizes=[200], **arrays, **texts)

    def read(where: Path) -> None:
        found = tfrecord._load(where)
        if found is not None:
            tfrecord.read_rows(found, np.arange(len(found.kept)), 40)

    return of_folder(place, read)


def corrupted_cell(folder: Path) -> Folder:
    """A cell of a corrupted set with its records."""
    from dhauds_jax.data.corrupted import verifying, writing
    from tests.data.test_corrupted import made, tiny

    writing.write_cell(tiny(), made(4), None, folder, progress=False)
    cell = folder / "WHN" / "L1"
    return of_folder(cell, lambda place: verifying.verify_checksums(place, threads=1, progress=False))


def kept_arrays(folder: Path) -> Folder:
    """Arrays that are kept beside checkpoints and in caches: prompts, a bank of distances."""
    from dhauds_jax.nets import clap_prompts
    from dhauds_jax.tta import bank

    place = folder / "it"
    place.mkdir()
    known = {"texts": np.array(["a"]), "vectors": np.ones((1, 3)), "tower": np.array("t"), "tokenizer": np.array("")}
    np.savez(place / clap_prompts.PROMPTS, **known)
    two = np.ones(2, np.float32)
    space = bank.Space(np.eye(3, 2, dtype=np.float32), np.ones((2, 2), np.float32), two, two, np.zeros(3), True)
    (place / bank.FILE).write_bytes(bank.packed(bank.Bank(space, space, 1.0)))

    def read(where: Path) -> None:
        clap_prompts.kept(where, "t")
        bank.read(where)

    return of_folder(place, read)


TARGETS: dict[str, Target] = {
    **{f"{name}, its lists": Target(partial(of_set, name), attempt) for name in SETS},
    **{name: Target(partial(of_file, *about), attempt) for name, about in FILES.items()},
    **{
        name: Target(make, attempt)
        for name, make in {
            "what runs leave": tables_of_runs,
            "embeddings": embeddings,
            "embeddings in a file": embeddings_npz,
            "parts of embeddings": parts,
            "prepared clips": prepared_clips,
            "a cell of a corrupted set": corrupted_cell,
            "kept arrays": kept_arrays,
            **{f"records, {kind}": partial(reports.records_of, kind) for kind in reports.RECORDS},
            "figures of a report": reports.figures_of,
        }.items()
    },
}


def run(tries: int, seed: int, place: Path, tell: Callable[[Outcome], None], done: Container[str]) -> None:
    """The campaign (see `campaigns`)."""
    feeding.run("feed_tables", __name__, list(TARGETS), BLOCK, (tries, seed, place, tell, done))


tables = feeding.table
