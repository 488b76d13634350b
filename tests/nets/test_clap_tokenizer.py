"""RoBERTa's tokenizer from a user's files: transformers' numbers, the marks, buckets, and every bad folder."""

import json
import random
import sys

import numpy as np
import pytest

from dhauds_jax.nets.clap_tokenizer import BUCKETS, Tokenizer, bucket, digest, files_of, padded
from tests.nets.clap import SENTENCES, write_vocabulary

pytest.importorskip("tokenizers", reason="reads and trains vocabularies")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_vocabulary(tmp_path_factory.mktemp("vocabulary"))


def strings(count):
    """Sentences, words in any order, spaces, signs, other scripts, and text that looks like a mark."""
    draw = random.Random(0)
    words = " ".join(SENTENCES).split()
    signs = [
        "",
        " ",
        "  ",
        "\n",
        "\t",
        "'s",
        "!?",
        "—",
        "ß",
        "日本",
        "😀",
        "1,234.5",
        "_",
        "É",
        "<s>",
        "</s>",
        "<x>",
        "\x00",
    ]
    made = ["", " ", "a" * 400, *signs]
    while len(made) < count:
        parts = draw.choices(words + signs, k=draw.randrange(1, 60))
        made.append(draw.choice(["", " "]).join(parts))
    return made


@pytest.mark.slow
@pytest.mark.parametrize("whole", [False, True], ids=["vocab.json", "tokenizer.json"])
def test_the_numbers_are_those_of_transformers(folder, whole, tmp_path):
    transformers = pytest.importorskip("transformers", reason="is the other side")
    theirs = transformers.RobertaTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    texts = strings(500)
    found = Tokenizer(write_vocabulary(tmp_path, whole=True) if whole else folder)(texts)
    wanted = theirs(texts, truncation=True, max_length=77, padding="max_length", return_tensors="np")
    ids, mask = padded(found.rows, 77)
    np.testing.assert_array_equal(ids, wanted["input_ids"])
    np.testing.assert_array_equal(mask, wanted["attention_mask"].astype(bool))
    longer = [i for i, row in enumerate(theirs(texts)["input_ids"]) if len(row) > 77]
    assert list(found.cut) == longer and len(longer) > 50


def test_marks_stand_around_and_long_sentences_are_cut(folder):
    tokenizer = Tokenizer(folder)
    found = tokenizer(["", "rain", "siren " * 100])
    assert found.rows[0] == (0, 2) and found.cut == (2,)
    assert len(found.rows[2]) == 77 and found.rows[2][0] == 0 and found.rows[2][-1] == 2
    assert len(Tokenizer(folder, 12)(["siren " * 100]).rows[0]) == 12
    assert max(max(row) for row in found.rows) < tokenizer.size <= 400


def test_buckets_and_padding():
    assert [bucket(n) for n in (2, 8, 9, 16, 17, 32, 33, 77, 90)] == [8, 8, 16, 16, 32, 32, 77, 77, 77]
    assert [bucket(n, 28) for n in (2, 9, 17, 28)] == [8, 16, 28, 28] and BUCKETS == (8, 16, 32, 77)
    ids, mask = padded([(0, 5, 2), (0, 2)], 4)
    np.testing.assert_array_equal(ids, [[0, 5, 2, 1], [0, 2, 1, 1]])
    np.testing.assert_array_equal(mask, [[1, 1, 1, 0], [1, 1, 0, 0]])


def test_one_file_gives_the_numbers_of_two_and_is_preferred(folder, tmp_path):
    whole = write_vocabulary(tmp_path, whole=True)
    assert Tokenizer(whole)(SENTENCES) == Tokenizer(folder)(SENTENCES)
    (whole / "vocab.json").write_text("{}")
    (whole / "merges.txt").write_text("")
    assert [path.name for path in files_of(whole)] == ["tokenizer.json"]
    assert digest(whole) != digest(folder) and len(digest(folder)) == 64 and digest(tmp_path / "none") == ""


def test_a_file_s_own_padding_and_cutting_are_left_aside(tmp_path):
    whole = write_vocabulary(tmp_path, whole=True) / "tokenizer.json"
    record = json.loads(whole.read_text())
    record["padding"] = {
        "strategy": {"Fixed": 30}, "direction": "Left", "pad_to_multiple_of": None,
        "pad_id": 1, "pad_type_id": 0, "pad_token": "<pad>",
    }  # fmt: skip
    record["truncation"] = {"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0}
    plain = Tokenizer(tmp_path)(SENTENCES)
    whole.write_text(json.dumps(record))
    assert Tokenizer(tmp_path)(SENTENCES) == plain


def spoil(name, change):
    def done(folder):
        path = folder / name
        change(path)
        return folder

    return done


def renumber(path):
    record = json.loads(path.read_text())
    record["<pad>"], record["<s>"] = record["<s>"], record["<pad>"]
    path.write_text(json.dumps(record))


def without_marks_around(folder):
    whole = write_vocabulary(folder, whole=True) / "tokenizer.json"
    record = json.loads(whole.read_text())
    whole.write_text(json.dumps({**record, "post_processor": None}))
    return folder


@pytest.mark.parametrize(
    ("spoilt", "words"),
    [
        (
            spoil("merges.txt", lambda path: path.unlink()),
            r"no such files, expected a folder with tokenizer.json, or voc",
        ),
        (
            spoil("vocab.json", lambda path: path.write_text("<html>")),
            r"is no tokenizer \(.*\), expected tokenizer.json",
        ),
        (
            spoil("tokenizer.json", lambda path: path.write_text("{}")),
            r"is no tokenizer \(.*\), expected tokenizer.json",
        ),
        (spoil("vocab.json", renumber), r"numbers its marks \{'<s>': 1, '<pad>': 0, '</s>': 2\}, expected .*: another"),
        (without_marks_around, r"puts no <s> and </s> around sentences, expected RoBERTa's"),
    ],
)
def test_another_folder_is_refused_in_one_sentence(spoilt, words, tmp_path):
    folder = spoilt(write_vocabulary(tmp_path))
    with pytest.raises(ValueError, match=words) as error:
        Tokenizer(folder)
    assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)


def test_the_missing_package_names_its_extra(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ValueError, match=r"needs tokenizers, which is not installed: pip install 'dhauds_jax\[text\]'"):
        Tokenizer(folder)
