"""Corruptions and data sets of a user's own code, asked for as "module:attribute", take every road that ours take."""

import hashlib
import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.data import corruptions as C
from dhauds_jax.data import sets
from dhauds_jax.data.clip_source import open_clips
from dhauds_jax.data.corrupted import verifying, writing
from dhauds_jax.data.corrupted.cell import CellSpec
from dhauds_jax.data.corrupted.files import write_manifests
from dhauds_jax.data.corrupted.reading import list_cell, load_cell
from dhauds_jax.data.corruptions.noise import load_bank, synthetic_bank
from dhauds_jax.data.loading import load_split
from dhauds_jax.errors import BadInput
from tests.data import foreign

CLIPPING, ECHO, RAIN = (f"tests.data.foreign:{name}" for name in ("CLIPPING", "ECHO", "RAIN"))
RATE, LENGTH, CLIPS = 8_000, 500, 40
RNG = np.random.default_rng(0)
WAVES = (RNG.normal(size=(CLIPS, LENGTH)) * 0.1).astype(np.float32)
IDS = [f"word/{i}.wav" for i in range(CLIPS)]
CELLS = [(CLIPPING, "hard"), (ECHO, "5ms"), (RAIN, "L1")]


def bank_of(corruption, level):
    return synthetic_bank(corruption, level, sample_rate=RATE, seconds=1) if C.needs_noise(corruption) else None


def run(corruption, level, waves=WAVES, ids=IDS, **options):
    options = {"seed": 3, "sample_rate": RATE, "length": LENGTH, "dataset": "synthetic", **options}
    options = {"bank": bank_of(corruption, level), **options}
    return C.corrupt(waves, ids, corruption=corruption, level=level, **options)


@pytest.mark.parametrize(("corruption", "level"), CELLS)
def test_order_size_and_grouping_change_no_bit(corruption, level):
    waves, draws = run(corruption, level)
    assert not np.array_equal(waves, WAVES)
    rows = np.random.default_rng(1).permutation(CLIPS)
    permuted, again = run(corruption, level, WAVES[rows], [IDS[i] for i in rows])
    assert permuted.tobytes() == waves[rows].tobytes()
    for name, values in draws.choices.items():
        np.testing.assert_array_equal(again.choices[name], values[rows])
    for part in (rows[:17], rows[17:18], rows[18:]):
        some, _ = run(corruption, level, WAVES[part], [IDS[i] for i in part])
        assert some.tobytes() == waves[part].tobytes()


def test_what_is_drawn_lies_in_choices_and_is_carried_out():
    waves, draws = run(CLIPPING, "hard")
    assert set(draws.choices["threshold"].tolist()) == set(np.float32([0.1, 0.2]).tolist())
    peaks = np.abs(WAVES).max(1)
    np.testing.assert_allclose(np.abs(waves).max(1), draws.choices["threshold"] * peaks, rtol=1e-6)
    assert set(draws.semitones) == {0} and set(draws.rate) == {1.0} and set(draws.noise_index) == {-1}
    soft = run(CLIPPING, "soft")[1]
    assert set(soft.choices["threshold"].tolist()) == {np.float32(0.4).item(), 0.5}


def test_values_that_shapes_depend_on():
    waves, draws = run(ECHO, "5ms")
    milliseconds, loudness = draws.choices["milliseconds"], draws.choices["loudness"]
    assert set(milliseconds.tolist()) == {1, 2, 3, 4, 5} and loudness.shape == (CLIPS, 2)
    for wave, clean, late, (first, second) in zip(waves, WAVES, milliseconds, loudness, strict=True):
        samples = late * RATE // 1000
        whole = np.pad(clean, (0, samples)) * first + np.pad(clean, (samples, 0)) * second
        np.testing.assert_allclose(wave, whole[:LENGTH], atol=1e-6)
    one = jax.tree.map(lambda values: values[7], draws)
    alone = C.apply(jnp.asarray(WAVES[7]), one, corruption=ECHO, sample_rate=RATE)
    np.testing.assert_allclose(alone[:LENGTH], waves[7], atol=1e-6)


