"""What `experiments.load` is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from dhauds_jax.requests import Request, flag


@dataclass(frozen=True, kw_only=True)
class LoadRun(Request):
    """The flags of `experiments.load`."""

    url: str | None = flag("Address of a service that runs, such as http://127.0.0.1:8080.", None)
    serve: str | None = flag(
        "In place of --url: flags of experiments.serve, NAME=VALUE with spaces between. The service is started on a "
        "free port of this machine, and stopped at the end.",
        None,
    )
    compare: str | None = flag(
        "A second service, asked in turn with the first: its address, or of --serve a flag that differs, NAME:VALUE, "
        "such as max_batch:1.",
        None,
    )
    audio_dir: str | None = flag(
        "Recordings that are sent as they are, in turn: a file or a folder. Default: noisy tones, 16-bit wav.", None
    )
    clip_s: float = flag("Seconds of such a tone.", 1.0)
    clip_rate: int = flag("Samples of it a second, in Hz.", 16_000)
    route: str = flag("What is asked.", "/v1/classify")
    clients: int = flag("Connections, and so requests under way, at most.", 50)
    requests: int = flag("Requests to each service.", 5_000)
    rate: float = flag(
        "Requests a second at random moments (an open loop; latency counts from the planned moment); 0: each client "
        "asks again when it has its answer (a closed loop).",
        0.0,
    )
    blocks: int = flag("Parts that the requests are sent in; with --compare the services take turns by it.", 4)
    longest_s: float = flag("Seconds after which a part sends nothing more.", 120.0)
    timeout_s: float = flag("Seconds after which a request counts as lost.", 30.0)
    token_file: str | None = flag("A file whose first line is sent as Authorization: Bearer.", None)
    allow_remote: bool = flag("Send to other machines too, whose owner agrees.", False)
    seed: int = flag("Seed of the moments and the tones.", 0)
    json: bool = flag("Print one JSON object in place of the table.", False)
