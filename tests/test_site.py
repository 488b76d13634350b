"""The site builds without a warning, and its API pages have every public function of the packages."""

import ast
import importlib.util
import os
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("dhauds_jax", "converters")


def public(file):
    """Dotted names of a module's public functions and classes, and of the classes' own (linen's setup is not one)."""
    module = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    kinds = ast.FunctionDef | ast.ClassDef
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, kinds) and not node.name.startswith("_"):
            yield f"{module}.{node.name}"
            for inner in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(inner, kinds) and not inner.name.startswith("_") and inner.name != "setup":
                    yield f"{module}.{node.name}.{inner.name}"


def inventory(file):
    """Names in an inventory of Sphinx's second format: four lines of head, then compressed lines."""
    packed = file.read_bytes().split(b"\n", 4)[4]
    return {line.split()[0] for line in zlib.decompress(packed).decode().splitlines()}


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("mkdocs_api_autonav") is None, reason="mkdocs (extra docs) is not installed"
)
def test_the_site_builds_and_has_every_public_function(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    asked = {name for package in PACKAGES for file in (ROOT / package).rglob("*.py") for name in public(file)}
    assert len(asked) > 1000 and not asked - inventory(tmp_path / "site" / "objects.inv")
    assert not (tmp_path / "site" / "records").exists()
    for page in ("index.html", "methods/index.html", "examples/adapt_recordings.ipynb"):
        assert (tmp_path / "site" / page).is_file(), page
