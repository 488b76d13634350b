"""The command lines as a user types them: help, exit codes, one sentence on stderr; imports stay light."""

import subprocess
import sys
from pathlib import Path

import pytest

from dhauds_jax.data import sets
from dhauds_jax.names import CORRUPTIONS, LEVELS
from dhauds_jax.tta import methods, protocols, selection

ROOT = Path(__file__).resolve().parents[2]
MAINS = ("quickstart", "train", "corrupt", "adapt", "report", "benchmark", "check_data", "sweep", "pretrain", "study")


def run(*words):
    return subprocess.run([sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("main", MAINS)
def test_help_says_what_it_does_and_is_quick(main):
    done = run(f"experiments.{main}", "--help")
    assert "Example: python -m experiments." in done.stdout
    code = (
        f"import sys, experiments.{main} as m; sys.exit(any(k in sys.modules for k in ('jax', 'numpy', 'matplotlib')))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60).returncode == 0


def test_help_lists_the_names_that_there_are():
    text = run("experiments.adapt", "--help").stdout
    data_sets = [name for name in sets.REGISTRY if "/" not in name]
    for name in [*methods.METHODS, *protocols.PROTOCOLS, *selection.CRITERIA, *CORRUPTIONS, *LEVELS, *data_sets]:
        assert name in text, name


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["experiments.adapt"], "error: "),
        (["experiments.train", "--dataset=synthetic", "--workdir=x", "--epochs=many"], "error: flag --epochs=many"),
        (["experiments.train", "--dataset=synthetic", "--workdir=x", "--epohcs=3"], "error: Unknown command line flag"),
        (["experiments.report", "--workdir=nowhere"], "error: no records in nowhere"),
        (["experiments.train", "--dataset=mnist", "--workdir=nowhere"], "error: unknown data set 'mnist'"),
        (["converters.convert", "--family=x", "--source=a", "--output=nowhere"], "error: unknown --family 'x': "),
        (["converters.convert", "--family=hubert"], "error: --source, --output: missing"),
        (["experiments.report", "--workdir=nowhere", "out"], "error: 'out' belongs to no flag"),
    ],
)
def test_bad_command_lines_end_with_one_sentence_and_code_2(words, message):
    done = run(*words)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (ROOT / "nowhere").exists()
