"""VGGish and attention pooling as plain PyTorch functions over a state dict, for `--verify` alone, written from the
published layout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from converters import vggish
from converters.mapping import prefixed
from converters.torch_side import linear, state_of
from dhauds_jax.nets.config import ClassifierConfig


def layers(variables: Mapping[str, Any], config: ClassifierConfig, features: Any) -> dict[str, Any]:
    """Activations by our names: "image" (examples, rows, columns, channels), "tokens" (batch, examples, width), logits.

    Args:
      variables: of the classifier, NumPy.
      config: its record; a mask has no part in clips without silence.
      features: (batch, examples, frames, bands) tensor.
    """
    import torch
    from torch.nn import functional as F

    sizes = config.geometry
    state = state_of(variables, [*vggish.encoder_leaves(sizes, "torch"), *prefixed(vggish.head_leaves(), "head.")])
    x, place = features.flatten(0, 1)[:, None], 0
    for convs in sizes["convs"]:
        for _ in range(convs):
            x = F.conv2d(x, state[f"features.{place}.weight"], state[f"features.{place}.bias"], padding=1).relu()
            place += 2
        x, place = F.max_pool2d(x, 2), place + 1
    image = x.permute(0, 2, 3, 1)
    x = image.flatten(1)
    for i in range(len(sizes["dense"])):
        x = linear(state, f"embeddings.{2 * i}", x)
        x = x.relu() if sizes["final_relu"] or i < len(sizes["dense"]) - 1 else x
    tokens = x.unflatten(0, features.shape[:2])
    pool = torch.nn.MultiheadAttention(tokens.shape[-1], config.head["heads"], batch_first=True).eval()
    names = pool.state_dict()
    pool.load_state_dict({name: state[f"head.attnpooling.{name}"] for name in names})
    pooled = pool(tokens, tokens, tokens, need_weights=False)[0].mean(1)
    return {"image": image, "tokens": tokens, "logits": linear(state, "head.classifier", pooled)}
