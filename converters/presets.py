"""The config of a conversion: what shapes show, what a Hugging Face folder, a preset and `--config` say, in this order.

Shapes win over nothing: where something else disagrees with them the conversion stops.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from converters.families import SETTINGS, Family
from dhauds_jax import json_texts, registry
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import clap_zoo, zoo
from dhauds_jax.nets.config import ClassifierConfig

TOP = SETTINGS[1:]
"""What no encoder's shapes show, beside parts of its geometry."""


_KINDS: Mapping[str, Any] = {
    **dict.fromkeys(("preset", "net"), str),
    **dict.fromkeys(("geometry", "head", "front_end", "audio", "text", "projection"), dict),
    **dict.fromkeys(("sample_rate", "length"), int),
    "classes": list,
    "temperature": int | float,
}
_WORDS = {str: "a name", dict: "an object", int: "a whole number", list: "a list of names", int | float: "a number"}
"""What `--config` may hold under each key, and how that is called."""


def read_config(path: str | Path, settings: Sequence[str] = SETTINGS) -> dict[str, Any]:
    """A `--config` file: any subset of `settings`, and `preset` for the name of one to start from.

    Raises:
      BadInput: no such file, no JSON object, or a foreign key.
    """
    path = Path(path)
    if not path.is_file():
        raise BadInput(f"--config: {path} does not exist, expected a JSON file")
    try:
        record = json_texts.read(path)
    except json_texts.NotJson as error:
        raise BadInput(f"--config: {path} is not JSON ({error}), expected an object") from None
    known = ("preset", "net", *settings)
    foreign = sorted(set(record) - set(known)) if isinstance(record, dict) else [type(record).__name__]
    if foreign:
        raise BadInput(f"--config: {path} has foreign keys {foreign}, expected some of {list(known)}")
    for key, value in record.items():
        if key in _KINDS and (not isinstance(value, _KINDS[key]) or isinstance(value, bool)):
            raise BadInput(f"--config: {path}: {key} is {value!r}, expected {_WORDS[_KINDS[key]]}")
    if not all(isinstance(name, str) for name in record.get("classes", ())):
        raise BadInput(f"--config: {path}: classes are {record['classes']!r}, expected a list of names")
    return record


def resolve(
    family: Family,
    inferred: Mapping[str, Any],
    head: tuple[dict[str, Any], int] | None,
    preset: str | None,
    given: Mapping[str, Any],
    elsewhere: Mapping[str, Any],
    stated: Mapping[str, Any] | None = None,
) -> ClassifierConfig:
    """The config of the network that the files hold.

    Args:
      family: of the conversion.
      inferred: geometry by shapes.
      head: head and number of classes by shapes, None where no file holds a head.
      preset: name of a preset of the family's network, or None.
      given: `read_config`'s record, or {}.
      elsewhere: geometry that the source's own config file states, or {}.
      stated: what else that file states, of `TOP`; preset and --config go before it.

    Raises:
      BadInput: an unknown preset or one of another family; values that disagree with the shapes; another number of
        classes (both are said); values that nothing gives (the full list).
    """
    base = preset_record(family, preset, given)
    geometry = {**elsewhere, **base.get("geometry", {}), **given.get("geometry", {})}
    origin = {
        **dict.fromkeys(elsewhere, "the source's config.json"),
        **dict.fromkeys(base.get("geometry", {}), f"preset {preset or given.get('preset')}"),
        **dict.fromkeys(given.get("geometry", {}), "--config"),
    }
    problems = _conflicts(geometry, inferred, origin)
    problems += _source_conflicts(geometry, elsewhere, family)
    problems += [
        f"geometry.{key} in --config is none of {', '.join((*family.geometry, *family.optional))}"
        for key in given.get("geometry", {})
        if key not in (*family.geometry, *family.optional)
    ]
    record = {**(stated or {}), **base, **{key: value for key, value in given.items() if key in TOP or key == "net"}}
    if head is not None:
        problems += [
            f"head.{key} is {head[0][key]!r} by the file's keys and shapes, {value!r} by preset or --config"
            for key, value in record.get("head", {}).items()
            if key in head[0] and _plain(value) != _plain(head[0][key])
        ]
        record["head"] = {**head[0], **record.get("head", {})}
    if problems:
        named = any(origin.get(key, "").startswith("preset") for key in inferred)
        hint = f"; {fitting(family, inferred, elsewhere)}" if named else ""
        raise BadInput(f"conversion: {'; '.join(problems)}{hint}")
    geometry = {**geometry, **inferred}
    missing = [f"geometry.{key}" for key in family.geometry if key not in geometry]
    missing += [key for key in TOP if key not in record]
    if missing:
        raise BadInput(
            f"conversion: nothing gives {', '.join(missing)}; expected them in --config=FILE.json or from --preset; "
            f"{fitting(family, inferred, elsewhere)}"
        )
    if head is not None and head[1] != len(record["classes"]):
        raise BadInput(
            f"conversion: the head file has {head[1]} classes, the config {len(record['classes'])} names "
            f"({', '.join(record['classes'][:4])}, ...); expected as many names as outputs"
        )
    record["geometry"] = {key: geometry[key] for key in family.geometry} | {
        key: geometry[key] for key, usual in family.optional.items() if geometry.get(key, usual) != usual
    }
    return ClassifierConfig.from_dict({"net": "custom", "source": {}, **record, "family": family.net}, "--config")


