"""The 36 cases: which method of ours with which options stands beside which arrays of the authors'."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from tests.tta.peers import net

Arrays = Mapping[str, Any]


class Case(NamedTuple):
    """A run of ours beside a case of the file.

    Attributes:
      method: its name.
      options: beside the defaults.
      ours: `run -> arrays` by the file's names.
      theirs: the file's arrays (`net.case`) -> some that are put together from them.
      batches: `type -> batches`, where they are not the six of the stream.
    """

    method: str
    options: Mapping[str, Any]
    ours: Callable[[net.Ran], Arrays]
    theirs: Callable[[Arrays], Arrays] = dict
    batches: Callable[[Any], list[Any]] | None = None


def affine(ran: net.Ran) -> Arrays:
    """Logits, the loss and BatchNorm's scale and shift, which all methods with gradients have."""
    scale, shift = ran.params("norm0.weight"), ran.params("norm0.bias")
    return {"logits": ran.logits, "losses": ran.losses["total"], "scale": scale, "shift": shift}


def filtered(ran: net.Ran) -> Arrays:
    """These, and how many clips were learnt from."""
    return {**affine(ran), "kept_count": ran.losses["kept"] * net.ROWS}


def averaged(ran: net.Ran) -> Arrays:
    """These, and the average of the probabilities."""
    return {**filtered(ran), "probs_average": np.stack([state.memory.average for state in ran.states])}


def fisher(ran: net.Ran) -> Arrays:
    """These, and the Fisher diagonal, which ours holds times the rate of its term."""
    leaves, rate = ran.states[0].memory.fisher["encoder"]["batch_norm"], ran.options["fisher"]
    return {**averaged(ran), "fisher_scale": leaves["scale"] / rate, "fisher_shift": leaves["bias"] / rate}


def counted(which: str = "kept") -> Callable[[Arrays], Arrays]:
    """The authors' arrays with the number of kept clips."""
    return lambda gold: {**gold, "kept_count": gold[which].sum(-1)}


def sar(ran: net.Ran) -> Arrays:
    arrays = dict(filtered(ran))
    return {
        **arrays,
        "losses": arrays.pop("losses"),
        "loss_average": np.stack([state.memory.average for state in ran.states]),
    }


def seconds(gold: Arrays) -> Arrays:
    """SAR's second pass, by whose loss and clips it learns."""
    return {**counted("kept_second")(gold), "losses": gold["losses_second"]}


def roid(ran: net.Ran) -> Arrays:
    arrays = dict(averaged(ran))
    return {**arrays, "logits": arrays.pop("logits")}


def corrected(gold: Arrays) -> Arrays:
    return {**counted()(gold), "logits": gold["corrected_logits"]}


def clip_numbers(waves: Any) -> np.ndarray:
    """Which clip of the stream each row is."""
    stream = net.GOLD["data/x"].reshape(-1, net.TIME)
    return np.array([np.abs(stream - wave).sum(-1).argmin() for wave in np.asarray(waves)])


def rotta(ran: net.Ran) -> Arrays:
    memories = [state.memory for state in ran.states]
    student = [m.student["encoder"]["batch_norm"] for m in memories]
    stats = [m.student_stats["encoder"]["batch_norm"] for m in memories]
    held = []
    for memory in memories[1::2]:
        clips = np.where(memory.bank.labels >= 0, clip_numbers(memory.waves), -1)
        held.append(sorted(zip(clips, np.where(clips >= 0, memory.bank.ages, 0), strict=True)))
    return {
        **affine(ran),
        "scale": np.stack([leaves["scale"] for leaves in student]),
        "shift": np.stack([leaves["bias"] for leaves in student]),
        "running_mean": np.stack([leaves["mean"] for leaves in stats]),
        "running_var": np.stack([leaves["var"] for leaves in stats]),
        "teacher_scale": ran.params("norm0.weight"),
        "teacher_shift": ran.params("norm0.bias"),
        "teacher_running_mean": ran.running("mean"),
        "teacher_running_var": ran.running("var"),
        "held": np.array(held),
    }


