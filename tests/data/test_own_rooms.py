"""RIR:PLACE: responses of one's own rooms."""

import numpy as np
import pytest
import soundfile

from dhauds_jax.cells import targets
from dhauds_jax.data import corruptions as C
from dhauds_jax.data.corruptions.noise import load_bank
from dhauds_jax.errors import BadInput
from tests.data.transmitted import IDS, LENGTH, RATE, WAVES, run


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two responses: two clicks, 40 ms into the file, the second 50 ms behind and half as loud; and one click."""
    folder = tmp_path_factory.mktemp("rooms") / "halls"
    folder.mkdir()
    hall = np.zeros(2_000)
    hall[640], hall[640 + 800] = 0.8, -0.4
    soundfile.write(folder / "hall.wav", hall, RATE, subtype="FLOAT")
    soundfile.write(folder / "none.wav", np.eye(1, 100, 50)[0], RATE, subtype="FLOAT")
    return folder


def test_names(place, tmp_path):
    name = f"RIR:{place}"
    assert targets.expand([name, f"{name}:S0.3", "RIR", "RIR:L2"], ["L1"]) == [
        (name, "L1"), (name, "S0.3"), ("RIR", "L1"), ("RIR", "L2")]  # fmt: skip
    assert C.is_own(name) and not C.is_own("RIR") and not C.is_own("RIR:S0.2") and C.public(name) == "RIR:halls"
    assert C.needs_noise(name) and not C.needs_noise("RIR")
    with pytest.raises(BadInput, match=r"^RIR:nowhere: there is no such folder or list from here, expected a folder"):
        load_bank(None, "RIR:nowhere", "L1", RATE)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match=r"^RIR:empty: .*empty holds no recordings"):
        load_bank(tmp_path, "RIR:empty", "L1", RATE)
    soundfile.write(tmp_path / "empty" / "mute.wav", np.zeros(100), RATE)
    for code in ("RIR", "ENU"):
        with pytest.raises(
            BadInput, match=rf"^{code}:empty: .*mute\.wav is silent, expected recordings that can be heard"
        ):
            load_bank(tmp_path, f"{code}:empty", "L1", RATE)


@pytest.mark.slow
def test_a_clip_is_convolved_from_the_peak_on_and_the_severity_is_the_gain_of_the_rest(place):
    name = f"RIR:{place}"
    bank = load_bank(None, name, "L1", RATE)
    assert bank.names == ("hall.wav", "none.wav")
    for level, severity in (("L1", 0.4), ("S1", 1.0)):
        waves, draws = run(name, level, bank=bank)
        assert set(draws.noise_index.tolist()) == {0, 1} and set(draws.start.tolist()) == {0}
        for wave, clean, index in zip(waves.astype(float), WAVES.astype(float), draws.noise_index):
            echo = np.concatenate([np.zeros(800), clean[:-800]]) if index == 0 else 0.0
            expected = clean - 0.5 * severity * echo
            expected *= np.sqrt((clean**2).sum() / (expected**2).sum())
            np.testing.assert_allclose(wave, expected, atol=1e-5)
    assert run(name, "S0", bank=bank)[0].tobytes() == WAVES.tobytes()
    lines = C.records(IDS, draws, corruption=name, level="S1", noise_names=bank.names)
    assert lines[0]["noise"] == bank.names[lines[0]["noise_index"]] and lines[0]["corruption"] == "RIR:halls"
    assert run(name, "S1", bank=bank, draws=C.replayed(lines))[0].tobytes() == waves.tobytes()
    assert waves.shape == (len(IDS), LENGTH)
