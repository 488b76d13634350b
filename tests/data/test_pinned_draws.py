"""Draws as they have always been: a changed text here means that a corrupted set cannot be made again."""

import hashlib
import json

import numpy as np
import pytest

from dhauds_jax.data.corruptions import draws as D
from dhauds_jax.data.corruptions import needs_noise

IDS = [f"word/{i}.wav" for i in range(40)]
LENGTHS = np.array([16_000, 12_345, 900, 5_000, 16_001], np.int32)
NAMES = [f"CLASS/{i}.wav" for i in range(5)]
PROFILES = (("reference", False), ("corrected", True))
"""Each with whether a stretch may go both ways."""

PINNED = {
    ("WHN", "L1"): ("bc3765211cc4", "ba369ded87e6", "bc3765211cc4", "ba369ded87e6"),
    ("WHN", "L2"): ("abdda8c39b92", "7f10b971e7c7", "abdda8c39b92", "7f10b971e7c7"),
    ("ENQ", "L1"): ("0f26c06e69c5", "70724ae5cfa4", "0f26c06e69c5", "70724ae5cfa4"),
    ("ENQ", "L2"): ("fed604e5405c", "ae08c78c7540", "fed604e5405c", "ae08c78c7540"),
    ("END1", "L1"): ("a85ab59c3543", "361eeeac44ec", "a85ab59c3543", "361eeeac44ec"),
    ("END1", "L2"): ("234b316d52d2", "7806febcbffc", "234b316d52d2", "7806febcbffc"),
    ("END2", "L1"): ("792055db6592", "a82e26409e00", "792055db6592", "a82e26409e00"),
    ("END2", "L2"): ("33be990ed9de", "7d8fef711537", "33be990ed9de", "7d8fef711537"),
    ("ENSC", "L1"): ("a25be3d52822", "345a1cf6ba40", "a25be3d52822", "345a1cf6ba40"),
    ("ENSC", "L2"): ("8c8f5d9b7534", "363e0158012e", "8c8f5d9b7534", "363e0158012e"),
    ("PSH", "L1"): ("cc5c3079e4fc", "33f2b4cacdd3", "cc5c3079e4fc", "33f2b4cacdd3"),
    ("PSH", "L2"): ("0408afdda175", "151fc0169313", "0408afdda175", "151fc0169313"),
    ("TST", "L1"): ("c631d9936df1", "9e8918ac5460", "79480a3114ec", "a1ff1e616e61"),
    ("TST", "L2"): ("e5764e600f83", "9c2dc65c14bf", "f16f7430ff63", "52b9f4b7e0a6"),
    ("SCN", "running_tap@10dB"): ("4863da80b730", "1e1e847aa721", "4863da80b730", "1e1e847aa721"),
    ("SCN", "white_noise@3dB+random_pad"): ("1b3cb7867c22", "b61c2e6b6205", "1b3cb7867c22", "b61c2e6b6205"),
    ("CLP", "vocal_sound@3dB"): ("c0492d3c2863", "61583924f226", "c0492d3c2863", "61583924f226"),
    ("CLP", "esc50@-2.5dB+random_pad"): ("b5b461f20663", "defbbea7e62d", "b5b461f20663", "defbbea7e62d"),
    ("UNI", "0.005"): ("68ecf99fed7f", "42475846703c", "68ecf99fed7f", "42475846703c"),
    ("UNI", "0.0025+random_pad"): ("7ef868c0cf0f", "c42114810f70", "7ef868c0cf0f", "c42114810f70"),
}
"""For each profile the first 12 digits of the checksum, and of the SHA-256 of the manifest's lines as written."""


@pytest.mark.parametrize("cell", PINNED, ids="-".join)
def test_checksums_and_manifests(cell):
    corruption, level = cell
    found = []
    for profile, both_ways in PROFILES:
        noise = dict(noise_lengths=LENGTHS, length=5_000) if needs_noise(corruption) else {}
        draws = D.draw_set(
            IDS,
            dataset="speech_commands_v2/any",
            corruption=corruption,
            level=level,
            seed=123_456,
            profile=profile,
            stretch_both_ways=both_ways,
            **noise,
        )
        records = D.records(IDS, draws, corruption=corruption, level=level, noise_names=NAMES)
        lines = "\n".join(json.dumps(record) for record in records)
        found.append(D.checksum(IDS, draws, corruption=corruption, level=level)[:12])
        found.append(hashlib.sha256(lines.encode()).hexdigest()[:12])
    assert tuple(found) == PINNED[cell]