def held_then(gold: Arrays) -> Arrays:
    """RoTTA's memory at each update as pairs of clip and age, in the clips' order."""
    pairs = zip(gold["memory"], np.where(gold["memory"] >= 0, gold["memory_ages"], 0), strict=True)
    return {**gold, "held": np.array([sorted(zip(*pair, strict=True)) for pair in pairs])}


def cotta(ran: net.Ran) -> Arrays:
    students = [state.memory.student for state in ran.states]
    ends = {"student": students[-1], "teacher": ran.states[-1].variables["params"]}
    # As peers.md says: the gradient of a bias before BatchNorm is rounding noise, of which Adam makes whole steps.
    names = [name for name in net.PLACES if name != "inp.bias"]
    return {
        **affine(ran),
        "scale": np.stack([net.leaf(params, "norm0.weight") for params in students]),
        "shift": np.stack([net.leaf(params, "norm0.bias") for params in students]),
        **{f"{who}.{name}": net.leaf(params, name) for who, params in ends.items() for name in names},
    }


def logits(ran: net.Ran) -> Arrays:
    return {"logits": ran.logits}


def following(ran: net.Ran) -> Arrays:
    return {**logits(ran), "running_mean": ran.running("mean"), "running_var": ran.running("var")}


def assignments(ran: net.Ran) -> Arrays:
    return {"assignments": np.exp(ran.logits)}


def by_length(rows: np.ndarray, labels: np.ndarray) -> Arrays:
    """Supports in the order of their lengths: theirs lie in that of their coming, ours in that of entropy."""
    order = np.argsort(np.linalg.norm(rows, axis=-1))
    return {"supports": rows[order], "supports_labels": labels[order]}


def in_order(gold: Arrays) -> Arrays:
    return {**gold, **by_length(gold["supports"], gold["supports_labels"])}


def t3a(ran: net.Ran) -> Arrays:
    filled = [np.isfinite(state.memory.entropy) for state in ran.states]
    rows, labels = ran.states[-1].memory.embedding[filled[-1]], np.nonzero(filled[-1])[0]
    return {**logits(ran), "supports_count": np.array([f.sum() for f in filled]), **by_length(rows, labels)}


def single_clips(steps: int) -> Callable[[Any], list[Any]]:
    """Batches of one clip, for methods whose episodes are single clips."""

    def batches(dtype: Any) -> list[Any]:
        return [net.batch(step, dtype, slice(row, row + 1)) for step in range(steps) for row in range(net.ROWS)]

    return batches


def episodes(ran: net.Ran) -> Arrays:
    """A row a clip."""
    arrays = {name: np.asarray(array) for name, array in affine(ran).items()}
    rows = {name: array.reshape(-1, net.ROWS, *array.shape[1:]) for name, array in arrays.items() if name != "logits"}
    return {**rows, "logits": ran.logits.reshape(-1, net.ROWS, net.CLASSES)}


def ended(ran: net.Ran) -> Arrays:
    """These, and all parameters after the last clip's update."""
    return {**episodes(ran), **{f"last_clip.{name}": ran.params(name)[-1] for name in net.PLACES}}


def last_updates(gold: Arrays) -> Arrays:
    """Of SUTA's losses those of the last update, the ones that a step of ours says."""
    return {**gold, "losses": gold["losses"][..., -1]}


def shot(ran: net.Ran) -> Arrays:
    labels = np.stack([ran.states[step].memory.reshape(net.STEPS, net.ROWS) for step in (0, net.STEPS)])
    ends = {f"end.{name}": ran.params(name)[-1] for name in ("inp.weight", "inp.bias")}
    stats = {f"end.norm0.running_{which}": ran.running(which)[-1] for which in ("mean", "var")}
    return {**affine(ran), "pseudo_labels": labels, **ends, **stats}


def twice(dtype: Any) -> list[Any]:
    """Two epochs."""
    return [net.batch(step, dtype) for step in range(net.STEPS)] * 2


