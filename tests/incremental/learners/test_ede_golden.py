"""EDE against its own modules: outputs, the base update, three steps and a whole session of the published learner."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.incremental import base_training, dual
from dhauds_jax.incremental.learners import ede
from dhauds_jax.nets import zoo
from dhauds_jax.types import Shots
from tests.incremental.learners import ede_golden as given
from tests.paths import largest_error

pytestmark = pytest.mark.slow
KEY = jax.random.key(0)


def near(found, wanted, tolerance):
    assert largest_error(found, wanted) < tolerance * np.abs(np.asarray(wanted)).max()


def kernel_of(rows, blocks, width=48):
    """PyTorch's (classes, blocks * width) as (blocks, width, room)."""
    made = np.zeros((blocks, width, given.ROOM), np.float32)
    made[:, :, : len(rows)] = rows.reshape(len(rows), blocks, width).transpose(1, 2, 0)
    return jnp.asarray(made)


def session_1():
    """Shots of classes 5 to 9."""
    rows = np.arange(25, 50)
    labels = jnp.asarray(given.numbers()["labels"][rows], jnp.int32)
    return Shots(jnp.asarray(given.inputs()[rows]), labels, jnp.ones(25), jnp.ones(25), jnp.asarray(rows))


def place_of(rows):
    """Positions among the session's rows, new clips first, then an exemplar a class of the room."""
    exemplars = {int(row): 25 + k for k, row in enumerate(given.numbers()["exemplar_rows"])}
    return [int(row) - 25 if row >= 25 else exemplars[int(row)] for row in rows]


def orders_of(batches):
    made = [place_of(rows) for rows in batches]
    return jnp.asarray([row + [k for k in range(35) if k not in row] for row in made], jnp.int32)


@pytest.fixture
def published_draws(monkeypatch):
    """The heads' fresh weights that the published run drew."""
    drawn = (
        kernel_of(given.numbers()["draw_fc"], 2),
        jnp.zeros((48, 11)).at[:, :6].set(given.numbers()["draw_aux_fc"].T),
    )
    monkeypatch.setattr(dual, "draw_heads", lambda key, heads, session: drawn)


def test_outputs_are_the_published_ones():
    wanted = given.numbers()
    near(given.inputs()[50:52, :38], wanted["tokens_G"], 1e-5)
    learner, state = given.learner()
    sizes = learner.learn.__self__._sizes(48)
    parts = dual.vectors_of(state.params["adapters"], sizes, given.inputs()[:, :38], given.inputs()[:, 38], 1, 3)
    near(parts[:, 1], wanted["fwd_embedding"], 1e-5)
    near(parts[:, :2].reshape(60, 96), wanted["fwd_dual_embedding"], 1e-5)
    rows = np.zeros((given.ROOM, 3, 48), np.float32)
    rows[:5, :2] = given.state_dict()["cos_fc.weight"].reshape(5, 2, 48)
    found = dual.logits_of(state.heads._replace(prototypes=jnp.asarray(rows)), parts, 16.0)
    near(found["linear"][:, :5], wanted["fwd_logits"], 1e-5)
    near(found["prototype"][:, :5], wanted["fwd_cos_logits"], 1e-5)


