"""Mixtures: parts in their order, drawn apart, on one axis; names, levels and what cannot be mixed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.cells import targets
from dhauds_jax.data import corruptions as C
from dhauds_jax.data.corruptions import draws as D
from dhauds_jax.data.corruptions.mixtures import part_of
from dhauds_jax.data.corruptions.noise import NoiseBank
from dhauds_jax.errors import BadInput
from tests.data.transmitted import IDS, LENGTH, RATE, WAVES, run

BANK = NoiseBank(("a", "b"), [np.random.default_rng(n).normal(size=9_000).astype(np.float32) for n in (1, 2)], RATE)


def test_names_and_levels():
    assert targets.expand(["CLI+TEL", "TEL+CLI:S0.3"], ["L1"]) == [("CLI+TEL", "L1"), ("TEL+CLI", "S0.3")]
    assert C.get("WHN+CLI").levels == ("L1", "L2") and C.get("CLI+TEL").parts == ("CLI", "TEL")
    assert C.public("CLI+TEL") == "CLI+TEL" and C.needs_noise("RIR+ENSC") and not C.needs_noise("RIR+MIC")
    assert C.joined(["CLI+TEL", "WHN", "CLI+TEL"]) == "(CLI+TEL)+WHN" and C.joined(["CLI+TEL"]) == "CLI+TEL"
    for name, said in (
        ("CLI+CLI", "names 2, 1 of them different, expected two that differ"),
        ("CLI+TEL+MIC", "names 3, 3 of them different"),
        ("CLI+TST", "TST cannot be mixed, expected two of WHN, "),
        ("ENQ+ENSC", "both mix in recordings"),
    ):
        with pytest.raises(BadInput, match=rf"^corruption {name.replace('+', '.')}: {said}"):
            C.get(name)
    with pytest.raises(BadInput, match=r"^unknown corruption 'CLJ': expected CLP or CLI"):
        C.parse_cell("CLJ+TEL")
    with pytest.raises(BadInput, match=r"^unknown level 'S0\.3' of WHN, expected L1 or L2; severities are of CLI, "):
        C.parse_cell("WHN+CLI:S0.3")


@pytest.mark.slow
def test_parts_are_carried_out_in_their_order_as_drawn():
    waves, draws = run("CLI+PLO", "L2")
    parts = [part_of(draws, ("CLI", "PLO"), place) for place in (0, 1)]
    clipped, _ = run("CLI", "L2", draws=parts[0])
    lost, _ = run("PLO", "L2", clipped, draws=parts[1])
    assert waves.tobytes() == lost.tobytes() != run("PLO+CLI", "L2")[0].tobytes()
    assert run("CLI+PLO", "S0")[0].tobytes() == WAVES.tobytes()
    one = C.apply(
        jnp.asarray(WAVES[3]),
        D.draw(D.clip_key(3, "synthetic", "CLI+PLO", "L2", IDS[3]), "CLI+PLO", "L2"),
        corruption="CLI+PLO",
        sample_rate=RATE,
    )
    np.testing.assert_allclose(one, waves[3], atol=1e-6)
    lines = D.records(IDS, draws, corruption="CLI+PLO", level="L2")
    assert set(lines[0]) == {"id", "corruption", "level", "key", "choices", "CLI", "PLO"}
    assert run("CLI+PLO", "L2", draws=C.replayed(lines))[0].tobytes() == waves.tobytes()


def test_parts_are_drawn_independently():
    ids = [f"clip/{i}" for i in range(3_000)]
    drawn = D.draw_set(ids, dataset="set", corruption="CLI+MIC", level="S1", seed=0)
    one, other = drawn.choices["CLI.clipped"], drawn.choices["MIC.noise_db"]
    assert abs(np.corrcoef(one, other)[0, 1]) < 5 / np.sqrt(3_000)
    keys = [jax.random.key_data(part_of(drawn, ("CLI", "MIC"), place).key) for place in (0, 1)]
    assert not np.any(np.all(np.asarray(keys[0]) == np.asarray(keys[1]), axis=1))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["CLI+ENSC", "PSH+TEL", "WHN+CDC", "MIC+PLO"])
def test_noises_pitches_and_codecs_are_parts_too(name):
    bank = BANK if "ENSC" in name else None
    waves, draws = run(name, "L1", bank=bank)
    assert np.isfinite(waves).all() and waves.shape == WAVES.shape
    rows = np.random.default_rng(0).permutation(len(IDS))[:5]
    some, _ = run(name, "L1", WAVES[rows], [IDS[i] for i in rows], bank=bank)
    np.testing.assert_allclose(some, waves[rows], atol=2e-4)  # PSH compiled otherwise in tests, see conftest.py
    if bank:
        assert set(draws.noise_index.tolist()) == {0, 1} and "ENSC.snr_db" in draws.choices
        lines = D.records(IDS, draws, corruption=name, level="L1", noise_names=bank.names)
        again = C.replayed(lines)
        assert run(name, "L1", bank=bank, draws=again)[0].tobytes() == waves.tobytes()
        assert waves.shape[1] == LENGTH
