"""How a HuBERT becomes a classifier: by its weight map, with what a Hugging Face folder states, head included."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from converters import by_map, huggingface, presets
from converters.families import Content, Family, Planned, Request, nothing_fresh
from converters.heads import HEAD, head_of
from converters.hubert import (
    PROJECTED,
    ignore,
    inferred_geometry,
    leaves,
    own_head,
    own_head_leaves,
    style_of,
    unwrapped,
)
from converters.mapping import Leaf, Path
from dhauds_jax.errors import BadInput
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.nets.front_ends import WAVE_EPSILON
from dhauds_jax.nets.hubert import frames_of
from dhauds_jax.nets.hubert_zoo import GEOMETRY, OPTIONAL

EXTRACTOR_EPSILON = 1e-7
"""What Hugging Face's extractor adds to the variance of a clip that it normalises."""


class _Stated(NamedTuple):
    """What a source says beside its weights, gathered step by step.

    Attributes:
      request: with the values that go before a preset's under `given`, and the family's record as it fits the file.
      geometry: of the source's own config.
      top: other values of the config; a preset and --config go before them.
      notes: for the user.
    """

    request: Request
    geometry: dict[str, Any]
    top: dict[str, Any]
    notes: list[str]


def plan(request: Request) -> Planned:
    """As the map says, with what a Hugging Face folder states of geometry, normalisation, classes and head.

    Raises:
      BadInput: a key of its config that is not known, a value that the network cannot have, another rate, or what
        `by_map.plan` refuses.
    """
    file, part = request.files[0], request.parts["encoder"]
    stated = _Stated(request, {}, {}, [])
    if file.record is not None:
        geometry = huggingface.geometry_of(huggingface.HUBERT, file.record, file.path)
        stated = stated._replace(geometry=geometry, notes=huggingface.notes_of(file.record))
    elif (file.path.parent / "config.json").is_file() and part.style == "huggingface":
        note = f"config.json beside {file.path.name} was not read: gelu and epsilon 1e-5 are taken for granted"
        stated.notes.append(f"{note}; give the folder in place of the file")
    stated = _with_own_head(_with_normalisation(_with_strides(stated)))
    planned = by_map.plan(stated.request, stated.geometry, stated.top)
    had = own_head(part.state) is not None  # and then it was set aside
    own = [note.replace(by_map.HEADLESS, "the new head") if had else note for note in planned.notes]
    return planned._replace(notes=[*stated.notes, *own])


def _with_strides(stated: _Stated) -> _Stated:
    """The file's own strides in place of the published ones, which its shapes do not show."""
    kind, convs = stated.request.kind, stated.geometry.get("convs")
    if convs is None:
        return stated

    def infer(part: Any) -> dict[str, Any]:
        shown = kind.infer(part)
        alike = [conv[:2] for conv in shown.get("convs", [])] == [conv[:2] for conv in convs]
        return {**shown, "convs": convs} if alike else shown

    return stated._replace(request=stated.request._replace(kind=kind._replace(infer=infer)))


def _with_normalisation(stated: _Stated) -> _Stated:
    """The extractor's `do_normalize` and rate: they go before a preset's, --config's front end goes before them."""
    request, extra = stated.request, stated.request.files[0].preprocessor or {}
    where, base = request.files[0].path.name, presets.preset_record(request.kind, *_named(request))
    rate, wanted = extra.get("sampling_rate"), request.given.get("sample_rate", base.get("sample_rate"))
    if rate is not None and wanted is not None and rate != wanted:
        raise BadInput(
            f"{where}: preprocessor_config.json has sampling_rate {rate}, the preset or --config {wanted}; "
            "expected one rate (Hz)"
        )
    top = {**stated.top, "sample_rate": rate or 16000} if request.files[0].record is not None else stated.top
    if "do_normalize" not in extra:
        return stated._replace(top=top)
    does = bool(extra["do_normalize"])
    own = {"kind": "wave", "normalise": does, **({"epsilon": EXTRACTOR_EPSILON} if does else {})}
    stated, said = stated._replace(top={**top, "front_end": own}), f"preprocessor_config.json has do_normalize={does}"
    said += f" (epsilon {EXTRACTOR_EPSILON:g})" if does else ""
    if "front_end" in request.given:
        if _waves(request.given["front_end"]) != _waves(own):
            stated.notes.append(f"{where}: {said}, but --config's {_waves(request.given['front_end'])} was kept")
    elif "front_end" in base and _waves(base["front_end"]) != _waves(own):
        kept = _waves(base["front_end"])
        stated.notes.append(f"{where}: {said}, which was taken in place of the preset's {kept}")
        stated = stated._replace(request=request._replace(given={**request.given, "front_end": own}))
    return stated


def _waves(front_end: Mapping[str, Any]) -> str:
    """What a front end over waves does to them."""
    does, epsilon = bool(front_end.get("normalise")), front_end.get("epsilon", WAVE_EPSILON)
    return f"normalise={does}" + (f" (epsilon {epsilon:g})" if does else "")


def _named(request: Request) -> tuple[str | None, Mapping[str, Any]]:
    """The preset, and --config with the file's own classes where neither has any."""
    given, found = request.given, own_head(request.parts["encoder"].state)
    lacks = "classes" not in given and presets.lacks_classes(request.preset or given.get("preset"))
    return request.preset, {**given, "classes": _labels(request, found[1])[0]} if lacks and found else given


def _labels(request: Request, outputs: int) -> tuple[list[str], bool]:
    """Names of the file's outputs, and whether they only count."""
    labels, counts = huggingface.labels_of(request.files[0].record or {})
    if labels is None or len(labels) != outputs:
        return [f"LABEL_{i}" for i in range(outputs)], True
    return labels, counts


