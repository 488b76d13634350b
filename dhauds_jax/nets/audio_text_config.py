"""What a pair of towers for sounds and sentences is, apart from its weights: the record that travels with it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from dhauds_jax import json_texts
from dhauds_jax.errors import BadInput
from dhauds_jax.nets.config import find_kind, reading, take

KIND = "audio_text"
"""The `kind` of such a record in `config.json`."""

AUDIO_GEOMETRY = (
    *("spec", "mels", "patch", "window", "width", "depths", "heads", "mlp_ratio", "fusion", "epsilon", "drop_path"),
)
TEXT_GEOMETRY = ("width", "depth", "heads", "mlp", "vocabulary", "positions", "types", "epsilon")
PROJECTION = ("hidden", "width")
"""The keys of the three records of sizes; `audio_geometry`, `text_geometry` and `projection` explain them."""


def audio_geometry(
    *,
    width: int,
    depths: tuple[int, ...],
    heads: tuple[int, ...] = (4, 8, 16, 32),
    fusion: int | None = None,
    spec: int = 256,
    mels: int = 64,
    patch: int = 4,
    window: int = 8,
    mlp_ratio: int = 4,
    epsilon: float = 1e-5,
    drop_path: float = 0.1,
) -> dict[str, Any]:
    """The sizes of an HTSAT as a plain dict.

    Args:
      width: of the first stage's tokens; every later stage has twice its predecessor's.
      depths: blocks of every stage.
      heads: of the attention of every stage.
      fusion: width inside the fusion of long clips; None for a net without.
      spec: side of the image in pixels.
      mels: mel bands; the image holds `spec / mels` pieces of time below each other.
      patch: side of a patch in pixels.
      window: side of a window of attention in tokens.
      mlp_ratio: width inside the feed-forward over that of a token.
      epsilon: of the layer norms.
      drop_path: rate at which training drops the last block's branches for a clip; the first block's is 0.
    """
    values = {**locals()}
    return {key: list(values[key]) if key in ("depths", "heads") else values[key] for key in AUDIO_GEOMETRY}


def text_geometry(
    *,
    width: int = 768,
    depth: int = 12,
    heads: int = 12,
    mlp: int = 3072,
    vocabulary: int = 50265,
    positions: int = 514,
    types: int = 1,
    epsilon: float = 1e-5,
) -> dict[str, Any]:
    """The sizes of a RoBERTa as a plain dict; the defaults are roberta-base's.

    Args:
      width: of the tokens.
      depth: blocks.
      heads: of the attention.
      mlp: width inside the feed-forward.
      vocabulary: token numbers.
      positions: rows of the position table, two more than tokens.
      types: rows of the table of token types, of which the first is used.
      epsilon: of the layer norms: 1e-5 in LAION's files, 1e-12 in Hugging Face's.
    """
    values = {**locals()}
    return {key: values[key] for key in TEXT_GEOMETRY}


def projection(hidden: int = 512, width: int = 512) -> dict[str, Any]:
    """The sizes of both projections: inside, and of the shared space."""
    return {"hidden": hidden, "width": width}


@dataclasses.dataclass(frozen=True)
class AudioTextConfig:
    """A pair of towers without its weights.

    Attributes:
      net: name of the preset in `clap_zoo.PRESETS`, or "custom".
      audio: sizes of the audio encoder (`audio_geometry`).
      text: sizes of the text encoder (`text_geometry`).
      projection: sizes of both projections (`projection`).
      front_end: `kind` (a key of `names.FRONT_ENDS`, or "module:attribute") and its constants.
      sample_rate: of the waveform that goes in, in Hz.
      length: of the waveform that goes in, in samples; longer recordings are laid out by a rule.
      source: where the weights come from (file names, checksums, ...); free.
    """

    net: str
    audio: dict[str, Any]
    text: dict[str, Any]
    projection: dict[str, Any]
    front_end: dict[str, Any]
    sample_rate: int
    length: int
    source: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("audio", "text", "projection", "front_end", "source"):
            object.__setattr__(self, name, json.loads(json.dumps(getattr(self, name))))
        for name, keys in (("audio", AUDIO_GEOMETRY), ("text", TEXT_GEOMETRY), ("projection", PROJECTION)):
            _check_sizes(f"config {name}", take(getattr(self, name), keys, f"config {name}"))
        for name in ("sample_rate", "length"):
            if getattr(self, name) <= 0:
                raise BadInput(f"config: {name} is {getattr(self, name)}, expected a positive number")
        check_audio(self.audio, self.front_end)
        missing = [key for key in find_kind("front_end", self.front_end).required if key not in self.front_end]
        if missing:
            raise BadInput(f"config: front_end of kind {self.front_end['kind']!r} lacks {missing}")
        reading(self.front_end)
        _check_heads("config text", self.text["width"], self.text["heads"])

    def __hash__(self) -> int:
        return hash(self.to_json())

    def replace(self, **changes: Any) -> AudioTextConfig:
        """A copy with some attributes changed."""
        return dataclasses.replace(self, **changes)

    def places(self) -> tuple[str, ...]:
        """The names of what makes the towers: the preset and the front end."""
        return (self.net, self.front_end["kind"])

    def to_dict(self) -> dict[str, Any]:
        """The record as plain dicts and lists, with its `kind`."""
        return {"kind": KIND, **{f.name: getattr(self, f.name) for f in dataclasses.fields(self)}}

    def to_json(self) -> str:
        """The record as JSON text, keys sorted."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    @classmethod
    def from_dict(cls, record: Any, where: str = "config") -> AudioTextConfig:
        """Reads what `to_dict` wrote.

        Raises:
          BadInput: another kind of record, or a key missing, foreign or of another type; `where` names the file.
        """
        if not isinstance(record, Mapping) or record.get("kind") != KIND:
            raise BadInput(f"{where}: is no record of an audio-text model, expected an object with kind {KIND!r}")
        fields = {f.name: f for f in dataclasses.fields(cls)}
        values = {key: value for key, value in record.items() if key != "kind"}
        values = take({"source": {}, **values}, tuple(fields), where)
        for name, field in fields.items():
            kinds = {"str": str, "int": int}.get(str(field.type), Mapping)
            if not isinstance(values[name], kinds) or isinstance(values[name], bool):
                wanted = {str: "a name", int: "a whole number"}.get(kinds, "an object")
                raise BadInput(f"{where}: {name} is {values[name]!r}, expected {wanted}")
        return cls(**values)

    @classmethod
    def from_json(cls, text: str, where: str = "config") -> AudioTextConfig:
        """Reads what `to_json` wrote.

        Raises:
          BadInput: no JSON, or what `from_dict` refuses.
        """
        try:
            record = json_texts.parsed(text)
        except json_texts.NotJson as error:
            raise BadInput(f"{where}: is not JSON ({error}), expected an audio-text model's config") from None
        return cls.from_dict(record, where)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1


