"""The report of one or more work folders: `report.md`, its figures, and one self-contained web page."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from dhauds_jax.errors import BadInput, told
from dhauds_jax.files import is_inside, one_line, write_atomically
from dhauds_jax.report import (
    analysis_figures,
    board,
    comparisons,
    crossval,
    figures,
    incremental,
    looks,
    paper,
    picks,
    published,
    single_options,
    tidy,
    tuning,
    zeroshot,
)
from dhauds_jax.report import html as report_html
from dhauds_jax.report.marked_pages import fill_page
from dhauds_jax.report.provenance import provenance
from dhauds_jax.report.tables import (
    GROUP,
    Record,
    detail_table,
    grouped,
    latest,
    of_one_make,
    shown_apart,
    summary_table,
    table,
    title,
    with_variants,
)
from dhauds_jax.runs.requests.report import ReportRun
from dhauds_jax.wording import counted, of_markdown
from dhauds_jax.workdir import records

EMBEDDINGS_SHOWN = 8
"""Cells in the figure of embeddings."""

_INTRODUCTION = (
    "Every number comes from the records in results.jsonl. *last*: after the last epoch; *label-free*: the epoch "
    "that a criterion without labels chose; *oracle*: the best epoch by test labels, which is what published "
    "tables show. "
    "Values in % (± standard deviation over seeds)."
)
_OTHERS = tuple(kind for kind in records.KINDS if kind != "results")
_FILES = " or ".join(kind.file for kind in records.KINDS.values())
_PUBLISHED = (
    "Published values stand beside the records of `experiments.sweep`; the published adapted value is that of the best "
    "epoch by test labels, so *difference* is oracle minus published, in points."
)


def render(
    found: Sequence[Record],
    folder: Path,
    workdirs: Sequence[Path],
    compared: Sequence[comparisons.Comparison] = (),
) -> str:
    """The report's text; figures are written into `folder`, examples and embeddings looked for in `workdirs`."""
    named = with_variants(found)
    shown = looks.of_methods(r["method"] for r in named)
    parts = ["# Report", "", _INTRODUCTION, ""]
    if apart := shown_apart(found):
        parts += [apart, ""]
    parts += ["## Overview: means over the corrupted cells", ""]
    parts += [published.overview(named)]
    parts += _compared(compared)
    for number, (group, members) in enumerate(grouped(named, GROUP).items(), 1):
        parts += [f"## {title(group)}", ""]
        parts += _group(members, number, folder, shown)
    parts += _analyses(found, folder)
    parts += _embeddings(named, folder, workdirs)
    examples = next((w / "examples" for w in workdirs if any((w / "examples").glob("*.npz"))), None)
    if examples is not None:
        figures.spectrograms(examples, folder / "spectrograms.png")
        parts += ["## One clip under each corruption", "", "![spectrograms](spectrograms.png)", ""]
    return "\n".join(parts)


def _compared(compared: Sequence[comparisons.Comparison]) -> list[str]:
    """The section on comparisons of methods in pairs."""
    if not compared:
        return []
    parts = ["## Comparisons in pairs", "", comparisons.READING, ""]
    for one in compared:
        parts += [f"### {title(one.place)}", "", comparisons.as_markdown(one)]
    return parts


def _group(members: Sequence[Record], number: int, folder: Path, shown: Mapping[str, looks.Look]) -> list[str]:
    """The tables and figures of records that may stand in one table."""
    parts = ["After the last epoch (online: as the stream went by):", "", summary_table(members)]
    figures.gain(members, folder / f"gain-{number}.png", shown)
    parts += [f"![before and after](gain-{number}.png)", ""]
    if members[0]["protocol"] == "offline":
        whose = figures.curves(members, folder / f"curves-{number}.png", shown)
        parts += [f"![over epochs](curves-{number}.png)", "", *([whose, ""] if whose else [])]
    if any(published.has_published(r) for r in members):
        parts += [_PUBLISHED, "", published.beside_published(members)]
    parts += ["Three choices of epoch, calibration and cost:", "", detail_table(members)]
    if any(analysis_figures.has_reliability(r) for r in members):
        analysis_figures.reliability(members, folder / f"reliability-{number}.png", shown)
        parts += [f"![reliability](reliability-{number}.png)", ""]
    analysis_figures.cost(members, folder / f"cost-{number}.png", shown)
    parts += [f"![cost against {members[0]['metric']}](cost-{number}.png)", ""]
    return [*parts, *_board(members, number, folder, shown), "Provenance:", "", provenance(members)]


