"""Paired comparisons on cases worked out by hand, and by brute force or scipy's other tests."""

from itertools import combinations, product

import numpy as np
import pytest
from scipy import stats

from dhauds_jax.errors import BadInput
from dhauds_jax.report import comparisons, intervals
from dhauds_jax.report.tables import with_variants
from tests.report.test_tables import CLEAN, a_record

GAPS = {("WHN", 0): 0.02, ("WHN", 1): 0.04, ("WHN", 2): 0.06, ("TST", 0): 0.04, ("TST", 1): -0.02, ("TST", 2): 0.10}


def pair_of(corruption, seed, gap, **changes):
    return [a_record(corruption, m, seed, 0.2, v, **changes) for m, v in (("tent", 0.5), ("dhauds", 0.5 + gap))]


FOUND = [record for (c, s), gap in GAPS.items() for record in pair_of(c, s, gap)]


def rows_of(found, methods=("dhauds", "tent")):
    (one,) = comparisons.compare(found, methods)
    return one.rows, one.notes


def test_three_seeds_by_hand():
    """Over seeds: (3, 1, 8) points, mean 4, sd sqrt(13); over cells: 4 and 4 points. Clean cells stand alone."""
    clean = [{**CLEAN, "method": m, "adapted_last": v, "cell": m} for m, v in (("tent", 0.9), ("dhauds", 0.8))]
    rows, notes = rows_of([*FOUND, *clean])
    named = [(r["scope"], r["over"], r["corruption"], r["n"], r["pairs"], r["better"]) for r in rows]
    assert named == [
        ("cell", "seeds", "WHN", 3, 3, 3),
        ("cell", "seeds", "TST", 3, 3, 2),
        ("cell", "seeds", "clean", 1, 1, 0),
        ("all cells", "seeds", "", 3, 6, 5),
        ("all cells", "cells", "", 2, 6, 5),
    ]
    np.testing.assert_allclose([r["difference"] for r in rows], [0.04, 0.04, -0.1, 0.04, 0.04])
    whole = rows[3]
    half = 4.302653 * np.sqrt(13) / 100 / np.sqrt(3)
    np.testing.assert_allclose([whole["low"], whole["high"]], [0.04 - half, 0.04 + half], atol=1e-7)
    np.testing.assert_allclose([whole["mean"], whole["mean_against"]], [0.54, 0.5])
    # WHN and all cells over seeds: only both ways of equal signs are as far; TST: 4, -2, 10 with the 2 turned too.
    np.testing.assert_allclose([r["p"] for r in rows], [0.25, 0.5, 1.0, 0.25, 0.5])
    assert [r["p_least"] for r in rows] == [0.25, 0.25, 1.0, 0.25, 0.5]
    np.testing.assert_allclose([r["p_holm"] for r in rows], [0.75, 1.0, 1.0, 0.25, 0.5])  # three cells: three tests
    assert notes == [
        "3 seeds: no p over seeds can be below 0.25; for one below 0.05 it takes 6 seeds or more, for any number of "
        "cells."
    ]


def test_another_road_to_the_interval_and_p():
    gaps = np.random.default_rng(0).normal(0.01, 0.03, 7)
    found = [record for seed, gap in enumerate(gaps) for record in pair_of("WHN", seed, float(gap))]
    (row, _), notes = rows_of(found)
    pairs = np.array([[r["adapted_last"] for r in found if r["method"] == m] for m in ("dhauds", "tent")])
    np.testing.assert_allclose((row["low"], row["high"]), stats.ttest_rel(*pairs).confidence_interval(0.95))
    signs = np.array(list(product((-1, 1), repeat=7)))
    far = np.abs((signs * gaps).mean(1)) >= abs(gaps.mean()) - 1e-12
    assert row["p"] == pytest.approx(far.mean())
    assert row["p_least"] == 2 / 2**7
    assert notes == ["7 seeds: no p over seeds can be below 0.016."]


@pytest.mark.parametrize("count", range(1, 8))
def test_the_least_p_is_reached_when_all_differences_have_one_sign(count):
    assert intervals.sign_flip(np.arange(1, count + 1) / 10) == pytest.approx(intervals.least_p(count))
    if count > 1:  # the exact test of ranks cannot go lower either
        assert stats.wilcoxon(np.arange(1, count + 1) / 10, method="exact").pvalue == intervals.least_p(count)


