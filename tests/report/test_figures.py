"""Figures on records made by hand: what is drawn where; grouping of runs that differ in one option."""

import numpy as np
import pytest
from matplotlib import colors

from dhauds_jax.report import analysis_figures, figures, single_options
from dhauds_jax.report.figures import COLORS, look
from tests.report.test_tables import CLEAN, a_record


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are saved, instead of their files."""
    kept = []
    for module in (figures, analysis_figures):
        monkeypatch.setattr(module, "save", lambda figure, path: kept.append(figure))
    yield kept
    for figure in kept:
        figures.plt.close(figure)


def bins(*rows):
    return {"before": [[1.0, 0.2, 0.9]], "after": [list(row) for row in rows]}


def a_curve(*values):
    return [{"epoch": e, "metric": v, "losses": {}} for e, v in enumerate(values)]


def test_gain_has_a_bar_a_cell_and_method(drawn, tmp_path):
    found = [a_record(c, m, 0, 0.2, a) for c in ("WHN", "TST") for m, a in (("tent", 0.5), ("norm", 0.4))]
    figures.gain(found, tmp_path / "gain.png")
    (axes,) = drawn[0].axes
    assert [round(bar.get_height(), 6) for bar in axes.patches] == [20, 20, 50, 50, 40, 40]
    assert axes.get_ylabel() == "accuracy (%)"
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ["before", "tent", "norm"]


def test_curves_have_a_line_a_run(drawn, tmp_path):
    found = [a_record("WHN", m, s, 0.2, 0.5, curve=a_curve(0.2, 0.4, 0.5)) for m in ("tent", "norm") for s in (0, 1)]
    figures.curves(found, tmp_path / "curves.png")
    upper, _ = drawn[0].axes
    lines = [line for line in upper.lines if len(line.get_xdata()) == 3]
    assert len(lines) == 4
    np.testing.assert_allclose(lines[0].get_ydata(), [20, 40, 50])


def test_records_without_a_curve_have_no_line(drawn, tmp_path):
    """Those of an older format may lack it."""
    losses = {"total": 1.0, "entropy": 0.6, "diversity": 0.4}
    whole = a_record("WHN", "norm", 0, 0.2, 0.5, curve=[{"epoch": 1, "metric": 0.5, "losses": losses}])
    figures.curves([a_record("WHN", "tent", 0, 0.2, 0.5, curve=[]), whole], tmp_path / "curves.png")
    upper, lower = drawn[0].axes
    assert [line.get_label() for line in upper.lines if list(line.get_xdata()) == [1]] == ["norm"]
    assert [line.get_label() for line in lower.lines] == ["total", "entropy", "diversity"]


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
    analysis_figures.reliability(found, tmp_path / "reliability.png")
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
    analysis_figures.cost(found, tmp_path / "cost.png")
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
    groups = single_options.apart(runs(HIGH_LOW), "momentum")
    analysis_figures.effect(groups, tmp_path / "effect.png")
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
        classes=np.array(["yes", "no", "up"]),
        silhouette=np.array([-0.1, 0.25]),
    )
    analysis_figures.embeddings([("WHN-L2 tent", tmp_path / "c.npz")], tmp_path / "e.png")
    left, right = drawn[0].axes
    assert [len(c.get_offsets()) for c in left.collections + right.collections] == [4] * 6
    assert right.get_title() == "WHN-L2 tent\nafter: silhouette 0.25"
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ["yes", "no", "up"]


def test_looks_do_not_repeat_and_can_be_told_apart():
    assert len({tuple(look(i).values()) for i in range(49)}) == 49
    # Okabe and Ito's colours differ in lightness too: no two are close in grey and in hue at once.
    rgb = np.array([colors.to_rgb(c) for c in COLORS])
    gaps = np.linalg.norm(rgb[:, None] - rgb[None], axis=-1)[np.triu_indices(len(rgb), 1)]
    assert gaps.min() > 0.25
