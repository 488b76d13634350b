"""The classification heads in PyTorch, one class a kind, names as in the published files.

Each takes tokens (batch, tokens, width) and gives logits (batch, classes).
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm


class AudioClassifier(nn.Module):
    """Mean over tokens, two linear maps, BatchNorm, a weight-normed linear map."""

    def __init__(self, width, classes, hidden, features):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, features)
        self.bn2 = nn.BatchNorm1d(features, eps=1e-6)
        self.fc3 = weight_norm(nn.Linear(features, classes))

    def forward(self, tokens):
        return self.fc3(self.bn2(self.fc2(self.fc1(tokens.mean(1)))))


class TokenPool(nn.Module):
    """Mean of the patches or of the first tokens, layer norm, linear layer."""

    def __init__(self, width, classes, pool, prefix, epsilon):
        super().__init__()
        self.first, self.last = (prefix, None) if pool == "average" else (0, prefix)
        self.mlp_head = nn.Sequential(nn.LayerNorm(width, epsilon), nn.Linear(width, classes))

    def forward(self, tokens):
        return self.mlp_head(tokens[:, self.first : self.last].mean(1))


class Bottleneck(nn.Module):
    """CoNMix's two last parts over one token: a linear map with its BatchNorm, a weight-normed linear map."""

    def __init__(self, width, classes, features):
        super().__init__()
        self.bottleneck, self.bn = nn.Linear(width, features), nn.BatchNorm1d(features)
        self.fc = weight_norm(nn.Linear(features, classes))

    def forward(self, tokens):
        return self.fc(self.bn(self.bottleneck(tokens.mean(1))))


class ProjectedTokens(nn.Module):
    """CLAP's projection of the tokens' mean and a linear layer."""

    def __init__(self, width, classes, hidden, features):
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(width, hidden), nn.Linear(hidden, features)
        self.classifier = nn.Linear(features, classes)

    def forward(self, tokens):
        return self.classifier(self.linear2(self.linear1(tokens.mean(1)).relu()))


class AttentionPool(nn.Module):
    """Self-attention over the tokens, their mean, a linear layer. A clip of noise has no silence to mask."""

    def __init__(self, width, classes, heads, dropout, mask):
        super().__init__()
        self.attnpooling = nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)
        self.classifier = nn.Linear(width, classes)

    def forward(self, tokens):
        return self.classifier(self.attnpooling(tokens, tokens, tokens, need_weights=False)[0].mean(1))


class Linear(nn.Module):
    """A linear layer over all tokens, channel by channel; `softmax_output` puts a softmax behind it."""

    def __init__(self, width, classes, tokens, softmax_output):
        super().__init__()
        self.fc, self.softmax = nn.Linear(width * tokens, classes), softmax_output

    def forward(self, tokens):
        logits = self.fc(tokens.transpose(1, 2).flatten(1))
        return torch.softmax(logits, 1) if self.softmax else logits


KINDS = {
    "audio_classifier": AudioClassifier,
    "token_pool": TokenPool,
    "bottleneck": Bottleneck,
    "projected_tokens": ProjectedTokens,
    "attention_pool": AttentionPool,
    "linear": Linear,
}
