"""Tables by hand, pages rendered from records, and the committed pages equal to their records."""

from pathlib import Path

import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.report import marked_pages
from dhauds_jax.report.tables import (
    GROUP,
    detail_table,
    latest,
    of_one_make,
    shown_apart,
    summary_table,
    title,
    with_variants,
)
from dhauds_jax.workdir import records

ROOT = Path(__file__).resolve().parents[2]


def a_record(corruption, method, seed, before, after, **changes):
    point = {"epoch": 1, "metric": after, "losses": {}}
    return {
        **dict.fromkeys(records.KEYS, 0),
        "cell": f"{corruption}{method}{seed}{changes}",
        "dataset": "d",
        "net": "n",
        "metric": "accuracy",
        "profile": "reference",
        "protocol": "offline",
        "corruption": corruption,
        "level": "L2",
        "method": method,
        "seed": seed,
        "source_checkpoint": f"hash{seed}",
        "non_adapted": before,
        "adapted_last": after,
        "adapted_selected": after - 0.01,
        "adapted_oracle": after + 0.01,
        "selection": {"criterion": "information"},
        "curve": [point],
        "options": {"lr": 0.1, "draw_seed": seed},
        "passes": {"forward": 2, "backward": 1, "evaluation": 3},
        "versions": {"jax": "1"},
        "ece": 0.05,
        "nll": 1.234,
        "seconds": 2.0,
        "n": 9,
        **changes,
    }


FOUND = [
    a_record("WHN", "source", 0, 0.2, 0.2),
    a_record("WHN", "source", 1, 0.4, 0.4),
    a_record("WHN", "tent", 0, 0.2, 0.5),
    a_record("WHN", "tent", 1, 0.4, 0.7),
    a_record("TST", "source", 0, 0.6, 0.6),
]
CLEAN = a_record("clean", "source", 0, 0.98, 0.98, level="-")


def test_records_of_other_data_under_one_name_are_no_seeds():
    """Before, 20 % on one folder and 80 % on another were 50.0 ± 42.4 % of one seed."""
    here, there = {"clips": "1a2b3c4d5e", "noise": "77"}, {"clips": "9f8e7d6c5b", "noise": "77"}
    found = [
        a_record("WHN", "source", 0, 0.2, 0.2, content=here),
        a_record("WHN", "source", 0, 0.8, 0.8, content=there),
        a_record("TST", "source", 1, 0.4, 0.4, content=here),
        a_record("TST", "source", 0, 0.4, 0.4, dataset="e", content=here),
    ]
    marked = of_one_make(found)
    assert [r["dataset"] for r in marked] == ["d [clips 1a2b3c4d]", "d [clips 9f8e7d6c]", "d [clips 1a2b3c4d]", "e"]
    assert [{**r, "dataset": old["dataset"]} for r, old in zip(marked, found)] == found
    assert shown_apart(found) == ""
    assert shown_apart(marked).endswith("shown apart: d [clips 1a2b3c4d], d [clips 9f8e7d6c].")
    mine = [a_record("WHN", "m:mine", 0, 0.2, v, content={"clips": "1", "method_source": f"{v}"}) for v in (0.3, 0.5)]
    assert [r["method"] for r in of_one_make(mine)] == ["m:mine [method_source 0.3]", "m:mine [method_source 0.5]"]


def test_seeds_settings_and_records_without_digests_keep_their_names():
    other = a_record("WHN", "tent", 0, 0.2, 0.5, options={"lr": 0.2}, content={"clips": "2"})
    found = [*FOUND, {**FOUND[2], "content": {"clips": "1"}}, other, {**FOUND[3], "content": {"clips": "1"}}]
    assert of_one_make(found) == found


def test_another_seed_on_other_data_is_no_seed_of_the_same():
    """Whatever the seed: all clips and some, recordings of today and of last week, draws made here and read."""
    few = a_record("WHN", "tent", 1, 0.4, 0.7, options={"lr": 0.1, "draw_seed": 1, "subset": "few.txt"})
    assert [r["dataset"] for r in of_one_make([FOUND[2], few])] == ["d", "d [subset=few.txt]"]
    pair = [{**FOUND[place], "content": {"clips": clips}} for place, clips in ((2, "1"), (3, "2"))]
    assert [r["dataset"] for r in of_one_make(pair)] == ["d [clips 1]", "d [clips 2]"]
    read = a_record("WHN", "tent", 1, 0.4, 0.7, options={"lr": 0.1, "draw_seed": "read"})
    assert [r["dataset"] for r in of_one_make([FOUND[2], read])] == ["d", "d [draw_seed=read]"]


