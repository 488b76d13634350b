"""What `embed` embeds with: the network of a checkpoint, a classifier's or an audio-text model's, and what names it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from dhauds_jax import digests, registry
from dhauds_jax.data.sets.base import read_text
from dhauds_jax.errors import BadInput
from dhauds_jax.model import encoding, named
from dhauds_jax.model.encoding import Encoder
from dhauds_jax.model.record import load
from dhauds_jax.names import CLEAN
from dhauds_jax.nets import checkpoint, clap_layout, zoo
from dhauds_jax.nets.audio_text_config import AudioTextConfig
from dhauds_jax.nets.clap_layout import LongRule
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.runs.requests.embed import EmbedRun
from dhauds_jax.types import Variables
from dhauds_jax.workdir import vectors


class Encoding(NamedTuple):
    """What embeds, what a manifest says of it, and the rule of long recordings as `--long` has it."""

    encoder: Encoder
    about: dict[str, Any]
    long: str


def encoding_of(run: EmbedRun) -> Encoding:
    """What embeds recordings: the network of `--checkpoint`, and how it takes long ones.

    Raises:
      BadInput: no such checkpoint, an unknown rule, or one that its kind of network does not have.
    """
    rule, both = clap_layout.parse_rule(run.long), checkpoint.is_audio_text(run.checkpoint)
    if rule.kind.startswith("fusion") and not both:
        raise BadInput(
            f"--long={run.long}: is a rule of audio-text networks, and --checkpoint={run.checkpoint} is a classifier; "
            "expected windows, first or random_crop"
        )
    if any(name != CLEAN for name in run.corruption):  # it acts on the head of a long clip, in every command
        if rule not in (LongRule(), LongRule("first")):
            raise BadInput(f"--long={run.long}: a corruption acts on the heads of long clips, expected --long=first")
        rule = LongRule("first")
    if both:
        towers = named.towers(run.checkpoint, precision=run.precision)
        variables, config = towers.variables, towers.config
        if rule.kind.startswith("fusion") and config.audio["fusion"] is None:
            raise BadInput(
                f"--long={run.long}: is a rule of audio-text networks with fusion, and --checkpoint={run.checkpoint} "
                "has none; expected windows, first or random_crop"
            )
        encoder = encoding.of_audio_text(towers.model, variables, rule, run.batch_size)
    else:
        model = load(run.checkpoint, precision=run.precision)
        variables, config = model.variables, model.config
        encoder = encoding.of_model(model, rule, run.batch_size)
    about = {**_named(config, variables), "precision": run.precision, "rows": encoder.how}
    return Encoding(encoder, about, clap_layout.rule_text(rule))


def _named(config: ClassifierConfig | AudioTextConfig, variables: Variables) -> dict[str, Any]:
    """What a manifest says of a network: all that a vector follows from beside the recording."""
    own = [digest for digest in map(registry.source_digest, config.places()) if digest is not None]
    if isinstance(config, AudioTextConfig):
        kind, settings = "audio_text", digests.of_text(config.replace(source={}).to_json())
    else:
        kind, settings = "classifier", zoo.own_settings(config)
    return {
        "kind": kind,
        "net": config.net,
        "hash": checkpoint.variables_hash(variables),
        "front_end": config.front_end,
        "front_end_hash": vectors.front_end_hash(config.front_end),
        "sample_rate": config.sample_rate,
        "length": config.length,
        "settings": settings,
        **({"plug_ins": own} if own else {}),
    }


def phrases(place: str) -> list[str]:
    """The phrases of a file, one a line.

    Raises:
      BadInput: no such file, one that is empty or not UTF-8, a blank line, or a phrase that stands there twice.
    """
    if not Path(place).is_file():
        raise BadInput(f"--text={place}: no such file, expected a text with a phrase on each line")
    lines = [line.strip() for line in read_text(Path(place)).splitlines()]
    if not lines:
        raise BadInput(f"--text={place}: is empty, expected a phrase on each line")
    for number, line in enumerate(lines, 1):
        if not line or line in lines[: number - 1]:
            found = f"line {number} is {'blank' if not line else f'{line!r} again'}"
            raise BadInput(f"--text={place}: {found}, expected a phrase of its own on each line")
    return lines


def text_vectors(run: EmbedRun, texts: list[str]) -> tuple[Float[np.ndarray, "texts width"], dict[str, Any]]:
    """The unit vectors of phrases, and what a manifest says of the network.

    Raises:
      BadInput: a checkpoint without a text tower, or one without a tokenizer whose phrases are not kept.
    """
    if not checkpoint.is_audio_text(run.checkpoint):
        raise BadInput(
            f"--text={run.text}: phrases are embedded by an audio-text network, and --checkpoint={run.checkpoint} is a "
            "classifier; expected the checkpoint of one, or no --text"
        )
    towers = named.towers(run.checkpoint)
    found = np.asarray(towers.sentences(texts), np.float32)
    return found, {**_named(towers.config, towers.variables), "precision": "float32"}
