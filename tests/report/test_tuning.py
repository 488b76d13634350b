"""Tuning curves on records made by hand."""

import numpy as np
import pytest

from dhauds_jax.report import marked_pages, tuning
from dhauds_jax.workdir import records


def trial(options, scores, nll=1.0, collapsed=False):
    rest = {"nll": [nll] * len(scores), "collapsed": [collapsed] * len(scores), "seconds": 1800.0, "cells": ["x"]}
    return {"options": options, "scores": scores, **rest}


def a_tuning(method, trials, chosen, why, floor=(0.5, 0.5)):
    return {
        **dict.fromkeys(records.TUNING_KEYS, "-"),
        "dataset": "d",
        "net": "n",
        "corruption": "CLP",
        "level": "6dB",
        "method": method,
        "protocol": "offline",
        "profile": "reference",
        "metric": "accuracy",
        "n": 300,
        "seeds": [0, 1],
        "epochs": 5,
        "batch_size": 70,
        "chosen": chosen,
        "why": why,
        "floor": trial({"lr": 0.0}, list(floor)),
        "trials": trials,
        "seconds": 7200.0,
    }


TENT = a_tuning(
    "tent",
    [
        trial({"lr": 1e-3}, [0.6, 0.7], 0.9),
        trial({"lr": 3e-4}, [0.6, 0.6], 1.1),
        trial({"lr": 5e-3}, [0.9, 0.9], 2.0, collapsed=True),
        trial({"lr": 25.0}, []),
    ],
    {"lr": 1e-3},
    "best",
)
NORM = a_tuning(
    "norm",
    [
        trial({"statistics": "running"}, [0.4, 0.4]),
        trial({"statistics": "blend", "prior": 64.0}, [0.3, 0.3]),
        trial({"statistics": "blend", "prior": 16.0}, [0.2, 0.2]),
    ],
    {"statistics": "running"},
    "harm",
)


def cells(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]


def test_every_value_is_there_and_the_chosen_one_is_marked():
    header, _, tent, norm = cells(tuning.curves_table([TENT, NORM]))
    assert header == ["method", "values tried", "chosen", "why", "score", "floor", "seeds"]
    tried = "0.0003: 60.0 / 1.100; 0.001: 65.0* / 0.900; 0.005: 90.0! / 2.000; 25: x"
    assert tent == ["tent", tried, "0.001", "best", "65.0", "50.0", "7.1"]  # of 60 and 70: sqrt(50)
    tried = "statistics=running: 40.0* / 1.000; statistics=blend prior=16.0: 20.0 / 1.000; "
    tried += "statistics=blend prior=64.0: 30.0 / 1.000"
    assert norm == ["norm", tried, "statistics=running", "default: no better than the floor", "40.0", "50.0", "0.0"]


def test_the_last_tuning_of_a_method_counts():
    (row,) = cells(tuning.curves_table([{**TENT, "floor": trial({"lr": 0.0}, [0.1])}, TENT]))[2:]
    assert row[5] == "50.0"


def test_the_figure_has_a_panel_a_method_with_its_line_seeds_and_floor(monkeypatch, tmp_path):
    kept = []
    monkeypatch.setattr(tuning, "save", lambda figure, path: kept.append(figure))
    tuning.curves([TENT, NORM], tmp_path / "x.png")
    tent, norm = (ax for ax in kept[0].axes if ax.get_visible())
    (line,) = [one for one in tent.lines if one.get_linestyle() == "-" and len(one.get_xdata()) == 3]
    np.testing.assert_allclose(line.get_xdata(), [3e-4, 1e-3, 5e-3])  # what diverges has no point
    np.testing.assert_allclose(line.get_ydata(), [60, 65, 90])
    assert [one.get_ydata()[0] for one in tent.lines if one.get_linestyle() == ":"] == [50.0]
    assert (norm.get_title(), norm.get_xlabel()) == ("norm", "prior")


def test_a_page_has_the_table_by_a_mark_and_a_report_a_section(tmp_path):
    records.append(tmp_path / "r", TENT, "tuning")
    assert marked_pages.render_mark("table: tuning | records: r", tmp_path) == tuning.curves_table([TENT])
    text = tuning.render([TENT, a_tuning("memo", TENT["trials"], {"lr": 1e-3}, "best")], tmp_path)
    assert "## d, n, CLP-6dB: offline, profile reference" in text
    assert "300 clips, 5 epochs in batches of 70, seeds 0, 1; 4.0 h." in text
    assert (tmp_path / "tuning-1.png").is_file()


@pytest.mark.parametrize("why", tuning.WHY)
def test_every_reason_of_the_rule_has_words(why):
    from dhauds_jax.recipes.tuning import REASONS

    assert why in REASONS and len(REASONS) == len(tuning.WHY)
