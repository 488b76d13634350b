"""What a classifier is, apart from its weights: the record that travels with every checkpoint as `config.json`."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dhauds_jax import json_texts, names, registry, schemas
from dhauds_jax.errors import BadInput, told
from dhauds_jax.wording import kind_of

SCHEMA = schemas.Schema(2)
"""Of `config.json`, for the whole checkpoint: its arrays and what lies beside them have no number of their own.

2 says its number and who wrote it; 1 says neither, and is the same otherwise.
"""

_HEAD_OWN = ("classes", "dtype", "parent", "name")
"""Fields of a head that are no sizes: `build_head` and linen fill them in."""


def _plain(value: Any) -> Any:
    """The value as JSON would give it back: tuples become lists, keys strings."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value


@dataclasses.dataclass(frozen=True)
class ClassifierConfig:
    """A classifier without its weights.

    Attributes:
      net: name of the preset in `dhauds_jax.nets.zoo`, or "custom".
      family: whose builder makes it: a key of `names.FAMILIES`, or "module:attribute", a `Family` of the user's own.
      geometry: sizes of the encoder, as its family names them.
      head: `kind` (a key of `names.HEADS`, or "module:class") and its sizes, the fields of that class.
      front_end: `kind` (a key of `names.FRONT_ENDS`, or "module:attribute") and its constants; for "log_mel" the
        fields of `dhauds_jax.dsp.mel.MelSpec`, for "kaldi_fbank" those of `dhauds_jax.dsp.kaldi.FbankSpec` (those with
        a default may be left out), for "mel_image" MelSpec's and those of `dhauds_jax.nets.mel_image.ImageSpec`, for
        "wave" `normalise` (true or false), which may have an `epsilon` (1e-5), for "clap_mel" see
        `dhauds_jax.nets.clap_mel`, for "vggish" none. Of any kind it may say how recordings become its clips, see
        `reading`.
      sample_rate: of the waveform that goes in, in Hz.
      length: of the waveform that goes in, in samples.
      classes: names of the classes in the order of the logits.
      source: where the weights come from (file names, checksums, ...); free.
      groups: which classes are reported as one: `names`, what is reported, and `of`, for each class the number of its
        name there. Their probabilities are summed (`dhauds_jax.calibration.by_group`). Empty, and then left out of
        `config.json`: the classes are reported as they are.
    """

    net: str
    family: str
    geometry: dict[str, Any]
    head: dict[str, Any]
    front_end: dict[str, Any]
    sample_rate: int
    length: int
    classes: tuple[str, ...]
    source: dict[str, Any] = dataclasses.field(default_factory=dict)
    groups: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("geometry", "head", "front_end", "source", "groups"):
            object.__setattr__(self, name, _plain(getattr(self, name)))
        object.__setattr__(self, "classes", tuple(self.classes))
        for section, required in (("head", _required_sizes), ("front_end", _required_constants)):
            record = getattr(self, section)
            missing = [key for key in required(find_kind(section, record)) if key not in record]
            if missing:
                raise BadInput(f"config: {section} of kind {record['kind']!r} lacks {missing}")
        reading(self.front_end)
        for name in ("sample_rate", "length"):
            if getattr(self, name) <= 0:
                raise BadInput(f"config: {name} is {getattr(self, name)}, expected a positive number")
        if len(set(self.classes)) != len(self.classes) or not self.classes:
            raise BadInput(f"config: classes are {list(self.classes)}, expected at least one name, each once")
        _check_groups(self.groups, len(self.classes))

    def __hash__(self) -> int:
        return hash(self.to_json())

    def replace(self, **changes: Any) -> ClassifierConfig:
        """A copy with some attributes changed."""
        return dataclasses.replace(self, **changes)

    def places(self) -> tuple[str, ...]:
        """The names of what makes the network: its preset, family, head and front end, of each file of a user's one."""
        names = (self.net, self.family, self.head["kind"], self.front_end["kind"])
        return tuple({name.partition(":")[0]: name for name in names}.values())

    @property
    def reported(self) -> tuple[str, ...]:
        """The names that are reported: those of the groups, or else of the classes."""
        return tuple(self.groups.get("names", self.classes))

    def to_dict(self) -> dict[str, Any]:
        """The record as plain dicts and lists; without groups it is that of older versions."""
        record = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return _plain({key: value for key, value in record.items() if value or key != "groups"})

    def to_json(self) -> str:
        """The record as JSON text, keys sorted."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    @classmethod
    def from_dict(cls, record: Any, where: str = "config") -> ClassifierConfig:
        """Reads what `to_dict` wrote.

        Raises:
          BadInput: a key is missing or foreign; it is named, `where` says in which file.
        """
        if not isinstance(record, Mapping):
            raise BadInput(f"{where}: holds {kind_of(record)}, expected an object of named values")
        keys = [f.name for f in dataclasses.fields(cls)]
        missing = [key for key in keys if key not in record and key not in ("source", "groups")]
        foreign = [key for key in record if key not in keys]
        if missing or foreign:
            raise BadInput(f"{where}: missing keys {missing}, foreign keys {foreign}; expected {keys}")
        for name, kinds in _TYPES.items():
            if name in record and (not isinstance(record[name], kinds) or isinstance(record[name], bool)):
                raise BadInput(f"{where}: {name} is {record[name]!r}, expected {_TYPE_NAMES[name]}")
        if not all(isinstance(name, str) for name in record["classes"]):
            raise BadInput(f"{where}: classes are {record['classes']!r}, expected a list of names")
        return cls(**{**record, "classes": tuple(record["classes"])})

    @classmethod
    def from_json(cls, text: str, where: str = "config.json") -> ClassifierConfig:
        """Reads what `to_json` wrote.

        Raises:
          BadInput: the text is no JSON, or a key is missing or foreign.
        """
        try:
            record = json_texts.parsed(text)
        except json_texts.NotJson as error:
            raise BadInput(f"{where}: is not JSON ({error}), expected a classifier's config") from None
        return cls.from_dict(record, where)


def file_text(record: Mapping[str, Any]) -> str:
    """The text of the `config.json` of a record (`to_dict`), with its stamp."""
    return json.dumps({**schemas.stamp(SCHEMA), **record}, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def bare_text(text: str, where: str) -> str:
    """The text of a `config.json` in the form of now and without its stamp; as it is where it is no object of JSON.

    Raises:
      BadInput: a newer version wrote it; `where` names the file.
    """
    try:
        record = json_texts.parsed(text)
    except json_texts.NotJson:  # which reading it says
        return text
    return json.dumps(schemas.migrated(record, SCHEMA, where)) if isinstance(record, Mapping) else text


_TYPES: dict[str, Any] = {
    "net": str,
    "family": str,
    "geometry": Mapping,
    "head": Mapping,
    "front_end": Mapping,
    "sample_rate": int,
    "length": int,
    "classes": list | tuple,
    "source": Mapping,
    "groups": Mapping,
}
_TYPE_NAMES = {
    "net": "a name",
    "family": "a name",
    "geometry": "an object",
    "head": "an object",
    "front_end": "an object",
    "sample_rate": "a whole number of Hz",
    "length": "a whole number of samples",
    "classes": "a list of names",
    "source": "an object",
    "groups": "an object",
}


def _check_groups(groups: Mapping[str, Any], classes: int) -> None:
    """Raises `BadInput` unless every class belongs to a group and every group has a class."""
    if not groups:
        return
    names, of = groups.get("names"), groups.get("of")
    good = set(groups) == {"names", "of"} and isinstance(names, list) and isinstance(of, list)
    good = good and all(isinstance(name, str) for name in names) and len(set(names)) == len(names)
    good = good and all(isinstance(k, int) and not isinstance(k, bool) for k in of)
    if not good or len(of) != classes or set(of) != set(range(len(names))):
        raise BadInput(
            f"config: groups are {dict(groups)!r}, expected names, each once, and of, for each of the {classes} "
            "classes the number of its name from 0 on, so that every name has a class"
        )


_KINDS: Mapping[str, Mapping[str, str]] = {"head": names.HEADS, "front_end": names.FRONT_ENDS}


@contextlib.contextmanager
def described(places: Iterable[str], where: str) -> Iterator[None]:
    """A block in which a network is made of a config that a file holds: what layers refuse is the file's fault.

    Args:
      places: names of what makes the network (`ClassifierConfig.places`); what a user's own code raises is raised on.
      where: the file, for the sentence.

    Raises:
      BadInput: sizes that do not go together, or are none.
    """
    try:
        yield
    except BadInput:
        raise
    except Exception as error:
        if any(map(registry.is_foreign, places)):
            raise
        raise BadInput(
            f"{where}: the network that its config describes cannot be made ({told(error)}), expected sizes and "
            "constants that go together"
        ) from error


def find_kind(section: str, record: Mapping[str, Any]) -> Any:
    """What the `kind` of a config's `head` or `front_end` stands for: a class of `heads`, a `FrontEnd`, or the user's.

    It is imported when a config is made, so that this module stays light and knows no kind by name.

    Raises:
      BadInput: no kind, an unknown one (the nearest are given), or a "module:attribute" that is none.
    """
    kind, table = record.get("kind"), _KINDS[section]
    if not isinstance(kind, str):
        raise BadInput(f"config: {section}.kind is {kind!r}, expected a name such as {registry.nearest('', table)}")
    found = registry.find(f"{section} kind", kind, table)
    if section == "head" and not (isinstance(found, type) and dataclasses.is_dataclass(found)):
        raise BadInput(f"config: head.kind {kind!r} is {kind_of(found)}, expected a class of linen modules")
    if section == "front_end" and not isinstance(getattr(found, "required", None), tuple):
        raise BadInput(f"config: front_end.kind {kind!r} is {kind_of(found)}, expected a FrontEnd")
    return found


_READING: Mapping[str, tuple[str, ...]] = {"layout": names.LAYOUTS, "resampler": names.RESAMPLERS}


def reading(front_end: Mapping[str, Any]) -> dict[str, str]:
    """How recordings become a front end's clips: its `layout` and `resampler`, for whoever reads them.

    Both may be absent from a config's `front_end`, of whatever kind; the first of `names.LAYOUTS` and of
    `names.RESAMPLERS` then holds, so configs that are older than the two mean what they meant.

    Raises:
      BadInput: a name that is none of these.
    """
    found = {key: front_end.get(key, allowed[0]) for key, allowed in _READING.items()}
    for key, value in found.items():
        if value not in _READING[key]:
            raise BadInput(f"config: front_end.{key} is {value!r}, expected {' or '.join(_READING[key])}")
    return found


def constants(front_end: Mapping[str, Any]) -> dict[str, Any]:
    """The constants of a config's `front_end`: without its kind and what `reading` gives."""
    return {key: value for key, value in front_end.items() if key not in ("kind", *_READING)}


def head_sizes(head: type) -> dict[str, Any]:
    """The sizes of a head, the fields of its dataclass, with their defaults (`dataclasses.MISSING`: it has none)."""
    return {field.name: field.default for field in dataclasses.fields(head) if field.name not in _HEAD_OWN}


def _required_sizes(head: type) -> list[str]:
    return [name for name, default in head_sizes(head).items() if default is dataclasses.MISSING]


def _required_constants(front_end: Any) -> tuple[str, ...]:
    return front_end.required


def take(record: Mapping[str, Any], keys: tuple[str, ...], where: str) -> dict[str, Any]:
    """Exactly `keys` of a record, for a family's builder.

    Raises:
      BadInput: a key is missing or foreign; `where` and the key are named.
    """
    missing = [key for key in keys if key not in record]
    foreign = [key for key in record if key not in keys]
    if missing or foreign:
        raise BadInput(f"{where}: missing keys {missing}, foreign keys {foreign}; expected {list(keys)}")
    return {key: record[key] for key in keys}
