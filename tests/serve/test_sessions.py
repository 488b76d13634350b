"""Sessions: equal to protocol `batch1`, alone with themselves, compiled once, put out and brought back."""

import itertools
import json
from unittest import mock

import jax
import numpy as np
import pytest

from dhauds_jax import calibration
from dhauds_jax.errors import BadInput
from dhauds_jax.metrics import softmax
from dhauds_jax.model.rejecting import Rejecting
from dhauds_jax.serve import canary, guards
from dhauds_jax.serve.contracts import TooManySessions, UnknownSession, Verdict
from dhauds_jax.serve.filters import Filters
from dhauds_jax.serve.guards import Limits
from dhauds_jax.serve.holding import Keeping
from dhauds_jax.serve.routes import sessions as routes
from dhauds_jax.serve.sessions import SHARED
from dhauds_jax.serve.snapshots import is_name
from dhauds_jax.types import Calibration
from tests.serve.adapted import (
    SHAPES,
    Clock,
    ask,
    asked,
    offline,
    same_bits,
    served_of,
    sessions_of,
    state_of,
    tiny_model,
)
from tests.tta import tiny

WAVES = tiny.waves()  # 22 clips: five buffers of four, and two clips that wait


def one_by_one(sessions, name, waves):
    return np.concatenate([ask(sessions, name, wave[None]) for wave in waves])


@pytest.mark.parametrize("method", ["tent", "t3a"])
def test_a_session_ends_in_the_state_of_batch1_bit_for_bit(method):
    model, how = tiny_model(), asked(method)
    sessions = sessions_of(model, how)
    name = sessions.open()
    said = one_by_one(sessions, name, WAVES)
    # The fifth buffer's update comes before the next prediction: it is done, for 21 and 22 followed.
    state, offline_said = offline(model, how, WAVES)
    assert same_bits(state_of(sessions, name), state)
    assert int(state.step) == 5 == sessions.describe(name)["updates"]
    assert np.abs(said[:20] - offline_said).max() < 1e-6
    assert np.abs(said[:20] - softmax(model.logits(WAVES[:20]))).max() > 1e-3  # it adapted


def test_requests_of_several_windows_end_in_the_same_state():
    model, how = tiny_model(), asked()
    sessions = sessions_of(model, how)
    name = sessions.open()
    said = np.concatenate([ask(sessions, name, WAVES[a:b]) for a, b in itertools.pairwise((0, 1, 8, 13, 20))])
    ask(sessions, name, WAVES[20:22])
    state, offline_said = offline(model, how, WAVES)
    assert same_bits(state_of(sessions, name), state)
    assert np.abs(said - offline_said).max() < 1e-6


def test_when_idle_the_states_agree_for_the_same_buffers():
    model, how = tiny_model(), asked(update="idle")
    sessions = sessions_of(model, how)
    name = sessions.open()
    first = ask(sessions, name, WAVES[:8])
    assert np.array_equal(ask(sessions, name, WAVES[:8]), first)  # nothing was learnt between: nobody was idle
    assert sessions.describe(name)["clips_waiting"] == 16
    while sessions.work():
        pass
    state, _ = offline(model, how, np.concatenate([WAVES[:8], WAVES[:8]]))
    assert same_bits(state_of(sessions, name), state) and not sessions.work()


def test_more_full_buffers_than_may_wait_are_let_go():
    sessions = sessions_of(tiny_model(), asked(update="idle"))
    name = sessions.open()
    for _ in range(3):
        ask(sessions, name, WAVES[:8])
    assert sessions.describe(name)["buffers_let_go"] == 2 == sessions.totals()["let_go"]
    while sessions.work():
        pass
    assert sessions.describe(name)["updates"] == 4


def test_names_of_new_sessions_begin_with_their_replicas_digits():
    sessions = sessions_of(tiny_model(), asked(), keeping=Keeping(tag="0123abcd"))
    names = {sessions.open() for _ in range(20)}
    assert len(names) == 20 and all(is_name(name) and name.startswith("0123abcd") for name in names)