def test_a_subset_that_all_records_share_is_named_too():
    """Before, a report whose every number was of 300 clips said nowhere above its tables that it was not of all."""
    options = {"lr": 0.1, "subset": "few.txt"}
    found = [a_record("WHN", "tent", seed, 0.4, 0.7, options=options) for seed in (0, 1)]
    few = of_one_make(found)
    assert [r["dataset"] for r in few] == ["d [subset=few.txt]"] * 2
    assert shown_apart(few) == "", "nothing else is there to be apart from"
    assert title([few[0][key] for key in GROUP]).startswith("d [subset=few.txt], n: ")
    more = of_one_make([*found, a_record("WHN", "tent", 0, 0.4, 0.7)])
    assert shown_apart(more).endswith("shown apart: d [subset=few.txt].")


def test_other_noises_of_one_corruption_leave_the_others_in_their_table():
    noises = (("ENQ", "e1"), ("ENQ", "e2"), ("END1", "f1"))
    found = [a_record(c, "tent", 0, 0.2, 0.5, content={"clips": "1", "noise": noise}) for c, noise in noises]
    assert [r["dataset"] for r in of_one_make(found)] == ["d [noise e1]", "d [noise e2]", "d"]
    own = [
        a_record("WHN", method, 0, 0.2, 0.5, content={"method_source": source})
        for method, source in (("m:a", "1"), ("m:a", "2"), ("m:b", "3"))
    ]
    assert [r["method"] for r in of_one_make(own)] == ["m:a [method_source 1]", "m:a [method_source 2]", "m:b"]


def test_what_was_measured_on_other_clips_or_draws_stands_in_tables_of_its_own():
    """Of the same seed and weights, whatever the method: 30 clips that were right in 90 % are no seed of all clips."""
    few = a_record("WHN", "mine", 0, 0.9, 0.95, options={"subset": "few.txt"})
    assert [r["dataset"] for r in of_one_make([*FOUND, few])] == [*(r["dataset"] for r in FOUND), "d [subset=few.txt]"]
    summary = summary_table([r for r in of_one_make([*FOUND, few]) if r["dataset"] == "d"])
    assert summary == summary_table(FOUND)
    drawn = [
        a_record("WHN", "tent", 0, 0.2, v, options={"draw": "two", "draw_seed": 0, "evaluation_draw_seed": draw})
        for v, draw in ((0.5, 7), (0.9, 8))
    ]
    assert [r["dataset"] for r in of_one_make(drawn)] == ["d [evaluation_draw_seed=7]", "d [evaluation_draw_seed=8]"]


def test_choices_by_other_criteria_are_no_seeds():
    found = [
        a_record("WHN", "tent", 0, 0.2, 0.5, selection={"criterion": name, "epoch": 1})
        for name in ("information", "agreement")
    ]
    assert [r["method"] for r in with_variants(found)] == ["tent [criterion=information]", "tent [criterion=agreement]"]


def test_summary_by_hand():
    assert summary_table(FOUND) == (
        "| corruption | level | non-adapted | source | tent |\n"
        "|---|---|---:|---:|---:|\n"
        "| WHN | L2 | 30.0 ± 14.1 | 30.0 ± 14.1 | 60.0 ± 14.1 |\n"
        "| TST | L2 | 60.0 | 60.0 | - |\n"
        "| **mean, corrupted** |  | 40.0 | 40.0 | 60.0 |\n"
    )


def test_clean_cells_stand_in_the_table_but_not_in_its_mean():
    lines = summary_table([CLEAN, *FOUND]).splitlines()
    assert lines[2] == "| clean | - | 98.0 | 98.0 | - |"
    assert lines[-1] == "| **mean, corrupted** |  | 40.0 | 40.0 | 60.0 |"


