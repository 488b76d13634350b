"""A whole report from records made by hand, and its web page."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from dhauds_jax.report import html
from dhauds_jax.runs.report import write_report
from dhauds_jax.workdir import records
from tests.report.test_figures import HIGH_LOW, a_curve, bins, runs
from tests.report.test_tables import a_record

PNG = b"\x89PNG\r\n\x1a\n"


class Outline(HTMLParser):
    """Tags with their attributes, and whether every tag is closed in turn."""

    def __init__(self):
        super().__init__()
        self.tags, self.open = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
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
