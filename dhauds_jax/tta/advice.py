"""Signs, without labels, of whether an adaptation did good or harm, and the verdict that follows from them.

The thresholds were chosen on the "fit" half of the runs in docs/records/advice/runs.csv and are reported on the other
half, of other speakers and other noises, and on folders that came after them: docs/results.md, "Advice against the
truth", has how well they do. Numbers beside the thresholds are of the runs that they were chosen with, whose adaptation
started from the source model's BatchNorm statistics; since then it starts from the folder's (`settling`).

Whether sounds are the model's own follows from a bank that its checkpoint has (`tta.bank`); for one without a bank from
the logits after adaptation, which tell less: an adaptation may become as sure of other sounds as of its own.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from dhauds_jax import metrics
from dhauds_jax.tta.bank import Distance
from dhauds_jax.wording import counted

USE, KEEP = "use", "keep"
FOREIGN, FEW = "not this model's sounds", "too few to say"
VERDICTS = (USE, KEEP, FOREIGN, FEW)
"""What is said of an adaptation."""

FEWEST = 30
"""Files below which nothing is said: one of them is more than three points of accuracy."""

SILENT = 0.5
"""Above this share of silent files, a folder is one of silence."""

FAR = -0.6
"""Sounds that lie nearer than this under the model's own statistics are its own (`bank.far`), whatever batches make of
them, which need several classes. On the fit half other sounds had -0.34 at least, own clean ones -0.64 at most, of one
or two classes too."""

STRANGE = 0.5
"""Sounds that lie farther than `FAR`, and farther than this under the batches' statistics with `TIGHT` taken off, are
not the model's. On the fit half other sounds had 0.64 at least; own ones 0.44 at most, but for digits in noise as loud
as they are, or in a running tap (0.76 to 1.66), and two classes in noise (1.38, 1.82)."""

TIGHT = 2.0
"""What the batches' distance is lessened by for a difference of 1 in tightness: where noise moves own sounds away, they
still lie in tight groups."""

PEAK = 2.67
"""Without a bank: below this peak of the adapted model's logits the sounds are not the model's. Folders of other sounds
had at most 2.65 on the fit half (Arabic digits for a classifier of English ones, English ones for one of Arabic words),
its own at least 2.69, but for six runs under noise (2.38 to 2.61)."""

PEAK_CLASSES = (10, 20)
"""Classes with which `PEAK` is looked at: it was measured with 10 and 15, and its largest value is the root of the
classes less one."""

ALIKE = 0.45
"""From this share of one label before adaptation on (and three times that of equally frequent ones), a folder may be of
few classes, of which batches' statistics make many: sounds that lie nearer than `FAR` are so. On the fit half folders
of one or two classes have shares of 0.50 to 1.00, noisy ones of all classes 0.48 to 0.97, and these lie at -0.23 at
least. Without a bank nothing tells the two apart."""

LESS_SURE = 0.07
"""Where confidence fell by more than this, labels were lost: by 0.09 to 0.21 on folders of one or two classes that lost
2 to 33 points of accuracy, by 0.05 at most where accuracy grew, a digit classifier under `dhauds` aside (0.08)."""

SURE = 0.75
"""Mean confidence from which on a source model has little to gain."""

GROWTH = (0.04, 0.10)
"""The information must grow by this much where the source model is less sure than `SURE`, and where it is surer. On the
fit half growths of 0.04 to 0.09 went with 7 to 11 points of accuracy for less sure models (0.67 to 0.72), and with -13
to 4 for surer ones (0.78 to 0.88)."""


RIGHT, WON = 0.79, 0.05
"""A model has little to gain where this share of its labels is expected to be right (`tta.expected`), and not as many
more with the batches' statistics as the second number. On the fit half 0.80 and 0.81 were expected of folders with 0 to
4 points to win, 0.77 and 0.78 of ones with 7 to 16; the second number was set with the report half in sight."""

LESS_RIGHT = 0.02
"""Where confidence fell by more than this and such a bank asks for little growth, labels were lost: by 0.05 where two
classes of digits lost 10 points, and it grew where accuracy did."""


class Signs(NamedTuple):
    """Label-free signs; pairs are before and after adaptation.

    Attributes:
      files: how many there are.
      classes: how many there are.
      silent: share of files without sound.
      top_share: share of the most frequent label.
      confidence: mean probability of a file's label.
      sureness: mean probability of a window's label. A file's own falls where its windows get the different labels that
        they have.
      information: mutual information of file and label, a share of its largest value, the logarithm of the classes.
      peak: mean over windows of how far the largest logit stands above the mean of the window's logits, in their
        standard deviations. It takes no heed of the scale of logits. After Hendrycks et al., ICML 2022, arXiv
        1911.11132, whose score is the largest logit itself.
      changed: share of labels that changed.
      adapted: whether there was an adaptation.
      far: how far the sounds lie from the model's own, as it was trained; None without a bank of these.
      again: whether what is adapted had been adapted before, and so has no bank.
    """

    files: int
    classes: int
    silent: float
    top_share: tuple[float, float]
    confidence: tuple[float, float]
    sureness: tuple[float, float]
    information: tuple[float, float]
    peak: tuple[float, float]
    changed: float
    adapted: bool
    far: Distance | None = None
    again: bool = False

    @property
    def strangeness(self) -> float:
        """What `STRANGE` is compared with."""
        return self.far.batch - TIGHT * self.far.tight

    def rows(self) -> list[tuple[str, str, str]]:
        """The table's rows: name, before, after."""
        names = {
            "share of the most frequent label": self.top_share,
            "mean confidence": self.confidence,
            "mutual information of file and label, of its largest value": self.information,
        }
        found = [(name, *(percent(v) for v in pair)) for name, pair in names.items()]
        found.append(("peak of the logits (standard deviations)", *(f"{v:.2f}" for v in self.peak)))
        if self.far is not None:
            found.append(("distance from its own sounds, a direction", f"{self.far.running:.2f}", ""))
            found.append(("the same in batches, less their tightness", f"{self.strangeness:.2f}", ""))
            if self.far.right is not None:
                found.append(("labels that are right, expected of its own sounds", percent(self.far.right), ""))
        return [*found, ("labels that changed", "", percent(self.changed)), ("silent files", percent(self.silent), "")]


