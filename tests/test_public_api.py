"""The public names are those of public_api.txt, which docs/versions.md promises to keep."""

import ast
import difflib
import re
import subprocess
import sys
from pathlib import Path

from dhauds_jax import schemas
from dhauds_jax.workdir import records
from tests import public_api

ROOT = Path(__file__).resolve().parents[1]
KEPT = public_api.FILE.read_text(encoding="utf-8").splitlines()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_public_names_are_those_of_the_list():
    """A line that goes or changes breaks somebody's code: docs/versions.md says what that asks for."""
    # In a process of its own, where no shapes are checked: so many modules are imported in two seconds there.
    command = [sys.executable, "-m", "tests.public_api", "--print"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    kept, found = KEPT, done.stdout.splitlines()
    changed = [line for line in difflib.unified_diff(kept, found, lineterm="", n=0) if line[:3] not in ("---", "+++")]
    assert not changed, "python -m tests.public_api writes the list anew; a changed line goes into CHANGELOG.md"


def imported(text):
    """Dotted names of ours that the Python of a page imports, and what it takes of imported modules."""
    found = set()
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        tree, modules = ast.parse(code), {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dhauds_jax"):
                modules |= {alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            if isinstance(node, ast.Import) and node.names[0].name == "dhauds_jax":
                modules["dhauds_jax"] = "dhauds_jax"
        taken = [
            node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        ]
        inside = {node.value.id for node in taken if node.value.id in modules and node.value.id.islower()}
        found |= {f"{modules[node.value.id]}.{node.attr}" for node in taken if node.value.id in inside}
        found |= {place for name, place in modules.items() if name not in inside}
    return found


def test_what_the_pages_build_on_is_public():
    kept = {re.split(r"[( ]", line)[0] for line in KEPT}
    asked = {page.name: imported(page.read_text(encoding="utf-8")) for page in PAGES}
    assert {"dhauds_jax.load"} <= asked["README.md"] and "dhauds_jax.tta.losses.entropy" in asked["extending.md"]
    assert not {name: missing for name, names in asked.items() if (missing := names - kept)}


def test_signatures_are_shown_without_what_a_run_or_a_machine_changes():
    def function(a, b=(1, "x"), *, c=schemas, d=str, e=None):
        return a, b, c, d, e

    shown = public_api.signature(function)
    assert shown == "(a, b=(1, 'x'), *, c=<dhauds_jax.schemas>, d=<str>, e=None)"
    assert {"experiments.adapt --epochs=15", f"file results.jsonl {records.KEYS[0]}"} <= {*KEPT}
