"""Embeddings, their silhouettes and the reliability bins of a real cell; labels that have no silhouette."""

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import silhouette_score

from dhauds_jax.cells import embeddings
from dhauds_jax.cells.programs import Programs
from dhauds_jax.nets import checkpoint, zoo
from dhauds_jax.nets.normalisers import EVAL
from dhauds_jax.runs.adapt import adapt
from dhauds_jax.workdir import records
from tests.runs import tiny
from tests.runs.adapt_runs import a_run


@pytest.mark.slow
def test_a_cell_keeps_embeddings_silhouettes_and_bins(tmp_path):
    tiny.make_arabic(tmp_path / "data", {"train": 1, "val": 1, "test": 2})
    tiny.make_checkpoint(tmp_path / "checkpoint")
    changes = {"method": ["norm"], "protocol": ["offline"], "corruption": ["TST"], "epochs": 1, "embeddings": True}
    adapt(a_run(tmp_path, tmp_path / "out", **changes | {"embeddings": False}), "c")
    # Asked for later, the record lacks them, so the cell is computed again; one that has them serves both.
    for embeddings_, said in (
        (True, "1 record written: "),
        (True, "0 records written, "),
        (False, "0 records written, "),
    ):
        run = a_run(tmp_path, tmp_path / "out", **changes | {"embeddings": embeddings_})
        assert adapt(run, "c").startswith(said)
    plain, record = records.read(tmp_path / "out")
    assert plain["cell"] == record["cell"] and plain["curve"] == record["curve"] and "silhouette" not in plain
    with np.load(tmp_path / "out" / "embeddings" / f"{record['cell']}.npz") as stored:
        before, after, labels, scores = (stored[k] for k in ("before", "after", "labels", "silhouette"))
        assert stored["classes"].tolist() == list(tiny.CLASSES)
    assert np.bincount(labels).tolist() == [2] * 15
    assert before.shape == after.shape == (30, before.shape[1])
    assert not np.allclose(before, after)
    assert record["silhouette"] == scores.tolist()
    np.testing.assert_allclose(scores, [silhouette_score(z, labels) for z in (before, after)], atol=1e-6)
    assert all(-1 <= score <= 1 for score in record["silhouette_tokens"])
    assert record["silhouette_tokens"][0] != record["silhouette_tokens"][1]

    share, right, said = np.array(record["reliability"]["after"]).T
    assert share.sum() == pytest.approx(1)
    assert (share * right).sum() == pytest.approx(record["adapted_last"])
    assert (share * abs(right - said)).sum() == pytest.approx(record["ece"])
    share, right, _ = np.array(record["reliability"]["before"]).T
    assert (share * right).sum() == pytest.approx(record["non_adapted"])


@pytest.mark.slow
def test_embeddings_are_the_inputs_of_the_last_layer(tmp_path):
    """Twelve clips in batches of five; the stored rows times the head's kernel are the logits."""
    folder = tiny.make_checkpoint(tmp_path / "checkpoint", ("a", "b", "c"))
    variables, config, _ = checkpoint.load(str(folder))
    classifier = zoo.build(config)
    waves = np.random.default_rng(0).normal(size=(12, config.length)).astype(np.float32)
    labels = np.arange(12) % 3
    target = embeddings.Target(waves, labels, "accuracy")
    said = embeddings.keep(
        tmp_path / "e" / "x.npz",
        Programs().embeddings(classifier),
        classifier.config.classes,
        (variables, variables),
        target,
        5,
    )
    with np.load(tmp_path / "e" / "x.npz") as stored:
        z = stored["before"]
    outputs = classifier.apply(variables, jnp.asarray(waves), mode=EVAL)[0]
    head = classifier.head(variables)
    np.testing.assert_allclose(z @ np.asarray(head.kernel) + np.asarray(head.bias), outputs.logits, atol=1e-4)
    tokens = np.asarray(outputs.frames).reshape(12, -1)
    np.testing.assert_allclose(said["silhouette_tokens"], [silhouette_score(tokens, labels)] * 2, atol=1e-4)


def test_groups_and_rows():
    group, names = embeddings.groups_of(np.array([4, 2, 4]), "abcde")
    assert (group.tolist(), names) == ([1, 0, 1], ["c", "e"])
    group, names = embeddings.groups_of(np.array([[1, 1], [0, 1], [1, 1], [0, 0], [0, 0]]), ("x", "y"))
    assert [names[g] for g in group] == ["x+y", "y", "x+y", "none", "none"]
    assert embeddings.rows_of(3).tolist() == [0, 1, 2]
    rows = embeddings.rows_of(1001)
    assert (len(rows), rows[0], rows[-1]) == (500, 0, 1000)


@pytest.mark.parametrize(("labels", "found"), [([1, 1, 1], "3 clips have 1"), ([0, 1, 2], "3 clips have 3")])
def test_labels_without_a_silhouette_get_one_sentence(labels, found):
    with pytest.raises(ValueError, match=f"--embeddings: {found} different labels, expected at least two"):
        embeddings.groups_of(np.array(labels), "abc")
