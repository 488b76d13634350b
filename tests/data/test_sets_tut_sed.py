"""TUT Sound Events: recordings of places, their pieces with events, annotations of both editions, bad copies."""

import numpy as np
import pytest
import soundfile

from dhauds_jax import class_names
from dhauds_jax.data import sets
from dhauds_jax.data.audio import read_part
from dhauds_jax.data.opening import BadFile
from dhauds_jax.data.sets import tut_sed
from tests.data.fakes.scenes import tut_sed as make

ROOTS = {edition: tut_sed.folder_of(edition) for edition in tut_sed.SCENES}


def chunks(folder, name="tut_sed", **about):
    return sets.get(name).chunks.listing(folder, "all", about.get("allow_partial", False))


def labelled(found):
    return {chunk.id: [tut_sed.EVENTS[k] for k in chunk.labels] for chunk in found}


def check_bad(folder, message, name="tut_sed", **about):
    with pytest.raises(ValueError, match=message) as caught:
        chunks(folder, name, **about)
    assert "\n" not in str(caught.value)


def test_recordings_are_of_places(tmp_path):
    make(tmp_path, rate=2_000)
    data = sets.get("tut_sed")
    refs, notices = data.listing(tmp_path, "all", False)
    assert notices == () and [(ref.id, data.classes[ref.label]) for ref in refs] == [
        ("audio/home/a1.wav", "home"),
        ("audio/residential_area/b1.wav", "residential_area"),
        ("audio/residential_area/b2.wav", "residential_area"),
        ("audio/street/c1.wav", "street"),
    ]
    only = sets.get("tut_sed/2017").listing(tmp_path / ROOTS["2017"], "all", False)[0]
    assert [(ref.id, ref.label) for ref in only] == [("audio/street/c1.wav", 0)]


def test_pieces_have_the_events_that_reach_into_them(tmp_path):
    make(tmp_path, rate=2_000)
    found, notices = chunks(tmp_path)
    assert notices == () and labelled(found) == {
        "audio/home/a1.wav#0": ["dishes", "rustling"],
        "audio/home/a1.wav#10": ["dishes"],
        "audio/home/a1.wav#20": [],
        "audio/residential_area/b1.wav#0": [],
        "audio/residential_area/b2.wav#0": ["bird singing"],
        "audio/street/c1.wav#0": ["car", "people walking"],  # a car until 10.0 does not reach into the next
        "audio/street/c1.wav#10": ["people walking"],
        "audio/street/c1.wav#20": ["car"],
    }
    assert [(chunk.start, chunk.seconds) for chunk in found[:5]] == [(0, 10), (10, 10), (20, 1), (0, 10), (0, 4)]
    group = sets.get("tut_sed").chunks.group
    assert {group(chunk.id) for chunk in found} == {f"audio/{name}.wav" for name in (
        "home/a1", "residential_area/b1", "residential_area/b2", "street/c1"
    )}  # fmt: skip
    assert list(labelled(chunks(tmp_path, "tut_sed/2016")[0])) == [chunk.id for chunk in found[:5]]


def test_folds_are_those_of_the_lists(tmp_path):
    make(tmp_path, rate=2_000)
    folds = {tut_sed.recording_of(chunk.id): chunk.fold for chunk in chunks(tmp_path)[0]}
    assert folds == {
        "audio/home/a1.wav": "3", "audio/residential_area/b1.wav": "3", "audio/residential_area/b2.wav": "1",
        "audio/street/c1.wav": "3",
    }  # fmt: skip
    lists = tmp_path / ROOTS["2016"] / "evaluation_setup"
    (lists / "home_fold4_test.txt").write_text("audio/home/a1.wav\thome\n")
    check_bad(tmp_path, r"home_fold4_test\.txt: tests a1\.wav, as fold 3 does, expected each recording in one fold")
    for path in lists.iterdir():
        path.unlink()
    assert [chunk.fold for chunk in chunks(tmp_path)[0]] == ["", "", "", "", "", "3", "3", "3"]


def test_a_piece_is_read_alone(tmp_path):
    make(tmp_path, rate=2_000)
    path = tmp_path / ROOTS["2017"] / "audio" / "street" / "c1.wav"
    whole, _ = soundfile.read(path, dtype="float32")
    wave, reading = read_part(path, 10.0, 10.0, 2_000)
    np.testing.assert_array_equal(wave, whole[20_000:40_000].mean(1, dtype=np.float32))
    assert reading.notices(2_000) == ("2 channels mixed down to one",)
    with pytest.raises(BadFile, match=r"c1\.wav: truncated, ends at 30\.000 s, expected 35\.000 s of it"):
        read_part(path, 25.0, 10.0, 2_000)


def test_published_constants():
    data = sets.get("tut_sed")
    assert data.counts == {"all": 46} == {"all": sum(data.class_counts["all"].values())}
    assert (
        data.chunks.classes == class_names.TUT_SED == tuple(sorted(class_names.TUT_SED)) and len(tut_sed.EVENTS) == 21
    )
    assert [sets.get(f"tut_sed/{edition}").counts["all"] for edition in ("2016", "2017")] == [22, 24]
    assert data.chunks.classes == sets.get("tut_sed/2017").chunks.classes


def test_bad_copies_get_one_sentence(tmp_path):
    make(tmp_path, rate=2_000)
    annotation = tmp_path / ROOTS["2016"] / "meta" / "home" / "a1.ann"
    good = annotation.read_text()
    for line, message in (
        ("1.0\t2.0\tdishs", r"a1\.ann: line 1 has event 'dishs', expected one of banging"),
        ("1.0,2.0,dishes", "line 1 is '1.0,2.0,dishes', expected onset, offset and event separated by tabs"),
        ("2.0\t1.0\tdishes", "line 1 is .*, expected onset"),
        ("nan\t1.0\tdishes", "line 1 is .*, expected onset"),
        ("1.0\t1.0\t2.0\tdishes", "line 1 is .*, expected onset"),
    ):
        annotation.write_text(line + "\n")
        check_bad(tmp_path, message)
    annotation.write_text(good)
    recording = tmp_path / ROOTS["2016"] / "audio" / "residential_area" / "b2.wav"
    recording.rename(recording.with_name("x.wav"))
    check_bad(tmp_path, "names 2 files and 1 of them are absent")
    found, notices = chunks(tmp_path, allow_partial=True)
    assert len(found) == 7 and len(notices) == 2 and "1 recording is not named in" in notices[1]
    recording.write_bytes(b"RIFF")
    assert [chunk.id for chunk in chunks(tmp_path)[0]][4] == "audio/residential_area/b2.wav#0"  # said when it is read
    (tmp_path / ROOTS["2017"]).rename(tmp_path / "elsewhere")
    check_bad(tmp_path, "holds no meta/street and neither does TUT-sound-events-2017-development inside it")
    check_bad(None, "tut_sed/2016 needs --data_dir")
