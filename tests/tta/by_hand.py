"""Formulas of public libraries in numpy, in float64 and in words of our own: what new methods are held against."""

import jax
import jax.numpy as jnp
import numpy as np

from dhauds_jax.tta import methods
from dhauds_jax.types import Batch
from tests.tta import affine


def double(tree):
    """A tree whose floating-point leaves have 64 bits (where JAX has such numbers switched on)."""
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float64) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree)


def make(name, info=affine.INFO, **options):
    """As `affine.make`, in float64."""
    method = methods.make(name, affine.classifier(), methods.resolve_options(name, "reference", options))
    source = None if info.source is None else double(info.source)
    state = method.init(double(affine.VARIABLES), info._replace(source=source))
    return method._replace(step=jax.jit(method.step)), state


def batch(x, weights):
    """As `affine.batch`, in float64."""
    return Batch(*double((jnp.asarray(x), jnp.asarray(weights))), jnp.arange(len(x), dtype=jnp.int32))


def both(tree):
    """Scales and shifts of the affine classifier's moving leaves, one array."""
    leaves = tree["encoder"]["batch_norm"]
    return np.concatenate([leaves["scale"], leaves["bias"]]).astype(np.float64)


def log_softmax(z):
    z = z - z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def symmetric(z, w):
    """Of each row: half the cross-entropies both ways (mariodoebler/test-time-adaptation, utils/losses.py)."""
    return -0.5 * (np.exp(log_softmax(w)) * log_softmax(z)).sum(-1) - 0.5 * (
        np.exp(log_softmax(z)) * log_softmax(w)
    ).sum(-1)


def behind(projector, rows):
    """Linear, ReLU, linear, unit length; `projector` is (kernel, bias, kernel, bias)."""
    out = np.maximum(rows @ projector[0] + projector[1], 0) @ projector[2] + projector[3]
    return out / np.linalg.norm(out, axis=-1, keepdims=True)


def numbers_of(projector):
    """A projector of `dhauds_jax.tta.contrast` as one flat array."""
    leaves = [projector[layer][part] for layer in ("first", "second") for part in ("kernel", "bias")]
    return np.concatenate([np.asarray(leaf, np.float64).ravel() for leaf in leaves])


def projector_of(numbers, features, width):
    """What `behind` takes, from a flat array."""
    shapes = [(features, width), (width,), (width, width), (width,)]
    ends = np.cumsum([np.prod(shape) for shape in shapes])[:-1]
    return [part.reshape(shape) for part, shape in zip(np.split(numbers, ends), shapes, strict=True)]


def supervised_contrast(views, temperature):
    """Clip by clip and view by view (HobbitLong/SupContrast, losses.py, contrast mode "all", every clip a class)."""
    count, clips, _ = views.shape
    total = 0.0
    for v in range(count):
        for i in range(clips):
            others = [(u, j) for u in range(count) for j in range(clips) if (u, j) != (v, i)]
            products = {at: float(views[v, i] @ views[at]) / temperature for at in others}
            below = np.log(sum(np.exp(s) for s in products.values()))
            total -= np.mean([products[u, i] - below for u in range(count) if u != v])
    return total / (count * clips)


def alignment(projector, prototypes, plain, changed, temperature):
    """Of each clip the prototype of largest cosine, itself and its changed copy, projected and contrasted."""
    cosine = plain @ prototypes.T / np.linalg.norm(plain, axis=1)[:, None] / np.linalg.norm(prototypes, axis=1)
    views = [behind(projector, view) for view in (prototypes[cosine.argmax(1)], plain, changed)]
    return supervised_contrast(np.stack(views), temperature)


def slopes(loss, numbers):
    """Central differences of a function of one flat array in float64."""
    found = np.zeros_like(numbers)
    for place in range(numbers.size):
        step = np.zeros_like(numbers)
        step.flat[place] = 1e-6
        found.flat[place] = (loss(numbers + step) - loss(numbers - step)) / 2e-6
    return found