def test_session_0_is_the_published_update(monkeypatch):
    """All that changed changes as published, and nothing else."""
    wanted, state_dict = given.numbers(), given.state_dict()
    learner, state = given.learner()
    classifier = zoo.build(given.config())._replace(features=lambda inputs: inputs)
    learner = learner._replace(prepare=learner.prepare.__self__._replace(classifier=classifier).prepare)
    monkeypatch.setattr(dual, "extended", lambda heads, *rest: (heads.kernel, heads.bias))
    monkeypatch.setattr(base_training, "draw_orders", lambda *given: jnp.asarray(wanted["base_order"][None], jnp.int32))
    labels = jnp.asarray(wanted["labels"][:25], jnp.int32)
    shots = Shots(given.features()[:25], labels, jnp.ones(25), jnp.ones(25), jnp.arange(25))
    variables = given.encoder("TaskAgnosticExtractor")
    moved, after = jax.jit(learner.prepare)(variables, state, shots, KEY)
    np.testing.assert_array_equal(
        moved["params"]["initial"]["blocks"]["out"]["kernel"], variables["params"]["encoder"]["blocks"]["out"]["kernel"]
    )
    encoder, before = moved["params"]["encoder"], variables["params"]["encoder"]
    change = jax.tree.map(lambda a, b: np.asarray(a, np.float64) - np.asarray(b, np.float64), encoder, before)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(change["layer_norm"]))
    found = {
        "cls_token": change["cls_token"][None, None],
        "dist_token": change["dist_token"][None, None],
        "pos_embed": change["positions"][None],
        "patch_embed.proj.bias": change["patch_embed"]["bias"],
        "blocks.0.norm1.weight": change["blocks"]["layer_norm1"]["scale"][0],
        "blocks.0.attn.qkv.weight": change["blocks"]["qkv"]["kernel"][0].T,
        "blocks.2.mlp.fc1.bias": change["blocks"]["mlp1"]["bias"][2],
        "blocks.2.mlp.fc2.weight": change["blocks"]["mlp2"]["kernel"][2].T,
    }
    found = {f"TaskAgnosticExtractor.v.{name}": leaf for name, leaf in found.items()}
    own = jax.tree.map(lambda leaf: leaf[0], after.params["adapters"])
    for key, (path, turned) in given.adapter_leaves("AdaptiveExtractors.0").items():
        leaf = given.at(own, path)
        found[key] = np.asarray(leaf.T if turned else leaf, np.float64) - state_dict[key]
    found["fc.weight"] = np.asarray(after.heads.kernel[0, :, :5].T, np.float64) - state_dict["fc.weight"]
    found["fc.bias"] = np.asarray(after.heads.bias[:5], np.float64) - state_dict["fc.bias"]
    checked = [key.removeprefix("base_change/") for key in wanted if key.startswith("base_change/")]
    assert len(checked) == 14
    for name in checked:
        near(found[name], wanted[f"base_change/{name}"], 3e-3)
    norms = dict(zip(wanted["base_change_names"].tolist(), wanted["base_change_norms"]))
    for name, leaf in found.items():
        assert np.linalg.norm(leaf) == pytest.approx(norms[name], rel=3e-3), name
    tokens = jax.jit(lambda v, f: classifier.tap(v, f, "tokens"))(moved, given.features())
    assert tokens.shape == (60, 39, 48)
    tokens = jnp.concatenate([tokens[:, :38], given.inputs()[:, 38:]], 1)
    after = after._replace(session=jnp.int32(1), seen=(jnp.arange(given.ROOM) < 5).astype(jnp.float32))
    near(learner.predict(after, tokens)["linear"][:, :5], wanted["base_logits"], 1e-5)


def test_heads_grow_as_published(published_draws):
    wanted = given.numbers()
    learner, state = given.learner()
    state = given.after_session_0(learner, state)
    near(state.heads.prototypes[:5, :2].reshape(5, 96), wanted["proto_session0"], 1e-5)
    seen = jnp.ones(given.ROOM)
    drawn, _ = dual.draw_heads(KEY, state.heads, state.session)
    kernel, bias = dual.extended(state.heads, drawn, state.session, state.seen, seen)
    np.testing.assert_allclose(kernel, kernel_of(wanted["ext_fc_weight"], 2), atol=1e-7)
    np.testing.assert_allclose(bias, wanted["ext_fc_bias"], atol=1e-7)


def test_old_prototypes_are_replaced_by_one_exemplar_as_published():
    """Before the training, the new adapter a copy of the old."""
    learner, state = given.learner()
    state = given.after_session_0(learner, state)
    shots = session_1()
    parts = jnp.asarray(shots.inputs)
    sizes = learner.learn.__self__._sizes(48)
    stack = jax.tree.map(lambda leaf: leaf.at[1].set(leaf[0]), state.params["adapters"])
    vectors = dual.vectors_of(stack, sizes, parts[:, :38], parts[:, 38], 2, 3)
    kept = dual.rows_of(state.memory)
    kept = kept._replace(vectors=kept.vectors.at[:, 2].set(kept.vectors[:, 1]))
    new = dual.Rows(parts[:, :38], vectors, shots.labels, shots.weights)
    heads = dual.with_prototypes(state.heads, new, kept, jnp.int32(1), True)
    near(heads.prototypes.reshape(10, 144), given.numbers()["proto_before"], 1e-5)
    assert largest_error(heads.prototypes[:5, :2], state.heads.prototypes[:5, :2]) > 0.1
    ours = dual.with_prototypes(state.heads, new, kept, jnp.int32(1), False)
    np.testing.assert_allclose(ours.prototypes[:5, :2], state.heads.prototypes[:5, :2], atol=1e-6)
    near(ours.prototypes[:, 2], given.numbers()["proto_before"].reshape(10, 3, 48)[:, 2], 1e-5)


def learnt(monkeypatch, batches, epochs):
    """Session 1 over given batches."""
    monkeypatch.setattr(ede, "draw_orders", lambda *given: orders_of(batches))
    learner, state = given.learner(epochs=epochs)
    state = given.after_session_0(learner, state)
    return learner, state, *jax.jit(learner.learn)(state, session_1(), KEY)


