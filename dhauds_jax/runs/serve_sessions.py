"""The sessions of a service, from its flags."""

from __future__ import annotations

import time
from collections.abc import Callable

from dhauds_jax import registry
from dhauds_jax.estimates import say
from dhauds_jax.model import Model
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


def made(
    run: ServeRun, served: Served, model: Model, tag: str = "", clock: Callable[[], float] = time.monotonic
) -> Sessions:
    """Sessions over a served model, not compiled yet.

    `tag` is what their names begin with; `clock` gives the seconds by which clips are over-frequent.

    Raises:
      BadInput: what cannot be adapted so.
    """
    how = how_of(run)
    keeping = Keeping(run.max_sessions, run.idle_s, shared=run.adapt == "shared", tag=tag)
    adaptation.check(how)
    holding.check(keeping)
    if keeping.shared:
        say(f"note: {sessions.SHARED_WARNING}")
    labelled = None if run.canary is None else canary.read(run.canary, model, served.classes)
    snapshots = None if run.session_dir is None else Snapshots(run.session_dir, identity(run, how, model), say)
    return Sessions(served, model, how, keeping, labelled, snapshots, clock)


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
