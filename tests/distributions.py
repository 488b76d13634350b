"""The sdist, and the wheel that is built from it alone: `python -m tests.distributions FOLDER` puts both there."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("dhauds_jax", "converters", "experiments")
BESIDE = ("MANIFEST.in", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff")


def build(folder: Path) -> tuple[Path, Path]:
    """Builds both in a copy of the tree, by the setuptools of this environment; nothing is fetched.

    Returns:
      The paths of the sdist and of the wheel, in `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        source, unpacked = Path(place, "source"), Path(place, "unpacked")
        for name in (*PACKAGES, "tests", "benchmarks"):  # the last two: that they are left out is worth a look
            unwanted = shutil.ignore_patterns("__pycache__", "goldens")
            shutil.copytree(ROOT / name, source / name, ignore=unwanted)
        for name in BESIDE:
            shutil.copy(ROOT / name, source / name)
        sdist = folder / _built("build_sdist", source, folder)
        with tarfile.open(sdist) as packed:
            packed.extractall(unpacked, filter="data")
        (alone,) = unpacked.iterdir()
        return sdist, folder / _built("build_wheel", alone, folder)


def _built(what: str, source: Path, folder: Path) -> str:
    """Runs a step of the build in a folder; returns the name of the file."""
    code = f"from setuptools import build_meta; print('\\n' + build_meta.{what}({str(folder.resolve())!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True, timeout=900)
    if done.returncode:
        raise RuntimeError(f"{what}: {done.stderr[-2000:]}")
    return done.stdout.splitlines()[-1]


if __name__ == "__main__":
    print(*build(Path(sys.argv[1])), sep="\n")
