"""The table of hot spots: which limit binds, shares, and parts that compute the same in two ways."""

import jax
import numpy as np
import pytest

from dhauds_jax.benchmark import device, programs
from dhauds_jax.benchmark import parts as benchmark_parts
from dhauds_jax.benchmark.part_lists import FAMILIES, whole
from dhauds_jax.nets import zoo

SIZES = programs.Sizes(classes=3, batch=2, seconds=0.0, dtype="float32", compute=(), from_features=True)


@pytest.fixture
def known_device(monkeypatch):
    """2 TFLOP/s and 100 GB/s."""
    monkeypatch.setattr(device, "peak_flops", lambda dtype: 2e12)
    monkeypatch.setattr(device, "copy_bytes", lambda: 100e9)


@pytest.mark.parametrize(
    ("flops", "moved", "bound", "gap"),
    [(4e9, 100e6, "arithmetic", 5.0), (1e9, 500e6, "memory", 2.0), (None, 1e6, None, None), (1e9, None, None, None)],
)
def test_the_slower_limit_binds(known_device, flops, moved, bound, gap):
    found = benchmark_parts.limits(flops, moved, 0.01, "float32")
    assert found["bound"] == bound
    assert found["gap"] == (None if gap is None else pytest.approx(gap))
    assert (found["peak_tflops"], found["copy_gb_s"]) == (2.0, 100.0)


@pytest.mark.slow
def test_parts_that_do_the_same_give_the_same():
    given = programs.prepare("hubert_tiny", SIZES)
    parts = {part.name: part for part in FAMILIES["hubert"](given, SIZES)}

    def value(name):
        part = parts[name]
        return np.asarray(jax.jit(lambda p, x: part.function(p, x, None))(part.params, part.inputs))

    one = value("positional convolution, direct")
    np.testing.assert_allclose(value("positional convolution, fft"), one, atol=1e-5)
    stack = value("blocks, scan")
    np.testing.assert_allclose(value("blocks, unrolled"), stack, atol=1e-5)
    x = parts["block"].inputs
    for i in range(2):
        x = parts["block"].function(jax.tree.map(lambda p, i=i: p[i], parts["blocks, scan"].params["blocks"]), x, None)
    np.testing.assert_allclose(x, stack, atol=1e-5)


@pytest.mark.parametrize("net", ["amaut_tiny", "hubert_tiny"])
def test_parts_hold_all_weights_of_the_net(net):
    """Without those that another part holds too: what is left is tokens, positions and the last norm."""
    given = programs.prepare(net, SIZES)
    held = {"positional convolution, fft", "attention of a block", "feed-forward of a block", "block", "blocks, scan"}
    held |= {"front end, first with norm and GELU", "norm"}
    total = 0
    for part in FAMILIES[given.classifier.config.family](given, SIZES):
        own = sum(leaf.size for leaf in jax.tree.leaves(part.params))
        total += own * {"transformer block": part.times}.get(part.name, part.name not in held)
    params = given.variables["params"]
    encoder = params["encoder"]
    rest = ("cls_token", "tail_token", "positions", "layer_norm")
    missing = sum(leaf.size for name in rest if name in encoder for leaf in jax.tree.leaves(encoder[name]))
    assert total + missing == zoo.parameter_count(given.variables)


@pytest.mark.slow
def test_rows_and_table_of_an_amaut():
    rows = list(benchmark_parts.rows(["amaut_tiny"], SIZES, 2))
    names = list(dict.fromkeys(row["part"] for row in rows))
    assert names[:4] == ["whole", "stem", "residual stage 0", "residual stage 1"]
    assert {"transformer block", "head", "two-view loss", "log-mel", "Griffin-Lim, one round"} <= set(names)
    seconds = {(row["part"], row["direction"]): row["seconds"] for row in rows}
    for row in rows:
        base = seconds["whole", "forward" if row["direction"] == "forward" else "gradient"]
        assert row["share"] == pytest.approx(row["times"] * row["seconds"] / base)
        assert row["bound"] in ("arithmetic", "memory", None)
        assert (row["part"] == "time stretch, 32 rounds") == (row["gflop"] is None)
        assert row["gap"] is None or row["gap"] > 0.1
    counted = {(row["part"], row["direction"]): row["gflop"] for row in rows}
    assert counted["stem", "gradient"] > 1.9 * counted["stem", "forward"]
    lines = list(benchmark_parts.table(rows))
    assert len(lines) == len(rows) + 2 and len({line.count("|") for line in lines}) == 1
    assert lines[2].startswith("| amaut_tiny | whole | forward | 1 | ") and " 100.0 % " in lines[2]


@pytest.mark.slow
def test_the_whole_is_the_net():
    given = programs.prepare("amaut_tiny", SIZES)
    part = whole(given, SIZES)
    program = programs.forward_program(given, SIZES)
    found = jax.jit(lambda p, x: part.function(p, x, None))(part.params, part.inputs)
    np.testing.assert_allclose(found, jax.jit(program.function)(*program.args), atol=1e-6)
