"""Laws and draws: their grammar, their distributions, and that only names decide them."""

import numpy as np
import pytest

from dhauds_jax.data.soundscapes import draws
from dhauds_jax.errors import BadInput

SHARES = (np.arange(4_000) + 0.5) / 4_000


def test_laws_are_read_from_their_texts():
    assert draws.law("snr", "const:6") == draws.Law("const", (6.0,))
    assert draws.law("snr", "uniform:-6,10").text == "uniform:-6,10"
    found = draws.law("onset", "truncnorm:3,1.5,0,6")
    assert found.numbers == (3.0, 1.5, 0.0, 6.0) and found.least == 0 and found.text == "truncnorm:3,1.5,0,6"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("6", r"--snr=6: expected const, uniform or truncnorm, written const:VALUE, uniform:MIN,MAX or trunc"),
        ("const", "--snr=const: expected const, uniform or truncnorm, written"),
        ("unifrom:6,10", "--snr=unifrom:6,10: expected const, uniform or truncnorm"),
        ("uniform:6", "--snr=uniform:6: '6' are not the numbers of uniform, expected uniform:MIN,MAX"),
        ("uniform:6,ten", "'6,ten' are not the numbers of uniform, expected uniform:MIN,MAX"),
        ("uniform:6,nan", "are not the numbers of uniform"),
        ("const:1,2", "'1,2' are not the numbers of const, expected const:VALUE"),
        ("truncnorm:3,1.5,0", "expected truncnorm:MEAN,STD,MIN,MAX"),
        ("uniform:10,6", "from 10 to 6, expected the smaller number first"),
        ("uniform:6,6", "from 6 to 6, expected the smaller number first"),
        ("truncnorm:3,0,0,6", "a standard deviation of 0, expected one above 0"),
        ("truncnorm:3,1.5,60,61", "nothing of the normal law is left there"),
    ],
)
def test_other_texts_get_one_sentence(text, message):
    with pytest.raises(BadInput, match=message) as caught:
        draws.law("snr", text)
    assert "\n" not in str(caught.value)


def test_quantiles_are_those_of_the_distributions():
    uniform = np.array([draws.law("snr", "uniform:6,10").at(share) for share in SHARES])
    np.testing.assert_allclose(uniform, 6 + 4 * SHARES, atol=1e-6)
    normal = np.array([draws.law("onset", "truncnorm:3,1.5,0,6").at(share) for share in SHARES])
    # N(3, 1.5) cut two deviations from its mean on both sides: deviation 1.5 sqrt(1 - 2 * 2 phi(2) / (2 Phi(2) - 1)).
    assert abs(normal.mean() - 3) < 1e-6 and abs(normal.std() - 1.5 * 0.8796256610) < 2e-3
    assert normal.min() >= 0 and normal.max() <= 6 and (np.diff(normal) > 0).all()
    assert {draws.law("snr", "const:-2.25").at(share) for share in (0.0, 0.5)} == {-2.25}


def test_a_share_depends_on_its_key_alone_and_is_pinned():
    assert draws.share(123, "urban_sound_8k", "fold1/7061-6-0-0.wav", 0, "snr") == 0.9992640198546799
    assert draws.share(123, "a", 0) != draws.share(124, "a", 0) != draws.share(124, "a", 1)
    found = np.array([draws.share(7, f"clip{row}", 0, "onset") for row in range(4_000)])
    assert found.min() >= 0 and found.max() < 1
    assert abs(found.mean() - 0.5) < 3 * 0.2887 / 4_000**0.5
    counts = np.histogram(found, 10, (0, 1))[0]
    assert np.square(counts - 400).sum() / 400 < 27.9, "chi square of 9 degrees at 0.1 %"


def test_an_order_has_every_number_once_and_each_first_equally_often():
    for count in (1, 2, 7, 100):
        assert sorted(draws.order(count, 5, "clip")) == list(range(count))
    assert list(draws.order(9, 5, "a")) != list(draws.order(9, 5, "b"))
    firsts = np.bincount([next(draws.order(5, seed, "clip")) for seed in range(2_000)], minlength=5)
    assert np.square(firsts - 400).sum() / 400 < 18.5, "chi square of 4 degrees at 0.1 %"


def test_numbers_drawn_again_repeat_themselves():
    tries = draws.again(3, 5, "clip")
    found = [next(tries) for _ in range(60)]
    assert set(found) == {0, 1, 2} and len(found) > len(set(found))
