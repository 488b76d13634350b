"""RoTTA in PyTorch: robust BatchNorm, a memory that weighs class, age and uncertainty, a slow teacher."""

from __future__ import annotations

import math

import torch

from benchmarks.yardstick.parts import Method, Mixed, entropy, mixing, moving_of, replaced, twin
from benchmarks.yardstick.views import augmented


class Memory:
    """Clips with predicted class, age and entropy, a slot each; all slots are run, as on our side."""

    def __init__(self, waves, classes, lambda_t, lambda_u):
        self.waves, self.classes, self.rates = waves, classes, (lambda_t, lambda_u)
        self.labels, self.ages, self.doubts = ([-1] * len(waves), [0] * len(waves), [0.0] * len(waves))

    def score(self, age, doubt):
        lambda_t, lambda_u = self.rates
        return lambda_t / (1 + math.exp(-age / len(self.labels))) + lambda_u * doubt / math.log(max(self.classes, 2))

    def slot(self, label, doubt):
        """Where a clip goes, None where it stays out."""
        held = [self.labels.count(c) for c in range(self.classes)]
        room = held[label] < len(self.labels) / self.classes
        if room and -1 in self.labels:
            return self.labels.index(-1)
        most = [c for c in range(self.classes) if held[c] == max(held)] if room else [label]
        among = [i for i, c in enumerate(self.labels) if c in most]
        worst = max(among, key=lambda i: self.score(self.ages[i], self.doubts[i]), default=None)
        if worst is None or self.score(self.ages[worst], self.doubts[worst]) <= self.score(0, doubt):
            return None
        return worst

    def offer(self, wave, label, doubt):
        slot = self.slot(label, doubt)
        if slot is not None:
            self.waves[slot] = wave
            self.labels[slot], self.ages[slot], self.doubts[slot] = label, 0, doubt
        self.ages = [age + 1 for age in self.ages]


class Rotta(Method):
    """Yuan et al., CVPR 2023, arXiv 2303.13899; an update after each `every` clips, at the batch's end."""

    def prepare(self):
        moving = moving_of(self.net, self.group)
        names = {id(parameter): name for name, parameter in self.net.named_parameters()}
        wanted = [names[id(parameter)] for parameter in moving]
        self.teacher = replaced(twin(self.net), lambda old: Mixed(old, self.alpha, robust=True))
        replaced(self.net, lambda old: Mixed(old, self.alpha, robust=True))
        self.moving, self.slow = ([dict(n.named_parameters())[w] for w in wanted] for n in (self.net, self.teacher))
        self.rule, self.memory, self.seen = torch.optim.Adam(self.moving, self.lr, fused=True), None, 0

    @property
    def networks(self):
        return [self.net, self.teacher]

    def step(self, inputs):
        with torch.no_grad():
            logits = self.logits(mixing(self.teacher, False), inputs)
        if self.memory is None:
            waves = torch.zeros(self.capacity, *inputs.shape[1:], device=inputs.device)
            self.memory = Memory(waves, logits.shape[1], self.lambda_t, self.lambda_u)
        rows = zip(inputs, logits.argmax(1).tolist(), entropy(logits).tolist(), strict=True)
        for wave, label, doubt in rows:
            self.memory.offer(wave, label, doubt)
        every, before = min(self.every, len(inputs)), self.seen  # the set is the batch
        self.seen += len(inputs)
        if self.seen // every > before // every:
            self.update()
        return logits

    def update(self):
        device = self.memory.waves.device
        filled = torch.tensor([label >= 0 for label in self.memory.labels], device=device)
        ages = torch.tensor(self.memory.ages, dtype=torch.float32, device=device) / self.capacity
        waves, importance = self.memory.waves, torch.sigmoid(-ages)
        counted = None if bool(filled.all()) else filled
        with torch.no_grad():
            wanted = self.logits(mixing(self.teacher, True, counted), waves).softmax(1)
        copies = augmented(waves, self.shift, self.gain_db, self.noise)
        logits = self.logits(mixing(self.net, True, counted), copies)
        rows = -(wanted * logits.log_softmax(1)).sum(1)
        self.descend(self.rule, (importance * rows)[filled].mean())
        with torch.no_grad():
            for slow, fast in zip(self.slow, self.moving, strict=True):
                slow.mul_(1 - self.nu).add_(fast, alpha=self.nu)
