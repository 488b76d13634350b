"""What `DataSet.group` finds in a clip's id: the speaker, home or recording that folds keep together."""

import numpy as np
import pytest

from dhauds_jax.data import sets, synthetic
from dhauds_jax.names import DATA_SETS


@pytest.mark.parametrize(
    ("name", "clip", "group"),
    [
        ("arabic_speech_commands", "dataset/down/00000021_NO_02.flac", "00000021"),
        ("audio_mnist", "07/3_07_49.wav", "07"),
        ("audio_mnist/german_accent", "60/0_60_0.wav", "60"),
        ("speech_commands_v1", "yes/004ae714_nohash_0.wav", "004ae714"),
        ("speech_commands_v2/amaut", "wow/a_b_nohash_12.wav", "a_b"),
        ("free_spoken_digit", "recordings/7_yweweler_12.wav", "yweweler"),
        ("vocal_sound", "f0003_0_throatclearing.wav", "f0003"),
        ("vocal_sound/44k", "m1234_0_laughter.wav", "m1234"),
        ("cochl_scene", "Train/Bus/Bus_user0009_14897252_005.wav", "user0009"),
        ("cochl_scene", "Train/Bus/other.wav", "Train/Bus/other.wav"),
        ("esc50/fold2", "audio/2-118072-A-0.wav", "118072"),
        ("urban_sound_8k", "fold5/100032-3-0-0.wav", "100032"),
        ("tau_urban_2019", "audio/street_traffic-milan-1033-41341-a.wav", "milan-1033"),
        ("home_sounds", "h07/Barking_1", "h07"),
    ],
)
def test_groups_of_ids(name, clip, group):
    assert sets.get(name).group(clip) == group


def test_the_embedded_corpus_has_its_speakers():
    made = synthetic.make_split("val", size=28)
    group = sets.get("synthetic").group
    assert [group(clip) for clip in made.ids] == [f"val/s{speaker:02d}" for speaker in made.speakers]
    assert np.unique(made.speakers).tolist() == [0, 1]


def test_sets_without_groups_are_those_whose_ids_tell_none():
    without = {name for name in DATA_SETS if sets.get(name).group is None}
    noises = {"qut_noise", "demand", "speech_commands_noise"}
    assert without == noises | {"reef_set", "folder", "tut_sed", "tomofun", "librispeech_100", "nsynth_100"}
