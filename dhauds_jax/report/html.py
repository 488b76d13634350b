"""One self-contained web page from a report: its Markdown as HTML, its figures as data URIs, no scripts."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterator
from pathlib import Path

from dhauds_jax.errors import BadInput
from dhauds_jax.files import is_inside

STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 72rem; margin: 2rem auto;
  padding: 0 1.2rem; overflow-wrap: anywhere; -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
h1, h2, h3 { line-height: 1.2; margin: 2rem 0 .6rem; }
h2 { border-bottom: 1px solid #ccc; padding-bottom: .2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; margin: .6rem 0; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid #e3e3e3; text-align: right; white-space: nowrap; }
th { border-bottom: 2px solid #888; }
td.text, th.text { text-align: left; }
tr:hover td { background: #f3f6fa; }
figure { margin: .8rem 0; }
img { max-width: 100%; height: auto; display: block; }
code { font-size: 12px; background: #f4f4f4; padding: 0 .2rem; overflow-wrap: anywhere; }
li { margin: .15rem 0; }
@media (max-width: 40rem) { body { margin: 1rem auto; padding: 0 .7rem; } ul { padding-left: 1.1rem; } }
"""
"""A table wider than the screen scrolls sideways in a box of its own, a figure shrinks to it; the page does neither."""
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_IMAGE = re.compile(r"!\[([^\]]*)\]\(([^)]+)\)")


def page(markdown: str, folder: Path) -> str:
    """A report's Markdown as one HTML page.

    Knows what reports are written in: headings, paragraphs, lists, tables, images, code, bold and italics.

    Args:
      markdown: the report.
      folder: where its PNG figures are.

    Raises:
      BadInput: a figure that is not there.
    """
    title = next((line[2:] for line in markdown.splitlines() if line.startswith("# ")), "Report")
    head = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{STYLE}</style></head>\n<body>\n"
    )
    return head + "\n".join(_block(lines, folder) for lines in _blocks(markdown)) + "\n</body></html>\n"


def _blocks(markdown: str) -> Iterator[list[str]]:
    """Runs of lines of one kind."""
    block: list[str] = []
    kind = ""
    for line in [*markdown.splitlines(), ""]:
        found = next((mark for mark in ("#", "|", "- ", "![") if line.startswith(mark)), "text" if line.strip() else "")
        if block and (found != kind or found in ("#", "![")):
            yield block
            block = []
        kind = found
        if found:
            block.append(line)


def _block(lines: list[str], folder: Path) -> str:
    first = lines[0]
    if first.startswith("#"):
        level = len(first) - len(first.lstrip("#"))
        return f"<h{level}>{_inline(first.lstrip('# '))}</h{level}>"
    if first.startswith("|"):
        return _table(lines)
    if first.startswith("- "):
        return "<ul>\n" + "\n".join(f"<li>{_inline(line[2:])}</li>" for line in lines) + "\n</ul>"
    image = _IMAGE.fullmatch(first.strip())
    if image and is_inside(image[2]):
        return _image(image[1], folder / image[2])
    return f"<p>{_inline(' '.join(lines))}</p>"


def _image(words: str, file: Path) -> str:
    if not file.is_file():
        raise BadInput(f"{file}: no such figure, expected the PNG that the report names")
    data = base64.b64encode(file.read_bytes()).decode()
    return f'<figure><img alt="{html.escape(words)}" src="data:image/png;base64,{data}"></figure>'


def _table(lines: list[str]) -> str:
    header, marks, *rows = (_cells(line) for line in lines)
    kinds = ["" if mark.endswith(":") else ' class="text"' for mark in marks]

    def row(cells: list[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}{k}>{_inline(c)}</{tag}>" for c, k in zip(cells, kinds)) + "</tr>"

    body = "\n".join(row(cells, "td") for cells in rows)
    whole = f"<table>\n<thead>{row(header, 'th')}</thead>\n<tbody>\n{body}\n</tbody></table>"
    return f'<div class="wide" tabindex="0">{whole}</div>'


def _cells(line: str) -> list[str]:
    """The cells of a row; a bar behind a backslash belongs to one."""
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip()[1:-1])]


def _inline(text: str) -> str:
    """Escapes a line; code, bold and italics become elements, and nothing inside code does."""
    parts = re.split(r"`([^`]*)`", text)
    out = []
    for index, part in enumerate(parts):
        safe = html.escape(part if index % 2 else html.unescape(part).replace("]\\(", "]("))  # of `wording.of_markdown`
        if index % 2:
            out.append(f"<code>{safe}</code>")
            continue
        safe = re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", safe)
        out.append(re.sub(r"\*([^*]+)\*", r"<em>\1</em>", safe))
    return "".join(out)
