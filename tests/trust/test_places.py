"""Nothing reaches outside its folder: names in lists, links in outputs; what is written has the umask's permissions."""

import csv
import os
import stat

import numpy as np
import pytest
import soundfile

from dhauds_jax import files
from dhauds_jax.data import sets
from dhauds_jax.data.corrupted import files as corrupted_files
from dhauds_jax.data.pipeline import tfrecord
from dhauds_jax.data.sets.base import check_inside, list_split
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import checkpoint, zoo
from dhauds_jax.report import html
from dhauds_jax.runs import labels
from dhauds_jax.train.epoch_log import PROGRESS, EpochLog
from dhauds_jax.workdir import locks, records, vector_files
from dhauds_jax.workdir.saver import Saver

OUTSIDE = ["../secret.wav", "a/../../secret.wav", "/etc/secret.wav", "..", "a\0b.wav"]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_name_that_leaves_its_folder_is_seen(name):
    assert not files.is_inside(name)
    with pytest.raises(BadInput, match="expected a path inside the set's folder"):
        check_inside(["a.wav", name], "list.csv")


@pytest.mark.parametrize("name", ["a.wav", "a/b..c/..d.wav", "...", "a/./b.wav", "-C/a.wav"])
def test_other_names_stay(name):
    assert files.is_inside(name)


@pytest.mark.parametrize("name", ["../secret.wav", "{outside}"])
def test_a_list_of_a_set_reads_nothing_outside_its_folder(tmp_path, name):
    outside = tmp_path / "secret.wav"
    soundfile.write(outside, np.zeros(100), 16_000)
    folder = tmp_path / "set"
    folder.mkdir()
    with (folder / "test.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file", "class"), (name.format(outside=outside), "down")])
    with pytest.raises(BadInput, match="expected a path inside the set's folder"):
        list_split(sets.get("arabic_speech_commands"), folder, "test", allow_partial=True)


def test_a_manifest_of_a_corrupted_set_names_files_of_its_cell(tmp_path):
    for file, fits in (("a/b.wav", True), ("../../secret.wav", False), ("/etc/passwd", False)):
        (tmp_path / corrupted_files.MANIFEST).write_text(f'{{"id": "a", "file": "{file}", "sha256": ""}}\n')
        if fits:
            assert corrupted_files.read_manifest(tmp_path)[0]["file"] == file
        else:
            with pytest.raises(BadInput, match="names the file"):
                corrupted_files.read_manifest(tmp_path)


def test_an_index_of_prepared_clips_names_files_beside_it(tmp_path):
    (tmp_path / "secret").write_bytes(b"12345")
    folder = tmp_path / "cache"
    folder.mkdir()
    one, none = np.zeros(1, int), np.zeros((0, 2), "U1")
    arrays = {
        **dict.fromkeys(("file_number", "offset", "samples", "kept"), one),
        "notices": none[:, 0],
        "skipped": none,
    }
    np.savez(folder / tfrecord._INDEX, files=["../secret"], sizes=[5], **arrays)
    assert tfrecord._load(folder) is None


def test_a_page_holds_no_picture_of_another_folder(tmp_path):
    (tmp_path / "secret.png").write_bytes(b"secret")
    (tmp_path / "report").mkdir()
    for place in ("../secret.png", str(tmp_path / "secret.png")):
        assert "data:image" not in html.page(f"# a\n\n![x]({place})\n", tmp_path / "report")


def test_a_file_that_is_a_link_is_replaced_and_what_it_leads_to_stays(tmp_path):
    (tmp_path / "kept").write_text("kept")
    (tmp_path / "out.csv").symlink_to(tmp_path / "kept")
    files.write_csv(tmp_path / "out.csv", [("a",)])
    assert (tmp_path / "kept").read_text() == "kept"
    assert not (tmp_path / "out.csv").is_symlink()


def test_a_link_under_a_temporary_name_is_not_written_through(tmp_path, monkeypatch):
    (tmp_path / "kept").write_text("kept")
    monkeypatch.setattr(files, "temporary_beside", lambda path: tmp_path / "guessed")
    (tmp_path / "guessed").symlink_to(tmp_path / "kept")
    files.write_atomically(tmp_path / "out", "new")
    assert ((tmp_path / "kept").read_text(), (tmp_path / "out").read_text()) == ("kept", "new")


@pytest.mark.parametrize("there", [True, False], ids=["a link to a folder", "a link to nothing"])
def test_a_folder_that_is_a_link_is_replaced_and_what_it_leads_to_stays(tmp_path, there):
    other, new, place = tmp_path / "other", tmp_path / "new", tmp_path / "place"
    if there:
        other.mkdir()
        (other / "kept").touch()
    new.mkdir()
    (new / "made").touch()
    place.symlink_to(other)
    files.put_in_place(new, place)
    assert (place / "made").exists() and not place.is_symlink()
    assert (other / "kept").exists() == there
    assert {path.name for path in tmp_path.iterdir()} == {"place", *(["other"] if there else [])}


