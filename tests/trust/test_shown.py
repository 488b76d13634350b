"""What names of files, classes and records can be where they are shown: words, and nothing else."""

import csv
import io
import subprocess
import sys
from pathlib import Path

import pytest

from dhauds_jax import files
from dhauds_jax.command import terminal
from dhauds_jax.report import html, latex, tables, tidy
from dhauds_jax.wording import of_markdown
from dhauds_jax.workdir import records

ROOT = Path(__file__).resolve().parents[2]

CONTROLS = {
    "\x1b[2Jx": r"\x1b[2Jx",  # clears the screen
    "a\rerror: none": r"a\x0derror: none",
    "a\nerror: b": r"a\x0aerror: b",
    "a\x9b31mb": r"a\u009b31mb",  # the second set of controls: the same as ESC [
    "a\u202egpj.wav": r"a\u202egpj.wav",  # turns the line's direction
    "a\u2066b\u2069": r"a\u2066b\u2069",
    "a\u2028b": r"a\u2028b",
    "a\x9b".encode("latin-1").decode("utf-8", "surrogateescape"): r"a\x9b",
    "\ud800": r"\ud800",
}


@pytest.mark.parametrize(("name", "expected"), CONTROLS.items())
def test_names_hold_no_controls(name, expected):
    assert files.printable(name) == files.one_line(name) == expected
    assert files.one_line(expected) == expected
    expected.encode("utf-8")


def test_a_name_that_reads_as_an_escape_stays_another_name():
    assert files.printable("a\\u202e") == "a\\x5cu202e" != files.printable("a\u202e")
    assert files.printable("שלום עולם é 音 👩‍🔬") == "שלום עולם é 音 👩‍🔬"


def test_a_refusal_is_one_line_whatever_a_file_is_called(tmp_path):
    body = (
        "from dhauds_jax.command import app\nfrom dhauds_jax.errors import BadInput\n"
        "def main():\n    print('split \\x1b[1Aof\\ta')\n"
        "    raise BadInput('a\\x1b[2J\\nerror: b\\u202e.wav')\napp.run(main)"
    )
    words = [sys.executable, "-c", body, "--nocompilation_cache"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, encoding="utf-8")
    assert (done.returncode, done.stdout) == (2, "split \\x1b[1Aof\ta\n")
    assert done.stderr == "error: a\\x1b[2J\\x0aerror: b\\u202e.wav\n"


def test_bars_move_where_they_are_drawn_and_nothing_else_does():
    text = "\r 50 %\x1b[A\x1b[2J\u202e\n"
    drawn, plain = io.StringIO(), io.StringIO()
    assert terminal.Shown(drawn, bars=True).write(text) == len(text)
    terminal.Shown(plain, bars=False).writelines([text])
    assert drawn.getvalue() == "\r 50 %\x1b[A\\x1b[2J\\u202e\n"
    assert plain.getvalue() == "\\x0d 50 %\\x1b[A\\x1b[2J\\u202e\n"


def test_texts_of_a_record_begin_no_line(tmp_path):
    about = records.KINDS["results"]
    whole = {**dict.fromkeys(about.always, 0), "method": "a\n| b |\x1b[2J", "options": {"x\u202e": ["\r", 1]}}
    line = records.json.dumps(whole)
    (tmp_path / records.FILE).write_text(line + "\n", encoding="utf-8")
    (found,) = records.read(tmp_path)
    assert found["method"] == r"a\x0a| b |\x1b[2J"
    assert found["options"] == {r"x\u202e": [r"\x0d", 1]}


FORMULAS = ["=cmd()", "+cmd", "-cmd", "@SUM(A1)", "＝1", "=1"]
CONTROLLED = {"\t=x": r"\x09=x", "\r=1": r"\x0d=1", "a\rb,c": r"a\x0db,c"}  # a carriage return would begin a row
KEPT = ["", "-", "-0.5", "+1e-3", "-inf", "nan", "dog", "a=b", "1-2", -0.5, 3, None]


def test_a_table_holds_no_formula(tmp_path):
    files.write_csv(tmp_path / "a.csv", [FORMULAS, KEPT, list(CONTROLLED)])
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        first, second, third = csv.reader(file)
    assert third == list(CONTROLLED.values())
    assert first == [f"'{one}" for one in FORMULAS]
    assert second == ["" if one is None else str(one) for one in KEPT]
    files.write_csv(tmp_path / "b.csv", [FORMULAS], exact=True)
    with (tmp_path / "b.csv").open(newline="", encoding="utf-8") as file:
        assert next(csv.reader(file)) == FORMULAS


def test_a_table_of_a_report_holds_no_formula():
    assert tidy.text([{"method": "=cmd()", "value": -0.5}]) == "method,value\n'=cmd(),-0.5\n"


HOSTILE = [
    "<script>alert(1)</script>",
    "&lt;script&gt;",
    "![x](https://example.org/x.png)",
    "[x](javascript:alert(1))",
    "a|b",
    "`<b>`",
    "`<img src=x onerror=alert(1)>",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_a_word_in_a_report_and_in_its_page(tmp_path, name):
    text = of_markdown(f"# {name}\n\n{tables.table(['class', 'b'], [[name, '1']])}\n- {name}\n\n{name}\n")
    outside = "".join(text.split("`")[::2]) if name == "`<b>`" else text
    assert "<" not in outside and "](" not in outside
    page = html.page(text, tmp_path)
    body = page.partition("</head>")[2]
    for tag in ("<script", "<b>", "<img", "<a "):
        assert tag not in body
    assert body.count("<td") == 2
    shown = name.strip("`") if name == "`<b>`" else name
    assert body.count(html.html.escape(shown)) == 4


def test_figures_of_a_report_stay(tmp_path):
    for line in ("![gain](gain-1.png)", "![x](WHN-L1/confusion.png)"):
        assert of_markdown(line) == line


def test_a_name_is_no_command_of_latex():
    assert latex.escape("\\input{/etc/passwd}\n\x1b") == r"\textbackslash{}input\{/etc/passwd\} \textbackslash{}x1b"
