"""VGGish and its attention pooling as PyTorch modules, plain and whole, from log-mel examples.

Names are torchvggish's and team ADEE's (features, embeddings; attnpooling, classifier); `vggish_small` is ours, with
BatchNorm.
"""

from __future__ import annotations

from torch import nn

SIZES = {
    "vggish": ((64, 128, 256, 512), (4096, 4096, 128), True, False),
    "vggish_small": ((16, 32, 64, 128), (192, 128), False, True),
}
"""Channels of the stages, outputs of the linear layers, whether a ReLU follows the last one, BatchNorm."""

CONVS = (1, 1, 2, 2)


def examples_of(samples: int) -> int:
    """Examples of 96 frames that a clip at 16 kHz gives."""
    return max(1, (1 + (samples - 400) // 160) // 96)


class VGGish(nn.Module):
    """(batch, examples, 96, 64) to (batch, examples, width)."""

    def __init__(self, sizes, convolutions=CONVS):
        super().__init__()
        widths, dense, final_relu, batch_norm = SIZES[sizes] if isinstance(sizes, str) else sizes
        layers, before = [], 1
        for width, convs in zip(widths, convolutions, strict=True):
            for _ in range(convs):
                norm = [nn.BatchNorm2d(width)] if batch_norm else []
                layers += [nn.Conv2d(before, width, 3, padding=1), *norm, nn.ReLU(inplace=True)]
                before = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        layers, before = [], 6 * 4 * before
        for width in dense:
            layers += [nn.Linear(before, width), nn.ReLU(inplace=True)]
            before = width
        self.embeddings = nn.Sequential(*(layers if final_relu else layers[:-1]))

    def forward(self, examples):
        x = self.features(examples.flatten(0, 1)[:, None])
        return self.embeddings(x.permute(0, 2, 3, 1).flatten(1)).unflatten(0, examples.shape[:2])


class Head(nn.Module):
    """Self-attention over the examples, their mean, a linear layer."""

    def __init__(self, classes: int, width: int = 128):
        super().__init__()
        self.attnpooling = nn.MultiheadAttention(width, 4, dropout=0.1, batch_first=True)
        self.classifier = nn.Linear(width, classes)

    def forward(self, tokens):
        return self.classifier(self.attnpooling(tokens, tokens, tokens, need_weights=False)[0].mean(1))