def names(family: Family) -> list[str]:
    """The presets of a family's network."""
    return sorted(clap_zoo.PRESETS if family.audio_text else zoo.family(family.net).presets)


def fitting(family: Family, inferred: Mapping[str, Any], elsewhere: Mapping[str, Any], most: int = 8) -> str:
    """The presets whose geometry the file's shapes and the source's own config file allow, as the end of a sentence."""
    found = []
    for name, make in zoo.family(family.net).presets.items():
        geometry = make(("one", "another")).geometry
        origin = dict.fromkeys(geometry, "preset")
        if not _conflicts(geometry, inferred, origin) + _source_conflicts(geometry, elsewhere, family):
            found.append(name)
    if not found:
        return "no preset has these shapes"
    more = f" and {len(found) - most} more (--list has all)" if len(found) > most else ""
    return f"by the file's shapes these presets fit: {', '.join(sorted(found)[:most])}{more}"


def check_preset(family: Family, preset: str | None, given: Mapping[str, Any]) -> None:
    """Raises `BadInput` for a name that is no preset at all; its family is looked at with the files."""
    name, flag = _named(preset, given)
    known = names(family) if family.audio_text else zoo.names()
    if name is not None and name not in known and (family.audio_text or not registry.is_foreign(name)):
        raise BadInput(_foreign_preset(family, flag, name))


def _named(preset: str | None, given: Mapping[str, Any]) -> tuple[str | None, str]:
    """The preset's name, and what gave it."""
    return (preset, "--preset") if preset else (given.get("preset"), "--config: preset")


def _foreign_preset(family: Family, flag: str, name: str) -> str:
    nearest = registry.nearest(name, names(family))
    return f"{flag} {name!r} is no {family.net} network, expected {nearest} (--list has all)"


def lacks_classes(preset: str | None) -> bool:
    """Whether a preset has no class names of its own."""
    try:
        return preset is not None and preset in zoo.names() and not zoo.preset(preset).classes
    except BadInput:
        return True


def preset_record(family: Family, preset: str | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """What the preset of --preset or --config gives of a config, {} where none is named.

    Raises:
      BadInput: an unknown preset or one of another family.
    """
    name, flag = _named(preset, given)
    if name is None:
        return {}
    known = name in names(family) or registry.is_foreign(name)
    config = zoo.preset(name, given.get("classes")) if known else None
    if config is None or config.family != family.net:
        raise BadInput(_foreign_preset(family, flag, name))
    return {key: value for key, value in config.to_dict().items() if key in (*TOP, "net", "geometry")}


def _plain(value: Any) -> Any:
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def _conflicts(geometry: Mapping[str, Any], inferred: Mapping[str, Any], origin: Mapping[str, str]) -> list[str]:
    """What disagrees with the file. Only the convolutions' bias and the norms' epsilon may differ from a preset's:
    sources of one network differ in them."""
    free = ("conv_bias", "epsilon")
    return [
        f"geometry.{key} is {inferred[key]!r} by the file's shapes, {value!r} by {origin[key]}"
        for key, value in geometry.items()
        if key in inferred
        and _plain(value) != _plain(inferred[key])
        and not (key in free and origin[key].startswith("preset"))
    ]


def _source_conflicts(geometry: Mapping[str, Any], elsewhere: Mapping[str, Any], family: Family) -> list[str]:
    """Structure on which the source's own config file and the preset or --config disagree (dropouts may differ)."""
    return [
        f"geometry.{key} is {elsewhere[key]!r} in the source's config.json, {geometry[key]!r} by preset or --config"
        for key in ("heads", "pre_norm", "convs", "positional_groups", *family.optional)
        if key in elsewhere and key in geometry and _plain(geometry[key]) != _plain(elsewhere[key])
    ]
