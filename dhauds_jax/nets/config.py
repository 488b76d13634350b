"""What a classifier is, apart from its weights: the record that travels with every checkpoint as `config.json`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

FRONT_ENDS = {
    "kaldi_fbank": ("sample_rate", "n_mels", "frame_length", "hop", "frames", "mean", "std"),
    "log_mel": ("sample_rate", "n_fft", "win_length", "hop", "n_mels", "f_min", "f_max", "scale"),
    "mel_image": (
        *("sample_rate", "n_fft", "win_length", "hop", "n_mels", "f_min", "f_max", "scale"),
        *("image", "resize", "mean", "deviation"),
    ),
    "wave": ("normalise",),
}
"""Front ends by kind, with the keys that each must have (more are passed on to it)."""

HEADS = {
    "audio_classifier": ("hidden", "features"),
    "bottleneck": ("features",),
    "fce": (),
    "hub_classifier": ("stages",),
    "linear": ("softmax_output",),
    "token_pool": ("pool", "prefix", "epsilon"),
}
"""Heads by kind, with the keys that each must have."""


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
      family: which builder makes it ("amaut", "hubert", ...).
      geometry: sizes of the encoder, as its family names them.
      head: `kind` (a key of `HEADS`) and its sizes.
      front_end: `kind` (a key of `FRONT_ENDS`) and its constants; for "log_mel" the fields of
        `dhauds_jax.dsp.mel.MelSpec`, for "kaldi_fbank" those of `dhauds_jax.dsp.kaldi.FbankSpec` (those with a default
        may be left out), for "mel_image" MelSpec's and those of `dhauds_jax.nets.mel_image.ImageSpec`, for "wave"
        `normalise` (true or false).
      sample_rate: of the waveform that goes in, in Hz.
      length: of the waveform that goes in, in samples.
      classes: names of the classes in the order of the logits.
      source: where the weights come from (file names, checksums, ...); free.
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

    def __post_init__(self) -> None:
        for name in ("geometry", "head", "front_end", "source"):
            object.__setattr__(self, name, _plain(getattr(self, name)))
        object.__setattr__(self, "classes", tuple(self.classes))
        _check_kind("head", self.head, HEADS)
        _check_kind("front_end", self.front_end, FRONT_ENDS)
        for name in ("sample_rate", "length"):
            if getattr(self, name) <= 0:
                raise ValueError(f"config: {name} is {getattr(self, name)}, expected a positive number")
        if len(set(self.classes)) != len(self.classes) or not self.classes:
            raise ValueError(f"config: classes are {list(self.classes)}, expected at least one name, each once")

    def __hash__(self) -> int:
        return hash(self.to_json())

    def replace(self, **changes: Any) -> ClassifierConfig:
        """A copy with some attributes changed."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """The record as plain dicts and lists."""
        return _plain({f.name: getattr(self, f.name) for f in dataclasses.fields(self)})

    def to_json(self) -> str:
        """The record as JSON text, keys sorted."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    @classmethod
    def from_dict(cls, record: Any, where: str = "config") -> ClassifierConfig:
        """Reads what `to_dict` wrote.

        Raises:
          ValueError: a key is missing or foreign; it is named, `where` says in which file.
        """
        if not isinstance(record, Mapping):
            raise ValueError(f"{where}: holds a {type(record).__name__}, expected an object of named values")
        names = [f.name for f in dataclasses.fields(cls)]
        missing = [n for n in names if n not in record and n != "source"]
        foreign = [n for n in record if n not in names]
        if missing or foreign:
            raise ValueError(f"{where}: missing keys {missing}, foreign keys {foreign}; expected {names}")
        for name, kinds in _TYPES.items():
            if name in record and (not isinstance(record[name], kinds) or isinstance(record[name], bool)):
                raise ValueError(f"{where}: {name} is {record[name]!r}, expected {_TYPE_NAMES[name]}")
        if not all(isinstance(name, str) for name in record["classes"]):
            raise ValueError(f"{where}: classes are {record['classes']!r}, expected a list of names")
        return cls(**{**record, "classes": tuple(record["classes"])})

    @classmethod
    def from_json(cls, text: str, where: str = "config.json") -> ClassifierConfig:
        """Reads what `to_json` wrote.

        Raises:
          ValueError: the text is no JSON, or a key is missing or foreign.
        """
        try:
            record = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"{where}: is not JSON ({error}), expected a classifier's config") from None
        return cls.from_dict(record, where)


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
}


def _check_kind(name: str, record: Mapping[str, Any], kinds: Mapping[str, tuple[str, ...]]) -> None:
    kind = record.get("kind")
    if kind not in kinds:
        raise ValueError(f"config: {name}.kind is {kind!r}, expected one of {sorted(kinds)}")
    missing = [key for key in kinds[kind] if key not in record]
    if missing:
        raise ValueError(f"config: {name} of kind {kind!r} lacks {missing}")


def take(record: Mapping[str, Any], keys: tuple[str, ...], where: str) -> dict[str, Any]:
    """Exactly `keys` of a record, for a family's builder.

    Raises:
      ValueError: a key is missing or foreign; `where` and the key are named.
    """
    missing = [key for key in keys if key not in record]
    foreign = [key for key in record if key not in keys]
    if missing or foreign:
        raise ValueError(f"{where}: missing keys {missing}, foreign keys {foreign}; expected {list(keys)}")
    return {key: record[key] for key in keys}
