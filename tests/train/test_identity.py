"""What names a training: flags and content; another noise, other samples, other weights are another training."""

import shutil

import numpy as np
import pytest

from dhauds_jax.data import content, sets
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import checkpoint, zoo
from dhauds_jax.runs.train import train_and_save
from dhauds_jax.train import identity
from dhauds_jax.train.clips import open_clips, training_noise
from dhauds_jax.train.request import TrainOptions
from tests.runs import tiny

RATE, WIDTH = 16_000, 4_000


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("identity")
    tiny.make_arabic(folder / "data")
    tiny.make_noises(folder / "noise")
    return folder


def a_run(place, workdir, **changes):
    return tiny.a_training(place, workdir, TrainOptions(epochs=1, batch_size=16), **changes)


def files_of(run):
    dataset = sets.get(run.dataset, run.data_dir)
    config = zoo.preset("amaut_tiny", dataset.classes)
    splits = [open_clips(run, dataset, split, config, WIDTH, run.memory_budget_mb) for split in ("train", "val")]
    noise = training_noise(dataset, run.noise_dir, run.train_noise, RATE)
    return splits, noise, identity.of_files(run, *splits, noise)


def test_the_same_files_elsewhere_are_the_same_training(place, tmp_path):
    shutil.copytree(place, tmp_path / "copy")
    assert files_of(a_run(place, tmp_path))[2] == files_of(a_run(tmp_path / "copy", tmp_path))[2]


@pytest.mark.slow
def test_another_noise_or_sample_or_weights_are_another_training(place, tmp_path):
    (train, validation), noise, named = files_of(a_run(place, tmp_path))
    assert files_of(a_run(place, tmp_path, train_noise="white_noise"))[2]["noise"] != named["noise"]
    louder = train.waves.copy()
    louder[3, 100] += 1
    changed = identity.of_files(a_run(place, tmp_path), train._replace(waves=louder), validation, noise)
    assert {name for name in named if named[name] != changed[name]} == {"train"}
    first, second = (tiny.make_checkpoint(tmp_path / name) for name in ("a", "b"))
    found = [files_of(a_run(place, tmp_path, checkpoint=str(folder)))[2]["weights"] for folder in (first, second)]
    assert found == [checkpoint.variables_hash(checkpoint.load(first)[0])] * 2
    assert named["weights"] is None


def test_a_streamed_split_is_named_by_names_and_sizes(place, tmp_path):
    (train, _), _, _ = files_of(a_run(place, tmp_path))
    streamed = train._replace(waves=None)
    assert content.of_split(streamed) != content.of_split(train)
    other = streamed._replace(lengths=np.maximum(streamed.lengths - 1, 1))
    assert content.of_split(other) != content.of_split(streamed)
    assert content.of_split(streamed._replace(ids=("x", *train.ids[1:]))) != content.of_split(streamed)


@pytest.mark.slow
def test_another_noise_in_one_folder_is_refused_and_said(place, tmp_path):
    train_and_save(a_run(place, tmp_path), "c")
    assert train_and_save(a_run(place, tmp_path), "c").startswith("already trained")
    with pytest.raises(BadInput, match=r"another run \(other recording of the noise view\): choose another --workdir"):
        train_and_save(a_run(place, tmp_path, train_noise="white_noise"), "c")


def test_each_file_of_a_network_of_ones_own_counts(place, tmp_path, monkeypatch):
    run = a_run(place, tmp_path, net="my_preset:sizes")
    config = zoo.preset("amaut_tiny", ["a", "b"]).replace(net="my_preset:sizes", family="my_family:FAMILY")
    for name in ("my_preset", "my_family"):
        (tmp_path / f"{name}.py").write_text("sizes = FAMILY = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = [identity.of_flags(run, ("net",), config)["net_source"]]
    for name in ("my_preset", "my_family"):
        (tmp_path / f"{name}.py").write_text("sizes = FAMILY = 2\n")
        found.append(identity.of_flags(run, ("net",), config)["net_source"])
    assert len(set(found)) == 3
    assert "net_source" not in identity.of_flags(run, ("net",), zoo.preset("amaut_tiny", ["a", "b"]))


def test_settings_that_are_not_the_presets_name_another_training(place, tmp_path):
    run, config = a_run(place, tmp_path), zoo.preset("amaut_tiny", ["a", "b"])
    other = config.replace(front_end={**config.front_end, "hop": 200})
    assert "config" not in identity.of_flags(run, ("net",), config, config)
    assert len(identity.of_flags(run, ("net",), config, other)["config"]) == 16