def _with_own_head(stated: _Stated) -> _Stated:
    """The head in the encoder's own file, used where it fits what is wanted; where not, it is said why."""
    request, kind = stated.request, stated.request.kind
    found = own_head(request.parts["encoder"].state)
    if found is None:
        if "head" in kind.files:
            return stated
        return stated._replace(request=request._replace(kind=_headless(kind)))
    (head, outputs), (labels, counts) = found, _labels(request, found[1])
    preset, given = _named(request)
    base = presets.preset_record(kind, preset, given)
    wanted = given.get("classes", base.get("classes", labels))
    reason = _set_aside(request, head, wanted, labels, counts)
    if reason is not None:
        note = f"the source's own head ({outputs} classes, projector of {head['features']}) was set aside: {reason}"
        if "head" not in kind.files:
            kind = _headless(kind)
        top = {**stated.top, "head": head, "classes": labels}
        return stated._replace(request=request._replace(kind=kind, given=given), top=top, notes=[*stated.notes, note])
    classes = wanted if counts else labels
    notes = [f"the source's own head was kept: a projector of {head['features']}, the mean, {outputs} classes"]
    geometry = {**stated.geometry, **_layer_sum(request)}
    if "layer_sum" in geometry:
        last = "after the final norm, as in transformers 4" if geometry["layer_sum"] == "states" else "before it"
        notes.append(f"the head takes the learned sum of all layers, the last one of a pre-norm network {last}")
    own = {**given, "head": {**head, **given.get("head", {})}, "classes": list(classes)}
    kind = kind._replace(fresh_leaves=nothing_fresh)
    request = request._replace(kind=kind, given=own)
    return stated._replace(request=request, geometry=geometry, notes=[*stated.notes, *notes])


def _headless(kind: Family) -> Family:
    """The family's record for a file whose head, if there is one, is not used."""
    return kind._replace(head=lambda parts: None, leaves=_encoder_leaves)


def _set_aside(request: Request, head: Mapping[str, Any], wanted: Any, labels: list[str], counts: bool) -> str | None:
    """Why a file's head is not used, None if it is."""
    if "head" in request.kind.files:
        return "--source names another file for the head"
    asked = request.given.get("head", {}).get("kind", PROJECTED)
    if asked != PROJECTED:
        return f"--config asks for head {asked}"
    if len(wanted) != len(labels):
        return f"{len(wanted)} classes are wanted; leave out --preset and classes to keep it"
    if counts or list(wanted) == labels:
        return None
    if sorted(wanted) != sorted(labels):
        return f"its classes are others ({', '.join(labels[:3])}, ...); leave out --preset and classes to keep it"
    if "classes" in request.given:
        raise BadInput(
            f"--config: classes are the file's in another order ({', '.join(wanted[:4])}, ...), expected "
            f"{', '.join(labels[:4])}, ..."
        )
    return None


def _layer_sum(request: Request) -> dict[str, str]:
    """Whether the head takes a sum of all layers, and of which: the last one was normed until transformers 5."""
    record = request.files[0].record
    summed = "layer_weights" in request.parts["encoder"].state
    if record is not None:
        summed = bool(record.get("use_weighted_layer_sum", False))
    if not summed:
        return {}
    record = record or {}
    version = str(record.get("transformers_version") or "4").partition(".")[0]
    normed = record.get("tie_last_hidden_states")
    normed = version.isdigit() and int(version) < 5 if normed is None else normed
    return {"layer_sum": "states" if normed else "blocks"}


def counters(config: ClassifierConfig) -> dict[str, np.ndarray]:
    """What PyTorch's heads have and our tree has not: BatchNorm's counters, at 0."""
    keys = [key for each in leaves(config, "torchaudio", head=True) for key in each.keys]
    means = [key.removesuffix("running_mean") for key in keys if key.endswith("running_mean")]
    return {f"{key}num_batches_tracked": np.zeros((), np.int64) for key in means}


def _random_head(config: ClassifierConfig, seed: int) -> dict[Path, np.ndarray]:
    sizes = config.geometry
    return by_map.drawn_head(config, max(2, frames_of(config.length, sizes["convs"])), sizes["width"], seed)


def _encoder_leaves(config: ClassifierConfig, style: str, held: tuple[str, ...]) -> list[Leaf]:
    return leaves(config, style or "torchaudio", head=False)


CLASSIFIER = Family(
    net="hubert",
    files=("encoder", "head"),
    holds=(Content("HuBERT encoder", style_of, unwrapped), HEAD),
    geometry=GEOMETRY,
    infer=lambda part: inferred_geometry(part.state, part.style),
    leaves=lambda config, style, held: leaves(config, style or "torchaudio", head=True),
    ignore=lambda config, style: ignore(style or "torchaudio"),
    fresh=lambda config, held: counters(config),
    plan=plan,
    head=head_of,
    optional=OPTIONAL,
)

ENCODER = Family(
    net="hubert",
    files=("encoder",),
    holds=CLASSIFIER.holds[:1],
    geometry=GEOMETRY,
    infer=CLASSIFIER.infer,
    leaves=lambda config, style, held: _encoder_leaves(config, style, held) + own_head_leaves(config),
    ignore=CLASSIFIER.ignore,
    fresh=lambda config, held: {},
    plan=plan,
    fresh_leaves=_random_head,
    head=lambda parts: own_head(parts["encoder"].state),
    optional=OPTIONAL,
    beside=("projector.", "classifier.", "layer_weights"),
)
