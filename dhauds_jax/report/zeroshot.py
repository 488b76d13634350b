"""Tables of zero-shot rows: method x background x weight, and what each row was allowed to see."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dhauds_jax.names import CLEAN
from dhauds_jax.report import zeroshot_figures as figures
from dhauds_jax.report.intervals import interval
from dhauds_jax.report.tables import Record, grouped, latest, mean_and_spread, provenance, table

PLACE = ("dataset", "corruption", "level", "net", "profile", "protocol")
"""What must be equal for rows to stand in one table."""

_ROW = ("prototypes", "train", "scorer", "background", "weight_chosen_by")
_ASKED = ("folds_asked", "shots", "scale_asked", "criterion", "template", "topn", "normalised", "long", "precision")
_MADE = ("source_checkpoint", "clips", "source_clips", "background_of")
_DRAWN = ("clips", "source_clips", "background_of")
"""Digests that a seed's draws change where a corruption was mixed in."""
_INTRODUCTION = (
    "Every number comes from the records in zeroshot.jsonl. *plain*: no correction; *weight*: with the weight of the "
    "row; *label-free*: with the weight that a criterion without labels chose; *oracle*: with the best weight by test "
    "labels. *sees*: what the row was allowed to look at beside the clip. Accuracies in %, in brackets the 95 % "
    "bootstrap interval over folds and seeds where there are several."
)
_SEVERAL, _SHARE = "mean_average_precision", "top-k share"
_OF_SEVERAL = (
    "Clips have any number of labels: *top-k share* is the share of a clip's k labels among its k likeliest classes, "
    "mean over clips, *mAP* the mean over classes of the average precision, and ECE and NLL ask of every class whether "
    "it is there; AURC asks whether the likeliest class is one of the labels."
)
_SEES = {
    "text": "sentences of the classes",
    "background": "a profile of the background",
    "own_background": "the background of each clip",
    "set": "the unlabelled clips, at once",
    "past": "the clips before",
    "train_labels": "labelled clips",
    "train_clips": "unlabelled training clips",
    "annotations": "which chunks of a recording have no event",
}


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


def _settings(record: Record) -> dict[str, object]:
    """All that two records of one line must share beside the seed and `_ROW`."""
    options = {name: value for name, value in record["options"].items() if name.rpartition(".")[2] != "weight"}
    asked = {name: record.get(name) for name in (*_ASKED, *_MADE)}
    given = record["weight"] if record["weight_chosen_by"] == "given" else None
    return {"weight": given, "n": record["n"], **asked, "criterion": record["selection"]["criterion"], **options}


def lines_of(found: Sequence[Record]) -> list[Line]:
    """Rows that differ in nothing but the seed, as one; those of one name that differ in more are marked by it.

    A seed draws which noise lies under a clip, so digests of corrupted clips may differ between seeds, within one not.
    """
    keyed: dict[str, list[Record]] = {}
    for record in found:
        loose = _DRAWN if record["corruption"] != CLEAN else ()
        kept = {name: value for name, value in _settings(record).items() if name not in loose}
        keyed.setdefault(repr([[record[key] for key in _ROW], sorted(kept.items())]), []).append(record)
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
    return (*(record[key] for key in (*PLACE, *_ROW)), _settings(record)["weight"])


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


def with_interval(values: Sequence[float], folds: Sequence[float]) -> str:
    """A mean in %, with its interval over folds where there are several."""
    mean = f"{100 * float(np.mean(values)):.1f}"
    if len(folds) < 2:
        return mean
    low, high = interval(100 * np.asarray(folds))
    return f"{mean} [{low:.1f}, {high:.1f}]"


def rows_table(found: Sequence[Record]) -> str:
    """A row a combination: plain, with its weight, label-free and oracle, calibration, and what it sees."""
    header = ["prototypes", "scorer", "background", "weight", "plain", "accuracy", "label-free (weight)"]
    header += ["oracle (weight)", "ECE", "NLL (nats)", "AURC", "sees"]
    several = _SEVERAL in found[0]
    header = [_SHARE if name == "accuracy" and several else name for name in header] + (["mAP"] if several else [])
    rows = []
    for line in lines_of(found):
        first, members = line.first, line.members
        made = first["prototypes"] + (f" ({first['train']})" if first["train"] != "-" else "")
        row = [made, f"{first['scorer']}{line.mark}", first["background"], line.weight]
        row.append(with_interval([r["non_adapted"] for r in members], line.folds("plain_folds")))
        row.append(with_interval([r["adapted_last"] for r in members], line.folds()))
        for key, weight in (("adapted_selected", "weight"), ("adapted_oracle", "oracle_weight")):
            row.append(_with_weight(members, key, weight) if first["curve"] else "-")
        row += [mean_and_spread([r["ece"] for r in members]), mean_and_spread([r["nll"] for r in members], 1.0, 2)]
        row += [mean_and_spread([r["risk_coverage"]["area"] for r in members]), ", ".join(first["uses"]) or "nothing"]
        row += [mean_and_spread([r[_SEVERAL][1] for r in members])] if several else []
        rows.append(row)
    return table(header, rows)


def _with_weight(members: Sequence[Record], key: str, weight: str) -> str:
    weights = sorted({record["selection"][weight] for record in members})
    return f"{mean_and_spread([r[key] for r in members])} ({', '.join(f'{w:g}' for w in weights)})"


