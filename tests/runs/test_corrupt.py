"""experiments.corrupt: 16-bit files, layouts, lists, records, and the same bits again."""

import json

import numpy as np
import pytest
import soundfile
from absl import flags

from dhauds_jax.command.flags import flags_of, from_flags
from dhauds_jax.data import sets
from dhauds_jax.data.corrupted.reading import list_cell, load_cell
from dhauds_jax.errors import BadInput
from dhauds_jax.runs import corrupt as corrupt_module
from dhauds_jax.runs.corrupt import cells_of, run_command, to_int16, verify_set, write_set
from dhauds_jax.runs.requests.corrupt import CorruptRun
from tests.data.fakes import FAKES
from tests.runs import tiny


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corrupt")
    tiny.make_arabic(folder / "data")
    tiny.make_noises(folder / "noise")
    return folder


def a_run(place, output, **changes):
    run = CorruptRun(
        dataset="arabic_speech_commands",
        data_dir=str(place / "data"),
        noise_dir=str(place / "noise"),
        corruption=["ENSC"],
        level=["L1"],
        output=str(output),
        profile="reference",
        seed=5,
        split="test",
        allow_partial=False,
    )
    return run.replace(**changes)


def test_samples_are_rounded_and_saturate():
    wave = np.array([0.0, 1.0, -1.0, 2.0, -2.0, 0.5 / 32768, 1.5 / 32768, -0.6 / 32768])
    assert to_int16(wave).tolist() == [0, 32767, -32768, 32767, -32768, 0, 2, -1]


def test_loud_and_cancelling_files_are_named_with_their_value(tmp_path, capsys):
    """Before, they were counted alone, and what becomes of them was not said."""
    tiny.make_arabic(tmp_path / "data")
    sound = tiny.tone(0, 0)
    for name, wave in (("up", 8 * sound), ("two", 80 * sound), ("zero", np.stack([sound, -sound], 1))):
        soundfile.write(tmp_path / f"data/dataset/{name}/test_0.wav", wave, tiny.RATE, subtype="FLOAT")
    write_set(a_run(tmp_path, tmp_path / "out", corruption=["WHN"], noise_dir=None, level=["L1", "L2"]))
    peak = float(np.abs(np.float32(80 * sound)).max())
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]
    assert sorted(notes) == [
        "note: 1 of 15 files: 2 channels mixed down to one",
        "note: 1 of 15 files: channels that cancel: their mean, which is taken, is over 20 dB quieter than they are "
        "(the first: dataset/zero/test_0.wav); keep one channel if that is not meant",
        "note: 2 of 15 files: samples far beyond full scale (1), cut at full scale when they are written, as files "
        f"have 16 bit (the largest, {peak:.4g}, in dataset/two/test_0.wav); divide by the largest if that is not meant",
    ]


