"""AST and SSAST in PyTorch: transformers' model where it has the sizes, else the same in the authors' names."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.torch_amaut import FeedForward


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.qkv, self.proj = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, width, heads, mlp, epsilon):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, epsilon), nn.LayerNorm(width, epsilon)
        self.attn, self.mlp = Attention(width, heads), FeedForward(width, mlp)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Patches(nn.Module):
    def __init__(self, width, patch, stride):
        super().__init__()
        self.proj = nn.Conv2d(1, width, tuple(patch), tuple(stride))

    def forward(self, x):
        return self.proj(x).flatten(2).transpose(1, 2)


class Vit(nn.Module):
    """The authors' names below `v.`, without timm's two heads that nothing reads."""

    def __init__(self, grid, width, depth, heads, mlp, patch, stride, prefix, epsilon):
        super().__init__()
        self.patch_embed = Patches(width, patch, stride)
        if prefix:
            self.cls_token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        if prefix == 2:
            self.dist_token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.prefix = prefix
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, prefix + grid[0] * grid[1], width))
        self.blocks = nn.Sequential(*(Block(width, heads, mlp, epsilon) for _ in range(depth)))
        self.norm = nn.LayerNorm(width, epsilon)

    def forward(self, x):
        x = self.patch_embed(x)
        first = (
            [self.cls_token, self.dist_token][: self.prefix] if self.prefix == 2 else [self.cls_token][: self.prefix]
        )
        x = torch.cat([*(token.expand(len(x), -1, -1) for token in first), x], 1)
        return self.norm(self.blocks(x + self.pos_embed))


class Body(nn.Module):
    """Features (batch, frames, mels) to tokens, in the authors' names."""

    style = "original"

    def __init__(self, geometry, shape):
        super().__init__()
        frames, mels = shape
        sizes = {key: value for key, value in geometry.items() if key != "activation"}
        pairs = zip((mels, frames), sizes["patch"], sizes["stride"], strict=True)
        self.v = Vit([(size - patch) // stride + 1 for size, patch, stride in pairs], **sizes)

    def forward(self, features):
        return self.v(features.transpose(1, 2)[:, None])


class LibraryBody(nn.Module):
    """The same as transformers has it: square patches, a cls and a distillation token."""

    style = "huggingface"

    def __init__(self, geometry, shape):
        from transformers import ASTConfig, ASTModel

        super().__init__()
        frames, mels = shape
        config = ASTConfig(
            hidden_size=geometry["width"],
            num_hidden_layers=geometry["depth"],
            num_attention_heads=geometry["heads"],
            intermediate_size=geometry["mlp"],
            patch_size=geometry["patch"][0],
            frequency_stride=geometry["stride"][0],
            time_stride=geometry["stride"][1],
            layer_norm_eps=geometry["epsilon"],
            max_length=frames,
            num_mel_bins=mels,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            attn_implementation="sdpa",
        )
        self.audio_spectrogram_transformer = ASTModel(config)

    def forward(self, features):
        return self.audio_spectrogram_transformer(input_values=features).last_hidden_state


def body_of(geometry, shape):
    """transformers' where it is installed and has the sizes."""
    square = geometry["patch"][0] == geometry["patch"][1] and geometry["prefix"] == 2
    try:
        import transformers  # noqa: F401
    except ImportError:
        square = False
    return (LibraryBody if square else Body)(geometry, shape)
