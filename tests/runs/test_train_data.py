"""Where training takes its clips from: memory, TFRecords or plain arrays, to the same bits; pieces of longer clips."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import soundfile

from dhauds_jax import parallel
from dhauds_jax.data import pipeline, sets
from dhauds_jax.data.checking import check_copy
from dhauds_jax.data.layout import lay_out
from dhauds_jax.data.loading import load_split
from dhauds_jax.data.notices import absent_classes
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import checkpoint, zoo
from dhauds_jax.nets.normalisers import EVAL
from dhauds_jax.runs import train as train_run
from dhauds_jax.runs.train import train_and_save
from dhauds_jax.train.clips import check_splits, train_width
from dhauds_jax.train.evaluation import make_evaluator
from dhauds_jax.train.loop import TrainBatch, TrainOptions, check_options, make_view, train
from dhauds_jax.train.request import TrainRun
from tests.runs import tiny

OPTIONS = TrainOptions(epochs=1, batch_size=8)


def ramps(lengths, width):
    """Rows in which sample k of the centred clip is k + 1."""
    wave = np.zeros((len(lengths), width), np.float32)
    for row, length in zip(wave, lengths, strict=True):
        head = (width - length) // 2
        row[head : head + length] = np.arange(1, length + 1)
    count = len(lengths)
    index = jnp.arange(count, dtype=jnp.int32)
    return TrainBatch(jnp.asarray(wave), jnp.asarray(lengths), jnp.zeros(count, jnp.int32), jnp.ones(count), index)


@pytest.mark.parametrize(("last", "starts"), [(False, {0, 1, 2}), (True, {0, 1, 2, 3})])
def test_a_random_piece_of_longer_clips_and_shorter_ones_whole(last, starts):
    batch = ramps([13, 10, 7], 15)
    view = make_view("clean", OPTIONS.replace(crop_last_start=last), None, short=True, length=10)
    views = np.asarray(jax.vmap(lambda key: view(key, batch))(jax.random.split(jax.random.key(0), 80)))
    assert views.shape == (80, 3, 10)
    assert set(views[:, 0, 0] - 1) == starts
    np.testing.assert_array_equal(views[:, 0], views[:, 0, :1] + np.arange(10))
    np.testing.assert_array_equal(views[:, 1], np.tile(np.arange(1, 11), (80, 1)))
    heads = (views[:, 2] == 0).argmin(1)
    assert set(heads) == {0, 1, 2, 3}
    assert all(row[head : head + 7].tolist() == list(range(1, 8)) for row, head in zip(views[:, 2], heads, strict=True))


def test_shorter_clips_are_repeated_where_the_network_wants_it():
    batch = ramps([13, 10, 7, 4], 15)
    view = make_view("clean", OPTIONS, None, short=True, length=10, layout="repeat_pad")
    longer, exact, once, twice = np.asarray(view(jax.random.key(0), batch)).tolist()
    assert longer == list(range(int(longer[0]), int(longer[0]) + 10)) and exact == list(range(1, 11))
    assert once == [1, 2, 3, 4, 5, 6, 7, 0, 0, 0] and twice == [1, 2, 3, 4, 1, 2, 3, 4, 0, 0]
    row = make_view("clean", OPTIONS, None, short=True, length=15, layout="repeat_pad")(jax.random.key(0), batch)[3]
    assert row.tolist() == [1, 2, 3, 4] * 3 + [0] * 3
    first = make_view("clean", OPTIONS, None, short=True, length=10, layout="start")(jax.random.key(0), batch)
    assert first[1:, :4].tolist() == [[1, 2, 3, 4]] * 3 and first[3].tolist() == [1, 2, 3, 4] + [0] * 6
    assert (np.diff(first[0]) == 1).all()


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["repeat_pad", "start"])
def test_validation_clips_are_laid_out_as_the_network_wants_it(layout):
    preset = zoo.preset("amaut_tiny", ("a", "b"))
    net = zoo.build(preset.replace(front_end={**preset.front_end, "layout": layout}))
    variables = net.init(jax.random.key(0), jnp.zeros((1, preset.length)))
    waves = [np.random.default_rng(n).normal(size=n).astype(np.float32) * 0.1 for n in (4_000, 2_500, 1_300)]
    rows = np.stack([lay_out(wave, preset.length) for wave in waves])
    lengths = np.array([len(wave) for wave in waves])
    clips = pipeline.from_arrays("abc", rows, np.zeros(3, int), lengths, classes=("a", "b"), sample_rate=16_000)
    placed = jnp.asarray(np.stack([lay_out(wave, preset.length, layout=layout) for wave in waves]))
    logits = make_evaluator(net, 2)(variables, clips)
    np.testing.assert_allclose(logits, net.apply(variables, placed, mode=EVAL)[0].logits, atol=1e-5)
    spread = make_evaluator(net, 2, parallel.make("mesh"))(variables, clips)
    np.testing.assert_allclose(spread, logits, atol=1e-5)


@pytest.mark.slow
def test_noise_comes_before_the_cut():
    """The SNR is that of the whole clip: its loud second half counts, whichever piece is kept."""
    wave = np.concatenate([np.full(50, 0.1), np.full(50, 10.0)]).astype(np.float32)
    batch = TrainBatch(jnp.asarray(wave[None]), jnp.array([100]), jnp.zeros(1, int), jnp.ones(1), jnp.zeros(1, int))
    view = make_view("noise", OPTIONS.replace(noise_snr_db=0.0), jnp.ones(300), short=False, length=50)
    pieces = np.asarray(jax.vmap(lambda key: view(key, batch)[0])(jax.random.split(jax.random.key(0), 40)))
    gain = np.sqrt((wave**2).mean())  # noise of ones with the clip's energy
    quiet = np.isclose(pieces, 0.1 + gain, rtol=1e-5)
    assert (quiet | np.isclose(pieces, 10.0 + gain, rtol=1e-5)).all()
    # Every start of [0, 50) leaves some quiet samples at the head.
    assert len(set(quiet.sum(1).tolist())) > 15 and quiet.sum(1).min() >= 1 and quiet.sum(1).max() <= 50


def test_rows_are_as_wide_as_the_set_s_own_clips():
    config = zoo.preset("amaut_tiny", ("a", "b"))
    dataset = sets.get("synthetic")._replace(sample_rate=8_000, length=3 * 8_000, seconds=None)
    assert train_width(dataset, config, OPTIONS) == 3 * config.sample_rate
    assert train_width(dataset._replace(seconds=(0.1, 3.5)), config, OPTIONS) == 3.5 * config.sample_rate
    assert train_width(dataset._replace(length=100), config, OPTIONS) == config.length
    assert train_width(dataset, config, OPTIONS.replace(crop="head")) == config.length
    with pytest.raises(ValueError, match="--crop=tail: expected random or head"):
        check_options(OPTIONS.replace(crop="tail", views=("shift",)), None)


def test_noise_shorter_than_the_clips_is_refused():
    config = zoo.preset("amaut_tiny", ("a", "b"))
    waves, ones = np.zeros((2, config.length), np.int16), np.ones(2, int)
    clips = pipeline.from_arrays("ab", waves, ones - 1, ones * config.length, classes="ab", sample_rate=16_000)
    run = train(zoo.build(config), {}, clips, clips, OPTIONS, seed=0, noise=np.ones(100))
    with pytest.raises(
        ValueError, match=f"training noise has 100 samples, expected at least the clips' {config.length}"
    ):
        next(run)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Clips shorter than the network's, and in train one twice as long."""
    folder = tmp_path_factory.mktemp("train")
    tiny.make_arabic(folder / "data")
    tiny.make_noises(folder / "noise")
    long = 0.1 * np.random.default_rng(0).normal(size=8_000)
    soundfile.write(folder / "data/dataset/up/train_0.wav", long, 16_000, subtype="PCM_16")
    return folder


