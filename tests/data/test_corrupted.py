"""Making the cells of corrupted sets: what is written, the same bits again, and what verifying finds."""

import json

import numpy as np
import pytest
import soundfile

from dhauds_jax import schemas
from dhauds_jax.data import sets
from dhauds_jax.data.audio import BadFile
from dhauds_jax.data.clip_source import ClipSource, ReadClip, open_clips
from dhauds_jax.data.corrupted import files, verifying, writing
from dhauds_jax.data.corrupted.cell import CellSpec
from dhauds_jax.data.corruptions import corrupt
from dhauds_jax.data.corruptions.noise import synthetic_bank
from dhauds_jax.data.sets.base import DataSet, Order
from dhauds_jax.errors import BadInput
from tests.data.fakes import FAKES

RATE = 16_000


def tiny(corruption="WHN", level="L1", seed=3):
    """A data set of two classes, clips of 0.2 s; a cell of it."""
    order = Order(stretch_both_ways=True)
    data = DataSet("tiny", ("a", "b"), RATE, 3_200, ("test",), "accuracy", order, "none", "none")
    return CellSpec(data, corruption, level, seed)


def made(count=40, bad=()):
    """Clips of 1,500 to 4,000 samples, some longer than the set's length; loud, so that some samples saturate."""
    rng = np.random.default_rng(1)
    waves = [rng.uniform(-0.99, 0.99, int(n)).astype(np.float32) for n in rng.integers(1_500, 4_000, count)]

    def read(row):
        if row in bad:
            return ReadClip(np.zeros(0, np.float32), bad=BadFile(f"{row}.wav", "is empty", "empty"))
        return ReadClip(waves[row], ("resampled from 8 Hz to 9 Hz",) if row == 0 else ())

    return ClipSource(tuple(f"x/{row:02d}.flac" for row in range(count)), np.arange(count) % 2, read)


def permuted(source, order):
    read = lambda row: source.read(int(order[row]))  # noqa: E731
    return ClipSource(tuple(source.ids[i] for i in order), source.labels[order], read)


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.wav")}


@pytest.mark.as_shipped
@pytest.mark.parametrize("corruption", ["WHN", "ENQ", "PSH", "TST"])
def test_slices_order_and_threads_change_no_bit(corruption, tmp_path):
    cell, source = tiny(corruption, "L2"), made(20 if corruption == "TST" else 40)
    bank = synthetic_bank("ENQ", "L2", seconds=0.5) if corruption == "ENQ" else None
    first = writing.write_cell(cell, source, bank, tmp_path / "a", progress=False).record
    order = np.random.default_rng(2).permutation(len(source.ids))
    options = {"clips": 7, "threads": 1, "progress": False}
    second = writing.write_cell(cell, permuted(source, order), bank, tmp_path / "b", **options).record
    one = contents(tmp_path / "a" / corruption / "L2")
    assert len(one) == len(source.ids) and one == contents(tmp_path / "b" / corruption / "L2")
    assert first == second
    assert verifying.verify_samples(cell, source, bank, tmp_path / "b", clips=11, progress=False) == []


def test_files_are_16_bit_and_saturate(tmp_path):
    cell, source = tiny(), made()
    record = writing.write_cell(cell, source, None, tmp_path, progress=False).record
    folder = tmp_path / "WHN" / "L1"
    row = next(row for row, line in enumerate(files.read_manifest(folder)) if line["source"] == "gaussian")
    wave = source.read(row).wave
    data = (folder / "x" / f"{row:02d}.wav").read_bytes()
    # RIFF header of 44 bytes: PCM (1), one channel, 16 bits a sample; then 3,200 samples.
    assert data[20:24] == b"\x01\x00\x01\x00" and data[34:36] == b"\x10\x00" and len(data) == 44 + 2 * 3_200
    samples = np.frombuffer(data[44:], "<i2")
    assert samples.max() == 32_767 and samples.min() == -32_768
    options = {"dataset": cell.dataset, "corruption": "WHN", "level": "L1", "seed": 3, "sample_rate": RATE}
    floats, _ = corrupt(wave[None], [source.ids[row]], length=3_200, **options)
    assert floats.max() > 1 and floats.min() < -1
    np.testing.assert_array_equal(samples, np.clip(np.rint(floats[0] * 32768.0), -32768, 32767))
    assert (record["clips"], record["length"], record["sample_rate"], record["left_out"]) == (40, 3_200, RATE, [])