def test_recordings_of_its_own(tmp_path):
    waves, draws = run(RAIN, "L1")
    bank = bank_of(RAIN, "L1")
    assert bank.names == ("white/0", "pink/1") and set(draws.noise_index.tolist()) == {0, 1}
    crop = bank.waves[draws.noise_index[4]][draws.start[4] :][:LENGTH]
    np.testing.assert_allclose(waves[4], WAVES[4] + 0.5 * crop, atol=1e-6)
    (tmp_path / "rain").mkdir()
    foreign.soundfile.write(tmp_path / "rain" / "roof.wav", RNG.normal(size=900) * 0.1, RATE)
    assert load_bank(tmp_path, RAIN, "L1", RATE).names == ("roof.wav",)
    with pytest.raises(BadInput, match=r"RAIN needs --noise_dir, the folder that holds rain/\*\.wav"):
        load_bank(None, RAIN, "L1", RATE)


def test_one_clips_draw_is_the_sets():
    _, draws = run(ECHO, "5ms")
    keys = C.clip_keys(3, "synthetic", ECHO, "5ms", IDS)
    many = jax.jit(jax.vmap(lambda key: C.draw(key, ECHO, "5ms")))(keys)
    one = C.draw(C.clip_key(3, "synthetic", ECHO, "5ms", IDS[5]), ECHO, "5ms")
    for name, values in draws.choices.items():
        np.testing.assert_array_equal(many.choices[name], values)
        np.testing.assert_array_equal(one.choices[name], values[5])


def test_records_and_checksum_hold_the_choices():
    _, draws = run(ECHO, "5ms")
    rows = C.records(IDS, draws, corruption=ECHO, level="5ms")
    assert set(rows[0]) == {"id", "corruption", "level", "seconds", "choices", "key"}
    assert rows[0]["seconds"] == draws.choices["milliseconds"][0] / 1000
    assert rows[0]["choices"] == {name: values[0].tolist() for name, values in draws.choices.items()}
    assert json.loads(json.dumps(rows)) == rows
    total = C.checksum(IDS, draws, corruption=ECHO, level="5ms")
    other = draws._replace(choices={**draws.choices, "milliseconds": draws.choices["milliseconds"] + 1})
    assert C.checksum(IDS, other, corruption=ECHO, level="5ms") != total
    bare = draws._replace(choices={"milliseconds": draws.choices["milliseconds"]})
    assert C.checksum(IDS, bare, corruption=ECHO, level="5ms") != total


def test_choices_enter_a_checksum_only_when_they_are_filled():
    draws = C.draw_set(IDS, dataset="set", corruption="PSH", level="L1", seed=1)
    assert draws.choices == {} and C.Draw._field_defaults["choices"] == {}
    text = "\n".join(sorted(json.dumps(r, sort_keys=True) for r in C.records(IDS, draws, corruption="PSH", level="L1")))
    assert "choices" not in text
    assert C.checksum(IDS, draws, corruption="PSH", level="L1") == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("WHN", ("WHN", None)),
        ("WHN:L2", ("WHN", "L2")),
        ("SCN:running_tap@10dB", ("SCN", "running_tap@10dB")),
        (CLIPPING, (CLIPPING, None)),
        (f"{CLIPPING}:hard", (CLIPPING, "hard")),
        (f"{ECHO}:20ms", (ECHO, "20ms")),
    ],
)
def test_cells_as_on_command_lines(text, cell):
    assert C.parse_cell(text) == cell


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sure.noises", r"unknown corruption 'sure.noises': .*; one of your own is module:object$"),
        ("WHM", r"unknown corruption 'WHM': expected WHN.* \(17 names: --list\)"),
        ("WHM:L1", r"unknown corruption 'WHM': expected WHN"),
        ("WHN:L3", "unknown level 'L3': expected L1 or L2"),
        ("WHN:", "unknown level '': expected L1 or L2"),
        ("UNI", "corruption UNI has no level: expected it after a colon, as in UNI:0.005"),
        (f"{CLIPPING}:harder", "unknown level 'harder': expected soft or hard"),
        (f"{ECHO}:3s", "unknown level '3s' of ECHO, expected milliseconds such as 20ms"),
        (ECHO, f"corruption {ECHO} has no level: expected it after a colon, as in {ECHO}:5ms"),
        (f"{ECHO[:-1]}", "module tests.data.foreign has no 'ECH', expected ECHO"),
        ("tests.data.nowhere:X", "there is no module 'tests.data.nowhere'"),
        ("tests.data.foreign:NO_CORRUPTION", "is a str, expected a record of dhauds_jax.data.corruptions.Corruption"),
    ],
)
def test_cells_that_are_refused(text, message):
    with pytest.raises(BadInput, match=message):
        C.parse_cell(text)