def test_six_seeds_are_the_fewest_for_five_per_cent():
    assert intervals.seeds_needed(0.05) == 6
    assert intervals.least_p(5) == 0.0625 and intervals.least_p(6) == 0.03125
    assert intervals.sign_flip(np.ones(20)) == pytest.approx(intervals.least_p(20)) == pytest.approx(2 / 16385)


def test_holm_is_the_closed_test_of_bonferroni():
    """A hypothesis falls when every set that holds it falls: its p is the largest of `size * smallest p` over them."""
    assert comparisons.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    for p in np.random.default_rng(0).uniform(0, 0.4, (5, 4)):
        sets = [s for size in range(1, 5) for s in combinations(range(4), size)]
        closed = [min(1.0, max(len(s) * min(p[list(s)]) for s in sets if i in s)) for i in range(4)]
        assert comparisons.holm(p.tolist()) == pytest.approx(closed)
    assert comparisons.holm([]) == []


def test_more_methods_are_corrected_for():
    """Over seeds: dhauds against tent 0.25, against norm 0.25: twice 0.25; with one comparison there is none."""
    norm = [
        {**r, "method": "norm", "adapted_last": 0.4, "cell": f"n{i}"}
        for i, r in enumerate(FOUND)
        if r["method"] == "tent"
    ]
    rows, _ = rows_of([*FOUND, *norm], ("dhauds", "tent", "norm"))
    over_all = [(r["against"], r["p"], r["p_holm"]) for r in rows if (r["scope"], r["over"]) == ("all cells", "seeds")]
    assert over_all == [("tent", 0.25, 0.5), ("norm", 0.25, 0.5)]
    assert all(r["p_holm"] == 1.0 for r in rows if r["scope"] == "cell")


def test_runs_without_a_partner_are_named():
    """Other weights, other draws, other clips and a cell of one method alone make no pair."""
    found = [
        *FOUND,
        *pair_of("PSH", 0, 0.1)[:1],
        a_record("PSH", "dhauds", 1, 0.2, 0.5, source_checkpoint="x"),
        a_record("CLP", "dhauds", 0, 0.2, 0.5, options={"draw_seed": 5}),
        a_record("CLP", "tent", 0, 0.2, 0.5, options={"draw_seed": 6}),
        a_record("SCN", "dhauds", 0, 0.2, 0.5, n=9),
        a_record("SCN", "tent", 0, 0.2, 0.5, n=8),
    ]
    rows, notes = rows_of(found)
    assert {r["corruption"] for r in rows} == {"WHN", "TST", ""}
    assert notes[1:] == [
        "Without a partner: 3 runs of dhauds have no tent "
        "(PSH-L2 seed 1 of source weights 2, CLP-L2 seed 0 (other draws "
        "or clips), SCN-L2 seed 0 (other draws or clips)).",
        "Without a partner: 3 runs of tent have no dhauds (PSH-L2 seed 0, CLP-L2 seed 0 (other draws or clips), SCN-L2 "
        "seed 0 (other draws or clips)).",
    ]


def test_a_seed_that_lacks_a_cell_has_no_part_over_seeds():
    """Its mean would be over other cells: seeds 0 and 1 alone, 3 and 1 points; over cells it counts."""
    rows, notes = rows_of([r for r in FOUND if (r["corruption"], r["seed"]) != ("TST", 2)])
    over_seeds, over_cells = rows[2:]
    assert (over_seeds["n"], over_seeds["pairs"], over_cells["pairs"]) == (2, 4, 5)
    np.testing.assert_allclose([over_seeds["difference"], over_cells["difference"]], [0.02, 0.025])
    assert notes[-1] == "No part in the difference to tent over seeds: seed 2 lacks TST-L2."


def test_seeds_that_share_their_source_model_are_said():
    _, notes = rows_of([{**r, "source_checkpoint": "one"} for r in FOUND])
    assert notes[-1] == "Seeds share a source model: they vary what adaptation draws, not the training."


