"""What a user writes outside the package: `--scorer=tests.zeroshot.foreign:sharper`."""

from dhauds_jax.types import Scorer
from dhauds_jax.zeroshot.unit_vectors import cosines

NOT_A_FACTORY = 3


def sharper(*, power: int = 3):
    """Cosines to an odd power."""

    def init(prototypes, background, info):
        return prototypes

    def step(state, vectors, weights):
        return state, cosines(vectors, state) ** power

    return Scorer(init, step, ())


def two_columns():
    """The scores of the first two classes alone."""
    return Scorer(lambda prototypes, *_: prototypes, lambda state, vectors, _: (state, vectors @ state[:2].T), ())


def nothing():
    return "nothing"


def of_a_text(text):
    """A factory that is called with its options alone, and asks for something without a value of its own."""
    return text
