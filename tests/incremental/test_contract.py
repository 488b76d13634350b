"""The contract table: every learner on embeddings alone and on tiny nets. A new learner is taken up by its name.

What a row may refuse and what it reads follow from what the learner says of itself (`types.Learner`): none is named.
"""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.incremental import learners
from dhauds_jax.incremental.as_classifier import as_classifier
from dhauds_jax.incremental.asked import Asked
from dhauds_jax.incremental.precision import compiled, over_seeds, seed_of
from dhauds_jax.nets.normalisers import EVAL
from dhauds_jax.types import LearnerInfo, Shots
from tests.incremental.learning import embeddings, leaves_equal, shots
from tests.tta import tiny

CLASSES, EACH, ROOM, SESSIONS = 6, 2, 5, 3
KEY = jax.random.key(11)
LABELS = np.arange(CLASSES).repeat(EACH).astype(np.int32)
BY_SESSION = [np.flatnonzero(session == LABELS // 2) for session in range(SESSIONS)]
CHEAP = {"epochs": 2, "base_epochs": 0, "batch": 8, "M": 40}
"""Options that make a learner small, for those that have them."""

NETS = {
    "embeddings": None,
    "linear": lambda: tiny.tiny_classifier("layer_norm"),
    "amaut_tiny": lambda: tiny.from_zoo("amaut_tiny", stages=[0]),
    "ssast_test": lambda: tiny.from_zoo("ssast_test"),
}
"""Nothing but vectors; a linear net without taps, for waves; two nets with all taps."""


def options_of(name):
    parameters = inspect.signature(learners.factory(name)).parameters
    return {key: value for key, value in CHEAP.items() if key in parameters}


@functools.cache
def made_of(name):
    """A learner without a net, or with one where it takes nothing less."""
    try:
        return learners.make(name, None, options_of(name))
    except (BadInput, AttributeError, TypeError):
        return learners.make(name, NETS["ssast_test"](), options_of(name))


def reads_of(name):
    return made_of(name).reads


def fits(name, net):
    """Whether a net has what the learner reads."""
    reads = reads_of(name)
    if net == "embeddings":
        return reads == "embedding"
    if net == "linear":
        return reads == "wave"
    return True


def marks(name, net):
    """Learners that read the same of a net share a worker, and so the reading; nets are slow."""
    slow = [] if net == "embeddings" else [pytest.mark.slow]
    return [pytest.mark.xdist_group(f"{reads_of(name)} of {net}"), *slow]


ROWS = pytest.mark.parametrize(
    ("name", "net"),
    [pytest.param(n, net, marks=marks(n, net)) for n in learners.LEARNERS for net in NETS if fits(n, net)],
    scope="module",  # so that pytest runs all tests of a row before those of the next
)


def waves(length):
    """Noisy tones, one pitch a class."""
    rng, t = np.random.default_rng(2), np.arange(length)
    tones = np.stack([np.sin(2 * np.pi * (3 + 5 * label) * t / 256) for label in LABELS])
    return (0.3 * tones + 0.05 * rng.normal(size=tones.shape)).astype(np.float32)


@functools.lru_cache(maxsize=len(NETS))
def read(reads, net):
    """(classifier, variables, what is read of all clips)."""
    if net == "embeddings":
        return None, {}, embeddings(CLASSES, EACH)[0]
    classifier, length = NETS[net](), tiny.length_of(net)
    variables, clips = tiny.variables_of(classifier, length), waves(length)
    if reads == "wave":
        return classifier, variables, clips
    tap = jax.jit(lambda v, w: classifier.tap(v, classifier.features(w), reads))
    return classifier, variables, np.asarray(tap(variables, clips))


class Row:
    """A learner on a net: compiled once for all tests of the row, tracings counted."""

    def __init__(self, name, net):
        self.classifier, self.variables, self.inputs = read(reads_of(name), net)
        self.traced = []
        self.plain = learners.make(name, self.classifier, options_of(name))
        counted = {f: self.counted(f) for f in ("learn", "predict")}
        self.learner = compiled(self.plain._replace(**counted))
        self.info = LearnerInfo(
            max_classes=CLASSES + 2,
            max_sessions=SESSIONS,
            max_rows=ROOM,
            shape=self.inputs.shape[1:],
            memory=EACH if self.plain.remember else 0,  # all: of two clips none is nearer to their mean
            clip_bytes=2 * 256,
        )
        self.exact = self.plain.merge is not None

    def counted(self, function):
        def run(*args):
            self.traced.append(function)
            return getattr(self.plain, function)(*args)

        return run

    def begun(self, key=KEY):
        return self.learner.init(self.variables, self.info, key)

    def shots(self, chosen, **more):
        return shots(self.inputs[chosen], LABELS[chosen], ROOM, first=int(chosen[0]), **more)

    def session(self, state, given, number, key=KEY):
        key = jax.random.fold_in(key, number)
        state, losses = self.learner.learn(state, given, key)
        assert all(np.ndim(value) == 0 for value in losses.values())
        return self.learner.remember(state, given, key) if self.learner.remember else state

    def taught(self, sessions=BY_SESSION, state=None, first=0, **more):
        state = self.begun() if state is None else state
        for number, chosen in enumerate(sessions[first:], first):
            state = self.session(state, self.shots(np.asarray(chosen), **more), number)
        return state

    def logits(self, state):
        return {head: np.asarray(found) for head, found in self.learner.predict(state, self.inputs).items()}

    def close(self, a, b, tolerance=1e-6):
        """Logits of two states are the same, relative to the largest, and so are the classes that are known."""
        for head, one in self.logits(a).items():
            other = self.logits(b)[head]
            np.testing.assert_array_equal(np.isneginf(one), np.isneginf(other))
            finite = np.isfinite(one)
            scale = max(1.0, np.abs(one[finite]).max())
            np.testing.assert_allclose(one[finite], other[finite], rtol=0, atol=tolerance * scale)


@functools.lru_cache(maxsize=1)
def row(name, net):
    return Row(name, net)


@functools.lru_cache(maxsize=1)
def ended(name, net):
    return row(name, net).taught()


@ROWS
def test_sessions_repeat_and_resume_to_the_same_bits(name, net):
    of = row(name, net)
    whole = ended(name, net)
    halfway = jax.tree.map(np.asarray, of.taught(BY_SESSION[:1]))  # as a saved state comes back
    assert leaves_equal(whole, of.taught(state=halfway, first=1))
    assert int(whole.session) == SESSIONS and whole.session.dtype == jnp.int32
    assert of.learner.bytes_held(whole) >= of.learner.bytes_held(of.taught(BY_SESSION[:1])) > 0


@ROWS
def test_shapes_stay_and_programs_are_compiled_once(name, net):
    of = row(name, net)
    first, last = of.begun(), ended(name, net)
    assert jax.tree.map(lambda leaf: (jnp.shape(leaf), leaf.dtype), first) == jax.tree.map(
        lambda leaf: (jnp.shape(leaf), leaf.dtype), last
    )
    of.traced.clear()
    of.taught()
    of.logits(last)
    of.logits(of.taught(BY_SESSION[:1]))
    assert len(of.traced) <= 1  # predict, where nobody has asked before


@ROWS
def test_classes_not_learnt_never_win_and_rows_are_predicted_by_themselves(name, net):
    of = row(name, net)
    state = of.taught(BY_SESSION[:2])
    np.testing.assert_array_equal(state.seen, [1, 1, 1, 1, 0, 0, 0, 0])
    logits = of.logits(state)
    assert tuple(logits) == of.plain.heads or set(logits) == set(of.plain.heads)
    alone = of.learner.predict(state, of.inputs[3:4])
    for head, found in logits.items():
        assert found.shape == (len(LABELS), CLASSES + 2)
        assert np.isneginf(found[:, 4:]).all() and np.isfinite(found[:, :4]).all()
        scale = max(1.0, np.abs(found[:, :4]).max())
        np.testing.assert_allclose(alone[head][0, :4], found[3, :4], rtol=0, atol=1e-6 * scale)


@ROWS
def test_padding_and_order_of_rows_change_nothing(name, net):
    of = row(name, net)
    state = ended(name, net)
    of.close(state, of.taught(junk=-7.0), tolerance=0 if of.plain.reads == "wave" else 1e-6)
    turned = of.begun()
    for number, chosen in enumerate(BY_SESSION):
        given = of.shots(chosen)
        order = np.array([4, 2, 3, 0, 1])  # the free place first
        turned = of.session(turned, Shots(*(leaf[order] for leaf in given)), number)
    of.close(state, turned)


@pytest.mark.slow
@ROWS
def test_seeds_side_by_side_are_seeds_one_by_one(name, net):
    of = row(name, net)
    many = compiled(over_seeds(of.plain))
    keys = jax.random.split(KEY, 2)
    states = many.init(of.variables, of.info, keys)
    given = [[of.shots(chosen) for chosen in BY_SESSION], [of.shots(chosen) for chosen in BY_SESSION[::-1]]]
    for number in range(2):
        both = jax.tree.map(lambda *leaves: jnp.stack(leaves), given[0][number], given[1][number])
        folded = jnp.stack([jax.random.fold_in(key, number) for key in keys])
        states, _ = many.learn(states, both, folded)
        states = states if many.remember is None else many.remember(states, both, folded)
    for seed, key in enumerate(keys):
        alone = of.begun(key)
        for number in range(2):
            alone = of.session(alone, given[seed][number], number, key)
        # A bias before BatchNorm has no gradient but rounding, which Adam makes whole steps of, in any direction.
        stepped = of.plain.reads == "wave" and jax.tree.leaves(of.variables["batch_stats"])
        of.close(alone, seed_of(states, seed), tolerance=5e-3 if stepped else 1e-5)


@ROWS
def test_more_clips_of_a_class_later_are_as_good_as_at_once(name, net):
    of = row(name, net)
    if not of.exact:
        return
    first, later = BY_SESSION[0][::2], BY_SESSION[0][1::2]
    of.close(of.taught([BY_SESSION[0]]), of.taught([first, later]))


@ROWS
def test_a_class_that_is_forgotten_was_never_learnt(name, net):
    of = row(name, net)
    if of.learner.forget is None:
        return
    without = [chosen[LABELS[chosen] != 1] for chosen in BY_SESSION]
    wanted = of.taught(without)
    forgotten = of.learner.forget(ended(name, net), jnp.int32(1))
    of.close(wanted, forgotten)
    assert of.learner.bytes_held(wanted) == of.learner.bytes_held(forgotten)


@ROWS
def test_two_learners_are_joined_as_if_one_had_learnt_all(name, net):
    """The second calls classes 1, 4 and 5 its 0, 2 and 1; class 1 both know."""
    of = row(name, net)
    if of.learner.merge is None:
        return
    mine = [BY_SESSION[0][:3], BY_SESSION[1]]
    theirs = np.append(BY_SESSION[0][3:], BY_SESSION[2])
    called = {1: 0, 4: 2, 5: 1}
    given = of.shots(theirs)
    numbers = jnp.asarray([called.get(int(label), 0) for label in np.asarray(given.labels)], jnp.int32)
    other = of.session(of.begun(), given._replace(labels=numbers), 2)
    labels = jnp.asarray([1, 5, 4, 3, 2, 0, 6, 7], jnp.int32)
    joined = of.learner.merge(of.taught(mine), other, labels)
    of.close(of.taught([*mine, theirs]), joined)
    assert int(joined.session) == SESSIONS


@pytest.mark.slow
@ROWS
def test_left_out_logits_know_what_is_left(name, net):
    """A class's only shot leaves no class behind; of others every class is known."""
    of = row(name, net)
    if of.learner.held_out is None:
        return
    chosen = BY_SESSION[0][:3]
    state = of.taught([chosen])
    found = of.learner.held_out(state, of.shots(chosen))
    assert set(found) <= set(of.plain.heads)
    for logits in found.values():
        known = ~np.isneginf(np.asarray(logits)[:3])
        np.testing.assert_array_equal(known[:, :2], [[True, True], [True, True], [True, False]])
        assert not known[:, 2:].any() and np.isfinite(np.asarray(logits)[:3][known]).all()


@ROWS
def test_a_head_on_waves_says_what_the_learner_says(name, net):
    of = row(name, net)
    if of.plain.as_head is None or of.classifier is None or of.classifier.tap is None:
        return
    state = ended(name, net)
    classes = {f"c{place}": place for place in (3, 0, 5)}
    clips = waves(of.classifier.config.length)
    for head in of.plain.heads:
        made, variables = as_classifier(of.classifier, of.variables, of.learner, state, head, classes)
        said = np.asarray(jax.jit(lambda v, w, made=made: made.apply(v, w, mode=EVAL)[0].logits)(variables, clips))
        wanted = of.logits(state)[head][:, [3, 0, 5]]
        np.testing.assert_allclose(said, wanted, rtol=0, atol=1e-5 * max(1.0, np.abs(wanted).max()))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in learners.LEARNERS if made_of(name).remember is not None])
