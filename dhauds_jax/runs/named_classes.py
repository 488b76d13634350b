"""Classes by name: an audio-text model's sentences as a classifier, corrected for what recordings were made over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dhauds_jax import calibration, digests
from dhauds_jax.data import recordings
from dhauds_jax.data.recordings import Recordings
from dhauds_jax.data.windows import Windows, chosen
from dhauds_jax.errors import BadInput
from dhauds_jax.model import named
from dhauds_jax.model.adapting import Outcome
from dhauds_jax.model.record import Model
from dhauds_jax.nets.config import reading
from dhauds_jax.nets.prototypes import with_prototypes
from dhauds_jax.runs import labels
from dhauds_jax.runs.named_files import template_lines, text_of
from dhauds_jax.runs.named_flags import AUTO, check, scorer_of
from dhauds_jax.runs.named_scores import by_file
from dhauds_jax.types import Background, Calibration, Scorer, ScorerInfo
from dhauds_jax.wording import counted
from dhauds_jax.zeroshot import background as backgrounds
from dhauds_jax.zeroshot import choose, prototypes, scorers, scoring, templates
from dhauds_jax.zeroshot.request import ENTROPY, EQUAL


class Named(NamedTuple):
    """Classes by name before a recording of them has been read.

    Attributes:
      model: the sentences' anchors as prototypes, nothing taken off.
      anchors: (templates, classes, width) unit vectors of every sentence.
      noisy: (phrases, classes, width) of every class with every noise phrase, where the scorer wants them.
      background: what is known of it so far (`--background_quiet` waits for the recordings).
      held: windows of the background that are kept apart for the threshold of unknown.
      heard: windows of known classes, likewise.
      files: the file of each of these windows, from 0.
      digest: names all of this, for the identity of results.
    """

    model: Model
    anchors: Float[np.ndarray, "templates classes width"]
    noisy: Float[np.ndarray, "phrases classes width"] | None
    background: Background | None
    held: Windows | None
    heard: Windows | None
    files: Int[np.ndarray, " windows"] | None
    digest: str


class Rescoring(NamedTuple):
    """A scorer that is no last layer, with what it scores."""

    scorer: Scorer
    background: Background | None
    info: ScorerInfo
    vectors: Float[np.ndarray, "windows width"]

    def logits(self) -> Float[np.ndarray, "windows classes"]:
        """Scaled scores of the recordings' windows."""
        scores = scoring.score(self.scorer, self.info.text, self.background, self.info, self.vectors)[1]
        return self.info.scale * np.asarray(scores)

    def beside(self, others: Float[np.ndarray, "others width"]) -> Float[np.ndarray, "others classes"]:
        """Scaled scores of other windows, each as if it alone had been recorded beside the others."""
        clips = len(self.vectors) + 1
        state = self.scorer.init(self.info.text, self.background, self.info._replace(clips=clips))
        own, weights = jnp.asarray(self.vectors), jnp.ones(clips)

        def one(other: Array) -> Array:
            return self.scorer.step(state, jnp.concatenate([own, other[None]]), weights)[1][-1]

        return self.info.scale * np.asarray(jax.jit(lambda rows: jax.lax.map(one, rows))(jnp.asarray(others)))


class Corrected(NamedTuple):
    """The model for these recordings.

    Attributes:
      model: with what is taken off in its last layer.
      before: (windows, classes) its logits.
      plain: (windows, classes) logits with nothing taken off.
      rest: what scores embeddings where no last layer can; None where it says all.
      lines: what was done, a sentence a line.
      scorer: its name.
    """

    model: Model
    before: Float[np.ndarray, "windows classes"]
    plain: Float[np.ndarray, "windows classes"]
    rest: Rescoring | None
    lines: tuple[str, ...]
    scorer: str

    def said(self, plain: Sequence[str], labels: Sequence[str]) -> tuple[str, ...]:
        """`lines`, and how many of the files' labels are others than with nothing taken off."""
        changed = sum(a != b for a, b in zip(plain, labels, strict=True))
        if self.scorer == "plain":
            return self.lines
        return (*self.lines, f"of {counted(len(labels), 'file')} the correction changed {changed}")


