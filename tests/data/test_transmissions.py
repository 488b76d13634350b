"""Transmissions: one axis of severity, draws keyed by the clip, the same bits in any company and from a manifest."""

import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax import names
from dhauds_jax.cells import targets
from dhauds_jax.data import corruptions as C
from dhauds_jax.data import sets
from dhauds_jax.data.corruptions import draws as D
from dhauds_jax.data.corruptions import microphone, rooms
from dhauds_jax.data.corruptions.random_words import words
from dhauds_jax.data.corruptions.severity import POINTS, is_severity, severity_of
from dhauds_jax.data.layout import lay_out
from dhauds_jax.errors import BadInput
from tests.data.transmitted import IDS, LENGTH, WAVES, distance, run

SEVERITIES = ("S0.1", "L1", "L2", "S1")
by_code = pytest.mark.parametrize(
    "code", [name if name == "CLI" else pytest.param(name, marks=pytest.mark.slow) for name in names.TRANSMISSIONS]
)
"""Every transmission; the others than the first, which compile longer, in the slow set."""


def test_levels_are_points_on_the_axis():
    assert [severity_of(level) for level in ("S0", "L1", "S0.4", "L2", "S0.7", "S1")] == [0, 0.4, 0.4, 0.7, 0.7, 1]
    assert set(POINTS) == set(names.LEVELS) and is_severity("S1") and not is_severity("kitchen")
    for level in ("S", "S1.1", "S-0.1", "S0.30", "S.3", "Snan", "L3", "0.3", ""):
        with pytest.raises(
            BadInput, match=rf"^unknown level '{level}', expected L1 or L2, or a severity from S0 to S1 "
        ):
            C.check_cell("CLI", level)
    with pytest.raises(BadInput, match=r"unknown level 'S0\.3' of WHN, expected L1 or L2; severities are of CLI, "):
        C.check_cell("WHN", "S0.3")


def test_all_leaves_transmissions_out_and_their_levels_go_where_levels_go():
    assert not set(names.TRANSMISSIONS) & {code for code, _ in targets.expand(["all"], ["L1", "L2"])}
    assert targets.expand(["CLI", "TEL:S0.3"], ["L1", "S0.55"]) == [("CLI", "L1"), ("CLI", "S0.55"), ("TEL", "S0.3")]
    with pytest.raises(BadInput, match="unknown level 'S2'"):
        targets.expand(["CLI:S2"], ["L1"])


@by_code
def test_nothing_at_zero_more_with_severity_and_levels_are_their_severities(code):
    assert run(code, "S0")[0].tobytes() == WAVES.tobytes()
    made = {level: run(code, level)[0] for level in SEVERITIES}
    far = [distance(waves) for waves in made.values()]
    assert all(np.isfinite(waves).all() for waves in made.values()) and far[0] > 0
    assert all(next_ > 1.05 * one for one, next_ in itertools.pairwise(far)), far
    assert run(code, "S0.4")[0].tobytes() == made["L1"].tobytes()
    assert run(code, "L1", seed=4)[0].tobytes() != made["L1"].tobytes()


@pytest.mark.as_shipped
@pytest.mark.parametrize("code", names.TRANSMISSIONS)
def test_order_size_and_grouping_change_no_bit_and_a_manifest_replays(code):
    waves, draws = run(code, "L2")
    rows = np.random.default_rng(1).permutation(len(IDS))
    for part in (rows, rows[:7], rows[17:18]):
        assert run(code, "L2", WAVES[part], [IDS[i] for i in part])[0].tobytes() == waves[part].tobytes()
    lines = [json.loads(json.dumps(line)) for line in D.records(IDS, draws, corruption=code, level="L2")]
    again = C.replayed(lines)
    assert run(code, "L2", seed=99, draws=again)[0].tobytes() == waves.tobytes()
    assert D.records(IDS, again, corruption=code, level="L2") == D.records(IDS, draws, corruption=code, level="L2")


