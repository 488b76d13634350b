"""EDE made small by its own modules: its weights, tokens and state as ours."""

import functools

import jax
import jax.numpy as jnp

from converters import spectrogram
from converters.mapping import canonical, to_flax
from dhauds_jax.incremental import dual, learners
from dhauds_jax.nets import zoo
from dhauds_jax.nets.dual_embedding import mean_of_normed
from dhauds_jax.types import LearnerInfo
from tests.goldens.golden_weights import golden_state_dict
from tests.paths import GOLDENS, golden

CLASSES = tuple("abcde")
ROOM = 10
INFO = LearnerInfo(max_classes=ROOM, max_sessions=2, max_rows=25, shape=(38, 48), memory=1, clip_bytes=88200)
BLOCK = {"layer_norm1": "norm1", "layer_norm2": "norm2"}
LINEAR = {"qkv": "attn.qkv", "out": "attn.proj", "mlp1": "mlp.fc1", "mlp2": "mlp.fc2"}


@functools.cache
def numbers():
    return golden("ede_small")


@functools.cache
def state_dict():
    return golden_state_dict(str(GOLDENS / "ede_small.spec.json"))


@functools.cache
def config():
    sizes = {"width": 48, "heads": int(numbers()["heads"]), "mlp": 192, "depth": int(numbers()["depth"])}
    made = zoo.preset("ast_base_fsc89", CLASSES)
    return made.replace(geometry={**made.geometry, **sizes})


@functools.cache
def features():
    return (jnp.asarray(numbers()["features"]) + 4.26) / 9.14


def encoder(name):
    """Variables of G ("TaskAgnosticExtractor") or I ("intit_extractor"), with a head that nothing reads."""
    state = {key.removeprefix(f"{name}."): leaf for key, leaf in state_dict().items() if key.startswith(f"{name}.")}
    leaves = spectrogram.encoder_leaves(config().geometry, "original")
    made = to_flax(canonical(state), leaves, spectrogram.IGNORE).variables
    return {**made, "batch_stats": {}}


def adapter_leaves(name):
    """Source key -> (place in an adapter's parameters, whether it is transposed), below "AdaptiveExtractors.j."."""
    found = {}
    for ours, theirs in BLOCK.items():
        found[f"{name}.last_block.{theirs}.weight"] = (("block", ours, "scale"), False)
        found[f"{name}.last_block.{theirs}.bias"] = (("block", ours, "bias"), False)
    for ours, theirs in LINEAR.items():
        found[f"{name}.last_block.{theirs}.weight"] = (("block", ours, "kernel"), True)
        found[f"{name}.last_block.{theirs}.bias"] = (("block", ours, "bias"), False)
    found[f"{name}.norm.weight"] = (("layer_norm", "scale"), False)
    found[f"{name}.norm.bias"] = (("layer_norm", "bias"), False)
    return found


def at(tree, path):
    return functools.reduce(lambda node, key: node[key], path, tree)


def adapter():
    """A_0's parameters."""
    tree = {"block": {name: {} for name in (*BLOCK, *LINEAR)}, "layer_norm": {}}
    for key, (path, turned) in adapter_leaves("AdaptiveExtractors.0").items():
        leaf = jnp.asarray(state_dict()[key])
        at(tree, path[:-1])[path[-1]] = leaf.T if turned else leaf
    return tree


@functools.cache
def inputs():
    """(60, 39, 48): G's tokens of all clips, and the mean of I's, normed by G's last norm as published."""
    tap = jax.jit(lambda v, f: zoo.build(config()).tap(v, f, "tokens"))
    general, initial = encoder("TaskAgnosticExtractor"), encoder("intit_extractor")
    first = mean_of_normed(tap(initial, features()), general["params"]["encoder"]["layer_norm"], 1e-6)
    return jnp.concatenate([tap(general, features()), first[:, None]], 1)


def learner(**options):
    """The learner and its state with A_0 and the linear head of the golden, before any session."""
    made = learners.make("ede", zoo.build(config()), {"profile": "reference", **options})
    state = made.init(encoder("TaskAgnosticExtractor"), INFO, jax.random.key(0))
    stack = jax.tree.map(lambda leaf, own: leaf.at[0].set(own), state.params["adapters"], adapter())
    kernel = state.heads.kernel.at[0, :, :5].set(state_dict()["fc.weight"].T)
    heads = state.heads._replace(kernel=kernel, bias=state.heads.bias.at[:5].set(state_dict()["fc.bias"]))
    return made, state._replace(params={**state.params, "adapters": stack}, heads=heads)


def after_session_0(made, state):
    """As after session 0 with the golden's weights: prototypes of the shots, one exemplar a class."""
    parts = dual.vectors_of(
        state.params["adapters"], made.learn.__self__._sizes(48), inputs()[:, :38], inputs()[:, 38], jnp.int32(1), 3
    )
    labels = jnp.asarray(numbers()["labels"], jnp.int32)
    shots = dual.Rows(inputs()[:25, :38], parts[:25], labels[:25], jnp.ones(25))
    none = dual.rows_of(state.memory)
    heads = dual.with_prototypes(state.heads, shots, none, jnp.int32(0), True)
    rows = numbers()["exemplar_rows"]
    memory = state.memory._replace(
        tokens=state.memory.tokens.at[:5, 0].set(inputs()[rows, :38]),
        vectors=state.memory.vectors.at[:5, 0].set(parts[rows]),
        weights=state.memory.weights.at[:5].set(1.0),
    )
    seen = (jnp.arange(ROOM) < 5).astype(jnp.float32)
    return state._replace(heads=heads, memory=memory, seen=seen, session=jnp.int32(1))
