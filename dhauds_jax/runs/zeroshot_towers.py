"""What a checkpoint gives a zero-shot grid: vectors of sentences and a scale, or a classifier's last layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from dhauds_jax.errors import BadInput
from dhauds_jax.model import named
from dhauds_jax.model.record import load as load_model
from dhauds_jax.nets import checkpoint
from dhauds_jax.runs.named_files import template_lines
from dhauds_jax.runs.zeroshot_sets import LabelledSet
from dhauds_jax.types import Linear
from dhauds_jax.workdir import vectors
from dhauds_jax.workdir.vectors import Vectors
from dhauds_jax.zeroshot import prototypes, scorers, templates
from dhauds_jax.zeroshot.request import ENTROPY, ZeroshotGrid


class Towers(NamedTuple):
    """What is known beside the embedded sets; None where it is not asked for or not there.

    Attributes:
      net: name of the network, "-" without one.
      weights: the hash of its weights; "unknown" without one.
      anchors: (templates, classes, width) unit vectors of the classes' sentences.
      noisy: (phrases, classes, width) of every class with every noise phrase.
      scenes: words of a background -> (3, width), its sentences.
      scale: what the model multiplies cosines by.
      head: the classifier's last layer, its columns in the order of the sets' classes.
      template: the sentences' templates, for the identity of rows.
    """

    net: str = "-"
    weights: str = "unknown"
    anchors: Float[np.ndarray, "templates classes width"] | None = None
    noisy: Float[np.ndarray, "phrases classes width"] | None = None
    scenes: Mapping[str, Float[np.ndarray, "sentences width"]] = {}
    scale: float | None = None
    head: Linear | None = None
    template: tuple[str, ...] = ()

    def text(self, weights: Float[np.ndarray, " templates"] | None = None) -> Float[np.ndarray, "classes width"] | None:
        """The classes' anchors: the mean over their templates, or their weighted mean, of unit length."""
        if self.anchors is None:
            return None
        given = None if weights is None else jnp.asarray(weights)
        return np.asarray(prototypes.text(jnp.asarray(self.anchors), given))


def without(sets: Sequence[LabelledSet]) -> Towers:
    """What ready embeddings say of the network that made them."""
    made = sets[0].about.manifest.get("encoder", {})
    return Towers(net=str(made.get("net", "-")), weights=str(made.get("hash", "unknown")))


def needs_of(run: ZeroshotGrid, scenes: Sequence[str]) -> dict[str, bool]:
    """Whether rows need "text", any sentence; "classes", sentences of classes; "noisy", with noises; "head"."""
    noisy = any("drift" in scorers.members(name) for name in run.scorer)
    classes = noisy or bool({"text", "tgap"} & set(run.prototypes))
    text = bool(scenes) or bool({"text", "tgap"} & set(run.prototypes))
    return {"text": text, "noisy": noisy, "head": "head" in run.prototypes, "classes": classes}


def load(
    run: Any, sets: Sequence[LabelledSet], others: Sequence[Vectors], scenes: Sequence[str], needs: Mapping[str, bool]
) -> Towers:
    """Loads what the rows need.

    Args:
      run: a `ZeroshotGrid` with `checkpoint` and `precision`.
      sets: the sets, which must be this network's.
      others: embeddings of backgrounds, likewise.
      scenes: words of backgrounds.
      needs: `needs_of`.

    Raises:
      BadInput: no checkpoint, one of another kind, another's embeddings, other classes.
    """
    check(run, needs)
    if run.checkpoint is None:
        return without(sets)
    if not checkpoint.is_audio_text(run.checkpoint):
        return _classifier(run, sets, others)
    return _audio_text(run, sets, others, scenes, needs)


def check(run: Any, needs: Mapping[str, bool]) -> None:
    """Raises `BadInput` for no checkpoint, or one of another kind than rows need; reads its config alone."""
    wanted = [name for name in _KINDS if needs[name]]
    if run.checkpoint is None:
        if wanted:
            raise BadInput(
                f"{_asked(run, wanted[0])}: needs {_KINDS[wanted[0]]}, expected its folder as --checkpoint=FOLDER"
            )
        return
    if not checkpoint.is_audio_text(run.checkpoint):
        text = [name for name in wanted if name != "head"]
        if text:
            raise BadInput(
                f"{_asked(run, text[0])}: needs {_KINDS['text']}, and --checkpoint={run.checkpoint} is a classifier; "
                "expected the folder of an audio-text model, or prototypes supervised or head"
            )
    elif needs.get("head"):
        raise BadInput(
            f"--prototypes=head: needs a classifier, and --checkpoint={run.checkpoint} is an audio-text model; "
            "expected prototypes text, tgap or supervised"
        )


def check_weights(run: ZeroshotGrid, towers: Towers) -> None:
    """Raises `BadInput` where templates are to be weighted, and there are not several."""
    if run.template_weights == ENTROPY and len(towers.template) < 2:
        raise BadInput(
            f"--template_weights=entropy: --template={run.template} gives {len(towers.template)} sentences of a class, "
            "expected two or more, such as ensemble, and prototypes text or tgap"
        )


