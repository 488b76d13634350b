"""Every scorer against its equation in float64, names and options, and what is refused."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax import names
from dhauds_jax.errors import BadInput
from dhauds_jax.types import ScorerInfo
from dhauds_jax.zeroshot import scorers, scoring
from tests.zeroshot.tiny import CLASSES, CLIPS, SCALE, tiny, unit


def scores_of(name, options=None, prototypes="text", background=None, info=None):
    data = tiny()
    scorer = scorers.make(name, options)
    background, info = background or data.background, info or data.info
    return np.asarray(scoring.score(scorer, data.prototypes[prototypes], background, info, data.vectors)[1])


def doubles(prototypes="text"):
    """(vectors, prototypes, mean background) in float64."""
    data = tiny()
    return [np.asarray(x, np.float64) for x in (data.vectors, data.prototypes[prototypes], data.background.mean)]


@pytest.mark.parametrize("prototypes", ["text", "supervised", "head"])
def test_plain_subtract_and_centre(prototypes):
    a, p, e = doubles(prototypes)
    np.testing.assert_allclose(scores_of("plain", {}, prototypes), a @ p.T, atol=1e-6)
    expected = a @ p.T - 0.8 * (e @ p.T)
    np.testing.assert_allclose(scores_of("subtract", {"weight": "0.8"}, prototypes), expected, atol=1e-6)
    np.testing.assert_allclose(scores_of("centre", {}, prototypes), (a - a.mean(0)) @ p.T, atol=1e-6)


def test_subtracting_a_profile_is_moving_the_embedding():
    a, p, e = doubles()
    np.testing.assert_allclose(scores_of("subtract", {"weight": 0.5}), (a - 0.5 * e) @ p.T, atol=1e-6)
    moved = tiny().vectors - np.float32(0.5) * np.asarray(tiny().background.mean)
    scorer = scorers.make("plain")
    as_plain = scoring.score(scorer, tiny().prototypes["text"], None, tiny().info, moved)[1]
    np.testing.assert_allclose(as_plain, scores_of("subtract"), atol=1e-6)


def test_every_clip_has_its_own_background_row_in_one_step_or_in_many():
    data, (a, p, _) = tiny(), doubles()
    e = np.asarray(data.own.mean, np.float64)
    expected = a @ p.T - 0.5 * (e @ p.T)
    np.testing.assert_allclose(scores_of("subtract", background=data.own), expected, atol=1e-6)
    scorer = scorers.make("subtract")
    for batch in (1, 3, 8):
        found = scoring.score_online(scorer, data.prototypes["text"], data.own, data.info, data.vectors, batch)[1]
        np.testing.assert_allclose(found, expected, atol=1e-6)
    state = scorer.init(data.prototypes["text"], data.own, data.info)
    with pytest.raises(BadInput, match="a background for each clip, which is no one layer"):
        scorers.linear_head("subtract", scorer, state)


def test_a_running_mean_is_shrunk_towards_nothing():
    a, p, _ = doubles()
    scorer, data = scorers.make("centre", {"running": "true", "prior": 2}), tiny()
    state, found = scoring.score_online(scorer, data.prototypes["text"], None, data.info, data.vectors)
    means = np.cumsum(a, 0) / (np.arange(1, CLIPS + 1) + 2)[:, None]
    np.testing.assert_allclose(found, (a - means) @ p.T, atol=1e-6)
    assert float(state.clips) == CLIPS
    assert np.argmax(found[0]) == np.argmax(a[0] @ p.T)


def test_drift():
    a, p, _ = doubles("supervised")
    text, noisy = np.asarray(tiny().info.text, np.float64), np.asarray(tiny().info.noisy_text, np.float64)
    expected = a @ p.T + 0.7 * a @ unit((noisy - text).mean(0)).T
    np.testing.assert_allclose(scores_of("drift", {"bonus": 0.7}, "supervised"), expected, atol=1e-6)


def em(a, t, rounds=10, concentration=20.0):
    """The equation, clip by clip."""
    means = t
    for _ in range(rounds):
        power = np.exp(concentration * a @ means.T)
        r = power / power.sum(-1, keepdims=True)
        means = unit(t + sum(r[i][:, None] * a[i] for i in range(len(a))))
    return a @ means.T


def test_em_and_its_chains():
    a, p, e = doubles()
    np.testing.assert_allclose(scores_of("em"), em(a, p), atol=2e-6)
    np.testing.assert_allclose(scores_of("em", {"rounds": 2, "concentration": 5}), em(a, p, 2, 5.0), atol=2e-6)
    h = doubles("head")[1]
    np.testing.assert_allclose(scores_of("em", {}, "head"), em(a, unit(h)), atol=2e-6)
    chained = scores_of("chain:subtract+em", {"weight": 0.3, "em.rounds": 3})
    np.testing.assert_allclose(chained, em(unit(a - 0.3 * e), p, 3), atol=2e-6)


def test_treff():
    a, p, _ = doubles()
    shots, labels = (np.asarray(x, np.float64) for x in tiny().info.shots)
    votes = np.exp(-5.5 * (1 - a @ shots.T)) @ (labels[:, None] == np.arange(CLASSES))
    np.testing.assert_allclose(SCALE * scores_of("treff"), SCALE * a @ p.T + votes, atol=2e-5)


def tda(clips, p, scale, lower, upper):
    """The authors' dictionaries: class -> lists of (entropy, clip, votes), sorted and cut, at their defaults."""
    positive, negative, scores = {}, {}, []

    def join(cache, label, item, most):
        held = cache.setdefault(label, [])
        if len(held) < most:
            held.append(item)
        elif item[0] < held[-1][0]:
            held[-1] = item
        held.sort(key=lambda one: one[0])

    def votes(cache, a, alpha, beta):
        items = [item for held in cache.values() for item in held]
        return alpha * sum((np.exp(-beta * (1 - a @ f)) * v for _, f, v in items), np.zeros(len(p)))

    for a in clips:
        logits = scale * p @ a
        q = np.exp(logits - logits.max())
        q /= q.sum()
        entropy, label = -(q * np.log(q)).sum(), int(q.argmax())
        join(positive, label, (entropy, a, np.eye(len(p))[label]), 3)
        if lower < entropy / np.log2(len(p)) < upper:
            join(negative, label, (entropy, a, (q > 0.03).astype(float)), 2)
        scores.append(logits + votes(positive, a, 2.0, 5.0) - votes(negative, a, 0.117, 1.0))
    full = [any(len(held) == most for held in cache.values()) for cache, most in ((positive, 3), (negative, 2))]
    return np.array(scores) / scale, all(full)


