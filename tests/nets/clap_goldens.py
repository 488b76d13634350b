"""What the tests of CLAP share: a golden's state dict, its record, its towers' variables."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from converters import clap
from converters.mapping import canonical, to_flax
from dhauds_jax.nets import clap_zoo
from tests.goldens.golden_weights import golden_state_dict
from tests.paths import GOLDENS, golden

TINY = ("clap_base_hf", "clap_base_hf_fused", "clap_laion_names", "clap_laion_names_fused")
FULL = ("clap_htsat_unfused_hf", "clap_htsat_fused_hf")


def raw_state(name):
    """The state dict under the file's own names, with the statistics and tables that the golden holds itself."""
    state = golden_state_dict(str(GOLDENS / f"{name}.spec.json"))
    for key, array in golden(name).items():
        if key.startswith(("bn/", "buffer/")):
            state[key.split("/", 1)[1]] = array
    return state


@functools.lru_cache(maxsize=4)
def towers(name):
    """The record of a tiny golden and its variables; text heads are what no shape shows."""
    state = canonical(raw_state(name))
    style = clap.style_of(state)
    config = clap.inferred(state, style)
    if name in TINY:
        config = config.replace(text={**config.text, "heads": 4})
    shapes = clap_zoo.shapes(clap_zoo.build_audio_text(config))
    return config, to_flax(state, clap.leaves(config, style), clap.IGNORE[style], shapes).variables


def features(name):
    """(batch, channels, frames, mels) dB that a tiny golden was computed from, and which rows are longer."""
    numbers = golden(name)
    rows = numbers["rows"]
    found = golden("clap_base_hf")["db"].astype(np.float32)[rows]
    return (found[:, None] if rows.ndim == 1 else found), numbers["is_longer"].reshape(-1)


def drawn(shapes):
    """Variables of such shapes, from NumPy: to compile a net's `init` takes longer than most tests of it.

    Norms' scales and variances lie about 1, kernels keep the size of what they multiply, all else is small.
    """
    rng = np.random.default_rng(0)

    def leaf(path, shape):
        values, name = rng.normal(size=shape.shape), path[-1].key
        if name in ("scale", "var"):
            return jnp.asarray(1 + 0.1 * np.abs(values), jnp.float32)
        size = shape.shape[-2] ** -0.5 if name == "kernel" else 0.05
        return jnp.asarray(size * values, jnp.float32)

    return jax.tree_util.tree_map_with_path(leaf, shapes)


def unit(x):
    """Rows of length 1."""
    return np.asarray(x) / np.linalg.norm(np.asarray(x), axis=-1, keepdims=True)
