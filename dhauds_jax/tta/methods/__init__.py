"""The adaptation methods by name. A new one: its file, one line in `METHODS`, one row in docs/methods.md."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from dhauds_jax.nets import masks
from dhauds_jax.tta.methods import (
    conmix,
    cotta,
    deyo,
    dhauds,
    eata,
    gala,
    lame,
    memo,
    norm,
    note,
    notela,
    ntta,
    pseudo_label,
    rdumb,
    roid,
    rotta,
    sar,
    shot,
    source,
    suta,
    t3a,
    tent,
    ttt,
)
from dhauds_jax.types import Classifier, Method, RunInfo, Variables

METHODS: dict[str, Callable[..., Method]] = {
    "source": source.source,
    "norm": norm.norm,
    "tent": tent.tent,
    "dhauds": dhauds.dhauds,
    "eata": eata.eata,
    "rdumb": rdumb.rdumb,
    "sar": sar.sar,
    "deyo": deyo.deyo,
    "roid": roid.roid,
    "gala": gala.gala,
    "pseudo_label": pseudo_label.pseudo_label,
    "shot": shot.shot,
    "notela": notela.notela,
    "lame": lame.lame,
    "t3a": t3a.t3a,
    "ntta": ntta.ntta,
    "note": note.note,
    "rotta": rotta.rotta,
    "cotta": cotta.cotta,
    "memo": memo.memo,
    "suta": suta.suta,
    "ttt": ttt.ttt,
    "conmix": conmix.conmix,
}
"""Method name -> factory `(classifier, *, options...) -> Method`."""

PROFILES: dict[str, Mapping[str, Mapping[str, Any]]] = {
    "conmix": conmix.PROFILES,
    "dhauds": dhauds.PROFILES,
    "ntta": ntta.PROFILES,
}
"""Method name -> profile -> options that the profile sets; methods without quirks are not listed."""

_NOT_OPTIONS = ("classifier", "axis_name", "views")


def factory(name: str) -> Callable[..., Method]:
    """The factory of a method; `ValueError` with the valid names when there is none."""
    if name not in METHODS:
        raise ValueError(f"unknown method {name!r}: expected one of {', '.join(METHODS)}")
    return METHODS[name]


def default_options(name: str, profile: str) -> dict[str, Any]:
    """A method's options with the values that `profile` gives them."""
    if profile not in ("reference", "corrected"):
        raise ValueError(f"unknown profile {profile!r}: expected reference or corrected")
    signature = inspect.signature(factory(name)).parameters
    options = {key: p.default for key, p in signature.items() if key not in _NOT_OPTIONS}
    return {**options, **PROFILES.get(name, {}).get(profile, {})}


def _converted(name: str, key: str, text: Any, default: Any) -> Any:
    if not isinstance(text, str) or isinstance(default, str):
        return text
    try:
        if isinstance(default, bool):
            return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
        return type(default)(text)
    except (KeyError, ValueError):
        kind = type(default).__name__
        raise ValueError(f"method {name}: option {key} is {text!r}, expected a {kind} such as {default}") from None


def resolve_options(name: str, profile: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Profile defaults overlaid with `given` (texts are converted by the default's type).

    Raises:
      ValueError: an option the method does not have (the valid ones are listed) or a value of the wrong kind.
    """
    options = default_options(name, profile)
    for key, value in given.items():
        if key not in options:
            valid = ", ".join(f"{k}={v}" for k, v in options.items()) or "none"
            raise ValueError(f"method {name} has no option {key!r}: valid ones with their values are {valid}")
        options[key] = _converted(name, key, value, options[key])
    # Younger than the first records, whose cells keep their names: it is left out where it changes nothing.
    return {key: value for key, value in options.items() if (key, value) != ("forward", "one_by_one")}


def make(name: str, classifier: Classifier, options: Mapping[str, Any], axis_name: str | None = None) -> Method:
    """Builds a method from resolved options."""
    return factory(name)(classifier, **options, axis_name=axis_name)


def check_needs(name: str, method: Method, variables: Variables, info: RunInfo) -> None:
    """Raises `ValueError` in one sentence when the network or the run lacks what the method needs."""
    if "batch_norm" in method.needs and not masks.has_batch_norm(variables):
        raise ValueError(f"method {name} needs a network with BatchNorm layers, and this one has none")
    if "source_data" in method.needs and info.source is None:
        raise ValueError(f"method {name} needs labelled source batches, and this run has none")
    if "aux_head" in method.needs and "aux" not in variables["params"]:
        raise ValueError(f"method {name} needs a network trained with an auxiliary head, and this one has none")
