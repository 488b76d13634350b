"""The ragged time stretch is the static one, whatever the width, the other clips and what lies after a clip."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.dsp.ragged_stretch import Plan, plan_stretch, time_stretch_ragged
from dhauds_jax.dsp.stretch import start_in_square, time_stretch, time_stretch_frames

LENGTHS = [1024, 1279, 1281, 4000]
RATES = [1.08, 1.11, 1.09, 1.08]
RNG = np.random.default_rng(0)
START = jax.jit(lambda key, frames: start_in_square(key, frames, 513))
CLIPS = [RNG.normal(size=n) * 0.1 for n in LENGTHS]


def rows(clips, width, after=0.0, dtype=np.float32):
    out = np.full((len(clips), width), after, dtype)
    for row, clip in zip(out, clips):
        row[: len(clip)] = clip
    return jnp.asarray(out)


def starts(plan, dtype=np.complex64):
    keys = jax.random.split(jax.random.key(1), len(plan.length))
    return np.asarray(jax.vmap(START, (0, None))(keys, np.arange(plan.first.shape[-1]))).astype(dtype)


@pytest.mark.parametrize(("rates", "slowest", "power"), [(RATES, 1.08, 2.0), ([0.92, 0.89, 0.91, 0.92], 0.88, 1.0)])
def test_equals_the_static_stretch_at_every_length(rates, slowest, power):
    # In float64, where 32 rounds amplify 1e-16 to about 1e-11; see the next test for float32.
    with jax.enable_x64(True):
        plan = plan_stretch(LENGTHS, rates, 4096, slowest=slowest)
        start = starts(plan, np.complex128) if power == 2 else np.ones((4, plan.first.shape[-1], 513), np.complex128)
        waves = rows(CLIPS, 4096, after=7.0, dtype=np.float64)
        ours = np.asarray(time_stretch_ragged(waves, plan, power=power, start=jnp.asarray(start)))
        assert ours.dtype == np.float64
        for i in range(len(CLIPS)):
            begun = jnp.asarray(start[i, : time_stretch_frames(LENGTHS[i], rates[i])])
            static = np.asarray(time_stretch(jnp.asarray(CLIPS[i]), rates[i], power=power, start=begun))
            np.testing.assert_allclose(ours[i, : len(static)], static, atol=1e-9 * np.abs(static).max())
            assert len(static) == 256 * (plan.frames[i] - 1) and not ours[i, len(static) :].any()


@pytest.mark.slow
def test_in_float32_and_in_another_width_it_differs_by_rounding_alone():
    plan = plan_stretch(LENGTHS, RATES, 4096, slowest=1.08)
    few, many = (np.asarray(time_stretch_ragged(rows(CLIPS, 4096), plan, iterations=n)) for n in (0, 32))
    with jax.enable_x64(True):
        wider = plan_stretch(LENGTHS, RATES, 6000, slowest=1.08)
        clips = rows(CLIPS, 6000, dtype=np.float64)
        few64, many64 = (np.asarray(time_stretch_ragged(clips, wider, iterations=n)) for n in (0, 32))
        narrow = np.asarray(time_stretch_ragged(clips[:, :4096], plan))
    width, peak = narrow.shape[1], np.abs(narrow).max()
    assert many64.shape[1] > width and not many64[:, width:].any()
    np.testing.assert_allclose(many64[:, :width], narrow, atol=1e-9 * peak)
    np.testing.assert_allclose(few, few64[:, :width], atol=3e-6 * peak)
    # The bounds of the static goldens: 32 rounds amplify rounding (torchaudio's own float64 run is as far away).
    np.testing.assert_allclose(many, narrow, atol=3e-2 * peak)
    assert np.sqrt(np.mean((many - narrow) ** 2) / np.mean(narrow**2)) < 2e-2


@pytest.mark.as_shipped
def test_other_clips_and_what_lies_after_change_no_bit_and_nothing_compiles_again():
    time_stretch_ragged.clear_cache()
    whole = np.asarray(time_stretch_ragged(rows(CLIPS, 4096), plan_stretch(LENGTHS, RATES, 4096, slowest=1.08)))
    order = [2, 0, 3, 1]
    plan = plan_stretch([LENGTHS[i] for i in order], [RATES[i] for i in order], 4096, slowest=1.08)
    shuffled = np.asarray(time_stretch_ragged(rows([CLIPS[i] for i in order], 4096, after=-3.0), plan))
    assert shuffled.tobytes() == whole[order].tobytes()
    others = [np.zeros(1500), CLIPS[0], CLIPS[0], CLIPS[3]]
    plan = plan_stretch([len(c) for c in others], [1.1, RATES[0], RATES[0], RATES[3]], 4096, slowest=1.08)
    among = np.asarray(time_stretch_ragged(rows(others, 4096), plan))
    assert among[1:].tobytes() == whole[[0, 0, 3]].tobytes() and not among[0].any()
    assert time_stretch_ragged._cache_size() == 1


def test_start_of_a_frame_does_not_depend_on_their_number():
    key = jax.random.key(5)
    long = np.asarray(START(key, np.arange(40)))
    np.testing.assert_array_equal(START(key, np.arange(7)), long[:7])
    np.testing.assert_array_equal(START(key, 30 + np.arange(10)), long[30:])
    for part in (long.real, long.imag):
        assert 0 <= part.min() < 1e-3 and 1 - 1e-3 < part.max() < 1
        np.testing.assert_allclose(part.mean(), 0.5, atol=5 * np.sqrt(1 / 12 / part.size))
        np.testing.assert_allclose(part.var(), 1 / 12, atol=0.005)
    assert abs(np.corrcoef(long[0].real, long[1].real)[0, 1]) < 0.2
    assert abs(np.corrcoef(long.real.ravel(), long.imag.ravel())[0, 1]) < 0.05


def test_plan_names_the_frames_of_the_static_stretch():
    plan = plan_stretch([1024], [2.0 / 1.6], 2048, slowest=1.0)
    # Five frames at rate 1.25: positions 0, 1.25, 2.5, 3.75; the row has room for nine, and frame 9 is silence.
    assert plan.frames.tolist() == [4]
    assert plan.first.tolist() == [[0, 1, 2, 3, 9, 9, 9, 9, 9]]
    assert plan.second.tolist() == [[1, 2, 3, 4, 9, 9, 9, 9, 9]]
    np.testing.assert_array_equal(plan.weight, [[0, 0.25, 0.5, 0.75, 0, 0, 0, 0, 0]])
    # Slower: the last frame is mixed with the silence after it.
    slower = plan_stretch([1024], [0.8], 1024, slowest=0.8)
    assert slower.frames.tolist() == [7]
    assert slower.second.tolist() == [[1, 1, 2, 3, 4, 5, 5]] and slower.first.tolist() == [[0, 0, 1, 2, 3, 4, 4]]


@pytest.mark.parametrize(
    ("lengths", "rate", "message"),
    [
        ([5000], 1.1, "the longest clip has 5000 samples and the least rate is 1.1, expected at most 4096 samples"),
        ([4000], 1.0, "the least rate is 1.0, expected at most 4096 samples and at least 1.08"),
        ([512], 1.1, "the shortest clip has 512 samples .* expected more than n_fft // 2 = 512"),
        ([1024], 2.0, "the shortest result 512, expected more than n_fft // 2 = 512"),
    ],
)
def test_bad_plans_are_named(lengths, rate, message):
    with pytest.raises(ValueError, match=message):
        plan_stretch(lengths, [rate], 4096, slowest=1.08)


def test_a_hop_that_does_not_fit_is_named():
    plan = plan_stretch([4000], [1.1], 4096, slowest=1.08)
    assert isinstance(plan, Plan)
    with pytest.raises(ValueError, match=r"hop is 300, expected a whole part of n_fft // 2 = 512"):
        time_stretch_ragged(jnp.zeros((1, 4096)), plan, hop=300)
