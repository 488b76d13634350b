"""Stream orders, reset rules and the one-pass protocols on a method whose state can be counted by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.tta import protocols, streams, wrappers
from dhauds_jax.types import AdaptState, Batch, Method, Prediction, RunInfo

CLASSES = 3
INFO = RunInfo(steps_per_epoch=3, clips=12, classes=CLASSES)


def counting_method():
    """A method that adds 1 to its only weight at each update; logits are the weight's value in column 0."""

    def init(variables, info):
        return AdaptState(variables, (), jnp.zeros(()), jnp.zeros((), jnp.int32))

    def predict(state, batch):
        return jnp.full((batch.wave.shape[0], CLASSES), 0.0).at[:, 0].set(state.variables["params"]["w"])

    def step(state, batch, key):
        logits = predict(state, batch)
        variables = {"params": {"w": state.variables["params"]["w"] + 1}, "batch_stats": {}}
        state = AdaptState(variables, (), state.memory + batch.weights.sum(), state.step + 1)
        return state, Prediction(logits, {"total": state.memory})

    return Method(init, step, predict, adapts="all", passes=(1, 1))


def variables():
    return {"params": {"w": jnp.zeros(())}, "batch_stats": {}}


def seen(method, clips=12, batch_size=4, **options):
    """Column 0 of the predictions, in order of arrival."""
    run = protocols.compiled(method)
    waves = np.zeros((clips, 2), np.float32)
    steps = protocols.online(
        run, method.init(variables(), INFO), waves, batch_size=batch_size, key=jax.random.key(0), **options
    )
    return [float(step.logits[0, 0]) for step in steps]


def test_predict_first_and_adapt_first():
    assert seen(counting_method()) == [0, 1, 2]
    assert seen(counting_method(), order="adapt_first") == [1, 2, 3]


def test_alone_predicts_before_the_update_and_a_slow_method_skips_batches():
    assert seen(counting_method(), alone=True) == [0, 1, 2]
    assert seen(counting_method(), clips=20, every=2) == [0, 1, 1, 2, 2]


def test_updates_every_counts_a_backward_pass_as_two_forward_passes():
    assert protocols.updates_every((1, 0), 3.0) == 1
    assert protocols.updates_every((1, 1), 3.0) == 1
    assert protocols.updates_every((2, 2), 3.0) == 2
    assert protocols.updates_every((33, 1), 3.0) == 12


def test_episodic_starts_every_batch_anew():
    method = wrappers.episodic(counting_method(), updates=2)
    assert seen(method) == [2, 2, 2]
    assert method.passes == (3, 2)


def test_reset_every():
    assert seen(wrappers.reset_every(counting_method(), 2), clips=20) == [0, 1, 0, 1, 0]


def test_reset_on_collapse_follows_its_moving_average():
    # All predictions are class 0: its share after k batches is 1 - (2/3) 0.9^k, above 0.5 from the third on.
    assert [1 - 2 / 3 * 0.9**k > 0.5 for k in (1, 2, 3)] == [False, False, True]
    assert seen(wrappers.reset_on_collapse(counting_method(), share=0.5), clips=24) == [0, 1, 2, 0, 1, 2]


def test_reset_rules_by_name():
    assert wrappers.with_reset(counting_method(), "none").passes == (1, 1)
    assert seen(wrappers.with_reset(counting_method(), "every:1")) == [0, 0, 0]
    for rule in ("sometimes", "every:²", "every:٣", "every:0", "every:-1", "every:"):
        with pytest.raises(
            BadInput, match=f"^reset rule '{rule}': expected none, domain, collapse or every:K with a nu"
        ):
            wrappers.with_reset(counting_method(), rule)


def test_a_domain_reset_gives_each_domain_the_first_state():
    method = counting_method()
    stream = streams.batches(streams.continual(jax.random.key(1), 8, 3), 4)
    run, info = protocols.compiled(method), INFO
    waves = np.zeros((24, 2), np.float32)

    def of(fresh):
        state = method.init(variables(), info)
        steps = protocols.online(run, state, waves, batch_size=4, key=jax.random.key(0), stream=stream, fresh=fresh)
        return [float(step.logits[0, 0]) for step in steps]

    assert of(None) == [0, 1, 2, 3, 4, 5]
    assert of(lambda: method.init(variables(), info)) == [0, 1, 0, 1, 0, 1]


