"""Figures on records made by hand: what is drawn where and how; grouping of runs that differ in one option."""

import numpy as np
import pytest
from matplotlib import colors

from dhauds_jax.names import METHODS
from dhauds_jax.report import analysis_figures, figures, single_options
from dhauds_jax.report.looks import COLORS, Look, look, of_methods, shades
from tests.report.test_tables import CLEAN, a_record


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are saved, instead of their files."""
    kept = []
    for module in (figures, analysis_figures):
        monkeypatch.setattr(module, "save", lambda figure, path: kept.append(figure))
    return kept


def the_looks(found):
    return of_methods(r["method"] for r in found)


def bins(*rows):
    return {"before": [[1.0, 0.2, 0.9]], "after": [list(row) for row in rows]}


def a_curve(*values):
    return [{"epoch": e, "metric": v, "losses": {}} for e, v in enumerate(values)]


def test_gain_has_a_bar_a_cell_and_method(drawn, tmp_path):
    found = [a_record(c, m, 0, 0.2, a) for c in ("WHN", "TST") for m, a in (("tent", 0.5), ("norm", 0.4))]
    figures.gain(found, tmp_path / "gain.png", the_looks(found))
    (axes,) = drawn[0].axes
    assert [round(bar.get_height(), 6) for bar in axes.patches] == [20, 20, 50, 50, 40, 40]
    assert axes.get_ylabel() == "accuracy (%)"
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ["before", "tent", "norm"]


def test_bars_of_error_are_the_standard_deviations_of_the_tables(drawn, tmp_path):
    """Of 50 and 70 %: sqrt(200) = 14.14 to either side of 60."""
    found = [a_record("WHN", "tent", seed, 0.2, after) for seed, after in ((0, 0.5), (1, 0.7))]
    figures.gain(found, tmp_path / "gain.png", the_looks(found))
    (bar,) = drawn[0].axes[0].collections[1].get_segments()
    np.testing.assert_allclose(bar[:, 1], [60 - 200**0.5, 60 + 200**0.5])


def test_curves_have_a_line_a_run(drawn, tmp_path):
    found = [a_record("WHN", m, s, 0.2, 0.5, curve=a_curve(0.2, 0.4, 0.5)) for m in ("tent", "norm") for s in (0, 1)]
    assert figures.curves(found, tmp_path / "curves.png", the_looks(found)) == ""
    (upper,) = drawn[0].axes  # no losses of several terms: no panel for them
    lines = [line for line in upper.lines if len(line.get_xdata()) == 3]
    assert len(lines) == 4
    np.testing.assert_allclose(lines[0].get_ydata(), [20, 40, 50])


def test_records_without_a_curve_have_no_line(drawn, tmp_path):
    """Those of an older format may lack it."""
    losses = {"total": 1.0, "entropy": 0.6, "diversity": 0.4}
    whole = a_record("WHN", "norm", 0, 0.2, 0.5, curve=[{"epoch": 1, "metric": 0.5, "losses": losses}])
    found = [a_record("WHN", "tent", 0, 0.2, 0.5, curve=[]), whole]
    figures.curves(found, tmp_path / "curves.png", the_looks(found))
    upper, lower = drawn[0].axes
    assert [line.get_label() for line in upper.lines if list(line.get_xdata()) == [1]] == ["norm"]
    assert [line.get_label() for line in lower.lines] == ["total", "entropy", "diversity"]


def test_the_shares_of_all_panels_lie_within_the_axis_that_they_share(drawn, tmp_path):
    """One method's answers lie in two bins, half in each, the other's all in one: 100 % of the lower panel."""
    parts = {"norm": bins([0.5, 0.4, 0.5], [0.5, 0.8, 0.9]), "tent": bins([1.0, 0.9, 0.9])}
    found = [a_record("WHN", m, 0, 0.2, 0.5, reliability={**kept, "before": []}) for m, kept in parts.items()]
    analysis_figures.reliability(found, tmp_path / "reliability.png", the_looks(found))
    lower = drawn[0].axes[2:]
    assert [round(max(line.get_ydata())) for ax in lower for line in ax.lines] == [50, 100]
    assert all(ax.get_ylim()[0] == 0 and ax.get_ylim()[1] > 100 for ax in lower)


def test_a_method_of_ones_own_has_a_colour_that_no_method_beside_it_has():
    looks = of_methods(["source", "tent", "norm", "dhauds", "mine:tilt", "mine:lean"])
    assert len({one.color for one in looks.values()}) == 6
    many = of_methods([*METHODS, "mine:tilt", "mine:lean"])
    assert len(set(many.values())) == len(METHODS) + 2


def test_reliability_pools_the_bins_of_several_records(drawn, tmp_path):
    """Nine clips a record: (9 + 4.5) of 18 in the upper bin, right (9 * .5 + 4.5 * .8) / 13.5 = .6 of the time."""
    found = [
        a_record("WHN", "tent", 0, 0.2, 0.5, reliability=bins((1.0, 0.5, 0.98))),
        a_record("TST", "tent", 0, 0.2, 0.5, reliability=bins((0.5, 0.1, 0.2), (0.5, 0.8, 0.98))),
        {**CLEAN, "method": "tent", "reliability": bins((1.0, 1.0, 1.0))},
        a_record("PSH", "tent", 0, 0.2, 0.5),
    ]
    pooled = analysis_figures.pooled_bins(found[:2], "after")
    np.testing.assert_allclose(pooled, [[0.25, 0.1, 0.2], [0.75, 0.6, 0.98]])
    analysis_figures.reliability(found, tmp_path / "reliability.png", the_looks(found))
    upper, lower = drawn[0].axes
    np.testing.assert_allclose(upper.lines[2].get_xydata(), [[20, 10], [98, 60]])
    np.testing.assert_allclose(lower.lines[1].get_xydata(), [[20, 25], [98, 75]])
    # 25 % of 10 points, 75 % of 38; before, all of 70.
    assert upper.texts[0].get_text() == "ECE (%)\nbefore 70.0\nafter 31.0"


@pytest.mark.parametrize("confidence", [1 / 15, 2 / 15, 7 / 15, 0.0, 1.0])
def test_confidence_on_an_edge_stays_in_its_bin(confidence):
    """`metrics.reliability` puts an edge into the lower bin; two records must meet in one."""
    record = a_record("WHN", "tent", 0, 0.2, 0.5, reliability=bins((1.0, 0.5, confidence)))
    near = a_record("TST", "tent", 0, 0.2, 0.5, reliability=bins((1.0, 0.5, max(0.0, confidence - 1e-4))))
    assert len(analysis_figures.pooled_bins([record, near], "after")) == 1


def test_cost_has_a_point_a_method_on_log_axes(drawn, tmp_path):
    found = [
        a_record("WHN", "source", 0, 0.2, 0.2, seconds=1.0, passes={"forward": 1, "backward": 0}, device="cpu"),
        a_record("WHN", "tent", 0, 0.2, 0.5, seconds=4.0, passes={"forward": 15, "backward": 15}, device="cpu"),
        a_record("TST", "source", 0, 0.4, 0.4, seconds=3.0, passes={"forward": 1, "backward": 0}, device="cpu"),
    ]
    analysis_figures.cost(found, tmp_path / "cost.png", the_looks(found))
    by_passes, by_seconds = drawn[0].axes
    assert {by_passes.get_xscale(), by_seconds.get_xscale()} == {"log"}
    points = [[tuple(line.get_xydata()[0]) for line in ax.lines[:-1]] for ax in (by_passes, by_seconds)]
    np.testing.assert_allclose(points, [[(1, 30), (30, 50)], [(2, 30), (4, 50)]])
    assert by_passes.lines[1].get_label() == "tent (1 of 2 cells)"
    assert by_passes.lines[-1].get_ydata()[0] == pytest.approx(30)
    assert by_seconds.get_xlabel() == "seconds a run (cpu)"


def runs(values, seed=0, **changes):
    return [
        a_record(
            "ENQ", "dhauds", seed, 0.3, c[-1], curve=a_curve(*c), options={"momentum": m, "backbone": 0.5, **changes}
        )
        for m, c in values.items()
    ]


HIGH_LOW = {0.9: (0.3, 0.8, 0.7, 0.6), 0.7: (0.3, 0.6, 0.7, 0.75)}


def test_runs_that_differ_in_momentum_alone_stand_together():
    found = [*runs(HIGH_LOW), *runs({0.9: (0.3, 0.5, 0.5)}, seed=1), *runs({0.9: (0.3, 0.4, 0.4)}, backbone=1.0)]
    (group,) = single_options.apart(found, "momentum")
    assert {label: len(members) for label, members in group.items()} == {"momentum 0.9": 1, "momentum 0.7": 1}
    # One rate against two: another last epoch is no other setting, another backbone is.
    (rates,) = single_options.apart(
        [*runs({0.9: (0.3, 0.5, 0.5)}), *runs({0.9: (0.3, 0.4, 0.4)}, backbone=1.0)], "backbone"
    )
    assert list(rates) == ["backbone 1.0", "backbone 0.5"]
    assert single_options.apart(found, "lr") == []
    lines = single_options.effect_table([group]).splitlines()
    assert lines[2] == "| d, n, ENQ-L2, dhauds | momentum 0.9 | 80.00 | 1 | 60.00 |"
    assert lines[3] == "| d, n, ENQ-L2, dhauds | momentum 0.7 | 75.00 | 3 | 75.00 |"


def test_effect_marks_the_best_epoch_of_each_line(drawn, tmp_path):
    found = runs(HIGH_LOW)
    groups = single_options.apart(found, "momentum")
    analysis_figures.effect(groups, tmp_path / "effect.png", the_looks(found))
    lines = drawn[0].axes[0].lines
    np.testing.assert_allclose(lines[0].get_xydata(), [[1, 80], [2, 70], [3, 60]])
    np.testing.assert_allclose([lines[1].get_xydata()[0], lines[3].get_xydata()[0]], [[1, 80], [3, 75]])


def test_principal_axes_are_common_to_both():
    """Points on a line through 3-D space: one axis holds everything, and distances along it stay."""
    direction = np.array([2.0, 1.0, 2.0]) / 3
    before, after = np.outer([0.0, 1.0], direction), np.outer([5.0, 7.0, 2.0], direction)
    a, b, held = analysis_figures.principal(before, after)
    assert held == pytest.approx(1.0)
    np.testing.assert_allclose(abs(np.diff(np.concatenate([a, b])[:, 0])), [1, 4, 2, 5], atol=1e-9)
    np.testing.assert_allclose(b[:, 1], 0, atol=1e-9)


def test_embeddings_are_coloured_by_class(drawn, tmp_path):
    rng = np.random.default_rng(0)
    labels = np.array([0, 1, 2] * 4)
    np.savez(
        tmp_path / "c.npz",
        before=rng.normal(size=(12, 5)),
        after=rng.normal(size=(12, 5)),
        labels=labels,
        classes=np.array(["yes", "no", "_unknown_"]),
        silhouette=np.array([-0.1, 0.25]),
    )
    analysis_figures.embeddings([("WHN-L2 tent", tmp_path / "c.npz")], tmp_path / "e.png")
    left, right = drawn[0].axes
    assert [len(c.get_offsets()) for c in left.collections + right.collections] == [4] * 6
    assert right.get_title() == "WHN-L2 tent\nafter: silhouette 0.25"
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ["yes", "no", " _unknown_"]


def test_losses_are_named_and_of_one_method(drawn, tmp_path):
    """Seven cells make two bands; in the last one the method with terms did not run, and its panel stays empty."""

    def with_terms(corruption, method, names, seed=0):
        losses = {name: 1.0 for name in names}
        return a_record(corruption, method, seed, 0.2, 0.5, curve=[{"epoch": 1, "metric": 0.5, "losses": losses}])

    two_views, other = ("total", "nucnm", "gent"), ("total", "entropy", "kept")
    found = [with_terms(f"C{i}", "tent", ("total", "entropy")) for i in range(7)]
    found += [with_terms(f"C{i}", "dhauds [lr=1, shift=0.1]", two_views, seed) for i in range(6) for seed in (3, 4)]
    found += [with_terms("C0", "eata", other), {**CLEAN, "method": "ntta", "curve": found[-1]["curve"]}]
    said = figures.curves(found, tmp_path / "curves.png", the_looks(found))
    assert said == (
        "Loss terms over epochs are those of dhauds [lr=1, shift=0.1], seed 3 (terms of eata: in the records)."
    )
    axes = np.array(drawn[0].axes).reshape(4, 5)  # the clean cell is not shown
    terms = [[line.get_label() for line in ax.lines] for ax in axes[1::2].ravel()]
    assert terms == [list(two_views)] * 6 + [[]] * 4
    assert [ax.axison for ax in axes[2:].ravel()] == [True] * 2 + [False] * 3 + [True] + [False] * 4
    assert axes[1, 4].get_legend().get_title().get_text() == "losses of\ndhauds\n[lr=1,\nshift=0.1]"


def test_a_method_has_one_colour_in_all_figures(drawn, tmp_path):
    whole = {"curve": a_curve(0.2, 0.4, 0.5), "reliability": bins((1.0, 0.5, 0.98)), "options": {"momentum": 0.9}}
    of = {m: [a_record("WHN", m, 0, 0.2, 0.5, **whole)] for m in ("tent", "dhauds", "a:b")}
    for methods in (("tent", "dhauds", "a:b"), ("a:b", "dhauds")):  # whoever else is there
        del drawn[:]
        found = [record for m in methods for record in of[m]]
        looks = the_looks(found)
        figures.gain(found, tmp_path / "x.png", looks)
        figures.curves(found, tmp_path / "x.png", looks)
        analysis_figures.cost(found, tmp_path / "x.png", looks)
        analysis_figures.reliability(found, tmp_path / "x.png", looks)
        second = {**of["dhauds"][0], "options": {"momentum": 0.5}}
        analysis_figures.effect(single_options.apart([*of["dhauds"], second], "momentum"), tmp_path / "x.png", looks)
        (bars,), (lines,), (points, _), panels, (effect,) = (figure.axes for figure in drawn)
        drawn_bars = [one for one in bars.containers if hasattr(one, "patches")]  # the others are error bars
        seen = [
            {
                bar.get_label(): colors.to_hex(bar.patches[0].get_facecolor())
                for bar in drawn_bars
                if bar.get_label() in of
            },
            {line.get_label(): line.get_color().lower() for line in lines.lines[:-1]},
            {line.get_label(): line.get_color().lower() for line in points.lines[:-1]},
            {ax.get_title(): ax.lines[-1].get_color().lower() for ax in panels if ax.get_title()},
            {"dhauds": colors.to_hex(effect.lines[0].get_color())},
        ]
        expected = {"tent": "#009e73", "dhauds": "#cc79a7", "a:b": "#0072b2"}  # places 2 and 3; the first that is free
        for found_colors in seen:
            assert found_colors == {name: expected[name] for name in found_colors}
        assert [len(one) for one in seen] == [len(methods)] * 4 + [1]


def test_looks_of_methods_are_fixed_by_the_names():
    assert list(METHODS).index("dhauds") == 3 and len(METHODS) < 49
    own = ["z:f", "a.b:f", "dhauds", "dhauds [lr=2]", "dhauds [lr=1]", "eata [lr=1]"]
    found = of_methods(own)
    assert found == of_methods(reversed(own))
    assert found["dhauds"] == Look(3, 0) == of_methods(["dhauds"])["dhauds"]
    assert (found["a.b:f"], found["z:f"]) == (Look(0, 0), Look(1, 0))  # by name, in colours that no other has
    # Colour 3 has dhauds in style 0 and z:f in style 3: the settings get the styles between.
    assert (found["dhauds [lr=1]"], found["dhauds [lr=2]"]) == (Look(3, 1), Look(3, 2))
    assert found["eata [lr=1]"].color == 4
    every = of_methods([*METHODS, *(f"own{i}:f" for i in range(49 - len(METHODS)))])
    assert len(set(every.values())) == 49


def test_shades_go_towards_white():
    """#0072B2 is (0, 114, 178); the last of three has 60 % white: 0.6 * 255 = 153, 0.4 * 114 + 153 = 198.6."""
    np.testing.assert_allclose(np.array(shades(0, 3)) * 255, [[0, 114, 178], [76.5, 156.3, 201.1], [153, 198.6, 224.2]])
    assert shades(6, 1) == [(0.0, 0.0, 0.0)]


def test_looks_do_not_repeat_and_can_be_told_apart():
    for kind in ("point", "line", "bar"):
        assert len({tuple(getattr(look(i), kind).values()) for i in range(49)}) == 49
    # Okabe and Ito's colours differ in lightness too: no two are close in grey and in hue at once.
    rgb = np.array([colors.to_rgb(c) for c in COLORS])
    gaps = np.linalg.norm(rgb[:, None] - rgb[None], axis=-1)[np.triu_indices(len(rgb), 1)]
    assert gaps.min() > 0.25


def test_bars_of_before_are_those_of_the_tables_whatever_the_methods(drawn, tmp_path):
    """Before, each method counted as a seed of its own: three of them made two seeds' deviation smaller."""
    found = [
        a_record("WHN", method, seed, before, 0.8)
        for method in ("norm", "tent", "dhauds")
        for seed, before in ((0, 0.4), (1, 0.6))
    ]
    figures.gain(found, tmp_path / "gain.png", the_looks(found))
    (bar,) = drawn[0].axes[0].collections[0].get_segments()
    np.testing.assert_allclose(bar[:, 1], [50 - 200**0.5, 50 + 200**0.5])
