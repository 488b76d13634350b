"""A whole report from records made by hand, and its web page."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.report import analysis_figures, board, figures, html
from dhauds_jax.report.tables import with_variants
from dhauds_jax.runs.report import report, write_report
from dhauds_jax.runs.requests.report import ReportRun
from dhauds_jax.workdir import records
from tests.report.test_comparisons import FOUND as PAIRS
from tests.report.test_figures import HIGH_LOW, a_curve, bins, runs
from tests.report.test_tables import a_record

PNG = b"\x89PNG\r\n\x1a\n"


class Outline(HTMLParser):
    """Tags with their attributes, and whether every tag is closed in turn."""

    def __init__(self):
        super().__init__()
        self.tags, self.open, self.around = [], [], {}

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.around.setdefault(tag, set()).add(tuple(self.open[-1:]))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def outline(text):
    parsed = Outline()
    parsed.feed(text)
    assert parsed.open == []
    return parsed.tags


@pytest.fixture
def workdir(tmp_path):
    common = {"device": "cpu", "parameters_moved": 5, "command": "python -m experiments.adapt --options=a<b"}
    found = runs(HIGH_LOW)
    found += [
        a_record("WHN", "tent", 0, 0.2, 0.5, curve=a_curve(0.2, 0.5, 0.5), reliability=bins((1.0, 0.5, 0.9))),
        a_record("WHN", "norm", 0, 0.2, 0.4, protocol="online", published={"non_adapted": 0.19, "adapted": 0.43}),
    ]
    found[-1]["silhouette"] = [0.012, 0.345]
    for record in found:
        records.append(tmp_path, {**record, **common})
    (tmp_path / "embeddings").mkdir()
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "embeddings" / f"{found[-1]['cell']}.npz",
        before=rng.normal(size=(6, 3)),
        after=rng.normal(size=(6, 3)),
        labels=np.array([0, 1] * 3),
        classes=np.array(["a", "b"]),
        silhouette=np.array([0.012, 0.345]),
    )
    return tmp_path


@pytest.mark.slow
def test_report_and_its_one_page(workdir):
    said = write_report([str(workdir)], html=True)
    folder = workdir / "report"
    assert said.endswith(f"\n4 records reported: {folder / 'report.html'}")
    beside = "| d, n, WHN-L2 | norm, online | 20.0 | 19.0 | 40.0 | 39.0 | 41.0 | 43.0 | -2.0 |"
    markdown = (folder / "report.md").read_text()
    assert beside in said
    assert beside in markdown
    assert "| d, n, WHN-L2 | norm | online | 0 | 0.012 | 0.345 | - | - |" in markdown
    assert "dhauds [momentum=0.7]" in markdown
    named = re.findall(r"!\[[^]]*\]\(([^)]+)\)", markdown)
    expected = ["gain-1", "curves-1", "reliability-1", "cost-1", "gain-2", "cost-2", "effect-momentum", "embeddings"]
    assert [name.removesuffix(".png") for name in named] == expected
    for name in named:
        assert (folder / name).read_bytes().startswith(PNG)
        assert (folder / name).stat().st_size > 5_000
    page = (folder / "report.html").read_text()
    tags = outline(page)
    images = [attrs["src"] for tag, attrs in tags if tag == "img"]
    assert len(images) == len(named)
    assert all(src.startswith("data:image/png;base64,") for src in images)
    assert not {tag for tag, _ in tags} & {"script", "link", "iframe", "object", "a"}
    assert not re.search(r"https?:|//[a-z]|url\(|@import", re.sub(r"base64,[^\"]*", "", page))
    assert "<td>-2.0</td>" in page
    assert "--options=a&lt;b" in page


def rules(page):
    """Selector -> its declarations, of the page's style; those for narrow screens as "narrow SELECTOR"."""
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    wide, narrow = style.split("@media (max-width: 40rem) {")
    return {
        f"{where}{selectors.strip()}": dict(d.split(":", 1) for d in re.sub(r"\s+", "", text).strip(";").split(";"))
        for where, part in (("", wide), ("narrow ", narrow))
        for selectors, text in re.findall(r"([^{}]+)\{([^}]*)\}", part)
    }


