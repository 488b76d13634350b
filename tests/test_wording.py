"""A count and its word."""

from dhauds_jax import wording
from dhauds_jax.wording import counted, plural


def test_one_is_singular():
    """Before, commands said "1 records written" and "1 cells agree"."""
    assert [counted(n, "record") for n in (0, 1, 2, 1200)] == ["0 records", "1 record", "2 records", "1,200 records"]
    assert [counted(n, "batch", "batches") for n in (1, 2)] == ["1 batch", "2 batches"]
    assert [counted(2, "batch"), counted(2, "epoch")] == ["2 batches", "2 epochs"]
    assert (plural(1, "has", "have"), plural(3, "has", "have"), plural(1, "seed")) == ("has", "have", "seed")


def test_differing_names_what_differs_in_records_and_in_records_in_them():
    stored = {"net": "a", "profile": "reference", "options": {"lr": 1, "views": ["shift"], "epochs": 3}, "gone": 1}
    wanted = {"net": "a", "profile": "corrected", "options": {"lr": 2, "views": ["shift"], "new": 0, "epochs": 3}}
    assert wording.differing(stored, wanted) == "profile, lr, new, gone"
    assert wording.differing(stored, stored) == ""
