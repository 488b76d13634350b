"""The authors' random choices in place of ours: each function stands for the one that draws, and for nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from dhauds_jax.tta.methods import cotta, deyo, memo, note, roid, rotta, suta
from tests.tta.peers import net


def rolled(wave: Any, shift: Any) -> Any:
    """np.roll of each row by its own number of samples."""
    return jax.vmap(jnp.roll)(wave, shift)


def place_of(key: Any, keys: Any) -> Any:
    """Which of the keys this is."""
    words = jax.random.key_data(key)
    return jnp.argmax((jax.random.key_data(keys) == words[None]).all(-1))


def step_keys() -> Any:
    """The keys of all steps."""
    return jnp.stack([net.key_of(step) for step in range(net.STEPS)])


def _table(case: str, name: str) -> Any:
    """A case's table, or that of the method's first case, which then holds for both."""
    found = net.GOLD.get(f"{case}/{name}", net.GOLD.get(f"{case.partition('_')[0]}/{name}"))
    return jnp.asarray(found.astype(np.int32))


def _orders(case: str) -> dict[Any, Any]:
    orders = _table(case, "order").reshape(-1, 32)
    return {(deyo, "segment_orders"): lambda key, index, segments: orders[index]}


def _roid(case: str) -> dict[Any, Any]:
    rolls = _table(case, "rolls").reshape(-1)
    return {(roid, "random_roll"): lambda key, wave, index, limit: rolled(wave, rolls[index])}


def _copies(module: Any) -> Any:
    def of(case: str) -> dict[Any, Any]:
        rolls = _table(case, "rolls")
        rolls = rolls.reshape(-1, rolls.shape[-1])

        def copies(key: Any, wave: Any, index: Any, augmentation: Any, number: int) -> Any:
            return jnp.stack([rolled(wave, rolls[index, copy]) for copy in range(number)])

        return {(module, "augmented_copies"): copies}

    return of


def _cotta(case: str) -> dict[Any, Any]:
    copy_keys, restore_keys = jax.vmap(jax.random.split, out_axes=1)(step_keys())
    rolls = _table(case, "rolls")
    numbered = jax.vmap(lambda key: jax.random.split(key, rolls.shape[1]))(copy_keys).reshape(-1)

    def augmented(key: Any, wave: Any, index: Any, augmentation: Any) -> Any:
        number = place_of(key, numbered)
        return rolled(wave, rolls[number // rolls.shape[1], number % rolls.shape[1]])

    masks = {name: jnp.asarray(net.GOLD[f"{case}/restored.{name}"]) for name in net.PLACES}

    def restore_masks(key: Any, leaves: Any, share: float) -> Any:
        step = place_of(key, restore_keys)
        return net.tree({name: mask[step] for name, mask in masks.items()})

    return {(cotta, "augmented"): augmented, (cotta, "restore_masks"): restore_masks}


def _rotta(case: str) -> dict[Any, Any]:
    rolls, keys = _table(case, "rolls"), step_keys()[jnp.asarray([1, 3, 5])]

    def augmented(key: Any, wave: Any, index: Any, augmentation: Any) -> Any:
        # A slot's clip is known by its samples.
        stream = jnp.asarray(net.GOLD["data/x"].reshape(-1, net.TIME), wave.dtype)
        clip = jnp.argmax((wave[:, None] == stream[None]).all(-1), -1)
        return rolled(wave, rolls[place_of(key, keys), clip])

    return {(rotta, "augmented"): augmented}


def _note(case: str) -> dict[Any, Any]:
    clips, keys = _table(case, "memory"), step_keys()[jnp.asarray([1, 3, 5])]

    def remembered(kept: Any, batch: Any, logits: Any, key: Any, axis_name: Any) -> Any:
        stream = jnp.asarray(net.GOLD["data/x"].reshape(-1, net.TIME), batch.wave.dtype)
        chosen = clips[place_of(key, keys)]
        return kept._replace(waves=stream[chosen], labels=jnp.zeros_like(kept.labels), seen=kept.seen + net.ROWS)

    return {(note, "remembered"): remembered}


DRAWS = {
    "deyo": _orders,
    "roid": _roid,
    "memo": _copies(memo),
    "suta": _copies(suta),
    "cotta": _cotta,
    "rotta": _rotta,
    "note": _note,
}
"""Method -> what stands for its drawing functions in a case: `case -> {(module, name): function}`."""


@contextlib.contextmanager
def choices(method: str, case: str) -> Iterator[None]:
    """The method draws what the authors' code drew in a case."""
    with contextlib.ExitStack() as stack:
        for (module, name), function in DRAWS.get(method, lambda _: {})(case).items():
            stack.enter_context(mock.patch.object(module, name, function))
        yield