def test_three_steps_are_the_published_ones(monkeypatch, published_draws):
    """Of ten clips each, an epoch together."""
    wanted = given.numbers()
    monkeypatch.setattr(ede, "DESCENT", ede.DESCENT._replace(batch=10))
    learner, before, after, losses = learnt(monkeypatch, [wanted["steps3_batches"].reshape(-1)], 1)
    start = before.params["adapters"]
    told = [float(losses["loss"]), float(losses["aux"])]
    np.testing.assert_allclose(told, wanted["steps3_losses"].mean(0), rtol=3e-6)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[0], b[0]), after.params["adapters"], start)
    near(after.heads.kernel, kernel_of(wanted["steps3_fc_weight_by_step"][2], 2), 1e-5)
    own = jax.tree.map(lambda a, b: a[1] - b[0], after.params["adapters"], start)  # it starts as a copy
    for key, (path, turned) in given.adapter_leaves("AdaptiveExtractors.1").items():
        leaf = given.at(own, path)
        near(leaf.T if turned else leaf, wanted[f"steps3_change/{key}"], 3e-3)
    found = learner.predict(after, given.inputs())
    near(found["linear"], wanted["steps3_logits"], 1e-5)
    near(found["prototype"], wanted["steps3_cos_logits"], 1e-5)
    near(after.heads.prototypes.reshape(10, 144), wanted["steps3_proto"], 1e-5)


def test_auxiliary_targets_are_the_published_ones():
    wanted = given.numbers()
    labels = jnp.concatenate([session_1().labels, jnp.arange(given.ROOM)])
    new = jnp.concatenate([jnp.ones(25), jnp.zeros(given.ROOM)])
    targets = dual.auxiliary(labels, new, (jnp.arange(given.ROOM) >= 5).astype(jnp.float32))
    for batch, told in zip(wanted["steps3_batches"], wanted["steps3_aux_targets"]):
        np.testing.assert_array_equal(targets[jnp.asarray(place_of(batch))], told)


@functools.cache
def whole():
    """The whole published session, by the learner's own program."""
    patch = pytest.MonkeyPatch()
    wanted = given.numbers()
    drawn = kernel_of(wanted["draw_fc"], 2), jnp.zeros((48, 11)).at[:, :6].set(wanted["draw_aux_fc"].T)
    patch.setattr(dual, "draw_heads", lambda key, heads, session: drawn)
    try:
        return learnt(patch, wanted["session_orders"], 100)
    finally:
        patch.undo()


def test_the_whole_session_is_the_published_one():
    wanted = given.numbers()
    learner, before, after, losses = whole()
    assert float(losses["loss"]) == pytest.approx(wanted["session_losses"][-2:, 0].mean(), rel=1e-4)
    found = jax.jit(learner.predict)(after, given.inputs())
    near(found["linear"], wanted["session_logits"], 1e-5)
    near(found["prototype"], wanted["session_cos_logits"], 1e-5)
    near(after.heads.prototypes.reshape(10, 144), wanted["session_proto"], 1e-5)
    near(after.heads.kernel, kernel_of(wanted["session_fc_weight"], 2), 1e-5)
    near(after.heads.bias, wanted["session_fc_bias"], 1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_array_equal(a[0], b[0]), after.params["adapters"], before.params["adapters"]
    )


@pytest.mark.parametrize("count", [1, 3])
def test_exemplars_and_nearest_means_are_the_published_ones(count):
    """Of the five shots; old classes have the one that they had."""
    wanted = given.numbers()
    learner, _, after, _ = whole()
    old, sizes = after.memory, (given.ROOM, count)
    room = [np.zeros((*sizes, *leaf.shape[2:]), np.float32) for leaf in (old.tokens, old.vectors, old.weights)]
    for made, leaf in zip(room, old[:3]):
        made[:, :1] = leaf
    memory = old._replace(tokens=jnp.asarray(room[0]), vectors=jnp.asarray(room[1]), weights=jnp.asarray(room[2]))
    done = jax.jit(learner.remember)(after._replace(memory=memory), session_1(), KEY)
    tokens = given.inputs()[:, :38]
    for label, rows in enumerate(wanted[f"herding{count}_rows"]):
        np.testing.assert_allclose(done.memory.tokens[5 + label], tokens[rows], atol=1e-6)
    near(done.heads.means[:, :2].reshape(10, 96), wanted[f"nme{count}_class_means"], 1e-5)
    logits = np.asarray(jax.jit(learner.predict)(done, given.inputs()[50:])["nme"])
    np.testing.assert_array_equal(np.argsort(-logits, 1, kind="stable")[:, :5], wanted[f"nme{count}_nearest5"])
