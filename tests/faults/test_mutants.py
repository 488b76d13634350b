"""Mutation testing (benchmarks/mutants.py): whose tests a file's are, and what its table says."""

from benchmarks import mutant_places, mutants
from tests.test_docs import ROOT, torn_rows


def test_every_file_has_tests_of_its_own():
    modules = mutant_places.modules(ROOT)
    assert set(mutant_places.OWN) <= set(modules) and len(modules) > 60
    tests = {name for module in modules for name in mutant_places.own_tests(module)}
    assert [name for name in sorted(tests) if not (ROOT / name).is_file()] == []


def test_annotations_and_compilation_are_left_out():
    source = (
        "@functools.partial(jax.jit, static_argnums=1)\ndef f(a: int | None, b=2) -> dict | None:\n    return a + b\n"
    )
    spans = mutant_places._left_out(source)
    found = [
        any(first <= place <= last for first, last in spans) for place in ((1, 8), (2, 13), (2, 30), (2, 23), (3, 13))
    ]
    assert found == [True, True, True, False, False]  # the decorator and both annotations; the default and the sum stay


def test_a_change_that_survived_once_counts_as_caught_by_what_sees_it_now():
    row = {"file": "dhauds_jax/dsp/mel.py", "before": "a | b", "after": "a & b", "outcome": "killed", "first": "killed"}
    rows = [
        row,
        {**row, "first": "survived"},
        {**row, "outcome": "survived", "first": "survived"},
        {**row, "outcome": "survived", "first": "survived", "after": "a - b", "file": "dhauds_jax/metrics.py"},
    ]
    text = mutants.table(rows, {("dhauds_jax/dsp/mel.py", "a | b", "a & b"): "both are 1"})
    assert "| dsp | 3 | 1 | 0 | 1 | 1 | 0 |" in text and "| metrics | 1 | 0 | 0 | 0 | 0 | 1 |" in text
    assert "| dsp/mel.py | `a \\| b` | `a \\& b` |".replace("\\&", "&") in text and torn_rows(text) == []