def test_detail_has_the_three_choices_side_by_side():
    lines = detail_table(FOUND).splitlines()
    assert lines[3] == "| WHN | L2 | tent | 30.0 ± 14.1 | 60.0 ± 14.1 | 59.0 ± 14.1 | 61.0 ± 14.1 | 5.0 ± 0.0 | " + (
        "1.23 ± 0.00 | 2.0 ± 0.0 | 9 | 2 | no |"
    )


def test_the_last_record_of_a_cell_wins():
    again = a_record("WHN", "tent", 0, 0.2, 0.9)
    kept = latest([*FOUND, again])
    assert len(kept) == len(FOUND)
    assert next(r for r in kept if r["cell"] == again["cell"])["adapted_last"] == 0.9


def test_a_record_of_an_older_format_goes_where_its_cell_was_run_again():
    """Only one whose place, seed, weights and options are all equal; a draw's checksum tells no runs apart."""

    def old_and_new(before, after, **changes):
        options = {"lr": 0.1, "draw_seed": 0, "draw_checksum": before}
        old = a_record("WHN", "tent", 0, 0.2, 0.5, cell="old", options=options)
        new = {**old, "cell": "new", "format": 2, "options": {**options, "draw_checksum": after}, **changes}
        return old, new

    old, new = old_and_new("a", "b")
    assert latest([old, new]) == latest([new, old]) == [new]
    for changes in ({"seed": 1}, {"source_checkpoint": "x"}, {"level": "L1"}, {"options": {"lr": 0.2}}, {"format": 1}):
        old, new = old_and_new("a", "a", **changes)
        assert latest([old, new]) == [old, new], changes
    old, new = old_and_new("a", "a", options={"lr": 0.1, "draw_seed": 1, "draw_checksum": "a"})
    assert latest([old, new]) == [old, new]


def test_a_seed_that_was_run_twice_is_one_seed():
    twice = [a_record("WHN", "tent", 0, 0.2, 0.5), a_record("WHN", "tent", 0, 0.2, 0.5, cell="again")]
    (row,) = detail_table([*twice, a_record("WHN", "tent", 1, 0.2, 0.5)]).splitlines()[2:]
    assert row.endswith("| 9 | 2 | no |")


def test_runs_of_one_cell_with_other_settings_are_no_seeds():
    """Only what differs within a cell is named; a draw's seed is no setting."""
    low = a_record("WHN", "tent", 0, 0.2, 0.8, options={"lr": 0.01, "draw_seed": 0})
    named = with_variants([*FOUND, low])
    assert [r["method"] for r in named] == ["source"] * 2 + ["tent [lr=0.1]"] * 2 + ["source", "tent [lr=0.01]"]
    assert with_variants(FOUND) == FOUND
    lines = summary_table(named).splitlines()
    assert lines[2] == "| WHN | L2 | 30.0 ± 14.1 | 30.0 ± 14.1 | 60.0 ± 14.1 | 80.0 |"


def test_marks_are_rendered_and_everything_else_stays(tmp_path):
    for record in FOUND:
        records.append(tmp_path / "r", record)
    page = "# A\n<!-- table: summary | records: r | corruption: TST -->\nold\n<!-- end -->\nB\n"
    rendered = marked_pages.render_page(page, tmp_path)
    assert rendered.startswith("# A\n<!-- table: summary | records: r | corruption: TST -->\n| corruption |")
    assert "| TST | L2 | 60.0 | 60.0 |" in rendered
    assert "old" not in rendered
    assert rendered.endswith("<!-- end -->\nB\n")
    assert marked_pages.render_page(rendered, tmp_path) == rendered


def test_a_marked_figure_is_drawn_beside_the_page_and_says_who_is_on_the_front(tmp_path, monkeypatch):
    """Tent has not all cells, so source alone: 40.0 % at 1 ms; the same text when it is filled again."""
    monkeypatch.chdir(tmp_path)
    for record in FOUND:
        seconds = 0.01 if record["method"] == "tent" else 0.001
        records.append(tmp_path / "docs" / "r", {**record, "seconds": seconds * record["n"]})
    page = tmp_path / "docs" / "p.md"
    mark = "<!-- figure: front | records: docs/r | corruption: WHN/TST -->\n"
    page.write_text(f"A\n{mark}<!-- end -->\n\n<!-- table: summary | records: docs/r -->\n<!-- end -->\n")
    said = f"1 table and 1 figure rendered: {page}"
    assert marked_pages.fill_page(page) == said
    text = page.read_text(encoding="utf-8")
    image = "images/front-r-WHN+TST.png"
    link = f"![accuracy against milliseconds a clip, the front as a line]({image})"
    assert f"{mark}{link}\n\nOn the front, from the cheapest on: source (40.0 % at 1.0 ms).\n<!-- end" in text
    assert (page.parent / image).read_bytes()[:4] == b"\x89PNG"
    assert marked_pages.fill_page(page) == said
    assert page.read_text(encoding="utf-8") == text


