"""The frame of the campaigns: a try is noted once, and the page says what is noted."""

import sys
import tempfile

import pytest

from tests.faults import __main__ as main
from tests.faults import campaigns, outcomes, page
from tests.faults.outcomes import Outcome
from tests.test_docs import ROOT, torn_rows


def test_a_try_is_noted_once_and_a_torn_line_is_none(tmp_path):
    outcomes.begin(tmp_path, "kill", tries=2)
    outcomes.add(tmp_path, Outcome("kill", "train", 0, "right", seconds=3.0, where={"moment": 0.5}))
    outcomes.add(tmp_path, Outcome("kill", "train", 1, "differs", "a | b"))
    with outcomes.path_of(tmp_path, "kill").open("a") as file:
        file.write('{"campaign": "kill", "ca')
    found = outcomes.read(tmp_path, "kill")
    assert [run["tries"] for run in found.runs] == [2]
    assert outcomes.finished(found.tries.values()) == {"train #0", "train #1"}
    assert outcomes.finished(found.tries.values(), again=True) == {"train #0"}
    outcomes.add(tmp_path, Outcome("kill", "train", 1, "right"))
    assert [one.outcome for one in outcomes.read(tmp_path, "kill").tries.values()] == ["right", "right"]


def test_the_table_has_cases_and_outcomes():
    tries = [Outcome("kill", "a|b", seed, "right") for seed in range(3)] + [Outcome("kill", "c", 0, "hang", "60 s")]
    text = page.by_case(tries)
    assert text == (
        "| case | tries | right | hang |\n|---|---:|---:|---:|\n| a\\|b | 3 | 3 | 0 |\n| c | 1 | 0 | 1 |\n"
        "| all | 4 | 3 | 1 |\n"
    )
    assert torn_rows(text) == []
    assert page.wrong_ones(tries) == "\n* `c #0`: hang, 60 s\n"


def test_the_page_says_what_is_recorded():
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    assert page.filled(text, ROOT / "docs" / "records" / "faults") == text


@pytest.mark.parametrize("words", [[], ["--campaign=kil"]])
def test_a_command_line_that_asks_for_nothing_is_refused(words, capsys):
    with pytest.raises(SystemExit):
        main.parsed(words)
    assert "expected of kill, " in capsys.readouterr().err or not words


def test_what_is_noted_is_not_run_again(tmp_path, monkeypatch, capsys):
    ran = []

    def run(tries, seed, place, tell, done):
        for number in range(seed, seed + tries):
            if outcomes.key_of("one", number) not in done:
                ran.append(number)
                tell(Outcome("kill", "one", number, "right"))

    monkeypatch.setattr(main, "campaign", lambda name: run)
    args = main.parsed(["--campaign=kill", "--tries=2", f"--records={tmp_path}", f"--place={tmp_path}"])
    assert (main.run("kill", args), ran) == (0, [0, 1])
    args.tries = 3
    assert (main.run("kill", args), ran) == (0, [0, 1, 2])
    assert "kill: 1 tries, 0 of them wrong, 2 were there already" in capsys.readouterr().out


@pytest.mark.parametrize("name", campaigns.CAMPAIGNS)
def test_every_campaign_can_be_called(name):
    assert callable(campaigns.campaign(name)) and campaigns.module_of(name).TRIES > 0


def test_records_name_no_folder_of_the_machine(tmp_path):
    said = f"error: {outcomes.ROOT}/out, {sys.prefix}/lib, {tempfile.gettempdir()}/x, /dev/shm/y"
    outcomes.add(tmp_path, Outcome("kill", "train", 0, "crash", said))
    (one,) = outcomes.read(tmp_path, "kill").tries.values()
    assert one.said == "error: ./out, PYTHON/lib, TMP/x, TMP/y"
