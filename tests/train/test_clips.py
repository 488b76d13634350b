"""What a training says of its clips before it begins."""

import pytest

from dhauds_jax.train.clips import say_length

NOTE = (
    "note: the network takes {} s and the longest clip has {} s; the rest is silence, which costs as much as sound "
    "(--length={} fits)\n"
)


@pytest.mark.parametrize(
    ("longest", "length", "said"),
    [
        (16_000, 16_000_000, NOTE.format(1000, 1, 1)),
        (16_000, 32_000, NOTE.format(2, 1, 1)),
        (1_234, 8_000, NOTE.format(0.5, 0.0771, 0.08)),
        (16_000, 31_999, ""),
        (16_000, 8_000, ""),
    ],
)
def test_a_network_that_would_hear_silence_is_noted_before_the_work(capsys, longest, length, said):
    say_length(longest, length, 16_000)
    assert capsys.readouterr().out == said