def test_two_sessions_do_not_touch_each_other_nor_the_source():
    model, how = tiny_model(), asked()
    alone = [sessions_of(model, how) for _ in range(2)]
    names = [sessions.open() for sessions in alone]
    streams = WAVES[:12], WAVES[:12][::-1]
    expected = [one_by_one(*both, stream) for *both, stream in zip(alone, names, streams, strict=True)]
    together = sessions_of(model, how)
    pair = [together.open() for _ in range(2)]
    source = ask(together, "", WAVES[:8])
    found = [[], []]
    for k in range(12):
        for i in range(2):
            found[i].append(ask(together, pair[i], streams[i][k : k + 1])[0])
    assert np.array_equal(np.stack(found[0]), expected[0]) and np.array_equal(np.stack(found[1]), expected[1])
    assert not np.array_equal(expected[0], expected[1][::-1])
    assert np.array_equal(ask(together, "", WAVES[:8]), source)


def test_reset_restores_the_first_answer_exactly():
    sessions = sessions_of(tiny_model(), asked())
    name = sessions.open()
    first = ask(sessions, name, WAVES[:1])
    one_by_one(sessions, name, WAVES[1:])
    assert not np.array_equal(ask(sessions, name, WAVES[:1]), first)
    sessions.reset(name)
    assert np.array_equal(ask(sessions, name, WAVES[:1]), first)
    assert sessions.describe(name)["updates"] == 0
    assert sessions.totals()["updates"] == 5  # what was done stays counted


def test_sixteen_bit_rows_are_the_same_clips():
    whole = np.round(WAVES * 2**15).astype(np.int16)
    states = []
    for waves in (whole, whole * np.float32(2**-15)):
        sessions = sessions_of(tiny_model(), asked())
        name = sessions.open()
        one_by_one(sessions, name, waves)
        states.append(state_of(sessions, name))
    assert same_bits(*states)


def test_padding_is_not_learnt_from():
    sessions = sessions_of(tiny_model(), asked())
    name = sessions.open()
    ask(sessions, name, WAVES[:3])  # in four rows
    assert sessions.describe(name)["clips_waiting"] == 3


