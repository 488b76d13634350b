"""The tables of a report as csv and LaTeX: numbers by hand, names escaped, columns that fit."""

import csv
import io
import re

import numpy as np
import pytest

from dhauds_jax.report import comparisons, latex, paper, tidy
from tests.report.test_comparisons import FOUND as PAIRS
from tests.report.test_figures import HIGH_LOW, runs
from tests.report.test_tables import CLEAN, a_record

FOUND = [
    {**CLEAN, "method": "tent"},
    *(a_record("WHN", "tent", s, 0.2, v) for s, v in ((0, 0.5), (1, 0.6), (2, 0.7))),
    *(a_record("TST", "tent", s, 0.4, v) for s, v in ((0, 0.7), (1, 0.8))),
    a_record("WHN", "a_b:f%", 0, 0.2, 0.3, nll=float("nan")),
]


def read(text):
    return list(csv.DictReader(io.StringIO(text)))


def numbers(row):
    return [float(row[key]) if row[key] else None for key in ("mean", "low", "high", "sd", "seeds")]


def body(text):
    """The cells of a tabular's rows, its header first; every row has as many as there are columns."""
    columns = len(re.search(r"\\begin\{tabular\}\{([lr]+)\}", text)[1])
    rows = [line.removesuffix(r" \\").split(" & ") for line in text.splitlines() if line.endswith(r" \\")]
    assert {len(row) for row in rows} == {columns}
    return rows


def test_cells_as_csv():
    """WHN of tent: mean .6, half 4.302653 * .1 / sqrt(3); its gain of .4 has the same interval."""
    rows = read(paper.files(FOUND, ["csv"])["cells.csv"])
    assert len(rows) == 4 * len(tidy.QUANTITIES)
    by = {(r["corruption"], r["method"], r["quantity"]): r for r in rows}
    half = 4.302653 * 0.1 / np.sqrt(3)
    last, gain = (by["WHN", "tent", quantity] for quantity in ("adapted_last", "gain"))
    np.testing.assert_allclose(numbers(last), [0.6, 0.6 - half, 0.6 + half, 0.1, 3], atol=1e-7)
    np.testing.assert_allclose(numbers(gain), [0.4, 0.4 - half, 0.4 + half, 0.1, 3], atol=1e-7)
    assert numbers(by["clean", "tent", "adapted_last"]) == [0.98, None, None, None, 1]
    assert by["WHN", "a_b:f%", "nll"]["mean"] == ""
    assert {k: last[k] for k in ("dataset", "level", "unit", "source_weights", "clips", "collapsed")} == {
        "dataset": "d",
        "level": "L2",
        "unit": "fraction",
        "source_weights": "3",
        "clips": "9",
        "collapsed": "0",
    }


def test_means_as_csv():
    """Seeds 0 and 1 have both corrupted cells: (.5 + .7) / 2 and (.6 + .8) / 2; t with one degree is 12.7062."""
    rows = read(paper.files(FOUND, ["csv"])["means.csv"])
    last, other = (r for r in rows if r["quantity"] == "adapted_last")
    sd = 0.1 / np.sqrt(2)
    np.testing.assert_allclose(numbers(last), [0.65, 0.65 - 0.635310, 0.65 + 0.635310, sd, 2], atol=1e-6)
    assert (last["cells"], last["of_cells"], last["left_out"]) == ("2", "2", "seed 2 lacks TST-L2")
    assert (other["method"], other["cells"], other["of_cells"], other["low"]) == ("a_b:f%", "1", "2", "")


def test_means_over_data_sets_as_csv():
    """Within each seed over all cells: (.5 + .3) / 2 and (.6 + .5) / 2; other metrics are several."""
    found = [a_record("WHN", "tent", s, 0.2, v) for s, v in ((0, 0.5), (1, 0.6))]
    found += [a_record("TST", "tent", s, 0.2, v, dataset="e", metric="macro_f1") for s, v in ((0, 0.3), (1, 0.5))]
    rows = [r for r in read(paper.files(found, ["csv"])["means.csv"]) if r["quantity"] == "adapted_last"]
    assert [(r["dataset"], r["metric"], r["cells"]) for r in rows] == [
        ("d", "accuracy", "1"),
        ("e", "macro_f1", "1"),
        ("all", "several", "2"),
    ]
    np.testing.assert_allclose([float(r["mean"]) for r in rows], [0.55, 0.4, 0.475])


