"""experiments.embed with an audio-text model: its audio tower by every rule of long recordings, its phrases."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import soundfile

from dhauds_jax.errors import BadInput
from dhauds_jax.nets import checkpoint, clap_layout, clap_prompts, clap_zoo
from dhauds_jax.runs.embed import embed
from dhauds_jax.runs.requests.embed import EmbedRun
from dhauds_jax.workdir import vectors
from tests.nets.clap import variables_of, write_vocabulary
from tests.runs import tiny

SECONDS = (0.4, 1.0, 2.7, 1.5)
"""Of recordings; a clip of the model has one."""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("embed_audio_text")
    for name in ("clap_test", "clap_test_fused"):
        checkpoint.save(folder / name, variables_of(name), clap_zoo.PRESETS[name])
    write_vocabulary(folder / "clap_test" / "tokenizer")
    (folder / "sounds").mkdir()
    for i, seconds in enumerate(SECONDS):
        soundfile.write(folder / "sounds" / f"{i}.wav", tiny.tone(i, 0, round(seconds * 48_000)), 48_000)
    (folder / "phrases.txt").write_text("a dog barking\nrain in the park\n")
    return folder


def a_run(place, output, name="clap_test", **changes):
    sounds = str(place / "sounds")
    run = EmbedRun(checkpoint=str(place / name), audio_dir=sounds, output=str(output), batch_size=3)
    return run.replace(**changes)


def by_hand(place, name, rule):
    """The mean over rows of the projections, row by row."""
    config = clap_zoo.PRESETS[name]
    model, variables = clap_zoo.build_audio_text(config), variables_of(name)
    audio = jax.jit(model.audio)
    found = []
    for i in range(len(SECONDS)):
        wave, _ = soundfile.read(place / "sounds" / f"{i}.wav", dtype="float32")
        rows = clap_layout.rows_of(
            lambda wave=wave: [wave], clap_layout.parse_rule(rule), config.front_end, 48_000, f"{i}.wav"
        )
        each = []
        for row, longer in rows:
            features = model.features(jnp.asarray(row))[None] if len(row) == 1 else jnp.asarray(row)[None]
            each.append(np.asarray(audio(variables, features, jnp.array([longer])))[0])
        found.append(np.mean(each, 0))
    return np.stack(found)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "rule", "windows"),
    [
        ("clap_test", "windows:overlap=0.5", [1, 1, 5, 2]),
        ("clap_test_fused", "fusion_fixed", [1, 1, 1, 1]),
    ],
)
def test_vectors_are_the_projections_of_the_audio_tower(place, tmp_path, name, rule, windows):
    embed(a_run(place, tmp_path, name, long=rule), "c")
    found = vectors.read(tmp_path)
    np.testing.assert_allclose(found.vectors, by_hand(place, name, rule), rtol=0, atol=2e-5)  # whole against a program
    assert found.windows.tolist() == windows and found.manifest["longer"] == 2
    assert (found.manifest["long"], found.manifest["normalised"]) == (rule, False)
    encoder = found.manifest["encoder"]
    assert (encoder["kind"], encoder["hash"]) == ("audio_text", checkpoint.variables_hash(variables_of(name)))
    vectors.check_encoder(found, name, encoder["hash"], clap_zoo.PRESETS[name].front_end, rule)
    if rule == "fusion_fixed":  # its program takes long to compile
        return
    sound = str(place / "sounds" / "2.wav")
    embed(a_run(place, tmp_path / "alone", name, long=rule, audio_dir=sound, batch_size=1), "c")
    assert np.array_equal(vectors.read(tmp_path / "alone").vectors[0], found.vectors[2])


@pytest.mark.slow
def test_phrases_are_unit_vectors_of_the_text_tower(place, tmp_path):
    run = a_run(place, tmp_path, audio_dir=None, text=str(place / "phrases.txt"), export=("npz",))
    assert embed(run, "c").startswith("2 phrases embedded: ")
    found = vectors.read(tmp_path)
    assert found.ids == ("a dog barking", "rain in the park") and found.manifest["normalised"]
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, rtol=1e-6)
    model = clap_zoo.build_audio_text(clap_zoo.PRESETS["clap_test"])
    expected = clap_prompts.embed_texts(model, variables_of(), list(found.ids), place / "clap_test")
    assert np.array_equal(found.vectors, expected)
    assert vectors.read(tmp_path / "embeddings.npz").digest == found.digest
    held = (tmp_path / "manifest.json").read_bytes()
    assert embed(run, "c").startswith("2 phrases were embedded already: ")
    assert (tmp_path / "manifest.json").read_bytes() == held
    (place / "others.txt").write_text("a dog barking\n")
    with pytest.raises(BadInput, match=r"holds embeddings of another command \(other text\)"):
        embed(run.replace(text=str(place / "others.txt")), "c")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty, expected a phrase on each line"),
        ("rain\n\nwind\n", "line 2 is blank, expected a phrase of its own on each line"),
        ("rain\nwind\nrain\n", "line 3 is 'rain' again, expected a phrase of its own on each line"),
        (b"caf\xe9\n", "byte 3 is not UTF-8"),
    ],
)
def test_a_bad_file_of_phrases_is_said(tmp_path, text, message):
    (tmp_path / "bad.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
    run = EmbedRun(checkpoint="words15", text=str(tmp_path / "bad.txt"), output=str(tmp_path / "out"))
    with pytest.raises(BadInput, match=message) as error:
        embed(run, "c")
    assert "\n" not in str(error.value) and not (tmp_path / "out").exists()


def test_a_classifier_has_no_phrases(tmp_path):
    (tmp_path / "phrases.txt").write_text("rain\n")
    run = EmbedRun(checkpoint="words15", text=str(tmp_path / "phrases.txt"), output=str(tmp_path / "out"))
    with pytest.raises(BadInput, match="embedded by an audio-text network, and --checkpoint=words15 is a classifier"):
        embed(run, "c")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        (
            "clap_test",
            {"long": "fusion_fixed"},
            "--long=fusion_fixed: is a rule of audio-text networks with fusion, and",
        ),
        ("clap_test", {"long": "windows:seed=3"}, "windows has no setting 'seed'"),
        ("clap_test_fused", {"audio_dir": None, "text": "phrases.txt"}, "there is no tokenizer; put"),
    ],
)
def test_what_a_network_cannot_do_is_said(place, tmp_path, name, changes, message):
    if "text" in changes:
        changes = {**changes, "text": str(place / "phrases.txt")}
    with pytest.raises(BadInput, match=message) as error:
        embed(a_run(place, tmp_path / "out", name, **changes), "c")
    assert "\n" not in str(error.value)