def test_tda_is_its_lists_whatever_the_batch():
    a, p, _ = doubles()
    data, scorer = tiny(), scorers.make("tda", {"lower": 0.02, "upper": 0.4})
    wanted, full = tda(a, p, SCALE, 0.02, 0.4)
    assert full and np.abs(wanted - a @ p.T).max() > 0.05
    for batch in (1, 7):
        found = scoring.score_online(scorer, data.prototypes["text"], None, data.info, data.vectors, batch)[1]
        np.testing.assert_allclose(found, wanted, atol=2e-6)


def test_a_chain_of_linear_scorers_is_one_layer():
    a, p, e = doubles()
    moved = a - 0.25 * e
    expected = (moved - moved.mean(0)) @ p.T
    np.testing.assert_allclose(scores_of("chain:subtract+centre", {"weight": 0.25}), expected, atol=1e-6)


@pytest.mark.slow
def test_folds_have_their_own_prototypes_and_their_own_set():
    data = tiny()
    of_folds = jnp.stack([data.prototypes["text"], data.prototypes["supervised"], data.prototypes["text"]])
    for name, background in (("subtract", data.own), ("em", data.background)):
        scorer = scorers.make(name)
        found = scoring.score_folds(scorer, of_folds, background, data.info, data.vectors, data.folds)
        for fold in range(3):
            rows = data.folds == fold
            mine = background if background.mean.ndim == 1 else background._replace(mean=background.mean[rows])
            alone = scoring.score(scorer, of_folds[fold], mine, data.info, data.vectors[rows])[1]
            np.testing.assert_allclose(np.asarray(found)[rows], alone, atol=2e-6)


def test_what_a_record_says_that_a_scorer_uses():
    data = tiny()
    assert scorers.uses(scorers.make("chain:subtract+em"), data.background) == ("background", "set")
    quiet = data.background._replace(kind="quiet")
    assert scorers.uses(scorers.make("subtract"), quiet) == ("background", "set")
    assert scorers.uses(scorers.make("plain"), quiet) == ()
    assert scorers.uses(scorers.make("subtract"), data.own) == ("background", "own_background")
    assert scorers.uses(scorers.make("centre", {"running": True}), data.own) == ("past",)
    assert scorers.uses(scorers.make("treff"), None) == ("train_labels",)


