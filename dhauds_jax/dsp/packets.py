"""Packets that are lost in bursts: the chain of Gilbert and Elliott, and what becomes of the samples."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

Chance = float | Float[Array | np.ndarray, "*clips"]
FADE = 0.5
"""Factor of each further packet of a burst, where the last one that came is repeated."""


def loss_rate(enter: Chance, leave: Chance, lost: Chance) -> Chance:
    """Share of the packets that are lost: that of the bad state, `enter / (enter + leave)`, times its own losses."""
    return enter / (enter + leave) * lost


def mean_burst(enter: Chance, leave: Chance, lost: Chance) -> Chance:
    """Mean length of a run of lost packets: their share over that of packets with which a run begins.

    A run begins in the good state by going over to the bad one, and in the bad one after a packet that came; `lost` is
    the bad state's share of lost packets, in the good state all come.
    """
    bad = enter / (enter + leave)
    begins = ((1 - bad) * enter + bad * (1 - lost) * (1 - leave)) * lost
    return bad * lost / begins


def enter_for(rate: Chance, leave: Chance, lost: Chance) -> Chance:
    """The chance of going over to the bad state with which a share `rate`, below `lost`, of all packets is lost."""
    bad = rate / lost
    return leave * bad / (1 - bad)


def losses(key: PRNGKeyArray, packets: int, enter: Chance, leave: Chance, lost: Chance) -> Bool[Array, " packets"]:
    """Which packets are lost; the first state is drawn from the chain's stationary distribution.

    Args:
      key: of the draws.
      packets: how many.
      enter: chance of going from the good state to the bad one, each packet.
      leave: of going back.
      lost: share of the packets that are lost in the bad state; in the good state none is.

    Source: Gilbert 1960; Elliott 1963; with no losses in the good state.
    """
    first, steps, fates = jax.random.split(key, 3)
    bad = jax.random.uniform(first) < enter / (enter + leave)

    def step(bad: Array, chance: Array) -> tuple[Array, Array]:
        # A chain that is worse in both chances is then in the bad state wherever the better one is.
        return chance < jnp.where(bad, 1 - leave, enter), bad

    _, states = jax.lax.scan(step, bad, jax.random.uniform(steps, (packets,)))
    return states & (jax.random.uniform(fates, (packets,)) < lost)


def concealed(
    wave: Float[Array, " time"], gone: Bool[Array, " packets"], samples: int, repeat: bool | Bool[Array, ""]
) -> Float[Array, " time"]:
    """The clip without its lost packets.

    Args:
      wave: (time,) samples.
      gone: which packets are lost; enough for the clip.
      samples: of a packet.
      repeat: the last packet that came is repeated in their place, `FADE` times softer each time; else silence.
    """
    place = jnp.arange(wave.shape[-1])
    packet, within = place // samples, place % samples
    number = jnp.arange(gone.shape[-1])
    last = jax.lax.cummax(jnp.where(gone, -1, number))[packet]
    old = wave[jnp.clip(last * samples + within, 0)]
    gain = jnp.where(last >= 0, jnp.power(FADE, packet - last), 0.0)
    return jnp.where(gone[packet], jnp.where(repeat, old * gain, 0.0), wave)
