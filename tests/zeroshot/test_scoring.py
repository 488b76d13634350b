"""A scorer's scores over a set: what is not one number a clip and class is said, however the set is scored."""

import re

import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.zeroshot import scorers, scoring
from tests.zeroshot.tiny import CLIPS, tiny


@pytest.mark.parametrize(
    "name", ["tests.zeroshot.foreign:two_columns", "chain:plain+tests.zeroshot.foreign:two_columns"]
)
def test_scores_of_another_shape_are_one_sentence(name):
    data, scorer = tiny(), scorers.make(name)
    made, given = data.prototypes["text"], (data.background, data.info, data.vectors)
    folds, who = np.arange(CLIPS) % 2, name.removeprefix("chain:plain+")
    found = [
        (f"({CLIPS}, 2), expected ({CLIPS}, 4)", lambda: scoring.score(scorer, made, *given)),
        (
            f"({CLIPS}, 2), expected ({CLIPS}, 4)",
            lambda: scoring.score_folds(scorer, jnp.stack([made] * 2), *given, folds),
        ),
        ("(5, 2), expected (5, 4)", lambda: scoring.score_online(scorer, made, *given, 5)),
    ]
    who = who if name == who else "dhauds_jax.zeroshot.scorers.chained:chain"
    for words, run in found:
        with pytest.raises(
            BadInput, match=re.escape(f"scorer {who} gave {words}: a score of every clip for each class")
        ):
            run()