def test_continual_sees_each_domain_whole_and_never_mixes_a_batch():
    stream = streams.continual(jax.random.key(2), 10, 3)
    assert sorted(stream.rows) == list(range(30))
    assert np.array_equal(stream.rows // 10, stream.domains)
    cut = streams.batches(stream, 4)
    assert [b.domain for b in cut] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert [b.opens for b in cut] == [True, False, False] * 3
    assert [b.weights.sum() for b in cut] == [4, 4, 2] * 3
    assert not np.array_equal(stream.rows[:10], stream.rows[10:20] - 10)
    assert np.array_equal(stream.rows[:10], streams.shuffled(jax.random.key(2), 10).rows)


def test_mixed_shows_every_clip_once_in_some_domain():
    stream = streams.mixed(jax.random.key(3), 400, 4)
    assert sorted(stream.rows % 400) == list(range(400))
    assert np.all(np.bincount(stream.rows // 400) > 70)  # 100 expected, standard deviation 8.7
    assert np.array_equal(stream.rows, streams.mixed(jax.random.key(3), 400, 4).rows)


def runs(labels):
    return 1 + int(np.sum(labels[1:] != labels[:-1]))


def test_correlated_streams_keep_every_clip_and_group_classes():
    labels = np.arange(600) % 6
    plain = streams.shuffled(jax.random.key(4), 600).rows
    tight = streams.correlated(jax.random.key(4), labels, 0.1).rows
    loose = streams.correlated(jax.random.key(4), labels, 100.0).rows
    assert sorted(tight) == sorted(loose) == list(range(600))
    assert runs(labels[tight]) <= 36  # one run a class and slot at the most
    assert 31 <= runs(labels[loose]) <= 36  # at a slot's border two runs of one class may meet
    assert runs(labels[plain]) > 400


def test_label_shift_is_a_long_tail():
    labels = np.arange(600) % 6
    rows = streams.label_shift(jax.random.key(5), labels, 10.0).rows
    counts = sorted(np.bincount(labels[rows]), reverse=True)
    assert counts == [round(100 * 10 ** (-r / 5)) for r in range(6)]
    assert len(set(rows)) == len(rows)
    assert sorted(streams.label_shift(jax.random.key(5), labels, 1.0).rows) == list(range(600))


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("online", {"k": 1}, "protocol online has no option 'k': valid ones with their values are reset=none"),
        ("correlated", {"concentration": "x"}, "option concentration is 'x', expected a float"),
        ("correlated", {"concentration": "0"}, "option concentration is 0.0, expected a number above 0"),
        (
            "continual",
            {"order": "later"},
            "unknown order of protocol continual 'later': expected predict_first or adapt_first",
        ),
        ("correlated", {"concentration": "nan"}, "option concentration is nan, expected a number above 0"),
        ("label_shift", {"imbalance": 0.5}, "option imbalance is 0.5, expected a number from 1 on"),
        ("episodic", {"updates": 0}, "option updates is 0, expected a number from 1 on"),
        ("timed", {"budget": 0}, "option budget is 0.0, expected a number above 0"),
        ("weekly", {}, r"unknown protocol 'weekly': expected offline, online or episodic \(11 names: --list\)"),
    ],
)
def test_bad_protocol_options_are_refused_in_one_sentence(name, given, message):
    with pytest.raises(ValueError, match=message):
        protocols.resolve_options(name, given)


@pytest.mark.slow
def test_streams_are_functions_of_protocol_and_key():
    labels = np.arange(60) % 4
    orders = {}
    for name, protocol in protocols.PROTOCOLS.items():
        if protocol.epochs:
            continue
        options = protocols.resolve_options(name, {})
        made = [
            protocols.make_stream(name, jax.random.key(s), clips=60, domains=2, labels=labels, options=options)
            for s in (0, 0, 1)
        ]
        assert np.array_equal(made[0].rows, made[1].rows)
        assert not np.array_equal(made[0].rows[:20], made[2].rows[:20])
        orders[name] = protocols.order_checksum(made[0].rows)
    assert len({orders[name] for name in ("online", "mixed", "correlated", "label_shift")}) == 4


ORDERS = {
    "online": ("56b3620c7f59", "c856ef49db07"),
    "episodic": ("56b3620c7f59", "c856ef49db07"),
    "continual": ("56b3620c7f59", "c856ef49db07"),
    "gradual": ("56b3620c7f59", "c856ef49db07"),
    "mixed": ("56b3620c7f59", "1b17c0163545"),
    "correlated": ("892beddfd5c0", "892beddfd5c0"),
    "batch1": ("56b3620c7f59", "c856ef49db07"),
    "label_shift": ("b3bdd8fe7957", "b3bdd8fe7957"),
    "timed": ("56b3620c7f59", "c856ef49db07"),
    "forgetting": ("56b3620c7f59", "c856ef49db07"),
}
"""Checksums of rows and domains: 60 clips of 4 classes in one and in two domains, key 7, default options."""


@pytest.mark.parametrize("name", [name for name, p in protocols.PROTOCOLS.items() if not p.epochs])
def test_orders_never_change(name):
    options, found = protocols.resolve_options(name, {}), []
    for domains in (1, 2):
        key, labels = jax.random.key(7), np.arange(60) % 4
        made = protocols.make_stream(name, key, clips=60, domains=domains, labels=labels, options=options)
        found.append(protocols.order_checksum(np.concatenate([made.rows, made.domains])))
    assert tuple(found) == ORDERS[name]


def test_a_protocol_of_the_users_own_takes_the_same_road():
    name = "tests.tta.foreign:THINNED"
    options = protocols.resolve_options(name, {"stride": "3"})
    assert options == {"reset": "none", "order": "predict_first", "stride": 3}
    labels = np.zeros(10, int)
    made = protocols.make_stream(name, jax.random.key(0), clips=10, domains=1, labels=labels, options=options)
    assert len(made.rows) == 4 == len(set(made.rows))
    with pytest.raises(BadInput, match="THINNED: option stride is 0, expected a number from 1 on"):
        protocols.resolve_options(name, {"stride": 0})
    with pytest.raises(BadInput, match=r"foreign:NOT_A_FACTORY' is an int, expected a dhauds_jax"):
        protocols.check_protocol("tests.tta.foreign:NOT_A_FACTORY")


def test_batches_of_one_clip_and_weights():
    batch = Batch(jnp.ones((3, 2)), jnp.asarray([1.0, 1.0, 0.0]), jnp.arange(3, dtype=jnp.int32))

    def predict(state, batch):
        return jnp.full((batch.wave.shape[0], 1), batch.weights.sum())

    method = counting_method()._replace(predict=predict)
    logits = protocols.compiled(method).predict_alone(method.init(variables(), INFO), batch)
    assert np.array_equal(np.asarray(logits)[:, 0], [1, 1, 1])
