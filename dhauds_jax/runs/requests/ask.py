"""What `experiments.ask` is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dhauds_jax.requests import Request, flag

NEW = "new"
"""The session that is opened for a run."""


@dataclass(frozen=True, kw_only=True)
class AskRun(Request):
    """The flags of `experiments.ask`."""

    url: str = flag("Address of a service of experiments.serve.", "http://127.0.0.1:8080")
    audio: Sequence[str] = flag(
        "Recordings (wav, flac or ogg), and folders that are searched with their folders, comma between."
    )
    output: str = flag("A csv file with a row for each recording.", "labels.csv")
    overwrite: bool = flag("Replace --output if it is there.", False)
    session: str = flag(
        "new opens a session, which adapts to these recordings, one after the other in the order of their names; or "
        "the name of one that is open; empty asks the model as it is.",
        "",
    )
    keep_session: bool = flag("Leave a new session open at the end; its name is said.", False)
    clients: int = flag("Recordings that are sent at once; with --session one.", 4)
    timeout_s: float = flag("Seconds that one answer may take.", 60.0)
    token_file: str | None = flag("A file whose first line is the token that the service asks for.", None)
