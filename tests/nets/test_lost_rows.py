"""Examples that a shifted clip does not reach are log-mel 0, as the published buffer has them."""

import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.dsp import vggish
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import zoo
from dhauds_jax.nets.lost_rows import lost, with_lost_rows

RATE = vggish.SAMPLE_RATE


def clip(samples, width=5 * RATE):
    wave = np.zeros((1, width), np.float32)
    wave[0, :samples] = 0.1 + 0.01 * np.random.default_rng(samples).normal(size=samples)
    return jnp.asarray(wave)


@pytest.mark.parametrize(
    ("seconds", "kept"),
    [(5.0, 5), (4.8, 4), (4.2, 4), (1.079, 1), (0.9, 0)],
    # 0.2 to 0.8 s lost: 4 of 5 examples, as the published copies 2 to 5 have; 1.079 s is the clip that it ships
)
def test_rows_beyond_the_clip_are_zero(seconds, kept):
    wave = clip(int(seconds * RATE))
    examples = vggish.examples(wave)
    found = lost(examples, wave)
    np.testing.assert_array_equal(found[0, :kept], examples[0, :kept])
    assert not np.any(found[0, kept:])
    assert float(examples[0, -1].min()) < -4 if kept < 5 else True  # silence, else, which is quieter than 0


def test_the_network_is_fed_with_them_and_others_are_refused():
    net = zoo.build(zoo.preset("vggish_small", ("a", "b")))
    wave = clip(int(4.5 * RATE))
    assert not np.any(with_lost_rows(net).features(wave)[0, 4])
    assert np.any(net.features(wave)[0, 4])
    with pytest.raises(BadInput, match="--lost_rows: the front end of cnn_small is log_mel, which has no examples"):
        with_lost_rows(zoo.build(zoo.preset("cnn_small", ("a", "b"))))
