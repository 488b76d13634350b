"""A board's measures on records made by hand, each number worked out beside it."""

import numpy as np
import pytest

from dhauds_jax.report import board, intervals, picks, rankings
from dhauds_jax.report.looks import of_methods
from dhauds_jax.report.rankings import leaderboard
from dhauds_jax.report.tables import with_variants


def record(method, corruption, seed, value, before=0.4, *, lr=1e-3, protocol="online", **more):
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
        "source_checkpoint": f"w{seed}",
        "n": 200,
        "non_adapted": before,
        "adapted_last": value,
        "adapted_selected": max(before, value) - 0.02,
        "adapted_oracle": max(before, value),
        "ece": 0.1,
        "nll": 1.5,
        "seconds": 2.0,
        "passes": {"forward": 1.0, "backward": 1.0, "evaluation": 0},
        "options": {"lr": lr} if lr is not None else {},
        "selection": {"criterion": "information"},
        **more,
    }


SEEDS, CELLS = (0, 1), ("WHN", "PSH")
TENT = {("WHN", 0): 0.7, ("WHN", 1): 0.5, ("PSH", 0): 0.3, ("PSH", 1): 0.4}
FLOOR = {("WHN", 0): 0.6, ("WHN", 1): 0.6, ("PSH", 0): 0.35, ("PSH", 1): 0.4}
FOUND = with_variants(
    [
        *(record("tent", c, s, v, seconds=10.0 if s else 2.0) for (c, s), v in TENT.items()),
        *(record("tent", c, s, v, lr=0.0) for (c, s), v in FLOOR.items()),
        *(record("lame", c, s, 0.45, lr=None, seconds=1.0) for c in CELLS for s in SEEDS),
        *(record("source", c, s, 0.4, lr=None, seconds=0.2) for c in CELLS for s in SEEDS),
        *(record("tent", "clean", s, 0.1) for s in SEEDS),  # clean cells count for nothing here
    ]
)


def cells(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]


def test_measures_by_hand():
    """Over the floor: +10, -10, -5, 0 points. Below source (40 %): the 30 alone. PSH: 30 and 40, a mean gain of -5.

    Milliseconds a clip: 1000 x 2, 10, 2, 10 s / 200 = 10, 50, 10, 50, whose median is 30; the choice loses 2.
    """
    header, _, tent, lame = cells(board.measures(FOUND))
    assert header == [
        *("method", "gain", "below source", "below floor", "worst cell", "ECE", "NLL", "ms a clip", "passes", "regret"),
    ]
    assert tent == ["tent", "-1.2", "1 of 4", "2 of 4", "-5.0 (PSH-L2)", "10.0", "1.50", "30.0", "1 + 1", "2.0"]
    assert lame == ["lame", "-", "0 of 4", "-", "+5.0 (WHN-L2)", "10.0", "1.50", "5.0", "1 + 1", "2.0"]


def test_what_is_forgotten_is_against_the_source_and_a_choice_as_it_goes_against_the_better_of_both():
    """Clean: 90 % before (`source`), 80 % at the end: 10 points. The stream chose 60, the better of 40 and 70 is 70."""
    ends = {"source": (0.9, 0.9), "tent": (0.88, 0.8)}
    found = [
        record(m, "WHN+PSH", 0, 0.7, protocol="forgetting", domains=[{"clean": c} for c in ends[m]],
               selected_as_it_goes={"metric": 0.6, "criterion": "information", "adapted": 0.5})
        for m in ("source", "tent")
    ]  # fmt: skip
    header, _, row = cells(board.measures(found))
    assert dict(zip(header, row))["forgets"] == "+10.0"
    assert dict(zip(header, row))["as it goes"] == "10.0"


def test_protocols_are_told_apart():
    more = [record("tent", c, s, 0.9, protocol="batch1") for c in CELLS for s in SEEDS]
    _, _, *rows = cells(board.measures([*FOUND, *more]))
    assert [row[0] for row in rows] == ["tent, batch1", "tent, online", "lame, online"]
    assert rows[0][1] == "-", "a floor of another protocol is no floor"


def test_floors_of_several_settings_are_floors_each_of_its_own_method():
    """Two momenta: 70 % over a floor of 60, and 50 % over one of 55: +10 and -5 points, and no row for a floor."""
    found = with_variants(
        [
            record("tent", "WHN", 0, value, lr=lr).copy() | {"options": {"lr": lr, "momentum": momentum}}
            for value, lr, momentum in ((0.7, 0.1, 0.9), (0.6, 0.0, 0.9), (0.5, 0.1, 0.5), (0.55, 0.0, 0.5))
        ]
    )
    header, _, *rows = cells(board.measures(found))
    gains = {row[0]: row[header.index("gain")] for row in rows}
    assert gains == {"tent [momentum=0.9]": "+10.0", "tent [momentum=0.5]": "-5.0"}
    assert {one.method for one in board.ranked(found)} == set(gains) == set(board.cost_points(found))
    board_rows = [row[0] for row in cells(leaderboard(found))[2:]]
    assert board_rows == [
        *("tent [momentum=0.9]", "tent at rate 0 [momentum=0.9]"),
        *("tent [momentum=0.5]", "tent at rate 0 [momentum=0.5]"),
    ]


