"""VGGish's log-mel examples against torchvggish's, and what short and silent clips give.

Golden `vggish.npz`: `wave` (1, 80000) at 16 kHz and its `log_mel_examples` (5, 1, 96, 64) by torchvggish's own code.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.dsp import vggish
from tests.paths import golden, largest_error

EXAMPLES = jax.jit(vggish.examples)
SILENCE = np.float32(np.log(0.01))


def noise(samples, clips=1):
    return jnp.asarray(0.1 * np.random.default_rng(0).standard_normal((clips, samples)), jnp.float32)


def test_examples_are_torchvggishs():
    stored = golden("vggish")
    ours = EXAMPLES(stored["wave"])
    assert ours.shape == (1, 5, 96, 64)
    assert largest_error(ours[0], stored["log_mel_examples"][:, 0]) < 1e-4


def test_filters_are_triangles_in_mel():
    table = vggish.filters()
    mel = 1127 * np.log(1 + np.arange(257) * 31.25 / 700)
    edges = np.linspace(1127 * np.log(1 + 125 / 700), 1127 * np.log(1 + 7500 / 700), 66)
    assert table.shape == (257, 64) and not table[0].any()
    for band in (0, 20, 63):
        inside = (mel > edges[band]) & (mel < edges[band + 2])
        sides = np.interp(mel, edges[band : band + 3], [0, 1, 0])
        np.testing.assert_allclose(table[:, band], np.where(inside, sides, 0), atol=1e-12)


@pytest.mark.parametrize(
    ("samples", "count"),
    [(1, 1), (15_599, 1), (15_600, 1), (30_959, 1), (30_960, 2), (80_000, 5), (92_399, 5), (92_400, 6)],
)
def test_whole_examples_are_counted_and_a_short_clip_gives_one(samples, count):
    assert vggish.example_count(samples) == count
    shape = jax.eval_shape(vggish.examples, jax.ShapeDtypeStruct((2, samples), jnp.float32)).shape
    assert shape == (2, count, 96, 64)


def test_a_short_clip_is_followed_by_silence_and_a_rest_is_dropped():
    wave = noise(80_000)
    short = EXAMPLES(wave[:, :8_000])
    np.testing.assert_array_equal(short, EXAMPLES(jnp.pad(wave[:, :8_000], [(0, 0), (0, 7_600)])))
    assert short.shape == (1, 1, 96, 64)
    assert largest_error(short[0, 0, 50:], SILENCE) < 1e-6  # frames from sample 8,000 on
    assert short[0, 0, :48].min() > SILENCE + 0.01
    np.testing.assert_allclose(EXAMPLES(wave[:, :77_040]), EXAMPLES(wave), atol=1e-5)


def test_only_trailing_silence_is_unheard():
    wave = np.array(noise(80_000, 5))
    wave[1, 31_000:] = 0  # its third example begins at 30,720
    wave[2, 15_000:46_000] = 0  # inside
    wave[3] = 0
    wave[4, 15_360:] = 0
    wave[4, 70_000] = 1 / 32_768  # the smallest 16-bit step
    found = vggish.heard(EXAMPLES(jnp.asarray(wave)))
    assert found.sum(1).tolist() == [5, 3, 5, 1, 5]
    assert found[1].tolist() == [True] * 3 + [False] * 2
    assert vggish.heard(jnp.zeros((1, 3, 96, 64))).all()  # log-mel values of 0, as the published code pads with


def test_silence_has_a_finite_derivative():
    gradient = jax.grad(lambda wave: vggish.examples(wave).sum())(jnp.zeros((1, 16_000)))
    assert not gradient.any()
