"""What libraries say for themselves is not on a command's screen."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runs import tiny

ROOT = Path(__file__).resolve().parents[2]


def test_a_library_that_misses_a_home_folder_says_nothing():
    """As in a container that runs with a number which no user has; before, figures came with a warning."""
    code = (
        "import pwd, sys\n"
        "pwd.getpwuid = lambda uid: {}[uid]\n"
        "from dhauds_jax.command import app\n"
        "app.FLAGS(['report'])\n"
        "app._start()\n"
        "from dhauds_jax.report import plotting\n"
        "import matplotlib\n"
        "print(matplotlib.get_cachedir())\n"
    )
    env = {name: value for name, value in os.environ.items() if name not in ("HOME", "MPLCONFIGDIR")}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, timeout=900)
    assert (done.returncode, done.stderr) == (0, "")
    assert "matplotlib-" in done.stdout


@pytest.mark.slow
def test_tensorflow_and_its_data_sets_say_nothing(tmp_path):
    """Before, TFDS spoke of a download, of a custom configuration and of every example, and TensorFlow of oneDNN."""
    tiny.make_arabic(tmp_path / "data")
    words = [sys.executable, "-m", "experiments.check_data", "--dataset=arabic_speech_commands", "--allow_partial",
             f"--data_dir={tmp_path / 'data'}", f"--prepare={tmp_path / 'cache'}"]  # fmt: skip
    env = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    folder = done.stdout.splitlines()[-1].removeprefix("prepared: ")
    work, said, *bar = done.stderr.splitlines()
    assert work == "work: 60 files in 3 splits, each read once"
    assert said == f"preparing {folder}"
    assert all("arabic" in line for line in bar), bar
