"""Embeddings on disk: what is written is read back, from a folder or an npz; what is refused, in one sentence."""

import json

import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.workdir import vector_files, vectors

FRONT = {"kind": "log_mel", "n_mels": 80}
ENCODER = {"hash": "a" * 64, "front_end_hash": vectors.front_end_hash(FRONT)}
MANIFEST = {"encoder": ENCODER, "long": "windows:overlap=0.5", "longer": 2, "classes": ["cat", "dog"]}


def values(rows=3, width=4):
    return np.random.default_rng(0).normal(size=(rows, width)).astype(np.float32)


def lines(*keys):
    return [(key, "dog" if i else "", str(i + 1), "1.5000", 2, "park", "test", "anna") for i, key in enumerate(keys)]


def a_folder(folder, found=None, **changes):
    found = values() if found is None else found
    halves = (found[:1], found[1:])
    rows = lines("a", "b/c, d", 'e "f"')[: len(found)]
    vector_files.write(folder, iter(halves), rows, found.shape[1], {**MANIFEST, **changes})
    return folder


def an_npz(path, **arrays):
    np.savez(path, **{"vectors": values(), "ids": np.array(["a", "b", "c"]), **arrays})
    return path


def test_a_folder_is_read_back_and_its_vectors_stay_on_disk(tmp_path):
    found = vectors.read(a_folder(tmp_path))
    assert isinstance(found.vectors, np.memmap) and np.array_equal(found.vectors, values())
    assert np.array_equal(np.load(tmp_path / "vectors.npy"), values())
    assert (found.ids, found.classes) == (("a", "b/c, d", 'e "f"'), ("cat", "dog"))
    assert found.labels.tolist() == [-1, 1, 1]
    assert found.folds == ("1", "2", "3") and found.backgrounds == ("park",) * 3
    assert (found.splits, found.groups) == (("test",) * 3, ("anna",) * 3)
    assert (found.seconds.tolist(), found.windows.tolist()) == ([1.5] * 3, [2] * 3)
    assert (found.manifest["rows"], found.manifest["width"], found.manifest["normalised"]) == (3, 4, False)


def test_equal_arguments_make_equal_bytes(tmp_path):
    one, other = (a_folder(tmp_path / name) for name in "ab")
    for name in ("vectors.npy", "index.csv", "manifest.json"):
        assert (one / name).read_bytes() == (other / name).read_bytes()


def test_an_npz_of_a_folder_holds_the_same(tmp_path):
    found = vectors.read(a_folder(tmp_path))
    vectors.export_npz(found, tmp_path / "x.npz")
    again = vectors.read(tmp_path / "x.npz")
    assert again.digest == found.digest
    for name, value in found._asdict().items():
        if name not in ("place", "vectors"):
            assert np.array_equal(value, getattr(again, name)), name
    bytes_ = (tmp_path / "x.npz").read_bytes()
    vectors.export_npz(found, tmp_path / "y.npz")
    assert (tmp_path / "y.npz").read_bytes() == bytes_


def test_an_npz_of_somebody_else_needs_vectors_and_ids_alone(tmp_path):
    found = vectors.read(an_npz(tmp_path / "x.npz"))
    assert (found.ids, found.labels, found.classes, dict(found.manifest)) == (("a", "b", "c"), None, (), {})
    named = vectors.read(an_npz(tmp_path / "y.npz", labels=np.array(["dog", "cat", "dog"])))
    assert (named.classes, named.labels.tolist()) == (("cat", "dog"), [1, 0, 1])
    vectors.check_encoder(found, "out/clap", "b" * 64, {})  # it says nothing of where it comes from


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"vectors": values().astype(np.float64)}, "vectors are float64, expected float32"),
        ({"vectors": values()[0]}, r"shape \(4,\), expected \(rows, width\)"),
        ({"vectors": values(0)}, r"shape \(0, 4\)"),
        ({"ids": np.array(["a", "b"])}, "3 vectors and 2 ids, expected as many"),
        ({"ids": np.array(["a", "b", "a"])}, "2 rows are called 'a', expected a name of its own"),
        ({"ids": np.array(["a", None, "c"])}, "expected arrays of numbers and of texts"),
        ({"folds": np.array(["1"])}, "3 vectors and 1 folds"),
        ({"labels": np.array([0, 1, 2]), "classes": np.array(["x", "y"])}, "from 0 to 2, and there are 2 classes"),
        ({"labels": np.array([0.0, 1.0, 1.0]), "classes": np.array(["x", "y"])}, "labels are float64"),
        ({"ids": np.array("a")}, r"ids has the shape \(\), expected one value a row"),
        ({"ids": np.array([["a"], ["b"], ["c"]])}, r"ids has the shape \(3, 1\), expected one value a row"),
        ({"labels": np.array(1), "classes": np.array(["x", "y"])}, r"labels has the shape \(\), expected one value"),
        ({"labels": np.array("x")}, r"labels has the shape \(\)"),
        ({"classes": np.array("x")}, r"classes has the shape \(\)"),
        ({"groups": np.array("x")}, r"groups has the shape \(\)"),
        ({"seconds": np.array(1.0)}, r"seconds has the shape \(\)"),
        ({"seconds": np.array(["1", "2", "3"])}, "seconds are <U1, expected numbers"),
        ({"manifest": np.array("[1]")}, "the manifest is a list, expected an object of JSON; embed anew"),
        ({"manifest": np.array('{"encoder": "x"}')}, "encoder is 'x' in the manifest, expected an object; embed anew"),
        ({"labels": np.array(["x", "z", "x"]), "classes": np.array(["x", "y"])}, "label 'z' is none of its classes"),
    ],
)
def test_what_does_not_fit_is_said_in_one_sentence(tmp_path, arrays, message):
    with pytest.raises(BadInput, match=message) as error:
        vectors.read(an_npz(tmp_path / "x.npz", **arrays))
    assert "\n" not in str(error.value) and "x.npz" in str(error.value)


