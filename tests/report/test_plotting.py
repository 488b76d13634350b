"""Figures are written whatever backend the environment names, and no state of pyplot's is touched."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dhauds_jax.report import plotting

ROOT = Path(__file__).resolve().parents[2]

DRAW = """
import os, sys
from pathlib import Path
from dhauds_jax.report import plotting
figure, axes = plotting.subplots(figsize=(2, 1))
axes.plot([1, 2])
plotting.save(figure, Path(sys.argv[1]))
assert "matplotlib.pyplot" not in sys.modules
import matplotlib
print(os.environ["MPLBACKEND"], dict.__getitem__(matplotlib.rcParams, "backend"))
"""


@pytest.mark.parametrize(
    ("backend", "kept"),
    [("module://matplotlib_inline.backend_inline", None), ("nonsense", None), ("svg", "svg")],
    ids=["of a notebook", "unknown", "of another kind"],
)
def test_a_figure_is_saved_under_any_backend(tmp_path, backend, kept):
    """`import matplotlib` fails under the first two; what names a backend that is there stays chosen."""
    command = [sys.executable, "-W", "error", "-c", DRAW, str(tmp_path / "a.png")]
    environment = {**os.environ, "MPLBACKEND": backend}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900)
    assert (done.returncode, done.stderr) == (0, "")
    named, chosen = done.stdout.split(maxsplit=1)
    assert named == backend
    assert kept is None or chosen.strip() == kept
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_matplotlib_is_imported_in_one_place():
    files = [file for package in ("dhauds_jax", "experiments", "converters") for file in (ROOT / package).rglob("*.py")]
    imports = [
        file.name for file in files if re.search(r"^\s*(?:import|from) matplotlib", file.read_text(), re.MULTILINE)
    ]
    assert imports == ["plotting.py"]


@pytest.mark.parametrize("name", [r"$\frac{", "$x$", "a$b", r"\$a$"])
def test_a_dollar_in_a_name_begins_no_formula(tmp_path, name):
    """A class called `$\\frac{` ended a report in a traceback, and `$x$` was set as mathematics."""
    figure, axes = plotting.subplots(figsize=(2, 2))
    axes.set_title(name)
    axes.set_xticks([0, 1], labels=[name, "b"])
    axes.scatter([1, 10], [1, 2], label=name)
    axes.set_xscale("log")
    figure.legend()
    plotting.save(figure, tmp_path / "a.png")
    assert not axes.title.get_parse_math()
    other, axes = plotting.subplots(figsize=(2, 2))
    axes.set_xticks([0, 1], labels=[name, "b"])
    plotting.save(other, tmp_path / "b.png")
    assert not any(label.get_parse_math() for label in axes.get_xticklabels())


@pytest.mark.parametrize("values", [[1.0, float("nan")], [1e31], ["a"], [float("-inf")]])
def test_what_cannot_be_drawn_is_told(values):
    assert not plotting.is_shown(np.array(values))
    assert plotting.is_shown(np.array([[1, -2.5]])) and plotting.is_shown(np.float32(3))
