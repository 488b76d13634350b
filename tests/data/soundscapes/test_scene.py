"""Scenes: what is drawn, that nothing but names decides it, levels as asked for, replay, silent and short sources."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile

from dhauds_jax.data import loudness
from dhauds_jax.data.audio import BadFile
from dhauds_jax.data.soundscapes import draws, mixing, record, sources
from dhauds_jax.data.soundscapes.scene import file_name
from dhauds_jax.errors import BadInput
from tests.data.soundscapes import small


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return small.make(tmp_path_factory.mktemp("scene"))


def made_of(place, name="bell/1.wav", number=0, **changes):
    return small.scene(place, **changes).make(small.events(place)[name], number)


@pytest.mark.parametrize("profile", ["corrected", "reference"])
def test_a_soundscape_depends_on_its_names_alone(place, profile):
    clips = small.events(place)
    scene = small.scene(place, profile=profile)
    forth = {(name, k): scene.make(clip, k) for name, clip in clips.items() for k in range(3)}
    scene = small.scene(place, profile=profile)
    for (name, k), made in reversed(forth.items()):
        again = scene.make(clips[name], k)
        assert again.event == made.event
        np.testing.assert_array_equal(again.sound.mix, made.sound.mix)
    assert len({made.event.onset for made in forth.values()}) == len(forth)


def test_onset_and_snr_are_the_clips_in_every_scene(place):
    clip = small.events(place)["dog/0.wav"]
    park, hall = (small.scene(place, name).make(clip, 0).event for name in ("park", "hall"))
    assert (park.onset, park.snr) == (hall.onset, hall.snr) and park.background != hall.background
    other = small.scene(place, seed=124).make(clip, 0).event
    assert (other.onset, other.snr) != (park.onset, park.snr)


def test_the_soundscapes_of_a_clip_have_different_backgrounds_until_there_are_none_left(place):
    clip = small.events(place)["bell/0.wav"]
    scene = small.scene(place, "hall")
    assert len(scene.pieces) == 4
    found = [(e.background, e.background_start) for e in (scene.make(clip, k).event for k in range(6))]
    assert len(set(found[:4])) == 4 and found[4:] == found[:2]


def test_the_references_backgrounds_are_heads_drawn_anew(place):
    clip = small.events(place)["bell/0.wav"]
    scene = small.scene(place, profile="reference")
    found = [(e.background, e.background_start) for e in (scene.make(clip, k).event for k in range(12))]
    assert {start for _, start in found} == {0.0} and {name for name, _ in found} == {f"park/{k}.wav" for k in range(3)}
    assert any(one == other for one, other in itertools.pairwise(found))


@pytest.mark.parametrize("name", ["bell/0.wav", "bell/2.wav", "dog/1.wav"])
@pytest.mark.parametrize("snr", [-6.0, 0.0, 8.25])
def test_the_snr_after_mixing_is_the_one_asked_for(place, name, snr):
    """On the event's own samples before its fades, and on the cut background."""
    made = made_of(place, name, snr=draws.law("snr", f"const:{snr}"))
    sound, event = made.sound, made.event
    assert event.snr == snr and abs(sound.snr - snr) < 1e-9
    part = sources.read(small.events(place)[name].path, 0.5)
    own = mixing.at_rate(part.wave, part.rate, small.RATE)
    middle = sound.first + len(own) // 2
    own = own * sound.foreground[middle] / own[len(own) // 2]
    measured = loudness.integrated_loudness(own, small.RATE) - loudness.integrated_loudness(
        sound.background, small.RATE
    )
    assert abs(measured - snr) < 0.1
    assert abs(loudness.integrated_loudness(sound.background, small.RATE) + 36) < 1e-9
    np.testing.assert_allclose(sound.foreground + sound.background, sound.mix, rtol=0, atol=1e-6)


def test_an_event_begins_at_its_sample_and_ends_with_the_scene(place):
    made = made_of(place, "bell/1.wav", onset=draws.law("onset", "const:0.3333"))
    assert made.event.onset == 0.3333 and made.sound.first == int(0.3333 * small.RATE) == 2_666
    late = made_of(place, "bell/1.wav", onset=draws.law("onset", "const:0.9"))
    assert late.event.onset == 1 - 0.3 and late.sound.first == 5_600
    nonzero = np.flatnonzero(late.sound.foreground)
    assert nonzero[0] == 5_601 and nonzero[-1] == 7_998, "fades begin and end with 0"


def test_of_a_longer_clip_the_head_is_the_event(place):
    made = made_of(place, "bell/2.wav")
    assert made.event.seconds == 0.5 and np.flatnonzero(made.sound.foreground)[-1] == made.sound.first + 3_998


def test_a_short_background_is_blended_or_jumps(place, tmp_path):
    folder = small.make(tmp_path)
    for path in (folder / "backgrounds" / "park").iterdir():
        path.unlink()
    ramp = np.linspace(-0.5, 0.5, 3_000)
    soundfile.write(folder / "backgrounds" / "park" / "ramp.wav", ramp, small.RATE, subtype="PCM_16")
    jumps = [
        np.abs(np.diff(made_of(folder, "dog/0.wav", profile=profile).sound.background)).max()
        / np.abs(made_of(folder, "dog/0.wav", profile=profile).sound.background).max()
        for profile in ("reference", "corrected")
    ]
    assert jumps[0] > 1.9 and jumps[1] < 0.02


def test_silent_pieces_of_a_background_are_passed_over(tmp_path):
    folder = small.make(tmp_path)
    quiet = folder / "backgrounds" / "park" / "quiet.wav"
    soundfile.write(quiet, np.zeros(5 * small.RATE), small.RATE, subtype="PCM_16")
    clip = small.events(folder)["dog/0.wav"]
    scene = small.scene(folder)
    found = [scene.make(clip, k).event for k in range(5)]
    assert len(scene.pieces) == 9 and {event.background for event in found} == {f"park/{k}.wav" for k in range(3)}
    for path in (folder / "backgrounds" / "park").iterdir():
        soundfile.write(path, np.zeros(9_000), small.RATE, subtype="PCM_16")
    for profile in ("corrected", "reference"):
        with pytest.raises(BadInput, match="scene park: all its backgrounds are silent, expected some that can"):
            small.scene(folder, profile=profile).make(clip, 0)


def test_a_silent_event_is_named(tmp_path):
    folder = small.make(tmp_path)
    path = folder / "events" / "dog" / "0.wav"
    soundfile.write(path, np.concatenate([np.zeros(4_000), np.ones(100)]), small.RATE, subtype="PCM_16")
    with pytest.raises(BadFile, match=r"dog/0\.wav: silent in its first 0\.5 s, expected a sound"):
        made_of(folder, "dog/0.wav")


@pytest.mark.parametrize("profile", ["corrected", "reference"])
def test_a_soundscape_is_mixed_again_from_its_annotation(place, profile):
    scene, clip = small.scene(place, profile=profile), small.events(place)["bell/2.wav"]
    for number in range(3):
        made = scene.make(clip, number)
        found = record.document(made, "park", "folder", scene.settings, "0" * 64)
        event = record.event_of(found)
        assert event == made.event
        np.testing.assert_array_equal(scene.replay(event, clip).sound.mix, made.sound.mix)


def test_an_annotation_has_the_shape_of_scapers_and_names_the_class(place):
    """D28: there the event's label is the folder of its fold."""
    scene = small.scene(place)
    made = scene.make(small.events(place)["bell/0.wav"], 0)
    found = record.document(made, "park", "folder", scene.settings, "0" * 64)
    assert set(found) == {"annotations", "file_metadata", "sandbox"} and found["file_metadata"]["duration"] == 1.0
    (annotation,) = found["annotations"]
    background, event = annotation["data"]
    assert annotation["namespace"] == "scaper" and (event["time"], event["duration"]) == (made.event.onset, 0.2)
    value = event["value"]
    assert (value["label"], value["role"], value["source_file"]) == ("bell", "foreground", "bell/0.wav")
    assert value["snr"] == made.event.snr and value["event_time"] == made.event.onset
    assert background["value"]["label"] == "park" and background["value"]["source_file"] == made.event.background
    ours = record.ours(found)
    assert ours["onset_sample"] == made.sound.first and abs(ours["snr_measured"] - made.event.snr) < 1e-6


def test_where_a_soundscape_lies():
    assert str(file_name("dog/session1/x.wav", "dog", "park", 2)) == "dog/session1/x-park-2.wav"
    assert str(file_name("fold3/7383-3-0-0.wav", "dog_bark", "park", 0)) == "dog_bark/fold3/7383-3-0-0-park-0.wav"
    assert file_name("x.flac", "dog", "park", 0).name == Path("x-park-0.wav").name
