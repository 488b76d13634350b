"""Methods that adapt batch by batch in PyTorch, plainly after their papers: tent, eata, sar, cotta, roid, dhauds.

Options are those of our methods of these names, resolved; what they mean is said there.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

from benchmarks.yardstick.episodes import Memo, Suta
from benchmarks.yardstick.parts import Method, chosen_mean, entropy, moving_of, similarity, statistics, twin
from benchmarks.yardstick.rotta import Rotta
from benchmarks.yardstick.views import augmented, shifted, two_views


class Tent(Method):
    """Wang et al., ICLR 2021, arXiv 2006.10726."""

    def prepare(self):
        moving = moving_of(statistics(self.net, "follow"), self.group)
        if self.optimiser == "adam":
            self.rule = torch.optim.Adam(moving, self.lr, betas=(self.b1, self.b2), fused=True)
        else:
            self.rule = torch.optim.SGD(moving, self.lr, momentum=self.b1, fused=True)

    def step(self, inputs):
        logits = self.logits(self.net, inputs)
        self.descend(self.rule, entropy(logits).mean())
        return logits.detach()


class Eata(Method):
    """Niu et al., ICML 2022, arXiv 2204.02610."""

    def prepare(self):
        self.moving = moving_of(statistics(self.net, "follow"), self.group)
        self.rule, self.average, self.diagonal = self.sgd_or_adam(self.moving), None, None

    def observe(self, inputs):
        """The Fisher diagonal of the clips' own labels, and where the parameters began."""
        if self.fisher <= 0:
            return
        clips = inputs[: self.fisher_clips]
        parts = clips.split(min(self.fisher_batch, len(clips)))
        statistics(self.net, "batch")
        sums = [torch.zeros_like(parameter) for parameter in self.moving]
        for part in parts:
            logits = self.logits(self.net, part)
            loss = F.cross_entropy(logits, logits.argmax(1))
            for held, gradient in zip(sums, torch.autograd.grad(loss, self.moving), strict=True):
                held.add_(gradient.square())
        statistics(self.net, "follow")
        self.diagonal = [self.fisher * held / len(parts) for held in sums]
        self.anchor = [parameter.detach().clone() for parameter in self.moving]

    def step(self, inputs):
        logits = self.logits(self.net, inputs)
        classes, rows = logits.shape[1], entropy(logits)
        margin, most = self.margin * math.log(classes), self.redundancy
        if self.few_classes == "scaled" and classes < 10:
            most *= math.sqrt(10 / classes)
        with torch.no_grad():
            p = logits.softmax(1)
            chosen = rows < margin
            if self.average is not None:
                chosen &= similarity(p, self.average).abs() < most
        loss = chosen_mean((margin - rows.detach()).exp() * rows, chosen)
        if self.diagonal is not None:
            held = zip(self.diagonal, self.moving, self.anchor, strict=True)
            loss = loss + sum((f * (now - then).square()).sum() for f, now, then in held)
        self.rule.zero_grad()
        loss.backward()
        if chosen.any():
            self.rule.step()
            mean = p[chosen].mean(0)
            self.average = mean if self.average is None else 0.9 * self.average + 0.1 * mean
        return logits.detach()


class Sar(Method):
    """Niu et al., ICLR 2023, arXiv 2302.12400."""

    def prepare(self):
        self.moving = moving_of(statistics(self.net, "follow"), self.group)
        self.rule, self.average = self.sgd_or_adam(self.moving), None
        self.start = {name: value.clone() for name, value in self.net.state_dict().items()}
        self.first = self.rule.state_dict()

    def step(self, inputs):
        statistics(self.net, "follow")
        logits = self.logits(self.net, inputs)
        classes = logits.shape[1]
        margin, rows = self.margin * math.log(classes), entropy(logits)
        trusted = rows.detach() < margin
        climb = torch.autograd.grad(chosen_mean(rows, trusted), self.moving)
        length = torch.stack([gradient.square().sum() for gradient in climb]).sum().sqrt() + 1e-12
        with torch.no_grad():
            before = [parameter.clone() for parameter in self.moving]
            for parameter, gradient in zip(self.moving, climb, strict=True):
                parameter.add_(self.rho * gradient / length)
        rows = entropy(self.logits(statistics(self.net, "batch"), inputs))
        chosen = trusted & (rows.detach() < margin)
        loss = chosen_mean(rows, chosen)
        self.rule.zero_grad()
        loss.backward()
        with torch.no_grad():
            for parameter, value in zip(self.moving, before, strict=True):
                parameter.copy_(value)
        if chosen.any():
            self.rule.step()
            value = loss.item()
            self.average = value if self.average is None else 0.9 * self.average + 0.1 * value
            scale = math.log(classes) / math.log(10) if self.few_classes == "scaled" and classes < 10 else 1.0
            if self.average < self.recover * scale:
                self.net.load_state_dict(self.start)
                if self.recovery == "whole":
                    self.rule.load_state_dict(self.first)
                    self.average = None
        return logits.detach()


