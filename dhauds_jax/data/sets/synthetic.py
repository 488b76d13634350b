"""The embedded corpus as a data set: made in memory, nothing to download."""

from __future__ import annotations

from dhauds_jax.data import synthetic
from dhauds_jax.data.sets.base import DataSet, Generated, Order


def generate(split: str, seed: int) -> Generated:
    """Makes a split of the embedded corpus at its default size (see `dhauds_jax.data.synthetic.make_split`)."""
    corpus = synthetic.make_split(split, seed=seed)
    return Generated(corpus.ids, corpus.waves, corpus.labels)


def group_of(clip: str) -> str:
    """The speaker of a clip's id `<split>/<index>_<speaker>_<word>`; they are counted within the split."""
    split, _, name = clip.partition("/")
    return f"{split}/{name.split('_')[1]}"


DATA_SET = DataSet(
    name="synthetic",
    classes=synthetic.CLASSES,
    sample_rate=synthetic.SAMPLE_RATE,
    length=synthetic.LENGTH,
    splits=tuple(synthetic.SIZES),
    metric="accuracy",
    order=Order(stretch_both_ways=False),
    licence="Apache-2.0 (made by this package)",
    citation="dhauds_jax, embedded corpus of synthetic words",
    generate=generate,
    counts=synthetic.SIZES,
    group=group_of,
)
DATA_SETS = (DATA_SET,)