def test_a_floor_on_other_clips_is_no_floor():
    found = [
        record("tent", "WHN", 0, 0.7),
        record("tent", "WHN", 0, 0.6, lr=0.0),
        record("tent", "WHN", 0, 0.9, lr=0.0, n=300),
        record("lame", "WHN", 0, 0.5, lr=None),
    ]
    header, _, tent, _ = cells(board.measures(with_variants(found)))
    assert tent[header.index("gain")] == "+10.0"


def test_what_a_state_holds_is_the_most_of_its_runs():
    found = [record("tent", "WHN", 0, 0.7, state_bytes=1_234_000), record("tent", "PSH", 0, 0.7, state_bytes=52)]
    found += [record("lame", "WHN", 0, 0.5, lr=None), record("shot", "WHN", 0, 0.4, lr=None, state_bytes=52)]
    header, _, *rows = cells(board.measures(found))
    assert [row[header.index("MB held")] for row in rows] == ["1.23", "-", "5.2e-05"]


def test_transmissions_have_no_part_in_means_beside_others():
    more = [record(method, "RIR", s, 0.0, lr=None) for method in ("lame", "source") for s in SEEDS]
    assert board.ranks_table([*FOUND, *more]) == board.ranks_table(FOUND)


def test_floors_change_no_comparison_and_no_choice():
    curve = [{"metric": m, "criteria": {"information": m}} for m in (0.4, 0.6, 0.5)]
    more = {"curve": curve, "selection": {"criterion": "information", "oracle_epoch": 1}, "collapsed": False}
    found = with_variants([{**r, **more} for r in FOUND])
    alone = [r for r in found if "at rate 0" not in r["method"]]
    assert len(alone) < len(found)
    for of in (rankings.versus, rankings.criteria, board.paired):
        assert of(found) == of(alone)


def test_pairs_of_two_protocols_are_two_tables():
    more = [record(m, c, s, 0.9, protocol="batch1") for m in ("tent", "lame") for c in CELLS for s in SEEDS]
    text = board.paired([*FOUND, *more])
    assert "d, n: online, profile reference (accuracy):" in text
    assert "d, n: batch1, profile reference (accuracy):" in text


def test_ranks_by_hand():
    """tent, lame, source over (WHN 0, WHN 1, PSH 0, PSH 1): 1 1 3 2.5; 2 2 1 1; 3 3 2 2.5."""
    _, _, *rows = cells(board.ranks_table(FOUND))
    found = {one.method: one for one in board.ranked(FOUND)}
    assert [row[0] for row in rows] == ["lame", "tent", "source"]
    assert {name: one.rank for name, one in found.items()} == {"lame": 1.5, "tent": 1.875, "source": 2.625}
    assert {name: one.first for name, one in found.items()} == {"lame": 0.5, "tent": 0.5, "source": 0.0}
    assert rows[0][2:] == ["50 %", "45.0"]
    # Of lame: with WHN drawn k times of 2, the mean is 1, 1.5 or 2, each half or a quarter of the time.
    assert (found["lame"].low, found["lame"].high) == (1.0, 2.0)
    lacking = [r for r in FOUND if (r["method"], r["corruption"], r["seed"]) != ("source", "WHN", 1)]
    assert {one.method for one in board.ranked(lacking)} == {"lame", "tent"}, "who lacks a run has no rank"


def test_an_interval_over_two_factors_is_wider_than_over_one():
    """Values that differ by seed alone, by cell alone, and by both; with one seed and one cell it is the value."""
    every = [(seed, cell) for seed in range(6) for cell in range(6)]
    seeds, cells_ = map(list, zip(*every))
    by_seed, by_cell = ((np.array(one) - 2.5) / 5 for one in (seeds, cells_))
    one = np.diff(intervals.two_way(by_seed, seeds, cells_))[0]
    other = np.diff(intervals.two_way(by_cell, seeds, cells_))[0]
    both = np.diff(intervals.two_way(by_seed + by_cell, seeds, cells_))[0]
    alone = np.diff(intervals.interval((np.arange(6) - 2.5) / 5))[0]
    assert one == pytest.approx(alone, rel=0.03) and other == pytest.approx(alone, rel=0.03)
    assert both == pytest.approx(2**0.5 * alone, rel=0.06)
    assert intervals.two_way([0.3], ["a"], ["b"]) == (0.3, 0.3)


