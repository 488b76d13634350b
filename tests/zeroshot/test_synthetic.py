"""What the model of embeddings says of the correction: when it helps, when it harms, and what the oracle is worth."""

import functools
import re
from pathlib import Path

import jax
import numpy as np
import pytest

from dhauds_jax.zeroshot import gap, synthetic

pytestmark = pytest.mark.slow

WORLD = synthetic.World(clips=600)


@functools.cache
def study(offset=1.0):
    return synthetic.study(jax.random.key(0), (20.0, 5.0, -5.0), WORLD._replace(offset=offset))


def test_embeddings_repeat_and_have_unit_length():
    made, again = (synthetic.embed(jax.random.key(1), 5.0, WORLD) for _ in range(2))
    for x, y in zip(made, again, strict=True):
        np.testing.assert_array_equal(x, y)
    for rows in (made.vectors, made.text, made.recordings, made.sentences, made.elsewhere):
        np.testing.assert_allclose(np.linalg.norm(rows, axis=-1), 1.0, atol=1e-6)
    np.testing.assert_array_equal(np.bincount(made.labels), [60] * 10)
    wide, none = (
        gap.gap(x.vectors, x.text).distance
        for x in (made, synthetic.embed(jax.random.key(1), 5.0, WORLD._replace(offset=0.0)))
    )
    assert wide > none + 0.2


def test_the_louder_the_background_the_more_the_correction_is_worth_and_the_larger_its_best_weight():
    clean, middle, loud = study()
    assert clean.plain > middle.plain > loud.plain
    for kind in ("text", "audio", "oracle"):
        gains = [p.best[kind][1] - p.plain for p in (clean, middle, loud)]
        assert gains[0] < gains[1] < gains[2] and gains[2] > 0.15
        weights = [p.best[kind][0] for p in (clean, middle, loud)]
        assert weights[0] <= weights[1] <= weights[2] and weights[2] >= 0.5


def test_the_oracle_is_worth_more_than_the_place_and_the_place_more_than_another():
    loud = study()[-1]
    assert loud.best["oracle"][1] > loud.best["audio"][1] > loud.best["wrong"][1] + 0.1


def test_a_wrong_background_harms_where_there_is_little_to_take_off():
    """Without a modality's offset, which any recording shares, the seed's default of 0.5 costs points."""
    clean = study(offset=0.0)[0]
    assert clean.fixed["wrong"] < clean.plain - 0.02
    assert clean.chosen["wrong"][1] >= clean.plain - 0.01  # the choice without labels leaves it alone


def test_a_choice_without_labels_is_near_the_best_by_labels():
    for point in (*study(), *study(offset=0.0)):
        for kind in ("text", "audio", "oracle"):
            assert point.best[kind][1] - 0.04 <= point.chosen[kind][1] <= point.best[kind][1]


def test_words_are_worth_less_than_sounds_where_the_modalities_lie_apart():
    """Both take off the background; sounds take off their modality's offset too, which words have another of."""
    apart, together = study()[-1], study(offset=0.0)[-1]
    assert apart.best["audio"][1] - apart.best["text"][1] > together.best["audio"][1] - together.best["text"][1] + 0.03


def test_the_page_s_table_is_what_the_study_gives():
    page = (Path(__file__).parents[2] / "docs" / "zeroshot.md").read_text(encoding="utf-8")
    compared = []
    for offset, end in ((1.0, ""), (0.0, ", no offsets")):
        for point in synthetic.study(jax.random.key(0), world=synthetic.World(offset=offset)):
            found = re.search(rf"\n\| {point.snr_db:g} dB{end} \|(.*)\|\n", page)
            if found is None:
                continue
            compared.append(f"{point.snr_db:g} dB{end}")
            cells = [float(cell.split("(")[0]) for cell in found[1].split("|")]
            chosen = [point.chosen[kind][1] for kind in ("audio", "text", "oracle")]
            row = [
                point.plain,
                point.centre,
                point.fixed["audio"],
                *chosen,
                point.fixed["wrong"],
                point.chosen["wrong"][1],
            ]
            # A unit of rounding may turn one clip of the thousand, and the page has one decimal.
            np.testing.assert_allclose(cells, 100 * np.array(row), rtol=0, atol=0.16)
    rows = re.findall(r"^\| (-?\d+ dB(?:, no offsets)?) \|", page, re.MULTILINE)
    assert len(rows) == 4 and sorted(compared) == sorted(rows)
