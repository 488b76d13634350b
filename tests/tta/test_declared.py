"""Recipes and options that are left unsaid: what `--options` makes of them, and what names a cell."""

import sys

import jax
import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.tta import methods
from dhauds_jax.tta.declared import said as options_said
from dhauds_jax.tta.options import parse_options
from tests.tta import affine

OLDER = ("tent", "eata", "rdumb", "sar", "deyo", "roid", "lame", "note", "cotta", "memo")
WITH_RECIPES = (*OLDER, "rpl", "rmt", "cmf", "santa", "gtta", "adacontrast")


def resolved(method, **given):
    return methods.resolve_options(method, "reference", given)


def test_a_recipe_sets_options_before_those_that_are_given():
    found = resolved("memo", recipe="authors_imagenet", augmentations="16")
    assert (found["lr"], found["augmentations"], found["statistics"]) == (2.5e-4, 16, "blend")
    assert "recipe" not in found
    assert resolved("eata", recipe="authors_cifar")["fisher"] == 1.0
    texts = ["recipe=authors_imagenet", "eata.lr=0.5"]
    options = [parse_options(name, "corrected", texts, ["eata", "lame"]) for name in ("eata", "lame")]
    assert (options[0]["redundancy"], options[0]["lr"], options[1]["affinity"]) == (0.05, 0.5, "rbf")


@pytest.mark.parametrize("method", WITH_RECIPES)
def test_every_recipe_is_accepted_and_audio_is_the_default(method):
    assert resolved(method, recipe="audio") == resolved(method)
    for name, options in methods.declared(methods.factory(method)).recipes.items():
        found = {**methods.default_options(method, "reference"), **resolved(method, recipe=name)}
        assert {key: found[key] for key in options} == dict(options)
        assert methods.make(method, affine.classifier()._replace(config=None), found) if method != "note" else True


@pytest.mark.parametrize(
    "method, given, said",
    [
        (
            "memo",
            {"recipe": "mine"},
            "unknown recipe of method memo 'mine': expected audio, authors_cifar or authors",
        ),
        (
            "source",
            {"recipe": "audio"},
            "^method source has no recipes, expected options of its own; those of .* eata, ",
        ),
        ("lame", {"rate": "1"}, r"statistics=running, recipe=audio \(or authors_imagenet\)$"),
    ],
)
def test_an_unknown_recipe_is_said_with_those_there_are(method, given, said):
    with pytest.raises(BadInput, match=said):
        resolved(method, **given)


def test_the_recipes_of_younger_methods_have_the_rates_of_their_sources():
    """The configurations of github.com/mariodoebler/test-time-adaptation, classification/cfgs and conf.py."""
    rates = {"rpl": ("library", 5e-4), "santa": ("library", 0.01), "rmt": ("authors", 0.01), "cmf": ("authors", 2.5e-4)}
    for method, (whose, lr) in rates.items():
        cifar, imagenet = (resolved(method, recipe=f"{whose}_{images}") for images in ("cifar", "imagenet"))
        assert (cifar["optimiser"], cifar["lr"], cifar["evaluate"]) == ("adam", 1e-3, "batch")
        assert (imagenet["optimiser"], imagenet["lr"], imagenet["nesterov"]) == ("sgd", lr, True)
    assert resolved("gtta", recipe="authors_cifar")["lr"] == 1e-5
    assert resolved("adacontrast", recipe="library")["refine_after"] == 1024


@pytest.mark.parametrize("method", ["rpl", "santa", "rmt", "cmf"])
def test_nesterovs_momentum_reaches_the_optimiser_and_is_unsaid_where_it_is_off(method, monkeypatch):
    asked = []
    home = sys.modules["dhauds_jax.tta.methods.roid" if method == "cmf" else f"dhauds_jax.tta.methods.{method}"]
    real = home.sgd_or_adam
    monkeypatch.setattr(home, "sgd_or_adam", lambda *given: asked.append(given) or real(*given))
    classifier = affine.classifier()._replace(config=None)
    for nesterov in (False, True):
        options = resolved(method, optimiser="sgd", nesterov=nesterov)
        assert ("nesterov" in options_said(methods.factory(method), options)) == nesterov
        methods.make(method, classifier, {**methods.default_options(method, "reference"), **options})
    assert [given[1:2] + given[4:] for given in asked] == [("sgd", False), ("sgd", True)]


def test_young_options_are_said_only_where_they_change_something():
    assert "moments" not in resolved("norm") and "moments" not in resolved("suta")
    assert resolved("norm", statistics="blend")["moments"] == "unbiased"
    assert resolved("memo")["moments"] == "unbiased" and "moments" not in resolved("memo", statistics="running")
    assert "tolerance" not in resolved("lame") and resolved("lame", tolerance="1e-8")["tolerance"] == 1e-8
    assert "forward" not in resolved("dhauds") and resolved("dhauds", forward="together")["forward"] == "together"
    assert not {"optimiser", "loss"} & set(resolved("cotta"))
    for name in ("eata", "rdumb", "sar"):
        assert "few_classes" not in resolved(name)
        assert resolved(name, few_classes="as_given")["few_classes"] == "as_given"


def test_tent_by_sgd_has_momentum():
    """Two steps: `v = 0.9 v + g`, down by `lr v`."""
    method, state = affine.make("tent", optimiser="sgd", lr=0.1)
    numbers, velocity = np.array([affine.SCALE, affine.BIAS]), 0.0
    for seed in (1, 2):
        x = affine.wave(seed)
        p = affine.softmax(affine.normalised(x) * numbers[0] + numbers[1])
        slope = affine.affine_slope(affine.entropy_slope(p) / len(x), affine.normalised(x))
        velocity = 0.9 * velocity + np.array(slope)
        numbers = numbers - 0.1 * velocity
        state, _ = method.step(state, affine.batch(x), jax.random.key(0))
    np.testing.assert_allclose(affine.parameters(state), numbers, rtol=1e-4)
    with pytest.raises(BadInput, match="unknown optimiser of method tent 'mine': expected adam or sgd"):
        affine.make("tent", optimiser="mine")
