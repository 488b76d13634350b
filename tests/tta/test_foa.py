"""FOA on clips of two samples in numpy: the equaliser, every guess's fitness, the choice, the shift, the history."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.tta import cma_es, methods
from dhauds_jax.tta.methods.foa import equalised
from dhauds_jax.types import Batch, RunInfo, SourceData
from tests.tta import linear, spread, tiny

KEY = jax.random.key(3)
SOURCE = np.random.default_rng(7).normal(0.0, 1.0, (12, 2)).astype(np.float32)
INFO = linear.INFO._replace(source=SourceData(jnp.asarray(SOURCE), jnp.zeros(12, jnp.int32)))
GIVEN = {"bands": 2, "population": 4, "rate": 30.0}
NUMBERS = linear.affine(linear.VARIABLES)


def made(**options):
    method = linear.compiled("foa", **{**GIVEN, **options})
    return method, method.init(linear.VARIABLES, INFO)


def turned(wave, gains):
    """Of two samples the spectrum is their sum and their difference."""
    sums = (wave[:, 0] + wave[:, 1]) * 10 ** (gains[0] / 20)
    differences = (wave[:, 0] - wave[:, 1]) * 10 ** (gains[1] / 20)
    return np.stack([sums + differences, sums - differences], 1) / 2


def judged(wave, gains):
    """Fitness of some gains, and the logits, which are the embeddings too."""
    z, source = linear.logits(turned(wave, gains), NUMBERS), linear.logits(SOURCE, NUMBERS)
    unit = source.std(0, ddof=1)
    apart = ((z.mean(0) - source.mean(0)) / unit) ** 2 + ((z.std(0, ddof=1) - unit) / unit) ** 2
    return linear.entropy(z).mean() + 30.0 / 64 * apart.sum(), z


def test_an_equaliser_has_its_gains_at_its_knots():
    """Knots at 0, 1/4 and 1 of half the rate: +6 dB is 1.995, between them it is linear in dB over the root."""
    wave = np.random.default_rng(0).normal(size=(2, 16)).astype(np.float32)
    found = np.fft.rfft(equalised(jnp.asarray(wave), jnp.asarray([0.0, 6.0, -20.0]))) / np.fft.rfft(wave)
    np.testing.assert_allclose(found.imag, 0.0, atol=1e-5)
    np.testing.assert_allclose(found.real[:, [0, 2, 8]], np.tile([1.0, 10**0.3, 0.1], (2, 1)), rtol=1e-4)
    between = 6 - 26 * (np.sqrt(4 / 8) - 0.5) / 0.5
    np.testing.assert_allclose(found.real[:, 4], 10 ** (between / 20), rtol=1e-4)


def test_two_batches_by_hand():
    method, state = made()
    history, best = None, np.zeros(2)
    for key, wave in ((KEY, linear.WAVE), (jax.random.key(4), linear.WAVE[::-1] + 1)):
        guesses = [*np.asarray(cma_es.ask(state.memory.search, key, 4), np.float64), best]
        told = [judged(np.float64(wave), gains) for gains in guesses]
        fitness = np.array([value for value, _ in told])
        search = cma_es.tell(state.memory.search, jnp.asarray(guesses, jnp.float32), jnp.asarray(fitness), 4)
        state, prediction = method.step(state, linear.BATCH._replace(wave=jnp.asarray(wave)), key)
        chosen = fitness.argmin()
        best = guesses[chosen]
        back = 0.0 if history is None else linear.logits(SOURCE, NUMBERS).mean(0) - history
        np.testing.assert_allclose(prediction.logits, told[chosen][1] + back, rtol=1e-4, atol=1e-4)
        assert float(prediction.losses["total"]) == pytest.approx(fitness[chosen], rel=1e-4)
        mean = np.mean([z.mean(0) for _, z in told], 0)
        history = mean if history is None else 0.9 * history + 0.1 * mean
        np.testing.assert_allclose(state.memory.history, history, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(state.memory.best, best, rtol=1e-5, atol=1e-6)
        for found, wanted in zip(state.memory.search, search, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)
    assert np.abs(best).max() > 0.1  # not the gains it began with
    wanted = judged(np.float64(linear.WAVE), best)[1] + linear.logits(SOURCE, NUMBERS).mean(0) - history
    np.testing.assert_allclose(method.predict(state, linear.BATCH), wanted, rtol=1e-4, atol=1e-4)
    assert np.array_equal(linear.affine(state.variables), NUMBERS)
    assert method.passes == (5, 0) and method.needs == ("source_data",)


@pytest.mark.slow
def test_the_equaliser_of_a_room_is_found():
    """The source's clips with their differences 10 dB softer: thirty batches find the gains that undo it."""
    method, state = made(rate=6400.0)
    wave = jnp.asarray(turned(SOURCE, np.array([0.0, -10.0])), jnp.float32)
    batch = Batch(wave, jnp.ones(12), jnp.arange(12, dtype=jnp.int32))
    told = []
    for i in range(30):
        state, prediction = method.step(state, batch, jax.random.key(i))
        told.append(float(prediction.losses["discrepancy"]))
    assert told[-1] < 1e-3 < 0.05 < told[0]
    np.testing.assert_allclose(state.memory.best, [0.0, 10.0], atol=0.3)


@pytest.mark.slow
def test_a_padded_row_of_nonsense_stays_out():
    method, state = made()
    batch = linear.BATCH._replace(wave=linear.BATCH.wave.at[7].set(jnp.nan), weights=jnp.asarray([1.0] * 7 + [0.0]))
    after, prediction = method.step(state, batch, KEY)
    alone, wanted = method.step(state, jax.tree.map(lambda x: x[:7], batch), KEY)
    np.testing.assert_allclose(prediction.logits[:7], wanted.logits, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(after.memory.history, alone.memory.history, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_a_spread_batch_gives_the_same():
    source = SourceData(jnp.asarray(tiny.waves()), jnp.zeros(tiny.CLIPS, jnp.int32))
    spread.check("foa", RunInfo(1, 7, tiny.CLASSES, source), population=4, statistics="batch")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"bands": 1}, "foa: bands=1: expected at least 2"),
        ({"population": 3}, r"foa: population is 3, expected 0 \(by the bands\) or at least 4 guesses"),
        ({"statistics": "mine"}, "unknown statistics of method foa 'mine': expected running or batch"),
    ],
)
def test_bad_options_get_one_sentence(given, message):
    with pytest.raises(ValueError, match=message):
        methods.make("foa", linear.classifier(), given)


def test_without_source_clips_it_says_what_it_needs():
    with pytest.raises(ValueError, match="method foa needs source clips for the moments of their embeddings: give som"):
        methods.make("foa", linear.classifier(), {}).init(linear.VARIABLES, linear.INFO)
