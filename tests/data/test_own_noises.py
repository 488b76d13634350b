"""ENU: noises of one's own at a level, from a folder or a list, wherever they lie."""

import json

import numpy as np
import pytest
import soundfile

from dhauds_jax.cells import targets
from dhauds_jax.data import corruptions as C
from dhauds_jax.data import sets
from dhauds_jax.data.corruptions.noise import find_recordings, load_bank
from dhauds_jax.data.corruptions.recorded import SNR_DB
from dhauds_jax.errors import BadInput
from dhauds_jax.recipes import table
from dhauds_jax.recipes.rows import Roots, adapt_run
from dhauds_jax.runs.corrupt import run_command
from dhauds_jax.runs.requests.corrupt import CorruptRun
from dhauds_jax.train.clips import training_noise
from tests.runs import tiny

RATE = 16_000
NAMES = ("b.wav", "kitchen/a.flac", "kitchen/tap.ogg")


def make_noises(folder):
    for i, name in enumerate(NAMES):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, 0.1 * np.random.default_rng(i).normal(size=RATE), RATE)
    (folder / "._b.wav").write_bytes(b"a Mac's")
    (folder / "notes.txt").write_text("of the recordings")
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    make_noises(folder / "noise" / "my_noises")
    tiny.make_arabic(folder / "data")
    return folder


def test_what_a_folder_of_noises_holds_beside_them_is_said(tmp_path):
    make_noises(tmp_path / "my_noises")
    for name in ("c.m4a", "kitchen/d.m4a"):
        (tmp_path / "my_noises" / name).write_bytes(b"x")
    sentence = "2 .m4a files were left out (the first: c.m4a): convert with ffmpeg -i NAME.m4a NAME.wav"
    assert load_bank(tmp_path, "ENU:my_noises", "L1", RATE).notices == (f"noise: {sentence}",)
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "e.m4a").write_bytes(b"x")
    with pytest.raises(BadInput, match=r"others holds no recordings; 1 \.m4a file was left out .*, expected a folder"):
        load_bank(tmp_path, "ENU:others", "L1", RATE)
    one = load_bank(tmp_path, "ENU:my_noises/kitchen/tap.ogg", "L1", RATE)
    assert one.names == ("tap.ogg",) and one.waves[0].shape == (RATE,)


@pytest.mark.parametrize("level", ["L3", "5dB"])
def test_a_level_that_does_not_exist_is_said_as_such(tmp_path, level):
    make_noises(tmp_path / "my_noises")
    C.parse_cell(f"ENU:my_noises:{level}")  # the folder may have a colon in its name: who looks for it says
    with pytest.raises(BadInput, match=rf"unknown level '{level}' of ENU:my_noises, expected L1 or L2$"):
        load_bank(tmp_path, f"ENU:my_noises:{level}", "L1", RATE)


def corrupted(place, noise_dir, name, level="L2"):
    ids = [f"clip{i}" for i in range(60)]
    waves = np.random.default_rng(9).normal(0, 0.2, (60, 4000)).astype(np.float32)
    bank = load_bank(noise_dir, name, level, RATE)
    about = {"corruption": name, "level": level, "seed": 3}
    out, draws = C.corrupt(waves, ids, dataset="folder", **about, bank=bank, sample_rate=RATE, length=4000)
    return waves, out, draws, bank, C.checksum(ids, draws, corruption=name, level=level)


@pytest.mark.parametrize("level", ["L1", "L2"])
def test_the_ratio_after_mixing_is_one_of_the_levels_and_every_recording_is_drawn(place, level):
    waves, out, draws, bank, _ = corrupted(place, place / "noise", "ENU:my_noises", level)
    assert bank.names == NAMES
    power = lambda x: np.mean(np.square(x, dtype=np.float64), -1)  # noqa: E731
    ratio = 10 * np.log10(power(waves) / power(out.astype(np.float64) - waves))
    near = np.array(SNR_DB[level])[np.abs(ratio[:, None] - np.array(SNR_DB[level])).argmin(-1)]
    np.testing.assert_allclose(ratio, near, atol=1e-3)
    assert set(near) == set(SNR_DB[level]) and set(draws.noise_index.tolist()) == {0, 1, 2}


