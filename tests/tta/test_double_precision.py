"""Every method in a process that has 64-bit numbers switched on (JAX_ENABLE_X64): it runs, and stays in 32 bits."""

import jax
import pytest

from dhauds_jax.tta import methods, protocols
from dhauds_jax.types import Batch, RunInfo, SourceData
from tests.tta import tiny

QUICK = ("cotta", "note", "tent", "ttt")
"""Three that could not be traced, and one that could; the others are slow."""


def batch_of(clips):
    return Batch(*(jax.ShapeDtypeStruct((clips, *s), t) for s, t in (((tiny.LENGTH,), "f4"), ((), "f4"), ((), "i4"))))


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in methods.METHODS]
)
def test_states_and_predictions_stay_in_32_bits_where_64_are_switched_on(name):
    net = tiny.NETS["aux" if name == "ttt" else "batch_norm"]()
    variables = jax.eval_shape(lambda: tiny.variables_of(net, tiny.LENGTH))
    key, source = jax.eval_shape(lambda: jax.random.key(0)), SourceData(*batch_of(tiny.CLIPS)[:3:2])

    def run(variables, source, whole, batch, key):
        method = methods.make(name, net, methods.resolve_options(name, "reference", methods.contract_options(name)))
        state = method.init(variables, RunInfo(3, tiny.CLIPS, tiny.CLASSES, source, 8))
        if method.begin_epoch is not None:
            state = method.begin_epoch(state, (method.observe or method.predict)(state, whole), key)
        # `compiled` refuses a step that gives back a state of other types than it was given.
        after, said = protocols.compiled(method).method.step(state, batch, key)
        return state, said, method.predict(after, batch)

    with jax.enable_x64(True):
        found = jax.eval_shape(run, variables, source, batch_of(tiny.CLIPS), batch_of(8), key)
    types = {jax.tree_util.keystr(path): str(leaf.dtype) for path, leaf in jax.tree_util.tree_leaves_with_path(found)}
    assert {where: kind for where, kind in types.items() if "64" in kind} == {}
    assert types["[2]"] == "float32"
