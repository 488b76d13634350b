"""Plans of sessions: what is drawn follows from the seed and the class alone, shots and tests stay apart."""

import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.incremental import sessions
from dhauds_jax.incremental.sessions import Clips

NAMES = ("ant", "bee", "cat", "dog", "eel", "fox", "gnu")
EACH = 8


def clips(names=NAMES, each=EACH, groups=None, held=None):
    """`each` clips a class, of the groups "0" to "3" in turn where groups are wanted."""
    labels = np.repeat(np.arange(len(names)), each)
    ids = tuple(f"{name}/{k}" for name in names for k in range(each))
    found = tuple(str(k % 4) for _ in names for k in range(each)) if groups else None
    return Clips(labels, tuple(names), ids, found, None if held is None else np.tile(held, len(names)))


def named(clips, plan):
    """Class -> ids of shots and of tests, and the order of classes."""
    found = {}
    for session in plan:
        for c in session.classes:
            of = [[clips.ids[k] for k in rows if clips.labels[k] == c] for rows in (session.shots, session.tests)]
            found[clips.classes[c]] = of
    return found


def test_sessions_take_the_classes_one_after_the_other():
    plan = sessions.plan(clips(), way=2, shot=3)
    assert [len(s.classes) for s in plan] == [2, 2, 2]  # as many as there are classes for
    assert all(len(s.shots) == 6 and len(s.tests) == 10 and len(s.pool) == 6 for s in plan)
    assert len({c for s in plan for c in s.classes}) == 6
    assert not any(set(s.shots) & set(s.tests) for s in plan)


def test_a_larger_base_session():
    plan = sessions.plan(clips(held=np.arange(8) >= 6), way=1, shot=2, sessions=3, base_way=4, base_shot="all")
    assert [len(s.classes) for s in plan] == [4, 1, 1]
    assert [len(s.shots) for s in plan] == [24, 2, 2]
    assert [len(s.tests) for s in plan] == [8, 2, 2]


def test_one_more_class_changes_no_other_draw():
    some = tuple(name for name in NAMES if name != "cat")
    few, many = (named(c, sessions.plan(c, way=1, shot=3, seed=5)) for c in (clips(some), clips()))
    assert [name for name in many if name != "cat"] == list(few)
    assert all(many[name] == few[name] for name in few)


def test_another_seed_draws_others_and_fewer_shots_are_among_more():
    one, other = (named(clips(), sessions.plan(clips(), way=1, shot=3, seed=seed)) for seed in (0, 1))
    assert list(one) != list(other)
    assert any(one[name] != other[name] for name in NAMES)
    five = named(clips(), sessions.plan(clips(), way=1, shot=5, seed=0))
    assert all(five[name][0][:3] == one[name][0] for name in NAMES)


def test_reference_takes_the_same_positions_of_every_class_in_the_listed_order():
    plan = sessions.plan(clips(), way=2, shot=5, profile="reference", seed=3)
    assert [c for s in plan for c in s.classes] == [0, 1, 2, 3, 4, 5]
    positions = {tuple(rows % EACH) for s in plan for rows in np.split(s.shots, 2)}
    assert len(positions) == 1
    assert positions != {tuple(sessions.plan(clips(), way=1, shot=5, profile="reference", seed=4)[0].shots % EACH)}


def test_tests_are_of_groups_that_gave_no_shot():
    made = clips(groups=True)
    for session in sessions.plan(made, way=1, shot=2, seed=1):
        groups = [{made.groups[k] for k in rows} for rows in (session.shots, session.tests)]
        assert not groups[0] & groups[1]
        assert len(session.tests) == 8 - 2 * len(groups[0])


def test_splits_that_share_speakers_are_counted():
    made = clips(groups=True, held=np.arange(8) >= 4)  # four speakers, each on both sides of each class
    plan = sessions.plan(made._replace(groups=None), way=2, shot=2)
    assert sessions.sharing(plan, made) == 6 * 2  # of six classes the second clips of two speakers
    assert sessions.sharing(sessions.plan(made, way=2, shot=2), made) == 0


def test_held_clips_only_test():
    held = np.arange(8) >= 5
    for session in sessions.plan(clips(held=held), way=2, shot=4):
        assert (session.shots % EACH < 5).all()
        assert (session.tests % EACH >= 5).all()
        assert len(session.tests) == 6
        assert (session.pool % EACH < 5).all()


@pytest.mark.parametrize("profile", ["reference", "corrected"])
@pytest.mark.parametrize("groups", [False, True])
def test_no_memory_may_choose_among_tests(profile, groups):
    """Where one split gives both, what the shots leave over tests: nothing that is learnt may be taken from it."""
    for session in sessions.plan(clips(groups=groups), way=2, shot=2, profile=profile):
        assert not set(session.pool) & set(session.tests)
        assert set(session.shots) <= set(session.pool)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"way": 3, "shot": 2, "sessions": 3}, "--sessions=3, --way=3, --base_way=3: need 9 classes, and there are 7"),
        ({"way": 9, "shot": 2}, "need 9 classes, and there are 7"),
        ({"way": 1, "shot": 9}, "class .*: has 8 clips to learn from, expected at least 9"),
        ({"way": 1, "shot": 8}, "class .*: has 8 clips and no clip left to be tested on, expected at least one"),
        ({"way": 1, "shot": 2, "base_shot": "all"}, "no clip left to be tested on"),
        ({"way": 0, "shot": 2}, "--way=0: expected at least 1"),
        ({"way": 1, "shot": 2, "order": "by size"}, "--order=by size: expected"),
        (
            {"way": 1, "shot": 2, "base_shot": "most"},
            "--base_shot=most: expected a number of clips, at least 1, or all",
        ),
    ],
)
def test_bad_input_is_one_sentence(asked, sentence):
    with pytest.raises(BadInput, match=sentence):
        sessions.plan(clips(), **asked)


def test_shots_of_every_speaker_leave_nobody_to_test():
    with pytest.raises(BadInput, match="no clip left to be tested on that is of another speaker or recording"):
        sessions.plan(clips(groups=True), way=1, shot=7)
