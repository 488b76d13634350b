"""Class names in the order of the published checkpoints' logits; nets and data sets share them.

SpeechCommands V2 has the order of DHAuDS (that of the Audio Spectrogram Transformer's checkpoint), V1 that of the AMAuT
repository; UrbanSound8K and VocalSound the order of their own index files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


SPEECH_COMMANDS_V2 = _words(
    "backward follow five bed zero on learn two house tree dog stop seven eight down six forward cat right visual four "
    "wow no nine off three left marvin yes up sheila happy bird go one"
)
SPEECH_COMMANDS_V2_AMAUT = _words(
    "zero one two three four five six seven eight nine bed dog happy marvin off right up yes bird down house on "
    "stop tree cat go left no sheila wow backward forward follow learn visual"
)
"""The same words in the order of the AMAuT repository: its weights need it."""
SPEECH_COMMANDS_V1 = _words(
    "zero one two three four five six seven eight nine bed dog happy marvin off right up yes bird down house on stop "
    "tree cat go left no sheila wow"
)
ARABIC_SPEECH_COMMANDS = _words("down eight five four left nine one right seven six stop three two up zero")
AUDIO_MNIST = tuple("0123456789")
COCHL_SCENE = _words(
    "Bus Car Elevator Park Restaurant Street SubwayStation Cafe CrowdedIndoor Kitchen ResidentialArea Restroom Subway"
)
URBAN_SOUND_8K = _words(
    "air_conditioner car_horn children_playing dog_bark drilling engine_idling gun_shot jackhammer siren street_music"
)
TAU_URBAN_2019 = _words(
    "airport bus metro metro_station park public_square shopping_mall street_pedestrian street_traffic tram"
)
TUT_SED = tuple(
    name.replace("_", " ")
    for name in _words(
        "banging bird_singing brakes_squeaking car car_passing_by children children_shouting cupboard cutlery dishes "
        "drawer glass_jingling large_vehicle object_impact people_speaking people_walking rustling snapping "
        "washing_dishes water_tap_running wind_blowing"
    )
)
"""Events of TUT Sound Events 2016 and 2017; "(object) rustling" there is "rustling", as in the published system."""
TOMOFUN = _words(
    "Barking Howling Crying CO_Smoke GlassBreaking Blender Cat Dishes Electrics Other Vacuum Doorbell Bird "
    "Music_Instrument Laugh_Shout_Scream"
)
"""Sub-classes of the Tomofun dog-sound challenge in the order of team ADEE's fifteen outputs."""
TOMOFUN_MERGED = (*TOMOFUN[:5], "Other", *TOMOFUN[11:])
"""The ten classes of the challenge, in the order of its labels 0 to 9."""
TOMOFUN_GROUPS: Mapping[str, Any] = {
    "names": list(TOMOFUN_MERGED),
    "of": [0, 1, 2, 3, 4, 5, 5, 5, 5, 5, 5, 6, 7, 8, 9],
}
"""For `ClassifierConfig.groups`: the ten classes, and which of them each sub-class is counted to."""
VOCAL_SOUND = ("Laughter", "Sigh", "Cough", "Throat clearing", "Sneeze", "Sniff")
_FISH = _words(
    "cascading_saw chatter chorus crackle croak damselfish dolphin double_pulse echinidae epigut grazing grouper_a "
    "grouper_groan growl holocentrus knock knock_croak_a knock_croak_b knock_croak_c low_growl megnov midshipman "
    "mycbon pomamb pulse rattle rattle_response series_a series_b stridulation whup"
)
REEF_SET = (
    "ambient",
    "anthrop_boat_engine",
    "anthrop_bomb",
    "anthrop_mechanical",
    "bioph",
    *(f"bioph_{name}" for name in _FISH),
    "geoph_waves",
)