def load(run: Any) -> Named:
    """The model of named classes, and what is known of the background.

    Args:
      run: a request with the flags of `NamedClasses`, `checkpoint`, `precision`, `batch_size` and `reject_background`.

    Raises:
      BadInput: bad flags, a class file or a checkpoint that cannot be used, a background that is not there.
    """
    check(run)
    classes = templates.class_names(text_of(run.class_names, "--class_names"), f"--class_names={run.class_names}")
    lines = template_lines(run.template)
    several = [
        flag for flag, wanted in (("scale", "agreement"), ("template_weights", ENTROPY)) if getattr(run, flag) == wanted
    ]
    if several and len(lines) < 2:
        asked = f"--{several[0]}={getattr(run, several[0])}"
        raise BadInput(f"{asked}: template {run.template} is one sentence, expected two or more: ensemble")
    if run.checkpoint is None:
        raise BadInput("--class_names: needs an audio-text model, expected --checkpoint=FOLDER of converters.convert")
    found = named.towers(run.checkpoint, precision=run.precision)
    asked = {"anchors": templates.sentences(classes, lines), "background": [], "noisy": []}
    if run.background_text:
        asked["background"] = list(templates.background_prompts(run.background_text))
    if "drift" in scorers.members(scorer_of(run)):
        asked["noisy"] = templates.noisy_sentences(classes)
    all_texts = [text for texts in asked.values() for text in texts]
    vectors = dict(zip(all_texts, found.sentences(all_texts), strict=True))
    anchors, noisy = (
        np.stack([vectors[text] for text in asked[name]]).reshape(-1, len(classes), found.config.projection["width"])
        if asked[name]
        else None
        for name in ("anchors", "noisy")
    )
    model = found.classifier(np.asarray(prototypes.text(jnp.asarray(anchors))), classes)
    background, held, heard, files = None, None, None, None
    if run.background_text:
        background = backgrounds.from_text(np.stack([vectors[text] for text in asked["background"]]))
    elif run.background_dir:
        background, held = _heard(run, model)
    arrays = [anchors, noisy, *([] if background is None else [background.mean, background.vectors])]
    digest = digests.of_texts(classes, digests.of_arrays(*(np.asarray(a) for a in arrays if a is not None)))
    if run.known_dir:
        found, rows = _sounding(run, model, "known_dir", "recordings of the classes")
        heard, digest = chosen(found.waves, rows), digests.of_texts(digest, found.digest)
        files = np.unique(found.owner[rows], return_inverse=True)[1]
    return Named(model, anchors, noisy, background, held, heard, files, digest)


def _sounding(run: Any, model: Model, flag: str, what: str) -> tuple[Recordings, Int[np.ndarray, " windows"]]:
    """The recordings of a folder that a flag names, and which of their windows are not of silent files."""
    config, folder = model.config, getattr(run, flag)
    how = {"sample_rate": config.sample_rate, "length": config.length, **reading(config.front_end)}
    try:
        found = recordings.load(folder, on_bad_file=run.on_bad_file, reread=True, **how)
    except BadInput as error:  # the reader knows one flag of recordings
        raise BadInput(str(error).replace("--audio_dir", f"--{flag}")) from None
    for line in labels.described(found, config).splitlines()[1:]:
        print(line.replace("note: ", f"note: {flag.removesuffix('_dir')}: ", 1))
    rows = np.flatnonzero(~np.isin(np.asarray(found.files)[found.owner], found.silent))
    if not len(rows):
        raise BadInput(f"--{flag}={folder}: all {counted(len(found.files), 'recording')} are silent, expected {what}")
    return found, rows


def _heard(run: Any, model: Model) -> tuple[Background, Windows | None]:
    """The background of a folder of recordings, every other window kept apart where a threshold is asked for.

    What the profile is made of stands beside its mean, so the windows that are kept apart are named by it too.
    """
    found, rows = _sounding(run, model, "background_dir", "recordings of the background")
    vectors = model.window_vectors(found.waves, run.batch_size, "background")
    if run.reject_background is None:
        return backgrounds.from_audio(vectors[rows]), None
    if len(rows) < 4:
        raise BadInput(
            f"--reject_background: {counted(len(rows), 'window')} of background, expected at least 4: half of "
            "them are kept apart for the threshold"
        )
    return backgrounds.from_audio(vectors[rows[::2]]), chosen(found.waves, rows[1::2])


