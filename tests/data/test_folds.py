"""Folds: no group in two, classes balanced, and nothing but ids, labels, folds and seed counts."""

import numpy as np
import pytest

from dhauds_jax.data.folds import group_folds
from dhauds_jax.errors import BadInput

PINNED = [1, 0, 2, 0, 2, 1, 2, 1, 0]


def group_of(clip):
    return clip.partition("/")[0]


def world(seed, groups=40, classes=6, clips=400):
    """Clips of random groups with lopsided classes: ids "group/number" and labels."""
    rng = np.random.default_rng(seed)
    owner = rng.integers(0, groups, clips)
    share = rng.dirichlet(np.ones(classes), groups)
    labels = np.array([rng.choice(classes, p=share[one]) for one in owner])
    return [f"g{one:03d}/{k}" for k, one in enumerate(owner)], labels


@pytest.mark.parametrize("seed", range(8))
def test_no_group_lies_in_two_folds_and_every_fold_has_clips(seed):
    ids, labels = world(seed, groups=5 + 7 * seed)
    fold = group_folds(ids, labels, 5, group=group_of)
    found = {}
    for clip, k in zip(ids, fold, strict=True):
        assert found.setdefault(group_of(clip), k) == k
    assert fold.dtype == np.int32 and set(fold.tolist()) == set(range(5))


@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_clips_changes_nothing(seed):
    ids, labels = world(seed)
    fold = dict(zip(ids, group_folds(ids, labels, 4, group=group_of, seed=seed), strict=True))
    for shuffle in range(3):
        order = np.random.default_rng(shuffle).permutation(len(ids))
        again = group_folds([ids[k] for k in order], labels[order], 4, group=group_of, seed=seed)
        assert [fold[ids[k]] for k in order] == again.tolist()
    # Classes that are numbered otherwise are the same classes.
    assert list(fold.values()) == group_folds(ids, 10 * labels + 3, 4, group=group_of, seed=seed).tolist()


def test_the_folds_are_these_on_every_machine():
    ids = [f"g{k % 9}/{k}" for k in range(36)]
    labels = np.arange(36) % 4
    fold = group_folds(ids, labels, 3, group=group_of)
    assert fold[:9].tolist() == PINNED
    assert group_folds(ids, labels, 3, group=group_of, seed=1)[:9].tolist() != PINNED


def test_classes_are_as_even_as_they_can_be_without_groups():
    rng = np.random.default_rng(0)
    labels = rng.choice(7, 503, p=[0.5, 0.2, 0.1, 0.1, 0.06, 0.03, 0.01])
    ids = [f"clip{k}" for k in range(503)]
    fold = group_folds(ids, labels, 5)
    counts = np.array([np.bincount(labels[fold == k], minlength=7) for k in range(5)])
    assert (np.ptp(counts, axis=0) <= 1).all()
    assert np.ptp(counts.sum(1)) <= 2


def test_groups_of_all_classes_give_folds_of_one_size():
    """Twenty homes with two clips of each class, as home_sounds: five folds of four homes."""
    ids = [f"h{home}/{label}_{take}" for home in range(20) for label in range(15) for take in range(2)]
    labels = np.array([int(clip.partition("/")[2].partition("_")[0]) for clip in ids])
    fold = group_folds(ids, labels, 5, group=group_of)
    counts = np.array([np.bincount(labels[fold == k], minlength=15) for k in range(5)])
    assert (counts == 8).all()
    other = group_folds(ids, labels, 5, group=group_of, seed=1)
    assert (other != fold).any() and (np.bincount(other) == 120).all()


def test_lopsided_groups_are_spread_better_than_by_chance():
    ids, labels = world(0, groups=60, clips=900)

    def off(fold):
        """How far the share of a class in a fold is from a fifth, at worst."""
        return max(abs(np.mean(fold[labels == c] == k) - 0.2) for c in range(6) for k in range(5))

    ours = off(group_folds(ids, labels, 5, group=group_of))
    names = sorted({group_of(clip) for clip in ids})
    chance = []
    for seed in range(50):
        drawn = dict(zip(names, np.random.default_rng(seed).integers(0, 5, len(names)), strict=True))
        chance.append(off(np.array([drawn[group_of(clip)] for clip in ids])))
    assert ours < 0.06 < min(chance), (ours, min(chance))


def test_as_many_groups_as_folds_give_one_each():
    ids = [f"g{k}/{n}" for k in range(4) for n in range(1 + 5 * k)]
    fold = group_folds(ids, np.zeros(len(ids), int), 4, group=group_of)
    assert (
        sorted(len({group_of(clip) for clip, k in zip(ids, fold, strict=True) if k == f}) for f in range(4)) == [1] * 4
    )


def test_what_cannot_be_folded_is_said():
    ids = ["a/1", "a/2", "b/1"]
    labels = np.array([0, 1, 0])
    with pytest.raises(
        BadInput,
        match=r"--folds=3: the 3 clips are of 2 groups \(the first: a\), expected at least as many groups as folds, "
        r"since a group lies in one; give --folds=2 or clips of more groups",
    ):
        group_folds(ids, labels, 3, group=group_of)
    assert sorted(group_folds(ids, labels, 3).tolist()) == [0, 1, 2]
    with pytest.raises(BadInput, match="--folds=1: expected a number of folds from 2"):
        group_folds(ids, labels, 1)
    with pytest.raises(BadInput, match="clip 'a/1' is there twice"):
        group_folds(["a/1", "a/1"], labels[:2], 2)
