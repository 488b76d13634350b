"""Rolled and augmented copies of clips in PyTorch, waves (batch, time) or features with time in the second axis."""

from __future__ import annotations

import torch


def rolled(x, shift):
    """Every row rolled circularly by its own number of samples or frames; examples of VGGish count as frames."""
    if x.ndim == 4:
        return rolled(x.flatten(1, 2), shift).unflatten(1, x.shape[1:3])
    place = (torch.arange(x.shape[1], device=x.device)[None] - shift[:, None]) % x.shape[1]
    return x[torch.arange(len(x), device=x.device)[:, None], place]


def _length(x):
    return x.shape[1] * x.shape[2] if x.ndim == 4 else x.shape[1]


def shifted(x, limit):
    """Rolled either way by up to `limit` of the length."""
    share = 2 * torch.rand(len(x), device=x.device) - 1
    return rolled(x, (share * limit * _length(x)).int())


def two_views(x, limit):
    """One rolled right and one rolled left, by up to `limit` of the length."""
    right, left = (torch.rand(len(x), device=x.device) * limit * _length(x) for _ in range(2))
    return rolled(x, right.int()), rolled(x, -left.int())


def augmented(x, shift, gain_db, noise):
    """A copy of each wave: rolled, louder or softer, with a little noise."""
    copy = shifted(x, shift) if shift > 0 else x
    if gain_db > 0:
        copy = copy * 10 ** (gain_db * (2 * torch.rand(len(x), 1, device=x.device) - 1) / 20)
    if noise > 0:
        copy = copy + noise * x.square().mean(-1, keepdim=True).sqrt() * torch.randn_like(x)
    return copy
