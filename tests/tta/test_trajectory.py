"""The whole two-view adaptation of the trained AMAuT against PyTorch's float64 run: 12 updates in 4 epochs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from converters import amaut
from dhauds_jax.nets import zoo
from dhauds_jax.tta import protocols
from dhauds_jax.tta.methods.dhauds import dhauds
from dhauds_jax.types import Batch, RunInfo
from tests.paths import golden, largest_error

BATCH = 16


@pytest.fixture(scope="module")
def trained():
    """The trained AMAuT, fed with features and without token dropout, as the golden was made."""
    config = zoo.preset("amaut_arabic15")
    config = config.replace(geometry={**config.geometry, "token_dropout": 0.0})
    classifier = zoo.build(config)
    weights = golden("amaut_arabic15")
    sides = [
        {k.split("/", 1)[1]: v for k, v in weights.items() if k.startswith(side)} for side in ("encoder/", "head/")
    ]
    variables = amaut.from_torch(*sides, config).variables
    return classifier._replace(apply=classifier.apply_features), variables


@pytest.mark.slow
def test_losses_logits_and_statistics_follow_pytorch(trained):
    classifier, variables = trained
    g = golden("tta_trajectory")
    names = ("lr", "backbone", "classifier_rate", "nucnm", "ent", "gent", "q", "mse", "cardinality", "gamma")
    options = dict(zip((*names, "threshold", "momentum"), (float(h) for h in g["hyper"]), strict=True))
    options["cardinality"], options["threshold"] = int(options["cardinality"]), int(options["threshold"])
    pairs = np.stack([g["view1"], g["view2"]], 1).transpose(0, 1, 3, 2)
    method = dhauds(classifier, **options, views=lambda key, batch: (batch.wave[:, 0], batch.wave[:, 1]))
    run = protocols.compiled(method)
    state = method.init(variables, RunInfo(steps_per_epoch=3, clips=48, classes=15))

    def logits_now():
        return run.predict(state, Batch(jnp.asarray(pairs[:, 0]), jnp.ones(48), jnp.arange(48)))

    assert largest_error(logits_now(), g["logits"][0]) < 1e-3
    losses = []
    for epoch in range(4):
        for i in range(3):
            rows = np.arange(i * BATCH, (i + 1) * BATCH)
            batch = Batch(jnp.asarray(pairs[rows]), jnp.ones(BATCH), jnp.asarray(rows, jnp.int32))
            state, prediction = run.step(state, batch, jax.random.key(0))
            losses.append([float(prediction.losses[k]) for k in ("total", "nucnm", "entropy", "gent", "consistency")])
        assert largest_error(logits_now(), g["logits"][epoch + 1]) < 1e-3
    assert largest_error(losses, g["losses"]) < 1e-5
    encoder, head = amaut.to_pair(state.variables, classifier.config)
    statistics = {name[3:]: wanted for name, wanted in g.items() if name.startswith("bn/")}
    assert len(statistics) == 32
    for name, wanted in statistics.items():
        side = head if name.startswith("classifier.") else encoder
        np.testing.assert_allclose(side[name.removeprefix("classifier.")], wanted, rtol=1e-4, atol=1e-5)