class Advice(NamedTuple):
    """What follows from signs.

    Attributes:
      verdict: of `VERDICTS`.
      reason: a sentence with the numbers it follows from.
      signs: the signs.
    """

    verdict: str
    reason: str
    signs: Signs

    def sentence(self) -> str:
        """Verdict and reason, and what the verdict had to do without."""
        told = self.signs
        blind = told.far is None and told.files >= FEWEST and told.silent <= SILENT
        why = NO_BANK_ADAPTED if told.again else NO_BANK
        return f"{_HEADS[self.verdict]}: {self.reason}{f' {why}' if blind else ''}"


NO_BANK = (
    "(The checkpoint has no bank of the model's own sounds, so other sounds may pass for them: experiments.evaluate "
    "--bank makes one of labelled clips.)"
)
"""Said where there is none."""

NO_BANK_ADAPTED = (
    "(Adapted weights have no bank of the model's own sounds, so other sounds may pass for them: adapt the model as it "
    "was trained.)"
)
"""Said of a model that had been adapted before."""

_HEADS = {
    USE: "Use the adapted model",
    KEEP: "Keep the source model",
    FOREIGN: "Not this model's sounds",
    FEW: "Too few to say",
}


def signs(
    files: tuple[Float[np.ndarray, "files classes"], Float[np.ndarray, "files classes"]],
    windows: tuple[Float[np.ndarray, "windows classes"], Float[np.ndarray, "windows classes"]],
    *,
    silent: float = 0.0,
    adapted: bool = True,
    far: Distance | None = None,
    again: bool = False,
) -> Signs:
    """Signs of what the source model and the adapted one say.

    Args:
      files: probabilities of files, before and after.
      windows: logits of their windows, before and after.
      silent: share of files without sound.
      adapted: whether there was an adaptation; else both are of the source model.
      far: of the recordings from the bank, where there is one; what is not finite is as none.
      again: whether the source model had been adapted before.
    """
    if far is not None and not np.isfinite([value for value in far if value is not None]).all():
        far = None
    before, after = (p.argmax(-1) for p in files)
    return Signs(
        len(before),
        files[0].shape[-1],
        silent,
        (top_share(before), top_share(after)),
        (float(files[0].max(-1).mean()), float(files[1].max(-1).mean())),
        (sureness(windows[0]), sureness(windows[1])),
        (information(files[0]), information(files[1])),
        (peak(windows[0]), peak(windows[1])),
        float(np.mean(before != after)),
        adapted,
        far,
        again,
    )