@pytest.mark.slow
def test_the_manifest_has_every_draw_and_digest(tmp_path):
    cell, source = tiny("ENQ", "L1"), made(5)
    bank = synthetic_bank("ENQ", "L1", seconds=0.5)
    written = writing.write_cell(cell, source, bank, tmp_path, progress=False)
    folder = tmp_path / "ENQ" / "L1"
    lines = files.read_manifest(folder)
    assert [line["id"] for line in lines] == list(source.ids) and [line["class"] for line in lines] == list("ababa")
    for line in lines:
        assert line["file"] == f"x/{line['id'][2:4]}.wav" and line["snr_db"] in (5.0, 5.5, 6.0) and line["seed"] == 3
        assert line["noise"] == bank.names[line["noise_index"]] and 0 <= line["start"] <= 8_000 - 3_200
        samples, _ = soundfile.read(folder / line["file"], dtype="int16")
        assert line["sha256"] == files.digest(samples)
    digests = {line["id"]: line["sha256"] for line in reversed(lines)}
    assert written.record["samples_sha256"] == files.samples_checksum(digests)
    assert written.notices == ("1 of 5 files: resampled from 8 Hz to 9 Hz",)
    assert json.loads((folder / "cell.json").read_text()) == {**schemas.stamp(files.SCHEMA), **written.record}
    assert files.read_record(folder) == written.record


