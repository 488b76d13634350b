"""The sessions of a service, from its flags."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from dhauds_jax import registry
from dhauds_jax.estimates import say
from dhauds_jax.files import check_folder
from dhauds_jax.model import Model
from dhauds_jax.model.rejecting import Rejecting
from dhauds_jax.nets.checkpoint import variables_hash
from dhauds_jax.serve import adaptation, canary, filters, holding, sessions
from dhauds_jax.serve.adaptation import Adaptation
from dhauds_jax.serve.contracts import Served
from dhauds_jax.serve.guards import Limits
from dhauds_jax.serve.holding import Keeping
from dhauds_jax.serve.request import ServeRun
from dhauds_jax.serve.sessions import Sessions
from dhauds_jax.serve.snapshots import Snapshots
from dhauds_jax.tta.options import parse_options
from dhauds_jax.wording import counted


def made(
    run: ServeRun,
    served: Served,
    model: Model,
    tag: str = "",
    clock: Callable[[], float] = time.monotonic,
    rule: Rejecting | None = None,
) -> Sessions:
    """Sessions over a served model, not compiled yet.

    `tag` is what their names begin with; `clock` gives the seconds by which clips are over-frequent; `rule` says
    which recordings are unknown.

    Raises:
      BadInput: what cannot be adapted so.
    """
    how = how_of(run)
    keeping = Keeping(run.max_sessions, run.idle_s, shared=run.adapt == "shared", tag=tag)
    adaptation.check(how)
    holding.check(keeping)
    if run.session_dir is not None:
        with contextlib.suppress(
            OSError
        ):  # `check_folder` says why; it takes away what it made, and replicas are several
            Path(run.session_dir).mkdir(parents=True, exist_ok=True)
        check_folder(Path(run.session_dir), "session_dir")
    if keeping.shared:
        say(f"note: {sessions.SHARED_WARNING}")
    labelled = None if run.canary is None else canary.read(run.canary, model, served.classes)
    snapshots = None if run.session_dir is None else _snapshots(run, identity(run, how, model))
    return Sessions(served, model, how, keeping, labelled, snapshots, clock, rule)


def _snapshots(run: ServeRun, identity: dict[str, object]) -> Snapshots:
    return Snapshots(run.session_dir, identity, say, int(run.session_dir_mb * 2**20))


def told(run: ServeRun, sessions: Sessions) -> str:
    """How sessions adapt and where they are kept, of sessions that are warm."""
    held = "none (--canary)" if (one := sessions.canary) is None else _canary(run, one)
    kept = "in memory alone (--session_dir keeps them over a restart)"
    if sessions.snapshots is not None:
        own, others = sessions.snapshots.count()
        kept = f"kept in {run.session_dir} ({own} found"
        kept += f", and {others} of another model, method or options, which are unknown here)" if others else ")"
    return (
        f"adapts by {run.method}, {run.adapt_batch} clips an update; canary: {held}; "
        f"{'the shared session is' if run.adapt == 'shared' else 'sessions are'} {kept}"
    )


def _canary(run: ServeRun, held: canary.Canary) -> str:
    share = 100 * held.source_right.mean()
    return f"{counted(len(held.labels), 'clip')} of {run.canary}, the source model has {share:.1f} % of them right"


def how_of(run: ServeRun) -> Adaptation:
    """How sessions adapt."""
    limits = Limits(canary_drop=run.canary_drop, max_drift=run.max_drift)
    return Adaptation(
        run.method,
        parse_options(run.method, run.profile, run.options, [run.method]),
        adapt_batch=run.adapt_batch,
        update=run.update,
        limits=limits,
        filters=filters.Filters() if run.filters else filters.NONE,
        shadow=run.shadow,
        seed=run.seed,
    )


def identity(run: ServeRun, how: Adaptation, model: Model) -> dict[str, object]:
    """What the states of sessions belong to: weights, method, options and the update's size."""
    return {
        "weights": variables_hash(model.variables),
        "method": how.method,
        "method_source": registry.source_digest(how.method),
        "options": {name: str(value) for name, value in how.options.items()},
        "adapt_batch": how.adapt_batch,
        "shared": run.adapt == "shared",
    }
