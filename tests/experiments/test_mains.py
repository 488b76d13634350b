"""The command lines as a user types them: help, exit codes, one sentence on stderr; imports stay light."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from dhauds_jax import names
from dhauds_jax.cells.request import AdaptRun
from dhauds_jax.command import listing
from experiments.__main__ import commands

ROOT = Path(__file__).resolve().parents[2]
MAINS = [name for name in commands() if name != "convert"]


def run(*words):
    return subprocess.run([sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, timeout=900)


def test_the_mains_are_counted_and_none_is_long():
    assert len(MAINS) == 27
    for name in MAINS:
        assert len(commands()[name].read_text().splitlines()) <= 40, name


@pytest.mark.parametrize("main", MAINS)
def test_help_says_what_it_does_and_imports_nothing_heavy(main):
    code = (
        "import atexit, runpy, sys\n"
        "heavy = ('jax', 'numpy', 'flax', 'matplotlib', 'tensorflow', 'dhauds_jax.data', 'dhauds_jax.tta')\n"
        "atexit.register(lambda: print('heavy:', [name for name in heavy if name in sys.modules]))\n"
        f"runpy.run_module('experiments.{main}', run_name='__main__', alter_sys=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert f"Example: python -m experiments.{main} " in done.stdout
    assert done.stdout.splitlines()[-1] == "heavy: []", done.stderr
    assert done.returncode == 0  # it was absl's 1, which is a bug's


def test_help_lists_the_names_that_there_are():
    fields = AdaptRun.__dataclass_fields__
    for name, known in {
        "dataset": names.DATA_SETS,
        "method": names.METHODS,
        "corruption": [*names.CORRUPTIONS, *names.SHIFTS, *names.TRANSMISSIONS, *names.OWN_NOISES],
        "level": names.LEVELS,
        "protocol": names.PROTOCOLS,
        "criterion": [*names.CRITERIA, *names.CRITERIA_WITH_VIEWS],
    }.items():
        assert ", ".join(known) in fields[name].metadata["flag"].help or name == "corruption"
        assert all(word in fields[name].metadata["flag"].help for word in known), name


def test_list_prints_every_name_with_a_line_and_needs_no_other_flag():
    done = run("experiments.classify", "--list")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    kinds = {line for line in lines if line and not line.startswith(" ")}
    assert kinds >= {"model: 1 name", f"method: {len(names.METHODS)} names", f"scorer: {len(names.SCORERS)} names"}
    listed = dict(line.split(maxsplit=1) for line in lines if line.startswith("  "))
    assert set(listed) >= {*names.METHODS, *names.CRITERIA, *names.SCORERS}
    assert listed["tent"].startswith("TENT: entropy minimisation")


@pytest.mark.parametrize("kind", ["net", "recipe"])
def test_list_knows_the_names_that_only_their_room_has(kind):
    text = listing.text([kind])
    assert {"net": "  hubert_base\n", "recipe": "  ssast:esc50_patch  "}[kind] in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["experiments.adapt"], "error: "),
        (
            ["experiments.classify"],  # before, "flag --audio_dir=None: ... (--help)\\x0aflag --output=None: ..."
            "error: --audio_dir: must be given: Folder of recordings, searched with its folders, or one recording "
            "(--help); --output: must be given: Folder of the results, of one run (--help)\n",
        ),
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


def test_after_ctrl_c_a_command_promises_what_it_keeps():
    """Before, each said that the same command goes on where it was."""
    said = {}
    for name in MAINS:
        promise = re.search(r"app\.run\(main.*stopped=app\.(\w+)\)", commands()[name].read_text())
        said.setdefault(promise[1] if promise else "", set()).add(name)
    assert said == {
        "GOES_ON": {
            "adapt",
            "classify",
            "crossval",
            "embed",
            "incremental",
            "leaderboard",
            "pretrain",
            "quickstart",
            "sweep",
            "train",
            "tune",
        },
        "THE_REST": {"corrupt", "elect", "soundscapes", "study", "zeroshot"},
        "": {
            "ask",
            "audioset",
            "benchmark",
            "check_data",
            "evaluate",
            "export",
            "learn",
            "listen",
            "load",
            "report",
            "serve",
        },
    }
    code = (
        "from dhauds_jax.command import app\n"
        "def main():\n"
        "    raise KeyboardInterrupt\n"
        "app.run(main, stopped=app.THE_REST)\n"
    )
    words = [sys.executable, "-c", code, "--nocompilation_cache"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=900)
    rest = "what is finished is kept, and the same command does the rest"
    assert (done.returncode, done.stderr) == (130, f"\nstopped by the user; {rest}\n")


def test_the_quickstart_says_at_once_what_it_does_how_long_and_where():
    code = (
        "import runpy, sys, types\n"
        "from dhauds_jax.command import app\n"
        "app._start = lambda: print('jax' in sys.modules)\n"
        "done = types.SimpleNamespace(quickstart=lambda run, command: 'done')\n"
        "sys.modules['dhauds_jax.runs.quickstart'] = done\n"
        "runpy.run_module('experiments.quickstart', run_name='__main__', alter_sys=True)\n"
    )
    words = [sys.executable, "-c", code, "--workdir=somewhere"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=900)
    first, jax, last = done.stdout.splitlines()
    assert first.endswith("minutes on two CPU cores the first time; everything goes to somewhere"), done.stderr
    assert (jax, last) == ("False", "done")