class Cotta(Method):
    """Wang et al., CVPR 2022, arXiv 2203.13591; everything by the batch's statistics."""

    def prepare(self):
        self.source, self.teacher = twin(self.net), twin(self.net)
        self.moving = moving_of(self.net, self.group)
        for net in self.networks:
            statistics(net, "batch")
        names = {id(parameter): name for name, parameter in self.net.named_parameters()}
        self.slow, self.begun = (
            [dict(net.named_parameters())[names[id(parameter)]] for parameter in self.moving]
            for net in (self.teacher, self.source)
        )
        if self.optimiser == "adam":
            self.rule = torch.optim.Adam(self.moving, self.lr, fused=True)
        else:
            self.rule = torch.optim.SGD(self.moving, self.lr, momentum=0.9, nesterov=True, fused=True)

    @property
    def networks(self):
        return [self.net, self.source, self.teacher]

    @torch.no_grad()
    def wanted(self, inputs):
        """The teacher's logits, averaged over copies where the source is unsure."""
        sure = self.logits(self.source, inputs).softmax(1).max(1).values
        if self.confidence == "batch":
            sure = sure.mean().expand_as(sure)
        plain, unsure = self.logits(self.teacher, inputs), sure < self.p_th
        if not unsure.any():
            return plain
        change = (self.shift, self.gain_db, self.noise)
        copies = sum(self.logits(self.teacher, augmented(inputs, *change)) for _ in range(self.augmentations))
        return torch.where(unsure[:, None], copies / self.augmentations, plain)

    def step(self, inputs):
        wanted = self.wanted(inputs)
        logits = self.logits(self.net, inputs)
        rows = -(wanted.softmax(1) * logits.log_softmax(1)).sum(1)
        if self.loss == "symmetric":
            rows = 0.5 * (rows - (logits.softmax(1) * wanted.log_softmax(1)).sum(1))
        self.descend(self.rule, rows.mean())
        with torch.no_grad():
            for slow, fast, begun in zip(self.slow, self.moving, self.begun, strict=True):
                slow.mul_(self.teacher_momentum).add_(fast, alpha=1 - self.teacher_momentum)
                back = torch.rand_like(fast) < self.restore
                fast.copy_(torch.where(back, begun, fast))
        return wanted


