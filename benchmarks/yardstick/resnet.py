"""TTA-in-AC's image networks in PyTorch: the pre-activation ResNet with its auxiliary head, and the small CNN.

Features (batch, frames, mels) become images (batch, 1, mels, frames). Names of the children follow ours, so that
weights can be carried over leaf by leaf (`PATHS` of the tests).
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class PreActivationBlock(nn.Module):
    def __init__(self, inputs, features, stride):
        super().__init__()
        self.batch_norm1, self.batch_norm2 = nn.BatchNorm2d(inputs), nn.BatchNorm2d(features)
        self.conv1 = nn.Conv2d(inputs, features, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(features, features, 3, 1, 1, bias=False)
        self.stride, self.more = stride, features - inputs

    def forward(self, x):
        y = self.conv1(self.batch_norm1(x).relu())
        y = self.conv2(self.batch_norm2(y).relu())
        if self.stride != 1 or self.more:
            x = F.pad(F.avg_pool2d(x, self.stride), (0, 0, 0, 0, 0, self.more))
        return x + y


def group(inputs, features, blocks, stride):
    """`blocks` blocks of one width, the first with the stride."""
    made = {}
    for i in range(blocks):
        made[f"block{i}"] = PreActivationBlock(inputs if i == 0 else features, features, stride if i == 0 else 1)
    return nn.Sequential(_ordered(made))


def _ordered(modules):
    from collections import OrderedDict

    return OrderedDict(modules)


class LastGroup(nn.Module):
    def __init__(self, inputs, features, blocks, pool):
        super().__init__()
        self.group, self.batch_norm, self.pool = group(inputs, features, blocks, 2), nn.BatchNorm2d(features), pool

    def forward(self, x):
        return F.avg_pool2d(self.batch_norm(self.group(x)).relu(), self.pool).flatten(2).transpose(1, 2)


class Body(nn.Module):
    """Features to tokens; the auxiliary head is there and not run, as in a classifier's pass."""

    def __init__(self, geometry, shape):
        super().__init__()
        widths, blocks, pool = geometry["widths"], geometry["blocks"], geometry["pool"]
        extractor, before = {"conv": nn.Conv2d(1, widths[0], 3, 1, 1, bias=False)}, widths[0]
        for i, width in enumerate(widths[:-1]):
            extractor[f"group{i + 1}"], before = group(before, width, blocks, 1 if i == 0 else 2), width
        self.extractor = nn.Sequential(_ordered(extractor))
        self.last_group = LastGroup(before, widths[-1], blocks, pool)
        side = 2 ** (len(widths) - 1) * pool
        self.tokens, self.width = (shape[0] // side) * (shape[1] // side), widths[-1]
        if geometry["aux_classes"]:
            self.aux = nn.Module()
            self.aux.last_group = LastGroup(before, widths[-1], blocks, pool)
            self.aux.linear = nn.Linear(self.width * self.tokens, geometry["aux_classes"])

    def forward(self, features):
        return self.last_group(self.extractor(features.transpose(1, 2)[:, None]))


class Cnn(nn.Module):
    """BatchNorm of the spectrogram, strided convolutions with BatchNorm and ReLU, the mean over the image."""

    def __init__(self, geometry, shape):
        super().__init__()
        layers, before = {"batch_norm0": nn.BatchNorm2d(1)}, 1
        for i, width in enumerate(geometry["channels"], 1):
            taps = 5 if i == 1 else 3
            layers[f"conv{i}"] = nn.Conv2d(before, width, taps, 2, taps // 2)
            layers[f"batch_norm{i}"], layers[f"relu{i}"], before = nn.BatchNorm2d(width), nn.ReLU(), width
        self.layers, self.tokens, self.width = nn.Sequential(_ordered(layers)), 1, before

    def forward(self, features):
        return torch.mean(self.layers(features.transpose(1, 2)[:, None]), (2, 3))[:, None]
