"""AudioSet's strong labels: whose times count from where, what overlaps, ids as they are; what no table is."""

import re
from pathlib import Path

import numpy as np
import pytest

from dhauds_jax.data import audioset as A
from dhauds_jax.data.sets import tomofun
from dhauds_jax.errors import BadInput

BARK, HOWL, CAT, LAUGH, BELLY, SPEECH = "/m/05tny_", "/m/07qf0zm", "/m/01yrx", "/m/01j3sz", "/m/07sq110", "/m/09x0r"
ROOT = Path(__file__).parents[2]
MAPPING = A.MAPPINGS["tomofun"]
HEADER = "segment_id\tstart_time_seconds\tend_time_seconds\tlabel"


def strong(tmp_path, *rows):
    path = tmp_path / "strong.tsv"
    path.write_text("\n".join([HEADER, *("\t".join(map(str, row)) for row in rows)]) + "\n")
    return path


def clips(tmp_path, *rows, overlap="drop"):
    return A.clips_of(A.read_events(strong(tmp_path, *rows), MAPPING), overlap)


def test_the_mapping_is_the_published_one():
    assert len(MAPPING) == 17 and set(MAPPING.values()) == set(tomofun.CLASSES) - {"Music_Instrument", "Other"}


def test_the_documentation_lists_what_is_mapped():
    text = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    found = re.findall(r"^\| `(/\w/\w+)` \| [^|]+ \| (\w+) \|$", text, re.MULTILINE)
    assert len(found) == 17 and dict(found) == MAPPING


def test_times_count_from_the_labelled_seconds_and_are_cut_from_the_video(tmp_path):
    """The published scripts cut at 2.627 s of the video, 30 s before the event."""
    made, _ = clips(tmp_path, ("s9d-2nhuJCQ_30000", 2.627, 7.237, BARK))
    assert made == [A.Clip("s9d-2nhuJCQ", 32_627, 37_237, "Barking", "raw/s9d-2nhuJCQ_32627_1.wav")]
    assert A.fetch_rows(made) == [("id", "start", "end", "file"), ("s9d-2nhuJCQ", "32.627", "37.237", made[0].file)]
    assert A.manifest_rows(made) == [
        ("path", "label", "remark", "group"),
        (made[0].file, "0", "Barking", "s9d-2nhuJCQ"),
    ]


def test_of_a_long_event_the_central_five_seconds_are_taken(tmp_path):
    made, _ = clips(tmp_path, ("b0RFKhbpFJA_10000", 0, 10, CAT), ("c0RFKhbpFJA_0", "1.25", "6.25", CAT))
    assert [(clip.start, clip.end) for clip in made] == [(12_500, 17_500), (1_250, 6_250)]


@pytest.mark.parametrize("video", ["-0RWZT-miFs", "_1xbC-dOrAs", "__________-", "--_--_--_--", "0_1_2_3_4_5"])
def test_ids_stand_as_they_are(tmp_path, video):
    made, _ = clips(tmp_path, (f"{video}_420000", 0, 1, HOWL))
    assert A.fetch_rows(made)[1] == (video, "420.000", "421.000", f"raw/{video}_420000_1.wav")
    assert A.manifest_rows(made)[1][3] == video
    assert not made[0].file.startswith(("-", "_"))


def test_an_event_of_another_class_drops_both_and_one_of_its_own_the_later(tmp_path):
    rows = [
        ("a0RFKhbpFJA_0", 1.0, 2.0, BARK),
        ("a0RFKhbpFJA_0", 1.999, 3.0, HOWL),  # over the first
        ("a0RFKhbpFJA_0", 3.0, 4.0, BARK),  # touches, shares no sound
        ("a0RFKhbpFJA_0", 5.0, 6.0, LAUGH),
        ("a0RFKhbpFJA_0", 4.5, 5.5, BELLY),  # the same remark, earlier
        ("a0RFKhbpFJA_0", 3.0, 4.0, SPEECH),  # not in the mapping
        ("b0RFKhbpFJA_0", 1.0, 2.0, HOWL),  # another video
        ("b0RFKhbpFJA_0", 3.0, 3.0, HOWL),
    ]
    made, said = clips(tmp_path, *rows)
    assert [(c.video[0], c.start, c.remark) for c in made] == [
        ("a", 3_000, "Barking"),
        ("a", 4_500, "Laugh_Shout_Scream"),
        ("b", 1_000, "Howling"),
    ]
    assert said == (
        "1 without a length left out",
        "2 into which an event of another class reaches left out",
        "1 that overlap an earlier one of their class left out",
    )
    kept, said = clips(tmp_path, *rows, overlap="keep")
    assert len(kept) == 6 and said == ("1 without a length left out",)
    assert len({clip.file for clip in kept}) == 6


