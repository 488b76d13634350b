"""Rows by sentences: weights of templates, the line that closes the gap; and which clips keep a name at a rate."""

import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.metrics import softmax
from dhauds_jax.report import zeroshot as report
from dhauds_jax.report.zeroshot_lines import lines_of
from dhauds_jax.runs import zeroshot_sets, zeroshot_unknown
from dhauds_jax.runs.zeroshot import Inputs, run_rows, zeroshot
from dhauds_jax.runs.zeroshot_rows import check
from dhauds_jax.runs.zeroshot_towers import Towers, check_weights
from dhauds_jax.workdir import vectors
from tests.runs.zeroshot_sets import CLIPS, FOLD, FOLDS, LABELS, WIDTH, by_hand, drawn, rows, run_of, unit, write


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return write(tmp_path_factory.mktemp("zeroshot"))


def anchors_of():
    """(2 templates, 3 classes, width): the classes' directions with an offset of their own, and others."""
    draw = np.random.default_rng(5)
    _, park, *_ = drawn()
    means = np.stack([unit(park.astype(np.float64))[k == LABELS].mean(0) for k in range(3)])
    return unit(np.stack([means + 0.8 * unit(draw.normal(size=WIDTH)), draw.normal(size=(3, WIDTH))])).astype("f4")


def found_of(place, workdir, **changes):
    run = run_of(place, workdir, **{"prototypes": ("text",), "template": "two", **changes})
    check(run)
    sets = zeroshot_sets.of_vectors(vectors.read_all(run.embeddings), ["park"])
    towers = Towers(anchors=anchors_of(), scale=20.0, template=("{}", "a {}"))
    check_weights(run, towers)
    return run_rows(run, Inputs(sets, towers, None, [None]), "c", printed=False)[0]


def test_templates_by_which_clips_are_named_surely_count_more(place, tmp_path):
    clips, anchors = unit(drawn()[1].astype(np.float64)), anchors_of().astype(np.float64)
    p = softmax(20 * np.einsum("nd,tkd->tnk", clips, anchors))
    weights = np.exp((p * np.log(p)).sum(-1).mean(-1))
    weights /= weights.sum()
    made = unit(np.einsum("t,tkd->kd", weights, anchors))
    (equal,) = found_of(place, tmp_path)
    (own,) = found_of(place, tmp_path, template_weights="entropy")
    assert own["weights_of_templates"] == pytest.approx(weights, abs=1e-5) and abs(weights[0] - 0.5) > 0.05
    assert own["adapted_last"] == np.mean((clips @ made.T).argmax(1) == LABELS)
    assert (own["template_weights"], own["uses"]) == ("entropy", ["text", "set"])
    assert (equal["template_weights"], equal["uses"]) == (None, ["text"]) and "weights_of_templates" not in equal
    assert [line.mark for line in lines_of([equal, own])] == [
        " [template_weights=default]", " [template_weights=entropy]"
    ]  # fmt: skip


def test_the_line_that_closes_the_gap(place, tmp_path):
    asked = {"close_gap": ("0", "0.5", "1"), "scorer": ("plain", "centre")}
    plain, centre = found_of(place, tmp_path, **asked)
    clips, text = unit(drawn()[1].astype(np.float64)), unit(anchors_of().astype(np.float64).mean(0))
    way, wanted = clips.mean(0) - text.mean(0), []
    for share in (0, 0.5, 1):
        scores = unit(clips - share / 2 * way) @ unit(text + share / 2 * way).T
        wanted.append([share, np.mean(scores.argmax(1) == LABELS)])
    assert plain["gap"]["closed"] == wanted and wanted[0][1] == plain["adapted_last"] != wanted[2][1]
    assert "closed" not in centre["gap"] and plain["gap"]["distance"] == pytest.approx(np.linalg.norm(way), abs=1e-5)
    said = "\n".join(report.gaps([plain, centre], tmp_path))
    assert said.count("\n| ") == 2 and f"0: {100 * wanted[0][1]:.1f}, 0.5: {100 * wanted[1][1]:.1f}, 1: " in said
    assert (tmp_path / "zeroshot-gap.png").stat().st_size > 5_000
    assert report.gaps([centre], tmp_path) == []
    again = found_of(
        place, tmp_path, scorer=("plain", "centre")
    )  # rows without the line have another name, or the same
    assert again[0]["cell"] != plain["cell"] and again[1]["cell"] == centre["cell"]


