"""Every method beside its authors' own code, on `peers_tiny_bn.npz`.

The tolerances are those that came with the file: float64 agrees to rounding (1e-14), float32 to 1e-5 here.
"""

import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.nets.normalisers import batch_frozen, running
from dhauds_jax.tta import methods
from dhauds_jax.types import Mode
from tests.tta.peers import net
from tests.tta.peers.cases import CASES
from tests.tta.peers.compared import TOLERANCES, differences

QUICK = ("norm_alpha0.5", "tent_fast", "lame_rbf5")
SINGLE = tuple({case.method: name for name, case in CASES.items()}.values())
"""A case a method, the last one: where there are several rates, one at which the method moves."""


def cases(names, quick=()):
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in names]


def test_every_case_of_the_file_is_here():
    held = {name.partition("/")[0] for name in net.GOLD if "/" in name} - {"net", "data", "start"}
    assert set(CASES) == held and len(held) == 40
    assert len(SINGLE) == 16


@pytest.mark.parametrize("which, norm", [("running", running), ("batch", batch_frozen)])
def test_the_net_is_theirs(which, norm):
    """Before any method: logits and embeddings of the first batch, by either statistics."""
    wave = net.batch(0, jnp.float32).wave
    found, _ = net.classifier().apply(net.variables(jnp.float32), wave, mode=Mode(False, norm))
    for name, ours in (("logits", found.logits), ("embedding", found.embedding)):
        np.testing.assert_allclose(ours, net.GOLD[f"start/{name}_{which}"][0], rtol=0, atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_method_is_its_authors_to_rounding(name):
    found = differences(name, "float64")
    assert max(found.values()) < TOLERANCES["float64"], found


@pytest.mark.parametrize("name", cases(dict.fromkeys([*QUICK, *SINGLE]), QUICK))
def test_a_method_is_its_authors_in_single_precision(name):
    found = differences(name, "float32")
    assert max(found.values()) < TOLERANCES["float32"], found


def test_the_former_blend_was_another():
    """Biased variance of 512 positions: 1/512 of the variance, 7e-3 in the logits."""
    with_biased = net.run("norm", jnp.float32, {"statistics": "blend", "alpha": 0.5, "moments": "biased"})
    gap = np.abs(with_biased.logits - net.case("norm_alpha0.5")["logits"]).max()
    assert gap == pytest.approx(7.2e-3, abs=1e-4)


@pytest.mark.parametrize("name", sorted({case.method for case in CASES.values()}))
def test_a_recipe_names_options_of_its_method(name):
    """A misspelt one would be handed to the factory."""
    recipes = methods.declared(methods.factory(name)).recipes
    assert set(recipes) <= {"authors_cifar", "authors_imagenet"}
    for options in recipes.values():
        assert set(options) <= set(methods.default_options(name, "reference"))