def _board(members: Sequence[Record], number: int, folder: Path, shown: Mapping[str, looks.Look]) -> list[str]:
    """Harm, cost and the front, where there are several methods that adapt."""
    if len({r["method"] for r in members} - {"source"}) < 2:
        return []
    parts = ["Harm, calibration and cost:", "", board.measures(members), board.MEASURES, ""]
    if board.cost_points(members):
        said = board.front(members, folder / f"front-{number}.png", shown)
        parts += [f"![{members[0]['metric']} against milliseconds a clip](front-{number}.png)", "", said, ""]
        parts += ["What to take:", "", picks.picks(members), picks.RULE, ""]
    return parts


def _analyses(found: Sequence[Record], folder: Path) -> list[str]:
    """The sections on single options, where runs differ in nothing else."""
    parts = []
    shown = looks.of_methods(r["method"] for r in found)
    for option, heading in single_options.OPTIONS.items():
        groups = single_options.apart(found, option)
        if groups:
            analysis_figures.effect(groups, folder / f"effect-{option}.png", shown)
            parts += [f"## {heading}", "", f"![effect of {option}](effect-{option}.png)", ""]
            parts += [single_options.effect_table(groups)]
    return parts


def _embeddings(found: Sequence[Record], folder: Path, workdirs: Sequence[Path]) -> list[str]:
    """The section on embeddings, where `--embeddings` stored some."""
    kept = [r for r in found if r.get("silhouette")]
    if not kept:
        return []
    header = ["cell", "method", "protocol", "seed", "before", "after", "tokens before", "tokens after"]
    rows, files = [], []
    for r in kept:
        cell = f"{r['dataset']}, {r['net']}, {r['corruption']}-{r['level']}"
        scores = [*r["silhouette"], *r.get("silhouette_tokens", [])]
        numbers = [f"{score:.3f}" for score in scores] + ["-"] * (4 - len(scores))
        rows.append([cell, r["method"], r["protocol"], str(r["seed"]), *numbers])
        file = f"{r['cell']}.npz"
        stored = [w / "embeddings" / file for w in workdirs if is_inside(file)]
        files += [(f"{r['corruption']}-{r['level']} {r['method']}", f) for f in stored if f.is_file()][:1]
    parts = ["## Embeddings before and after adaptation: silhouette of the classes", ""]
    parts += [table(header, rows)]
    if files:
        analysis_figures.embeddings(files[:EMBEDDINGS_SHOWN], folder / "embeddings.png")
        if len(files) > EMBEDDINGS_SHOWN:
            parts += [f"The first {EMBEDDINGS_SHOWN} of {len(files)} cells:", ""]
        parts += ["![embeddings](embeddings.png)", ""]
    return parts