_COUNTS = (lambda value: isinstance(value, list) and all(map(_whole, value)), "a list of whole numbers from 1 on")
_KINDS = {
    "depths": _COUNTS,
    "heads": (lambda value: _whole(value) or _COUNTS[0](value), "whole numbers from 1 on"),
    "fusion": (lambda value: value is None or _whole(value), "null or a whole number from 1 on"),
    "epsilon": (_share, "a small number"),
    "drop_path": (_share, "a number from 0 to 1"),
}
"""The kinds of sizes that are more than one whole number: how they are known, and in words."""


def _check_sizes(where: str, sizes: Mapping[str, Any]) -> None:
    for name, value in sizes.items():
        fits, kind = _KINDS.get(name, (_whole, "a whole number from 1 on"))
        if not fits(value) or (name == "heads" and isinstance(value, list) != ("depths" in sizes)):
            raise BadInput(f"{where}: {name} is {value!r}, expected {kind}")


def _check_heads(where: str, width: int, heads: int) -> None:
    if width % heads:
        raise BadInput(f"{where}: width {width} is no multiple of {heads} heads")


def check_audio(sizes: Mapping[str, Any], front_end: Mapping[str, Any]) -> None:
    """Raises `BadInput` where an image of such sizes does not divide into pieces, patches, windows and halves."""
    spec, mels, patch, window = (sizes[key] for key in ("spec", "mels", "patch", "window"))
    depths, heads = sizes["depths"], sizes["heads"]
    if len(depths) != len(heads):
        raise BadInput(f"config audio: depths {depths} and heads {heads}, expected one of each for every stage")
    if spec % mels or spec % patch:
        raise BadInput(f"config audio: spec {spec} is no multiple of {mels} mels and of patch {patch}")
    for i, count in enumerate(heads):
        _check_heads(f"config audio, stage {i}", sizes["width"] * 2**i, count)
        side, rest = divmod(spec // patch, 2**i)
        if rest or side < 1 or (side > window and side % window):
            raise BadInput(
                f"config audio: stage {i} has {spec // patch} / {2**i} tokens a side, expected a multiple of the "
                f"window of {window}, or fewer"
            )
    if front_end.get("n_mels", mels) != mels:
        raise BadInput(f"config: front_end.n_mels is {front_end['n_mels']}, audio.mels {mels}")
