"""The notebooks run from their first cell to their last, and are kept without what they printed."""

import json
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


def printed(cell):
    return "".join(output.get("text", "") for output in cell["outputs"] if output["output_type"] == "stream")


def share(text):
    """The last number of a line such as "after: 61.6% right"."""
    return float(text.split(": ")[1].split("%")[0])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_outputs_are_not_kept(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code and not any(cell["outputs"] or cell["execution_count"] for cell in code)


@pytest.mark.slow
def test_the_notebook_adapts_to_recordings_that_it_makes(tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat", reason="nbformat (extra docs) is not installed")
    nbclient = pytest.importorskip("nbclient", reason="nbclient (extra docs) is not installed")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    (path,) = NOTEBOOKS
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, timeout=500, resources={"metadata": {"path": str(tmp_path)}}).execute()
    text = "".join(printed(cell) for cell in notebook.cells if cell.cell_type == "code").splitlines()
    (before,) = (share(line) for line in text if line.startswith("before: "))
    (after,) = (share(line) for line in text if line.startswith("after: "))
    assert after > before + 20
    assert sum(line.startswith(" 0.0 to ") for line in text) == 1
    assert (tmp_path / "out" / "labels.csv").read_text().splitlines()[0] == "file,label"
    assert dict(line.split(",") for line in (tmp_path / "out" / "labels.csv").read_text().splitlines())["long.wav"]
