"""Records of zero-shot rows: what was asked for, what was seen."""

import pytest

from dhauds_jax.runs import zeroshot_records, zeroshot_rows
from dhauds_jax.runs.zeroshot import zeroshot
from tests.runs.zeroshot_sets import rows, run_of, write


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return write(tmp_path_factory.mktemp("zeroshot"))


def test_records_hold_what_was_asked_for(place, tmp_path):
    run = run_of(place, tmp_path, background=("audio",), scorer=("treff", "subtract"), shots=4, folds="3", scale="30")
    zeroshot(run, "zeroshot")
    shot, taken = rows(tmp_path)
    assert (shot["shots"], shot["folds_asked"], shot["scale_asked"]) == (4, "3", "30")
    assert taken["shots"] is None and taken["source_clips"] == taken["clips"] and shot["background_of"] is None
    assert len(taken["background_of"]) == 16


def test_a_scale_by_labels_has_seen_labels(place):
    row = zeroshot_rows.Row(0, "-", "text", "none", "plain", None, False)
    run = run_of(place, "out")
    assert zeroshot_records.uses_of(run, row, None) == ("text",)
    assert zeroshot_records.uses_of(run.replace(scale="nll"), row, None) == ("text", "train_labels")
