"""Three lines of Python: load, adapt, predict."""

from collections import Counter

import jax
import numpy as np
import pytest
import soundfile

import dhauds_jax
from dhauds_jax.model import adapting, record, sounds
from dhauds_jax.nets import checkpoint, zoo
from dhauds_jax.nets.normalisers import EVAL
from dhauds_jax.tta.methods.source import source
from tests.runs import tiny


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    (folder / "audio").mkdir()
    for take in range(6):
        wave = tiny.tone(take, take, 4000 + 9000 * (take % 3))
        soundfile.write(folder / "audio" / f"{take}.wav", wave, tiny.RATE, subtype="PCM_16")
    tiny.make_checkpoint(folder / "checkpoint")
    return folder


def test_a_model_labels_files_folders_and_arrays_alike(place):
    model = dhauds_jax.load(place / "checkpoint")
    assert model.classes == tiny.CLASSES
    assert len(repr(model)) < 120 and repr(model).startswith(f"<Model {model.config.net}: ")
    files = sorted((place / "audio").iterdir())
    folder, listed = model.predict(place / "audio"), model.predict(files)
    arrays = model.predict([soundfile.read(file, dtype="float32")[0] for file in files], rate=tiny.RATE)
    assert folder.files == tuple(f"{take}.wav" for take in range(6)) and arrays.files == tuple("012345")
    for other in (listed, arrays):
        assert np.array_equal(folder.probabilities, other.probabilities)
    assert np.allclose(folder.probabilities.sum(-1), 1)
    one = model.predict(files[0])
    assert one.files == ("0.wav",)
    assert np.allclose(one.probabilities, folder.probabilities[:1], atol=1e-6)  # a batch of another size

    # By another road: the network itself on the one window of a short file.
    variables, config, _ = checkpoint.load(place / "checkpoint")
    wave = np.zeros((1, config.length), np.float32)
    read = soundfile.read(files[0], dtype="float32")[0]
    head = (config.length - len(read)) // 2
    wave[0, head : head + len(read)] = read
    outputs, _ = jax.jit(lambda w: zoo.build(config).apply(variables, w, mode=EVAL))(wave)
    assert np.allclose(jax.nn.softmax(outputs.logits)[0], folder.probabilities[0], atol=1e-6)
    assert np.allclose(model.embed(place / "audio")[0], outputs.embedding[0], atol=1e-5)


@pytest.mark.slow
def test_an_adapted_model_is_a_new_one_that_can_be_kept(place, tmp_path):
    model = dhauds_jax.load(place / "checkpoint")
    before = model.predict(place / "audio")
    adapted = model.adapt(place / "audio", method="norm", batch_size=4)
    outcome = adapted.adapted.outcome
    assert repr(adapted.adapted).startswith("<Adapted by norm, position ") and len(repr(adapted.adapted)) < 80
    found = adapted.predict(place / "audio", batch_size=4)
    # What was chosen, and what the adapted model says of the same recordings, are one.
    assert np.array_equal(adapted.predictions(_read(model, place), outcome.logits).probabilities, found.probabilities)
    assert np.abs(found.probabilities - before.probabilities).max() > 1e-3
    assert np.array_equal(model.predict(place / "audio").probabilities, before.probabilities)
    advice = adapted.adapted.advice
    assert (advice.verdict, advice.signs.files, advice.signs.adapted) == ("too few to say", len(found.files), True)
    adapted.save(tmp_path / "kept")
    kept = jax.tree.leaves(dhauds_jax.load(tmp_path / "kept").variables)
    assert all(np.array_equal(a, b) for a, b in zip(kept, jax.tree.leaves(adapted.variables), strict=True))
    assert adapted.adapt(place / "audio", method="source").predict(place / "audio").files == found.files


TRACED = Counter()


def counted(classifier, *, scale: float = 1.0, axis_name=None):
    """The source model, which counts how often its functions are traced."""
    plain = source(classifier)

    def step(state, batch, key):
        TRACED["step"] += 1
        return plain.step(state, batch, key)

    def predict(state, batch):
        TRACED["predict"] += 1
        return scale * plain.predict(state, batch)

    return plain._replace(step=step, predict=predict)


