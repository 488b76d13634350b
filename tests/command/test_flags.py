"""Flags from the fields of a request: what is defined, what is required, and what the record holds afterwards."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from absl import flags

from dhauds_jax import requests
from dhauds_jax.cells.request import AdaptRun
from dhauds_jax.command.flags import flags_of, from_flags, given
from dhauds_jax.data import pipeline
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import precision
from dhauds_jax.parallel import KINDS
from dhauds_jax.requests import Request, flag, like
from dhauds_jax.runs.train import train_from_flags
from dhauds_jax.train.request import TASKS, PretrainRun, Recipe, TrainOptions, TrainRun
from dhauds_jax.tta import aux_tasks

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True)
class Inner(Request):
    rate: float = flag("Rate.", 0.5)
    epochs: Sequence[int] = flag("Epochs.", (1, 2))
    hidden: int = 7


@dataclass(frozen=True, kw_only=True)
class Outer(Request):
    name: str = flag("Name.")
    words: Sequence[str] = flag("Words.", ("a",))
    seed: int | None = flag("Seed.", None)
    loud: bool = flag("Loud.", False)
    kind: str = flag("Kind.", "one", choices=("one", "two"))
    squares: bool | None = flag("Squares.", None, choices={"auto": None, "true": True, "false": False})
    choice: str = flag("Choice.", "last", choices=("last", "best"), left_out=True)
    inner: Inner = field(default_factory=Inner)


def parsed(record, *words):
    values = flags.FlagValues()
    flags_of(record, values=values)
    values(["main", *words])
    return values


def test_defaults_of_flags_are_those_of_the_record():
    values = parsed(Outer, "--name=x")
    assert from_flags(Outer, values) == Outer(name="x")
    assert values["words"].value == ["a"] and values["choice"].value is None
    assert "hidden" not in values and "list" not in values


def test_a_flag_that_is_given_its_default_is_given():
    assert given(Outer, parsed(Outer, "--name=x", "--rate=0.5", "--noloud")) == {"name", "rate", "loud"}


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("0,1", "expected one whole number; one command a number"),
        ("one", "expected one whole number"),
        ("-1", "-1 is not a non-negative integer"),
    ],
)
def test_a_seed_is_one_whole_number_from_0(word, said):
    with pytest.raises(flags.IllegalFlagValueError, match=rf"{said}$"):
        parsed(Outer, "--name=x", f"--seed={word}")
    assert from_flags(Outer, parsed(Outer, "--name=x", "--seed=7")).seed == 7


def test_values_have_the_types_of_the_fields():
    words = ["--name=x", "--words=b,c", "--seed=3", "--loud", "--kind=two", "--squares=false", "--choice=best"]
    found = from_flags(Outer, parsed(Outer, *words, "--rate=2", "--epochs=5,10"))
    inner = Inner(rate=2.0, epochs=(5, 10))
    expected = {"words": ("b", "c"), "seed": 3, "loud": True, "kind": "two", "squares": False, "choice": "best"}
    assert found == Outer(name="x", inner=inner, **expected)


def test_a_field_without_a_default_must_be_given():
    with pytest.raises(flags.IllegalFlagValueError, match=r"flag --name=None: must be given: Name \(--help\)"):
        parsed(Outer)


def test_a_list_of_numbers_that_holds_a_word_is_bad_input():
    with pytest.raises(BadInput, match="--epochs=5,many: expected whole numbers separated by commas, such as 5,10"):
        from_flags(Outer, parsed(Outer, "--name=x", "--epochs=5,many"))


def test_a_field_like_another_has_its_text_and_its_own_default():
    @dataclass(frozen=True, kw_only=True)
    class Other(Request):
        name: str = like(Outer, "name", default="me")
        kind: str = like(Outer, "kind", help="Sort.")

    assert Other() == Other(name="me", kind="one")
    described = Other.__dataclass_fields__["kind"].metadata["flag"]
    assert (described.help, described.choices) == ("Sort.", ("one", "two"))
    assert Other.names() == ("name", "kind") and Other.defaults() == {"name": "me", "kind": "one"}
    assert Other().replace(kind="two").as_dict() == {"name": "me", "kind": "two"}


def test_what_requests_repeat_from_heavy_modules_is_the_same():
    assert requests.PARALLEL == KINDS
    assert tuple(precision.MATMUL) == requests.PRECISIONS
    assert ("none", *aux_tasks.TASKS) == TASKS
    assert TrainOptions().aux_shift == aux_tasks.SHIFT
    assert TrainRun.defaults()["memory_budget_mb"] == pipeline.MEMORY_BUDGET_MB


@pytest.mark.parametrize(
    ("words", "settled"),
    [
        ([], ("last", True, False, False, True)),
        (["--profile=corrected"], ("best_validation", False, True, True, False)),
        (["--profile=corrected", "--selection=last", "--time_flip"], ("last", False, True, True, True)),
        (["--selection=average", "--notime_flip"], ("average", True, False, False, False)),
    ],
)
def test_options_of_a_training_follow_the_profile(words, settled, monkeypatch):
    seen = []
    monkeypatch.setattr("dhauds_jax.runs.train.train_and_save", lambda run, command: seen.append(run) or "done")
    values = flags.FlagValues()
    flags_of(TrainRun, Recipe, values=values)
    values(["train", "--dataset=synthetic", "--workdir=out", "--milestones=5,10", *words])
    assert train_from_flags(values, "c") == "done"
    (run,) = seen
    names = ("selection", "first_epoch_plain", "crop_last_start", "nesterov", "time_flip")
    assert tuple(getattr(run.options, name) for name in names) == settled
    assert run.options.milestones == (5, 10) and run.dataset == "synthetic"


def test_training_and_pretraining_share_their_flags_of_clips():
    shared = ("data_dir", "input_statistics", "save_every_s", "memory_budget_mb", "cache_dir", "allow_partial")
    for name in (*shared, "on_bad_file"):
        fields = [record.__dataclass_fields__[name] for record in (TrainRun, PretrainRun)]
        assert fields[0].metadata == fields[1].metadata, name


def test_requests_import_nothing_but_the_standard_library():
    code = (
        "import sys, pkgutil, importlib, dhauds_jax.cells.request, dhauds_jax.train.request\n"
        "from dhauds_jax.runs import requests\n"
        "for found in pkgutil.iter_modules(requests.__path__):\n"
        "    importlib.import_module(f'{requests.__name__}.{found.name}')\n"
        "foreign = {n.partition('.')[0] for n in sys.modules} - set(sys.stdlib_module_names) - {'dhauds_jax'}\n"
        "print(sorted(n for n in foreign if not n.startswith('_')))\n"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.stdout == "[]\n", done.stderr


def test_a_run_of_adapt_names_its_fields_once():
    values = parsed(AdaptRun, "--dataset=synthetic", "--checkpoint=c", "--corruption=WHN", "--workdir=out")
    assert from_flags(AdaptRun, values) == AdaptRun(
        dataset="synthetic", checkpoint="c", corruption=("WHN",), workdir="out"
    )
