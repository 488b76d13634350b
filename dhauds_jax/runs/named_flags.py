"""The flags of classes by name: what contradicts what, and which of them name results."""

from __future__ import annotations

from typing import Any

from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.runs.requests.named_classes import BACKGROUNDS, NamedClasses
from dhauds_jax.zeroshot import scorers
from dhauds_jax.zeroshot.request import ENTROPY, EQUAL

AUTO = "auto"

FILES = ("class_names", "background_dir", "known_dir")
"""Flags that name files; what those hold names results (`Named.digest`)."""


def settings(run: Any) -> dict[str, Any]:
    """The flags of named classes and of what is unknown that results follow from, those that say nothing left out."""
    named = {} if run.class_names is None else {name: getattr(run, name) for name in NamedClasses.names()}
    if named.get("template_weights") == EQUAL:
        del named["template_weights"]  # so that runs of before go on
    rates = {name: getattr(run, name) for name in ("reject", "reject_background")}
    return {name: value for name, value in {**named, **rates}.items() if value is not None and name not in FILES}


def check(run: Any) -> None:
    """Raises `BadInput`, in one sentence, for flags that contradict each other."""
    given = [name for name in BACKGROUNDS if getattr(run, name)]
    if len(given) > 1:
        raise BadInput(f"--{given[0]} and --{given[1]}: both say what was recorded over, expected one of them")
    if run.background_text is not None and not run.background_text.strip():
        raise BadInput("--background_text: is empty, expected a word or two such as park, or the flag left out")
    changed = [name for name, default in NamedClasses.defaults().items() if getattr(run, name) != default]
    if run.class_names is None:
        if changed == ["known_dir"]:
            raise BadInput(
                "--known_dir: is for classes by name, expected --class_names=FILE beside it; other classifiers have "
                "held-out scores for --reject where experiments.crossval or experiments.learn made the checkpoint"
            )
        if changed:
            raise BadInput(f"--{changed[0]}: needs classes by name, expected --class_names=FILE beside it")
        return
    if "background_weight" in changed and not given:
        raise BadInput(f"--background_weight: there is no background, expected one of --{', --'.join(BACKGROUNDS)}")
    if run.background_weight != AUTO:
        try:
            weight = float(run.background_weight)
        except ValueError:
            raise BadInput(
                f"--background_weight: {run.background_weight!r}, expected a number from 0 such as 0.5, or {AUTO}"
            ) from None
        check_number("--background_weight", weight, 0.0)
    members = scorers.members(scorer_of(run))
    for one in members:
        scorers.factory(one)
    if "subtract" in members and not given:
        raise BadInput(f"--scorer={run.scorer}: takes a background off, expected one of --{', --'.join(BACKGROUNDS)}")
    if "subtract" not in members and given:
        raise BadInput(
            f"--{given[0]}: scorer {run.scorer} takes no background off, expected --scorer=subtract or a chain with it"
        )
    if run.reject is not None and not run.known_dir:
        raise BadInput(
            "--reject: sentences have no held-out clips of their classes, expected --known_dir=FOLDER of recordings in "
            "which these sound (which need not be said), or --reject_background"
        )
    if run.known_dir and run.reject is None:
        raise BadInput("--known_dir: sets the threshold of unknown, expected --reject=0.05 or another rate beside it")
    if run.reject_background is not None and not run.background_dir:
        raise BadInput("--reject_background: needs recordings of the background, expected --background_dir=FOLDER")
    ahead = [f"--scorer={run.scorer}"] if "set" in scorers.make(scorer_of(run)).uses else []
    ahead += ["--background_weight=auto"] if run.background_weight == AUTO else []
    ahead += ["--background_quiet"] if run.background_quiet else []
    ahead += [f"--template_weights={ENTROPY}"] if run.template_weights == ENTROPY else []
    ahead += ["--scale=agreement"] if run.scale == "agreement" else []
    if run.online and ahead:
        raise BadInput(
            f"--online: {ahead[0]} looks at all recordings before the first, expected a run without --online"
        )
    if "treff" in members:
        raise BadInput("--scorer: treff needs labelled clips, expected another one here, or experiments.zeroshot")


def scorer_of(run: NamedClasses) -> str:
    """The name of the scorer: what the flag says, else subtract where there is a background."""
    return run.scorer or ("subtract" if any(getattr(run, name) for name in BACKGROUNDS) else "plain")
