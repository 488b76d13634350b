"""A trained classifier as a frozen record: what it says of recordings, and itself adapted to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from dhauds_jax import calibration, metrics
from dhauds_jax.data.recordings import Recordings, per_file
from dhauds_jax.data.windows import Windows
from dhauds_jax.errors import BadInput
from dhauds_jax.model import adapting, compiled, own_sounds
from dhauds_jax.model.adapted import Adapted
from dhauds_jax.model.adapting import Outcome, Request
from dhauds_jax.model.passes import passed
from dhauds_jax.model.predictions import Predictions, predictions
from dhauds_jax.model.sounds import Sounds, read
from dhauds_jax.nets import boxed, checkpoint
from dhauds_jax.nets import precision as precisions
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.tta import bank as banks
from dhauds_jax.tta import methods, protocols, selection
from dhauds_jax.tta.advice import FEWEST, advise, signs
from dhauds_jax.types import AdaptState, Classifier, Method, RunInfo, Variables
from dhauds_jax.workdir.saver import Saver

BATCH = 64
"""Windows that are computed at once."""


@dataclass(frozen=True, eq=False)
class Model:
    """A classifier with its weights; nothing of it changes, `adapt` gives a new one.

    Recordings are given as a file, a folder, a list of files and folders, or arrays with their `rate` in Hz: (time,),
    (clips, time) or a list of (time,). They are brought to the model's rate and cut into windows of its length, as
    `experiments.classify` does; a file's probabilities are the mean over its windows.

    Attributes:
      classifier: the network as pure functions.
      variables: its weights.
      config: its record.
      extra: what else its checkpoint holds.
      adapted: how it was adapted; None for a model as it was trained.
      bank: of the sounds that it was trained for, which advice looks at; None where none was made of these weights.
    """

    classifier: Classifier
    variables: Variables
    config: ClassifierConfig
    extra: Mapping[str, Any] = field(default_factory=dict)
    adapted: Adapted | None = None
    bank: banks.Bank | None = None

    def __repr__(self) -> str:
        """Its network, classes, clips and how it was adapted; never the weights."""
        config, how = self.config, self.adapted and self.adapted.how
        adapted = "" if how is None else f", adapted by {how.method}"
        return (
            f"<Model {config.net}: {len(self.classes)} classes, clips of {config.length / config.sample_rate:g} s at "
            f"{config.sample_rate} Hz{adapted}>"
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes of the logits; what `predict` gives has the config's `reported` ones."""
        return tuple(self.config.classes)

    @property
    def temperature(self) -> float:
        """What its checkpoint's calibration divides logits by; 1 without one."""
        found = calibration.from_extra(self.extra)
        return 1.0 if found is None else found.temperature

    def probabilities(self, logits: Float[np.ndarray, "windows classes"]) -> Float[np.ndarray, "windows reported"]:
        """What is reported of logits: the softmax at the model's temperature, groups of classes summed."""
        return calibration.by_group(metrics.softmax(logits / self.temperature), self.config.groups)

    def traced_probabilities(self, logits: Float[jax.Array, "windows classes"]) -> Float[jax.Array, "windows reported"]:
        """`probabilities` inside a program of JAX, in the logits' own precision."""
        scaled = logits if self.temperature == 1 else logits / self.temperature
        return calibration.by_group(jax.nn.softmax(scaled), self.config.groups)

    def scores(self, logits: Float[np.ndarray, "windows classes"]) -> Float[np.ndarray, "windows reported"]:
        """What has `probabilities` as its softmax; of a model without groups and temperature the logits as they are."""
        if self.config.groups:
            return calibration.log_probabilities(self.probabilities(logits))
        return logits if self.temperature == 1 else logits / self.temperature

    def predict(
        self, sounds: Sounds, *, rate: int | None = None, overlap: float = 0.0, batch_size: int = BATCH
    ) -> Predictions:
        """Labels recordings.

        An adapted model predicts as its method means it: with the batch's statistics, its prototypes or its teacher
        where it has some.

        Args:
          sounds: recordings (see the class).
          rate: of arrays, in Hz.
          overlap: share of a window that the next one repeats, 0 up to below 1.
          batch_size: windows that are computed at once.

        Raises:
          BadInput: nothing to read, or what cannot be read. FloatingPointError: a prediction is not finite.
        """
        found = read(sounds, self.config, rate=rate, overlap=overlap)
        return self.predictions(found, self.logits(found.waves, batch_size))

    def predictions(self, found: Recordings, logits: Float[np.ndarray, "windows classes"]) -> Predictions:
        """The predictions of recordings whose windows have these logits."""
        return predictions(found, self.config.reported, self.probabilities(logits))

    @precisions.exactly()
    def logits(
        self, waves: Windows, batch_size: int = BATCH, progress: str | None = None
    ) -> Float[np.ndarray, "windows classes"]:
        """Logits of windows at the model's rate and length; `FloatingPointError` where one is not finite.

        `progress` is the text of a bar, None for none.
        """
        batch_size = min(batch_size, len(waves))
        predict = compiled.predict(self.classifier)
        state, order = AdaptState(self.variables, (), (), jnp.int32(0)), None
        if self.adapted is not None:
            predict, state = compiled.predict_adapted(self.adapted.method), self.adapted.state
            # As the protocol evaluates: in a mixed order, since labelled lists would starve a batch's statistics.
            order = protocols.evaluation_order(jax.random.key(self.adapted.how.seed), len(waves))
        return passed(predict, state, waves, batch_size, progress, order)

    @precisions.exactly()
    def embed(
        self, sounds: Sounds, *, rate: int | None = None, overlap: float = 0.0, batch_size: int = BATCH
    ) -> Float[np.ndarray, "files features"]:
        """The input of the last linear layer, the mean over a file's windows; arguments as in `predict`."""
        found = read(sounds, self.config, rate=rate, overlap=overlap)
        return per_file(self.window_vectors(found.waves, batch_size), found.owner, len(found.files))

    @precisions.exactly()
    def window_vectors(
        self, waves: Windows, batch_size: int = BATCH, progress: str | None = None
    ) -> Float[np.ndarray, "windows features"]:
        """The input of the last linear layer for windows at the model's rate and length.

        `progress` is the text of a bar, None for none; `FloatingPointError` where a number is not finite.
        """
        state, batch_size = AdaptState(self.variables, (), (), jnp.int32(0)), min(batch_size, len(waves))
        return passed(compiled.embed(self.classifier), state, waves, batch_size, progress)

    def with_weights(
        self, config: ClassifierConfig, variables: Variables, extra: Mapping[str, Any], precision: str = "float32"
    ) -> Model:
        """The model with another record and its weights, such as other classes over the same embedding."""
        made = compiled.classifier(config.to_json(), precision, lost=compiled.lost_rows(extra))
        return Model(made, jax.tree.map(jnp.asarray, variables), config, extra)

    def adapt(
        self,
        sounds: Sounds,
        method: str = "dhauds",
        *,
        rate: int | None = None,
        overlap: float = 0.0,
        epochs: int = 5,
        online: bool = False,
        batch_size: int = BATCH,
        options: Mapping[str, Any] | None = None,
        profile: str = "corrected",
        criterion: str = selection.DEFAULT,
        seed: int = 0,
        progress: bool = False,
    ) -> Model:
        """The model adapted to unlabelled recordings by a method (docs/methods.md).

        Offline (the default), the epoch is chosen without labels by `criterion`; online, there is one pass in the order
        of the recordings. `options` are the method's, by name. `adapted.outcome` of the result says what came of it,
        `adapted.advice.verdict` whether to use it.

        Raises:
          BadInput: an unknown method or option, fewer than two windows, what the method needs is not there.
          FloatingPointError: a loss or a prediction is not finite. KeyboardInterrupt: Ctrl-C, after the step.
        """
        how = Request(
            method,
            methods.resolve_options(method, profile, _options(options)),
            profile=profile,
            online=online,
            epochs=epochs,
            batch_size=batch_size,
            criterion=criterion,
            seed=seed,
        )
        adapting.check(how)
        made = adapting.method_of(how, self.classifier)
        found = read(sounds, self.config, rate=rate, overlap=overlap)
        outcome = self.adapting(how, made, found.waves, progress=progress)
        if outcome.interrupted:
            raise KeyboardInterrupt
        return self.after(how, made, outcome, found)

    @precisions.exactly()
    def adapting(
        self,
        how: Request,
        method: Method,
        waves: Windows,
        *,
        saver: Saver | None = None,
        progress: bool = True,
        before: Float[np.ndarray, "windows classes"] | None = None,
    ) -> Outcome:
        """What an adaptation to windows comes to, cut short or whole (see `adapting.adapt`).

        `before` are the logits of the model as it is, where they are known already.
        """
        adapting.check_windows(how, len(waves))
        variables = adapting.source_variables(how, self.config, self.variables, waves)
        alone = how.method if progress and how.method == "source" else None  # else the adaptation has a bar
        if before is None:
            before = replace(self, variables=variables, adapted=None).logits(waves, how.batch_size, alone)
        if how.method == "source":  # nothing to do again, epoch by epoch
            state = method.init(variables, RunInfo(1, len(waves), len(self.classes)))
            return Outcome(before, before, state, 0, [], interrupted=False)
        return adapting.adapt(how, self.classifier, method, variables, waves, before, saver, progress)

    def after(self, how: Request, method: Method, outcome: Outcome, found: Recordings) -> Model:
        """The model with the weights that an adaptation to recordings came to, and advice on whether to use it.

        Raises:
          FloatingPointError: a weight is not finite.
        """
        variables = adapting.check_finite_weights(outcome.state.variables)
        logits = outcome.before, outcome.logits
        before = self.predictions(found, outcome.before)
        both = before, before if outcome.logits is outcome.before else self.predictions(found, outcome.logits)
        files, silent = tuple(one.probabilities for one in both), len(found.silent) / len(found.files)
        moved, far = how.method != "source", self._distance(how, found)
        again = self.adapted is not None and self.adapted.how.method != "source"
        advice = advise(signs(files, logits, silent=silent, adapted=moved, far=far, again=again))
        adapted = Adapted(how, method, outcome.state, outcome, both, advice)
        return replace(self, variables=variables, adapted=adapted, bank=None if moved else self.bank)

    @precisions.exactly()
    def _distance(self, how: Request, found: Recordings) -> banks.Distance | None:
        """How far recordings lie from the bank; None without one, and of too few to say anything."""
        if self.bank is None or len(found.files) < FEWEST:
            return None
        variables = adapting.source_variables(how, self.config, self.variables, found.waves)
        return own_sounds.distance(self.bank, self.classifier, variables, found.waves)

    def save(self, folder: str | Path, extra: Mapping[str, Any] | None = None) -> Path:
        """Writes a checkpoint that `load` and every command read; a method's own memory is no part of it.

        Args:
          folder: where; made with its parents.
          extra: to be kept beside what the model's own checkpoint holds.
        """
        kept, beside = {**self.extra, **(extra or {})}, banks.writing(self.bank)
        return checkpoint.save(folder, self.variables, self.config, kept, beside)


