"""Our weights under the names of the yardstick's networks, and small networks of every family."""

import jax
import numpy as np
import pytest

from converters import amaut, clap, conmix, hubert, spectrogram, vggish
from converters.heads import head_leaves
from converters.mapping import canonical_name, dense, flatten, prefixed, to_torch, unflatten
from dhauds_jax.nets import zoo

ENDINGS = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
CLASSES = ("one", "two", "three")


def config_of(net, **geometry):
    """A preset's record, made smaller or without dropout."""
    config = zoo.preset(net, CLASSES)
    return config.replace(geometry={**config.geometry, **geometry})


def with_mels(config, mels):
    """The record with another number of mel bands."""
    return config.replace(front_end={**config.front_end, "n_mels": mels})


SMALL_HUBERT = dict(
    convs=[[8, 10, 5], [8, 3, 2]],
    width=16,
    depth=1,
    feed_forward=32,
    projection_dropout=0.0,
    attention_dropout=0.0,
    inner_dropout=0.0,
    dropout=0.0,
    layer_drop=0.0,
)

CONFIGS = {
    "amaut": lambda: config_of("amaut_tiny"),
    "hubert": lambda: config_of("hubert_tiny", **SMALL_HUBERT).replace(length=400),
    "hubert_prenorm": lambda: config_of(
        "hubert_small", convs=[[8, 10, 5], [8, 3, 2]], width=32, depth=2, feed_forward=32
    ).replace(length=400, head={"kind": "audio_classifier", "hidden": 8, "features": 4}),
    "ssast": lambda: config_of("ssast_test"),
    "conmix": lambda: config_of("conmix_tiny"),
    # transformers' tower wants two rows of patches in the last stage, and windows that fit into it.
    "clap": lambda: with_mels(config_of("clap_test", window=2, mels=32), 32),
    "vggish": lambda: config_of("vggish", widths=[4, 8, 8, 8], dense=[16, 8]).replace(length=16000),
    "resnet": lambda: config_of("resnet_tiny"),
    "cnn": lambda: config_of("cnn_small", channels=[4, 8]).replace(length=8000),
}


def ast_config():
    """Sizes that transformers' AST has: square patches, two tokens, the mean of both read."""
    config = config_of("ssast_test", epsilon=1e-12)
    return config.replace(head={"kind": "token_pool", "pool": "cls", "prefix": 2, "epsilon": 1e-12})


def random_variables(config, seed=0):
    """Variables of a network, every leaf random, so that none can be exchanged unseen."""
    classifier = zoo.build(config)
    draw = np.random.default_rng(seed)

    def random(path, leaf):
        name, values = path[-1].key, draw.normal(size=leaf.shape).astype(np.float32)
        if "input_norm" in [part.key for part in path]:  # what PyTorch's side has of the config
            return np.full(leaf.shape, config.front_end[name], np.float32)
        if name == "var":
            return 0.5 + np.abs(values)
        if name == "scale" or path[-1].key == "g":
            return 1 + 0.2 * values
        fan = np.prod(leaf.shape[:-1]) if name in ("kernel", "v") and leaf.ndim > 1 else 4.0
        return values / np.sqrt(fan)

    return classifier, jax.tree_util.tree_map_with_path(random, zoo.shapes(classifier))


def _named(tree, top=""):
    """Children that are named as ours are: the ResNets."""
    found = {}
    for path, value in flatten(tree).items():
        array = np.asarray(value)
        if path[-1] == "kernel":
            array = array.T if array.ndim == 2 else array.transpose(3, 2, 0, 1)
        found[".".join([*([top] if top else []), *path[:-1], ENDINGS[path[-1]]])] = array
    return found


def _part(variables, leaves):
    paths = {path for each in leaves for path in each.paths}
    return to_torch(unflatten({path: np.asarray(v) for path, v in flatten(variables).items() if path in paths}), leaves)


def _body(config, variables, style):
    geometry, family = config.geometry, config.family
    if family in ("resnet", "cnn"):
        parts = [variables[kind]["encoder"] for kind in ("params", "batch_stats")]
        found = {key: value for part in parts for key, value in _named(part).items()}
        if family == "cnn":
            return {f"layers.{key}": value for key, value in found.items()}
        aux = [variables[kind]["aux"] for kind in ("params", "batch_stats")]
        found |= {key: value for part in aux for key, value in _named(part, "aux").items()}
        return {key.replace("aux.linear.classifier", "aux.linear"): value for key, value in found.items()}
    leaves = {
        "hubert": lambda: hubert.encoder_leaves(geometry, "torchaudio"),
        "amaut": lambda: prefixed(amaut.encoder_leaves(geometry), "net."),
        "spectrogram_transformer": lambda: spectrogram.encoder_leaves(geometry, style),
        "clap": lambda: prefixed(clap.audio_leaves(geometry, "huggingface", "encoder"), "audio_model.audio_encoder."),
        "vggish": lambda: vggish.encoder_leaves(geometry, "torch"),
        "conmix": lambda: [each for each in conmix.leaves(config, "torch") if each.keys[0].startswith("encoder/")],
    }[family]()
    return {key.removeprefix("encoder/"): value for key, value in _part(variables, leaves).items()}


def _head(config, variables):
    kind = config.head["kind"]
    leaves = {
        "token_pool": lambda: spectrogram.head_leaves("original"),
        "bottleneck": lambda: [
            each for each in conmix.leaves(config, "torch") if not each.keys[0].startswith("encoder/")
        ],
        "projected_tokens": lambda: [
            *dense("head/projection/dense1", "linear1"),
            *dense("head/projection/dense2", "linear2"),
            *dense("head/classifier", "classifier"),
        ],
        "attention_pool": vggish.head_leaves,
        "linear": lambda: dense("head/classifier", "fc"),
    }.get(kind, lambda: head_leaves(config.head))()
    return {key.split("/")[-1]: value for key, value in _part(variables, leaves).items()}


def state_of(config, variables, net):
    """Our variables as a state dict of the yardstick's network."""
    style = getattr(net.body, "style", "original")
    parts = {"body": _body(config, variables, style), "head": _head(config, variables)}
    return {f"{part}.{key}": np.array(value) for part, state in parts.items() for key, value in state.items()}


def network_of(config, variables, shape):
    """The yardstick's network with our weights; nothing but counters and unread norms is left as it was."""
    torch = pytest.importorskip("torch")
    from benchmarks.yardstick import nets

    record = {name: getattr(config, name) for name in ("family", "geometry", "head", "front_end")}
    net = nets.build({**record, "classes": len(config.classes), "shape": list(shape)})
    theirs = {canonical_name(key): key for key in net.state_dict()}
    state = {theirs[key]: torch.from_numpy(value) for key, value in state_of(config, variables, net).items()}
    missing, unexpected = net.load_state_dict(state, strict=False)
    unread = ("num_batches_tracked", "relative_position_index", "ffn_norm.weight", "ffn_norm.bias")
    assert not unexpected and all(key.endswith(unread) for key in missing), (missing, unexpected)
    return net
