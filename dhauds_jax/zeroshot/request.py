"""What a grid of zero-shot rows is asked for, as a record; its fields are flags of `experiments.zeroshot`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dhauds_jax import names
from dhauds_jax.requests import Request, flag, listed

PROTOTYPES = ("text", "tgap", "supervised", "head")
"""What prototypes are made of (`zeroshot.prototypes`)."""

BACKGROUNDS = ("none", "text", "audio", "quiet", "chunks", "oracle")
"""What may be taken off (`zeroshot.background`)."""

TRAIN = ("same", "clean")
"""Where prototypes of clips come from: the set itself, as published, or the clean one."""

AUTO = "auto"
"""A weight that is chosen without labels."""


EQUAL, ENTROPY = "equal", "entropy"
"""How several templates count: alike, or the more the surer the clips are named by one."""


@dataclass(frozen=True, kw_only=True)
class ZeroshotGrid(Request):
    """Every combination of these that makes sense is a row."""

    embeddings: Sequence[str] = flag(
        "Embedded sets to classify: folders of experiments.embed, or .npz with vectors, ids, labels and classes "
        "(docs/data.md).",
        (),
    )
    background_embeddings: Sequence[str] = flag(
        "Embedded recordings of background alone, their labels being scenes; the sets' column background names them.",
        (),
    )
    background_text: Sequence[str] = flag(
        "For --background=text: a word or two such as park, one for all sets or one for each (- for none); default: "
        "the scenes of the recordings (--background_embeddings) that the sets' column background names.",
        (),
    )
    prototypes: Sequence[str] = flag(
        f"{listed(PROTOTYPES)}: from sentences, from the clips nearest to these, from labelled clips, or the columns "
        "of a classifier's last layer.",
        ("text",),
    )
    background: Sequence[str] = flag(
        f"{listed(BACKGROUNDS)}: what the background's profile is made of (chunks: those of the same recording in "
        "which no event is annotated); only subtract takes one off.",
        ("none",),
    )
    scorer: Sequence[str] = flag(
        f"{listed(names.SCORERS)}, chains such as chain:subtract+em, or module:factory of your own (docs/zeroshot.md).",
        ("plain",),
        names="scorer",
    )
    weight: Sequence[str] = flag(
        "Weights of the background's profile, numbers from 0, or auto: chosen without labels by --criterion.", ("0.5",)
    )
    train: Sequence[str] | None = flag(
        "Clips that tgap and supervised are made of: same, the set's own, or clean, those of the clean set (default: "
        "same in profile reference, else clean where a clean set is given).",
        None,
    )
    template: str = flag(
        "The sentence of a class: laion, hf, bare or ensemble, or a file of lines with {} for the name.", "laion"
    )
    template_weights: str = flag(
        "How the sentences of several templates count: equal, or entropy, exp(-mean entropy) of the clips' predictions "
        "by each, without labels.",
        EQUAL,
        choices=(EQUAL, ENTROPY),
    )
    close_gap: Sequence[str] = flag(
        "For prototypes text: shares of the gap between sounds and sentences to close, such as 0,0.25,0.5,0.75,1; the "
        "accuracies along this line stand in the records of scorer plain, and in the report's figure.",
        (),
    )
    reject: float | None = flag(
        "At most this share of clips of known classes becomes unknown: the threshold of each fold is set by the other "
        "folds' clips. Records say which share keeps a name, and how much of that is right.",
        None,
    )
    scale: str | None = flag(
        "What scores are multiplied by to be logits, for ECE and NLL: none (1, as published), checkpoint (the "
        "audio-text model's), agreement (of two halves of the templates, for prototypes text), nll (the likelihood of "
        "the training clips' labels), or a number (default: none in profile reference, else the model's, else 20).",
        None,
    )
    normalised: bool | None = flag(
        "Whether prototypes of clips and of a head get unit length (default: not in profile reference, else so).", None
    )
    topn: int = flag("Clips of a class in tgap.", 35)
    shots: int = flag("Labelled clips of a class that scorer treff is given.", 16)
    folds: str = flag(
        "Empty: the folds of the sets' index, else its splits (train against the others); split: its splits; or a "
        "number of folds that keep groups together.",
        "",
    )
    online: bool = flag("Score one clip after the other in an order of --seed, instead of the set at once.", False)
    profile: str = flag(
        "reference (as published: unnormalised prototypes, no scale, each clip's own background) or corrected.",
        "corrected",
        choices=names.PROFILES,
    )
    criterion: str = flag(
        f"Label-free choice of the weight: {listed(names.CRITERIA)}.", "information", names="criterion"
    )
    seed: int = flag("Seed of folds, shots, of the order of --online, and of corruption draws.", 0)
    workdir: str = flag("Folder for zeroshot.jsonl, and for what is embedded on the way.")
