"""CoNMix's hybrid in PyTorch: a ResNet with standardised kernels and group norms under a vision transformer.

Names as in the published files; images (batch, rows, columns) in dB, one channel that stands for three.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class StdConv2d(nn.Conv2d):
    """A convolution without bias whose kernel is standardised per output channel."""

    def __init__(self, inputs, outputs, taps=1, stride=1):
        super().__init__(inputs, outputs, taps, stride, taps // 2, bias=False)

    def forward(self, x):
        variance, mean = torch.var_mean(self.weight, (1, 2, 3), correction=0, keepdim=True)
        return F.conv2d(x, (self.weight - mean) * torch.rsqrt(variance + 1e-5), None, self.stride, self.padding)


class Unit(nn.Module):
    def __init__(self, inputs, outputs, middle, stride, groups):
        super().__init__()
        self.conv1, self.gn1 = StdConv2d(inputs, middle), nn.GroupNorm(groups, middle, 1e-6)
        self.conv2, self.gn2 = StdConv2d(middle, middle, 3, stride), nn.GroupNorm(groups, middle, 1e-6)
        self.conv3, self.gn3 = StdConv2d(middle, outputs), nn.GroupNorm(groups, outputs, 1e-6)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample, self.gn_proj = StdConv2d(inputs, outputs, 1, stride), nn.GroupNorm(outputs, outputs, 1e-5)

    def forward(self, x):
        shortcut = x if self.downsample is None else self.gn_proj(self.downsample(x))
        x = self.gn1(self.conv1(x)).relu()
        x = self.gn2(self.conv2(x)).relu()
        return (shortcut + self.gn3(self.conv3(x))).relu()


class Root(nn.Module):
    def __init__(self, width, groups):
        super().__init__()
        self.conv, self.gn = StdConv2d(3, width, 7, 2), nn.GroupNorm(groups, width, 1e-6)

    def forward(self, x):
        return F.max_pool2d(self.gn(self.conv(x)).relu(), 3, 2)


class Hybrid(nn.Module):
    def __init__(self, root, units, groups):
        super().__init__()
        self.root, self.body, inputs = Root(root, groups), nn.ModuleDict(), root
        for stage, count in enumerate(units):
            middle, blocks = root * 2**stage, nn.ModuleDict()
            for i in range(count):
                stride = 2 if stage and i == 0 else 1
                blocks[f"unit{i + 1}"], inputs = Unit(inputs, 4 * middle, middle, stride, groups), 4 * middle
            self.body[f"block{stage + 1}"] = blocks
        self.channels = inputs

    def forward(self, x):
        x = self.root(x)
        for block in self.body.values():
            for unit in block.values():
                x = unit(x)
        return x


class Embeddings(nn.Module):
    def __init__(self, root, units, groups, width, dropout):
        super().__init__()
        self.hybrid_model = Hybrid(root, units, groups)
        self.patch_embeddings = nn.Conv2d(self.hybrid_model.channels, width, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        return self.dropout(self.patch_embeddings(self.hybrid_model(x)).flatten(2).transpose(1, 2))


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x):
        q, k, v = (f(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for f in (self.query, self.key, self.value))
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    def __init__(self, width, inner, dropout):
        super().__init__()
        self.fc1, self.fc2, self.dropout = nn.Linear(width, inner), nn.Linear(inner, width), nn.Dropout(dropout)

    def forward(self, x):
        return self.dropout(self.fc2(self.dropout(F.gelu(self.fc1(x)))))


class Block(nn.Module):
    def __init__(self, width, heads, mlp, dropout):
        super().__init__()
        self.attention_norm, self.ffn_norm = nn.LayerNorm(width, 1e-6), nn.LayerNorm(width, 1e-6)
        self.attn, self.ffn = Attention(width, heads), FeedForward(width, mlp, dropout)

    def forward(self, x):
        x = x + self.attn(self.attention_norm(x))
        return x + self.ffn(self.ffn_norm(x))


class Encoder(nn.Module):
    def __init__(self, width, depth, heads, mlp, dropout):
        super().__init__()
        self.layer = nn.ModuleList(Block(width, heads, mlp, dropout) for _ in range(depth))
        self.encoder_norm = nn.LayerNorm(width, 1e-6)

    def forward(self, x):
        for block in self.layer:
            x = block(x)
        return self.encoder_norm(x)


class Body(nn.Module):
    """Images to one token a clip."""

    def __init__(self, geometry, statistics):
        super().__init__()
        sizes = dict(geometry)
        root, units, groups, dropout = (sizes[key] for key in ("root", "units", "groups", "dropout"))
        width = sizes["width"]
        self.transformer = nn.ModuleDict(
            {
                "embeddings": Embeddings(root, units, groups, width, dropout),
                "encoder": Encoder(width, sizes["depth"], sizes["heads"], sizes["mlp"], dropout),
            }
        )
        self.decoder = nn.ModuleDict({"fc": nn.Linear(width, sizes["features"])})
        self.mean, self.deviation = statistics

    def forward(self, images):
        x = ((images - self.mean) / self.deviation)[:, None].expand(-1, 3, -1, -1)
        x = self.transformer["encoder"](self.transformer["embeddings"](x))
        return self.decoder["fc"](x.mean(1))[:, None]
