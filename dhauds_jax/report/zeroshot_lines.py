"""Lines of tables of zero-shot rows: which records are other seeds of one thing, and what marks the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from dhauds_jax import digests
from dhauds_jax.names import CLEAN
from dhauds_jax.report.tables import Record

PLACE = ("dataset", "corruption", "level", "net", "profile", "protocol")
"""What must be equal for rows to stand in one table."""

ROW = ("prototypes", "train", "scorer", "background", "weight_chosen_by")
ASKED = (
    "reject_asked",
    "template_weights",
    "folds_asked",
    "shots",
    "scale_asked",
    "criterion",
    "template",
    "topn",
    "normalised",
    "long",
    "precision",
)
MADE = ("source_checkpoint", "clips", "source_clips", "background_of", "template_lines", "scorer_source")
_DRAWN = ("clips", "source_clips", "background_of")
"""Digests that a seed's draws change where a corruption was mixed in."""


class Line(NamedTuple):
    """The rows of one combination: other seeds of the same thing.

    Attributes:
      members: its records.
      mark: what tells it from others of the same name, such as " [folds_asked=5]"; "" where nothing must.
    """

    members: Sequence[Record]
    mark: str = ""

    @property
    def first(self) -> Record:
        """Its first record."""
        return self.members[0]

    @property
    def name(self) -> str:
        """Scorer, background and weight in few words."""
        first = self.first
        if not first["curve"]:
            return f"{first['scorer']}{self.mark}"
        return f"{first['scorer']} {first['background']} {self.weight}{self.mark}"

    @property
    def made(self) -> str:
        """Its prototypes, and in brackets the set whose clips they are made of."""
        return made_of(self.first["prototypes"], self.first["train"])

    @property
    def weight(self) -> str:
        """The given weight, `auto` for a chosen one."""
        first = self.first
        return "-" if first["weight"] is None else f"{first['weight']:g}" if self.given else "auto"

    @property
    def given(self) -> bool:
        """Whether the weight was given."""
        return self.first["weight_chosen_by"] == "given"

    def folds(self, key: str = "folds") -> list[float]:
        """The accuracies of all folds of all seeds."""
        return [value for record in self.members for value in record[key]]


def made_of(prototypes: str, train: str) -> str:
    """Prototypes as tables name them: `text`, `supervised (clean)`."""
    return prototypes if train == "-" else f"{prototypes} ({train})"


def _settings(record: Record) -> dict[str, object]:
    """All that two records of one line must share beside the seed and `ROW`."""
    options = {name: value for name, value in record["options"].items() if name.rpartition(".")[2] != "weight"}
    asked = {name: record.get(name) for name in (*ASKED, *MADE)}
    given = record["weight"] if record["weight_chosen_by"] == "given" else None
    classes = f"{len(record['classes'])} {digests.of_texts(*record['classes'])}"
    return {
        "weight": given,
        "n": record["n"],
        "classes": classes,
        **asked,
        "criterion": record["selection"]["criterion"],
        **options,
    }


def lines_of(found: Sequence[Record]) -> list[Line]:
    """Rows that differ in nothing but the seed, as one; those of one name that differ in more are marked by it.

    A seed draws which noise lies under a clip, so digests of corrupted clips may differ between seeds, within one not.
    """
    keyed: dict[str, list[Record]] = {}
    for record in found:
        loose = _DRAWN if record["corruption"] != CLEAN else ()
        kept = {name: value for name, value in _settings(record).items() if name not in loose}
        keyed.setdefault(repr([[record[key] for key in ROW], sorted(kept.items())]), []).append(record)
    apart = [members for same in keyed.values() for members in _of_one_draw(same)]
    named: dict[tuple[object, ...], list[Record]] = {}
    for members in apart:
        named.setdefault(_shown(members[0]), []).append(members[0])
    return [Line(members, _mark(members[0], named[_shown(members[0])])) for members in apart]


def _of_one_draw(same: Sequence[Record]) -> list[list[Record]]:
    """The records as one, or, where a seed has several draws, by draw; of one run twice the later one."""
    draws: dict[tuple[object, ...], list[Record]] = {}
    for record in {(r["seed"], *map(r.get, _DRAWN)): r for r in same}.values():
        draws.setdefault(tuple(map(record.get, _DRAWN)), []).append(record)
    members = [record for each in draws.values() for record in each]
    return [members] if len({record["seed"] for record in members}) == len(members) else list(draws.values())


def _shown(record: Record) -> tuple[object, ...]:
    return (*(record[key] for key in (*PLACE, *ROW)), _settings(record)["weight"])


def _mark(record: Record, others: Sequence[Record]) -> str:
    """The settings in which a record differs from others of its name."""
    every = [_settings(other) for other in others]
    varying = [name for name in dict.fromkeys(n for one in every for n in one) if _varies([o.get(name) for o in every])]
    own = _settings(record)
    said = ", ".join(f"{name}={_few(own.get(name))}" for name in varying)
    return f" [{said}]" if said else ""


def _varies(values: Sequence[object]) -> bool:
    return len(set(map(repr, values))) > 1


def _few(value: object) -> str:
    """A setting in few letters: the beginning of a digest; `default` for what was not asked for."""
    return "default" if value in (None, "") else str(value)[:12]
