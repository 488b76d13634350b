"""A compact AMAuT in PyTorch for the yardstick: the small published size, with the names of the checkpoint files.

Log-mel features (batch, mels, frames), mel bins as channels: a weight-standardised convolution with BatchNorm and max
pooling, residual bottlenecks, a projection, cls and tail tokens, positions, transformer blocks whose second norm is not
used, as in the system that it stands for. The same arithmetic as `dhauds_jax.nets.amaut`.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

SMALL = {"mels": 80, "width": 32, "stages": (1, 1), "embed": 192, "depth": 4, "heads": 4, "mlp": 384}
"""amaut_small and amaut_arabic15."""
SMALL_HEAD = {"hidden": 256, "features": 64}
HOP = 155
"""Samples between frames at 16 kHz."""


class StdConv1d(nn.Conv1d):
    """A convolution whose weights have mean 0 and variance 1 for each output channel (biased, + 1e-5); no bias."""

    def __init__(self, inputs, outputs, taps=1, stride=1, padding=0):
        super().__init__(inputs, outputs, taps, stride, padding, bias=False)

    def forward(self, x):
        variance, mean = torch.var_mean(self.weight, (1, 2), correction=0, keepdim=True)
        weight = (self.weight - mean) * torch.rsqrt(variance + 1e-5)
        return F.conv1d(x, weight, None, self.stride, self.padding)


class Bottleneck(nn.Module):
    def __init__(self, inputs, middle, outputs, stride):
        super().__init__()
        self.conv1, self.norm1 = StdConv1d(inputs, middle), nn.BatchNorm1d(middle, eps=1e-6)
        self.conv2, self.norm2 = StdConv1d(middle, middle, 7, stride, 3), nn.BatchNorm1d(middle, eps=1e-6)
        self.conv3, self.norm3 = StdConv1d(middle, outputs), nn.BatchNorm1d(outputs, eps=1e-6)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample, self.ds_gn = StdConv1d(inputs, outputs, 1, stride), nn.BatchNorm1d(outputs, eps=1e-5)

    def forward(self, x):
        shortcut = x if self.downsample is None else self.ds_gn(self.downsample(x))
        y = F.relu(self.norm1(self.conv1(x)))
        y = F.relu(self.norm2(self.conv2(y)))
        return F.relu(self.norm3(self.conv3(y)) + shortcut)


class Residual(nn.Module):
    def __init__(self, mels, width, stages):
        super().__init__()
        self.root = nn.Sequential(StdConv1d(mels, width, 14, 2, 6), nn.BatchNorm1d(width, eps=1e-6), nn.ReLU())
        blocks, channels, middle = [], width, width
        for stage, more in enumerate(stages):
            for i in range(1 + more):
                blocks.append(Bottleneck(channels, middle, 4 * middle, 2 if stage > 0 and i == 0 else 1))
                channels = 4 * middle
            middle *= 2
        self.layers, self.channels = nn.Sequential(*blocks), channels

    def forward(self, x):
        return self.layers(F.max_pool1d(self.root(x), 6, 2, 2))


class Embedding(nn.Module):
    def __init__(self, mels, width, stages, embed):
        super().__init__()
        self.restnet = Residual(mels, width, stages)
        self.patch_embedding = nn.Conv1d(self.restnet.channels, embed, 1)

    def forward(self, x):
        return self.patch_embedding(self.restnet(x)).transpose(1, 2)


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x):
        q, k, v = (f(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for f in (self.q, self.k, self.v))
        return self.o(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    def __init__(self, width, inner):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """The MLP sees the raw stream: `ffn_norm` is counted and in the files, and nothing reads it but where `normed`."""

    normed = False

    def __init__(self, width, heads, mlp):
        super().__init__()
        self.attention_norm, self.ffn_norm = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attention, self.ffn = Attention(width, heads), FeedForward(width, mlp)

    def forward(self, x):
        x = x + self.attention(self.attention_norm(x))
        return x + self.ffn(self.ffn_norm(x) if self.normed else x)


class AMAuT(nn.Module):
    """Features (batch, mels, frames) to tokens (batch, tokens, embed)."""

    def __init__(self, frames, mels, width, stages, embed, depth, heads, mlp, token_dropout=0.15):
        super().__init__()
        self.embedding = Embedding(mels, width, stages, embed)
        with torch.no_grad():
            tokens = self.embedding.eval()(torch.zeros(1, mels, frames)).shape[1]
        self.cls_token, self.tail_token = (nn.Parameter(0.02 * torch.randn(1, 1, embed)) for _ in range(2))
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, tokens + 2, embed))
        self.dropout = nn.Dropout(token_dropout)
        self.layers = nn.ModuleList(Block(embed, heads, mlp) for _ in range(depth))
        self.tf_norm = nn.LayerNorm(embed, eps=1e-6)
        self.train()

    def forward(self, features):
        x = self.embedding(features)
        cls, tail = (token.expand(len(x), -1, -1) for token in (self.cls_token, self.tail_token))
        x = self.dropout(torch.cat([cls, x, tail], 1) + self.pos_embed)
        for layer in self.layers:
            x = layer(x)
        return self.tf_norm(x)


def small(samples: int) -> AMAuT:
    """The small AMAuT for clips of so many samples at 16 kHz."""
    return AMAuT(frames_of(samples), **SMALL)


def frames_of(samples: int) -> int:
    """Log-mel frames of a clip at 16 kHz."""
    return 1 + samples // HOP