ETA = {"few_classes": "as_given"}
FASTER = {"lr": 0.01, "teacher_momentum": 0.9, "restore": 0.1}
_tent = functools.partial(Case, "tent", ours=affine)
_eata = functools.partial(Case, "eata", ours=fisher, theirs=counted())
_deyo = functools.partial(Case, "deyo", ours=filtered, theirs=counted())
_roid = functools.partial(Case, "roid", ours=roid, theirs=corrected)
_lame = functools.partial(Case, "lame", ours=assignments)

CASES: Mapping[str, Case] = {
    "norm": Case("norm", {}, following),
    "norm_alpha0.1": Case("norm", {"statistics": "blend", "alpha": 0.1}, logits),
    "norm_alpha0.5": Case("norm", {"statistics": "blend", "alpha": 0.5}, logits),
    "tent": _tent({"recipe": "authors_cifar"}),
    "tent_fast": _tent({"recipe": "authors_cifar", "lr": 0.01}),
    "eata": _eata({"recipe": "authors_imagenet"}),
    "eata_wide": _eata({**ETA, "lr": 0.02}),
    "eata_cifar": _eata({"recipe": "authors_cifar", "lr": 0.05}),
    "eta": Case("eata", {**ETA, "lr": 0.05, "fisher": 0.0}, averaged, counted()),
    "rdumb": Case("rdumb", {**ETA, "lr": 0.05, "every": 2}, filtered),
    "sar": Case("sar", {"recipe": "authors_imagenet"}, sar, seconds),
    "sar_fast": Case("sar", {"recipe": "authors_imagenet", "lr": 0.02}, sar, seconds),
    "deyo": _deyo({"segments": 32}),
    "deyo_fast": _deyo({"segments": 32, "lr": 0.02}),
    "roid": _roid({"recipe": "authors_cifar"}),
    "roid_fast": _roid({"recipe": "authors_cifar", "lr": 0.01}),
    "roid_no_consistency": _roid({"recipe": "authors_cifar", "lr": 0.01, "consistency": False}),
    "pseudo_label": Case("pseudo_label", {}, affine),
    "pseudo_label_fast": Case("pseudo_label", {"lr": 0.01}, affine),
    "cotta": Case("cotta", {"recipe": "authors_cifar"}, cotta),
    "cotta_fast": Case("cotta", {"recipe": "authors_cifar", **FASTER}, cotta),
    "cotta_mixed": Case("cotta", {"recipe": "authors_cifar", **FASTER, "p_th": 0.6828}, cotta),
    "rotta": Case("rotta", {}, rotta, held_then),
    "rotta_fast": Case("rotta", {"nu": 0.05, "lr": 0.02}, rotta, held_then),
    "note": Case("note", {"recipe": "authors_cifar"}, lambda ran: {**affine(ran), **following(ran)}),
    "note_fast": Case("note", {"recipe": "authors_cifar", "lr": 0.01}, lambda ran: {**affine(ran), **following(ran)}),
    "lame_knn1": _lame({"recipe": "authors_imagenet", "affinity": "knn", "k": 1}),
    "lame_knn5": _lame({"recipe": "authors_imagenet", "affinity": "knn"}),
    "lame_rbf5": _lame({"recipe": "authors_imagenet"}),
    "lame_linear": _lame({"recipe": "authors_imagenet", "affinity": "linear"}),
    **{f"t3a_{places}": Case("t3a", {"supports": places}, t3a, in_order) for places in (1, 5, 20, 100)},
    "memo": Case("memo", {"recipe": "authors_cifar", "augmentations": 8}, ended, batches=single_clips(6)),
    "memo_blend": Case("memo", {"recipe": "authors_imagenet", "augmentations": 8}, ended, batches=single_clips(6)),
    "shot": Case("shot", {}, shot, batches=twice),
    "shot_fast": Case("shot", {"lr": 0.01}, shot, batches=twice),
    "suta": Case("suta", {}, episodes, last_updates, single_clips(2)),
    "suta_fast": Case("suta", {"lr": 0.001}, episodes, last_updates, single_clips(2)),
}
"""Name in the file -> ours beside it."""
