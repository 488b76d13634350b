"""CoNMix: its refinement against the golden, its labels, losses and a whole epoch against plain numpy, its options."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.nets import mel_image, zoo
from dhauds_jax.tta import methods, protocols
from dhauds_jax.tta.evaluation import own
from dhauds_jax.tta.methods.conmix import Observed
from dhauds_jax.tta.methods.conmix_labels import Rates, conmix_losses, refined_labels, soft_labels
from dhauds_jax.tta.methods.conmix_views import strong_features
from dhauds_jax.tta.options import able
from dhauds_jax.types import Batch, Classifier, Outputs, RunInfo
from tests.paths import golden, largest_error
from tests.tta import tiny

CLIPS, CLASSES, LENGTH, WIDTH = 20, 4, 32, 5
RNG = np.random.default_rng(7)
WAVES = RNG.normal(size=(CLIPS, LENGTH)).astype(np.float32)
MIX = RNG.normal(size=(LENGTH, WIDTH)).astype(np.float32) / 4
PARAMS = {
    "encoder": {"scale": np.ones(WIDTH)},
    "head": {"kernel": RNG.normal(size=(WIDTH, CLASSES)), "bias": np.zeros(CLASSES)},
}
PARAMS = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), PARAMS)
REFINED = jax.jit(refined_labels, static_argnames=("alpha", "alpha_term"))
OPTIONS = {"lr": 0.05, "semitones": 0, "group": "all"}


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def linear_classifier():
    """embedding = scale * (wave @ MIX), logits = embedding @ kernel + bias: a whole epoch fits into a few lines."""

    def apply(variables, wave, *, mode, weights=None, rngs=None, axis_name=None):
        p = variables["params"]
        embedding = wave @ MIX * p["encoder"]["scale"][None]
        return Outputs(embedding @ p["head"]["kernel"] + p["head"]["bias"][None], embedding, embedding[:, None]), {}

    config = zoo.preset("amaut_tiny", list("abcd")).replace(length=LENGTH)
    return Classifier(None, apply, lambda w: w, apply, None, config)


def numpy_soft(logits, embedding, rounds=2):
    """Soft labels and labels, class by class."""
    f = np.concatenate([embedding, np.ones((len(embedding), 1))], 1)
    f /= np.linalg.norm(f, axis=1, keepdims=True)
    share = softmax(logits)
    for _ in range(rounds):
        centroids = [(share[:, [k]] * f).sum(0) / (1e-8 + share[:, k].sum()) for k in range(logits.shape[1])]
        scores = np.exp(f @ np.array(centroids).T)
        share = np.eye(logits.shape[1])[scores.argmax(1)]
    return softmax(scores), scores.argmax(1)


def numpy_refined(before, now, soft, alpha):
    classes = soft.shape[1]
    consensus = np.array(
        [
            [np.sum((before == i) & (now == j)) / (np.sum((before == i) | (now == j)) + 1e-8) for j in range(classes)]
            for i in range(classes)
        ]
    )
    return softmax(alpha * now[:, None] + (1 - alpha) * soft @ softmax(consensus))


def numpy_terms(weak, strong, soft, mean, rates):
    """(cls, nucnm, const) of a batch without padding."""
    p, q = softmax(weak), softmax(strong)
    log_p = np.log(softmax(p) if rates.cls_mode == "soft_ce" else p)
    target = np.eye(p.shape[1])[soft.argmax(1)] if rates.cls_mode == "logsoft_nll" else soft
    columns = np.sort(np.linalg.norm(np.concatenate([p, q]), axis=0))[::-1]
    aim = p * mean / p.mean(0)
    aim /= np.linalg.norm(aim, axis=1, keepdims=True)
    return np.array(
        [
            rates.cls * -(target * log_p).sum(1).mean(),
            rates.nucnm * -columns[: min(2 * len(p), p.shape[1])].mean(),
            rates.const * -(aim * np.log(q + 1e-5)).sum(1).mean(),
        ]
    )


def test_the_refinement_equals_the_golden():
    g = golden("conmix_plr")
    found = REFINED(*(jnp.asarray(g[name]) for name in ("prev", "cur", "soft")), alpha=0.9)
    assert largest_error(found, g["refined"]) < 1e-6
    assert largest_error(found, numpy_refined(g["prev"], g["cur"], g["soft"].astype(np.float64), 0.9)) < 1e-6


def test_alpha_is_blind_to_the_label_or_its_weight():
    """The label's number drops out of the softmax (quirk 38); its one-hot does not."""
    g = golden("conmix_plr")
    before, now, soft = (g[name] for name in ("prev", "cur", "soft"))
    index = REFINED(before, now, soft, alpha=0.9)
    np.testing.assert_allclose(index, REFINED(before, now, np.float32(0.1) * soft, alpha=0.0), atol=1e-6)
    one_hot = REFINED(before, now, soft, alpha=1.0, alpha_term="one_hot")
    np.testing.assert_array_equal(np.asarray(one_hot).argmax(-1), g["cur"])
    assert np.any(np.asarray(index).argmax(-1) != g["cur"])
    np.testing.assert_allclose(REFINED(before, now, soft, alpha=1.0), 1 / 6, atol=1e-6)


