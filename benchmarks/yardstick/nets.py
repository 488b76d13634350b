"""The network of a classifier's record in PyTorch: a body, a head, and what it is fed with.

A record is a dict: `family`, `geometry`, `head`, `front_end` and `classes` (their number) of a `ClassifierConfig`, and
`shape`, of one clip's features, without the batch.
"""

from __future__ import annotations

from torch import nn

from benchmarks.yardstick import heads, hybrid, resnet, spectrogram

IMAGES = ("conmix", "resnet", "cnn", "vggish", "spectrogram_transformer")
"""Families with two-dimensional convolutions, for which channels-last is tried."""


class Net(nn.Module):
    """`head(body(inputs))`: features (or waves) to logits (batch, classes)."""

    def __init__(self, body, head):
        super().__init__()
        self.body, self.head = body, head

    def forward(self, inputs):
        return self.head(self.body(inputs))


class Hubert(nn.Module):
    """torchaudio's HuBERT, its frames alone."""

    def __init__(self, geometry):
        from benchmarks.pure_torchaudio import torchaudio

        super().__init__()
        found = torchaudio().models.wav2vec2_model(
            extractor_mode="group_norm" if geometry["conv_norm"] == "group" else "layer_norm",
            extractor_conv_layer_config=[tuple(conv) for conv in geometry["convs"]],
            extractor_conv_bias=geometry["conv_bias"],
            encoder_embed_dim=geometry["width"],
            encoder_projection_dropout=geometry["projection_dropout"],
            encoder_pos_conv_kernel=geometry["positional_taps"],
            encoder_pos_conv_groups=geometry["positional_groups"],
            encoder_num_layers=geometry["depth"],
            encoder_num_heads=geometry["heads"],
            encoder_attention_dropout=geometry["attention_dropout"],
            encoder_ff_interm_features=geometry["feed_forward"],
            encoder_ff_interm_dropout=geometry["inner_dropout"],
            encoder_dropout=geometry["dropout"],
            encoder_layer_norm_first=geometry["pre_norm"],
            encoder_layer_drop=geometry["layer_drop"],
            aux_num_out=None,
        )
        self.feature_extractor, self.encoder = found.feature_extractor, found.encoder

    def forward(self, waves):
        return self.encoder(self.feature_extractor(waves, None)[0], None)


class Amaut(nn.Module):
    """Features (batch, frames, mels) to tokens."""

    def __init__(self, geometry, shape):
        from benchmarks import torch_amaut

        super().__init__()
        sizes = {key: geometry[key] for key in ("width", "stages", "embed", "depth", "heads", "mlp", "token_dropout")}
        net = torch_amaut.AMAuT(shape[0], shape[1], **sizes)
        for layer in net.layers:
            layer.normed = geometry["mlp_norm"] == "applied"
        self.net = net

    def forward(self, features):
        return self.net(features.transpose(1, 2))


class Clap(nn.Module):
    """transformers' audio tower without fusion; features (batch, frames, mels) to one token, the mean of all."""

    def __init__(self, geometry):
        from transformers import ClapAudioConfig
        from transformers.models.clap.modeling_clap import ClapAudioModel

        super().__init__()
        config = ClapAudioConfig(
            patch_embeds_hidden_size=geometry["width"],
            hidden_size=geometry["width"] * 2 ** (len(geometry["depths"]) - 1),
            depths=geometry["depths"],
            num_hidden_layers=len(geometry["depths"]),
            num_attention_heads=geometry["heads"],
            enable_fusion=False,
            spec_size=geometry["spec"],
            num_mel_bins=geometry["mels"],
            patch_size=geometry["patch"],
            patch_stride=[geometry["patch"]] * 2,
            window_size=geometry["window"],
            mlp_ratio=float(geometry["mlp_ratio"]),
            layer_norm_eps=geometry["epsilon"],
            drop_path_rate=geometry["drop_path"],
        )
        self.audio_model = ClapAudioModel(config)

    def forward(self, features):
        return self.audio_model(input_features=features[:, None], is_longer=None).pooler_output[:, None]


def _vggish(record):
    from benchmarks.torch_vggish import VGGish

    sizes = record["geometry"]
    return VGGish((sizes["widths"], sizes["dense"], sizes["final_relu"], sizes["batch_norm"]), sizes["convs"])


BODIES = {
    "hubert": lambda record: (Hubert(record["geometry"]), record["geometry"]["width"]),
    "amaut": lambda record: (Amaut(record["geometry"], record["shape"]), record["geometry"]["embed"]),
    "spectrogram_transformer": lambda record: (
        spectrogram.body_of(record["geometry"], record["shape"]),
        record["geometry"]["width"],
    ),
    "conmix": lambda record: (
        hybrid.Body(record["geometry"], (record["front_end"]["mean"], record["front_end"]["deviation"])),
        record["geometry"]["features"],
    ),
    "clap": lambda record: (
        Clap(record["geometry"]),
        2 ** (len(record["geometry"]["depths"]) - 1) * record["geometry"]["width"],
    ),
    "vggish": lambda record: (_vggish(record), record["geometry"]["dense"][-1]),
    "resnet": lambda record: (resnet.Body(record["geometry"], record["shape"]), record["geometry"]["widths"][-1]),
    "cnn": lambda record: (resnet.Cnn(record["geometry"], record["shape"]), record["geometry"]["channels"][-1]),
}
"""Family -> the body of a record and the width of its tokens."""


def build(record):
    """The network of a record.

    Raises:
      ValueError: a family or a head that the yardstick does not have.
    """
    if record["family"] not in BODIES:
        raise ValueError(f"PyTorch's side has no family {record['family']!r}, expected {', '.join(BODIES)}")
    kind = record["head"]["kind"]
    if kind not in heads.KINDS:
        raise ValueError(f"PyTorch's side has no head {kind!r}, expected {', '.join(heads.KINDS)}")
    body, width = BODIES[record["family"]](record)
    sizes = {key: value for key, value in record["head"].items() if key != "kind"}
    if kind == "linear":
        sizes["tokens"] = body.tokens
    return Net(body, heads.KINDS[kind](width, record["classes"], **sizes))


def parameters(net):
    """Parameters of a network."""
    return sum(parameter.numel() for parameter in net.parameters())
