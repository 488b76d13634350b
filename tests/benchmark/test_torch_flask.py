"""The published loop in PyTorch, as it is and batched, says what our engine says of the same weights."""

import jax
import numpy as np
import pytest

from dhauds_jax import calibration
from dhauds_jax.model import Model
from dhauds_jax.nets import zoo
from dhauds_jax.serve import engine
from dhauds_jax.types import Calibration
from tests.nets.vggish_weights import pool_params, vggish_params

torch = pytest.importorskip("torch", reason="torch is not installed")

from benchmarks import torch_flask, torch_vggish  # noqa: E402

WIDTHS, DENSE = (4, 8, 8, 8), (16, 16, 8)


def both(seed, monkeypatch):
    """A small VGGish with random weights, in PyTorch and as a model of ours at temperature 5."""
    monkeypatch.setitem(torch_vggish.SIZES, "tiny", (WIDTHS, DENSE, True, False))
    torch.manual_seed(seed)
    net = torch.nn.Sequential(torch_vggish.VGGish("tiny"), torch_vggish.Head(15, DENSE[-1])).eval()
    encoder, head = ({name: value.numpy() for name, value in part.state_dict().items()} for part in net)
    config = zoo.preset("vggish")
    geometry = {**config.geometry, "widths": list(WIDTHS), "dense": list(DENSE)}
    config = config.replace(geometry=geometry, head={**config.head, "mask": "none"})
    params = {"encoder": vggish_params(encoder), "head": pool_params(head)}
    variables = jax.tree.map(jax.numpy.asarray, {"params": params, "batch_stats": {}})
    extra = {"calibration": calibration.to_extra(Calibration(5.0, "auc", "max_probability"))}
    return net, Model(zoo.build(config), variables, config, extra)


@pytest.mark.slow
def test_the_published_loop_says_what_the_engine_says(monkeypatch):
    nets, models = zip(*(both(seed, monkeypatch) for seed in (0, 1)), strict=True)
    wave = np.random.default_rng(0).normal(scale=0.1, size=80_000).astype(np.float32)
    published = torch_flask.published(nets, wave, 3, 5.0)
    np.testing.assert_allclose(torch_flask.batched(nets, wave, 3, 5.0), published, rtol=0, atol=1e-6)
    served = engine.serve_models(models, views=3, shapes=(1,))
    # The log-mel of one is NumPy's in float64, that of the other JAX's in float32.
    np.testing.assert_allclose(served.predict(wave[None], np.ones(1)), published, rtol=0, atol=1e-5)
    assert np.ptp(published) > 1e-3