@by_code
def test_silence_stays_silence_and_short_clips_take_their_place(code):
    assert not run(code, "L2", np.zeros_like(WAVES))[0].any()
    short = np.stack([lay_out(wave[: LENGTH // 2], LENGTH) for wave in WAVES])
    waves, _ = run(code, "L2", short, lengths=np.full(len(IDS), LENGTH // 2))
    assert waves.shape == WAVES.shape and np.isfinite(waves).all()
    repeated, _ = run(code, "L2", short, lengths=np.full(len(IDS), LENGTH // 2), layout="repeat_pad")
    assert np.array_equal(repeated[:, : LENGTH // 2], repeated[:, LENGTH // 2 :])


@pytest.mark.slow
@pytest.mark.parametrize("code", ["CLI", "TEL", "MIC"])
def test_the_energy_stays_the_clips(code):
    for level in ("L1", "S1"):
        waves, _ = run(code, level)
        np.testing.assert_allclose((waves**2).sum(1), (WAVES**2).sum(1), rtol=1e-5)


def test_draws_of_one_key_are_those_of_a_set():
    whole = D.draw_set(IDS, dataset="set", corruption="MIC", level="S0.3", seed=5)
    one = D.draw(D.clip_key(5, "set", "MIC", "L2", IDS[3]), "MIC", "S0.3")
    for name, values in whole.choices.items():
        np.testing.assert_allclose(one.choices[name], values[3], rtol=1e-6)
    assert jax.random.key_data(one.key).tolist() == jax.random.key_data(whole.key)[3].tolist()


def test_octaves_and_rooms_are_those_of_the_page():
    assert microphone.OCTAVES_HZ == (62.5, 125, 250, 500, 1_000, 2_000, 4_000, 8_000, 16_000)
    assert rooms.SIDES_M == ((3.0, 8.0), (2.5, 6.0), (2.4, 3.5))


def test_words_are_those_of_threefry_and_the_same_in_both():
    bits = np.array([[0x13198A2E, 0x03707344, 0x243F6A88, 0x85A308D3], [0, 0, 0, 0]], np.uint32)
    # The known answers of the generator's authors for 20 rounds: counter and key of pi, and of zeros.
    assert [hex(word) for word in words(np, bits, 2)[0]] == ["0xc4923a9c", "0x483df7a0"]
    assert [hex(word) for word in words(np, bits, 2)[1]] == ["0x6b200159", "0x99ba4efe"]
    many = np.random.default_rng(0).integers(0, 2**32, (2_000, 4), dtype=np.uint32)
    found = words(np, many, 9)
    np.testing.assert_array_equal(found, jax.jit(lambda b: words(jnp, b, 9))(many))
    np.testing.assert_array_equal(found[:, :4], words(np, many, 4))
    centred = found / 2.0**32 - 0.5
    # Of 2,000 draws: within 5 standard deviations of a mean of 0, and of correlations of 0.
    assert np.abs(centred.mean(0)).max() < 5 / np.sqrt(12 * 2_000)
    assert np.abs(np.corrcoef(centred.T) - np.eye(9)).max() < 5 / np.sqrt(2_000)


def test_what_cannot_be_replayed_is_refused():
    lines = D.records(
        IDS, D.draw_set(IDS, dataset="s", corruption="CLI", level="L1", seed=0), corruption="CLI", level="L1"
    )
    for bad, said in (
        ([{**lines[0], "key": ""}], "no key of 16 digits at word/0.wav"),
        ([lines[0], {**lines[1], "snr_db": 3.0}], "lines that differ"),
    ):
        with pytest.raises(BadInput, match=f"^manifest: {said}, expected the lines that experiments.corrupt wrote"):
            C.replayed(bad)


@pytest.mark.parametrize(
    "cell", [("WHN", "L2"), ("UNI", "0.005+random_pad"), ("SCN", "running_tap@3dB"), ("PSH", "L1"), ("TST", "L2")]
)
def test_manifests_of_the_others_replay_too(cell):
    noise = dict(noise_lengths=np.array([9_000, 5_000]), length=LENGTH) if C.needs_noise(cell[0]) else {}
    draws = D.draw_set(IDS, dataset="set", corruption=cell[0], level=cell[1], seed=2, **noise)
    again = C.replayed(D.records(IDS, draws, corruption=cell[0], level=cell[1]))
    for field in D.NEUTRAL:
        np.testing.assert_array_equal(getattr(again, field), getattr(draws, field))


@pytest.mark.slow
def test_variants_of_a_set_share_their_draws():
    words_ = sets.get("synthetic")
    assert run("PLO", "L1", dataset=words_._replace(name="synthetic/x"))[0].tobytes() == run("PLO", "L1")[0].tobytes()