def test_a_model_that_is_adapted_again_compiles_nothing_again(place):
    """Before, each call traced and compiled the method anew, and what it predicts too; other shapes still are."""
    model = dhauds_jax.load(place / "checkpoint")

    def adapted(one, take, **given):
        waves = np.stack([tiny.tone(label, take) for label in range(12)])
        how = {"method": f"{__name__}:counted", "rate": tiny.RATE, "epochs": 1, "batch_size": 4} | given
        return one.adapt(waves, **how), waves

    first, waves = adapted(model, 0)
    labels = first.predict(waves, rate=tiny.RATE, batch_size=4)
    traced = dict(TRACED)
    assert traced == {"step": 1, "predict": 2}, "one to adapt with, and one of the model that came of it"
    again, _ = adapted(model, 1, epochs=2, seed=3)
    again, _ = adapted(again, 2)
    same = again.predict(waves, rate=tiny.RATE, batch_size=4)
    assert dict(TRACED) == traced and np.array_equal(same.probabilities, labels.probabilities)
    for number, other in enumerate(({"batch_size": 3}, {"options": {"scale": 2.0}}), 2):
        adapted(model, 0, **other)
        assert TRACED["step"] == number
    kept = (adapting._method, adapting._compiled)
    assert [one.cache_info().maxsize for one in kept] == [adapting.KEPT] * 2


def _read(model, place):
    return sounds.read(place / "audio", model.config)


@pytest.mark.parametrize(
    ("sounds", "given", "message"),
    [
        (np.zeros(5), {}, "^arrays without rate: expected rate=HZ"),
        (np.zeros(5, int), {"rate": 16_000}, r"^an array of shape \(5,\) and type int64: expected floats"),
        (np.full(5, np.nan), {"rate": 16_000}, "^an array with samples that are NaN or infinite"),
        (np.zeros(5), {"rate": 5}, "^rate=5: expected at least 1000 and at most 384000$"),
        (
            np.zeros((500, 2)),
            {"rate": 16_000},
            r"^an array of shape \(500, 2\): expected \(clips, time\); if these are",
        ),
        (np.full(5, 3e4), {"rate": 16_000}, r"^an array with samples up to 3e\+04: expected \[-1, 1\); 16-bit numbers"),
        ([], {"rate": 16_000}, "^no recordings: expected at least one$"),
        ("nowhere", {}, "^nowhere: no such folder, expected one with recordings"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_sentence(place, sounds, given, message):
    model = dhauds_jax.load(place / "checkpoint")
    with pytest.raises(dhauds_jax.BadInput, match=message):
        model.predict(sounds, **given)


def test_what_cannot_be_adapted_is_said_in_one_sentence(place):
    model = dhauds_jax.load(place / "checkpoint")
    with pytest.raises(dhauds_jax.BadInput, match="unknown method 'nonsense'"):
        model.adapt(place / "audio", method="nonsense")
    with pytest.raises(dhauds_jax.BadInput, match="one window of audio, expected at least two"):
        model.adapt(place / "audio" / "0.wav", method="tent")
    with pytest.raises(dhauds_jax.BadInput, match="method tent has no option 'k'"):
        model.adapt(place / "audio", method="tent", options={"k": 1})


def test_what_is_of_another_kind_is_said(place):
    """Before, "'int' object is not iterable". In tests the checks of types would refuse it a door earlier."""
    with pytest.raises(dhauds_jax.BadInput, match=r"^recordings: got int, expected a file, a folder, a list of them"):
        sounds._check_kind(3)
    with pytest.raises(dhauds_jax.BadInput, match=r"^options='lr=1': expected them by name, such as options=\{'lr'"):
        record._options("lr=1")
    assert record._options(None) == {}


def test_what_is_left_out_and_what_is_said_of_recordings_reaches_python(place, tmp_path, monkeypatch):
    """Before, kinds that are not read, and files without sound, passed in silence."""
    model = dhauds_jax.load(place / "checkpoint")
    soundfile.write(tmp_path / "a.wav", np.zeros(900), tiny.RATE, subtype="PCM_16")
    assert model.predict(tmp_path).notices == ("1 file is silent (the first: a.wav): a label of silence says nothing",)
    (tmp_path / "b.m4a").write_bytes(b"x")
    (tmp_path / "c.M4A").write_bytes(b"x")
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    with pytest.warns(UserWarning, match=r"not read were left out \(2 \.m4a\): convert them"):
        found = model.predict(f"~/{tmp_path.name}")
    assert found.files == ("a.wav",) and found.notices[0].startswith("2 .m4a files were left out")


def test_a_network_that_was_trained_with_lost_rows_is_read_with_them(tmp_path):
    config, flags = zoo.preset("vggish_small", ("a", "b")).replace(length=32_000), {"lost_rows": True}
    weights = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), zoo.shapes(zoo.build(config)))
    checkpoint.save(tmp_path / "lost", weights, config, {"crossval": {"identity": {"flags": flags}}})
    checkpoint.save(tmp_path / "whole", weights, config)
    wave = np.zeros((1, config.length), np.float32)
    wave[0, :20_000] = tiny.tone(1, 1, 20_000)
    lost, whole = (
        dhauds_jax.load(tmp_path / name).classifier.features(jax.numpy.asarray(wave)) for name in ("lost", "whole")
    )
    assert np.array_equal(lost[0, 0], whole[0, 0]) and not np.any(lost[0, 1])
    assert float(whole[0, 1].min()) < -4.6  # silence
