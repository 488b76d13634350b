"""Tries the package as it is installed, from a folder outside the tree: `python installed.py TREE`.

Needs no tests, no pytest and nothing but what the package itself asks for. Writes into the current folder.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import wave
from array import array
from importlib import metadata
from math import pi, sin
from pathlib import Path


def dhauds(*words: str) -> str:
    """What a command says on stdout that ends well; by the entry point, wherever the script lies."""
    code = "import sys; from importlib.metadata import distribution as d; "
    code += "sys.exit(next(e for e in d('dhauds_jax').entry_points if e.name == 'dhauds').load()())"
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, (words, done.stdout[-1000:], done.stderr[-2000:])
    return done.stdout


def tone(path: Path, hertz: float) -> None:
    """A second of a tone, 16 kHz, 16 bit."""
    path.parent.mkdir(exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(array("h", [int(8_000 * sin(2 * pi * hertz * k / 16_000)) for k in range(16_000)]).tobytes())


def main(tree: Path) -> None:
    """Asserts what a user does first."""
    import converters
    import dhauds_jax
    import experiments

    for package in (dhauds_jax, converters, experiments):
        place = Path(next(iter(package.__path__))).resolve()
        assert tree.resolve() not in place.parents, f"{place} is the tree's, not the installed one"
    assert metadata.version("dhauds_jax") == dhauds_jax.__version__
    assert dhauds("--version") == f"dhauds_jax {dhauds_jax.__version__}\n"
    assert "classify" in dhauds() and "synthetic" in dhauds("sweep", "--recipes=synthetic", "--list")
    for take in range(2):
        tone(Path("sounds", f"{take}.wav"), 300.0 * (take + 1))
    dhauds("classify", "--model=words15", "--audio_dir=sounds", "--method=source", "--output=out")
    with Path("out", "predictions.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 2
    model = dhauds_jax.load("words15")
    folder = model.save("kept")
    told = json.loads((folder / "config.json").read_text())
    assert told["written_by"] == dhauds_jax.__version__
    labels = dhauds_jax.load(folder).predict("sounds").labels
    assert labels == model.predict("sounds").labels and len(labels) == 2
    print(f"dhauds_jax {dhauds_jax.__version__} in {Path(dhauds_jax.__file__).parent}: it runs")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
