"""What `experiments.serve` is asked for, as a record; its fields are the command's flags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dhauds_jax import names
from dhauds_jax.requests import Devices, Request, flag, like

ADAPT = ("none", "session", "shared")
"""Whether and for whom the model adapts while it serves."""

ENGINES = ("local", "ray")
"""What serves: this process, or replicas in a cluster."""

ADAPTING = (
    "method", "options", "adapt_batch", "update", "max_sessions", "idle_s", "session_dir", "session_dir_mb", "canary",
    "canary_drop", "max_drift", "filters", "shadow", "seed",
)  # fmt: skip
"""Flags that say nothing without `--adapt`."""

UPDATE = ("idle", "before_next")
"""When a session learns from a full buffer."""


@dataclass(frozen=True, kw_only=True)
class ServeRun(Request):
    """The flags of `experiments.serve`."""

    checkpoint: Sequence[str] = flag(
        "Folders of classifiers (experiments.train, converters.convert), comma between: their mean answers; or the "
        "name of one that comes with the package, such as words15."
    )
    views: str = flag(
        "Copies of each window that the answer is the mean over: shift:N or shift:N:SECONDS, each copy SECONDS (0.2) "
        "later than the one before.",
        "shift:1",
    )
    reject: float | None = flag(
        "Call recordings unknown so that at most this share of the left-out clips of the known classes is lost, 0 up "
        "to 1, as experiments.classify does; with a checkpoint that has such scores, as of learn or crossval.",
        None,
    )
    reject_background: float | None = flag(
        "Call recordings unknown so that at most this share of held-out windows of background keeps a name, 0 to 1; "
        "with a checkpoint that has such scores.",
        None,
    )
    host: str = flag("Address to listen at; 0.0.0.0 lets other machines in.", "127.0.0.1")
    port: int = flag("Port to listen at; 0 takes a free one, which is said.", 8080)
    max_batch: int = flag("Windows that are computed at once; powers of two up to it are compiled ahead.", 32)
    batch_wait_ms: float = flag("Milliseconds that the first of a batch waits for others, at most.", 5.0)
    max_queue: int = flag("Requests that may wait; more are refused (503).", 256)
    max_body_mb: float = flag("Megabytes of a request's body, at most (413 beyond).", 6.0)
    max_seconds: float = flag("Seconds of a recording, at most (422 beyond).", 60.0)
    max_memory_mb: float = flag(
        "Megabytes that the bodies and recordings of all requests take together, at most (503 beyond).", 1024.0
    )
    body_timeout_s: float = flag("Seconds in which a body must be here (408 after).", 10.0)
    deadline_s: float = flag("Seconds from a body to its answer (504 after); SageMaker waits 60.", 30.0)
    stuck_s: float = flag(
        "Seconds without a sign of life of the thread that computes, after which the process ends with code 4.", 60.0
    )
    overlap: float = flag("Share of a window that the next one of a long recording repeats, 0 up to below 1.", 0.0)
    decoders: int = flag("Processes that decode FLAC and Ogg.", 2)
    token_file: str | None = flag(
        "A file of tokens, one on each line: /v1, /v2 and /metrics then ask for Authorization: Bearer TOKEN; "
        "/invocations does not, as SageMaker passes none on.",
        None,
    )
    profile: str = flag(
        "reference (answers of /invocations say text/json, as published) or corrected.",
        "corrected",
        choices=names.PROFILES,
    )
    precision: str = like(Devices, "precision")
    convolution: str = flag(
        "How VGGish's convolutions are computed: direct; or winograd, faster on a CPU and as exact as float32 is, but "
        "each shape takes some seconds longer to compile.",
        "direct",
        choices=names.CONVOLUTIONS,
    )
    adapt: str = flag(
        "none; session: each client that opens a session has a model that adapts to it; shared: one adapting model "
        "for all, whom one client can mislead.",
        "none",
        choices=ADAPT,
    )
    method: str = flag("How sessions adapt (see docs/methods.md).", "t3a", names="method")
    options: Sequence[str] = flag("Options of the method, key=value (an unknown one lists them).", ())
    adapt_batch: int = flag("Clips that a session learns from at once.", 16)
    update: str = flag(
        "When a session learns: idle (when nobody waits) or before_next (before its next prediction, as protocol "
        "batch1).",
        "idle",
        choices=UPDATE,
    )
    max_sessions: int = flag("Sessions in memory at once.", 64)
    idle_s: float = flag("Seconds after which a session that nobody asks for leaves the memory.", 900.0)
    session_dir: str | None = flag("Folder in which sessions survive a restart.", None)
    session_dir_mb: float = flag(
        "Megabytes that --session_dir may hold; beyond, sessions that were asked for longest ago are removed.", 4096.0
    )
    canary: str | None = flag("Folder of labelled recordings, one folder a class, that every update is held to.", None)
    canary_drop: float = flag("Accuracy on the canary that an update may lose, 0 to 1.", 0.05)
    max_drift: float = flag(
        "Distance of the moving weights from the source's that an update may reach, in lengths of the source's own.",
        0.25,
    )
    filters: bool = flag("Do not learn from silent, clipped, repeated and over-frequent clips.", True)
    shadow: bool = flag("Compute the source model's answers beside a session's, and give them too.", True)
    seed: int = flag("Seed of the sessions' updates.", 0)
    engine: str = flag(
        "local: this process serves; ray: replicas of it in Ray Serve, on one machine or several.",
        "local",
        choices=ENGINES,
    )
    replicas: int = flag("Replicas of --engine=ray, each with a GPU or a share of the cores.", 1)
    ray_address: str = flag("Cluster of --engine=ray: local starts one here; else its address, or auto.", "local")
