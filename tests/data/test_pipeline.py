"""The pipeline: the same bits from memory and from TFRecords, for any number of workers and shards; features alone."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import soundfile
import tensorflow as tf
import tensorflow_datasets as tfds

from dhauds_jax.data import pipeline, sets
from dhauds_jax.data.corruptions import corrupt
from dhauds_jax.data.corruptions.noise import NoiseBank
from dhauds_jax.data.layout import lay_out, raw_clip
from dhauds_jax.data.loading import load_split
from dhauds_jax.data.pipeline import decoding, feature_dataset, tfrecord, to_int16
from dhauds_jax.data.pipeline.decoding import decode_files
from dhauds_jax.dsp.mel import MelSpec, log_mel
from dhauds_jax.dsp.views import rolled_views
from dhauds_jax.tta.protocols import stream_order

RATE = 16_000
WIDTH = 4_000
WORDS = sets.get("arabic_speech_commands").classes
LENGTHS = (3_000, 4_000, 5_001)


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """Arabic layout, three clips a word: shorter, as long as and longer than a row; 16-bit mono at 16 kHz."""
    root = tmp_path_factory.mktemp("copy")
    rng = np.random.default_rng(0)
    lines = ["file,class"]
    for word in WORDS:
        (root / "dataset" / word).mkdir(parents=True)
        for take, samples in enumerate(LENGTHS):
            name = f"dataset/{word}/s_NO_{take}.wav"
            soundfile.write(root / name, rng.normal(size=samples) * 0.1, RATE, subtype="PCM_16")
            lines.append(f"{name},{word}")
    (root / "train.csv").write_text("\n".join(lines) + "\n")
    return root


def opened(copy, **options):
    options = {"sample_rate": RATE, "width": WIDTH, "progress": False, **options}
    return pipeline.open_split("arabic_speech_commands", copy, "train", **options)


@pytest.fixture(scope="module")
def in_memory(copy):
    return opened(copy)


@pytest.fixture(scope="module")
def streamed(copy, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tfrecord, "CLIPS_PER_FILE", 20)
        return opened(copy, budget_mb=0, cache_dir=tmp_path_factory.mktemp("cache"))


def collected(source, order, size, **options):
    return list(pipeline.batches(source, order, size, **options))


def assert_same_batches(left, right):
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        for name in pipeline.ClipBatch._fields:
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
            assert getattr(a, name).dtype == getattr(b, name).dtype


def test_rows_in_memory_are_those_of_load_split_exactly(copy, in_memory):
    clips = load_split("arabic_speech_commands", copy, "train", sample_rate=RATE, length=WIDTH, progress=False)
    assert in_memory.waves.dtype == np.int16
    np.testing.assert_array_equal(np.asarray(pipeline.to_float(in_memory.waves)), clips.waves)
    np.testing.assert_array_equal(in_memory.lengths, clips.lengths)
    np.testing.assert_array_equal(in_memory.labels, clips.labels)
    assert (in_memory.ids, in_memory.classes) == (clips.ids, clips.classes)
    assert in_memory.notices == clips.notices
    assert in_memory.notices == ("15 of 45 clips are longer than 4000 samples, their heads are kept",)
    assert pipeline.memory_mb(in_memory) == 45 * WIDTH * 2 / 2**20


def test_int16_rounds_to_even_and_saturates():
    wave = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 0.49], np.float32) / 32768
    assert to_int16(wave).tolist() == [0, 2, 2, 0, -2, 0]
    assert to_int16(np.array([1.0, 1.5, -1.0, -7.0], np.float32)).tolist() == [32767, 32767, -32768, -32768]


def test_the_same_bits_in_memory_and_streamed_with_any_workers(copy, in_memory, streamed):
    assert streamed.waves is None and len(streamed.records.files) == 3
    assert pipeline.memory_mb(streamed) == 0
    for name in ("ids", "labels", "lengths", "width", "classes", "notices"):
        np.testing.assert_array_equal(getattr(streamed, name), getattr(in_memory, name), err_msg=name)
    one = opened(copy, workers=1)
    np.testing.assert_array_equal(one.waves, in_memory.waves)
    order = pipeline.epoch_order(jax.random.key(1), 45)
    expected = collected(in_memory, order, 8)
    assert_same_batches(collected(streamed, order, 8, workers=1), expected)
    assert_same_batches(collected(streamed, order, 8, workers=5), expected)


def test_batches_follow_the_order_and_the_last_is_padded(in_memory):
    order = pipeline.epoch_order(jax.random.key(1), 45, epoch=3)
    np.testing.assert_array_equal(order, stream_order(jax.random.key(1), 45, 3))
    found = collected(in_memory, order, 8)
    assert len(found) == 6
    assert np.concatenate([b.index[b.weights > 0] for b in found]).tolist() == order.tolist()
    assert found[-1].weights.tolist() == [1, 1, 1, 1, 1, 0, 0, 0]
    assert found[-1].index[5:].tolist() == [order[40]] * 3
    for batch in found:
        np.testing.assert_array_equal(batch.wave, in_memory.waves[batch.index])
        np.testing.assert_array_equal(batch.labels, batch.index // 3)
        np.testing.assert_array_equal(batch.lengths, np.minimum(LENGTHS, WIDTH)[batch.index % 3])
    assert collected(in_memory, order[:0], 8) == []


@pytest.mark.parametrize("kind", ["in_memory", "streamed"])
def test_resumed_at_any_batch_and_shared_by_four_processes(kind, request):
    source = request.getfixturevalue(kind)
    order = pipeline.epoch_order(jax.random.key(2), 45)
    whole = collected(source, order, 8)
    for begin in (1, 5, 6):
        assert_same_batches(collected(source, order, 8, begin=begin), whole[begin:])
    shards = [collected(source, order, 8, shard=(i, 4), begin=2) for i in range(4)]
    joined = [
        pipeline.ClipBatch(*(np.concatenate(parts) for parts in zip(*batches, strict=True)))
        for batches in zip(*shards, strict=True)
    ]
    assert_same_batches(joined, whole[2:])
    with pytest.raises(ValueError, match="shard 0 of 3 with batch_size 8, expected 0 <= shard < 3 and a positive mult"):
        pipeline.batches(source, order, 8, shard=(0, 3))
    with pytest.raises(ValueError, match="shard 4 of 4"):
        pipeline.batches(source, order, 8, shard=(4, 4))


@pytest.mark.parametrize("kind", ["in_memory", "streamed"])
def test_rows_can_be_narrowed_to_the_longest_clip(kind, request):
    source = request.getfixturevalue(kind)
    (batch,) = pipeline.batches(pipeline.narrowed(source, 4_000), np.arange(2), 2)
    np.testing.assert_array_equal(batch.wave, next(pipeline.batches(source, np.arange(2), 2)).wave)
    short = source._replace(lengths=np.minimum(source.lengths, 3_000), width=4_001)
    if source.waves is not None:
        short = short._replace(waves=np.pad(source.waves[:, 500:3_500], [(0, 0), (500, 501)]))
    wave = next(pipeline.batches(pipeline.narrowed(short, 3_100), np.array([0]), 1)).wave[0]
    np.testing.assert_array_equal(wave[50:3_050], next(pipeline.batches(source, np.array([0]), 1)).wave[0, 500:3_500])
    assert not wave[:50].any() and not wave[3_050:].any()
    with pytest.raises(ValueError, match="width 3999, expected at least the longest clip's 4000"):
        pipeline.narrowed(source, 3_999)


def test_batches_move_to_the_device_one_ahead(in_memory):
    taken = []

    def counted():
        for i, batch in enumerate(pipeline.batches(in_memory, np.arange(45), 8)):
            taken.append(i)
            yield batch
        raise RuntimeError("the disk is gone")

    moved = pipeline.to_device(counted())
    first = next(moved)
    assert isinstance(first.wave, jax.Array) and first.wave.dtype == jnp.int16
    wave = pipeline.to_float(first.wave)
    assert wave.dtype == jnp.float32
    np.testing.assert_array_equal(np.asarray(wave) * 32768, in_memory.waves[:8])
    next(moved)
    assert 2 <= len(taken) <= 3  # two in use or done, at most one ahead
    with pytest.raises(RuntimeError, match="the disk is gone"):
        list(moved)
    assert taken == list(range(6))
    stopped = pipeline.to_device(pipeline.batches(in_memory, np.arange(45), 8))
    next(stopped)
    stopped.close()
    assert [int(b.index[0]) for b in pipeline.to_device(iter([first]))] == [0]


def test_a_prepared_split_is_found_again_and_prepared_anew_when_a_file_changes(copy, streamed, tmp_path):
    source = opened(copy, budget_mb=0, cache_dir=tmp_path)
    folder = source.records.folder
    prepared = folder.stat().st_mtime_ns
    assert opened(copy, budget_mb=0, cache_dir=tmp_path).records.folder == folder
    assert folder.stat().st_mtime_ns == prepared
    examples = tfds.builder_from_directory(str(folder)).as_dataset(split="train").as_numpy_iterator()
    refs, _ = sets.get("arabic_speech_commands").listing(copy, "train", False)
    for ref, example in zip(refs, examples, strict=True):
        assert (example["id"].decode(), example["label"]) == (ref.id, ref.label)
        np.testing.assert_array_equal(example["audio"], soundfile.read(ref.path, dtype="int16")[0])

    (damaged,) = source.records.files
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-1_000])
    with pytest.raises(ValueError, match="ends before clip 44, expected what was prepared; remove its folder"):
        tfrecord.read_rows(source.records, np.array([44]), 5_001)
    opened(copy, budget_mb=0, cache_dir=tmp_path)
    assert damaged.read_bytes() == whole

    samples = soundfile.read(refs[0].path, dtype="int16")[0]
    soundfile.write(refs[0].path, -samples, RATE, subtype="PCM_16")
    try:
        anew = opened(copy, budget_mb=0, cache_dir=tmp_path)
    finally:
        soundfile.write(refs[0].path, samples, RATE, subtype="PCM_16")
    assert anew.records.folder != folder
    np.testing.assert_array_equal(tfrecord.read_rows(anew.records, np.array([0]), 3_000)[0], -samples)
    assert not list(tmp_path.glob("*.tmp-*"))


def test_a_resampler_has_prepared_splits_of_its_own(copy, tmp_path):
    folders = set()
    for name in ("sinc", "soxr_hq"):
        source = opened(copy, sample_rate=8_000, resampler=name, budget_mb=0, cache_dir=tmp_path)
        (held,) = {opened(copy, sample_rate=8_000, resampler=name).waves.tobytes()}
        assert tfrecord.read_rows(source.records, np.arange(45), WIDTH).tobytes() == held
        folders.add(source.records.folder)
    assert len(folders) == 2


def test_a_split_that_does_not_fit_needs_a_folder(copy):
    with pytest.raises(ValueError, match=r"train takes 0 MiB and the budget is 0.1 MiB: raise --memory"):
        opened(copy, budget_mb=0.1)
    with pytest.raises(ValueError, match="--on_bad_file=mend: expected stop or skip"):
        opened(copy, on_bad_file="mend")


@pytest.fixture
def broken(tmp_path):
    """Three files: good, text renamed, good but stereo at 8 kHz."""
    root = tmp_path / "broken"
    (root / "dataset" / "up").mkdir(parents=True)
    samples = np.random.default_rng(0).normal(size=(2_000, 2)) * 0.1
    soundfile.write(root / "dataset/up/a.wav", samples[:, 0], RATE, subtype="PCM_16")
    (root / "dataset/up/b.wav").write_text("this is no audio")
    soundfile.write(root / "dataset/up/c.wav", samples, 8_000, subtype="PCM_16")
    (root / "train.csv").write_text("file,class\n" + "".join(f"dataset/up/{n}.wav,up\n" for n in "abc"))
    return root


@pytest.mark.parametrize("budget_mb", [1, 0])
def test_bad_files_stop_or_are_skipped_and_said(broken, tmp_path, budget_mb):
    options = {"budget_mb": budget_mb, "cache_dir": tmp_path / "cache"}
    with pytest.raises(ValueError, match=r"b\.wav: cannot be read"):
        opened(broken, **options)
    assert not list((tmp_path / "cache").glob("*"))
    source = opened(broken, on_bad_file="skip", **options)
    assert source.ids == ("dataset/up/a.wav", "dataset/up/c.wav")
    ((name, reason),) = source.skipped
    assert name == "dataset/up/b.wav" and reason.startswith("cannot be read")
    assert source.notices == (
        "1 of 3 files: 2 channels mixed down to one",
        "1 of 3 files: resampled from 8000 Hz to 16000 Hz",
        f"1 of 3 files are bad and were skipped (the first: {name}: {reason})",
    )
    assert source.lengths.tolist() == [2_000, 4_000]
    batch = next(pipeline.batches(source, np.arange(2), 2))
    clips = list(decode_files([broken / name for name in source.ids], RATE))
    np.testing.assert_array_equal(batch.wave[0, 1_000:3_000], clips[0].wave)
    np.testing.assert_array_equal(batch.wave[1], clips[1].wave)


def test_a_set_made_in_memory_stays_as_it_is_made():
    made = sets.get("synthetic")._replace(
        generate=lambda split, seed: sets.Generated(("a", "b"), np.full((2, 3), 1e-9, np.float32), np.array([1, 0]))
    )
    source = pipeline.open_split(made, None, "test", sample_rate=16_000, width=5, budget_mb=0)
    (batch,) = pipeline.batches(source, np.array([1, 0]), 2)
    assert batch.wave.dtype == np.float32 and pipeline.to_float(batch.wave).dtype == jnp.float32
    np.testing.assert_array_equal(batch.wave, np.pad(np.full((2, 3), 1e-9, np.float32), [(0, 0), (1, 1)]))
    assert batch.labels.tolist() == [0, 1]


def test_gpus_are_hidden_from_tensorflow(monkeypatch):
    hidden = []
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: ["a GPU"])
    monkeypatch.setattr(tf.config, "set_visible_devices", lambda devices, kind: hidden.append((devices, kind)))
    assert decoding.tensorflow() is tf
    assert hidden == [([], "GPU")]

    def too_late(devices, kind):
        raise RuntimeError("Visible devices cannot be modified after being initialized")

    monkeypatch.setattr(tf.config, "set_visible_devices", too_late)
    with pytest.raises(ValueError, match="TensorFlow has taken a GPU already, expected"):
        decoding.tensorflow()
    monkeypatch.setattr(decoding, "available", lambda: False)
    with pytest.raises(ValueError, match=r"not installed, expected: pip install dhauds_jax\[data\]"):
        decoding.tensorflow()


def test_files_are_read_without_tensorflow(copy, monkeypatch):
    """Before, every training imported it, for nine seconds of processor time, to read clips that fit in memory."""
    monkeypatch.setattr(decoding, "tensorflow", None)
    paths = sorted((copy / "dataset").rglob("*.wav"))
    read = [list(decode_files(paths, RATE, workers=workers)) for workers in (1, 3)]
    assert len(read[0]) == len(paths) > 3
    for path, one, three in zip(paths, *read, strict=True):
        np.testing.assert_array_equal(one.wave, three.wave)
        np.testing.assert_array_equal(one.wave, soundfile.read(path, dtype="int16")[0])


SPEC = MelSpec(RATE, 512, 400, 160, 40, 0.0, 8_000.0, "slaney", divisor=40.0)


@pytest.mark.as_shipped
@pytest.mark.parametrize(("corruption", "epoch"), [("ENSC", 2), ("TST", 0)])
def test_feature_dataset_is_what_the_jitted_step_computes(copy, corruption, epoch):
    noise = np.random.default_rng(3).normal(size=20_000).astype(np.float32)
    bank = NoiseBank(("a", "b"), [noise, noise[::-1].copy()], RATE) if corruption == "ENSC" else None
    key = jax.random.key(5)
    found = feature_dataset(
        "arabic_speech_commands",
        copy,
        "train",
        features=SPEC,
        sample_rate=RATE,
        length=WIDTH,
        key=key,
        corruption=corruption,
        seed=9,
        bank=bank,
        epoch=epoch,
        batch_size=16,
        begin=1,
        progress=False,
    )
    assert isinstance(found, tf.data.Dataset)
    clips = load_split("arabic_speech_commands", copy, "train", sample_rate=RATE, length=4_500, progress=False)
    waves, _ = corrupt(
        clips.waves,
        clips.ids,
        dataset="arabic_speech_commands",
        corruption=corruption,
        level="L2",
        seed=9,
        bank=bank,
        sample_rate=RATE,
        length=WIDTH,
        lengths=clips.lengths,
    )
    # As protocols.offline and the method dhauds derive them.
    order_key, step_key = jax.random.split(key)
    order = stream_order(jax.random.fold_in(order_key, 0), 45, epoch)
    elements = list(found.as_numpy_iterator())
    assert len(elements) == 2

    @jax.jit
    def step(wave, index, key):
        views = rolled_views(jax.random.split(key, 3)[0], wave, index, 0.17)
        return [log_mel(view, SPEC) for view in views]

    for number, element in enumerate(elements, start=1):
        index = np.resize(order[16 * number : 16 * number + 16], 16)
        index[len(order[16 * number :]) :] = order[16 * number]
        np.testing.assert_array_equal(element["index"], index)
        np.testing.assert_array_equal(element["labels"], clips.labels[index])
        assert element["weights"].sum() == min(16, 45 - 16 * number)
        step_number_key = jax.random.fold_in(jax.random.fold_in(step_key, epoch), number)
        right, left = step(waves[index], index.astype(np.int32), step_number_key)
        # dB / 40; the step is compiled in another program, whose sums may round otherwise.
        np.testing.assert_allclose(element["right"], right, rtol=0, atol=1e-5)
        np.testing.assert_allclose(element["left"], left, rtol=0, atol=1e-5)


def test_features_are_of_repeated_clips_where_the_network_wants_it(copy):
    given = {"sample_rate": RATE, "length": 7_000, "key": jax.random.key(0), "limit": 0.0, "layout": "repeat_pad"}
    found = feature_dataset("arabic_speech_commands", copy, "train", features=lambda wave: wave, batch_size=45, **given)
    (element,) = found.as_numpy_iterator()
    clips = load_split("arabic_speech_commands", copy, "train", sample_rate=RATE, length=7_000, progress=False)
    for row, i in zip(element["right"], element["index"], strict=True):
        own = raw_clip(clips.waves[i], int(clips.lengths[i]))
        np.testing.assert_array_equal(row, lay_out(own, 7_000, layout="repeat_pad"))


def test_importing_the_pipeline_imports_no_tensorflow():
    code = "import sys, dhauds_jax.data.pipeline; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