def preferred(found: Sequence[Record]) -> str:
    """Which row the criterion prefers, without labels, for prototypes of each kind; given weights aside."""
    said = []
    for (kind, train), members in grouped(found, ("prototypes", "train")).items():
        free = [r for r in members if r["weight_chosen_by"] != "given" and r["selection"]["value"] is not None]
        picked: list[Record] = []
        for (_seed,), some in grouped(free, ("seed",)).items():
            picked.append(max(some, key=lambda record: record["selection"]["value"]))
        if len(free) > len(picked):
            names = ", ".join(dict.fromkeys(Line([record]).name for record in picked))
            made = kind if train == "-" else f"{kind} ({train})"
            accuracy = mean_and_spread([record["adapted_last"] for record in picked])
            said.append(f"{made}: {names}, accuracy {accuracy}")
    if not said:
        return ""
    return f"The scorer that {found[0]['selection']['criterion']} prefers, without labels: {'; '.join(said)}.\n"


def uses_table(found: Sequence[Record]) -> str:
    """What the words under *sees* mean, those that come up."""
    used = dict.fromkeys(name for record in found for name in record["uses"])
    return table(["sees", "what that is"], [[name, _SEES.get(name, name)] for name in used])


def class_table(found: Sequence[Record]) -> str:
    """The accuracy of each class: plain, and the change by every row of the set, in points."""
    lines = [line for line in lines_of(found) if line.first["scorer"] != "plain"]
    classes = found[0]["classes"]
    plain = np.array([[np.nan if v is None else v for v in r["per_class"][0]] for r in found], float)
    header = ["class", "plain", *(f"{line.first['prototypes']} {line.name}" for line in lines)]
    rows = []
    for k, name in enumerate(classes):
        row = [name, _percent(plain[:, k])]
        for line in lines:
            change = [_difference(record, k) for record in line.members]
            row.append("-" if np.isnan(change).all() else f"{100 * float(np.nanmean(change)):+.1f}")
        rows.append(row)
    return table(header, rows)


def _difference(record: Record, k: int) -> float:
    before, after = (each[k] for each in record["per_class"])
    return float("nan") if before is None or after is None else after - before


def _percent(values: np.ndarray) -> str:
    return "-" if np.isnan(values).all() else f"{100 * float(np.nanmean(values)):.1f}"


def title(place: Sequence[str]) -> str:
    """The values of `PLACE` as a heading."""
    dataset, corruption, level, net, profile, protocol = place
    where = "" if corruption == CLEAN else f" {corruption}-{level}"
    how = "the set at once" if protocol == "set" else "one clip after the other"
    return f"{dataset}{where}, {net}: {how}, profile {profile}"


def render(found: Sequence[Record], folder: Path) -> str:
    """The report's text on zero-shot rows; figures are written into `folder`."""
    kept = latest(found)
    parts = ["# Zero-shot report", "", _INTRODUCTION, "", uses_table(kept)]
    for number, (place, members) in enumerate(grouped(kept, PLACE).items(), 1):
        parts += [f"## {title(place)}", "", f"{members[0]['n']:,} clips, {len(members[0]['classes'])} classes.", ""]
        parts += [_OF_SEVERAL, ""] if _SEVERAL in members[0] else []
        parts += [rows_table(members), *filter(None, [preferred(members)]), *_figures(members, number, folder)]
        what = "Average precision" if _SEVERAL in members[0] else "Accuracy"
        parts += [f"{what} of each class in %, and its change in points:", "", class_table(members)]
    if figures.has_levels(kept):
        figures.over_levels(kept, folder / "zeroshot-levels.png")
        parts += ["## Accuracy against SNR", "", "![accuracy against SNR](zeroshot-levels.png)", ""]
    parts += ["## Provenance of the zero-shot rows", "", _provenance(kept)]
    return "\n".join(parts)


def _figures(members: Sequence[Record], number: int, folder: Path) -> Iterator[str]:
    lines = lines_of(members)
    curves = {f"{r['prototypes']} {r['scorer']} {r['background']}{one.mark}": one for one in lines if (r := one.first)}
    curves = {name: line for name, line in curves.items() if line.first["curve"]}
    if curves:
        marked = {
            name: [r for line in lines if line.mark == one.mark for r in line.members if _same(r, one.first)]
            for name, one in curves.items()
        }
        figures.over_weights(marked, folder / f"zeroshot-weights-{number}.png")
        yield from (f"![accuracy against weight](zeroshot-weights-{number}.png)", "")
    shown = {f"{line.first['prototypes']} {line.name}": line.members for line in lines}
    figures.sureness(shown, folder / f"zeroshot-sureness-{number}.png")
    yield from (f"![reliability and risk against coverage](zeroshot-sureness-{number}.png)", "")


def _same(record: Record, other: Record) -> bool:
    same = all(record[key] == other[key] for key in ("prototypes", "train", "scorer", "background"))
    return same and bool(record["curve"])


def _provenance(found: Sequence[Record]) -> str:
    """As for other records, but for what only adaptation has."""
    lines = provenance(found).splitlines()
    kept = [line for line in lines if "parameters moved" not in line and not line.startswith("- label-free")]
    criteria = sorted({record["selection"]["criterion"] for record in found})
    kept.append(f"- label-free choice of the weight: highest {', '.join(criteria)} (dhauds_jax/zeroshot/choose.py)")
    return "\n".join(kept) + "\n"


def tidy_rows(found: Sequence[Record]) -> list[Mapping[str, object]]:
    """A row a record for a csv file, numbers in full."""
    keys = (*PLACE, *_ROW, "weight", "seed", "n", "non_adapted", "adapted_last", "adapted_selected", "adapted_oracle")
    keys = (*keys, "ece", "nll", "scale")
    rows = []
    for record in latest(found):
        chosen = record["selection"]
        more = {"chosen_weight": chosen["weight"], "oracle_weight": chosen["oracle_weight"]}
        more |= {name: record.get(name) for name in (*_ASKED, *_MADE)} | {"criterion": chosen["criterion"]}
        rows.append({**{key: record[key] for key in keys}, **more, "uses": "+".join(record["uses"])})
    return rows
