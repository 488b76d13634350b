"""The leaderboard's tables on records made by hand."""

import pytest

from dhauds_jax.report import rankings
from dhauds_jax.report.tables import with_variants


def record(method, corruption, seed, value, protocol="offline", **more):
    curve = [
        {"epoch": e, "metric": v, "criteria": {"information": c}}
        for e, (v, c) in enumerate(zip((0.1, value + 0.1, value), (0.0, 1.0, 0.5), strict=True))
    ]
    return {
        "dataset": "d",
        "net": "n",
        "metric": "accuracy",
        "profile": "reference",
        "method": method,
        "corruption": corruption,
        "level": "L2",
        "seed": seed,
        "protocol": protocol,
        "adapted_last": value,
        "seconds": 10.0 * (1 + seed),
        "collapsed": False,
        "selection": {"oracle_epoch": 1, "criterion": "information"},
        "curve": curve,
        "source_checkpoint": "w",
        **more,
    }


FOUND = [
    *(record("tent", c, s, 0.5 + 0.1 * s) for c in ("WHN", "PSH") for s in (0, 1)),
    *(record("shot", c, s, 0.6 + 0.1 * s) for c in ("WHN", "PSH") for s in (0, 1)),
    record("slow", "WHN", 0, 0.9),
    *(record("tent", c, 0, 0.4, "online") for c in ("WHN", "PSH")),
]


def cells(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]


def test_leaderboard_ranks_by_the_first_column_and_shows_what_is_open():
    header, _, *rows = cells(rankings.leaderboard(FOUND))
    assert header == ["method", "offline", "online", "s a cell, offline"]  # nobody measured the others
    assert rows == [
        ["shot", "65.0 [60.0, 70.0]", "open", "15"],
        ["tent", "55.0 [50.0, 60.0]", "40.0 [40.0, 40.0] (1 of 2 seeds)", "15"],
        ["slow", "open", "open", "10"],  # one of two corruptions: a mean over it would not compare
    ]


def test_floors_stand_below_their_methods_and_what_is_not_asked_for_is_not_open():
    found = [
        record("tent", "WHN", 0, 0.7, options={"lr": 1e-3}),
        record("tent", "WHN", 0, 0.6, options={"lr": 0.0}),
        record("norm", "WHN", 0, 0.65, options={}),
        record("memo", "WHN", 0, 0.5, "online", options={"lr": 1e-3}),
        record("memo", "WHN", 0, 0.4, "online", options={"lr": 0}),
        record("tent", "WHN", 0, 0.3, "batch1", options={"lr": 1e-3}, protocol_options={"window": 16}),
    ]
    header, _, *rows = cells(rankings.leaderboard(with_variants(found)))
    assert header == ["method", "offline", "online", "batch1, window 16", "s a cell, offline"]
    one = lambda value: f"{value} [{value}, {value}]"  # noqa: E731
    assert [row[0] for row in rows] == ["tent", "tent at rate 0", "norm", "memo", "memo at rate 0"]
    assert rows[0] == ["tent", one("70.0"), "open", one("30.0"), "10"]
    assert rows[1][1] == one("60.0")
    assert rows[3] == ["memo", "n/a", one("50.0"), "n/a", "n/a"]
    assert rows[4][:3] == ["memo at rate 0", "n/a", one("40.0")]


def test_by_corruption():
    _, _, *rows = cells(rankings.by_corruption([r for r in FOUND if r["protocol"] == "offline"]))
    assert rows == [["tent", "55.0", "55.0"], ["shot", "65.0", "65.0"], ["slow", "90.0", "open"]]


def test_each_level_counts():
    """Both levels of both corruptions by tent; shot lacks one of the four cells, so its mean would not compare."""
    found = [
        record("tent", c, 0, v, level=level)
        for c, level, v in (("WHN", "L1", 0.8), ("WHN", "L2", 0.4), ("PSH", "L1", 0.7), ("PSH", "L2", 0.5))
    ]
    found += [{**r, "method": "shot"} for r in found[1:]]
    _, _, *rows = cells(rankings.leaderboard(found))
    assert [row[:2] for row in rows] == [["tent", "60.0 [60.0, 60.0]"], ["shot", "open"]]
    header, _, *rows = cells(rankings.by_corruption(found))
    assert header == ["method", "WHN-L1", "WHN-L2", "PSH-L1", "PSH-L2"]
    assert rows == [["tent", "80.0", "40.0", "70.0", "50.0"], ["shot", "open", "40.0", "70.0", "50.0"]]


def test_protocols_are_not_mixed():
    header, _, *rows = cells(rankings.by_corruption(FOUND))
    assert header == ["method", "WHN", "PSH"] and ["tent, offline", "55.0", "55.0"] in rows
    assert rows[-1] == ["tent, online", "40.0", "40.0"]
    both = [record(m, "WHN", 0, v, p) for m, p, v in (("tent", "offline", 0.5), ("tent", "online", 0.6))]
    both += [record("shot", "WHN", 0, 0.7, "offline"), record("shot", "WHN", 0, 0.5, "online")]
    _, _, row = cells(rankings.versus(both))
    assert row[:3] == ["shot", "+5.0 [+5.0, +5.0]", "1 of 2"]  # 20 points better offline, 10 worse online


def test_versus_compares_common_cells():
    offline = [r for r in FOUND if r["protocol"] == "offline"]
    _, _, *rows = cells(rankings.versus(offline))
    assert rows == [
        ["slow", "+40.0 [+40.0, +40.0]", "1 of 1", "1.00"],
        ["shot", "+10.0 [+10.0, +10.0]", "4 of 4", "0.50"],
    ]
    with pytest.raises(ValueError, match="no record of norm to compare with"):
        rankings.versus(offline, "norm")


def test_criteria_against_the_oracle():
    """The criterion is highest at epoch 1, the oracle's; the last epoch loses 10 points, the first much more."""
    found = [record("tent", "WHN", 0, 0.5), record("tent", "PSH", 0, 0.7, collapsed=True)]
    _, _, *rows = cells(rankings.criteria(found))
    assert rows == [
        ["oracle (test labels)", "70.00", "0.00", "0.0", "100 %", "80.0"],
        ["last", "60.00", "10.00", "10.0", "0 %", "70.0"],
        ["first (no adaptation)", "10.00", "60.00", "70.0", "0 %", "10.0"],
        ["information", "70.00", "0.00", "0.0", "100 %", "80.0"],
    ]
    with pytest.raises(ValueError, match="no offline record with several epochs"):
        rankings.criteria([record("tent", "WHN", 0, 0.5) | {"curve": [{}, {}]}])