def top_share(labels: np.ndarray) -> float:
    """Share of the most frequent label."""
    return float(np.bincount(labels).max() / len(labels))


def sureness(logits: Float[np.ndarray, "windows classes"]) -> float:
    """`Signs.sureness` of logits."""
    return float(metrics.softmax(np.asarray(logits, np.float64)).max(-1).mean())


def peak(logits: Float[np.ndarray, "windows classes"]) -> float:
    """`Signs.peak` of logits; 0 where all of a window's are equal."""
    z = np.asarray(logits, np.float64)
    return float(np.mean((z.max(-1) - z.mean(-1)) / np.maximum(z.std(-1), 1e-12)))


def information(probabilities: Float[np.ndarray, "files classes"]) -> float:
    """Mutual information of file and label (`selection.information`), a share of the classes' logarithm; 0 of one."""
    found, classes = _entropy(probabilities.mean(0)) - _entropy(probabilities).mean(), probabilities.shape[-1]
    return float(found / np.log(classes)) if classes > 1 else 0.0


def _entropy(p: np.ndarray) -> np.ndarray | np.floating:
    return -(p * np.log(np.maximum(p, 1e-300))).sum(-1)


def percent(value: float) -> str:
    """A share in %."""
    return f"{100 * value:.1f} %"


def advise(told: Signs) -> Advice:
    """The verdict that follows from signs."""
    return Advice(*_verdict(told), told)


def _verdict(told: Signs) -> tuple[str, str]:
    """Verdict and reason; the first that fits."""
    before, after = told.information
    if told.files < FEWEST:
        return FEW, f"{counted(told.files, 'file')}, and below {FEWEST} these signs mean little."
    if told.silent > SILENT:
        return FOREIGN, f"{percent(told.silent)} of the files are silent."
    if told.far is not None and told.far.running > FAR and told.strangeness > STRANGE:
        return FOREIGN, (
            f"to the model as it was trained they are as far from its classes as from the middle of all ({FAR} or less "
            f"expected, found {told.far.running:.2f}; in batches {STRANGE} or less, found {told.strangeness:.2f}): "
            "other sounds, or its own beyond recognition."
        )
    if not told.adapted:
        return KEEP, "nothing was adapted, so there is nothing to compare."
    if told.far is None and told.peak[1] < PEAK and PEAK_CLASSES[0] <= told.classes <= PEAK_CLASSES[1]:
        return FOREIGN, (
            f"even after adaptation the largest logit stands only {told.peak[1]:.2f} standard deviations above the "
            f"mean, expected {PEAK} or more: other sounds, or its own beyond recognition."
        )
    if not told.changed:
        return KEEP, "no label changed."
    if told.top_share[0] >= max(ALIKE, 3 / told.classes) and (told.far is None or told.far.running <= FAR):
        alike = f"{percent(told.top_share[0])} of the files had one label before adaptation"
        if told.far is not None:
            return KEEP, (
                f"{alike}, and as the model was trained they are its own sounds ({FAR} or less, found "
                f"{told.far.running:.2f}): they are of few classes, and what adapts to them makes many of these."
            )
        return KEEP, (
            f"{alike}: they are of few classes, of which an adaptation makes many, or so noisy that all are taken for "
            "one, where it helps most. Listen to some: if they are of many classes, use the adapted model."
        )
    less, needed, known = _asked(told)
    if told.sureness[1] < told.sureness[0] - less:
        sure, less_sure = map(percent, told.sureness)
        return KEEP, f"it is surer of its labels (mean confidence {sure}, {less_sure} after adaptation)."
    tell = f"labels carry {percent(after)} of the information that they could"
    if after - before < needed:
        return KEEP, (
            f"the {tell} after adaptation, {percent(before)} before, and a growth below {100 * needed:.0f} points may "
            f"be no gain ({known})."
        )
    return USE, f"its {tell}, {percent(before)} before; {percent(told.changed)} of them changed."


def _asked(told: Signs) -> tuple[float, float, str]:
    """By how much confidence may fall, by how much information must grow, and what that follows from."""
    was, far = told.confidence[0], told.far
    if far is None or far.right is None:
        return LESS_SURE, GROWTH[was >= SURE], f"mean confidence before: {percent(was)}"
    much = far.right >= RIGHT and far.right_batch - far.right < WON
    return LESS_RIGHT, GROWTH[much], f"labels that are right before, as expected: {percent(far.right)}"
