"""PLO: packets of 20 ms that are lost in bursts, as the chain of Gilbert and Elliott has them.

Severity s loses a share of 0.25 s times U[0.7, 1.3): 7 to 13 % at L1, 12 to 23 % at L2. The bad state lasts 1 +
U[1, 5) s packets in the mean and loses a share of U[0.6, 1) of them; the good one loses none. In half of the clips a
lost packet is silence, in the others the last one that came, half as loud each time.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from jaxtyping import Array, Float

from dhauds_jax.data.corruptions.base import Draw, Numbers, below
from dhauds_jax.data.corruptions.random_words import words
from dhauds_jax.data.corruptions.severity import between, on_axis
from dhauds_jax.dsp.packets import concealed, enter_for, loss_rate, losses, mean_burst

PACKET_S = 0.02
RATE = 0.25
"""Share of the packets that is lost at severity 1, in the mean over clips."""
IN_PLACE = ("silence", "repeat")
"""What stands for a lost packet, in the order of the choice `repeat`."""


def choose(xp: ModuleType, bits: Numbers, severity: float, **_: Any) -> dict[str, Numbers]:
    """The chain's chances a packet, and what stands for a lost one."""
    drawn = words(xp, bits, 4)
    rate = between(xp, drawn[..., 0], 0.7 * RATE * severity, 1.3 * RATE * severity)
    lost = between(xp, drawn[..., 1], 0.6, 1.0)
    leave = 1 / between(xp, drawn[..., 2], 1 + severity, 1 + 5 * severity)
    return {
        "enter": enter_for(rate, leave, lost),
        "leave": leave,
        "lost": lost,
        "repeat": below(xp, drawn[..., 3], len(IN_PLACE)),
    }


def apply(
    wave: Float[Array, " time"], draw: Draw, noise: None = None, *, sample_rate: int, **_: Any
) -> Float[Array, " time"]:
    """Loses packets as `draw.key` says."""
    samples, chosen = round(PACKET_S * sample_rate), draw.choices
    packets = -(-wave.shape[-1] // samples)
    gone = losses(draw.key, packets, chosen["enter"], chosen["leave"], chosen["lost"])
    return concealed(wave, gone, samples, chosen["repeat"] == 1)


def describe(draw: Draw) -> dict[str, Any]:
    """The share of lost packets and the mean length of a burst that are expected, and what stands for lost ones."""
    chain = [float(draw.choices[name]) for name in ("enter", "leave", "lost")]
    expected = {"loss_rate": loss_rate(*chain), "mean_burst": mean_burst(*chain)} if chain[0] > 0 else {}
    return {**expected, "in_place": IN_PLACE[int(draw.choices["repeat"])]}


PACKET_LOSS = on_axis(choose, apply, describe)
