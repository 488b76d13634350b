"""What the methods share in PyTorch: normalisation layers, groups of parameters, losses, the base of a method."""

from __future__ import annotations

import contextlib
import copy

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

NORMS = {"batch_norm": (_BatchNorm,), "norm": (_BatchNorm, nn.LayerNorm, nn.GroupNorm)}
"""Group of parameters -> the layers whose scales and shifts it holds."""


def statistics(net, which):
    """Dropout off, and BatchNorm by "running" statistics, the batch's ("batch"), or these with running ones following
    ("follow")."""
    net.eval()
    for module in net.modules():
        if isinstance(module, _BatchNorm):
            module.train(which != "running")
            module.track_running_stats = which != "batch"
    return net


def moving_of(net, group):
    """The parameters of a group; all others are frozen.

    Raises:
      ValueError: a group that the yardstick does not have.
    """
    if group == "all":
        found = list(net.parameters())
    elif group in NORMS:
        layers = [module for module in net.modules() if isinstance(module, NORMS[group])]
        found = [parameter for layer in layers for parameter in layer.parameters()]
    else:
        raise ValueError(f"PyTorch's side has no group {group!r}, expected all, {', '.join(NORMS)}")
    net.requires_grad_(False)
    for parameter in found:
        parameter.requires_grad_(True)
    return found


def replaced(net, make):
    """The network with every BatchNorm exchanged for `make(it)`, in place."""
    for module in list(net.modules()):
        for name, child in module.named_children():
            if isinstance(child, _BatchNorm):
                setattr(module, name, make(child))
    return net


class Mixed(nn.Module):
    """A BatchNorm by `alpha` of the batch's statistics and `1 - alpha` of the running ones.

    RoTTA's robust one keeps what it normalises by (biased variance, gradients through the batch's share); MEMO's blend
    keeps nothing (unbiased variance, no gradients). Rows of weight 0 do not count.
    """

    def __init__(self, old, alpha, robust):
        super().__init__()
        self.weight, self.bias, self.eps = old.weight, old.bias, old.eps
        self.register_buffer("mean", old.running_mean.clone())
        self.register_buffer("var", old.running_var.clone())
        self.alpha, self.robust, self.mixing, self.rows = alpha, robust, True, None

    def forward(self, x):
        mean, var = self.mean, self.var
        if self.mixing:
            axes = [0, *range(2, x.ndim)]
            kept = x if self.rows is None else x[self.rows]
            count = kept.numel() // kept.shape[1]
            batch_var, batch_mean = torch.var_mean(kept, axes, correction=0)
            if not self.robust:
                batch_mean, batch_var = batch_mean.detach(), batch_var.detach() * count / max(count - 1, 1)
            mean = (1 - self.alpha) * mean + self.alpha * batch_mean
            var = (1 - self.alpha) * var + self.alpha * batch_var
            if self.robust:
                self.mean, self.var = mean.detach(), var.detach()
        shape = [1, -1] + [1] * (x.ndim - 2)
        x = (x - mean.view(shape)) * torch.rsqrt(var.view(shape) + self.eps)
        return x * self.weight.view(shape) + self.bias.view(shape)


def mixing(net, on, rows=None):
    """Turns `Mixed` layers on or off (then by the running statistics), and says which rows count."""
    net.eval()
    for module in net.modules():
        if isinstance(module, Mixed):
            module.mixing, module.rows = on, rows
    return net


def entropy(logits):
    """Of each row, in nats."""
    return -(logits.softmax(1) * logits.log_softmax(1)).sum(1)


def chosen_mean(rows, chosen):
    """Mean over the chosen rows, 0 (with a gradient of 0) where none is."""
    return (rows * chosen).sum() / chosen.sum().clamp(min=1)


def similarity(p, average):
    """Cosine of each row with an average."""
    return F.cosine_similarity(p, average[None], dim=1, eps=1e-8)


class Method:
    """A network with what a method remembers; `step(inputs)` gives predictions and updates.

    `half` runs networks in bfloat16 where autocast allows; `networks` are those that a mode compiles.
    """

    def __init__(self, net, options, half=False):
        self.net, self.options, self.half = net, options, half
        self.prepare()

    def __getattr__(self, name):
        options = self.__dict__.get("options", {})
        if name in options:
            return options[name]
        raise AttributeError(name)

    def prepare(self):
        """Before the first step."""

    def observe(self, inputs):
        """What a method looks at before a run."""

    @property
    def networks(self):
        return [self.net]

    def logits(self, net, inputs):
        device = inputs.device.type
        held = torch.autocast(device, dtype=torch.bfloat16) if self.half else contextlib.nullcontext()
        with held:
            return net(inputs).float()

    def sgd_or_adam(self, parameters):
        """As options say; `fused` is PyTorch's fastest."""
        if self.optimiser == "adam":
            return torch.optim.Adam(parameters, self.lr, betas=(self.momentum, 0.999), fused=True)
        nesterov = self.options.get("nesterov", False)
        return torch.optim.SGD(parameters, self.lr, momentum=self.momentum, nesterov=nesterov, fused=True)

    def descend(self, rule, loss):
        rule.zero_grad()
        loss.backward()
        rule.step()


def twin(net):
    """A frozen copy."""
    return copy.deepcopy(net).requires_grad_(False)
