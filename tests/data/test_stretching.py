"""Time stretch of sets of mixed lengths: buckets, equal bits whatever the other clips, few programs."""

import numpy as np
import pytest

from dhauds_jax.data import sets
from dhauds_jax.data.corruptions import corrupt, stretch
from dhauds_jax.data.layout import lay_out

RATE, LENGTH = 16_000, 4_000
RNG = np.random.default_rng(0)
LENGTHS = np.concatenate([RNG.integers(3_001, LENGTH, 21), [LENGTH, 1_100, 1]])  # three buckets
WAVES = np.stack([lay_out((RNG.normal(size=n) * 0.1).astype(np.float32), LENGTH) for n in LENGTHS])
IDS = [f"{i}.wav" for i in range(len(LENGTHS))]
WORDS = sets.get("synthetic")
BOTH_WAYS = WORDS._replace(order=sets.Order(stretch_both_ways=True))


def run(rows, **options):
    options = {"dataset": WORDS, "level": "L2", "seed": 1, **options}
    ids = [IDS[i] for i in rows]
    return corrupt(
        WAVES[rows], ids, corruption="TST", sample_rate=RATE, length=LENGTH, lengths=LENGTHS[rows], **options
    )


@pytest.mark.parametrize(
    ("own", "length", "width"),
    [(16_000, 16_000, 16_000), (15_999, 16_000, 16_000), (14_000, 16_000, 14_000), (14_001, 16_000, 16_000),
     (16_001, 16_000, 18_000), (100, 16_000, 2_000), (100, 4_000, 1_500), (30_080, 30_080, 30_080), (5, 7, 1_024)],
)  # fmt: skip
def test_buckets_are_eighths_of_the_sets_length(own, length, width):
    assert stretch.bucket(own, length) == width


def test_long_clips_go_in_smaller_chunks():
    assert [stretch.chunk_of(width) for width in (1_500, 16_000, 18_000, 33_840, 180_000)] == [8, 8, 7, 3, 2]


@pytest.mark.as_shipped
def test_a_clips_bits_do_not_depend_on_the_lengths_around_it():
    every = np.arange(len(LENGTHS))
    whole, draws = run(every)
    assert len(set(stretch.nominal_rate(rate) for rate in draws.rate)) == 4
    shuffled = np.random.default_rng(1).permutation(every)
    for part in (shuffled, shuffled[:5], shuffled[5:]):
        some, _ = run(part)
        assert some.tobytes() == whole[part].tobytes()


@pytest.mark.slow
def test_one_program_a_bucket_and_direction():
    stretch._stretch_chunk.clear_cache()
    every = np.arange(len(LENGTHS))
    _, draws = run(every, dataset=BOTH_WAYS, profile="corrected")
    groups = {(rate < 1, stretch.bucket(int(n), LENGTH)) for rate, n in zip(draws.rate, LENGTHS)}
    assert len({(stretch.nominal_rate(rate), int(n)) for rate, n in zip(draws.rate, LENGTHS)}) == len(every)
    assert stretch._stretch_chunk._cache_size() == len(groups) < len(every)


def test_results_are_as_long_as_their_own_frames():
    some = np.array([0, 1, 2, 3, 4, 5, -3, -2, -1])  # of every bucket
    waves, draws = run(some, profile="corrected")
    for wave, rate, own in zip(waves, draws.rate, LENGTHS[some]):
        frames = int(np.ceil((max(own, 1_024) // 256 + 1) / stretch.nominal_rate(rate)))
        samples = min(256 * (frames - 1), LENGTH)
        head = (LENGTH - samples) // 2
        assert not wave[:head].any() and not wave[head + samples :].any()
        if own > 1_024:
            assert np.abs(wave[head : head + 64]).max() > 0 and np.abs(wave[head + samples - 64 :]).max() > 0
