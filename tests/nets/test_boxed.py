"""Models in the box: half precision changes nothing that is heard, and their cards are listed."""

import numpy as np
import pytest

import dhauds_jax
from converters import amaut as converter
from dhauds_jax import metrics
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import boxed, checkpoint
from tests.nets.test_amaut import GOLDENS, split


def test_a_box_has_a_card_and_is_listed():
    assert list(boxed.names()) == ["words15"]
    assert boxed.names()["words15"].startswith("Fifteen Arabic words (the ten digits")
    with pytest.raises(BadInput, match=r"^--model: unknown model .word15.: expected words15"):
        boxed.load("word15")


def test_a_box_is_a_checkpoint_by_its_name_where_no_folder_has_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    variables, config, extra = checkpoint.load("words15")
    assert checkpoint.variables_hash(variables) == checkpoint.variables_hash(boxed.load("words15")[0]) and extra == {}
    assert checkpoint.load_config("words15") == config and len(config.classes) == 15
    with pytest.raises(BadInput, match=r"no such folder, expected one folder .* comes with the package \(words15\)$"):
        checkpoint.load("a,b")
    (tmp_path / "words15").mkdir()
    with pytest.raises(BadInput, match=r"words15: has no config\.json"):
        checkpoint.load("words15")


@pytest.mark.slow
def test_half_precision_changes_no_label_of_real_speech():
    """The weights as trained, in float32, against those in the box, on 60 clips of the data's test split."""
    golden = np.load(GOLDENS / "arabic_speech_60.npz")
    waves = golden["waves"].astype(np.float32) / 2**15
    model = dhauds_jax.load("words15")
    parts = split(dict(np.load(GOLDENS / "amaut_arabic15.npz")))
    variables = converter.from_torch(parts["encoder"], parts["head"], model.config).variables
    whole = dhauds_jax.Model(model.classifier, variables, model.config)
    logits, wanted = model.logits(waves), whole.logits(waves)
    assert np.array_equal(logits.argmax(-1), wanted.argmax(-1))
    assert np.abs(metrics.softmax(logits) - metrics.softmax(wanted)).max() < 2e-3  # eleven bits of weight: 5e-4 each
    assert metrics.accuracy(logits, golden["labels"]) == 58 / 60
