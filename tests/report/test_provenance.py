"""Where the numbers of a report come from, line by line."""

from dhauds_jax.report.provenance import code_said, provenance
from tests.report.test_tables import FOUND


def test_provenance_names_the_recipe():
    found = [{**FOUND[0], "recipe": {"name": "dhauds", "row": row}} for row in (7, 3, 7)]
    assert "- recipe: dhauds, rows 3, 7" in provenance(found).splitlines()


def test_records_of_several_states_of_the_code_are_counted():
    of_one = [{**record, "code": "a1"} for record in FOUND[:3]]
    assert "- digest of the code that computes: `a1`" in provenance(of_one).splitlines()
    assert code_said([FOUND[0], *of_one, {**FOUND[0], "code": "b2"}]) == (
        "digest of the code that computes: `a1` (3), `b2` (1); 1 record before there was one"
    )
    assert code_said(FOUND) == ""
    assert "digest of the code" not in provenance(FOUND)