def test_all_tables_are_there():
    found = [
        *runs(HIGH_LOW),
        a_record("WHN", "norm", 0, 0.2, 0.4, protocol="online", published={"non_adapted": 0.19, "adapted": None}),
    ]
    found[-1]["silhouette"] = [0.012, 0.345]
    compared = comparisons.compare(PAIRS, ("dhauds", "tent"))
    files = paper.files(found, paper.KINDS, compared)
    tables = ["means", "cells-1", "choices-1", "cells-2", "choices-2", "published-2", "effect-momentum", "embeddings"]
    assert list(files) == [
        *(f"{name}.csv" for name in ("cells", "means", "published", "effects", "embeddings", "comparisons")),
        *(f"{name}.tex" for name in (*tables, "comparison-1")),
    ]
    assert all(body(text) for name, text in files.items() if name.endswith(".tex"))
    before, after = read(files["published.csv"])
    np.testing.assert_allclose([float(before[k]) for k in ("published", "mean", "difference")], [0.19, 0.2, 0.01])
    assert (after["published"], after["difference"]) == ("", "")
    assert body(files["published-2.tex"])[1] == ["WHN-L2", "norm", "$20.0$", "$19.0$", "$41.0$", "--", "--"]
    effects = [(r["value"], r["quantity"], float(r["mean"])) for r in read(files["effects.csv"])]
    assert effects[:3] == [("0.9", "best", 0.8), ("0.9", "best_epoch", 1), ("0.9", "last", 0.6)]
    assert body(files["effect-momentum.tex"])[2][4:] == ["dhauds", "0.7", "$75.0$", "$3$", "$75.0$"]
    assert [(r["quantity"], r["mean"]) for r in read(files["embeddings.csv"])] == [
        ("silhouette_before", "0.012"),
        ("silhouette_after", "0.345"),
    ]
    assert body(files["embeddings.tex"])[1][-2:] == ["$0.012$", "$0.345$"]
    assert paper.files(found, []) == {}


def test_cells_as_latex():
    text = paper.files(FOUND, ["latex"])["cells-1.tex"]
    assert text == (
        "% d, n: offline, profile reference (accuracy)\n"
        "% After the last epoch (online: as the stream went by); mean: over the corrupted cells, all where none is.\n"
        "% The mean of a_b:f% is over 1 of 2 cells.\n"
        "% No part in the mean of tent: seed 2 lacks TST-L2.\n"
        "% Means over seeds, behind the plus-minus half of Student's 95 % interval over seeds (none with one seed).\n"
        "% Metrics and ECE in %. Needs \\usepackage{booktabs}.\n"
        "\\begin{tabular}{llrrr}\n"
        "\\toprule\n"
        "corruption & level & non-adapted & tent & a\\_b:f\\% \\\\\n"
        "\\midrule\n"
        "clean & - & $98.0$ & $98.0$ & -- \\\\\n"
        "WHN & L2 & $20.0 \\pm 0.0$ & $60.0 \\pm 24.8$ & $30.0$ \\\\\n"
        "TST & L2 & $40.0 \\pm 0.0$ & $75.0 \\pm 63.5$ & -- \\\\\n"
        "\\midrule\n"
        "mean &  & $30.0 \\pm 0.0$ & $65.0 \\pm 63.5$ & $30.0$ \\\\\n"
        "\\bottomrule\n"
        "\\end{tabular}\n"
    )
    rows = body(paper.files(FOUND, ["latex"])["choices-1.tex"])
    assert rows[0][3:] == ["non-adapted", "last", "label-free", "oracle", "gain", "ECE", "NLL (nats)", "s a run"]
    assert rows[2][2:8] == ["tent", "$20.0 \\pm 0.0$", *(f"${v} \\pm 24.8$" for v in ("60.0", "59.0", "61.0", "+40.0"))]


def test_a_comparison_as_latex():
    norm = [{**r, "method": "norm", "adapted_last": 0.4} for r in PAIRS if r["method"] == "tent"]
    compared = comparisons.compare([*PAIRS, *norm], ("dhauds", "tent", "norm"))
    text = paper.files(PAIRS, ["latex"], compared)["comparison-1.tex"]
    assert body(text)[1][5:7] == ["$+4.0$ {[}$-1.0$, $+9.0$]", "3 of 3"]
    assert text.count("\\midrule") == 2  # one between the two comparisons
    assert "% 3 seeds: no p over seeds can be below 0.25;" in text


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a_b & 5 % #1 $x {y}", r"a\_b \& 5 \% \#1 \$x \{y\}"),
        ("\\x~y^z", r"\textbackslash{}x\textasciitilde{}y\textasciicircum{}z"),
        ("dhauds [lr=1]\n*", "dhauds {[}lr=1] {*}"),
        ("<a|b>", r"\textless{}a\textbar{}b\textgreater{}"),
        ("caf\udce9", r"caf\textbackslash{}xe9"),
    ],
)
def test_names_are_escaped(text, escaped):
    assert latex.escape(text) == escaped


def test_signs_are_mathematics():
    assert latex.words("-1.5 [+2.0, -0.3] of WHN-L2 a-1 1e-05") == "$-1.5$ {[}$+2.0$, $-0.3$] of WHN-L2 a-1 1e-05"
    assert latex.number(float("nan")) == "--"
    assert latex.number(-0.0001, signed=True) == "$+0.0$"
    assert latex.number(1.234, tidy.NATS, 0.01) == "$1.23 \\pm 0.01$"
