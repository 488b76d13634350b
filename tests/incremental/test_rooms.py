"""What is forgotten was never learnt, what is added was learnt at once, what is joined was learnt together."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.incremental import joining, learners, rooms
from dhauds_jax.incremental.rooms import FREE
from tests.incremental.points import begun, clips, logits, taught

EXACT = {"rtol": 1e-6, "atol": 1e-6}  # float32 sums in another order


def test_a_forgotten_class_was_never_learnt_and_its_place_is_taken_by_the_next():
    learned = rooms.without(taught(taught(begun(), "abc"), "d"), "b")
    np.testing.assert_allclose(logits(learned), logits(taught(taught(begun(), "ac"), "d")), **EXACT)
    assert learned.classes == ("a", FREE, "c", "d") and learned.known == ("a", "c", "d")
    assert [clip.name for clip in learned.clips] == [f"{name}/{take}" for name in "acd" for take in range(3)]
    again = taught(learned, "e")
    assert again.classes == ("a", "e", "c", "d") and again.clips_of("e") == 3
    np.testing.assert_allclose(logits(again), logits(taught(begun(), "acde")), **EXACT)


def test_clips_that_are_added_might_have_been_learnt_at_once():
    at_once = taught(begun(), "abc", count=5)
    first, later = np.r_[0:3, 5:8, 10:13], np.r_[3:5, 8:10, 13:15]
    inputs, rows, _, made = clips("abc", 5)
    learned = begun()
    for some in (first, later):
        names, ones = [rows[k] for k in some], np.ones(len(some), np.float32)
        learned, said = rooms.taught(
            learned, inputs[some], names, ones, np.arange(len(some), dtype=np.int32), [made[k] for k in some]
        )
        assert said == ""
    np.testing.assert_allclose(logits(learned), logits(at_once), **EXACT)
    assert learned.sessions == 2 and learned.clips_of("b") == 5


def test_two_that_are_joined_have_learnt_together():
    first, other = taught(begun(), "abd"), taught(taught(begun(), "cb", seed=1), "e")
    learned, said = joining.joined(first, other)
    assert said == "" and learned.known == ("a", "b", "d", "c", "e") and learned.sessions == 3
    together = taught(taught(taught(begun(), "abd"), "cb", seed=1), "e")
    np.testing.assert_allclose(logits(learned), logits(together), **EXACT)
    np.testing.assert_allclose(logits(learned), logits(joining.joined(other, first)[0]), **EXACT)


def test_clips_that_two_have_in_common_count_once():
    first, other = taught(begun(), "ab"), taught(taught(begun(), "ab"), "c")
    learned, said = joining.joined(first, other)
    assert said.startswith("6 of the second's clips are the first's as well and count once")
    np.testing.assert_allclose(logits(learned), logits(other), **EXACT)


def test_projections_of_two_seeds_are_not_added_up():
    """Twenty random features in sums: the second's clips are learnt again by the first's."""
    options = {"M": "20", "lambda": "0.1"}
    first, other = (taught(begun("ranpac", options, seed=k), names) for k, names in ((0, "ab"), (1, "cd")))
    learned, said = joining.joined(first, other)
    assert said == "all was learnt again with the first's seed, 0"
    np.testing.assert_allclose(logits(learned), logits(taught(first, "cd")), **EXACT)


def test_sums_on_which_lambda_was_judged_apart_are_learnt_again():
    first, other = taught(begun("ridge"), "abd"), taught(begun("ridge"), "ce", seed=1)
    labels = np.arange(first.info.max_classes, dtype=np.int32)
    with pytest.raises(BadInput, match="keep sums of clips, on which lambda cannot be judged together, expected"):
        first.learner.merge(first.state, other.state, labels)
    np.testing.assert_allclose(logits(joining.joined(first, other)[0]), logits(taught(first, "ce", seed=1)), **EXACT)


def of_layer(learned, names):
    """With rows of a last layer, one a class, which have no samples."""
    inputs, rows, owner, _ = clips(names, 1, seed=4)
    nameless = [rooms.Clip(f"the last layer's row of {name}", "") for name in names]
    return rooms.taught(learned, inputs, rows, np.ones(len(rows), np.float32), owner, nameless)[0]


def test_rows_of_two_last_layers_are_one_where_class_and_row_are():
    learned, said = joining.joined(of_layer(begun(), "ab"), of_layer(begun(), "cd"))
    assert (said, learned.known, len(learned.rows.labels)) == ("", ("a", "b", "c", "d"), 4)
    learned, said = joining.joined(of_layer(begun(), "ab"), of_layer(begun(), "bc"))
    assert said.startswith("1 of the second's clips are the first's as well") and len(learned.rows.labels) == 3
    np.testing.assert_allclose(logits(learned), logits(of_layer(of_layer(begun(), "ab"), "c")), **EXACT)


def test_a_clip_of_two_classes_is_not_joined():
    first, other = taught(begun(), "ab"), taught(begun(), "cd")
    other = replace(other, clips=(rooms.Clip("c/again", first.clips[4].digest), *other.clips[1:]))
    with pytest.raises(BadInput, match="c/again of the second and b/1 of the first are the same recording in two cl"):
        joining.joined(first, other)


def test_no_key_serves_two_uses():
    given, learned = [], begun(memory=1)
    shown = lambda state, shots, key: given.append(key) or state  # noqa: E731
    learn = lambda state, shots, key: (shown(state, shots, key), {})  # noqa: E731
    learner = learned.learner._replace(learn=learn, remember=shown)
    taught(taught(replace(learned, learner=learner), "a"), "b")
    keys = [learned.key, *given]
    used = [jax.random.key_data(key).tolist() for key in keys]
    used += [jax.random.key_data(jax.random.fold_in(key, k)).tolist() for key in keys for k in range(4)]
    assert len(given) == 4 and len(set(map(tuple, used))) == 5 * 5


def test_a_full_room_is_left_for_one_twice_as_large():
    small = taught(begun(max_classes=2, max_rows=4, max_sessions=1), "a")
    inputs, rows, owner, made = clips("bcd", 2)
    learned, said = rooms.taught(small, inputs, rows, np.ones(6, np.float32), owner, made)
    assert said.startswith("the room was full: it is now for 4 classes, 2 sessions, 8 clips at once")
    assert learned.info[:3] == (4, 2, 8)
    large = taught(taught(begun(), "a"), "bcd", count=2)
    np.testing.assert_allclose(logits(learned), logits(large), **EXACT)
    joined, _ = joining.joined(learned, taught(begun(), "e"))
    np.testing.assert_allclose(logits(joined), logits(taught(large, "e")), **EXACT)


def test_sessions_that_were_forgotten_still_take_room():
    learned = taught(taught(begun(max_sessions=2), "a"), "b")
    learned = taught(rooms.without(learned, "b"), "c")
    assert learned.info.max_sessions == 4 and learned.known == ("a", "c")


@pytest.mark.parametrize(
    ("lacks", "what", "message"),
    [
        ("forget", lambda one: rooms.without(one, "a"), "learner prototype: cannot forget a class exactly, expected"),
        (
            "merge",
            lambda one: joining.joined(one, one),
            "learner prototype: two of it cannot be joined exactly, expected",
        ),
    ],
)
def test_what_is_not_exact_is_refused(lacks, what, message):
    learned = taught(begun(), "ab")
    object.__setattr__(learned, "learner", learned.learner._replace(**{lacks: None}))
    with pytest.raises(BadInput, match=message):
        what(learned)


def test_a_learner_that_keeps_tokens_has_room_for_fewer_classes():
    learner, tokens = learners.make("ede", None), (3, 8)
    learned = rooms.begun("ede", {}, "prototype", learner, {}, tokens, memory=1)
    assert learned.state.memory.tokens.shape == (rooms.EXEMPLAR_CLASSES, 1, *tokens)
    assert begun().info.max_classes == rooms.CLASSES > rooms.EXEMPLAR_CLASSES
