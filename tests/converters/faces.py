"""Small folders as transformers writes them, with random weights, for the tests of conversion."""

import numpy as np

SIZES = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "conv_dim": (16,) * 3,
    "conv_kernel": (10, 3, 2),
    "conv_stride": (5, 4, 4),
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 4,
    "classifier_proj_size": 12,
}
AST_SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_length": 23,
    "num_mel_bins": 32,
    "patch_size": 8,
    "frequency_stride": 6,
    "time_stride": 6,
}
WAVE = (0.1 * np.random.default_rng(0).standard_normal((2, 4000))).astype(np.float32)


def drawn(model):
    """The model with all weights drawn, since the library starts biases and tokens at 0."""
    import torch

    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


def hubert(folder, cls="HubertForSequenceClassification", extractor=True, shards=None, labels="abc", **changes):
    """A folder of a HuBERT, and the model."""
    import torch
    import transformers

    torch.manual_seed(0)
    own = {"id2label": dict(enumerate(labels))} if labels else {"num_labels": 3}
    prefix = "Hubert" if cls.startswith("Hubert") else "Wav2Vec2"
    config = getattr(transformers, f"{prefix}Config")(**{**SIZES, **own, **changes})
    model = drawn(getattr(transformers, cls)(config))
    model.save_pretrained(folder, **({"max_shard_size": shards} if shards else {}))
    if extractor:
        transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    return model


def ast(folder, extractor=True, labels="abc", **changes):
    """A folder of an AST, and the model."""
    import torch
    import transformers

    torch.manual_seed(0)
    own = {"id2label": dict(enumerate(labels))} if labels else {"num_labels": 3}
    model = drawn(transformers.ASTForAudioClassification(transformers.ASTConfig(**{**AST_SIZES, **own, **changes})))
    model.save_pretrained(folder)
    if extractor:
        transformers.ASTFeatureExtractor(max_length=23, num_mel_bins=32, mean=-5.5, std=3.5).save_pretrained(folder)
    return model
