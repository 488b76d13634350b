"""A tiny SoundFont: one looped sine as the only sample, played by as many programs as are asked for."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

RATE, PERIOD, LOOPS = 48_000, 96, 20
"""The sample is a sine of 500 Hz, 20 periods long, of which the second to the last but one are repeated."""
ROOT_KEY = 71
"""The key that plays it at its own pitch."""
_RANGE, _SAMPLE_MODES, _INSTRUMENT, _SAMPLE = 43, 54, 41, 53  # generators: keys, looping, what plays


def _chunk(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def _list(kind: bytes, *chunks: bytes) -> bytes:
    return _chunk(b"LIST", kind + b"".join(chunks))


def _name(text: str) -> bytes:
    return text.encode().ljust(20, b"\0")


def soundfont(
    path: Path,
    programs: tuple[tuple[int, int, str], ...] = ((0, 0, "Sine"), (5, 0, "Other"), (0, 128, "Drums")),
    keys: tuple[int, int] = (0, 127),
) -> Path:
    """Writes a font of (program, bank, name) presets, all of one instrument that sounds between two keys."""
    sine = np.round(16_000 * np.sin(2 * np.pi * np.arange(PERIOD * LOOPS) / PERIOD)).astype("<i2")
    presets = b"".join(
        _name(name) + struct.pack("<HHHIII", program, bank, bag, 0, 0, 0)
        for bag, (program, bank, name) in enumerate(programs)
    )
    presets += _name("EOP") + struct.pack("<HHHIII", 0, 0, len(programs), 0, 0, 0)
    bags = b"".join(struct.pack("<HH", bag, 0) for bag in range(len(programs) + 1))
    generators = struct.pack("<HH", _INSTRUMENT, 0) * len(programs) + struct.pack("<HH", 0, 0)
    inside = [(_RANGE, keys[0] | keys[1] << 8), (_SAMPLE_MODES, 1), (_SAMPLE, 0), (0, 0)]
    first, end = PERIOD, PERIOD * (LOOPS - 1)
    header = _name("sine") + struct.pack("<IIIIIBbHH", 0, len(sine), first, end, RATE, ROOT_KEY, 0, 0, 1)
    content = b"sfbk"
    content += _list(b"INFO", _chunk(b"ifil", struct.pack("<HH", 2, 1)), _chunk(b"INAM", b"tiny\0\0"))
    content += _list(b"sdta", _chunk(b"smpl", sine.tobytes() + bytes(92)))
    content += _list(
        b"pdta",
        _chunk(b"phdr", presets),
        _chunk(b"pbag", bags),
        _chunk(b"pmod", bytes(10)),
        _chunk(b"pgen", generators),
        _chunk(b"inst", _name("sine") + struct.pack("<H", 0) + _name("EOI") + struct.pack("<H", 1)),
        _chunk(b"ibag", struct.pack("<HHHH", 0, 0, len(inside) - 1, 0)),
        _chunk(b"imod", bytes(10)),
        _chunk(b"igen", b"".join(struct.pack("<HH", *one) for one in inside)),
        _chunk(b"shdr", header + _name("EOS") + bytes(26)),
    )
    path.write_bytes(_chunk(b"RIFF", content))
    return path