def test_vectors_without_a_number_or_a_direction_are_named(tmp_path):
    found = values()
    found[1, 2] = np.nan
    with pytest.raises(BadInput, match=r"1 vector is NaN or infinite \(b/c, d\), expected finite ones"):
        vectors.read(a_folder(tmp_path / "nan", found), zeros=True)
    found = values()
    found[:2] = 0
    folder = a_folder(tmp_path / "zero", found)
    with pytest.raises(BadInput, match=r"2 vectors are all zeros \(a, b/c, d\)"):
        vectors.read(folder)
    assert vectors.read(folder, zeros=True).vectors[2].any()


def changed(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "index.csv").unlink(), "lacks index.csv, expected a folder with"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "manifest.json: is no JSON"),
        (lambda folder: (folder / "manifest.json").write_text('{"format": 9}'), "is of format 9, expected at most 1"),
        (lambda folder: (folder / "vectors.npy").write_bytes(b"\x93NUMPY"), "vectors.npy: cannot be read"),
        (
            lambda folder: (folder / "index.csv").write_text("key,label\na,dog\n"),
            "has the columns key, label, expected",
        ),
        (lambda folder: (folder / "index.csv").write_text(""), "has the columns , expected key, label"),
        (
            lambda folder: (folder / "index.csv").write_bytes(b"key\xff"),
            r"index.csv: cannot be read \('utf-8' .*\), expected a csv in UTF-8; embed anew",
        ),
        (
            lambda folder: changed(folder / "index.csv", "1.5000", "abc"),
            "index.csv: seconds is 'abc' in line 2, expected a number; embed anew",
        ),
        (lambda folder: changed(folder / "index.csv", ",2,park", ",2.5,park"), "windows is '2.5' in line 2, expected"),
        (
            lambda folder: changed(folder / "manifest.json", '"longer": 2', '"longer": "no"'),
            "manifest.json: longer is 'no' in the manifest, expected a whole number; embed anew",
        ),
        (lambda folder: (folder / "manifest.json").write_text("[1]"), "manifest.json: is of format list, expected 1"),
        (
            lambda folder: (folder / "manifest.json").write_text('{"format": 1, "classes": 5}'),
            "classes is 5 in the manifest, expected a list",
        ),
        (
            lambda folder: (folder / "manifest.json").write_text('{"format": 1, "classes": [5]}'),
            r"classes are \[5\] in the manifest, expected texts",
        ),
        (
            lambda folder: changed(folder / "manifest.json", '"longer": 2', '"longer": 2, "label_rows": [[0], [2]]'),
            "label_rows in the manifest are no lists of classes' places, one a class; embed anew",
        ),
        (
            lambda folder: an_npz(folder / "x.npz").rename(folder / "vectors.npy"),
            "vectors.npy: holds several arrays, expected the vectors alone",
        ),
    ],
)
def test_a_damaged_folder_is_said(tmp_path, damage, message):
    damage(a_folder(tmp_path))
    with pytest.raises(BadInput, match=message):
        vectors.read(tmp_path)


def test_other_files_and_unfinished_folders_are_said(tmp_path):
    with pytest.raises(BadInput, match="no such folder or file, expected a folder with"):
        vectors.read(tmp_path / "nothing")
    np.save(tmp_path / "x.npy", values())
    with pytest.raises(BadInput, match="holds one array, expected"):
        vectors.read(tmp_path / "x.npy")
    (tmp_path / "x.txt").write_text("words")
    with pytest.raises(BadInput, match="cannot be read"):
        vectors.read(tmp_path / "x.txt")
    (tmp_path / "parts").mkdir()
    with pytest.raises(BadInput, match="it is unfinished: give the command that embeds again"):
        vectors.read(tmp_path)