def test_memories_of_none_and_of_two_clips(name):
    """Of three clips of a class two are kept, both of another; what is kept is learnt again, and nothing of nothing."""
    of = row(name, next(net for net in NETS if fits(name, net)))
    clip = 2 * of.inputs.shape[1] if of.plain.reads == "wave" else 2 * 256
    first = shots(of.inputs[:5], np.array([0, 0, 0, 1, 1], np.int32), ROOM, first=0)
    later, held, said = of.shots(BY_SESSION[2]), [], []
    for memory in (0, 2):
        info = of.info._replace(memory=memory, clip_bytes=clip)
        state, _ = of.learner.learn(of.learner.init(of.variables, info, KEY), first, KEY)
        kept = of.learner.remember(state, first, KEY)
        assert memory or leaves_equal(state, kept)
        held.append(of.learner.bytes_held(kept))
        state, _ = of.learner.learn(kept, later, jax.random.fold_in(KEY, 1))
        np.testing.assert_array_equal(state.seen, [1, 1, 0, 0, 1, 1, 0, 0])
        said.append(np.concatenate([found[:, [0, 1, 4, 5]] for found in of.logits(state).values()]))
    assert held[1] - held[0] == 4 * clip
    assert np.isfinite(said).all() and np.abs(said[0] - said[1]).max() > 1e-4