def test_several_data_sets_stand_apart_and_together():
    """Of the other one the gap is -1 point; over both each seed's mean is over all cells: (3 * 2 - 1) / 3 ..."""
    other = [record for seed in range(3) for record in pair_of("WHN", seed, -0.01, dataset="e")]
    first, second, both = comparisons.compare([*FOUND, *other], ("dhauds", "tent"))
    assert [one.place[0] for one in (first, second, both)] == ["d", "e", "all"]
    seeds, cells = both.rows
    assert (seeds["n"], cells["n"], seeds["pairs"]) == (3, 3, 9)
    np.testing.assert_allclose([seeds["difference"], cells["difference"]], [0.07 / 3, 0.07 / 3])
    # Seeds: (2 + 4 - 1) / 3, (4 - 2 - 1) / 3, (6 + 10 - 1) / 3 points.
    np.testing.assert_allclose(seeds["sd"], np.std([5 / 3, 1 / 3, 5], ddof=1) / 100)
    assert first.place == ("d", "n", "accuracy", "reference", "offline")


def test_protocols_and_places_without_one_of_the_methods():
    online = a_record("WHN", "dhauds", 0, 0.2, 0.5, protocol="online")
    alone = a_record("WHN", "norm", 0, 0.2, 0.5, protocol="mixed")
    first, second = comparisons.compare([*FOUND, online, alone], ("dhauds", "tent"))
    assert first.rows and not second.rows
    assert second.notes == ["Without a partner: 1 run of dhauds: tent did not run here."]


def test_a_table_of_it():
    (one,) = comparisons.compare(FOUND, ("dhauds", "tent"))
    lines = comparisons.comparison_table(one.rows).splitlines()
    assert (
        lines[0] == "| cell | against | over | dhauds | other | difference [95 %] | better | p | p (Holm) | least p |"
    )
    assert lines[2:] == [
        "| WHN-L2 | tent | 3 seeds | 54.0 | 50.0 | +4.0 [-1.0, +9.0] | 3 of 3 | 0.250 | 0.500 | 0.250 |",
        "| TST-L2 | tent | 3 seeds | 54.0 | 50.0 | +4.0 [-10.9, +18.9] | 2 of 3 | 0.500 | 0.500 | 0.250 |",
        "| **all cells** | tent | 3 seeds | 54.0 | 50.0 | +4.0 [-5.0, +13.0] | 5 of 6 | 0.250 | 0.250 | 0.250 |",
        "| **all cells** | tent | 2 cells | 54.0 | 50.0 | +4.0 [+4.0, +4.0] | 5 of 6 | 0.500 | 0.500 | 0.500 |",
    ]


LOW = [a_record("WHN", "tent", 0, 0.2, 0.8, options={"lr": v, "draw_seed": 0}) for v in (0.1, 0.01)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dhauds", "^--compare=dhauds: expected two methods or more, each once"),
        ("dhauds,dhauds", "expected two methods or more, each once"),
        (
            "dhauds,tnt",
            r"^--compare=dhauds,tnt: no record of tnt, expected some of dhauds, tent \[lr=0.1\], tent",
        ),
        ("dhauds,tent", r"tent ran with several settings, expected one of 'tent \[lr=0.1\]', 'tent \[lr=0.01\]'"),
        ("dhauds,norm", r"^--compare=dhauds,norm: no two runs make a pair. Without a partner: 1 run of dhauds have"),
    ],
)
def test_what_cannot_be_compared(text, message):
    named = with_variants([a_record("WHN", "dhauds", 0, 0.2, 0.5), *LOW, a_record("TST", "norm", 0, 0.2, 0.5)])
    with pytest.raises(BadInput, match=message):
        comparisons.compare(named, comparisons.names_in(text))


def test_settings_can_be_compared():
    names = comparisons.names_in("tent [lr=0.1], tent [lr=0.01]")
    assert names == ["tent [lr=0.1]", "tent [lr=0.01]"]
    assert comparisons.names_in("a:b [x=1, y=2],tent") == ["a:b [x=1, y=2]", "tent"]
    rows, _ = rows_of(with_variants(LOW), names)
    assert rows[0]["difference"] == 0.0


def test_equal_pairs_are_told_from_won_ones():
    rows, _ = rows_of([*pair_of("WHN", 0, 0.0), *pair_of("WHN", 1, 0.02), *pair_of("WHN", 2, 0.0)])
    assert (rows[0]["better"], rows[0]["equal"], rows[0]["pairs"]) == (1, 2, 3)
    assert "| 1 of 3, 2 equal |" in comparisons.comparison_table(rows[:1])