def test_a_page_fits_a_phone(tmp_path):
    """Its width is the screen's; tables scroll in a box of their own, figures shrink, long words break."""
    (tmp_path / "a.png").write_bytes(PNG)
    page = html.page("# T\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n![x](a.png)\n\n- `long`\n", tmp_path)
    parsed = Outline()
    parsed.feed(page)
    metas = [attrs for tag, attrs in parsed.tags if tag == "meta"]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in metas
    assert parsed.around["table"] == {("div",)} and parsed.around["img"] == {("figure",)}
    (box,) = [attrs for tag, attrs in parsed.tags if tag == "div"]
    assert box == {"class": "wide", "tabindex": "0"}  # which a keyboard can scroll too
    style = rules(page)
    assert style[".wide"] == {"overflow-x": "auto"}
    assert style["img"]["max-width"] == "100%" and style["img"]["height"] == "auto"
    assert style["figure"]["margin"] == ".8rem0"  # not the 40 px of browsers on both sides
    assert style["body"]["overflow-wrap"] == style["code"]["overflow-wrap"] == "anywhere"
    assert {name for name in style if name.startswith("narrow ")} == {"narrow body", "narrow ul"}
    fixed = re.findall(r"(?<![-\w])(?:min-)?width:\s*([\d.]+(?:px|rem|em))", re.sub(r"@media[^{]*", "", page))
    assert fixed == []


def test_markdown_becomes_html(tmp_path):
    page = html.page(
        "# T & co\n\nx *i* **b** `*c* <d>`\nline 2\n\n- one\n- two\n\n| a | b | c |\n|---|---|---:|\n| 1 |  | 3 |\n",
        tmp_path,
    )
    body = page[page.index("<body>") :]
    assert "<title>T &amp; co</title>" in page
    assert "<h1>T &amp; co</h1>" in body
    assert "<p>x <em>i</em> <strong>b</strong> <code>*c* &lt;d&gt;</code> line 2</p>" in body
    assert "<ul>\n<li>one</li>\n<li>two</li>\n</ul>" in body
    assert '<tr><td class="text">1</td><td class="text"></td><td>3</td></tr>' in body
    outline(page)
    with pytest.raises(ValueError, match=r"gone.png: no such figure"):
        html.page("![x](gone.png)", tmp_path)


@pytest.fixture
def drawn_nothing(monkeypatch):
    """No figure is drawn: what is tested are tables."""
    for module in (figures, analysis_figures, board):
        monkeypatch.setattr(module, "save", lambda figure, path: None)


@pytest.fixture
def pairs(tmp_path):
    for record in PAIRS:
        records.append(tmp_path, {**record, "device": "cpu", "command": "x --data_dir=caf\udce9"})
    return tmp_path


def test_tables_and_a_comparison_beside_the_report(pairs, drawn_nothing):
    """A byte of a path that is no character does not stop the report."""
    said = report(ReportRun(workdir=[str(pairs)], format=["csv", "latex"], compare="dhauds,tent"))
    tables = pairs / "report" / "tables"
    names = sorted(file.name for file in tables.iterdir())
    assert names == [
        *("cells-1.tex", "cells.csv", "choices-1.tex", "comparison-1.tex", "comparisons.csv", "means.csv", "means.tex")
    ]
    assert said.endswith(f"\n12 records reported: {pairs / 'report' / 'report.md'}, 7 tables in {tables}")
    row = "| **all cells** | tent | 3 seeds | 54.0 | 50.0 | +4.0 [-5.0, +13.0] | 5 of 6 | 0.250 | 0.250 | 0.250 |"
    text = (pairs / "report" / "report.md").read_text(encoding="utf-8")
    assert row in said and row in text
    assert "\n## Comparisons in pairs\n" in text and "\n### d, n: offline, profile reference (accuracy)\n" in text
    for printed in (said, text):
        assert "d, n: offline, profile reference (accuracy)\n\n| cell | against |" in printed
        assert "\n- 3 seeds: no p over seeds can be below 0.25;" in printed
    assert r"`x --data_dir=caf\xe9`" in text
    assert f"\nHarm, calibration and cost:\n\n{board.measures(with_variants(PAIRS))}" in text
    assert "](front-1.png)\n\nOn the front, from the cheapest on: " in text


def test_without_these_flags_nothing_is_added(pairs, drawn_nothing):
    said = report(ReportRun(workdir=[str(pairs)]))
    assert said == f"12 records reported: {pairs / 'report' / 'report.md'}"
    assert [file.name for file in (pairs / "report").iterdir()] == ["report.md"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"format": ["tex"]}, "^--format=tex: expected csv or latex, or both; report.md is always written"),
        ({"compare": ""}, "^--compare=: expected two methods or more"),
        ({"compare": "dhauds,tnt"}, "no record of tnt, expected some of tent, dhauds"),
        ({"workdir": None, "fill": "x.md", "compare": "dhauds,tent"}, "expected it without --html, --output, --format"),
    ],
)
def test_flags_that_cannot_be_meant_stop_before_anything_is_written(pairs, flags, message):
    with pytest.raises(BadInput, match=message):
        report(ReportRun(workdir=[str(pairs)]).replace(**flags))
    assert not (pairs / "report").exists()