def test_a_cell_is_whole_and_repeats(place, tmp_path):
    assert write_set(a_run(place, tmp_path / "a")).startswith("1 cell written")
    cell = tmp_path / "a" / "ENSC" / "L1"
    manifest = [json.loads(line) for line in (cell / "manifest.jsonl").read_text().splitlines()]
    assert len(manifest) == 15
    assert {entry["snr_db"] for entry in manifest} <= {5.0, 5.5, 6.0}
    assert all(entry["seed"] == 5 and entry["noise"] for entry in manifest)
    write_set(a_run(place, tmp_path / "b"))
    for entry in manifest:
        file = cell / entry["file"]
        info = soundfile.info(file)
        assert (info.subtype, info.samplerate, info.frames) == ("PCM_16", 16_000, 16_000)
        assert file.read_bytes() == (tmp_path / "b" / "ENSC" / "L1" / entry["file"]).read_bytes()
    assert write_set(a_run(place, tmp_path / "a")).startswith("0 cells written, 1 was there already")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": ""}, "^--dataset: missing, expected a data set"),
        ({"dataset": "", "verify": "samples"}, "^--dataset: missing, expected a data set"),
        ({"corruption": ["clean"]}, "--corruption=clean writes no corrupted set"),
        ({"corruption": ["ENQ"]}, "QUT-NOISE"),
        ({"noise_dir": None}, "ENSC needs --noise_dir"),
        ({"profile": "faithful"}, "unknown profile 'faithful'"),
        ({"level": ["L9"]}, "unknown level 'L9'"),
        ({"split": "dev"}, "unknown split 'dev' of arabic_speech_commands"),
        ({"on_bad_file": "go"}, "--on_bad_file=go: expected stop or skip"),
        ({"verify": "samples"}, "no such cell, expected it to verify it"),
    ],
)
def test_bad_input_gets_one_sentence_and_nothing_is_written(place, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        run_command(a_run(place, tmp_path / "out", **changes))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_all_means_what_the_set_has(place, tmp_path):
    cells = cells_of(a_run(place, tmp_path, corruption=["all"], level=["L1", "L2"]), sets.get("vocal_sound"))
    assert len(cells) == 14 and [(cell.corruption, cell.level) for cell in cells[:3]] == [
        ("WHN", "L1"), ("WHN", "L2"), ("ENQ", "L1"),
    ]  # fmt: skip
    assert cells[0].length == 160_000 and cells[0].seed == 5
    urban = cells_of(a_run(place, tmp_path, corruption=["all"], level=["L1", "L2"]), sets.get("urban_sound_8k"))
    assert [cell.corruption for cell in urban[::2]] == ["WHN", "ENSC", "PSH", "TST"] and len(urban) == 8
    with pytest.raises(ValueError, match="unknown corruption of UrbanSound8K-C 'END1'"):
        cells_of(a_run(place, tmp_path, corruption=["END1"]), sets.get("urban_sound_8k"))


def test_a_set_is_written_in_its_published_layout_and_read_back(place, tmp_path, capsys):
    FAKES["reef_set"](tmp_path / "reef")
    data, out = sets.get("reef_set"), tmp_path / "ReefSet-C"
    run = a_run(place, out, dataset="reef_set", data_dir=str(tmp_path / "reef"), corruption=["WHN"], level=["L2"])
    assert write_set(run).startswith("1 cell written")
    assert (out / "test_annotations.csv").read_bytes() == (tmp_path / "reef" / "test_annotations.csv").read_bytes()
    clean, _ = data.listing(tmp_path / "reef", "test", False)
    for ref in clean:
        info = soundfile.info(out / "WHN" / "L2" / ref.id)
        assert (info.subtype, info.samplerate, info.frames) == ("PCM_16", 16_000, 30_080)
    refs, notices = list_cell(data, tmp_path, "WHN", "L2")
    assert [(ref.id, ref.label) for ref in refs] == [(ref.id, ref.label) for ref in clean] and notices == ()
    clips = load_cell(data, out, "WHN", "L2", sample_rate=16_000, length=30_080, progress=False)
    samples, _ = soundfile.read(refs[7].path, dtype="int16")
    np.testing.assert_array_equal(clips.waves[7], samples / np.float32(32768))
    # The same command again makes nothing; with another seed it says what is there.
    assert write_set(run.replace(data_dir=None)).startswith("0 cells written, 1 was there already")
    with pytest.raises(ValueError, match="WHN/L2: made with seed 5, expected 6; give another --output"):
        write_set(run.replace(seed=6))
    with pytest.raises(ValueError, match="made with profile reference, expected corrected"):
        verify_set(run.replace(profile="corrected", verify="checksum"))
    capsys.readouterr()


def test_a_finished_cell_of_other_clips_or_noise_or_code_is_not_taken_for_this_one(tmp_path, monkeypatch):
    tiny.make_arabic(tmp_path / "data")
    tiny.make_noises(tmp_path / "noise")
    run = a_run(tmp_path, tmp_path / "a")
    write_set(run)
    content = json.loads((tmp_path / "a" / "ENSC" / "L1" / "cell.json").read_text())["content"]
    assert set(content) == {"clips", "files", "noise"}
    assert write_set(run).startswith("0 cells written, 1 was there already")
    longer = tmp_path / "data" / "dataset" / "up" / "test_0.wav"
    before = longer.read_bytes()
    soundfile.write(longer, np.zeros(4_100), 16_000, subtype="PCM_16")
    with pytest.raises(ValueError, match=r"ENSC/L1: made from other clips than are given now, expected the same; give"):
        write_set(run)
    longer.write_bytes(before)
    for path in (tmp_path / "noise").rglob("*.wav"):
        samples, rate = soundfile.read(path, dtype="int16")
        samples[0] ^= 1  # one step of 16 bit
        soundfile.write(path, samples, rate, subtype="PCM_16")
    with pytest.raises(ValueError, match=r"ENSC/L1: made from other noise recordings than are given now"):
        write_set(run)
    assert write_set(run.replace(noise_dir=None)).startswith("0 cells written"), "what is not given is not compared"
    monkeypatch.setattr(corrupt_module, "plug_ins", lambda *names: "0123456789abcdef")
    with pytest.raises(ValueError, match=r"made from other noise recordings and files of your own than are given now"):
        write_set(run)


def test_verifying_finds_a_changed_file(place, tmp_path, capsys):
    run = a_run(place, tmp_path / "a")
    write_set(run)
    assert run_command(run.replace(verify="samples")).startswith("1 cell agrees")
    without_data = run.replace(verify="checksum", data_dir=None, noise_dir=None)
    assert run_command(without_data).startswith("1 cell agrees")
    # Before, checksums wanted --dataset too, though all that they need lies beside the files.
    alone = CorruptRun(corruption=["all"], output=run.output, verify="checksum")
    assert run_command(alone).startswith("1 cell agrees") and "ENSC-L1: all files agree" in capsys.readouterr().out
    with pytest.raises(BadInput, match=r"--output=.*: holds no cell WHN-L1 with a cell\.json, expected what"):
        run_command(alone.replace(corruption=["WHN"]))
    with pytest.raises(BadInput, match=r"--output=nowhere: holds no cell with a cell\.json, expected what"):
        run_command(alone.replace(output="nowhere"))
    path = tmp_path / "a" / "ENSC" / "L1" / "dataset" / "up" / "test_0.wav"
    data = bytearray(path.read_bytes())
    data[1_044] ^= 1
    path.write_bytes(data)
    capsys.readouterr()
    for verify in (run.replace(verify="samples"), without_data, alone):
        with pytest.raises(ValueError, match="1 file differs, expected none"):
            run_command(verify)
    told = capsys.readouterr().out.splitlines()
    assert told.pop(0) == "split test of arabic_speech_commands: 15 clips"
    assert told[0] == f"{path}: differs in 1 of 16000 samples, by up to 1 step of 16 bit"
    assert told[1] == "ENSC-L1: 1 file differs, by up to 1 step of 16 bit"
    assert told[2] == told[4] == f"{path}: has other samples than its checksum says"
    assert path.read_bytes() == bytes(data)


def test_checksums_of_all_sets_below_a_folder_are_verified(place, tmp_path, capsys):
    """Before, of cells of one name the last alone was, and "all" left out what was named beside it."""
    for name in ("a", "b"):
        write_set(a_run(place, tmp_path / name))
    path = tmp_path / "a" / "ENSC" / "L1" / "dataset" / "up" / "test_0.wav"
    data = bytearray(path.read_bytes())
    data[1_044] ^= 1
    path.write_bytes(data)
    both = CorruptRun(corruption=["ENSC"], level=["L1"], output=str(tmp_path), verify="checksum")
    capsys.readouterr()
    for run in (both, both.replace(corruption=["all", "ENSC:L1"], level=["L2"])):
        with pytest.raises(BadInput, match="1 file differs, expected none"):
            run_command(run)
        assert capsys.readouterr().out.splitlines()[1:] == [
            f"ENSC-L1 in {tmp_path / 'a' / 'ENSC' / 'L1'}: 1 file differs",
            f"ENSC-L1 in {tmp_path / 'b' / 'ENSC' / 'L1'}: all files agree",
        ]
    with pytest.raises(BadInput, match="--corruption=clean writes no corrupted set"):
        run_command(both.replace(corruption=["clean"]))


def test_bad_files_are_skipped_on_request(place, tmp_path, capsys):
    tiny.make_arabic(tmp_path / "data")
    (tmp_path / "data" / "dataset" / "up" / "test_0.wav").write_bytes(b"RIFF")
    run = a_run(place, tmp_path / "a", data_dir=str(tmp_path / "data"), corruption=["WHN"])
    with pytest.raises(ValueError, match=r"up/test_0\.wav"):
        write_set(run)
    assert not (tmp_path / "a" / "WHN" / "L1").exists()
    write_set(run.replace(on_bad_file="skip"))
    assert "left out: " in capsys.readouterr().out
    assert (tmp_path / "a" / "bad_files.txt").read_text().startswith("dataset/up/test_0.wav\t")
    record = json.loads((tmp_path / "a" / "WHN" / "L1" / "cell.json").read_text())
    assert record["clips"] == 14 and record["left_out"] == ["dataset/up/test_0.wav"]
    listed = "dataset/up/test_0.wav\ttruncated, a RIFF header without audio (4 bytes)\n"
    assert (tmp_path / "a" / "bad_files.txt").read_text() == listed
    assert verify_set(run.replace(on_bad_file="skip", verify="samples")).startswith("1 cell agrees")


@pytest.mark.parametrize(
    ("given", "expected"),
    [([], ""), (["--verify"], "samples"), (["--verify=checksum"], "checksum"), (["--verify=samples"], "samples"),
     (["--noverify"], "")],
)  # fmt: skip
def test_verify_is_a_flag_with_or_without_a_value(given, expected):
    values = flags.FlagValues()
    flags_of(CorruptRun, values=values)
    values(["corrupt", "--dataset=a", "--corruption=WHN", "--output=b", *given])
    assert from_flags(CorruptRun, values).verify == expected


def test_another_value_of_verify_is_refused():
    values = flags.FlagValues()
    flags_of(CorruptRun, values=values)
    with pytest.raises(flags.IllegalFlagValueError, match="expected nothing, or one of samples, checksum"):
        values(["corrupt", "--dataset=a", "--corruption=WHN", "--output=b", "--verify=all"])