class Roid(Method):
    """Marsden et al., WACV 2024, arXiv 2306.00650."""

    def prepare(self):
        self.moving = moving_of(statistics(self.net, "follow"), self.group)
        self.rule, self.average = self.sgd_or_adam(self.moving), None
        self.begun = [parameter.detach().clone() for parameter in self.moving]

    @torch.no_grad()
    def weights(self, logits):
        """Of each row, 0 for those of less than the mean diversity."""
        p = logits.softmax(1)

        def stretched(rows):
            low, high = rows.min(), rows.max()
            return torch.where(high > low, (rows - low) / (high - low), torch.zeros_like(rows))

        diversity, certainty = stretched(1 - similarity(p, self.average)), stretched(-entropy(logits))
        found = (diversity * certainty / self.temperature).exp()
        return torch.where(diversity >= diversity.mean(), found, torch.zeros_like(found))

    @torch.no_grad()
    def corrected(self, logits):
        log_p = logits.log_softmax(1)
        mean, classes = log_p.exp().mean(0), logits.shape[1]
        smooth = max(1 / len(logits), 1 / classes) / mean.max()
        prior = (mean + smooth) / (1 + smooth * classes)
        return logits * prior if self.prior == "logits" else log_p + prior.log()

    def step(self, inputs):
        statistics(self.net, "follow")
        logits = self.logits(self.net, inputs)
        if self.average is None:
            self.average = torch.full_like(logits[0].detach(), 1 / logits.shape[1])
        w = self.weights(logits.detach())
        p = logits.softmax(1).clamp(max=0.99)
        rows = w * -(p * (p / (1 - p) + 1e-5).log()).sum(1)
        if self.consistency:
            kept = w > 0
            if int(kept.sum()) < 2:  # a BatchNorm refuses a batch of one: such a batch has no consistency
                kept = torch.zeros_like(kept)
        if self.consistency and kept.any():
            view = self.logits(statistics(self.net, "batch"), shifted(inputs, self.limit)[kept])
            a, b = view.log_softmax(1), logits[kept].log_softmax(1)
            rows = rows.index_add(0, kept.nonzero()[:, 0], w[kept] * -0.5 * (b.exp() * a + a.exp() * b).sum(1))
        self.descend(self.rule, rows.mean())
        with torch.no_grad():
            for now, then in zip(self.moving, self.begun, strict=True):
                now.mul_(self.ensemble).add_(then, alpha=1 - self.ensemble)
            self.average = 0.9 * self.average + 0.1 * logits.softmax(1).mean(0)
        return self.corrected(logits) if self.correction else logits.detach()


class Dhauds(Method):
    """DHAuDS, arXiv 2511.18421: two rolled views in train mode, the first one first."""

    def prepare(self):
        self.net.train()
        moving_of(self.net, self.group)
        parts = [(self.net.body, self.backbone), (self.net.head, self.classifier_rate)]
        groups = [([p for p in part.parameters() if p.requires_grad], self.lr * rate) for part, rate in parts]
        self.rates = [rate for _, rate in groups]
        named = [{"params": parameters, "lr": rate} for parameters, rate in groups]
        self.plain = torch.optim.SGD(named, fused=True)
        moved = {"momentum": self.momentum, "weight_decay": self.weight_decay, "nesterov": self.nesterov}
        self.rule, self.count = torch.optim.SGD(named, fused=True, **moved), 0

    def total(self, a, b):
        pa, pb = a.softmax(1), b.softmax(1)
        pair = (pa, pb) if self.gent_views == "both" else (pa, pa)
        spread = -sum(p.square().sum(0).sqrt().mean() for p in (pa, pb))
        certain = -sum((p * (p + self.epsilon).log()).sum(1).mean() for p in (pa, pb))
        general = sum(((1 - p.pow(self.q).sum(1)) / (self.q - 1)).mean() for p in pair)
        gap = (pa - pb).square().sum(1)
        agree = torch.where(gap > 0, gap.clamp(min=1e-30).sqrt(), torch.zeros_like(gap)).mean()
        return self.nucnm * spread + self.ent * certain + self.gent * general + self.mse * agree

    def step(self, inputs):
        one, two = two_views(inputs, self.limit)
        a, b = self.logits(self.net, one), self.logits(self.net, two)
        rule = self.plain if self.first_epoch_plain and self.count == 0 else self.rule
        called = min(self.count, max(self.cardinality - self.threshold, 0))
        factor = (1 + self.gamma * (called - 1) / self.cardinality) ** -0.75 if called else 1.0
        for group, rate in zip(rule.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor
        self.descend(rule, self.total(a, b))
        self.count += 1
        with torch.no_grad():
            return torch.logaddexp(a.log_softmax(1), b.log_softmax(1)) - math.log(2)


METHODS = {
    "tent": Tent,
    "eata": Eata,
    "sar": Sar,
    "cotta": Cotta,
    "roid": Roid,
    "rotta": Rotta,
    "dhauds": Dhauds,
    "suta": Suta,
    "memo": Memo,
}
"""Name -> its class."""
