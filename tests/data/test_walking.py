"""How folders are walked: what is passed over, what links lead to."""

import os

from dhauds_jax.data import walking


def make(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def named(paths, root):
    return [path.relative_to(root).as_posix() for path in paths]


def test_what_systems_leave_behind_is_passed_over_everywhere(tmp_path):
    left = ("._a.wav", ".DS_Store", "Thumbs.db", "desktop.ini", "__MACOSX/cat/b.wav", ".trash/c.wav", "cat/._a.wav")
    make(tmp_path, *left, "a.wav", "cat/a.WAV", "cat/deep/er/a.flac", "cat/notes.txt")
    walked = walking.below(tmp_path)
    assert named(walked.files, tmp_path) == ["a.wav", "cat/a.WAV", "cat/deep/er/a.flac", "cat/notes.txt"]
    assert named(walked.folders, tmp_path) == ["cat", "cat/deep", "cat/deep/er"] and walked.again == []
    assert named(walking.files_in(tmp_path), tmp_path) == ["a.wav"]
    assert named(walking.files_in(tmp_path / "cat"), tmp_path) == ["cat/a.WAV"]
    assert named(walking.folders_in(tmp_path), tmp_path) == ["cat"]
    for nowhere in (tmp_path / "nowhere", tmp_path / "a.wav"):
        assert walking.below(nowhere) == ([], [], [])
        assert walking.files_in(nowhere) == walking.folders_in(nowhere) == []


def test_a_folder_in_a_hidden_one_is_walked_when_it_is_the_one_asked_for(tmp_path):
    make(tmp_path, ".cache/a.wav")
    assert named(walking.below(tmp_path / ".cache").files, tmp_path) == [".cache/a.wav"]


def test_links_are_followed_once(tmp_path):
    root, other = tmp_path / "root", tmp_path / "other"
    make(root, "dog/x.wav")
    make(other, "y.wav", "deep/z.wav")
    os.symlink(other, root / "a_link")
    os.symlink(other / "deep", root / "a_deep")  # walked before the folder that holds it
    os.symlink(root, root / "dog" / "loop")
    os.symlink(root / "dog", root / "a_dog")  # a folder's own name wins
    os.symlink(other / "y.wav", root / "dog" / "linked.wav")
    os.symlink(root / "gone", root / "broken.wav")
    os.symlink(root / "self.wav", root / "self.wav")
    walked = walking.below(root)
    assert named(walked.files, root) == [
        "a_deep/z.wav",
        "a_link/y.wav",
        "broken.wav",
        "dog/linked.wav",
        "dog/x.wav",
        "self.wav",
    ]
    assert named(walked.again, root) == ["a_dog", "a_link/deep", "dog/loop"]
    assert named(walking.files_in(root), root) == ["broken.wav", "self.wav"]
    assert named(walking.folders_in(root), root) == ["a_deep", "a_dog", "a_link", "dog"]