def test_pairs_have_both_tests_and_holms_p():
    """Over cells: 60 and 35 % of tent against 45 of lame, +15 and -10: of two, no sign is surprising."""
    text = board.paired([r for r in FOUND if r["corruption"] != "clean"])
    header, _, *rows = cells(text)
    assert header[-4:] == ["better", "p", "p (Holm)", "least p"]
    of_lame = [row for row in rows if row[1] == "lame"]
    assert [row[2] for row in of_lame] == ["2 seeds", "2 cells"]
    assert of_lame[0][3:5] == ["47.5", "45.0"]
    assert of_lame[0][6:] == ["2 of 4", "1.000", "1.000", "0.500"]
    assert {row[1] for row in rows} == {"lame", "source"}, "a floor is no rival and corrects nobody's p"
    with pytest.raises(ValueError, match=r"^paired: norm is not among the methods, or alone"):
        board.paired(FOUND, "norm")


def test_the_front_is_who_nobody_beats():
    points = {"a": (1.0, 0.3), "b": (2.0, 0.5), "c": (3.0, 0.5), "d": (4.0, 0.8), "e": (5.0, 0.7), "f": (1.0, 0.2)}
    assert board.front_of(points) == ["a", "b", "d"]
    assert board.front_of({"a": (1.0, 0.5), "b": (1.0, 0.5)}) == ["a", "b"], "equals do not beat each other"


def test_the_figure_has_a_point_a_method_and_the_front(monkeypatch, tmp_path):
    """source 1 ms at 40 %, lame 5 ms at 45 %, tent 30 ms at 47.5 %: all three; floors and clean cells have no part."""
    kept = []
    monkeypatch.setattr(board, "save", lambda figure, path: kept.append(figure))
    said = board.front(FOUND, tmp_path / "front.png", of_methods(r["method"] for r in FOUND))
    of_all = "source (40.0 % at 1.0 ms), lame (45.0 % at 5.0 ms), tent (47.5 % at 30.0 ms)"
    assert said == f"On the front, from the cheapest on: {of_all}."
    (axes,) = kept[0].axes
    lines = {line.get_label(): np.array(line.get_xydata()) for line in axes.lines}
    np.testing.assert_allclose(lines["front"], [[1, 40], [5, 45], [30, 47.5]])
    assert set(lines) == {"front", "source", "lame", "tent"}


def test_what_is_taken_is_cheap_near_the_best_and_harmless():
    """lame has 45.0 everywhere at 5 ms; tent 47.5 at 30 ms, worse than none (40) in one of four runs, learns -1.25.

    A third method that is within a point of tent, dearer than lame and harmless is the one to take.
    """
    more = [record("shot", c, s, 0.47, lr=None, seconds=1.6) for c in CELLS for s in SEEDS]
    said = picks.picks([*FOUND, *more])
    assert said == (
        "* *online*: take shot (47.0, 8.0 ms a clip); no adaptation has 40.0; the best, tent (47.5, -1.2 of it learnt, "
        "30.0 ms a clip). Leave alone: tent (worse than none in 25 % of runs).\n"
    )


def test_none_is_taken_where_nobody_is_better_and_who_loses_by_learning_is_named():
    worse = [record("shot", c, s, 0.39, lr=None) for c in CELLS for s in SEEDS]
    assert picks.picks(worse) == (
        "* *online*: take none: the best, shot, has 39.0 where the network as it is has 40.0. "
        "Leave alone: shot (worse than none in 100 % of runs).\n"
    )
    above = [record("tent", c, s, 0.5, lr=lr) for c in CELLS for s in SEEDS for lr in (1e-3,)]
    floor = [record("tent", c, s, 0.6, lr=0.0) for c in CELLS for s in SEEDS]
    (line,) = picks.picks(with_variants([*above, *floor])).splitlines()
    assert line.endswith("no adaptation has 40.0. Leave alone: tent (learning costs 10.0 points).")
    for lost, said in ((0.004, ""), (0.005, " Leave alone: tent (learning costs 0.5 points).")):
        near = [record("tent", c, s, 0.6 - lost, lr=1e-3) for c in CELLS for s in SEEDS]
        assert picks.picks(with_variants([*near, *floor])).endswith(f"no adaptation has 40.0.{said}\n")
    assert picks.picks([record("tent", "WHN", 0, 0.5), record("shot", "PSH", 0, 0.5)]).endswith(
        "no method has all cells.\n"
    )
