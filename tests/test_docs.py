"""The pages: files and dotted names of ours that they name are there, their links lead somewhere, their code runs."""

import ast
import re
from pathlib import Path

import pytest
import soundfile

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


def test_the_table_of_rooms_has_every_room():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == set(ROOMS)


def test_what_is_not_there_is_seen():
    assert absent_files("`tta/parallel.py` and dhauds_jax/parallel.py, tests/test_docs.py") == {"tta/parallel.py"}
    text = "dhauds_jax.nets.zoo.build, dhauds_jax.nets.zoo.bild, dhauds_jax.data.sets.DataSet, experiments.adept"
    assert absent_names(text) == {"dhauds_jax.nets.zoo.bild", "experiments.adept"}


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