def _options(given: object) -> Mapping[str, Any]:
    """A method's options by name; none where none are given."""
    if given is None or isinstance(given, Mapping):
        return given or {}
    raise BadInput(f"options={given!r}: expected them by name, such as options={{'lr': 1e-3}}")


def load(
    place: str | Path,
    *,
    precision: str = "float32",
    convolution: str = "direct",
    class_names: Sequence[str] | None = None,
    template: str = "laion",
) -> Model:
    """The model in a checkpoint's folder, or one that comes with the package.

    Args:
      place: folder of `experiments.train`, `converters.convert`, `experiments.classify` or `Model.save`; or a name of
        `boxed.names()`, such as "words15", where there is no folder of that name.
      precision: of the network's products, "float32", "tf32" or "bfloat16".
      convolution: of VGGish, "direct" or "winograd", see `nets.vggish.VGGish`.
      class_names: of an audio-text model, which has no classes of its own: at least two.
      template: the sentence of a class, see `model.named.load_named`.

    Raises:
      BadInput: no checkpoint, a damaged one, an unknown precision, a convolution that the network has none of, or
        names that cannot be used.
    """
    if class_names is not None:
        from dhauds_jax.model.named import load_named

        if convolution != "direct":
            raise BadInput(
                f"--convolution={convolution}: audio-text models have no 3 by 3 convolutions, expected direct"
            )
        return load_named(place, class_names, template=template, precision=precision)
    precisions.check_precision(precision)
    place = Path(place).expanduser() if str(place).startswith("~") else place
    variables, config, extra = checkpoint.load(place)
    made = compiled.classifier(config.to_json(), precision, convolution, compiled.lost_rows(extra))
    bank = banks.read(checkpoint.place_of(place))
    return Model(made, jax.tree.map(jnp.asarray, variables), config, extra, None, bank)


def load_boxed(name: str, *, precision: str = "float32") -> Model:
    """A model that comes with the package; raises `BadInput` where there is none of that name."""
    precisions.check_precision(precision)
    variables, config = boxed.load(name)
    made, bank = compiled.classifier(config.to_json(), precision), banks.read(boxed.BOXES / name)
    return Model(made, jax.tree.map(jnp.asarray, variables), config, bank=bank)
