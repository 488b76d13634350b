"""Programs are found by what they were compiled for, shared where nothing differs, and dropped at one word."""

import gc
import weakref

import numpy as np

from dhauds_jax.cells.cell import Cell
from dhauds_jax.cells.programs import Programs, wrapped_method
from dhauds_jax.nets import zoo

CONFIG = zoo.preset("amaut_tiny", ("a", "b"))
CELL = Cell("d", "WHN", "L1", "amaut_tiny", "tent", "online", "reference", 0, (), 1, 4, "information")


def test_one_classifier_a_configuration_and_precision():
    programs = Programs()
    first = programs.classifier(CONFIG)
    assert programs.classifier(zoo.preset("amaut_tiny", ("a", "b"))) is first
    assert programs.classifier(CONFIG, "bfloat16") is not first
    assert programs.classifier(CONFIG, remat=True) is not first
    assert Programs().classifier(CONFIG) is not first


def test_a_program_belongs_to_its_classifier_and_not_to_a_place_in_memory():
    """An id may be given again once an object is gone; here the programs themselves keep the classifier."""
    programs, like = Programs(), np.zeros((1, CONFIG.length), np.float32)
    classifier = zoo.build(CONFIG)
    first = programs.compiled(CELL, classifier, wrapped_method(CELL, classifier), like)
    assert programs.compiled(CELL._replace(seed=3), classifier, wrapped_method(CELL, classifier), like) is first
    other = zoo.build(CONFIG)
    assert programs.compiled(CELL, other, wrapped_method(CELL, other), like) is not first
    assert (
        programs.compiled(CELL._replace(batch_size=5), classifier, wrapped_method(CELL, classifier), like) is not first
    )
    kept = weakref.ref(classifier.apply)
    del classifier, other, first
    gc.collect()
    assert kept() is not None
    programs.forget()
    gc.collect()
    assert kept() is None
