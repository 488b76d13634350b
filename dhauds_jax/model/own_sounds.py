"""A model's bank of its own sounds: made of labelled clips, clean, noisy and scrambled, and compared with recordings.

All of it are forward passes of the model as it was trained.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from dhauds_jax.data.synthetic_noises import KINDS, make_noise
from dhauds_jax.data.windows import Windows
from dhauds_jax.dsp.mixing import add_noise
from dhauds_jax.estimates import say
from dhauds_jax.nets.normalisers import EVAL, EVALUATIONS
from dhauds_jax.tta import bank as banks
from dhauds_jax.tta import expected
from dhauds_jax.tta.expected import Heard
from dhauds_jax.types import Classifier, Variables
from dhauds_jax.wording import counted

BATCH = 64
"""Clips whose statistics a batch has."""

CLIPS, NOISY, SCRAMBLED = 320, 64, 128
"""Clips of a bank at most: clean ones, those in a kind of noise at a level, and scrambled ones."""

LEVELS_DB = (10.0, 5.0, 0.0)
"""Signal-to-noise ratios of the noisy ones."""

PIECES = 8
"""Into which a clip is cut that is scrambled."""

FEWEST = 200
"""Clips without which there is no bank: advice was measured with banks of 200 and 320."""

NEEDED = f"it takes {FEWEST} labelled clips that it was not trained on, of two classes or more, a label each"
"""What a bank is made of, in words."""

MOST = 512
"""Windows of recordings that are compared with a bank, evenly drawn of more."""


@functools.lru_cache(maxsize=4)
def _both(classifier: Classifier) -> Callable[..., Any]:
    """`(variables, waves, weights) -> embeddings and logits, and those by the batch's statistics`, compiled."""

    def both(variables: Variables, waves: Any, weights: Any) -> tuple[Any, Any, Any, Any]:
        running = classifier.apply(variables, waves, mode=EVAL)[0]
        batch = classifier.apply(variables, waves, mode=EVALUATIONS["batch"], weights=weights)[0]
        return running.embedding, running.logits, batch.embedding, batch.logits

    return jax.jit(both)


def _heard(classifier: Classifier, variables: Variables, waves: Windows, seed: int) -> Heard:
    """What `_both` says of windows, in mixed batches of about one size: a small last one has poor statistics."""
    order = np.random.default_rng(seed).permutation(len(waves))
    parts, found = np.array_split(order, -(-len(order) // BATCH)), []
    for part in parts:
        weights = (np.arange(BATCH) < len(part)).astype(np.float32)
        rows = np.asarray(waves[np.sort(part)], np.float32)
        rows = rows[np.argsort(np.argsort(part))][np.arange(BATCH) % len(part)]
        heard = _both(classifier)(variables, jnp.asarray(rows), jnp.asarray(weights))
        found.append([np.asarray(values)[: len(part)] for values in heard])
    back = np.argsort(order)
    return Heard(*(np.concatenate(values)[back] for values in zip(*found, strict=True)))


def enough(labels: Int[np.ndarray, "clips *several"]) -> bool:
    """Whether clips with these labels make a bank: `NEEDED`."""
    return len(labels) >= FEWEST and np.ndim(labels) == 1 and len(np.unique(labels)) >= 2


def made(
    classifier: Classifier,
    variables: Variables,
    waves: Float[np.ndarray, "clips time"],
    labels: Int[np.ndarray, "clips *several"],
    seed: int = 0,
) -> banks.Bank | None:
    """The bank of labelled clips at the model's rate and length, which it was not trained on; its cost is printed.

    None where there are fewer than `FEWEST` clips, fewer than two classes, or several labels a clip. Noises are the
    embedded corpus's; which clips, pieces of noise and orders are drawn follows from the seed.
    """
    if not enough(labels):
        return None
    begun, random = time.perf_counter(), np.random.default_rng(seed)
    order = random.permutation(len(waves))[:CLIPS]
    sets = [(waves[order], labels[order])]
    for kind in KINDS:
        samples = (BATCH // 4) * waves.shape[1]
        noise = make_noise(kind, seed=1000 + seed, samples=samples, sample_rate=classifier.config.sample_rate)
        for level in LEVELS_DB:
            rows = random.permutation(order)[:NOISY]
            starts = random.integers(0, samples - waves.shape[1], len(rows))
            pieces = np.stack([noise[k : k + waves.shape[1]] for k in starts])
            sets.append((np.asarray(add_noise(jnp.asarray(waves[rows]), jnp.asarray(pieces), level)), labels[rows]))
    heard = [_heard(classifier, variables, clips, seed) for clips, _ in sets]
    own = Heard(*(np.concatenate(values) for values in zip(*heard, strict=True)))
    said = np.concatenate([labels for _, labels in sets])
    mixed = scrambled(waves[order[:SCRAMBLED]], random)
    apart = _heard(classifier, variables, mixed, seed)
    clips, took = len(said) + len(mixed), time.perf_counter() - begun
    say(f"bank of the model's own sounds: {counted(clips, 'clip')}, two forward passes each, {took:.0f} s")
    spaces = banks.fit(own.embedding, said), banks.fit(own.batch_embedding, said)
    told = _signs(spaces, own)
    weights = np.stack([expected.fit(told, z.argmax(-1) == said) for z in (own.logits, own.batch_logits)])
    return banks.Bank(*spaces, banks.tightness(apart.batch_embedding, apart.batch_logits.argmax(-1)), weights)


def _signs(spaces: tuple[banks.Space, banks.Space], heard: Heard) -> np.ndarray:
    """`expected.clip_signs` of what was heard."""
    embeddings = heard.embedding, heard.batch_embedding
    return expected.clip_signs(tuple(map(banks.far, spaces, embeddings)), heard)


def scrambled(waves: Float[np.ndarray, "clips time"], random: np.random.Generator) -> Float[np.ndarray, "clips time"]:
    """The clips cut into `PIECES` pieces, which are put together in another order."""
    piece = waves.shape[1] // PIECES
    out = np.array(waves)
    for i, wave in enumerate(waves):
        parts = wave[: PIECES * piece].reshape(PIECES, piece)
        out[i, : PIECES * piece] = parts[random.permutation(PIECES)].ravel()
    return out


def distance(bank: banks.Bank, classifier: Classifier, variables: Variables, waves: Windows) -> banks.Distance:
    """How far recordings lie from the bank of the model with these weights."""
    if len(waves) > MOST:
        rows = np.linspace(0, len(waves) - 1, MOST).astype(int)
        waves = np.asarray(waves[rows])
    heard = _heard(classifier, variables, waves, 0)
    told = _signs((bank.running, bank.batch), heard)
    right = () if bank.expected is None else (expected.share(weights, told) for weights in bank.expected)
    tight = banks.tightness(heard.batch_embedding, heard.batch_logits.argmax(-1)) - bank.scrambled
    return banks.Distance(float(told[:, 0].mean()), float(told[:, 1].mean()), tight, *right)