def trained(place, workdir, **changes):
    """Hash of the trained variables, and what the checkpoint says of the training."""
    run = tiny.a_training(place, workdir, OPTIONS)
    train_and_save(run.replace(**changes), "c")
    variables, _, extra = checkpoint.load(workdir / "checkpoint")
    return checkpoint.variables_hash(variables), extra["training"]


@pytest.mark.slow
def test_memory_records_and_plain_arrays_train_to_the_same_bits(place, tmp_path, monkeypatch, capsys):
    held, said = trained(place, tmp_path / "memory")
    assert not said["streamed"] and 0 <= said["data_wait_share"] < 1
    assert said["skipped"] == {"train": 0, "val": 0}
    cache = tmp_path / "cache"
    streamed, said = trained(place, tmp_path / "streamed", memory_budget_mb=0.0, cache_dir=str(cache))
    assert said["streamed"] and 0 <= said["data_wait_share"] < 1
    assert len(list(cache.glob("*/*.tfrecord-*"))) == 2
    assert streamed == held

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "available", lambda: False)
        assert trained(place, tmp_path / "plain")[0] == held
    assert capsys.readouterr().out.count("note: TensorFlow is not installed") == 1

    def as_float(run, dataset, split, config, width, budget_mb, first=True):
        rate = config.sample_rate
        read = load_split(dataset, run.data_dir, split, sample_rate=rate, length=width, progress=False)
        return pipeline.from_arrays(*read[:4], classes=read.classes, sample_rate=rate)

    monkeypatch.setattr(train_run, "open_clips", as_float)
    assert trained(place, tmp_path / "float")[0] == held