def a_record():
    return dict.fromkeys(records.KEYS, 0)


@pytest.mark.parametrize("there", [True, False])
def test_records_are_not_added_to_what_a_link_leads_to(tmp_path, there):
    other = tmp_path / "other.jsonl"
    if there:
        other.write_text("{}\n")
    (tmp_path / records.FILE).symlink_to(other)
    with pytest.raises(BadInput, match=r"results\.jsonl: is a link to .*other\.jsonl, expected a place of its own"):
        records.append(tmp_path, a_record())
    assert other.exists() == there and (not there or other.read_text() == "{}\n")


def test_a_log_that_is_a_link_is_replaced(tmp_path):
    (tmp_path / "kept").write_text("")
    (tmp_path / PROGRESS).symlink_to(tmp_path / "kept")
    EpochLog(tmp_path).add([{"loss": 1.0, "validation": 0.5}], {"accuracy": 0.5}, 1.0)
    assert (tmp_path / "kept").read_text() == ""
    assert (tmp_path / PROGRESS).read_text().count("\n") == 1


def test_a_state_removes_nothing_where_a_link_leads(tmp_path):
    """Once a save removed every other folder of the place: here those of somebody's home."""
    home = tmp_path / "home"
    (home / "letters").mkdir(parents=True)
    (tmp_path / "state").symlink_to(home)
    with pytest.raises(BadInput, match="state: is a link to"):
        Saver(tmp_path / "state", 0.0).save({"a": np.zeros(1)}, {"position": 1})
    assert [path.name for path in home.iterdir()] == ["letters"]


def test_a_state_removes_older_states_alone(tmp_path):
    folder = tmp_path / "state"
    for name in ("00000001", "00000001-00000003", "00000002.tmp", "letters"):
        (folder / name).mkdir(parents=True)
    (folder / "notes.txt").touch()
    Saver(folder, 0.0).save({"a": np.zeros(1)}, {"position": 4})
    assert sorted(path.name for path in folder.iterdir()) == ["00000004", "letters", "notes.txt"]


@pytest.mark.parametrize("name", ["embeddings", "examples", "predictions"])
def test_a_folder_that_is_written_into_is_no_link(tmp_path, name):
    files.check_no_links(tmp_path, name)
    (tmp_path / name).symlink_to(tmp_path)
    with pytest.raises(BadInput, match=f"{name}: is a link to .*, expected a place of its own"):
        files.check_no_links(str(tmp_path), "other", name)


def test_tracks_are_not_written_where_a_link_leads(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.wav.txt").write_text("kept")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / labels.AUDACITY).symlink_to(tmp_path / "other")
    labels.remove(tmp_path / "out")
    assert not os.path.lexists(tmp_path / "out" / labels.AUDACITY)
    assert (tmp_path / "other" / "a.wav.txt").read_text() == "kept"


@pytest.fixture(params=[0o002, 0o022, 0o077], ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def written(folder):
    """Something of every writer."""
    files.write_atomically(folder / "text" / "a.txt", "a")
    files.write_csv(folder / "a.csv", [("a",)])
    records.append(folder, a_record())
    records.note_bad_files(folder, [("a", "b")])
    EpochLog(folder).add([{"loss": 1.0, "validation": 0.5}], {"accuracy": 0.5}, 1.0)
    Saver(folder / "state", 0.0).save({"a": np.zeros(2)}, {"position": 1})
    vector_files.write(folder / "vectors", [np.zeros((1, 2), np.float32)], [("a",)], 2, {})
    checkpoint.save(folder / "checkpoint", {"params": {"a": np.zeros(2)}}, zoo.preset("amaut_sc2"))
    (folder / "cell").mkdir()
    corrupted_files.write(folder / "cell" / "a.wav", np.zeros(4, np.int16), 16_000)


def test_permissions_are_those_that_the_umask_leaves(tmp_path, umask):
    folder = tmp_path / "out"
    with locks.held(folder):
        written(folder)
        found = {path.relative_to(folder).as_posix(): stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}
        folders = {name for name in found if (folder / name).is_dir()}
    assert {
        name: oct(mode) for name, mode in found.items() if mode != (0o777 if name in folders else 0o666) & ~umask
    } == {}
    assert len(found) > 20 and "run.lock" in found


def test_a_lock_without_hard_links_too(tmp_path, umask, monkeypatch):
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError()))
    with locks.held(tmp_path):
        assert stat.S_IMODE((tmp_path / locks.FILE).stat().st_mode) == 0o666 & ~umask
