"""MEMO and SUTA in PyTorch: a clip at a time, from the source again each time."""

from __future__ import annotations

import math

import torch

from benchmarks.yardstick.parts import Method, Mixed, entropy, mixing, moving_of, replaced
from benchmarks.yardstick.views import augmented


class Episode(Method):
    """`iterations` updates on views of one clip, its prediction, and back to the source."""

    def prepare(self):
        blend = self.statistics == "blend"
        if blend:
            replaced(self.net, lambda old: Mixed(old, self.alpha, robust=False))
        self.net.eval()
        self.moving = moving_of(self.net, self.group)
        if blend:  # in place of a BatchNorm, which the group's rule no longer finds
            for module in self.net.modules():
                if isinstance(module, Mixed) and not module.weight.requires_grad:
                    self.moving += [module.weight.requires_grad_(True), module.bias.requires_grad_(True)]
        self.begun = [parameter.detach().clone() for parameter in self.moving]

    def step(self, inputs):
        if self.over != "clip":
            raise ValueError(f"PyTorch's side has no over={self.over!r}, expected clip")
        found = []
        for clip in inputs.split(1):
            with torch.no_grad():
                for parameter, value in zip(self.moving, self.begun, strict=True):
                    parameter.copy_(value)
            rule = self.rule()
            for _ in range(self.iterations):
                self.descend(rule, self.loss_of(self.logits(self.net, self.views(clip))))
            with torch.no_grad():
                found.append(self.logits(mixing(self.net, True), clip))
        return torch.cat(found)

    def copies(self, clip, count):
        return augmented(clip.expand(count, -1), self.shift, self.gain_db, self.noise)


class Memo(Episode):
    """Zhang et al., NeurIPS 2022, arXiv 2110.09506."""

    def rule(self):
        if self.optimiser == "sgd":
            return torch.optim.SGD(self.moving, self.lr, weight_decay=self.weight_decay, fused=True)
        return torch.optim.AdamW(self.moving, self.lr, weight_decay=self.weight_decay, fused=True)

    def views(self, clip):
        return self.copies(clip, self.augmentations)

    def loss_of(self, logits):
        log_p = logits.log_softmax(1).logsumexp(0) - math.log(len(logits))
        return -(log_p.exp() * log_p).sum()


class Suta(Episode):
    """Lin et al., Interspeech 2022, arXiv 2203.14222."""

    def rule(self):
        return torch.optim.Adam(self.moving, self.lr, fused=True)

    def views(self, clip):
        return torch.cat([clip, self.copies(clip, self.augmentations - 1)]) if self.augmentations > 1 else clip

    def loss_of(self, logits):
        rows = logits / self.temperature
        p = rows.softmax(1)
        w = torch.ones_like(p[:, 0])
        if self.reweight:
            sure = 1 + (-entropy(rows.detach())).exp()
            w = len(rows) * sure / sure.sum()
        together = (w[:, None] * p).T @ p
        shares = together / together.sum(0, keepdim=True)
        confusion = (shares.sum() - shares.trace()) / p.shape[1]
        return self.entropy_rate * entropy(rows).mean() + (1 - self.entropy_rate) * confusion
