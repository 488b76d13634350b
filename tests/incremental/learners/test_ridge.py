"""Ridge against one fit to all clips, ACIL's recursion, fits without a clip, and the numbers of MAR's rule."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.incremental import learners, regression
from dhauds_jax.types import Learner
from tests.incremental.learning import (
    KEY,
    begun,
    embeddings,
    info_for,
    placed_to_be_drawn,
    shots,
    taught,
    three_sessions,
)

GOLDEN = Path(__file__).parents[2] / "goldens" / "mar_small.npz"
ROWS, LABELS = embeddings()
X, Y = ROWS.astype(np.float64), np.eye(8)[LABELS]
DUAL, PRIMAL = info_for(24, sessions=2, rows=10), info_for(24, sessions=4, rows=10)
SESSIONS = three_sessions(LABELS)
TESTED = embeddings(seed=5)[0]


def batch_fit(rows, targets, penalty):
    return np.linalg.solve(rows.T @ rows + penalty * np.eye(rows.shape[1]), rows.T @ targets)


def left_out_error(penalty, rows=X, targets=Y):
    """The squared leave-one-out error by fitting as often as there are rows."""
    total = 0.0
    for i in range(len(rows)):
        rest = np.arange(len(rows)) != i
        total += np.square(targets[i] - rows[i] @ batch_fit(rows[rest], targets[rest], penalty)).sum()
    return total


def test_its_lambda_is_an_option_without_pythons_underscore():
    for written in ("lambda", "lambda_"):
        assert learners.resolve_options("ridge", {written: "0.5"}) == {"lambda": "0.5", "scale": 16.0}
    with pytest.raises(BadInput, match=r"no option 'lamda': .* lambda=loo"):
        learners.resolve_options("ridge", {"lamda": "1"})
    assert isinstance(learners.make("ridge", None, {"lambda": "0.5"}), Learner)


@pytest.mark.parametrize("penalty", [pytest.param(1e-6, marks=pytest.mark.slow), 0.1])
def test_three_sessions_are_one_fit_and_acils_recursion(penalty):
    """Kept clips (3 x 7 of them are fewer than 24 features) and sums of clips."""
    narrow = info_for(24, sessions=3, rows=7)
    few = np.concatenate([SESSIONS[s][:7] for s in range(3)])
    weights = batch_fit(X[few], Y[few], penalty)
    inverse, recursive = np.eye(24) / penalty, np.zeros((24, 8))
    for s in range(3):  # Zhuang et al. 2022, theorem 1
        x, y = X[SESSIONS[s][:7]], Y[SESSIONS[s][:7]]
        gain = inverse @ x.T @ np.linalg.inv(np.eye(7) + x @ inverse @ x.T)
        inverse = inverse - gain @ x @ inverse
        recursive = recursive + inverse @ x.T @ (y - x @ recursive)
    assert np.abs(recursive - weights).max() < 1e-6
    for info in (narrow, PRIMAL):
        learner, state = begun("ridge", info, lambda_=str(penalty))
        state, losses = taught(learner, state, ROWS, LABELS, [s[:7] for s in SESSIONS], info.max_rows)
        assert float(losses["log10_lambda"]) == pytest.approx(np.log10(penalty))
        logits = np.asarray(learner.predict(state, TESTED)["ridge"])
        assert np.isneginf(logits[:, 6:]).all()
        np.testing.assert_allclose(logits[:, :6], 16 * TESTED @ weights[:, :6], rtol=1e-6, atol=1e-6)


def test_lambda_is_the_best_of_as_many_fits_as_there_are_clips():
    errors = [left_out_error(penalty) for penalty in regression.LAMBDAS]
    best = regression.LAMBDAS[int(np.argmin(errors))]
    with jax.enable_x64(True):
        rows, targets = jnp.asarray(X), jnp.asarray(Y)
        found = regression.spectrum(rows @ rows.T)
        dual = np.asarray(regression.dual_errors(found, targets, jnp.ones(24, jnp.float64)))
        found = regression.spectrum(rows.T @ rows)
        primal = np.asarray(regression.primal_errors(found, rows.T @ targets, rows, targets, jnp.ones(24)))
    np.testing.assert_allclose(dual, errors, rtol=1e-6)
    np.testing.assert_allclose(primal, errors, rtol=1e-6)
    for info in (info_for(24, sessions=1, rows=23), info_for(24, sessions=1, rows=24)):
        learner, state = begun("ridge", info)
        count = info.max_rows
        state, losses = taught(learner, state, ROWS, LABELS, [np.arange(count)], count)
        if count == 24:
            assert 10 ** float(losses["log10_lambda"]) == pytest.approx(best)
        assert float(losses["lambda_at_end"]) == 0.0


@pytest.mark.parametrize("sessions", [2, 4], ids=["rows kept", "sums kept"])
def test_left_out_clips_are_predicted_as_by_a_fit_without_them(sessions):
    info = info_for(24, sessions=sessions, rows=10)
    learner, state = begun("ridge", info, lambda_="0.5")
    chosen = np.append(SESSIONS[0], SESSIONS[1][:1])  # of the third class a single clip
    state, _ = taught(learner, state, ROWS, LABELS, [chosen])
    given = shots(ROWS[chosen], LABELS[chosen], 10)
    logits = np.asarray(learner.held_out(state, given)["ridge"])[:9]
    for row, i in enumerate(chosen):
        rest = chosen[chosen != i]
        wanted = 16 * X[i] @ batch_fit(X[rest], Y[rest], 0.5)
        known = np.isin(np.arange(8), LABELS[rest])
        np.testing.assert_allclose(logits[row][known], wanted[known], rtol=1e-6, atol=1e-6)
        assert np.isneginf(logits[row][~known]).all()


def test_forgetting_needs_the_clips():
    learner, state = begun("ridge", PRIMAL)
    state, _ = taught(learner, state, ROWS, LABELS, SESSIONS)
    with pytest.raises(BadInput, match="keeps sums of clips"):
        learner.forget(state, jnp.int32(1))
    assert learners.make("ridge", None, {"lambda": "last_fifth"}).forget is None


def test_bytes_are_those_of_what_is_kept():
    learner, state = begun("ridge", DUAL)
    state, _ = taught(learner, state, ROWS, LABELS, SESSIONS[:1])
    assert learner.bytes_held(state) == 8 * (24 * 4 + 4) + 8
    learner, state = begun("ridge", PRIMAL)
    state, _ = taught(learner, state, ROWS, LABELS, SESSIONS[:1])
    assert learner.bytes_held(state) == 24 * (24 + 2) * 8 + 8


@pytest.mark.parametrize("text", ["fast", "0", "-1", "nan"])
def test_a_lambda_that_is_none(text):
    with pytest.raises(BadInput, match="learner ridge: option lambda"):
        learners.make("ridge", None, {"lambda": text})


def test_a_lambda_at_the_end_of_the_grid_is_said():
    """Each class has a row and its opposite, so that what is left out is never guessed: the heavier the better."""
    rows = np.random.default_rng(3).normal(size=(4, 24)).astype(np.float32)
    rows, labels = np.concatenate([rows, -rows]), np.arange(8, dtype=np.int32) % 4
    learner, state = begun("ridge", info_for(24, sessions=1, rows=8))
    _, losses = taught(learner, state, rows, labels, [np.arange(8)], 8)
    assert float(losses["log10_lambda"]) == 8.0 and float(losses["lambda_at_end"]) == 1.0


def judged_by_last_fifth(name, rows, labels, order, room, first=0, **options):
    """The errors that the state has after one session, its rows in an order, their clip numbers with them."""
    learner, state = begun(name, info_for(24, sessions=1, rows=room), lambda_="last_fifth", **options)
    given = shots(rows, labels, room, first=first)
    given = given._replace(**{field: getattr(given, field)[order] for field in given._fields})
    return learner.learn(state, given, KEY)[0].memory.errors


@pytest.mark.parametrize(("name", "options"), [("ridge", {}), ("ranpac", {"M": 20})])
def test_the_last_fifth_is_one_of_clips_and_not_of_places(name, options):
    """Rows that come class by class, turned round, and with padding between: one judgement; not on one class alone."""
    rows, labels = embeddings(5, 5)
    sorted_rows = judged_by_last_fifth(name, rows, labels, np.arange(25), 25, **options)
    turned = judged_by_last_fifth(name, rows, labels, np.arange(25)[::-1], 25, **options)
    spread = judged_by_last_fifth(name, rows, labels, np.r_[25:31, 20:25, 31:35, 0:20], 35, **options)
    for other in (turned, spread):  # of small lambdas float32 knows the size of the error alone
        heavy = np.asarray(regression.LAMBDAS) >= 0.09
        np.testing.assert_allclose(np.asarray(sorted_rows)[heavy], np.asarray(other)[heavy], rtol=1e-4)
    draws = [set(labels[placed_to_be_drawn(np.arange(25), jax.random.key(k)).argsort()[20:]]) for k in range(4)]
    assert all(len(judged) > 1 for judged in draws)


def test_classes_that_come_one_after_another_are_not_judged_unfitted():
    """Sorted shots of five well separated classes: the published rule on the last class alone takes 10^5."""
    rows, labels = embeddings(5, 5, width=64, spread=0.3)
    learner, state = begun("ridge", info_for(64, sessions=1, rows=25), lambda_="last_fifth", scale=1.0)
    _, losses = learner.learn(state, shots(rows, labels, 25), KEY)
    assert float(losses["log10_lambda"]) <= 1
    targets = jnp.eye(8)[labels]
    sorted_errors = regression.last_fifth_errors(jnp.asarray(rows), targets, jnp.ones(25))
    assert float(regression.best(sorted_errors)[0]) >= 1e3


def test_the_published_rule_on_a_small_net():
    """`small_*` of the golden: two sessions through MAR's `replace_fc`, float64 primal, and in float32 as it runs."""
    golden = np.load(GOLDEN)
    rows, labels = golden["embedding"].astype(np.float32), golden["labels"].astype(np.int32)
    learner, state = begun("ridge", info_for(48, classes=50, sessions=2, rows=25), lambda_="last_fifth", scale=1.0)
    for session, order in enumerate(golden["orders"]):
        with jax.enable_x64(True):
            targets = jnp.eye(50, dtype=jnp.float64)[labels[order]]
            errors = regression.last_fifth_errors(jnp.asarray(golden["embedding"][order]), targets, jnp.ones(25))
        np.testing.assert_allclose(errors, golden[f"small_val_mse_{session}"], rtol=1e-5)
        order = placed_to_be_drawn(order, KEY)
        state, losses = learner.learn(state, shots(rows[order], labels[order], 25), KEY)
        penalty = float(golden[f"small_lambda_{session}_f32"])
        assert 10 ** float(losses["log10_lambda"]) == pytest.approx(penalty, rel=1e-5)
    assert state.heads.dtype == jnp.float32
    kernel = np.asarray(state.heads)[:, :10].T
    wanted = golden["small_weight_1_f32"]
    np.testing.assert_allclose(kernel, wanted, atol=1e-3 * np.abs(wanted).max())  # both are float32 solves
    np.testing.assert_allclose(state.memory.gram, golden["small_G"], rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_the_published_rule_at_its_width():
    """`ridge_*` of the golden: 768 features, three sessions."""
    golden = np.load(GOLDEN)
    rows, labels, orders = golden["ridge_embeddings"], golden["ridge_labels"].astype(np.int32), golden["ridge_orders"]
    with jax.enable_x64(True):
        targets = jnp.eye(50, dtype=jnp.float64)[labels[orders[1]]]
        errors = regression.last_fifth_errors(jnp.asarray(rows[orders[1]], jnp.float64), targets, jnp.ones(25))
    np.testing.assert_allclose(errors, golden["ridge_val_mse_1"], rtol=1e-5)
    learner, state = begun("ridge", info_for(768, classes=50, sessions=3, rows=25), lambda_="last_fifth", scale=1.0)
    heavy = np.asarray(regression.LAMBDAS) >= 0.09  # below, float32 is rounding
    for session, order in enumerate(orders):
        order = placed_to_be_drawn(order, KEY)
        state, losses = learner.learn(state, shots(rows[order], labels[order], 25), KEY)
        wanted = golden[f"ridge_val_mse_{session}_f32"]
        np.testing.assert_allclose(np.asarray(state.memory.errors)[heavy], wanted[heavy], rtol=1e-3)
        if session:  # session 0 is flat to the left: its lambda is rounding
            penalty = float(golden[f"ridge_lambda_{session}_f32"])
            assert 10 ** float(losses["log10_lambda"]) == pytest.approx(penalty, rel=1e-5)
    logits = np.asarray(learner.predict(state, rows[75:])["ridge"])[:, :15]
    kernel = np.asarray(state.heads)[:, :15]
    cosines = 16 * logits / np.linalg.norm(rows[75:], axis=1, keepdims=True) / np.linalg.norm(kernel, axis=0)
    assert np.abs(cosines - golden["ridge_logits_2_f32"]).max() < 1e-4  # measured 8e-6: two float32 solves


@pytest.mark.parametrize("session", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_published_weights_are_those_of_the_dual(session):
    """The golden's float64 weights at the lambda that it chose, from kept rows."""
    golden = np.load(GOLDEN)
    rows, labels = golden["ridge_embeddings"], golden["ridge_labels"].astype(np.int32)
    penalty = float(golden[f"ridge_lambda_{session}"])
    info = info_for(768, classes=50, sessions=3, rows=25)
    learner, state = begun("ridge", info, lambda_=str(penalty), scale=1.0)
    state, _ = taught(learner, state, rows, labels, golden["ridge_orders"][: session + 1], 25)
    wanted = golden[f"ridge_weight_{session}"]
    kernel = np.asarray(state.heads)[:, : len(wanted)].T
    assert np.abs(kernel - wanted).max() < (1e-4 if penalty <= 1e-6 else 1e-6) * np.abs(wanted).max()