def test_draws_and_samples_depend_on_the_folders_name_and_not_on_where_it_lies(place, tmp_path, monkeypatch):
    _, below, _, _, named = corrupted(place, place / "noise", "ENU:my_noises")
    elsewhere = make_noises(tmp_path / "deep" / "my_noises")
    for noise_dir, name in ((None, f"ENU:{elsewhere}"), (place, f"ENU:{elsewhere}/"), (place, "ENU:noise/my_noises")):
        _, out, _, _, same = corrupted(place, noise_dir, name)
        assert same == named and np.array_equal(out, below), name
        assert C.public(name) == "ENU:my_noises"
    monkeypatch.chdir(tmp_path / "deep")
    assert corrupted(place, None, "ENU:my_noises")[-1] == named
    (tmp_path / "deep" / "my_noises").rename(tmp_path / "deep" / "other")
    assert corrupted(place, None, "ENU:other")[-1] != named


def test_a_list_names_recordings_relative_to_itself(place, tmp_path):
    folder = make_noises(tmp_path / "my_noises")
    (tmp_path / "few.txt").write_text(f"my_noises/kitchen/tap.ogg\n\n{folder / 'b.wav'}\n", encoding="utf-8-sig")
    found = find_recordings(tmp_path, "ENU:few.txt", "L1", RATE)
    assert found == [("my_noises/kitchen/tap.ogg", folder / NAMES[2]), ("b.wav", folder / "b.wav")]
    (tmp_path / "few.txt").write_text("my_noises/b.wav\nc.wav\nd.wav\n")
    with pytest.raises(BadInput, match=r"few\.txt names 2 files that are not there \(the first: c\.wav\), expected"):
        find_recordings(tmp_path, "ENU:few.txt", "L1", RATE)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "ENU:nowhere",
            r"^ENU:nowhere: there is no such folder or list below --noise_dir=.* or from here, ",
        ),
        ("ENU:empty", r"^ENU:empty: .*empty holds no recordings, expected a folder with recordings"),
        ("ENU", r"^corruption ENU: names no folder or list, expected one, as in ENU:my_noises$"),
        ("ENU:..", r"^corruption ENU:\.\.: names no folder or list"),
    ],
)
def test_what_is_no_place_is_said_before_anything_is_read(tmp_path, name, said):
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match=said):
        find_recordings(tmp_path, name, "L1", RATE)


def test_the_level_is_a_flag_or_the_last_part_of_the_name(tmp_path):
    assert targets.expand(["ENU:a", "ENU:b:L2"], ["L1", "L2"]) == [("ENU:a", "L1"), ("ENU:a", "L2"), ("ENU:b", "L2")]
    assert targets.expand(["ENU:/x/y:z:L1"], ["L2"]) == [("ENU:/x/y:z", "L1")]
    with pytest.raises(BadInput, match="unknown level 'L3'"):
        targets.expand(["ENU:a"], ["L3"])
    path = tmp_path / "mine.csv"
    rows = "synthetic,amaut_tiny,ENU:a,L1,tent,1,8,0\nsynthetic,amaut_tiny,ENU:/x/a,L2,tent,1,8,0\n"
    path.write_text(f"dataset,net,corruption,level,method,epochs,batch_size,seed\n{rows}")
    for row, wanted in zip(table.read(str(path)).rows, [("ENU:a", "L1"), ("ENU:/x/a", "L2")], strict=True):
        run = adapt_run(row, Roots(None, None, None), "w")
        assert targets.expand(run.corruption, run.level) == [wanted]


def test_training_takes_all_recordings_one_after_the_other(place):
    noise = training_noise(sets.get("arabic_speech_commands"), str(place / "noise"), "ENU:my_noises", RATE)
    assert noise.shape == (3 * RATE,)
    np.testing.assert_array_equal(noise[:RATE], load_bank(place / "noise", "ENU:my_noises", "L1", RATE).waves[0])


def test_a_corrupted_set_is_named_by_the_folder_and_found_again(place, tmp_path):
    run = CorruptRun(
        dataset="arabic_speech_commands",
        data_dir=str(place / "data"),
        corruption=[f"ENU:{place / 'noise' / 'my_noises'}"],
        level=["L1"],
        output=str(tmp_path),
    )
    assert run_command(run).startswith("1 cell written")
    assert run_command(run.replace(corruption=["ENU:my_noises"], noise_dir=str(place / "noise"))).startswith("0 cells")
    folder = tmp_path / "ENU.my_noises" / "L1"
    record = json.loads((folder / "cell.json").read_text())
    line = json.loads((folder / "manifest.jsonl").read_text().splitlines()[0])
    assert record["corruption"] == line["corruption"] == "ENU:my_noises" and line["noise"] in NAMES
    assert line["snr_db"] in SNR_DB["L1"]
    alone = CorruptRun(corruption=["ENU:my_noises"], level=["L1"], output=str(tmp_path), verify="checksum")
    assert run_command(alone).startswith("1 cell agrees")
