"""Parameters of VGGish and of attention pooling from state dicts under the published names, for tests."""

import numpy as np


def linear(state, name):
    """A linear layer."""
    return {"kernel": state[f"{name}.weight"].T, "bias": state[f"{name}.bias"]}


def vggish_params(state, prefix=""):
    """The encoder's, of torchvggish's names."""
    convs = [f"{prefix}features.{place}" for place in (0, 3, 6, 8, 11, 13)]
    params = {
        f"conv{i + 1}": {"kernel": state[f"{name}.weight"].transpose(2, 3, 1, 0), "bias": state[f"{name}.bias"]}
        for i, name in enumerate(convs)
    }
    return params | {f"dense{i + 1}": linear(state, f"{prefix}embeddings.{2 * i}") for i in range(3)}


def pool_params(state):
    """The head's, of the dog-sound classifier's names."""
    kernels, biases = (np.split(state[f"attnpooling.in_proj_{kind}"], 3) for kind in ("weight", "bias"))
    attention = {n: {"kernel": k.T, "bias": b} for n, k, b in zip("qkv", kernels, biases, strict=True)}
    return {
        "attention": {**attention, "o": linear(state, "attnpooling.out_proj")},
        "classifier": linear(state, "classifier"),
    }