def test_a_class_that_had_no_clips_has_a_uniform_row():
    soft = np.eye(3, dtype=np.float32)[[2, 0]]  # class 2 had none (quirk 39)
    refined = REFINED(np.array([0, 1]), np.array([0, 1]), soft, alpha=0.0)
    np.testing.assert_allclose(np.asarray(refined)[0], np.full(3, 1 / 3), atol=1e-6)


@pytest.mark.parametrize("rounds", [0, 1])
def test_soft_labels_equal_numpy(rounds):
    logits, embedding = RNG.normal(size=(12, 4)), RNG.normal(size=(12, 6))
    label = jax.jit(soft_labels, static_argnames="initc_num")
    found = label(logits.astype(np.float32), embedding.astype(np.float32), initc_num=rounds)
    soft, labels = numpy_soft(logits, embedding, 1 + rounds)
    np.testing.assert_allclose(found, soft, atol=1e-6)
    np.testing.assert_array_equal(np.asarray(found).argmax(1), labels)


@pytest.mark.parametrize("mode", ["logsoft_nll", "logsoft_ce", "soft_ce"])
@pytest.mark.parametrize("rows", [2, 7])
def test_losses_equal_numpy_with_padded_rows_left_out(mode, rows):
    """Two rows make four of both views, fewer than the five classes."""
    weak, strong = RNG.normal(size=(2, rows, 5))
    soft, mean, rates = softmax(RNG.normal(size=(rows, 5))), softmax(RNG.normal(size=5)), Rates(0.7, 3.0, 0.4, mode)
    wanted = numpy_terms(weak, strong, soft, mean, rates)
    padded = [np.concatenate([a, np.full((1, 5), 0.3)]) for a in (weak, strong, soft)]
    weights = jnp.asarray([1.0] * rows + [0.0])
    given = [a.astype(np.float32) for a in (*padded, mean)]
    losses = jax.jit(conmix_losses, static_argnums=4)
    found = losses(*given, rates, weights)
    np.testing.assert_allclose([found[name] for name in ("cls", "nucnm", "const")], wanted, rtol=2e-5)
    np.testing.assert_allclose(found["total"], wanted.sum(), rtol=2e-5)
    off = losses(*given, Rates(0, 0, 0, mode), weights)
    assert [float(v) for v in off.values()] == [0.0] * 4


def flat(params):
    return np.concatenate([np.ravel(x) for x in jax.tree.leaves(params)]).astype(np.float64)


def numpy_forward(theta, waves):
    """(logits, embedding) of the linear classifier, its parameters in the order of the tree's leaves."""
    scale, bias, kernel = np.split(theta, [WIDTH, WIDTH + CLASSES])
    embedding = waves.astype(np.float64) @ MIX.astype(np.float64) * scale
    return embedding @ kernel.reshape(WIDTH, CLASSES) + bias, embedding


def numpy_gradient(theta, weak, strong, soft, mean, rates):
    """(the three losses, gradient of their sum by differences): no gradient flows through the weak view's aim."""
    fixed = numpy_forward(theta, weak)[0]

    def terms(t):
        hard = numpy_forward(t, strong)[0]
        moving = numpy_terms(numpy_forward(t, weak)[0], hard, soft, mean, rates)
        return np.array([*moving[:2], numpy_terms(fixed, hard, soft, mean, rates)[2]])

    steps = 1e-5 * np.eye(len(theta))
    return terms(theta), np.array([(terms(theta + d) - terms(theta - d)).sum() / 2e-5 for d in steps])


