"""Tables of zero-shot rows: method x background x weight, and what each row was allowed to see."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dhauds_jax.names import CLEAN
from dhauds_jax.report import zeroshot_figures as figures
from dhauds_jax.report.intervals import interval
from dhauds_jax.report.provenance import provenance
from dhauds_jax.report.tables import Record, grouped, latest, mean_and_spread, table
from dhauds_jax.report.zeroshot_classes import class_table
from dhauds_jax.report.zeroshot_lines import ASKED, MADE, PLACE, ROW, lines_of, made_of

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
    "oracle": "the very recording that was mixed in, which nobody has in use",
    "set": "the unlabelled clips, at once",
    "past": "the clips before",
    "train_labels": "labelled clips",
    "train_clips": "unlabelled training clips",
    "known_clips": "clips that are known to be of the classes, not of which",
    "annotations": "which chunks of a recording have no event",
}


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
    rejects = any("reject" in record for record in found)
    header = [_SHARE if name == "accuracy" and several else name for name in header] + (["mAP"] if several else [])
    header += ["named", "right of these"] if rejects else []
    rows = []
    for line in lines_of(found):
        first, members = line.first, line.members
        row = [line.made, f"{first['scorer']}{line.mark}", first["background"], line.weight]
        row.append(with_interval([r["non_adapted"] for r in members], line.folds("plain_folds")))
        row.append(with_interval([r["adapted_last"] for r in members], line.folds()))
        for key, weight in (("adapted_selected", "weight"), ("adapted_oracle", "oracle_weight")):
            row.append(_with_weight(members, key, weight) if first["curve"] else "-")
        row += [mean_and_spread([r["ece"] for r in members]), mean_and_spread([r["nll"] for r in members], 1.0, 2)]
        row += [mean_and_spread([r["risk_coverage"]["area"] for r in members]), ", ".join(first["uses"]) or "nothing"]
        row += [mean_and_spread([r[_SEVERAL][1] for r in members])] if several else []
        row += _named(members) if rejects else []
        rows.append(row)
    return table(header, rows)


def _named(members: Sequence[Record]) -> list[str]:
    """The share of clips that keep a name, and of those that is right; "-" where no rate was asked for."""
    kept = [record["reject"] for record in members if "reject" in record]
    right = [each["right"] for each in kept if each["right"] is not None]
    return [
        mean_and_spread([each["accepted"] for each in kept]) if kept else "-",
        mean_and_spread(right) if right else "-",
    ]


def _with_weight(members: Sequence[Record], key: str, weight: str) -> str:
    weights = sorted({record["selection"][weight] for record in members})
    return f"{mean_and_spread([r[key] for r in members])} ({', '.join(f'{w:g}' for w in weights)})"


def preferred(found: Sequence[Record]) -> str:
    """Which row the criterion prefers, without labels, for prototypes of each kind; given weights and oracles aside.

    Only rows of the same clips in the same folds are compared, by the same criterion: its values say nothing else.
    """
    said: dict[str, list[str]] = {}
    lines = lines_of(found)
    names_of = {id(record): line.name for line in lines for record in line.members}
    shown = [record for line in lines for record in line.members]
    free = [r for r in shown if r["weight_chosen_by"] != "given" and r["selection"]["value"] is not None]
    for (kind, train), members in _by(free, lambda r: (r["prototypes"], r["train"])).items():
        kinds = _by([r for r in members if not _is_oracle(r)], _compared)
        varying = [len({key[place] for key in kinds}) > 1 for place in range(len(_COMPARED))]
        for key, some in kinds.items():
            picked = [max(each, key=lambda r: r["selection"]["value"]) for each in _by(some, _drawn).values()]
            if len(some) > len(picked):
                names = ", ".join(dict.fromkeys(names_of[id(record)] for record in picked))
                accuracy = mean_and_spread([record["adapted_last"] for record in picked])
                marks = [f"{n}={v or 'default'}" for n, v, k in zip(_COMPARED, key, varying, strict=False) if k]
                mark = f" [{', '.join(marks)}]" if marks else ""
                criterion = some[0]["selection"]["criterion"]
                said.setdefault(criterion, []).append(f"{made_of(kind, train)}{mark}: {names}, accuracy {accuracy}")
    return "".join(f"The scorer that {c} prefers, without labels: {'; '.join(each)}.\n" for c, each in said.items())


_COMPARED = ("folds_asked", "n", "source_checkpoint")
"""With the criterion, what rows that a criterion compares must share beside their clips."""


def _compared(record: Record) -> tuple[object, ...]:
    return (*map(record.get, _COMPARED), record["selection"]["criterion"])


def _drawn(record: Record) -> tuple[object, ...]:
    return record["seed"], record.get("clips")


def _by(found: Sequence[Record], key: Callable[[Record], tuple[Any, ...]]) -> dict[tuple[Any, ...], list[Record]]:
    out: dict[tuple[Any, ...], list[Record]] = {}
    for record in found:
        out.setdefault(key(record), []).append(record)
    return out


def _is_oracle(record: Record) -> bool:
    return record["background"] == "oracle" or "oracle" in record["uses"]


def uses_table(found: Sequence[Record]) -> str:
    """What the words under *sees* mean, those that come up."""
    used = dict.fromkeys(name for record in found for name in record["uses"])
    return table(["sees", "what that is"], [[name, _SEES.get(name, name)] for name in used])


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
    for number, (heading, members) in enumerate(tables(kept), 1):
        parts += [f"## {heading}", "", f"{members[0]['n']:,} clips, {len(members[0]['classes'])} classes.", ""]
        parts += [_OF_SEVERAL, ""] if _SEVERAL in members[0] else []
        parts += [rows_table(members), *filter(None, [preferred(members)]), *_figures(members, number, folder)]
        what = "Average precision" if _SEVERAL in members[0] else "Accuracy"
        parts += [f"{what} of each class in %, and the change against the row's own plain in points:", ""]
        parts += [class_table(members)]
    parts += [*levels(kept, folder), *gaps(kept, folder)]
    parts += ["## Provenance of the zero-shot rows", "", _provenance(kept)]
    return "\n".join(parts)


def levels(found: Sequence[Record], folder: Path) -> list[str]:
    """Accuracy against SNR, a figure for each network and list of classes: a mean over others is of nothing."""
    parts: list[str] = []
    shown = [some for some in _by(found, figures.of_one_figure).values() if figures.has_levels(some)]
    for number, members in enumerate(shown, 1):
        name = "zeroshot-levels.png" if number == 1 else f"zeroshot-levels-{number}.png"
        figures.over_levels(members, folder / name)
        first, more = members[0], ""
        if len(shown) > 1:
            more = f", {first['net']}, profile {first['profile']}, {len(first['classes'])} classes"
        parts += [f"## Accuracy against SNR{more}", "", f"![accuracy against SNR]({name})", ""]
    return parts


def gaps(found: Sequence[Record], folder: Path) -> list[str]:
    """How far sounds and sentences lie apart, and the accuracy along the line that brings them together."""
    lines = {}
    for place, members in grouped([r for r in found if (r.get("gap") or {}).get("closed")], PLACE).items():
        lines |= {f"{title(place)}{line.mark}": line.members for line in lines_of(members)}
    if not lines:
        return []
    figures.over_gaps(lines, folder / "zeroshot-gap.png")
    rows = []
    for name, members in lines.items():
        distance, share = (float(np.mean([r["gap"][key] for r in members])) for key in ("distance", "share"))
        closed = [f"{share:g}: {value:.1f}" for share, value in figures.closed(members).items()]
        rows.append([name, f"{distance:.3f}", f"{100 * share:.1f}", ", ".join(closed)])
    said = (
        "*share*: what the distance of the means is of the mean squared distance of a sound and a sentence. The line "
        "goes by the mean of all clips, as scorer centre does."
    )
    head = ["set", "distance of the means", "share, %", "share closed: accuracy, %"]
    shown = table(head, rows)
    return ["## The modality gap", "", said, "", shown, "![accuracy as the gap closes](zeroshot-gap.png)", ""]


def tables(found: Sequence[Record]) -> Iterator[tuple[str, list[Record]]]:
    """Heading and rows of each table: no two rows of one are over other classes."""
    for place, members in grouped(found, PLACE).items():
        listed: dict[tuple[str, ...], list[Record]] = {}
        for record in members:
            listed.setdefault(tuple(record["classes"]), []).append(record)
        for classes, some in listed.items():
            more = f", {len(classes)} classes ({', '.join(classes[:3])}{', ...' if len(classes) > 3 else ''})"
            yield f"{title(place)}{more if len(listed) > 1 else ''}", some


def _figures(members: Sequence[Record], number: int, folder: Path) -> Iterator[str]:
    lines = lines_of(members)
    curves = {f"{one.made} {r['scorer']} {r['background']}{one.mark}": one for one in lines if (r := one.first)}
    curves = {name: line for name, line in curves.items() if line.first["curve"]}
    if curves:
        marked = {
            name: [r for line in lines if line.mark == one.mark for r in line.members if _same(r, one.first)]
            for name, one in curves.items()
        }
        figures.over_weights(marked, folder / f"zeroshot-weights-{number}.png")
        yield from (f"![accuracy against weight](zeroshot-weights-{number}.png)", "")
    shown = {f"{line.made} {line.name}": line.members for line in lines}
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
    keys = (*PLACE, *ROW, "weight", "seed", "n", "non_adapted", "adapted_last", "adapted_selected", "adapted_oracle")
    keys = (*keys, "ece", "nll", "scale")
    rows = []
    for record in latest(found):
        chosen = record["selection"]
        more = {"chosen_weight": chosen["weight"], "oracle_weight": chosen["oracle_weight"]}
        more |= {name: record.get(name) for name in (*ASKED, *MADE)} | {"criterion": chosen["criterion"]}
        rows.append({**{key: record[key] for key in keys}, **more, "uses": "+".join(record["uses"])})
    return rows