def test_one_video_has_several_labelled_parts_and_files_are_never_two(tmp_path):
    """Segments of one video may overlap each other; the same stretch of two classes is two files with keep."""
    rows = [("a0RFKhbpFJA_0", 5, 8, BARK), ("a0RFKhbpFJA_5000", 0, 3, HOWL), ("a0RFKhbpFJA_5000", 0, 3, HOWL)]
    assert clips(tmp_path, *rows)[0] == []
    kept, _ = clips(tmp_path, *rows, overlap="keep")
    assert [clip.file for clip in kept] == [f"raw/a0RFKhbpFJA_5000_{k}.wav" for k in (1, 2, 3)]


def test_dropped_lists_share_no_sound(tmp_path):
    """300 random events in 12 videos: no two clips overlap, and none meets an event of another class."""
    rng = np.random.default_rng(0)
    mids = list(MAPPING)
    rows = []
    for _ in range(300):
        start = round(rng.uniform(0, 9), 3)
        end = round(min(10.0, start + rng.exponential(1.0)), 3)
        rows.append((f"v{rng.integers(10, 22)}-_aaaaaa_{10_000 * rng.integers(3)}", start, end, mids[rng.integers(17)]))
    events = A.read_events(strong(tmp_path, *rows), MAPPING)
    assert len(events) == 300
    made, _ = A.clips_of(events)
    assert 10 < len(made) < 290
    for k, one in enumerate(made):
        near = [e for e in events if e.video == one.video and e.remark != one.remark]
        assert not any(one.start < other.end and other.start < one.end for other in near)
        same = [c for c in made[:k] if c.video == one.video]
        assert all(one.start >= other.end or other.start >= one.end for other in same)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("short_30000\t0\t1\t/m/05tny_", r"line 2: 'short_30000.*', expected an id such as b0RFKhbpFJA_30000"),
        ("b0RFKhbpFJA\t0\t1\t/m/05tny_", "expected an id such as"),
        ("b0RFKhbpFJA_30000\t2\t1\t/m/05tny_", "a start and a later end in s"),
        ("b0RFKhbpFJA_30000\tnan\t1\t/m/05tny_", "a start and a later end in s"),
        ("b0RFKhbpFJA_30000\t-1\t1\t/m/05tny_", "a start and a later end in s"),
        ("b0RFKhbpFJA_30000\t0\t1", "separated by tabs"),
        ("b0RFKhbpFJA_30000\t0\t1\tBark", "a machine id such as /m/05tny_"),
        ("b0RFKhbpFJA_30000,0,1,/m/05tny_", "separated by tabs"),
    ],
)
def test_a_bad_line_stops_with_its_number(tmp_path, line, said):
    path = tmp_path / "strong.tsv"
    path.write_text(f"{HEADER}\n{line}\n")
    with pytest.raises(BadInput, match=rf"strong\.tsv, {'line 2.*' if 'line' not in said else ''}{said}"):
        A.read_events(path, MAPPING)


def test_other_tables_are_refused(tmp_path):
    path = tmp_path / "x.tsv"
    path.write_text("b0RFKhbpFJA_30000\t0\t1\t/m/05tny_\n")
    with pytest.raises(BadInput, match=r"its first line is 'b0RF.*', expected segment_id, start_time_seconds"):
        A.read_events(path, MAPPING)
    with pytest.raises(BadInput, match=r"nowhere: no such file, expected a table of AudioSet"):
        A.read_names(tmp_path / "nowhere")
    path.write_text("/m/05tny_,Bark\n")
    with pytest.raises(
        BadInput, match=r"x\.tsv, line 1: '/m/05tny_,Bark', expected a machine id such as /m/05tny_ and"
    ):
        A.read_names(path)
    path.write_text("\n")
    with pytest.raises(BadInput, match=r"x\.tsv: no lines, expected AudioSet's mid_to_display_name\.tsv"):
        A.read_names(path)
    path.write_text("/m/05tny_\tBark\n/t/dd00136\tWhimper (dog)\n")
    assert A.read_names(path) == {BARK: "Bark", "/t/dd00136": "Whimper (dog)"}


def test_times_are_exact_to_the_millisecond():
    texts = {"0": 0, "2.627": 2_627, "7.2374": 7_237, "7.2375": 7_238, "10.000": 10_000, "0.1": 100}
    assert {text: A._milliseconds(text) for text in texts} == texts
    assert [A._milliseconds(text) for text in ("", "1e3", "-1", "1.", ".5", "inf", "1,5")] == [None] * 7