@pytest.mark.slow
def test_two_epochs_equal_numpy():
    """Labels before each epoch, the three losses of every batch, and SGD at the rates of the schedule."""
    method = methods.make("conmix", linear_classifier(), methods.resolve_options("conmix", "reference", OPTIONS))
    state = own(method.init({"params": PARAMS, "batch_stats": {}}, RunInfo(3, CLIPS, CLASSES, batch_size=8)))
    run, rates = protocols.compiled(method), Rates(0.2, 6.0, 0.2, "logsoft_nll")
    theta, buffer, before = flat(PARAMS), 0.0, None
    lr = 0.05 * np.concatenate([np.full(WIDTH, 0.1), np.ones(CLASSES * (WIDTH + 1))])
    key, view = jax.random.key(0), strong_features(linear_classifier(), 0, 0.25)
    batches = [(np.arange(8), 8), (np.arange(8, 16), 8), (np.array([16, 17, 18, 19, 16, 16, 16, 16]), 4)]
    for epoch in range(2):
        seen = jax.tree.map(jnp.asarray, protocols.evaluate(run.observe, state, WAVES, 8))
        state = method.begin_epoch(state, seen, jax.random.key(epoch))
        logits, embedding = numpy_forward(theta, WAVES)
        soft, labels = numpy_soft(logits, embedding)
        soft = numpy_refined(before, labels, soft, 0.9) if epoch else soft
        before, mean = soft.argmax(1), softmax(logits).mean(0)
        np.testing.assert_allclose(state.memory.soft, soft, atol=2e-6)
        np.testing.assert_array_equal(state.memory.previous, before)
        np.testing.assert_allclose(state.memory.mean, mean, atol=1e-5)
        for rows, real in batches:
            weights = jnp.asarray([1.0] * real + [0.0] * (8 - real))
            batch = Batch(jnp.asarray(WAVES[rows]), weights, jnp.asarray(rows, jnp.int32))
            strong = np.asarray(view(key, key, batch))[:real]  # the rolls of the first epoch's key, in both epochs
            rows = rows[:real]
            wanted, gradient = numpy_gradient(theta, WAVES[rows], strong, soft[rows], mean, rates)
            logits = numpy_forward(theta, WAVES[rows])[0]
            if epoch:
                gradient = gradient + 1e-3 * theta
                buffer = 0.9 * buffer + gradient
            theta = theta - lr * ((1 + 30 / 50) ** -0.75 * buffer if epoch else gradient)
            state, prediction = run.step(state, batch, jax.random.key(1))
            found = [prediction.losses[name] for name in ("cls", "nucnm", "const")]
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(prediction.logits[:real], logits, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(flat(state.variables["params"]), theta, atol=2e-5)


@pytest.mark.slow
def test_two_epochs_on_a_net_with_batch_norm_and_dropout_give_the_pinned_numbers():
    """Everything at once: raised and rolled clips, running statistics, dropout, refined labels, a partial batch."""
    classifier = tiny.NETS["batch_norm"]()
    method = methods.make("conmix", classifier, methods.resolve_options("conmix", "reference", {"lr": 0.05}))
    state = method.init(tiny.variables_of(classifier, tiny.LENGTH), RunInfo(3, tiny.CLIPS, tiny.CLASSES, batch_size=8))
    given = {"epochs": 2, "batch_size": 8, "key": jax.random.key(3)}
    *_, last = protocols.offline(protocols.compiled(method), state, tiny.waves(), **given)
    losses = {"cls": 0.2612449775, "const": 0.5489958525, "nucnm": -5.7772175471, "total": -4.9669768016}
    assert last.losses == pytest.approx(losses, rel=1e-5)
    np.testing.assert_allclose(last.logits[5], [-0.06035782, -0.01990409, -0.01170141, 0.2338348], atol=1e-5)
    assert np.abs(last.logits).sum() == pytest.approx(7.4345126, rel=1e-4)
    moved = sum(float(jnp.abs(leaf).sum()) for leaf in jax.tree.leaves(last.state.variables))
    assert moved == pytest.approx(61.0191727, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("options", "epochs"), [({"early_stop": 1}, 2), ({"early_stop": 1, "stops_late": False}, 1)])
def test_it_stops_where_early_stop_says_or_one_epoch_later(options, epochs):
    options = {**OPTIONS, **options}
    method = methods.make("conmix", linear_classifier(), methods.resolve_options("conmix", "reference", options))
    state = method.init({"params": PARAMS, "batch_stats": {}}, RunInfo(2, CLIPS, CLASSES, batch_size=10))
    step, batch = jax.jit(method.step), Batch(jnp.asarray(WAVES[:10]), jnp.ones(10), jnp.arange(10, dtype=jnp.int32))
    for _ in range(2 * epochs):
        before, (state, _) = state, step(state, batch, jax.random.key(0))
        assert not np.array_equal(flat(before.variables["params"]), flat(state.variables["params"]))
    stopped, prediction = step(state, batch, jax.random.key(0))
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(stopped), jax.tree.leaves(state), strict=True))
    assert np.isfinite(float(prediction.losses["total"]))


def test_a_partial_batch_changes_nothing_where_it_is_dropped():
    options = methods.resolve_options("conmix", "reference", {**OPTIONS, "drop_last": True})
    method = methods.make("conmix", linear_classifier(), options)
    state = method.init({"params": PARAMS, "batch_stats": {}}, RunInfo(3, CLIPS, CLASSES, batch_size=8))
    assert int(state.opt_state.steps_per_epoch) == 2
    weights = jnp.asarray([1.0] * 7 + [0.0])
    batch = Batch(jnp.asarray(WAVES[:8]), weights, jnp.arange(8, dtype=jnp.int32))
    after, _ = jax.jit(method.step)(state, batch, jax.random.key(0))
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(after), jax.tree.leaves(state), strict=True))


