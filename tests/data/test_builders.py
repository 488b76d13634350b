"""TFDS builders: every set that lies on disk is built from a small copy and holds what the files hold."""

import os
import unittest

import numpy as np
import pytest
import soundfile
import tensorflow_datasets as tfds

from dhauds_jax.data import sets
from dhauds_jax.data.pipeline import builders, to_int16
from dhauds_jax.data.sets.base import multi_hot
from tests.data.fakes import FAKES

ON_DISK = sorted(name for name, dataset in sets.REGISTRY.items() if dataset.listing)
# Folds differ in their lists alone; building each would only repeat the first.
# Speech Commands, cut as another version and with files like these, is built in the quick set.
ALIKE = {"speech_commands_v1"}
BUILT = [
    pytest.param(name, marks=pytest.mark.slow) if "/" in name or name in ALIKE else name
    for name in ON_DISK
    if "/fold" not in name or name.endswith("/fold1")
]


def built(name, copy, folder, rate="native", **options):
    """The builder of a set, prepared from a copy."""
    base, _, variant = name.partition("/")
    config = builders.AudioConfig(name=f"{variant}x{rate}", variant=variant, sample_rate=rate, **options)
    builder = builders.builder_class(base)(data_dir=folder, config=config)
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=str(copy)))
    return builder


def examples(builder, split):
    return list(builder.as_dataset(split=split).as_numpy_iterator())


def test_every_set_on_disk_has_a_fake_copy_and_a_builder():
    assert set(ON_DISK) == set(FAKES)
    assert set(builders.names()) == {name.partition("/")[0] for name in ON_DISK}
    assert builders.UrbanSound8k is builders.builder_class("urban_sound_8k")
    assert builders.ArabicSpeechCommands.name == "arabic_speech_commands"
    configs = [config.name for config in builders.VocalSound.BUILDER_CONFIGS]
    assert configs == ["native", "16000", "44k-native", "44k-16000"]
    with pytest.raises(AttributeError, match="no attribute 'Synthetic'"):
        builders.Synthetic  # noqa: B018
    with pytest.raises(ValueError, match="no builder for 'synthetic': expected "):
        builders.builder_class("synthetic")


@pytest.mark.parametrize("name", BUILT)
def test_examples_equal_the_files(name, tmp_path):
    counts = FAKES[name](tmp_path / "copy")
    builder = built(name, tmp_path / "copy", tmp_path / "built")
    dataset = sets.REGISTRY[name]
    dataset = dataset.at(tmp_path / "copy") if dataset.at else dataset
    assert {split: info.num_examples for split, info in builder.info.splits.items()} == {
        builders.split_name(split): count for split, count in counts.items()
    }
    assert builder.info.features["label"].names == list(dataset.classes)
    assert builder.info.metadata["sample_rate"] == dataset.sample_rate
    for split in dataset.splits:
        refs, _ = dataset.listing(tmp_path / "copy", split, False)
        found = examples(builder, builders.split_name(split))
        assert [e["id"].decode() for e in found] == [ref.id for ref in refs]
        assert [e["label"] for e in found] == [ref.label for ref in refs]
        for ref, example in zip(refs, found, strict=True):
            samples, rate = soundfile.read(ref.path, dtype="int16", always_2d=True)
            if rate == dataset.sample_rate:
                if samples.shape[1] > 1:
                    samples = to_int16((samples / np.float32(32768)).mean(1, keepdims=True, dtype=np.float32))
                np.testing.assert_array_equal(example["audio"], samples[:, 0])
            else:
                assert len(example["audio"]) == -(-dataset.sample_rate * len(samples) // rate)
            if dataset.label_rows:
                np.testing.assert_array_equal(example["labels"], multi_hot(dataset, np.array([ref.label]))[0])


def test_another_rate_a_partial_copy_and_a_missing_one(tmp_path):
    counts = FAKES["arabic_speech_commands"](tmp_path / "copy")
    dataset = sets.get("arabic_speech_commands")
    refs, _ = dataset.listing(tmp_path / "copy", "test", False)
    refs[0].path.unlink()
    with pytest.raises(ValueError, match="1 of them are absent"):
        built(dataset.name, tmp_path / "copy", tmp_path / "refused")
    builder = built(dataset.name, tmp_path / "copy", tmp_path / "built", 8_000, allow_partial=True)
    assert builder.info.splits["test"].num_examples == counts["test"] - 1
    first = examples(builder, "test")[0]
    samples, _ = soundfile.read(refs[1].path, dtype="float32")
    assert len(first["audio"]) == -(-len(samples) // 2)
    # Halving the rate keeps the tone: it must look like every second sample after a low pass.
    assert np.corrcoef(first["audio"], samples[::2])[0, 1] > 0.9
    with pytest.raises(ValueError, match=r"Manual directory .*nowhere does not exist or is empty, expected Download"):
        built(dataset.name, tmp_path / "nowhere", tmp_path / "never")


def test_a_name_that_is_no_unicode_is_kept():
    dataset = sets.get("arabic_speech_commands")
    ref = sets.ClipRef(os.fsdecode(b"caf\xe9.wav"), None, 2)
    encoded = builders.features(dataset).encode_example(builders.example(dataset, ref, np.zeros(3, np.int16)))
    assert encoded["id"] == b"caf\xe9.wav"


@pytest.fixture(scope="module")
def arabic_copy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("arabic")
    return folder, FAKES["arabic_speech_commands"](folder)


@pytest.mark.slow
def test_tfds_own_test_case_passes(arabic_copy):
    folder, counts = arabic_copy

    class Case(tfds.testing.DatasetBuilderTestCase):
        DATASET_CLASS = builders.ArabicSpeechCommands
        SPLITS = counts
        EXAMPLE_DIR = str(folder)
        BUILDER_CONFIG_NAMES_TO_TEST = ["native"]  # noqa: RUF012
        SKIP_CHECKSUMS = True

    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(Case).run(result)
    assert result.testsRun > 3
    assert [text for _, text in result.errors + result.failures] == []
