"""Records of zero-shot rows: what was asked for, what was seen."""

import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.report.zeroshot_lines import lines_of
from dhauds_jax.runs import zeroshot_records, zeroshot_rows
from dhauds_jax.runs.report import write_report
from dhauds_jax.runs.zeroshot import zeroshot
from dhauds_jax.runs.zeroshot_towers import Towers
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


OWN = """from dhauds_jax.types import Scorer
from dhauds_jax.zeroshot.unit_vectors import cosines


def powered():
    def step(state, vectors, weights):
        return state, cosines(vectors, state) ** 3

    return Scorer(lambda prototypes, *_: prototypes, step, ())
"""


def test_an_edited_scorer_is_another_line(place, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "scorers_of_mine.py").write_text(OWN)
    run = run_of(place, tmp_path / "out", scorer=("plain", "scorers_of_mine:powered"))
    zeroshot(run, "zeroshot")
    (tmp_path / "scorers_of_mine.py").write_text(OWN.replace("** 3", "** 5"))
    assert zeroshot(run, "zeroshot").startswith("1 row written, 1 was there already")
    plain, first, second = rows(tmp_path / "out")
    assert plain["scorer_source"] is None and len(first["scorer_source"]) == 16
    assert first["scorer_source"] != second["scorer_source"]
    names = [line.name for line in lines_of([plain, first, second])]
    marks = [f"scorers_of_mine:powered [scorer_source={one['scorer_source'][:12]}]" for one in (first, second)]
    assert names == ["plain", *marks]


def test_the_lines_of_a_template_are_in_the_record(place):
    row = zeroshot_rows.Row(0, "-", "text", "none", "plain", None, False)
    one, other = (Towers(template=(line,)) for line in ("{}", "a sound of {}"))
    found = zeroshot_records.template_lines_of(row, one)
    assert len(found) == 16 and found != zeroshot_records.template_lines_of(row, other)
    assert zeroshot_records.template_lines_of(row._replace(prototypes="head"), one) is None


@pytest.mark.parametrize(("profile", "sees"), [("corrected", []), ("reference", ["oracle"])])
def test_the_very_recording_is_an_oracle(place, tmp_path, profile, sees):
    run = run_of(place, tmp_path, background=("audio", "oracle"), scorer=("plain", "subtract"), profile=profile)
    zeroshot(run, "zeroshot")
    found = {row["background"]: row["uses"] for row in rows(tmp_path)}
    assert found["none"] == ["train_labels"]
    assert found["audio"] == ["background", "own_background", "train_labels", *sees]
    assert found["oracle"] == ["background", "own_background", "train_labels", "oracle"]


def test_a_folder_without_a_row_yet_is_no_folder_of_other_records(tmp_path):
    with pytest.raises(
        BadInput,
        match=r"expected a results\.jsonl or zeroshot\.jsonl or crossval\.jsonl or incremental\.jsonl or tuning\.jsonl "
        r"there, as .* experiments\.zeroshot, experiments\.crossval, experiments\.incremental or experiments\.tune",
    ):
        write_report([str(tmp_path)])


def test_a_scale_by_labels_has_seen_labels(place):
    row = zeroshot_rows.Row(0, "-", "text", "none", "plain", None, False)
    run = run_of(place, "out")
    assert zeroshot_records.uses_of(run, row, None) == ("text",)
    assert zeroshot_records.uses_of(run.replace(scale="nll"), row, None) == ("text", "train_labels")