def check_classes(run: Any, classes: Sequence[str], scenes: Sequence[str], needs: Mapping[str, bool]) -> None:
    """Raises `BadInput` where classes that are not embedded yet have no sentence's vector, or are not a head's.

    Sentences are embedded here and kept beside the checkpoint, so that `load` finds them.
    """
    if needs["head"]:
        _check_known(run, classes, list(load_model(run.checkpoint, precision=run.precision).classes))
    if needs["text"] or needs["noisy"]:
        _vectors(named.towers(run.checkpoint), _sentences(run, classes, scenes, needs))


_KINDS = {
    "text": "sentences' vectors of an audio-text model",
    "noisy": "sentences' vectors of an audio-text model",
    "head": "the last layer of the classifier that embedded the sets",
}


def _asked(run: ZeroshotGrid, what: str) -> str:
    """The flag that asks for it."""
    if what == "head":
        return "--prototypes=head"
    if what == "noisy":
        return "--scorer=drift"
    found = [kind for kind in run.prototypes if kind in ("text", "tgap")]
    return f"--prototypes={found[0]}" if found else "--background=text"


def _classifier(run: Any, sets: Sequence[LabelledSet], others: Sequence[Vectors]) -> Towers:
    model = load_model(run.checkpoint, precision=run.precision)
    weights = checkpoint.variables_hash(model.variables)
    _check_made(run, sets, others, weights, model.config.front_end)
    classes, known = sets[0].about.classes, list(model.classes)
    head = None
    if "head" in run.prototypes:
        _check_known(run, classes, known)
        kernel, bias = (np.asarray(x) for x in model.classifier.head(model.variables))
        places = [known.index(name) for name in classes]
        head = Linear(jnp.asarray(kernel[:, places]), jnp.asarray(bias[places]))
        if len(kernel) != sets[0].vectors.shape[1]:
            raise BadInput(
                f"--embeddings={sets[0].about.place}: vectors of {sets[0].vectors.shape[1]} numbers, but the last "
                f"layer of {run.checkpoint} takes {len(kernel)}; embed with that checkpoint"
            )
    return Towers(net=model.config.net, weights=weights, head=head)


def _check_known(run: Any, classes: Sequence[str], known: Sequence[str]) -> None:
    if set(classes) != set(known):
        raise BadInput(
            f"--prototypes=head: {run.checkpoint} knows {len(known)} classes ({known[0]}, ...) and the sets have "
            f"{len(classes)} ({classes[0]}, ...), expected the same"
        )


class _Sentences(NamedTuple):
    lines: tuple[str, ...]
    asked: Sequence[str]
    noisy: Sequence[str]
    places: Mapping[str, Sequence[str]]


def _sentences(run: Any, classes: Sequence[str], scenes: Sequence[str], needs: Mapping[str, bool]) -> _Sentences:
    """The sentences that rows need: of classes none where no row goes by them."""
    lines = tuple(template_lines(run.template)) if needs["classes"] else ()
    noisy = templates.noisy_sentences(classes) if needs["noisy"] else []
    places = {scene: list(templates.background_prompts(scene)) for scene in scenes}
    return _Sentences(lines, templates.sentences(classes, lines) if lines else [], noisy, places)


def _vectors(towers: named.Towers, some: _Sentences) -> Mapping[str, np.ndarray]:
    texts = [*some.asked, *some.noisy, *(text for each in some.places.values() for text in each)]
    return dict(zip(texts, towers.sentences(texts), strict=True))


def _audio_text(
    run: Any, sets: Sequence[LabelledSet], others: Sequence[Vectors], scenes: Sequence[str], needs: Mapping[str, bool]
) -> Towers:
    towers = named.towers(run.checkpoint)
    config, weights = towers.config, checkpoint.variables_hash(towers.variables)
    _check_made(run, sets, others, weights, config.front_end)
    width = config.projection["width"]
    if width != sets[0].vectors.shape[1]:
        raise BadInput(
            f"--embeddings={sets[0].about.place}: vectors of {sets[0].vectors.shape[1]} numbers, but those of "
            f"--checkpoint={run.checkpoint} have {width}; embed with that checkpoint"
        )
    classes = sets[0].about.classes
    some = _sentences(run, classes, scenes, needs)
    found = _vectors(towers, some)

    def rows(texts: Sequence[str]) -> np.ndarray:
        return np.stack([found[text] for text in texts])

    return Towers(
        net=config.net,
        weights=weights,
        anchors=rows(some.asked).reshape(len(some.lines), len(classes), width) if some.lines else None,
        noisy=rows(some.noisy).reshape(-1, len(classes), width) if needs["noisy"] else None,
        scenes={scene: rows(texts) for scene, texts in some.places.items()},
        scale=float(towers.model.scale(towers.variables)),
        template=some.lines,
    )


def _check_made(
    run: Any, sets: Sequence[LabelledSet], others: Sequence[Vectors], weights: str, front_end: Mapping[str, Any]
) -> None:
    for found in [*(one.about for one in sets), *others]:
        vectors.check_encoder(found, run.checkpoint, weights, front_end)
