"""Functions made inside others are checked like all others, though their checks are written once."""

import inspect

import jax.numpy as jnp
import pytest
from jaxtyping import Array, Float, jaxtyped

from tests import typecheck


def scaled(factor):
    @jaxtyped(typechecker=typecheck.check)
    def turned(x: Float[Array, "rows columns"], shift: int = factor) -> Float[Array, "columns rows"]:
        return factor * x.T + shift if factor < 3 else x

    return turned


def test_each_keeps_its_own_values_and_defaults():
    x = jnp.asarray([[1.0, 2.0, 3.0]])
    one, two = scaled(1), scaled(2)
    assert one(x).tolist() == [[2.0], [3.0], [4.0]]
    assert two(x).tolist() == [[4.0], [6.0], [8.0]]
    assert two(x, 0).tolist() == [[2.0], [4.0], [6.0]]
    assert inspect.signature(two).parameters["shift"].default == 2


@pytest.mark.parametrize("times", [1, 2, 3])
def test_each_refuses_what_its_signature_forbids(times):
    made = [scaled(1) for _ in range(times)][-1]
    with pytest.raises(TypeError, match=r"parameters of tests\.test_typecheck\.scaled\.<locals>\.turned"):
        made(jnp.zeros(3))
    with pytest.raises(TypeError, match="shift"):
        made(jnp.zeros((1, 3)), "one")
    with pytest.raises(TypeError, match=r"return value of tests\.test_typecheck\.scaled\.<locals>\.turned"):
        scaled(3)(jnp.zeros((1, 3)))


def test_the_checks_are_written_once():
    before = len(typecheck._MADE)
    scaled(1)
    written = len(typecheck._MADE)
    for factor in range(5):
        scaled(factor)
    assert len(typecheck._MADE) == written
    assert written - before <= 2
