"""Damaged checkpoints and tables, command lines: a short share with fixed seeds, and the seeds of what was found."""

import pytest

from tests.faults import feed_checkpoints, feed_flags, feed_tables, feeding
from tests.faults.test_feed_audio import tried

pytestmark = pytest.mark.faults

TABLES = [case for case in feed_tables.TARGETS if not case.startswith(("records", "figures"))]
FOUND = {
    "embeddings": [18, 28],  # a header of an array that Python's tokenizer does not end
    "embeddings in a file": [0, 16],  # a header that says four terabytes, a place that is none
    "parts of embeddings": [1, 5, 10],
    "prepared clips": [43],
    "kept arrays": [18, 32],
    "a cell of a corrupted set": [3, 5, 19],
    "what runs leave": [16, 45, 90],
}
"""Tries that ended in a traceback."""


@pytest.mark.parametrize("case", TABLES)
def test_damaged_tables_are_read_or_refused(tmp_path, case):
    assert tried(feed_tables.TARGETS, case, range(8), tmp_path) == {}


@pytest.mark.parametrize("case", ["records, results", "records, tuning"])
def test_damaged_records_are_shown_or_refused(tmp_path, case):
    assert tried(feed_tables.TARGETS, case, range(2), tmp_path) == {}


@pytest.mark.parametrize("case", FOUND)
def test_what_was_found_stays_mended(tmp_path, case):
    assert tried(feed_tables.TARGETS, case, FOUND[case], tmp_path) == {}


@pytest.mark.parametrize("case", ["vggish", "tomofun", "amaut_tiny, a checkpoint of our own", "a saved state"])
def test_damaged_checkpoints_are_read_or_refused(tmp_path, case):
    pytest.importorskip("torch", reason="writes PyTorch files")
    pytest.importorskip("safetensors", reason="writes safetensors files")
    assert tried(feed_checkpoints.TARGETS, case, range(4), tmp_path) == {}


@pytest.mark.parametrize("case", ["report"])
def test_command_lines_are_parsed_and_checked_in_a_process_of_their_own(tmp_path, case):
    noted = []
    asked = (feed_flags.BLOCK, 0, tmp_path, noted.append, ())
    feeding.run("feed_flags", feed_flags.__name__, [case], feed_flags.BLOCK, asked)
    assert [(one.outcome, one.said) for one in noted] == [("right", "")]
    assert noted[0].where["tries"] == feed_flags.BLOCK