def write_report(
    workdirs: Sequence[str],
    output: str | None = None,
    html: bool = False,
    formats: Sequence[str] = (),
    compare: Sequence[str] = (),
) -> str:
    """Writes `report.md` and its figures; returns what is to be printed: where, after the published tables if any.

    Args:
      workdirs: folders with results.jsonl, zeroshot.jsonl, crossval.jsonl, incremental.jsonl or tuning.jsonl.
      output: the report's folder; by default `report/` in the first work folder.
      html: also write `report.html`, which holds everything.
      formats: of `paper.KINDS`: also write every table so, into `tables/` of the folder.
      compare: methods to compare in pairs, the first with each of the others.

    Raises:
      BadInput: a folder without records; methods that cannot be compared.
    """
    rows = [row for w in workdirs for row in records.read(Path(w), "zeroshot", checked=True)]
    validated = [row for w in workdirs for row in records.read(Path(w), "crossval", checked=True)]
    courses = [row for w in workdirs for row in records.read(Path(w), "incremental", checked=True)]
    tunings = [row for w in workdirs for row in records.read(Path(w), "tuning", checked=True)]
    others = [{w for w in workdirs if records.read(Path(w), kind)} for kind in _OTHERS]
    with_results = [Path(w) for w in workdirs if not any(w in some for some in others) or records.read(Path(w))]
    found = of_one_make(latest(records.read_all(with_results, _FILES)))
    named = with_variants(found)
    compared = comparisons.compare(named, compare) if compare else []
    folder = Path(output) if output else Path(workdirs[0]) / "report"
    folder.mkdir(parents=True, exist_ok=True)
    texts = [render(found, folder, [Path(w) for w in workdirs], compared)] if found else []
    texts += [zeroshot.render(rows, folder)] if rows else []
    texts += [crossval.render(validated)] if validated else []
    texts += [incremental.render(courses, folder)] if courses else []
    texts += [tuning.render(tunings, folder)] if tunings else []
    text = of_markdown("\n".join(texts))
    written = {"report.md": text, **({"report.html": report_html.page(text, folder)} if html else {})}
    tables = paper.files(found, formats, compared) if found else {}
    if rows and "csv" in formats:
        tables["zeroshot.csv"] = tidy.text(zeroshot.tidy_rows(rows))
    if validated and "csv" in formats:
        tables["crossval.csv"] = tidy.text(crossval.tidy_rows(validated))
    if courses and "csv" in formats:
        tables["incremental.csv"] = tidy.text(incremental.tidy_rows(courses))
    for name, content in {**written, **{f"tables/{name}": content for name, content in tables.items()}}.items():
        # A byte of a file name that is no character stands in a command of older records: it is written as an escape.
        write_atomically(folder / name, "\n".join(map(one_line, content.split("\n"))))
    said = [f"{title(one.place)}\n\n{comparisons.as_markdown(one)}" for one in compared]
    if any(published.has_published(r) for r in found):
        said += [published.beside_published(named), published.overview(named)]
    count = sum(map(len, (found, rows, validated, courses, tunings)))
    last = f"{counted(count, 'record')} reported: {folder / list(written)[-1]}"
    if tables:
        last += f", {counted(len(tables), 'table')} in {folder / 'tables'}"
    return "\n".join([*said, last])


def report(run: ReportRun) -> str:
    """A report of the work folders, or the tables of the page `run.fill` rendered anew.

    Raises:
      BadInput: flags that do not go together.
    """
    if bool(run.fill) == bool(run.workdir):
        raise BadInput("expected either --workdir=FOLDER[,FOLDER] for a report or --fill=PAGE for a page's tables")
    unknown = [name for name in run.format if name not in paper.KINDS]
    if unknown:
        raise BadInput(
            f"--format={','.join(run.format)}: expected {' or '.join(paper.KINDS)}, or both; report.md is always "
            "written, report.html with --html"
        )
    if not run.fill:
        compare = comparisons.names_in(run.compare) if run.compare is not None else ()
        with _shown(run.workdir):
            return write_report(run.workdir, run.output, run.html, run.format, compare)
    if run.html or run.output or run.format or run.compare is not None:
        raise BadInput("--fill renders a page in place, expected it without --html, --output, --format and --compare")
    with _shown([run.fill]):
        return fill_page(Path(run.fill))


@contextlib.contextmanager
def _shown(places: Sequence[str]) -> Iterator[None]:
    """A block that makes tables and figures of records: what they cannot be made of is said, with the place.

    Raises:
      BadInput: for whatever a value of an unexpected kind leads to, beyond what `record_types` knows.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(
            f"{', '.join(places)}: holds a record that cannot be shown ({told(error)}), expected records as our "
            "commands write them; remove the line that was changed, or report this if none was"
        ) from error
