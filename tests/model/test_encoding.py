"""Encoding recordings: a vector is the mean over windows, the same bits whatever lies beside it in a batch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.dsp.clip_layout import cut
from dhauds_jax.model import encoding
from dhauds_jax.model.encoding import Encoder, Encoding, Recording

LENGTH = 8


def an_encoder(batch_size, length=LENGTH):
    """Two numbers of each row, by a product whose sums depend on the order in which they are taken."""
    weights = jnp.asarray(np.random.default_rng(1).normal(size=(length, 2)), jnp.float32)
    vectors, how = encoding.compiled(lambda variables, waves: jnp.tanh(waves @ variables) * 3, batch_size)
    return Encoder(
        10,
        length,
        lambda name, blocks: ((w,) for w in cut(blocks(), length, 0.0)),
        lambda r, n: vectors(weights, r, n),
        how,
        {},
    )


def recordings(lengths, order=None):
    """(position, wave) of some recordings, in an order."""
    waves = [np.random.default_rng(i).normal(size=n).astype(np.float32) for i, n in enumerate(lengths)]
    return [(i, waves[i]) for i in (range(len(waves)) if order is None else order)]


def encoded(encoder, given, batch_size):
    """Position -> what became of each."""
    made, found = Encoding(encoder, batch_size), {}
    for position, wave in given:
        made.take(
            Recording(position, encoder.rows(str(position), lambda wave=wave: [wave]), lambda wave=wave: len(wave))
        )
        found |= {one.position: one for one in made.finished()}
    made.flush()
    return found | {one.position: one for one in made.finished()}


def test_a_vector_is_the_mean_over_the_windows_of_a_recording_alone():
    encoder = an_encoder(4)
    given = recordings((3, 8, 30, 17, 8))
    found = encoded(encoder, given, 4)
    assert sorted(found) == [0, 1, 2, 3, 4]
    for position, wave in given:
        windows = np.stack(list(cut([wave], LENGTH, 0.0)))
        alone = np.stack([np.asarray(encoder.vectors((np.resize(w, (4, LENGTH)),), 1))[0] for w in windows])
        vector = (alone.astype(np.float64).sum(0) / len(windows)).astype(np.float32)
        one = found[position]
        assert (one.windows, one.told) == (len(windows), len(wave))
        np.testing.assert_allclose(one.vector, vector, rtol=0, atol=1e-7)  # float64 sums in another order


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_batches_and_order_change_no_bit(batch_size):
    lengths = (3, 8, 30, 17, 8, 100)
    whole = encoded(an_encoder(4), recordings(lengths), 4)
    other = encoded(an_encoder(batch_size), recordings(lengths, [5, 0, 3, 1, 4, 2]), batch_size)
    for position, one in whole.items():
        assert np.array_equal(one.vector, other[position].vector), position


def test_a_bad_recording_leaves_nothing_behind():
    encoder, given = an_encoder(4), recordings((30, 8, 30))

    def broken(rows):
        yield from list(rows)[:3]
        raise OSError("cut short")

    made = Encoding(encoder, 4)
    found = {}
    for position, wave in given:
        rows = encoder.rows("", lambda wave=wave: [wave])
        try:
            made.take(Recording(position, broken(rows) if position == 0 else rows, lambda: None))
        except OSError:
            continue
        found |= {one.position: one for one in made.finished()}
    made.flush()
    found |= {one.position: one for one in made.finished()}
    assert made.windows == 5
    for position, one in encoded(encoder, given[1:], 4).items():
        assert np.array_equal(found.pop(position).vector, one.vector)
    assert not found


def test_rows_of_another_shape_are_batches_of_their_own():
    """As of an audio-text network, whose longer recordings have more channels."""
    vectors, how = encoding.compiled(lambda scale, x, longer: scale * x.reshape(len(x), -1).sum(1)[:, None] + longer, 2)
    encoder = Encoder(10, LENGTH, None, lambda rows, count: vectors(jnp.float32(2), rows, count), how, {})
    made = Encoding(encoder, 2)
    for position, channels in enumerate((1, 4, 1, 1, 4)):
        row = (np.full((channels, 3), position + 1, np.float32), np.full(1, channels > 1, np.float32))
        made.take(Recording(position, iter([row]), lambda: None))
    made.flush()
    found = {one.position: one.vector.tolist() for one in made.finished()}
    assert found == {0: [6.0], 1: [49.0], 2: [18.0], 3: [24.0], 4: [121.0]}


def test_one_program_serves_all_batches():
    traced = []

    def function(variables, waves):
        traced.append(waves.shape)
        return waves[:, :1] * variables

    vectors, how = encoding.compiled(function, 4)
    for count in (4, 1, 3):
        out = np.asarray(vectors(jnp.float32(2), (np.ones((4, LENGTH), np.float32),), count))
        assert out[:count].tolist() == [[2.0]] * count
    assert how == "one by one" and jax.default_backend() == "cpu"
    assert traced == [(1, LENGTH)] * 2  # once for the shape, once in the loop


def test_the_beginning_of_a_recording_is_kept_and_all_of_it_read():
    read = []

    def blocks():
        for i in range(5):
            read.append(i)
            yield np.full(3, i, np.float32)

    assert encoding.beginning(blocks(), 7).tolist() == [0, 0, 0, 1, 1, 1, 2] and read == [0, 1, 2, 3, 4]