def test_profiles_set_the_quirks():
    reference, corrected = (methods.default_options("conmix", name) for name in ("reference", "corrected"))
    assert {k: (reference[k], corrected[k]) for k in reference if reference[k] != corrected[k]} == {
        "alpha_term": ("index", "one_hot"),
        "stops_late": (True, False),
        "input_statistics": ("evaluated_set", "checkpoint"),
        "first_epoch_plain": (True, False),
        "nesterov": (False, True),
    }
    for option in ("cls_mode", "alpha_term", "input_statistics"):
        with pytest.raises(ValueError, match=f"unknown {option} of method conmix 'x': expected"):
            methods.make("conmix", linear_classifier(), {**reference, option: "x"})
    with pytest.raises(BadInput, match=r"^conmix: initc_num is -1, expected 0 or more rounds of centroids$"):
        methods.make("conmix", linear_classifier(), {"initc_num": -1})


def test_the_strong_view_rolls_a_raised_clip_and_short_clips_are_raised_too():
    classifier = tiny.NETS["batch_norm"]()
    batch = Batch(jnp.asarray(tiny.waves()[:4]), jnp.ones(4), jnp.asarray([3, 1, 4, 1], jnp.int32))
    first, second = jax.random.split(jax.random.key(0))
    views = (jax.jit(strong_features(classifier, 4, limit)) for limit in (0.0, 0.25))
    plain, rolled = (np.asarray(view(first, second, batch)) for view in views)
    shifts = [[s for s in range(-64, 65) if np.allclose(np.roll(p, s), r)] for p, r in zip(plain, rolled, strict=True)]
    assert all(len(s) == 1 for s in shifts) and len({s[0] for s in shifts[:3]}) > 1
    peak = [np.abs(np.fft.rfft(w)).argmax() for w in (tiny.waves()[3], np.asarray(plain)[3])]
    assert peak[1] / peak[0] == pytest.approx(2 ** (4 / 12), abs=0.05)


@pytest.mark.slow
def test_changed_images_have_statistics_of_their_own():
    classifier, waves = tiny.from_zoo("conmix_tiny"), tiny.waves(4000, 6)
    batch = Batch(jnp.asarray(waves), jnp.ones(6), jnp.arange(6, dtype=jnp.int32))
    key = jax.random.key(0)
    view = jax.jit(strong_features(classifier, 4, 0.25))
    images = np.asarray(view(key, jax.random.fold_in(key, 2**31 - 1), batch), np.float64)
    assert images.shape == (6, 24, 24)
    zeros = (jnp.zeros((6, tiny.CLASSES)), jnp.zeros((6, 8)))
    observed = Observed(*zeros, mel_image.moments(jnp.asarray(images, jnp.float32)))
    found = {}
    for rule in ("evaluated_set", "checkpoint"):
        options = methods.resolve_options("conmix", "reference", {"input_statistics": rule})
        method = methods.make("conmix", classifier, options)
        state = method.init({"params": PARAMS, "batch_stats": {}}, RunInfo(3, 6, tiny.CLASSES))
        found[rule] = method.begin_epoch(state, observed, jax.random.key(1)).memory.strong
    np.testing.assert_allclose(found["evaluated_set"].mean, images.mean(), rtol=1e-5)
    np.testing.assert_allclose(found["evaluated_set"].deviation, images.std(), rtol=1e-4)
    np.testing.assert_array_equal(found["checkpoint"].mean, 0.0)


def test_an_own_net_whose_images_have_no_statistics_is_refused_or_keeps_its_own(capsys):
    """Before, a KeyError in the first step, after all had been read and corrupted."""
    config = tiny.config_of("conmix_tiny").replace(
        family="tests.runs.tiny:PLAIN", geometry={"width": 8, "dropout": 0.1}
    )
    classifier = zoo.build(config)
    for profile, kept in (("reference", []), ("corrected", ["conmix"])):
        assert able(["conmix"], classifier, profile) == kept
    said = "method conmix needs a network that normalises its images with statistics in its variables (input_norm), "
    assert capsys.readouterr().out == (
        f"note: conmix is left out: {said}and this one has none; give input_statistics=checkpoint\n"
    )
    method = methods.make("conmix", classifier, methods.default_options("conmix", "reference"))
    with pytest.raises(BadInput, match=r"^method conmix needs a network that normalises"):
        methods.check_needs("conmix", method, zoo.shapes(classifier), None)
