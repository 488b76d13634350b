"""Tables of cross-validations: what an accuracy is compared with, and no columns that say another's numbers."""

import pytest

from dhauds_jax.report import crossval


def record(views, **more):
    run = {"profile": "corrected", "selection": "nested", "chosen_by": "auc", "folds": 3, "fold_rule": "groups"}
    scores = {"auc": 0.75, "accuracy": 0.4, "ece": 0.1, "ece_before": 0.2, "nll": 1.0, "oracle_auc": 0.8, "gap": 0.05}
    run |= {"views": views, "noise_clips": 0, "extra_dataset": None, "extra": [], "options": {}, **scores, **more}
    predictors = ("single", "single_views", "folds", "folds_views")
    return {**run, "test": {"n": 16, **{name: scores for name in predictors}, **more}}


def header(text):
    return [cell.strip() for cell in text.splitlines()[0].strip("|").split("|")]


@pytest.mark.parametrize(("views", "copies"), [("", 0), ("shift:1", 0), ("shift:5", 2)])
def test_columns_of_copies_are_there_where_there_are_copies(views, copies):
    assert sum("shifted copies" in name for name in header(crossval.test_table([record(views)]))) == copies


def test_the_largest_class_stands_beside_accuracy_and_not_in_records_of_before():
    place = header(crossval.runs_table([record("")])).index("largest class")
    cells = [crossval.runs_table([one]).splitlines()[2].split("|") for one in (record("", majority=0.5), record(""))]
    assert [row[place + 1].strip() for row in cells] == ["50.0", "-"] and cells[0][place].strip() == "40.0"