def corrected(known: Named, run: Any, found: Recordings) -> Corrected:
    """The model for these recordings: weight, background and scale chosen as asked, never by labels.

    Raises:
      BadInput: what a scorer or a background refuses of these recordings.
    """
    vectors = known.model.window_vectors(found.waves, run.batch_size, "embed")
    anchors, lines = _anchors(known, run, vectors)
    scale = _scale(known, run, vectors, anchors)
    plain = vectors @ anchors.T
    background = known.background
    if run.background_quiet:
        levels = 10 * np.log10([max(float(np.mean(np.square(wave))), 0.0) or 1e-30 for wave in found.waves])
        background = backgrounds.quiet(vectors, plain.max(-1), np.where(levels < -200, -np.inf, levels))
    name, weight = scorer_of(run), None
    if background is not None:
        weight, how = _weight(run, vectors, anchors, background)
        lines.append(f"background: {_origin(run)}, weight {weight:g}{how}")
    scorer = scorers.make(name, {} if weight is None else {"subtract.weight" if "+" in name else "weight": weight})
    info = ScorerInfo(scale, jnp.asarray(anchors), None if known.noisy is None else jnp.asarray(known.noisy))
    state, scores = scoring.score(scorer, anchors, background, info, vectors)
    kernel, bias = anchors.T, np.zeros(len(anchors))
    if scorer.linear is not None:
        kernel, bias = scorers.linear_head(name, scorer, state)
    config, variables = with_prototypes(
        known.model.config, known.model.variables, kernel, scale * np.asarray(bias), known.model.classes, scale=scale
    )
    model = known.model.with_weights(config, variables, known.model.extra, run.precision)
    how = f"scorer {name}, template {run.template}, scale {scale:.4g} ({run.scale})"
    lines.append(f"classes by name: {len(anchors)}, {how}")
    rest = None
    if scorer.linear is None:
        rest = Rescoring(scorer, background, info, vectors)
        lines.append(f"the checkpoint holds the sentences alone: scorer {name} is no last layer of a network")
    return Corrected(model, scale * np.asarray(scores), scale * plain, rest, tuple(lines), name)


def rescored(how: Corrected, model: Model, run: Any, found: Recordings, outcome: Outcome) -> tuple[Corrected, Outcome]:
    """With the scores of a scorer that is no last layer, of the embeddings that adapted weights give."""
    if run.method == "source":
        return how, outcome._replace(before=how.before, logits=how.before)
    adapted = replace(model, variables=outcome.state.variables)
    rest = how.rest._replace(vectors=adapted.window_vectors(found.waves, run.batch_size, "embed"))
    return how._replace(rest=rest), outcome._replace(before=how.before, logits=rest.logits())


def calibrated(known: Named, how: Corrected, after: Model, run: Any) -> tuple[Model, Calibration | None]:
    """The adapted model and what held-out windows score, of background and of known classes, to keep a rate of unknown.

    They are what `after` says of these windows, or, of a scorer that is no last layer, the score of each as if it were
    one more recording. The model keeps them where its own last layer gives such scores. A recording is compared by the
    mean over its windows, so the known ones are scored a file, not a window.
    """
    if known.held is None and known.heard is None:
        return after, None

    def scores(windows: Windows | None) -> Float[np.ndarray, "windows classes"] | None:
        if windows is None:
            return None
        if how.rest is None:
            return after.logits(windows, run.batch_size)
        return how.rest.beside(after.window_vectors(windows, run.batch_size))

    base, heard = Calibration(1.0, run.scale, "max_probability"), scores(known.heard)
    if heard is not None:
        heard = by_file(base, heard, known.files)
    made = calibration.with_scores(base, known=heard, background=scores(known.held))
    if how.rest is not None:
        return after, made
    return replace(after, extra={**after.extra, "calibration": calibration.to_extra(made)}), made


def _anchors(known: Named, run: Any, vectors: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """The classes' anchors for these windows, and a sentence where templates are weighted."""
    anchors, weights = jnp.asarray(known.anchors), None
    if run.template_weights == EQUAL:
        return np.asarray(prototypes.text(anchors)), []
    scale = float(known.model.config.head["scale"])
    weights = prototypes.template_weights(jnp.asarray(vectors), anchors, scale)
    said = ", ".join(f"{weight:.3f}" for weight in np.asarray(weights))
    return np.asarray(prototypes.text(anchors, weights)), [f"templates weigh {said}, chosen without labels"]


def _scale(known: Named, run: Any, vectors: np.ndarray, anchors: np.ndarray) -> float:
    own = float(known.model.config.head["scale"])
    if run.scale == "none":
        return 1.0
    if run.scale == "checkpoint":
        return own
    halves = [np.asarray(prototypes.text(jnp.asarray(known.anchors[half::2]))) for half in (0, 1)]
    whole = vectors @ anchors.T
    return 1 / calibration.temperature("agreement", whole, halves=tuple(vectors @ half.T for half in halves))


def _weight(run: Any, vectors: np.ndarray, anchors: np.ndarray, background: Background) -> tuple[float, str]:
    if run.background_weight != AUTO:
        return float(run.background_weight), ""
    weight, chosen = choose.choose_weight(vectors, anchors, background, criterion=run.criterion)
    return weight, f" (chosen without labels by {run.criterion} of {len(chosen.values)} weights)"


def _origin(run: Any) -> str:
    if run.background_text:
        return f"the words {run.background_text!r}"
    if run.background_dir:
        return f"recordings in {run.background_dir}"
    return "the quietest and least certain windows"
