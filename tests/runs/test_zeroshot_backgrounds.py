"""Backgrounds of embedded sets: which recording a clip lies over, by name or file, and what its place is called."""

import re

import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.runs import zeroshot_backgrounds as places
from dhauds_jax.runs import zeroshot_sets
from dhauds_jax.runs.requests.zeroshot import ZeroshotRun
from dhauds_jax.workdir.vectors import Vectors
from tests.runs.zeroshot_sets import unit

DRAW = np.random.default_rng(3)
ROWS = DRAW.normal(size=(4, 6)).astype("f4")
IDS = ("park/a.wav", "park/b.wav", "metro_station/c.wav", "metro_station/d.wav")


def clips(backgrounds):
    vectors = DRAW.normal(size=(4, 6)).astype("f4")
    found = Vectors("set", tuple("wxyz"), vectors, np.array([0, 1, 0, 1]), ("dog", "rain"), backgrounds=backgrounds)
    return zeroshot_sets.of_vectors([found], ["set"])[0]


def test_scenes_are_labels_else_groups_else_folders():
    known = {"labels": np.array([0, 0, 1, 1]), "classes": ("quay", "street")}
    assert places.recordings([Vectors("p", IDS, ROWS, **known)]).scenes == ("quay", "quay", "street", "street")
    assert places.recordings([Vectors("p", IDS, ROWS, groups=tuple("abab"))]).scenes == tuple("abab")
    assert places.recordings([Vectors("p", IDS, ROWS)]).scenes == ("park", "park", "metro_station", "metro_station")
    nested = ("park/day/a.wav", "park/night/b.wav", "metro_station/c.wav", "d.wav")  # the top folder, as soundscapes
    assert places.recordings([Vectors("p", nested, ROWS)]).scenes == ("park", "park", "metro_station", "")
    assert places.recordings([]) is None


def test_a_scene_of_one_recording_has_no_other():
    others = places.recordings([Vectors("p", ("park/a.wav", "park/b.wav", "quay/c.wav", "quay/d.wav"), ROWS)])
    one = clips(("a.wav", "b.wav", "a.wav", "b.wav"))
    assert places.without_another(one, others) == ""
    alone = places.recordings([Vectors("p", ("park/a.wav", "quay/b.wav", "quay/c.wav", "quay/d.wav"), ROWS)])
    assert places.without_another(one, alone) == "park" and places.without_another(clips(None), alone) == ""


@pytest.mark.parametrize(
    ("backgrounds", "own"),
    [
        (("park/a.wav", "park/b.wav", "metro_station/d.wav", "park/a.wav"), [0, 1, 3, 0]),
        (("a.wav", "b.wav", "elsewhere/d.wav", "a.wav"), [0, 1, 3, 0]),
        (None, None),
    ],
)
def test_the_recording_that_a_clip_lies_over(backgrounds, own):
    found = places.own_of(clips(backgrounds), places.recordings([Vectors("p", IDS, ROWS)]))
    assert (found is None) if own is None else found.tolist() == own


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("e.wav", "'y' lies over 'e.wav', which is the name of none of the recordings (1 more such names)"),
        ("", "'y' lies over '', which is the name of none of the recordings (1 more such names)"),
        ("park/a.wav", "'y' lies over 'park/a.wav', which is the name of 2 of the recordings (1 more such names)"),
    ],
)
def test_one_name_without_its_recording_is_no_mean_of_all(name, words):
    one = clips(("b.wav", "b.wav", name, "elsewhere/f.wav"))
    others = places.recordings([Vectors("p", IDS, ROWS), Vectors("q", ("park/a.wav",), ROWS[1:2])])
    for kind in ("audio", "oracle"):
        run = ZeroshotRun(workdir="out", background=(kind,))
        with pytest.raises(BadInput, match=re.escape(words)):
            places.check(run, [one], others)
    with pytest.raises(BadInput, match=re.escape(words)):
        places.words(run, [one], others)
    places.check(run.replace(background=("quiet",)), [one], others)


def test_a_recording_of_two_places_is_one():
    found = [Vectors("p", IDS, ROWS), Vectors("q", IDS[1:3], ROWS[1:3]), Vectors("r", IDS[:1], ROWS[1:2])]
    others = places.recordings(found)
    assert others.ids == (*IDS, IDS[0])  # the last has a name that is there, and is another recording
    np.testing.assert_array_equal(others.vectors, places.unit(np.concatenate([ROWS, ROWS[1:2]])))
    rows, one = unit(ROWS.astype(np.float64)), clips(("a.wav", "b.wav", "d.wav", "a.wav"))
    twins = places.recordings(found[:2])
    np.testing.assert_allclose(places.of_audio(one, twins, "corrected").mean, rows[[1, 0, 2, 1]], atol=1e-6)


@pytest.mark.parametrize("name", ["lisbon-10-3", "noise/wind.wav", "wind.wav", "audio/park", ""])
def test_a_files_name_is_no_word(name):
    run = ZeroshotRun(workdir="out", background=("text",))
    with pytest.raises(BadInput, match=re.escape(f"nothing says what place {name!r} is")):
        places.words(run, [clips(("park", "park", name, "park"))], None)
    assert places.words(run, [clips(("city park",) * 4)], None) == [("city park",) * 4]
    bare = places.recordings([Vectors("p", ("a.wav",), ROWS[:1])])  # no label, group or folder says its scene
    with pytest.raises(BadInput, match=r"nothing says what place 'a\.wav' is"):
        places.words(run, [clips(("a.wav",) * 4)], bare)


def test_audio_leaves_the_own_recording_out_and_reference_takes_it():
    others = places.recordings([Vectors("p", IDS, ROWS)])
    one, rows = clips(("a.wav", "b.wav", "d.wav", "a.wav")), unit(ROWS.astype(np.float64))
    np.testing.assert_allclose(places.of_audio(one, others, "corrected").mean, rows[[1, 0, 2, 1]], atol=1e-6)
    np.testing.assert_allclose(places.of_audio(one, others, "reference").mean, rows[[0, 1, 3, 0]], atol=1e-6)
    np.testing.assert_allclose(places.of_audio(clips(None), others, "corrected").mean, rows.mean(0), atol=1e-6)


def test_words_are_given_or_scenes():
    others = places.recordings([Vectors("p", IDS, ROWS)])
    named, bare = clips(("a.wav", "b.wav", "d.wav", "a.wav")), clips(None)
    run = ZeroshotRun(workdir="out", background_text=("park", "-"))
    assert places.words(run, [named, bare], others) == [("park",) * 4, None]
    run = run.replace(background_text=())
    assert places.words(run, [named, bare], others) == [("park", "park", "metro_station", "park"), None]
    two = {"park": np.eye(3, 6), "metro_station": np.ones((3, 6))}
    found = places.of_text(("park", "park", "metro_station", "park"), two)
    np.testing.assert_allclose(found.mean[:2], np.tile(np.eye(3, 6).mean(0), (2, 1)))
    np.testing.assert_allclose(found.mean[2], np.ones(6))
    assert places.of_text(("park",) * 4, two).mean.shape == (6,)