def test_training_and_the_check_name_the_classes_that_a_split_lacks(tmp_path, capsys):
    """Of a folder that a hash splits; before, training said nothing and `check_data` refused what it takes."""
    takes = {"cat": (0, 1, 2), "dog": (0, 1), "emu": (2,)}  # of these the hash puts cat/0 into val, none into test
    for label, (word, numbers) in enumerate(takes.items()):
        (tmp_path / word).mkdir()
        for take in numbers:
            soundfile.write(tmp_path / word / f"{take}.wav", tiny.tone(label, take), 16_000, subtype="PCM_16")
    dataset = sets.get("folder", tmp_path)
    run = TrainRun(dataset="folder", data_dir=str(tmp_path), workdir=str(tmp_path / "out"), options=OPTIONS)
    data = train_run._read(run, dataset, "val", zoo.preset("amaut_tiny", dataset.classes), None)
    assert data.clips.ids == ("cat/1.wav", "cat/2.wav", "dog/0.wav", "dog/1.wav", "emu/2.wav")
    assert [line for line in capsys.readouterr().out.splitlines() if "no clip" in line] == [
        "note: val has no clip of 2 of 3 classes: dog, emu"
    ]
    report = check_copy("folder", tmp_path, progress=False)
    assert report.serves and [(found.kind, found.file) for found in report.findings] == [
        ("list", "test"),
        ("missing class", "val/dog"),
        ("missing class", "val/emu"),
    ]
    (tmp_path / "cat" / "0.wav").unlink()  # now val has none, and training is refused too
    assert not check_copy("folder", tmp_path, progress=False).serves
    with pytest.raises(BadInput, match=r"none of its clips is in the split 'val', .*5 in train"):
        check_splits(run, dataset)


def test_only_the_first_classes_that_a_split_lacks_are_named():
    said = absent_classes("train", tuple("abcdefg"), [2])
    assert said == ("train has no clip of 6 of 7 classes: a, b, d, e, f and 1 more",)
    assert absent_classes("train", ("a", "b"), np.array([1, 0], np.int32)) == ()