def test_options_of_a_chain_go_to_whoever_has_them():
    assert scorers.resolve_options("chain:subtract+em", {"weight": "0.2", "em.rounds": "4"}) == {
        "subtract.weight": 0.2,
        "em.rounds": 4,
        "em.concentration": 20.0,
    }
    assert scorers.default_options("centre") == {"running": False, "prior": 8.0}
    assert scorers.members("chain:centre + em") == ("centre", "em")
    assert scorers.default_options("tests.zeroshot.foreign:sharper") == {"power": 3}


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("subtrct", {}, "unknown scorer 'subtrct': expected subtract"),
        ("chain:subtract", {}, "expected scorers with \\+ between"),
        ("chain:subtract+", {}, "expected scorers with \\+ between"),
        ("chain:em+subtract", {}, "em moves no embeddings and can only come last: expected plain, subtract, centre or"),
        ("chain:drift+em", {}, "drift moves no embeddings"),
        ("em", {"round": 3}, "scorer em has no option 'round': valid ones with their values are rounds=10"),
        ("em", {"rounds": "many"}, "option rounds is 'many', expected an int such as 10"),
        ("em", {"rounds": 0}, "option rounds=0: expected at least 1"),
        ("em", {"concentration": "nan"}, "option concentration=nan: expected a finite number"),
        ("centre", {"running": "maybe"}, "option running is 'maybe', expected a bool"),
        ("tests.zeroshot.foreign:NOT_A_FACTORY", {}, "is an int, expected a factory"),
        ("tests.zeroshot.foreign:nothing", {}, "its factory returned a str, expected a types.Scorer"),
        (
            "tests.zeroshot.foreign:of_a_text",
            {},
            r"its factory takes \(text\) and is called with \(\): missing a required argument: 'text'; expected",
        ),
    ],
)
def test_bad_names_and_options(name, options, sentence):
    with pytest.raises(BadInput, match=sentence):
        scorers.make(name, options)


def test_every_scorer_has_a_row_in_the_page():
    page = (Path(__file__).parents[3] / "docs" / "zeroshot.md").read_text(encoding="utf-8")
    for name in names.SCORERS:
        assert f"\n| `{name}` | `" in page, name


def test_what_is_missing_is_said():
    data, bare = tiny(), ScorerInfo(SCALE)
    for name, sentence in {
        "subtract": "needs a background, and this run has none",
        "drift": "needs text vectors of the classes and of each with noise phrases",
        "treff": "needs labelled clips, and this run has none",
    }.items():
        with pytest.raises(BadInput, match=sentence):
            scorers.make(name).init(data.prototypes["text"], None, bare)
    with pytest.raises(BadInput, match="the set is one clip: take scorer plain"):
        scoring.score(scorers.make("centre"), data.prototypes["text"], None, bare, data.vectors[:1])
    centre = scorers.make("centre")
    with pytest.raises(BadInput, match="has seen no clips yet"):
        scorers.linear_head("centre", centre, centre.init(data.prototypes["text"], None, bare))


def test_whitening_takes_the_mean_off_and_turns_loud_directions_down():
    a, p, _ = doubles()
    apart = a - a.mean(0)
    spread = apart.T @ apart / CLIPS
    values, axes = np.linalg.eigh(spread / (np.trace(spread) / spread.shape[0]) + 0.3 * np.eye(len(spread)))
    expected = apart @ (axes / np.sqrt(values)) @ axes.T @ p.T
    np.testing.assert_allclose(scores_of("whiten", {"ridge": 0.3}), expected, atol=3e-6)
    wide = scores_of("whiten", {"ridge": 1e6})  # so much that all directions are alike: centre, but for one factor
    np.testing.assert_allclose(1e3 * wide, apart @ p.T, atol=1e-5)


def test_whitening_is_a_linear_layer_after_the_set_and_no_offset_in_a_chain():
    data, scorer = tiny(), scorers.make("whiten")
    state, scores = scoring.score(scorer, data.prototypes["text"], None, data.info, data.vectors)
    head = scorers.linear_head("whiten", scorer, state, 20.0)
    np.testing.assert_allclose(data.vectors @ np.asarray(head.kernel) + np.asarray(head.bias), 20 * scores, atol=2e-5)
    with pytest.raises(BadInput, match="has seen no clips yet"):
        scorer.linear(scorer.init(data.prototypes["text"], None, data.info))
    assert scorers.make("chain:whiten+plain").linear is None
    assert scorers.make("chain:centre+whiten").linear is not None
