"""The pages: files and dotted names of ours that they name are there, their links lead somewhere, their code runs."""

import ast
import re
from pathlib import Path

import pytest
import soundfile

from dhauds_jax.recipes import tuned
from dhauds_jax.tta import methods
from tests.runs import tiny
from tests.test_arrows import ROOMS

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
BASES = (ROOT, ROOT / "dhauds_jax")
"""Paths in pages are those of the repository or, for short, of the package."""
PLACEHOLDERS = {
    "CONTRIBUTING.md": {"experiments/NAME.py", "dhauds_jax/runs/NAME.py"},
    "extending.md": {
        *(
            f"my_sounds/{name}.py"
            for name in ("methods", "corruptions", "sets", "nets", "protocols", "criteria", "scorers", "learners")
        ),
        "dhauds_jax/tta/methods/tilt.py",
        "dhauds_jax/data/corruptions/gap.py",
        "dhauds_jax/data/sets/hums.py",
        "dhauds_jax/nets/hums.py",
        "dhauds_jax/zeroshot/scorers/louder.py",
        "dhauds_jax/nets/hums_zoo.py",
        "dhauds_jax/incremental/learners/nearest.py",
    },
}
"""Files that a page tells its reader to write."""

by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def files_in(text):
    """Python files of ours that a text names; of the reference's, which are cited as lib/... and AuT/..., none."""
    return set(re.findall(r"(?<![\w/.-])((?:[\w-]+/)*\w+\.py)\b", text))


def absent_files(text):
    return {name for name in files_in(text) if not any((base / name).is_file() for base in BASES)}


def absent_names(text):
    """Dotted names under our packages that are neither a module nor something that a module defines."""
    found = set(re.findall(r"\b(?:dhauds_jax|converters|experiments)(?:\.[A-Za-z_]\w*)+", text))
    return {name for name in found if not exists(name.split("."))}


def exists(parts):
    for count in range(len(parts), 0, -1):
        place = ROOT.joinpath(*parts[:count])
        file = place.with_suffix(".py") if place.with_suffix(".py").is_file() else place / "__init__.py"
        if file.is_file():
            return count == len(parts) or parts[count] in defined(file)
    return False


def defined(file):
    """Names at the top of a module, those that it exports lazily included."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    stored = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    named = {node.id for node in stored if node.col_offset == 0}
    named |= {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    named |= {alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    return named | {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}


@by_page
def test_files_and_names_of_ours_exist(page):
    text = page.read_text(encoding="utf-8")
    assert absent_files(text) <= PLACEHOLDERS.get(page.name, set())
    assert not absent_names(text)


@by_page
def test_links_between_pages_lead_somewhere(page):
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)", page.read_text(encoding="utf-8")):
        file = page.parent / target if target else page
        assert file.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}, anchor


TABLE = re.compile(r"((?:^[ ]*\|.*\|[ ]*\n)+)", re.MULTILINE)
RULE = re.compile(r"[ ]*\|(?:[ ]*:?-+:?[ ]*\|)+[ ]*")


def columns(row):
    """How many cells a row of a table has; an escaped bar is of a cell's text."""
    return len(re.sub(r"\\\|", "", row.strip())[1:-1].split("|"))


def torn_rows(text):
    """Rows of tables that have another number of cells than the head of their table."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE) + "\n"
    found = []
    for rows in (block.splitlines() for block in TABLE.findall(text)):
        if len(rows) > 1 and RULE.fullmatch(rows[1]):
            found += [row for row in rows if columns(row) != columns(rows[0])]
    return found


@by_page
def test_rows_of_tables_have_the_columns_of_their_head(page):
    assert torn_rows(page.read_text(encoding="utf-8")) == []


def test_the_page_of_methods_says_which_have_no_rate_and_which_are_tuned_by_sgd():
    page = " ".join((ROOT / "docs" / "methods.md").read_text(encoding="utf-8").split())
    (said,) = re.findall(r"All methods run so; ([^.;]*) have no rate", page)
    without = {name for name in methods.METHODS if "lr" not in methods.default_options(name, "corrected")}
    assert set(re.findall(r"`(\w+)`", said)) == without
    (said,) = re.findall(r"\(methods of one's own too\); ([^:]*): 1, 10, 40", page)
    assert tuple(re.findall(r"`(\w+)`", said)) == tuned.SGD_METHODS


def test_the_table_of_rooms_has_every_room():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == set(ROOMS)


def test_what_is_not_there_is_seen():
    assert absent_files("`tta/parallel.py` and dhauds_jax/parallel.py, tests/test_docs.py") == {"tta/parallel.py"}
    text = "dhauds_jax.nets.zoo.build, dhauds_jax.nets.zoo.bild, dhauds_jax.data.sets.DataSet, experiments.adept"
    assert absent_names(text) == {"dhauds_jax.nets.zoo.bild", "experiments.adept"}
    head = "| a | b |\n|---|---:|\n"
    assert torn_rows(f"{head}| `x\\|y` | 2 |\n| 1 | 2 | 3 |\n| 1 |\n\n{head}| 1 ||\n") == ["| 1 | 2 | 3 |", "| 1 |"]


@pytest.mark.slow
def test_the_readmes_python_runs(tmp_path, monkeypatch, capsys):
    """As it stands on the page, in a folder with the checkpoint and the recordings that it names."""
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    tiny.make_checkpoint(tmp_path / "out" / "train" / "checkpoint")
    (tmp_path / "recordings").mkdir()
    for take in range(4):
        soundfile.write(tmp_path / "recordings" / f"{take}.wav", tiny.tone(take, take), tiny.RATE)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    labels = ast.literal_eval(capsys.readouterr().out.splitlines()[-1])
    assert len(labels) == 4 and set(labels) <= set(tiny.CLASSES)