def test_a_level_that_names_a_folder_is_refused(monkeypatch):
    monkeypatch.setattr(foreign, "CLIPPING", foreign.CLIPPING._replace(check_level=lambda level: None))
    with pytest.raises(BadInput, match=r"level '\.\./x' of .*: names a folder, expected it without slashes"):
        C.check_cell(CLIPPING, "../x")


def test_cells_on_disk(tmp_path):
    dataset = sets.get("tests.data.foreign:TONES")
    source = open_clips(dataset, None, "test")
    cell = CellSpec(dataset, CLIPPING, "hard", seed=5)
    write_manifests(dataset, None, tmp_path, ids=source.ids, labels=source.labels)
    written = writing.write_cell(cell, source, None, tmp_path, progress=False)
    folder = tmp_path / "tests.data.foreign.CLIPPING" / "hard"
    assert folder.is_dir() and written.record["corruption"] == CLIPPING
    assert verifying.verify_samples(cell, source, None, tmp_path, progress=False) == []
    refs, _ = list_cell(dataset, tmp_path, CLIPPING, "hard")
    assert [ref.id for ref in refs] == list(source.ids)
    clips = load_cell(dataset, tmp_path, CLIPPING, "hard", sample_rate=8_000, length=800, progress=False)
    expected, _ = C.corrupt(
        np.stack([source.read(row).wave for row in range(4)]), source.ids, dataset=dataset, corruption=CLIPPING,
        level="hard", seed=5, sample_rate=8_000, length=800,
    )  # fmt: skip
    np.testing.assert_allclose(clips.waves, expected, atol=2**-15)


def test_a_data_set_in_memory_and_one_on_disk(tmp_path):
    made = load_split("tests.data.foreign:TONES", None, "train", sample_rate=8_000, length=800, progress=False)
    assert made.ids[0] == "train/0" and made.waves.shape == (6, 800) and made.classes == ("low", "high")
    foreign.write_tones(tmp_path)
    read = load_split("tests.data.foreign:ON_DISK", tmp_path, "train", sample_rate=8_000, length=800, progress=False)
    np.testing.assert_allclose(read.waves, made.waves, atol=2**-14)
    turned = sets.get("tests.data.foreign:ON_DISK/turned")
    assert turned.name == "tones_on_disk/turned" and turned.classes == ("high", "low")
    assert sets.REGISTRY["tests.data.foreign:TONES"] is foreign.TONES


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "tests.data.foreign:TONE",
            "data set 'tests.data.foreign:TONE': module tests.data.foreign has no 'TONE', exp",
        ),
        ("tests.data.foreign:ECHO", "is a Corruption, expected a dhauds_jax.data.sets.DataSet or a tuple of a set and"),
        ("tests.data.foreign:ON_DISK/turn", "unknown data set 'tests.data.foreign:ON_DISK/turn': expected .*/turned"),
        ("tests.data.foreign:_FACTS", "is a dict, expected a dhauds_jax.data.sets.DataSet or a tuple"),
    ],
)
def test_data_sets_that_are_refused(name, message):
    with pytest.raises(BadInput, match=message):
        sets.get(name)


def test_a_data_set_called_like_one_of_ours_is_refused(monkeypatch):
    monkeypatch.setattr(foreign, "TONES", foreign.TONES._replace(name="esc50/mine"))
    with pytest.raises(BadInput, match=r"is called esc50, expected one name .* that none of ours has"):
        sets.get("tests.data.foreign:TONES")


def test_only_what_is_asked_for_is_imported():
    code = """
import sys
from dhauds_jax.data import sets
sets.get("audio_mnist/fold1")
files = {name.rpartition(".")[2] for name in sys.modules if name.startswith("dhauds_jax.data.sets.")}
assert files == {"base", "copies", "audio_mnist"}, files
from dhauds_jax.data.corruptions import get
get("PSH")
files = {name.rpartition(".")[2] for name in sys.modules if name.startswith("dhauds_jax.data.corruptions.")}
assert files == {"base", "lookup", "pitch"}, files
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=900, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