def test_a_rate_of_known_clips_by_the_other_folds(place, tmp_path, capsys):
    zeroshot(run_of(place, tmp_path, reject=0.2), "zeroshot")
    _, park, *_ = drawn()
    scores, _ = by_hand(park, park)
    sure, kept = softmax(20 * scores).max(1), np.zeros(CLIPS, bool)
    for fold in range(FOLDS):
        others = np.sort(sure[fold != FOLD])
        kept[fold == FOLD] = sure[fold == FOLD] >= others[int(0.2 * len(others))]
    (row,) = rows(tmp_path)
    right = np.mean(scores.argmax(1)[kept] == LABELS[kept])
    assert row["reject"]["accepted"] == kept.mean() < 1 and row["reject"]["right"] == right > row["adapted_last"]
    assert row["reject"]["folds"] == [np.mean(kept[fold == FOLD]) for fold in range(FOLDS)]
    assert row["uses"] == ["train_labels", "known_clips"]
    line = f"; at --reject=0.2 {100 * kept.mean():.1f} % keep a name, of these {100 * right:.1f} right; ECE "
    assert line in capsys.readouterr().out
    table = report.rows_table([row]).splitlines()
    assert table[0].endswith("| named | right of these |") and f"| {100 * right:.1f} |" in table[2]
    assert zeroshot(run_of(place, tmp_path), "zeroshot").startswith("1 row written")  # of another name


def test_a_clip_s_label_never_reaches_its_threshold():
    logits = np.random.default_rng(0).normal(size=(40, 3))
    fold, hits = np.arange(40) % 4, np.arange(40) % 3 == 0
    some = zeroshot_unknown.named_at(0.1, logits, hits, fold)
    other = zeroshot_unknown.named_at(0.1, logits, ~hits, fold)
    assert some["accepted"] == other["accepted"] and some["right"] == pytest.approx(1 - other["right"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"close_gap": ("much",)}, "--close_gap=much: expected numbers from 0 to 1"),
        ({"close_gap": ("2",)}, "--close_gap=2"),
        ({"close_gap": ("1",), "scorer": ("centre",)}, "--close_gap: moves sentences, expected --prototypes=text and"),
        ({"template_weights": "entropy", "online": True}, "--template_weights=entropy: looks at all clips at once"),
        ({"reject": 1.0}, "--reject=1"),
    ],
)
def test_flags_that_cannot_be(place, tmp_path, changes, words):
    with pytest.raises(BadInput, match=f"^{words}"):
        found_of(place, tmp_path, **changes)


def test_what_a_rate_and_weights_need(place, tmp_path):
    run = run_of(place, tmp_path, ("clean", "park"), reject=0.1, train=("clean",))
    with pytest.raises(BadInput, match=r"^--reject: prototypes of clean clips say that .*; expected --train=same, or"):
        zeroshot(run, "zeroshot")
    write(tmp_path / "one", folds=None, splits=np.array(["train", "test"] * (CLIPS // 2)))
    with pytest.raises(BadInput, match=r"^--reject: park has one fold, and no clip outside it is held out; expected"):
        zeroshot(run_of(tmp_path / "one", tmp_path, reject=0.1), "zeroshot")
    run = run_of(place, tmp_path, template="laion", template_weights="entropy")
    with pytest.raises(BadInput, match=r"^--template_weights=entropy: --template=laion gives 1 sentences of a class, "):
        check_weights(run, Towers(template=("{}",)))
