"""What a method's parts are worth, from records by hand."""

import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.report import ablation, marked_pages
from dhauds_jax.workdir import records
from tests.report.test_tables import a_record


def run(corruption, seed, after, protocol="online", **options):
    given = {"lr": 0.1, "ent": 0.5, "gent": 0.5, "epochs": 1 if protocol == "online" else 5, **options}
    return a_record(corruption, "mine:method", seed, 0.2, after, protocol=protocol, options=given)


WHOLE = [run("WHN", 0, 0.50), run("WHN", 1, 0.60), run("PSH", 0, 0.70), run("PSH", 1, 0.80)]
NO_ENTROPY = [run("WHN", 0, 0.45, ent=0.0), run("WHN", 1, 0.57, ent=0.0), run("PSH", 0, 0.70, ent=0.0)]
NO_GENT = [run(corruption, seed, 0.1, gent=0.0) for corruption in ("WHN", "PSH") for seed in (0, 1)]
OFFLINE = [run("WHN", 0, 0.9, "offline"), run("WHN", 0, 0.8, "offline", ent=0.0)]


def test_variants_stand_beside_the_whole_method_on_the_runs_that_both_have():
    lines = ablation.ablation([*NO_ENTROPY, *WHOLE, *NO_GENT, *OFFLINE]).splitlines()
    assert lines[0] == "| method | variant | online | offline |"
    assert lines[2] == "| mine:method | whole | 65.0 | 90.0 |"
    # -5, -3 and 0 points: mean -2.7, better in half a run of three
    assert lines[3].startswith("| mine:method | ent=0.0 | 57.3 (-2.7 [-5.0, +0.0], 0.5 of 3) |")
    assert lines[3].endswith("| 80.0 (-10.0 [-10.0, -10.0], 0 of 1) |")
    assert lines[4].startswith("| mine:method | gent=0.0 | 10.0 (-55.0 [") and lines[4].endswith("0 of 4) | - |")


def test_options_that_records_leave_unsaid_are_at_their_default():
    found = [a_record("WHN", "dhauds", 0, 0.2, 0.6, options={"lr": 0.1})]
    found += [a_record("WHN", "dhauds", 0, 0.2, 0.5, options={"lr": 0.1, "view_count": 1})]
    found += [a_record("WHN", "dhauds", 0, 0.2, 0.4, options={"lr": 0.1, "follow": "mean"})]
    labels = [line.split(" | ")[1] for line in ablation.ablation(found).splitlines()[2:]]
    assert labels == ["whole", "view_count=1", "follow=mean"]


def test_what_a_protocol_sets_is_no_part_of_a_method_unless_it_was_varied():
    clips = [{**run("WHN", 0, 0.3, "batch1", ent=ent), "protocol_options": {"order": None}} for ent in (0.5, 0.0)]
    lines = ablation.ablation([*WHOLE, *NO_ENTROPY, *clips]).splitlines()
    assert [line.split(" | ")[1] for line in lines[2:]] == ["whole", "ent=0.0"]
    assert lines[3].endswith("| 30.0 (+0.0 [+0.0, +0.0], 0.5 of 1) |")
    windowed = {**clips[0], "protocol_options": {"order": None, "window": 16}, "adapted_last": 0.8}
    lines = ablation.ablation([*WHOLE, *NO_ENTROPY, *clips, windowed]).splitlines()
    assert "| mine:method | protocol.window=16 | - | 80.0 (+50.0 [+50.0, +50.0], 1 of 1) |" in lines
    assert lines[2] == "| mine:method | whole | 65.0 | 30.0 |"


def test_a_method_without_variants_is_refused():
    with pytest.raises(BadInput, match="ablation of mine:method: 1 variants, one of them whole"):
        ablation.ablation(WHOLE)


def test_a_page_can_ask_for_it(tmp_path):
    for record in [*WHOLE, *NO_ENTROPY]:
        records.append(tmp_path / "r", record)
    text = marked_pages.render_mark("table: ablation | records: r | protocol: online", tmp_path)
    assert "| mine:method | ent=0.0 | 57.3" in text