def test_clips_that_would_be_one_file_are_refused_before_anything_is_written(tmp_path):
    """Before, one of them overwrote the other, and the manifest named both."""
    source = made(2)._replace(ids=("x/a.wav", "x/a.mp3"))
    with pytest.raises(
        BadInput, match=r"^x/a\.wav and x/a\.mp3 would both be written to x/a\.wav; rename one of them$"
    ):
        writing.write_cell(tiny(), source, None, tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_a_killed_cell_is_made_anew_and_others_stay(tmp_path):
    cell, source = tiny(), made()
    writing.write_cell(tiny(level="L2"), source, None, tmp_path, progress=False)
    finished = contents(tmp_path / "WHN" / "L2")

    def killed(row):
        if row == 39:
            raise KeyboardInterrupt
        return source.read(row)

    with pytest.raises(KeyboardInterrupt):
        writing.write_cell(cell, source._replace(read=killed), None, tmp_path, clips=16, progress=False)
    left = tmp_path / "WHN" / "L1.tmp"
    assert len(contents(left)) >= 16 and not (tmp_path / "WHN" / "L1").exists()
    (left / "x" / "stray.wav").write_bytes(b"")
    writing.write_cell(cell, source, None, tmp_path, progress=False)
    assert len(contents(tmp_path / "WHN" / "L1")) == 40 and not left.exists()
    assert contents(tmp_path / "WHN" / "L2") == finished
    with pytest.raises(ValueError, match="WHN/L1: is there already"):
        writing.write_cell(cell, source, None, tmp_path, progress=False)


def test_bad_files_are_left_out_and_named(tmp_path):
    source = made(20, bad=(0, 3))
    written = writing.write_cell(tiny(), source, None, tmp_path, progress=False)
    assert [row for row, _ in written.bad] == [0, 3] and str(written.bad[1][1]) == "3.wav: is empty"
    assert written.record["clips"] == 18 and written.record["left_out"] == ["x/00.flac", "x/03.flac"]
    whole = writing.write_cell(tiny(), made(20), None, tmp_path / "whole", progress=False)
    kept, all_of_them = contents(tmp_path / "WHN" / "L1"), contents(tmp_path / "whole" / "WHN" / "L1")
    assert kept == {name: data for name, data in all_of_them.items() if name not in ("x/00.wav", "x/03.wav")}
    assert written.record["draws_sha256"] != whole.record["draws_sha256"]
    with pytest.raises(ValueError, match="no clip of tiny can be used"):
        writing.write_cell(tiny(level="L2"), made(3, bad=(0, 1, 2)), None, tmp_path, progress=False)


def test_reading_stops_at_a_bad_file_or_hands_it_back(tmp_path):
    FAKES["reef_set"](tmp_path)
    data = sets.get("reef_set")
    refs, _ = data.listing(tmp_path, "test", False)
    refs[2].path.write_bytes(b"")
    with pytest.raises(BadFile, match="empty"):
        open_clips(data, tmp_path, "test").read(2)
    source = open_clips(data, tmp_path, "test", on_bad_file="skip")
    assert source.read(2).bad.path == refs[2].path and source.read(1).bad is None
    assert source.paths == tuple(ref.path for ref in refs) and source.labels.tolist() == [ref.label for ref in refs]
    with pytest.raises(ValueError, match="--on_bad_file=go: expected stop or skip"):
        open_clips(data, tmp_path, "test", on_bad_file="go")


def test_verifying_names_every_changed_file(tmp_path):
    cell, source = tiny(), made(20)
    writing.write_cell(cell, source, None, tmp_path, progress=False)
    folder = tmp_path / "WHN" / "L1"
    check = lambda: verifying.verify_samples(cell, source, None, tmp_path, progress=False)  # noqa: E731
    assert check() == [] and verifying.verify_checksums(folder, progress=False) == []
    samples, _ = soundfile.read(folder / "x" / "04.wav", dtype="int16")
    samples[100] += 3 if samples[100] < 0 else -3
    soundfile.write(folder / "x" / "04.wav", samples, RATE, subtype="PCM_16")
    soundfile.write(folder / "x" / "05.wav", samples, 8_000, subtype="PCM_16")
    soundfile.write(folder / "x" / "06.wav", samples / 32768, RATE, subtype="FLOAT")
    soundfile.write(folder / "x" / "07.wav", samples[:-1], RATE, subtype="PCM_16")
    (folder / "x" / "08.wav").unlink()
    (folder / "x" / "09.wav").write_bytes(b"text")
    soundfile.write(folder / "x" / "more.wav", samples, RATE, subtype="PCM_16")
    other_format = "expected WAV PCM_16 16000 1 3200"
    expected = [
        ("x/04.wav", "differs in 1 of 3200 samples, by up to 3 steps of 16 bit"),
        ("x/05.wav", f"is WAV PCM_16 8000 1 3200, {other_format}"),
        ("x/06.wav", f"is WAV FLOAT 16000 1 3200, {other_format}"),
        ("x/07.wav", f"is WAV PCM_16 16000 1 3199, {other_format}"),
        ("x/08.wav", "is absent"),
        ("x/09.wav", "cannot be read"),
        ("x/more.wav", "belongs to no clip of the list"),
    ]
    for found in (check(), verifying.verify_checksums(folder, progress=False)):
        assert [difference.file for difference in found] == [file for file, _ in expected]
        for difference, (_, reason) in list(zip(found, expected))[1:]:
            assert difference.reason.startswith(reason)
    assert check()[0].reason == expected[0][1]
    assert verifying.verify_checksums(folder, progress=False)[0].reason == "has other samples than its checksum says"


@pytest.mark.parametrize(("name", "number"), [("cell.json", "1 of 1"), ("manifest.jsonl", "2 of 2")])
def test_a_record_that_was_cut_short_is_named(tmp_path, name, number):
    (tmp_path / "cell.json").write_text('{"clips": 2}')
    (tmp_path / "manifest.jsonl").write_text(
        "".join(f'{{"id": "{i}", "file": "{i}.wav", "sha256": ""}}\n' for i in "ab")
    )
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(BadInput) as error:
        verifying.verify_checksums(tmp_path, progress=False)
    said = str(error.value)
    assert said.startswith(f"{path}: object {number} is cut short or no JSON (") and said.endswith(
        "), expected what experiments.corrupt has written; remove the cell and make it again"
    )


def test_verifying_notices_a_changed_manifest_and_other_cells(tmp_path):
    cell, source = tiny(), made(20)
    writing.write_cell(cell, source, None, tmp_path, progress=False)
    folder = tmp_path / "WHN" / "L1"
    found = verifying.verify_samples(cell._replace(seed=4), source, None, tmp_path, progress=False)
    assert len(found) == 20 and all("steps of 16 bit" in difference.reason for difference in found)
    lines = files.read_manifest(folder)
    lines[0]["sha256"] = lines[1]["sha256"]
    (folder / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = verifying.verify_checksums(folder, progress=False)
    assert [difference.file for difference in found] == ["manifest.jsonl", "x/00.wav"]
    (folder / "manifest.jsonl").unlink()
    with pytest.raises(ValueError, match="expected a cell that experiments"):
        verifying.verify_checksums(folder, progress=False)
