"""Asking a service: the table, the service's own sentences, sessions, and what is said where nobody answers."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from dhauds_jax.errors import BadInput
from dhauds_jax.runs import ask
from dhauds_jax.runs.requests.ask import AskRun
from tests.serve.serving import CLASSES, RATE, FakeSessions, served, tone
from tests.serve.tiny_server import Tiny


@pytest.fixture(scope="module")
def service():
    with served(FakeSessions(), tokens=(b"secret",)) as running:
        yield running


@pytest.fixture
def asked(service, tmp_path):
    def request(*audio, **more):
        token = tmp_path / "token"
        token.write_text("secret\nanother\n")
        places = {
            "url": f"http://127.0.0.1:{service.port}",
            "output": str(tmp_path / "out" / "labels.csv"),
            "overwrite": True,
        }
        return AskRun(**{**places, "token_file": str(token), "audio": [str(one) for one in audio], **more})

    return request


def rows(run):
    with open(run.output, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_files_and_folders_become_a_table(asked, tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    for name, seed in (("a/2.wav", 1), ("a/b/3.wav", 2), ("1.wav", 0)):
        soundfile.write(tmp_path / name, tone(1_500, seed), 2 * RATE)
    (tmp_path / "a" / "bad.wav").write_bytes(b"no sound")
    run = asked(tmp_path / "1.wav", tmp_path / "a")
    said, code = ask.ask(run)
    assert code == 1
    assert said.startswith("3 recordings labelled, 1 refused (the first: ") and said.endswith(f": {run.output}")
    found = rows(run)
    assert [row["file"].rpartition("/")[2] for row in found] == ["1.wav", "2.wav", "3.wav", "bad.wav"]
    assert tuple(found[0]) == ask.COLUMNS
    assert all(row["label"] in CLASSES and 1 / 3 < float(row["confidence"]) <= 1 for row in found[:3])
    assert found[0]["notices"].startswith("resampled from 16000 Hz to 8000 Hz; 0.0938 s is less")
    assert found[3]["label"] == "" and found[3]["error"].startswith("the body is another format, expected a wav (8, 16")


def test_what_is_not_installed_is_said(monkeypatch):
    """Before, a traceback and "this is a bug" where the package was installed without its extra."""
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(BadInput, match=r"^httpx is not installed, expected: pip install 'dhauds_jax\[serve\]'$"):
        ask.ask(AskRun(url="http://127.0.0.1:1", audio=["."], output="labels.csv"))


def test_where_labels_may_be_unknown_the_best_class_has_a_column():
    files = [("a.wav", Path("a.wav")), ("b.wav", Path("b.wav"))]
    table = ask._table(files, [ask.Said("unknown", 0.4, 1.0, best="dog"), ask.Said("cat", 0.9, 1.0, best="cat")])
    assert [row[-1] for row in table] == ["best", "dog", "cat"] and [row[1] for row in table] == [
        "label",
        "unknown",
        "cat",
    ]


def test_a_session_is_opened_asked_in_order_and_closed(asked, service, tmp_path):
    for number in range(3):
        soundfile.write(tmp_path / f"{number}.wav", tone(seed=number), RATE)
    network = service.service.compute.predictor
    before = len(network.batches)
    assert "; the session learnt 3 times and went back 1" in ask.ask(asked(tmp_path, session="new"))[0]
    name = next(iter(network.closed))
    assert [batch for batch in network.batches[before:]] == [(name, 1, 1)] * 3
    said, code = ask.ask(asked(tmp_path, session="new", keep_session=True))
    assert code == 0
    kept = said.rpartition("--session=")[2]
    assert kept in network.names
    assert ask.ask(asked(tmp_path, session=kept))[0].endswith(f"it stays open: --session={kept}")
    with pytest.raises(
        BadInput, match=r"none of 3 recordings was answered, the first: .*0\.wav: the session is closed"
    ):
        ask.ask(asked(tmp_path, session=name))


def test_what_cannot_be_asked_is_said_in_one_sentence(asked, tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(100), RATE)
    with pytest.raises(
        BadInput, match=r"^--audio=.*nowhere: no such file or folder, expected recordings \(wav, flac or ogg\)$"
    ):
        ask.ask(asked(tmp_path / "nowhere"))
    with pytest.raises(
        BadInput, match=r"no token that is known here, expected the header Authorization: Bearer TOKEN \(--token_file\)"
    ):
        ask.ask(asked(tmp_path / "a.wav", token_file=None))
    with pytest.raises(
        BadInput, match=r"^--url=http://127\.0\.0\.1:1: no service answers \(.*\), expected experiments"
    ):
        ask.ask(asked(tmp_path / "a.wav", url="http://127.0.0.1:1"))
    with pytest.raises(BadInput, match=r"^--url=127\.0\.0\.1:1: expected an address with http:// before it"):
        ask.ask(asked(tmp_path / "a.wav", url="127.0.0.1:1"))
    with pytest.raises(BadInput, match=r"^--token_file=nowhere: no such file"):
        ask.ask(asked(tmp_path / "a.wav", token_file="nowhere"))


def test_one_recording_without_an_answer_costs_its_own_row(tmp_path):
    """The service leaves at the third recording, and knows no session."""
    good = b'{"label": "bark", "confidence": 0.5, "seconds": 1.0, "notices": []}'

    def answers(number, head, body):
        if head.startswith("GET /v1/sessions"):
            return b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}"
        return None if body == b"3" else b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(good), good)

    for name in "123":
        (tmp_path / f"{name}.wav").write_bytes(name.encode())
    with Tiny(answers) as tiny:
        run = AskRun(url=tiny.url, audio=[str(tmp_path)], output=str(tmp_path / "labels.csv"), session="abc", clients=1)
        said, _ = ask.ask(run)
    assert said.startswith("2 recordings labelled, 1 refused (the first: ")
    assert "; the session cannot be asked: HTTP 404 without a sentence" in said
    assert [row["label"] for row in rows(run)] == ["bark", "bark", ""] and rows(run)[2]["error"]


def test_labels_are_written_before_the_session_is_closed(tmp_path):
    """The service is gone when it is asked about the session."""
    good = b'{"label": "bark", "confidence": 0.5, "seconds": 1.0, "notices": []}'

    def answers(number, head, body):
        return None if number > 1 else b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(good), good)

    (tmp_path / "1.wav").write_bytes(b"1")
    with Tiny(answers) as tiny:
        run = AskRun(url=tiny.url, audio=[str(tmp_path)], output=str(tmp_path / "labels.csv"), session="abc")
        said, code = ask.ask(run)
    assert "; of the session nothing is known (" in said and said.endswith("): --session=abc")
    assert [row["label"] for row in rows(run)] == ["bark"] and code == 0
    with pytest.raises(BadInput, match=r"^--output=.*labels\.csv: is there already; .*--overwrite to replace it$"):
        ask.ask(run)


def test_what_a_service_does_not_take_is_said_and_not_sent(tmp_path, capsys):
    for name in ("a.wav", "b.mp3", "c.mp3", "d.aiff", "e.m4a"):
        (tmp_path / name).write_bytes(b"x")
    assert [path.name for _, path in ask.found([str(tmp_path)])] == ["a.wav"]
    said = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[2].partition(": ")[2].partition(" (")[0] for line in said] == [
        "2 .mp3 files were left out", "1 .aiff file was left out", "1 .m4a file was left out",
    ]  # fmt: skip
    (tmp_path / "a.wav").unlink()
    with pytest.raises(BadInput, match=r"^--audio=.*2 \.mp3 files .*, expected wav, flac or ogg recordings$"):
        ask.found([str(tmp_path)])
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match=r"^--audio=.*empty: 0 files and no .*, expected wav, flac or ogg recordings$"):
        ask.found([str(tmp_path / "empty")])


def test_the_source_models_label_is_a_column_where_a_session_says_it(tmp_path):
    good = b'{"label": "bark", "confidence": 0.5, "seconds": 1.0, "notices": [], "source": {"label": "meow"}}'
    (tmp_path / "1.wav").write_bytes(b"1")
    with Tiny(lambda *_: b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(good), good)) as tiny:
        run = AskRun(url=tiny.url, audio=[str(tmp_path)], output=str(tmp_path / "labels.csv"), session="abc")
        ask.ask(run)
    assert [(row["label"], row[ask.SOURCE]) for row in rows(run)] == [("bark", "meow")]


class Response:
    def __init__(self, status, again=None, said=None):
        self.status_code, self.headers = status, {} if again is None else {"retry-after": again}
        self._said = said

    def json(self):
        if self._said is None:
            raise ValueError
        return self._said


def test_a_full_service_is_asked_again_when_it_says():
    good = {"label": "bark", "confidence": 0.5, "seconds": 1.0, "notices": []}
    answers, pauses = iter([Response(503, "2"), Response(429, "3"), Response(200, said=good)]), []
    assert ask.answer(lambda: next(answers), pauses.append) == ask.Said("bark", 0.5, 1.0)
    assert pauses == [2.0, 3.0]
    pauses.clear()
    said = ask.answer(lambda: Response(503, "1"), pauses.append)
    assert said.status == 503 and len(pauses) == ask.TRIES - 1
    assert said.error == "HTTP 503 without a sentence: is this a service of experiments.serve?"