def varied(name, options, width):
    """A learner of other options on narrower vectors, which leave no room for rows: sums are kept."""
    of = Row.__new__(Row)
    of.classifier, of.variables, of.inputs = None, {}, embeddings(CLASSES, EACH, width)[0]
    of.plain = learners.make(name, None, options)
    of.learner, of.traced, of.exact = compiled(of.plain), [], of.plain.merge is not None
    of.info = LearnerInfo(max_classes=CLASSES + 2, max_sessions=SESSIONS, max_rows=ROOM, shape=(width,))
    return of


@pytest.mark.parametrize(
    ("name", "options", "tolerance"),
    [
        ("ridge", {"lambda": "loo"}, 1e-6),
        ("ridge", {"lambda": "0.5"}, 1e-6),
        ("ridge", {"lambda": "last_fifth"}, 1e-3),  # a float32 solve of sums in another order
        ("ranpac", {"M": "8", "lambda": "last_fifth"}, 1e-3),
    ],
)
def test_sums_of_clips_know_no_order_and_are_joined_or_refused(name, options, tolerance):
    of = varied(name, options, 8)
    state, turned = of.taught(), of.begun()
    for number, chosen in enumerate(BY_SESSION):
        given = of.shots(chosen, junk=-7.0)
        turned = of.session(turned, Shots(*(leaf[np.array([4, 2, 3, 0, 1])] for leaf in given)), number)
    assert float(state.params.penalty) == pytest.approx(float(turned.params.penalty), rel=1e-9)
    of.close(state, turned, tolerance)
    other = of.session(of.begun(), of.shots(BY_SESSION[2]), 2)
    labels, halfway = jnp.arange(CLASSES + 2), of.taught(BY_SESSION[:2])
    if options["lambda"] == "loo":
        with pytest.raises(BadInput, match="keep sums of clips, on which lambda cannot be judged together"):
            of.learner.merge(halfway, other, labels)
        return
    of.close(state, of.learner.merge(halfway, other, labels), tolerance)


@ROWS
def test_clips_that_are_asked_again_and_again_are_predicted_alike(name, net):
    """What stays of a prediction is made once: of learners whose predictions have parts, each part of a clip."""
    of, state, seen = row(name, net), None, []
    asked = Asked(of.learner, len(LABELS), SESSIONS, 7)

    def take(places):
        seen.extend(places.tolist())
        return of.inputs[places]

    for number in range(SESSIONS):
        state = of.taught(BY_SESSION[: number + 1], state=state, first=number)
        count = None if number else 5
        found, whole = asked.logits(state, take, of.plain.heads, count), of.logits(state)
        for head, said in found.items():
            expected = whole[head][:count]
            np.testing.assert_array_equal(np.isneginf(said), np.isneginf(expected))
            finite = np.isfinite(expected)
            scale = max(1.0, np.abs(expected[finite]).max())
            np.testing.assert_allclose(said[finite], expected[finite], rtol=0, atol=1e-6 * scale)
    if of.plain.part is None:
        return
    before = len(seen)
    asked.logits(state, take, of.plain.heads)
    assert len(seen) == before  # nothing is read for what is there
