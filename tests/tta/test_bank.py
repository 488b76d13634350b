"""The bank of a model's own sounds: distances against whole matrices, tightness by hand, its file."""

import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.tta import bank as banks


def clouds(seed=0, clips=240, features=6, classes=4):
    """Embeddings around class means, features of unequal size, and their labels."""
    random = np.random.default_rng(seed)
    labels = np.arange(clips) % classes
    means = 12 * random.standard_normal((classes, features))
    mix = random.standard_normal((features, features))
    return (means[labels] + random.standard_normal((clips, features))) @ mix, labels


def whole(x, labels, sounds):
    """The distance from the whole covariances, as it is published, a direction."""
    classes = np.unique(labels)
    means = np.stack([x[labels == k].mean(0) for k in classes])
    own = (x - means[labels]).T @ (x - means[labels]) / len(x)
    ridge = banks.RIDGE * np.trace(own) / len(own) * np.eye(len(own))
    everything = (x - x.mean(0)).T @ (x - x.mean(0)) / len(x)

    def square(apart, covariance):
        return np.einsum("nd,de,ne->n", apart, np.linalg.inv(covariance + ridge), apart)

    nearest = np.min([square(sounds - mean, own) for mean in means], 0)
    return (nearest - square(sounds - x.mean(0), everything)) / (len(classes) - 1)


def test_the_few_directions_give_the_distance_of_the_whole_matrices():
    x, labels = clouds()
    space = banks.fit(x, labels)
    assert space.projection.shape == (6, 3) and space.means.shape == (4, 3)
    sounds = np.concatenate([x[:5], 4 * np.random.default_rng(1).standard_normal((5, 6))])
    np.testing.assert_allclose(banks.far(space, sounds), whole(x, labels, sounds), rtol=2e-5, atol=2e-5)


def test_a_distance_is_worked_out():
    """Classes at -10 and 10, each of variance 1; all together have a variance of 101."""
    x = np.array([-11.0, -9.0, 9.0, 11.0])[:, None]
    space = banks.fit(x, np.array([0, 0, 1, 1]))
    far = banks.far(space, np.array([[10.0], [0.0], [13.0]]))
    # The ridge makes the variances 1.001 and 101.001.
    assert far == pytest.approx([-100 / 101.001, 100 / 1.001, 9 / 1.001 - 169 / 101.001], rel=1e-5)


def test_own_sounds_are_near_and_others_far():
    x, labels = clouds()
    space = banks.fit(x[:160], labels[:160])
    near, other = banks.far(space, x[160:]), banks.far(space, x[160:] + 30)
    assert abs(near.mean()) < 0.2 and other.min() > 100


def test_classes_that_were_not_heard_are_left_out():
    x, labels = clouds()
    kept = labels != 2
    assert banks.fit(x[kept], labels[kept]).means.shape == (3, 2)


def test_tightness_is_worked_out():
    x = np.array([[0.0], [2.0], [10.0], [12.0]])
    labels = np.array([0, 0, 1, 1])
    # 4 of 104 lie within the classes, adjusted by 3 / 2.
    assert banks.tightness(x, labels) == pytest.approx(1 - 4 / 104 * 3 / 2)
    assert banks.tightness(x, np.zeros(4, int)) == 0.0 and banks.tightness(np.ones((4, 1)), labels) == 0.0


def test_a_bank_is_a_small_file_beside_a_checkpoint(tmp_path):
    x, labels = clouds(clips=600, features=120, classes=60)
    bank = banks.Bank(banks.fit(x, labels), banks.fit(2 * x + 1, labels), 0.625)
    assert banks.read(tmp_path) is None and banks.writing(None) is None
    banks.writing(bank)(tmp_path)
    assert (tmp_path / "bank.npz").stat().st_size < 100_000
    found = banks.read(tmp_path)
    assert found.scrambled == 0.625 and found.running.projection.shape == (120, banks.DIRECTIONS)
    # Half precision has eleven bits: 0.0005 of a value, of means as of what is projected.
    np.testing.assert_allclose(banks.far(found.batch, 2 * x + 1), banks.far(bank.batch, 2 * x + 1), rtol=0.05, atol=0.3)
    (tmp_path / "bank.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(BadInput, match=r"bank\.npz: cannot be read .* experiments\.evaluate --bank writes"):
        banks.read(tmp_path)


def test_the_file_keeps_the_weights_of_what_is_expected(tmp_path):
    x, labels = clouds()
    bank = banks.Bank(banks.fit(x, labels), banks.fit(x, labels), 0.5, np.arange(18.0).reshape(2, 9))
    banks.writing(bank)(tmp_path)
    np.testing.assert_array_equal(banks.read(tmp_path).expected, bank.expected)
    banks.writing(bank._replace(expected=None))(tmp_path)
    assert banks.read(tmp_path).expected is None
    banks.writing(bank._replace(expected=np.ones((2, 8))))(tmp_path)
    with pytest.raises(BadInput, match=r"cannot be read \(ValueError: weights of the shape \(2, 8\)"):
        banks.read(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: 1e-6 * x,  # whose projection is beyond half precision
        lambda x: 5 + 1e-3 * x,  # a mean of many deviations
        lambda x: x * np.logspace(0, -7, x.shape[1]),  # features of unlike sizes
        lambda x: np.concatenate([x, x[:, :1] + 1e-4 * np.arange(len(x))[:, None] % 7], 1),  # nearly the same twice
    ],
)
def test_the_file_keeps_the_distances_of_any_scale(tmp_path, change):
    """Before, half precision made infinities, or means that it could not tell apart."""
    x, labels = clouds()
    bank = banks.Bank(banks.fit(change(x), labels), banks.fit(x, labels), 0.5)
    banks.writing(bank)(tmp_path)
    found, own = banks.read(tmp_path), banks.far(bank.running, change(x))
    assert np.isfinite(own).all() and not found.batch.exact
    assert abs(banks.far(found.running, change(x)) - own).mean() <= banks.LOST


def test_an_older_file_has_no_origin_and_no_scales(tmp_path):
    x, labels = clouds()
    space = banks.fit(x, labels)._asdict()
    space["means"], space["centre"] = (space[k] + space["origin"] @ space["projection"] for k in ("means", "centre"))
    arrays = {f"{s}.{k}": space[k] for s in ("running", "batch") for k in ("projection", "means", "centre", "spread")}
    np.savez_compressed(tmp_path / "bank.npz", **arrays, scrambled=0.5)
    np.testing.assert_allclose(
        banks.far(banks.read(tmp_path).running, x), banks.far(banks.fit(x, labels), x), atol=1e-3
    )


def test_every_damaged_file_is_one_sentence(tmp_path):
    """Before, a changed byte ended in zlib.error, NotImplementedError or EOFError."""
    x, labels = clouds()
    whole = banks.packed(banks.Bank(banks.fit(x, labels), banks.fit(x, labels), 0.5))
    path, random, refused = tmp_path / "bank.npz", np.random.default_rng(0), 0
    cut = [whole[: int(k)] for k in np.linspace(0, len(whole) - 1, 15)]
    changed = []
    for _ in range(150):
        changed.append(bytearray(whole))
        for k in random.integers(0, len(whole), 4):
            changed[-1][k] = random.integers(256)
    for content in (*cut, *changed):
        path.write_bytes(content)
        try:
            banks.read(tmp_path)
        except BadInput:
            refused += 1
    assert refused > 100
