"""experiments.audioset: two lists that the set tomofun and a tool read, and what is refused before any is written."""

import csv

import pytest

from dhauds_jax.data import audioset, sets
from dhauds_jax.data.sets import tomofun
from dhauds_jax.errors import BadInput
from dhauds_jax.runs import audioset as runs
from dhauds_jax.runs.requests import audioset as requests

ROWS = """segment_id\tstart_time_seconds\tend_time_seconds\tlabel
-0RWZT-miFs_420000\t0.000\t1.500\t/m/05tny_
-0RWZT-miFs_420000\t3.000\t10.000\t/m/01y3hg
_1xbC-dOrAs_0\t1.000\t2.080\t/m/01yrx
_1xbC-dOrAs_0\t1.500\t2.500\t/m/09x0r
"""


@pytest.fixture
def run(tmp_path):
    (tmp_path / "strong.tsv").write_text(ROWS)
    names = [f"{mid}\tname of {mid}\n" for mid in [*audioset.MAPPINGS["tomofun"], "/m/09x0r"]]
    (tmp_path / "names.tsv").write_text("".join(names))
    places = {"strong": "strong.tsv", "names": "names.tsv", "output": "set/manifest.csv", "fetch_list": "fetch.csv"}
    return requests.AudiosetRun(**{flag: str(tmp_path / name) for flag, name in places.items()})


def test_what_is_written_is_read_by_the_set(run, tmp_path, capsys):
    said = runs.make_lists(run)
    assert said == (
        f"3 clips of 2 videos: {tmp_path}/set/manifest.csv; what to fetch, with a tool of yours, into "
        f"{tmp_path}/set/raw: {tmp_path}/fetch.csv"
    )
    told = capsys.readouterr().out
    assert "Barking: 1 clip (name of /m/05tny_)" in told
    assert "note: 1 event of 1 label that --mapping=tomofun does not map passed over" in told
    assert b"\r" not in (tmp_path / "set" / "manifest.csv").read_bytes() + (tmp_path / "fetch.csv").read_bytes()
    with (tmp_path / "fetch.csv").open(newline="") as file:
        fetch = list(csv.DictReader(file))
    assert [(row["id"], row["start"], row["end"]) for row in fetch] == [
        ("-0RWZT-miFs", "420.000", "421.500"),
        ("-0RWZT-miFs", "424.000", "429.000"),
        ("_1xbC-dOrAs", "1.000", "2.080"),
    ]
    rows = tomofun.read_manifest(tmp_path / "set" / "manifest.csv")
    assert [(row.path, tomofun.CLASSES[row.remark], row.group) for row in rows] == [
        (row["file"], remark, row["id"]) for row, remark in zip(fetch, ("Barking", "CO_Smoke", "Cat"), strict=True)
    ]
    for row in rows[1:]:  # one was not to be had
        path = tmp_path / "set" / row.path
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    data = sets.get("tomofun", tmp_path / "set")
    refs, notices = data.listing(tmp_path / "set", "all", True)
    assert [ref.label for ref in refs] == [3, 6] and "1 of them are absent" in notices[0]
    assert [data.group(ref.id) for ref in refs] == ["-0RWZT-miFs", "_1xbC-dOrAs"]


def test_what_is_refused_leaves_no_list(run, tmp_path):
    cases = [
        (
            run.replace(fetch_list=run.output),
            r"--output and --fetch_list: both are .*manifest\.csv, expected two files",
        ),
        (run.replace(strong=str(tmp_path / "no.tsv")), r"no\.tsv: no such file"),
        (run.replace(names=run.strong), r"strong\.tsv, line 1: .*, expected a machine id"),
    ]
    for asked, said in cases:
        with pytest.raises(BadInput, match=said):
            runs.make_lists(asked)
    (tmp_path / "names.tsv").write_text("/m/09x0r\tSpeech\n")
    with pytest.raises(
        BadInput, match=r"names\.tsv: has no /m/05tny_ \(Barking\), /m/07qf0zm .*, /m/04brg2 \(Dishes\), expected all"
    ):
        runs.make_lists(run)
    assert not (tmp_path / "fetch.csv").exists() and not (tmp_path / "set").exists()


def test_nothing_of_the_mapping_is_said(run, tmp_path):
    (tmp_path / "strong.tsv").write_text(ROWS.splitlines()[0] + "\n_1xbC-dOrAs_0\t1.5\t2.5\t/m/09x0r\n")
    with pytest.raises(BadInput, match=r"strong\.tsv: no clip of the 17 classes of tomofun, expected some"):
        runs.make_lists(run)


def test_the_flags_know_what_the_library_knows():
    assert tuple(audioset.MAPPINGS) == requests.MAPPINGS and audioset.OVERLAPS == requests.OVERLAPS