def test_embeddings_of_another_network_are_refused_with_both_hashes(tmp_path):
    found = vectors.read(a_folder(tmp_path))
    windows = MANIFEST["long"]
    vectors.check_encoder(found, "out/net", "a" * 64, FRONT, windows)
    with pytest.raises(
        BadInput, match=rf"made by the encoder {'a' * 16}, but that of --checkpoint=out/net is b{{16}},"
    ):
        vectors.check_encoder(found, "out/net", "b" * 64, FRONT)
    with pytest.raises(BadInput, match=f"made by the front end {ENCODER['front_end_hash']}, but that of"):
        vectors.check_encoder(found, "out/net", "a" * 64, {**FRONT, "n_mels": 64})
    with pytest.raises(
        BadInput, match=r"2 recordings were longer .* with --long=windows:overlap=0.5, expected --long=first"
    ):
        vectors.check_encoder(found, "out/net", "a" * 64, FRONT, "first")
    short = vectors.read(a_folder(tmp_path / "short", longer=0))
    vectors.check_encoder(short, "out/net", "a" * 64, FRONT, "first")  # no recording was longer


def test_several_are_read_together_if_they_go_together(tmp_path):
    one = a_folder(tmp_path / "one")
    other = an_npz(tmp_path / "other.npz")
    assert [found.place for found in vectors.read_all([one, other])] == [str(one), str(other)]
    for name, changes, message in (
        ("hash", {"encoder": {**ENCODER, "hash": "b" * 64}}, f"with encoder {'a' * 16} and {'b' * 16}, expected the"),
        ("rule", {"long": "first"}, "rules of long recordings windows:overlap=0.5 and first"),
    ):
        with pytest.raises(BadInput, match=message):
            vectors.read_all([one, a_folder(tmp_path / name, **changes)])
    with pytest.raises(BadInput, match="made with width 4 and 5, expected the same"):
        vectors.read_all([one, a_folder(tmp_path / "wide", values(3, 5))])
    with pytest.raises(BadInput, match="--embeddings: names nothing"):
        vectors.read_all([])


def test_a_manifest_is_what_json_says_everywhere(tmp_path):
    text = (a_folder(tmp_path) / "manifest.json").read_text()
    assert json.loads(text)["format"] == 1 and text.endswith("}\n")


def test_clips_with_several_labels_have_rows_of_them(tmp_path):
    rows = [(key, label, *[""] * 6) for key, label in zip("abc", ("dog;cat", "", "dog"), strict=True)]
    vector_files.write(tmp_path / "f", [values()], rows, 4, {**MANIFEST, "several_labels": True})
    found = vectors.read(tmp_path / "f")
    assert found.label_rows.tolist() == [[1, 1], [0, 0], [0, 1]] and found.labels.tolist() == [1, -1, 1]
    vectors.export_npz(found, tmp_path / "f.npz")
    again = vectors.read(tmp_path / "f.npz")
    assert again.digest == found.digest and np.array_equal(again.label_rows, found.label_rows)
    assert vectors.read(a_folder(tmp_path / "one")).label_rows is None
    together = vectors.read(a_folder(tmp_path / "reef", label_rows=[[0], [0, 1]]))
    assert together.label_rows.tolist() == [[0, 0], [1, 1], [1, 1]]
    rows[0] = ("a", "dog;cow", *[""] * 6)
    vector_files.write(tmp_path / "bad", [values()], rows, 4, {**MANIFEST, "several_labels": True})
    with pytest.raises(BadInput, match=r"index\.csv: label 'cow' is none of its classes, expected cat, dog"):
        vectors.read(tmp_path / "bad")
    with pytest.raises(BadInput, match=r"label_rows are uint8 \(3, 3\), expected uint8 \(3, 2\) of 0 and 1"):
        vectors.read(an_npz(tmp_path / "bad.npz", classes=np.array(["x", "y"]), label_rows=np.zeros((3, 3), np.uint8)))
    rows, classes = np.array([[1, 1], [0, 0], [0, 1]], np.uint8), np.array(["x", "y"])
    assert vectors.read(an_npz(tmp_path / "c.npz", classes=classes, label_rows=rows)).labels.tolist() == [0, -1, 1]
    with pytest.raises(BadInput, match="label and label_rows of 'b' say different things"):
        vectors.read(an_npz(tmp_path / "d.npz", classes=classes, label_rows=rows, labels=np.array([0, 0, 1])))


def test_classes_take_another_order_with_their_labels():
    rows = np.array([[1, 0, 0], [0, 1, 1], [0, 0, 0]], np.uint8)
    found = vectors.Vectors("here", ("a", "b", "c"), np.eye(3, dtype=np.float32), np.array([0, 1, -1]), ("x", "y", "z"))
    found = found._replace(label_rows=rows)
    turned = found.in_order_of(("z", "x", "y"))
    assert [turned.classes[k] if k >= 0 else "" for k in turned.labels] == ["x", "y", ""]
    assert turned.label_rows.tolist() == [[0, 1, 0], [1, 0, 1], [0, 0, 0]]
    more = found.in_order_of(("y", "v", "z", "x"))
    assert (more.labels.tolist(), more.label_rows.tolist()) == ([3, 0, -1], [[0, 0, 0, 1], [1, 0, 1, 0], [0] * 4])
    assert found.in_order_of(("x", "y", "w")) is found and found.in_order_of(found.classes) is found
