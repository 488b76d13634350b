"""Apache Beam: the same files as the local run, bit for bit; a TFDS data set of a cell."""

import json

import numpy as np
import pytest
import soundfile

from dhauds_jax.data import sets
from dhauds_jax.data.clip_source import open_clips
from dhauds_jax.data.corrupted import writing
from dhauds_jax.data.corruptions.noise import load_bank
from tests.data.fakes import FAKES
from tests.runs.tiny import make_noises

beam = pytest.importorskip(
    "dhauds_jax.data.corrupted.beam", reason="apache_beam is not installed (the extra beam)", exc_type=ImportError
)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("beam")
    FAKES["reef_set"](folder / "reef")
    make_noises(folder / "noise")
    return folder


def jobs(place, **changes):
    job = beam.Job("reef_set", str(place / "reef"), str(place / "noise"), "ENSC", "L2", seed=7)
    return job._replace(**changes)


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("corruption", ["ENSC", "WHN", "TST"])
def test_beam_writes_the_files_of_the_local_run(place, tmp_path, corruption):
    job = jobs(place, corruption=corruption, noise_dir=str(place / "noise") if corruption == "ENSC" else None)
    source = open_clips(sets.get("reef_set"), place / "reef", "test")
    bank = load_bank(place / "noise", "ENSC", "L2", 16_000) if corruption == "ENSC" else None
    local = writing.write_cell(job.cell, source, bank, tmp_path / "local", progress=False)
    options = ["direct_num_workers=2", "direct_running_mode=multi_threading"]
    beamed = beam.write_cell(job, source, tmp_path / "beam", options=options, size=10)
    assert beamed == local and local.record["clips"] == 37
    one, other = (contents(tmp_path / name) for name in ("local", "beam"))
    # 37 wav files, the manifest and the record; nothing temporary is left.
    assert one == other and len(one) == 39


def test_batches_hold_every_clip_once(place):
    source = open_clips(sets.get("reef_set"), place / "reef", "test")
    works = beam.batches(source, 10)
    assert [len(work.rows) for work in works] == [10, 10, 10, 7]
    assert tuple(clip for work in works for clip in work.ids) == source.ids
    assert works[1].paths[0] == str(source.paths[10]) and works[0].waves is None
    made = beam.batches(open_clips(sets.get("synthetic"), None, "val"), 100)
    assert made[1].waves.shape == (12, 16_000) and made[1].paths is None


def test_bad_files_are_left_out(place, tmp_path):
    FAKES["reef_set"](tmp_path / "reef")
    data = sets.get("reef_set")
    refs, _ = data.listing(tmp_path / "reef", "test", False)
    refs[11].path.write_bytes(b"text")
    job = jobs(place, data_dir=str(tmp_path / "reef"), corruption="WHN", on_bad_file="skip")
    source = open_clips(data, tmp_path / "reef", "test", on_bad_file="skip")
    written = beam.write_cell(job, source, tmp_path, size=10)
    assert written.record["left_out"] == [refs[11].id] and [row for row, _ in written.bad] == [11]
    assert written.bad[0][1].path == refs[11].path


def test_a_cell_as_a_tfds_data_set(place, tmp_path):
    tfds = pytest.importorskip("tensorflow_datasets")
    from dhauds_jax.data.corrupted.beam_builder import CorruptedCell, CorruptedConfig

    job = jobs(place)
    source = open_clips(sets.get("reef_set"), place / "reef", "test")
    bank = load_bank(place / "noise", "ENSC", "L2", 16_000)
    writing.write_cell(job.cell, source, bank, tmp_path / "local", progress=False)
    builder = CorruptedCell(data_dir=tmp_path / "tfds", config=CorruptedConfig.of(job, batch=10))
    options = beam.pipeline_options(["direct_num_workers=1"])
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(beam_options=options))
    examples = list(tfds.as_numpy(builder.as_dataset(split="test")))
    assert [example["id"].decode() for example in examples] == list(source.ids)
    assert [int(example["label"]) for example in examples] == source.labels.tolist()
    for example in examples:
        path = tmp_path / "local" / "ENSC" / "L2" / example["id"].decode()
        np.testing.assert_array_equal(example["audio"], soundfile.read(path, dtype="int16")[0])
    assert builder.info.metadata["seed"] == 7
    assert CorruptedConfig.of(job).name == builder.builder_config.name
    FAKES["reef_set"](tmp_path / "other")
    assert CorruptedConfig.of(job._replace(data_dir=str(tmp_path / "other"))).name != builder.builder_config.name
    with pytest.raises(ValueError, match="CorruptedCell has no job"):
        CorruptedCell(data_dir=tmp_path / "none")


def test_the_command_line_takes_the_runner(place, tmp_path):
    from dhauds_jax.runs.corrupt import CorruptRun, run_command

    run = CorruptRun(
        dataset="reef_set", data_dir=str(place / "reef"), noise_dir=str(place / "noise"), corruption=["WHN"],
        level=["L1"], output=str(tmp_path), profile="reference", seed=5, split="test", allow_partial=False,
        runner="beam", beam_options=["direct_num_workers=1"],
    )  # fmt: skip
    assert run_command(run).startswith("1 cell written")
    assert json.loads((tmp_path / "WHN" / "L1" / "cell.json").read_text())["clips"] == 37
    assert (tmp_path / "test_annotations.csv").is_file()
    assert run_command(run.replace(runner="direct", verify="samples")).startswith("1 cell agrees")