@pytest.mark.parametrize("method", ["tent", "t3a"])
def test_nothing_is_compiled_after_warming(method):
    how = asked(method, limits=Limits(), judged=6, update="idle")
    sessions = sessions_of(tiny_model(), how, warm=True)
    sessions._parts.served.warm()
    compiled = []

    def heard(event, duration, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(duration)

    jax.monitoring.register_event_duration_secs_listener(heard)
    try:
        for name in (sessions.open(), sessions.open()):
            for rows in (*SHAPES, 3, 7):
                ask(sessions, name, WAVES[:rows])
                while sessions.work():
                    pass
            sessions.reset(name)
            ask(sessions, name, WAVES[:5])
        assert sessions.totals()["updates"] + sessions.totals()["rollbacks"] >= 8
    finally:
        jax.monitoring.unregister_event_duration_listener(heard)
    assert compiled == []


def decided(verdicts, **changes):
    """(sessions, name, states after each update) where the verdicts on five updates are these, 1 to keep."""
    script = iter([Verdict(bool(keep), "" if keep else "information", {"clips": 4}) for keep in verdicts])
    sessions = sessions_of(tiny_model(), asked(limits=Limits(), **changes))
    name = sessions.open()
    states = [state_of(sessions, name)]
    with mock.patch.object(guards, "judge", lambda *_, **__: next(script)):
        for at in range(0, 4 * len(verdicts), 4):
            one_by_one(sessions, name, WAVES[at : at + 4])
            sessions._holding.get(name).finish()
            states.append(state_of(sessions, name))
    return sessions, name, states


def test_a_refused_update_leaves_the_state_as_it_was():
    sessions, name, states = decided([1, 0, 1, 0, 1])
    assert states[2] is states[1] is not states[0] and states[4] is states[3] is not states[2]
    told = json.loads(json.dumps(sessions.describe(name)))
    assert told["updates"] == 3 and told["rollbacks_by_reason"] == {"information": 2}
    assert told["rollbacks_in_a_row"] == 0 and told["answers_from"] == "session"
    assert [verdict["kept"] for verdict in told["verdicts"]] == [True, False, True, False, True]
    assert sessions.totals()["rollbacks_by_reason"] == {"information": 2}


def test_signs_that_are_not_finite_can_be_told():
    """Weights of 1e20 are finite, and their distance from the first ones is not."""
    sessions = sessions_of(tiny_model(), asked())
    name = sessions.open()
    sessions._holding.get(name)._note(Verdict(False, "drift", {"drift": float("inf"), "confidence": (0.5, np.nan)}))
    told = json.loads(json.dumps(sessions.describe(name), allow_nan=False))
    assert told["signs"] == told["verdicts"][0]["signs"] == {"drift": None, "confidence": [0.5, None]}


def test_refusals_in_a_row_go_further_back():
    *_, states = decided([1, 1, 0, 0, 1])
    assert states[3] is states[2] and states[4] is states[1]
    *_, states = decided([0, 0, 1, 1, 1])
    assert states[1] is states[2] is states[0]


def test_after_three_rollbacks_in_a_row_the_source_answers_until_the_reset():
    sessions, name, states = decided([1, 1, 0, 0, 0])
    assert states[5] is states[0]
    assert sessions.describe(name)["answers_from"] == "source" and sessions.totals()["from_source"] == 1
    assert np.array_equal(ask(sessions, name, WAVES[:8]), ask(sessions, "", WAVES[:8]))
    one_by_one(sessions, name, WAVES[:8])
    assert sessions.describe(name)["clips_waiting"] == 0 and not sessions.work()
    sessions.reset(name)
    assert sessions.describe(name)["answers_from"] == "session"
    one_by_one(sessions, name, WAVES[:4])
    assert sessions.describe(name)["clips_waiting"] == 4


def failing(sessions, times):
    """Patches the step of an update: it raises so many times."""
    real, left = sessions._parts.programs.step, [times]

    def step(*given):
        left[0] -= 1
        if left[0] >= 0:
            raise MemoryError("no memory for an update")
        return real(*given)

    sessions._holding.get(next(iter(sessions._holding.sessions))).parts = sessions._parts._replace(
        programs=sessions._parts.programs._replace(step=step)
    )


def test_an_update_that_fails_is_counted_and_told_once():
    sessions = sessions_of(tiny_model(), asked(update="idle"))
    name = sessions.open()
    failing(sessions, 1)
    ask(sessions, name, WAVES[:8])
    with pytest.raises(MemoryError, match="for an update"):
        sessions.work()
    told = sessions.describe(name)
    assert told["rollbacks_by_reason"] == {"failed": 1} and told["clips_waiting"] == 4 and told["updates"] == 0
    assert told["verdicts"] == [{"update": 1, "kept": False, "reason": "failed", "signs": {}}]
    while sessions.work():  # the next buffer's goes well
        pass
    assert sessions.describe(name)["updates"] == 1 and sessions.describe(name)["rollbacks_in_a_row"] == 0
    assert sessions.totals()["rollbacks_by_reason"] == {"failed": 1} and sessions.totals()["rollbacks"] == 1


def test_an_update_that_fails_before_a_prediction_costs_no_answer():
    sessions = sessions_of(tiny_model(), asked(update="before_next"))
    name = sessions.open()
    failing(sessions, 3)
    answers = [ask(sessions, name, WAVES[:8]) for _ in range(2)]  # updates before rows 5, 1 and 5
    np.testing.assert_allclose(answers, [ask(sessions, "", WAVES[:8])] * 2, rtol=0, atol=1e-6)
    for _ in range(3):
        with pytest.raises(MemoryError):
            sessions.work()
    assert not sessions.work()
    assert sessions.describe(name)["answers_from"] == "source"  # three in a row


def test_sessions_take_turns_update_by_update():
    sessions = sessions_of(tiny_model(), asked(update="idle", limits=Limits()))
    names = [sessions.open() for _ in range(3)]
    for name in names:
        ask(sessions, name, WAVES[:8])
    order = []
    while sessions.work():
        if sessions._working not in order[-1:]:
            order.append(sessions._working)
        if order == names:
            sessions.describe(names[0])  # who asks does not come first for that
            ask(sessions, names[0], WAVES[8:16])
    assert order == [*names, *names, names[0]]


@pytest.mark.parametrize("shadow", [True, False])
def test_the_sources_answers_stand_beside_or_are_asked_for_the_verdict(shadow):
    sessions = sessions_of(tiny_model(), asked(limits=Limits(), shadow=shadow, update="idle"))
    name = sessions.open()
    answers, source = sessions.predict(name, WAVES[:8], np.ones(8, np.float32))
    assert (source is not None) is shadow and np.allclose(answers, ask(sessions, "", WAVES[:8]), atol=1e-6)
    while sessions.work():
        pass
    signs = sessions.describe(name)["signs"]
    assert signs["clips"] == 8 and signs["confidence"][0] == pytest.approx(ask(sessions, "", WAVES[:8]).max(1).mean())


@pytest.mark.parametrize("update", ["idle", "before_next"])
def test_a_sessions_answers_have_what_is_compared_behind_them(update):
    model, how = tiny_model(), asked(limits=Limits(), update=update)
    plain, rule = served_of(model), Rejecting(Calibration(1.0, "nll", "energy"), {}, 0.0)

    def answer(waves, weights):
        found = plain.predict(waves, weights)
        return np.concatenate([found, np.full((len(found), 1), 7.0)], 1)

    sessions = sessions_of(model, how, rule=rule)
    sessions._parts = sessions._parts._replace(served=plain._replace(answer=answer))
    name = sessions.open()
    answers, source = sessions.predict(name, WAVES[:8], np.ones(8, np.float32))
    classes = len(model.classes)
    assert answers.shape == source.shape == (8, classes + 1) and (source[:, -1] == 7).all()
    expected = calibration.compared(rule.made, model.logits(WAVES[:1]))
    np.testing.assert_allclose(answers[:1, classes:], expected, rtol=1e-5)
    np.testing.assert_allclose(answers[:, :classes].sum(1), 1, atol=1e-6)
    while sessions.work():
        pass
    assert sessions.describe(name)["updates"] >= 1


def test_a_canary_that_dies_undoes_an_update():
    clips = 0.5 * np.random.default_rng(0).standard_normal((40, 256), np.float32)
    labels = sessions_of(tiny_model(), asked())._parts.served.predict(clips[:8], np.ones(8, np.float32)).argmax(1)
    labels = np.resize(labels, 40).astype(np.int32)  # the random net gives one class to all
    labelled = canary.labelled(clips, labels, "test")
    loose = Limits(1.0, 1.0, 1.0, 1.0, max_drift=1e9)
    how = asked("tent", {"lr": 100.0}.items(), limits=loose)
    sessions = sessions_of(tiny_model(), how, labelled=labelled, warm=True)
    name = sessions.open()
    one_by_one(sessions, name, WAVES[:5])
    told = sessions.describe(name)
    assert told["rollbacks_by_reason"] == {"canary": 1}
    assert told["signs"]["canary"]["source"] == 1.0 and told["signs"]["canary"]["drop"] > 0.05
    assert np.array_equal(sessions.says(name, clips).argmax(1), labels)
    with pytest.raises(BadInput, match="39 labelled clips, expected at least 40"):
        canary.labelled(np.zeros((39, 256), np.float32), np.zeros(39, np.int32), "x")


def test_clips_that_filters_leave_out_are_predicted_and_counted():
    how = asked(filters=Filters(per_minute=60.0))
    sessions = sessions_of(tiny_model(), how, clock=Clock())
    name = sessions.open()
    answers = one_by_one(sessions, name, np.concatenate([WAVES[:2], np.zeros((1, 256), np.float32), WAVES[:1]]))
    assert answers.shape == (4, 4) and np.allclose(answers.sum(1), 1)
    assert sessions.describe(name)["clips_left_out"] == {"silent": 1, "repeated": 1}
    assert sessions.describe(name)["clips_learnt_from"] == 0 and sessions.describe(name)["clips_waiting"] == 2
    one_by_one(sessions, name, WAVES[2:7])
    assert sessions.describe(name)["clips_learnt_from"] == 4 and sessions.describe(name)["clips_waiting"] == 3
    assert sessions.totals()["left_out"] == {"silent": 1, "repeated": 1}


@pytest.mark.parametrize("shadow", [True, False])
def test_a_clip_that_no_model_can_answer_is_not_learnt_from(shadow):
    """Finite samples may be too loud for a network; one such clip would have every update of 64 clips refused."""
    sessions = sessions_of(tiny_model(), asked(limits=Limits(), shadow=shadow, update="idle"))
    name = sessions.open()
    loud = np.full(256, 1e38, np.float32)
    assert np.isnan(one_by_one(sessions, name, loud[None])).any()
    one_by_one(sessions, name, WAVES[:4])
    sessions._holding.get(name).finish()
    told = sessions.describe(name)
    assert told["clips_left_out"] == {"not_finite": 1} and told["clips_learnt_from"] == 4
    assert (told["updates"], told["rollbacks"], told["answers_from"]) == (1, 0, "session")


@pytest.mark.parametrize(("method", "said"), [
    ("shot", "looks at the whole set"), ("notela", "looks at the whole set"), ("conmix", "looks at the whole set"),
    ("eata", "labelled source"), ("ttt", "auxiliary head"),
])  # fmt: skip
def test_methods_that_a_session_cannot_run_are_refused_in_a_sentence(method, said):
    with pytest.raises(BadInput, match=said) as caught:
        sessions_of(tiny_model(), asked(method))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", ["source", "lame"])
def test_methods_that_keep_nothing_are_refused_when_they_are_warmed(method):
    with pytest.raises(BadInput, match="keeps nothing"):
        sessions_of(tiny_model(), asked(method), warm=True)


@pytest.mark.parametrize(
    "changes", [{"adapt_batch": 1}, {"judged": 0}, {"update": "now"}, {"snapshots": 0}, {"rollbacks": 0}]
)
def test_numbers_out_of_range_are_refused(changes):
    with pytest.raises(BadInput, match=rf"^(--)?{next(iter(changes))}="):
        sessions_of(tiny_model(), asked(**changes))
    with pytest.raises(BadInput, match=r"^--max_sessions=0"):
        sessions_of(tiny_model(), asked(), keeping=Keeping(max_sessions=0))


def test_one_shared_session_answers_everyone():
    sessions = sessions_of(tiny_model(), asked(), keeping=Keeping(shared=True), warm=True)
    with pytest.raises(TooManySessions, match="share one"):
        sessions.open()
    one_by_one(sessions, "", WAVES)
    state, _ = offline(tiny_model(), asked(), WAVES)
    assert same_bits(state_of(sessions, SHARED), state)
    assert sessions.describe(SHARED)["updates"] == 5


@pytest.mark.parametrize("shared", [True, False])
def test_no_client_can_end_or_reset_the_shared_session(shared):
    """Nor ask it by its name: the routes know it for no session's, and where it is shared all names are refused."""
    assert not routes.NAME.fullmatch(SHARED) and not routes.NAME.match(SHARED)
    sessions = sessions_of(tiny_model(), asked(), keeping=Keeping(shared=shared), warm=True)
    for name in (SHARED, "0" * 32):
        for call in (sessions.close, sessions.reset, lambda name: ask(sessions, name, WAVES[:1])):
            with pytest.raises(UnknownSession):
                call(name)
    if shared:
        assert sessions.describe(SHARED)["updates"] == 0 and np.isfinite(ask(sessions, "", WAVES[:1])).all()


def test_a_session_shares_what_does_not_move():
    sessions = sessions_of(tiny_model(), asked(limits=None, snapshots=3))
    name = sessions.open()
    assert sessions.describe(name)["bytes"] == {"state": 0, "snapshots": 0, "clips": 0}
    one_by_one(sessions, name, WAVES[:9])
    # 12 scales and shifts (moving, two Adam moments), 12 means and variances, two counters of 4 bytes.
    assert sessions.describe(name)["bytes"]["state"] == 4 * (24 * 3 + 24 + 2)
    assert sessions.describe(name)["bytes"]["snapshots"] == 4 * (24 * 3 + 24 + 2)
