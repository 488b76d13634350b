"""Asking a service about recordings: a client as others may write theirs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

from dhauds_jax.data import formats, recordings
from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.estimates import say
from dhauds_jax.files import check_file, printable, write_csv
from dhauds_jax.progress import progress_bar
from dhauds_jax.runs.requests.ask import NEW, AskRun
from dhauds_jax.wording import counted

COLUMNS = ("file", "label", "confidence", "seconds", "notices", "error")
"""Of the csv file."""

SOURCE = "source_label"
"""One more column where a session was asked: what the source model says."""

BEST = "best"
"""One more where the service has a threshold: the class that is the label unless that is unknown."""

SENT = ("WAV", "FLAC", "OGG")
"""The formats that a service takes; of folders nothing else is sent."""

PARTLY = 1
"""Exit code where some recordings got no answer; the others are labelled."""

TRIES = 6
"""How often a recording is sent to a service that is full."""


UNREAD = -1
"""The status of a recording that could not be read."""


class Said(NamedTuple):
    """What the service says of a recording.

    Attributes:
      label: the class; "" where there is an error.
      confidence: its probability.
      seconds: of the recording.
      notices: what was done to it, as sentences.
      error: the service's sentence.
      source: the source model's label, where a session answered and the service gives it.
      best: the best class, where the label may be unknown instead.
      status: of HTTP; 0 where no service answered, `UNREAD` where nothing was sent.
    """

    label: str = ""
    confidence: float = 0.0
    seconds: float = 0.0
    notices: str = ""
    error: str = ""
    status: int = 200
    source: str = ""
    best: str = ""


def ask(run: AskRun) -> tuple[str, int]:
    """Sends recordings, writes the labels; returns the sentence that says where they are, and the exit code.

    Raises:
      BadInput: no recordings, labels that would be lost, no service, a service that refuses all of them, or httpx is
        not installed.
    """
    try:
        import httpx
    except ImportError as error:
        raise BadInput("httpx is not installed, expected: pip install 'dhauds_jax[serve]'") from error

    check_number("--clients", run.clients, 1, 256)
    check_number("--timeout_s", run.timeout_s, 0.0, above=True)
    _check_output(run)
    _check_url(run.url)
    files = found(run.audio)
    with httpx.Client(base_url=run.url, headers=_token(run.token_file), timeout=run.timeout_s) as client:
        try:
            session = _opened(client, run.session)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise _nobody(run, _told(error)) from None
        answers = _answers(client, files, session, 1 if session else run.clients)
        if not any(said.status for said in answers):
            raise _nobody(run, answers[0].error)
        bad = [(name, said) for (name, _), said in zip(files, answers) if said.error]
        if len(bad) < len(files):  # a file without labels would only be in the way of the next try
            write_csv(Path(run.output), _table(files, answers))
        after = _closed(client, session, run)
    if len(bad) == len(files):
        raise BadInput(
            f"none of {counted(len(files), 'recording')} was answered, the first: {bad[0][0]}: {bad[0][1].error}"
        )
    refused = f", {len(bad)} refused (the first: {bad[0][0]}: {bad[0][1].error})" if bad else ""
    text = f"{counted(len(files) - len(bad), 'recording')} labelled{refused}: {run.output}{after}"
    return text, PARTLY if bad else 0


def _check_output(run: AskRun) -> None:
    """Raises `BadInput` where nothing can be written, or labels would be lost."""
    check_file(Path(run.output), "output")
    if Path(run.output).exists() and not run.overwrite:
        raise BadInput(f"--output={run.output}: is there already; give another name, or --overwrite to replace it")


def _check_url(url: str) -> None:
    if not url.lower().startswith(("http://", "https://")):
        raise BadInput(f"--url={url}: expected an address with http:// before it, such as http://127.0.0.1:8080")


def _nobody(run: AskRun, said: str) -> BadInput:
    return BadInput(f"--url={run.url}: no service answers ({said}), expected experiments.serve to run there")


def _told(error: Exception) -> str:
    return str(error) or type(error).__name__


def found(places: Sequence[str]) -> list[tuple[str, Path]]:
    """The recordings of files and folders, by name.

    Raises:
      BadInput: a place where there is none.
    """
    listed = []
    for place in places:
        if not Path(place).is_dir() and not Path(place).is_file():
            raise BadInput(f"--audio={place}: no such file or folder, expected recordings (wav, flac or ogg)")
        paths = _of_folder(place) if Path(place).is_dir() else [Path(place)]
        listed += [(printable(path.as_posix()), path) for path in paths]
    return listed


def _of_folder(place: str) -> list[Path]:
    """What a service takes of a folder; of the rest the kinds are said."""
    expected = "wav, flac or ogg recordings"
    one = recordings.find(place, "audio", expected)
    taken = [path for path in one.paths if formats.READ.get(path.suffix.lower()) in SENT]
    others = formats.left_out([path for path in one.paths if path not in set(taken)], one.root)
    if not taken:
        raise BadInput(f"--audio={place}: {'; '.join((*others, *one.notices))}, expected {expected}")
    for notice in (*others, *one.notices):
        say(f"note: --audio={place}: {notice}")
    return taken


def _token(path: str | None) -> dict[str, str]:
    if path is None:
        return {}
    if not Path(path).is_file():
        raise BadInput(f"--token_file={path}: no such file, expected one whose first line is the token")
    return {"Authorization": f"Bearer {Path(path).read_text(encoding='utf-8').strip().partition(chr(10))[0]}"}


def _opened(client: Any, session: str) -> str:
    """The name of the session that is asked, "" for none."""
    if session != NEW:
        return session
    response = client.post("/v1/sessions")
    if response.status_code != 201:
        raise BadInput(f"--session={NEW}: {sentence(response)}")
    return response.json()["session"]


def _closed(client: Any, session: str, run: AskRun) -> str:
    """What is said of a session at the end, which is closed unless it is to be kept or was there before."""
    if not session:
        return ""
    import httpx

    again = f"--session={session}"
    try:
        response = client.get(f"/v1/sessions/{session}")
        if response.status_code != 200:
            return f"; the session cannot be asked: {sentence(response)}"
        told = response.json()
        if run.session == NEW and not run.keep_session:
            response = client.delete(f"/v1/sessions/{session}")
            if response.status_code != 200:
                return f"; the session could not be closed: {sentence(response)}: {again}"
    except (httpx.TransportError, ValueError) as error:
        return f"; of the session nothing is known ({_told(error)}): {again}"
    said = f"; the session learnt {counted(told.get('updates', 0), 'time')} and went back {told.get('rollbacks', 0)}"
    if run.session != NEW or run.keep_session:
        return f"{said}; it stays open: {again}"
    return said


def _answers(client: Any, files: Sequence[tuple[str, Path]], session: str, clients: int) -> list[Said]:
    import httpx

    headers = {"X-Session-Id": session} if session else {}

    def one(file: tuple[str, Path]) -> Said:
        """One that cannot be read or sent is a row with an error: the others keep their labels."""
        try:
            body = file[1].read_bytes()
        except OSError as error:
            return Said(error=f"it cannot be read ({error.strerror or error})", status=UNREAD)
        try:
            return answer(lambda: client.post("/v1/classify", content=body, headers=headers))
        except (httpx.TransportError, httpx.InvalidURL) as error:
            return Said(error=_told(error), status=0)

    with ThreadPoolExecutor(clients) as threads:
        try:
            return list(progress_bar(threads.map(one, files), desc="ask", total=len(files), unit="file", whole=True))
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise


def answer(send: Callable[[], Any], pause: Callable[[float], Any] = time.sleep) -> Said:
    """What the service says at last: one that is full says when to come again.

    Args:
      send: sends the recording, gives an httpx response.
      pause: waits for some seconds.
    """
    for left in reversed(range(TRIES)):
        response = send()
        again = response.headers.get("retry-after", "")
        if response.status_code not in (429, 503) or not left or not again.isdecimal():
            break
        pause(float(again))
    if response.status_code != 200:
        return Said(error=sentence(response), status=response.status_code)
    said = response.json()
    notices = "; ".join(notice["message"] for notice in said["notices"])
    source = (said.get("source") or {}).get("label", "")
    return Said(said["label"], said["confidence"], said["seconds"], notices, source=source, best=said.get("best", ""))


def sentence(response: Any) -> str:
    """What the service says of a request that it refuses."""
    try:
        error = response.json()["error"]
        expected = f", expected {error['expected']}" if error["expected"] else ""
        given = " (--token_file)" if response.status_code == HTTPStatus.UNAUTHORIZED else ""
        return f"{error['message']}{expected}{given}"
    except (ValueError, KeyError, TypeError):
        return f"HTTP {response.status_code} without a sentence: is this a service of experiments.serve?"


def _table(files: Sequence[tuple[str, Path]], answers: Sequence[Said]) -> list[tuple[object, ...]]:
    """The rows of the csv file; the source model's labels and the best classes are its last columns where there are."""
    rows = [COLUMNS, *(_row(name, said) for (name, _), said in zip(files, answers))]
    for name, column in ((SOURCE, [said.source for said in answers]), (BEST, [said.best for said in answers])):
        if any(column):
            rows = [(*row, more) for row, more in zip(rows, (name, *column))]
    return rows


def _row(name: str, said: Said) -> tuple[object, ...]:
    if said.error:
        return (name, "", "", "", "", said.error)
    return (name, said.label, f"{said.confidence:.6f}", f"{said.seconds:.3f}", said.notices, "")