def test_a_mark_tells_runs_with_other_settings_apart(tmp_path):
    low = a_record("WHN", "tent", 0, 0.2, 0.8, options={"lr": 0.01, "draw_seed": 0})
    for record in [*FOUND, low]:
        records.append(tmp_path / "r", record)
    text = marked_pages.render_mark("table: summary | records: r | corruption: WHN", tmp_path)
    assert text.splitlines()[0] == "| corruption | level | non-adapted | source | tent [lr=0.1] | tent [lr=0.01] |"
    assert text.splitlines()[2] == "| WHN | L2 | 30.0 ± 14.1 | 30.0 ± 14.1 | 60.0 ± 14.1 | 80.0 |"


@pytest.mark.parametrize("condition", ["a/fold1", "b/WHN"])
def test_a_condition_is_one_value_or_several(tmp_path, condition):
    key = "dataset" if "fold" in condition else "corruption"
    for record in [{**FOUND[0], "dataset": "a/fold1"}, {**FOUND[4], "dataset": "a"}]:
        records.append(tmp_path / "r", record)
    lines = marked_pages.render_mark(f"table: summary | records: r | {key}: {condition}", tmp_path).splitlines()
    assert [line.split(" ")[1] for line in lines[2:-1]] == ["WHN"]


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        ("table: pie | records: r", "expected `table: KIND"),
        ("figure: pie | records: r", "expected `figure: KIND | records: FOLDER`, KIND one of front, and conditions"),
        ("table: summary", "expected `table: KIND"),
        ("table: summary | records docs/x", r"^mark 'table: summary \| records docs/x': expected `table: KIND"),
        ("table: summary | records: r | offline", "and conditions such as `protocol: offline` after a | each"),
        ("records: r", "expected `table: KIND"),
        ("table: summary | records: nowhere", "no records in"),
        ("table: summary | records: r | method: tnt", "none of the 5 records in r fits"),
    ],
)
def test_wrong_marks_get_one_sentence(tmp_path, mark, message):
    for record in FOUND:
        records.append(tmp_path / "r", record)
    with pytest.raises(BadInput, match=message):
        marked_pages.render_mark(mark, tmp_path)


def test_pages_that_cannot_be_filled_are_named(tmp_path):
    with pytest.raises(ValueError, match="no such page"):
        marked_pages.fill_page(tmp_path / "x.md")
    (tmp_path / "y.md").write_text("nothing")
    with pytest.raises(ValueError, match="holds no mark"):
        marked_pages.fill_page(tmp_path / "y.md")


@pytest.mark.parametrize("page", ["README.md", "docs/results.md"])
def test_committed_tables_equal_their_records(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert "<!-- table: " in text
    assert marked_pages.render_page(text, ROOT) == text


@pytest.mark.parametrize("cell", ["WHN-L2", "ENSC-L2", "TST-L2"])
def test_the_comparison_with_pytorch_quotes_the_records(cell):
    """The hand-written table: its columns "here" are before, after epoch 1 and after epoch 15 of the record."""
    corruption, level = cell.split("-")
    (record,) = [
        r
        for r in records.read(ROOT / "docs" / "records" / "arabic_amaut_converted")
        if (r["corruption"], r["level"], r["method"], r["protocol"]) == (corruption, level, "dhauds", "offline")
    ]
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    (line,) = [row for row in text.splitlines() if row.startswith(f"| {cell} |")]
    values = (record["non_adapted"], record["curve"][1]["metric"], record["curve"][15]["metric"])
    assert line.split("|")[3:8:2] == [f" {100 * value:.1f} " for value in values]
