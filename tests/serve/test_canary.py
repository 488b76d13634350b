"""Labelled clips from a folder."""

import numpy as np
import pytest
import soundfile

from dhauds_jax.errors import BadInput
from dhauds_jax.serve import canary
from tests.serve.adapted import served_of, tiny_model
from tests.tta import tiny


def written(folder, clips=44):
    model = tiny_model()
    for k, wave in enumerate(tiny.waves(clips=clips)):
        place = folder / model.classes[k % 4]
        place.mkdir(parents=True, exist_ok=True)
        soundfile.write(place / f"{k:02d}.wav", wave, model.config.sample_rate, subtype="FLOAT")
    return model


def test_a_canary_is_read_from_a_folder_a_class(tmp_path):
    model = written(tmp_path)
    found = canary.read(tmp_path, model, model.classes)
    assert found.waves.shape == (44, 256) and found.waves.dtype == np.float32
    assert np.array_equal(found.labels, np.repeat(np.arange(4), 11))
    assert np.array_equal(found.waves[11:22], tiny.waves(clips=44)[1::4])
    measured = canary.measured(found, served_of(model))
    right = model.logits(found.waves).argmax(1) == found.labels
    assert np.array_equal(measured.source_right, right) and not found.source_right.any()


def test_few_clips_and_strange_folders_are_refused(tmp_path):
    model = written(tmp_path / "few", clips=12)
    with pytest.raises(BadInput, match="12 labelled clips, expected at least 40"):
        canary.read(tmp_path / "few", model, model.classes)
    (tmp_path / "few" / "class0").rename(tmp_path / "few" / "other")
    with pytest.raises(BadInput, match=r"other/00\.wav lies in no class's folder"):
        canary.read(tmp_path / "few", model, model.classes)


@pytest.mark.parametrize("make", [True, False])
def test_a_folder_without_recordings_is_said_of_the_canary(tmp_path, make):
    if make:
        (tmp_path / "empty").mkdir()
    said = rf"^--canary={tmp_path}/empty: .*, expected (one with )?CLASS/\*\.wav, .* at least 40 recordings in all$"
    with pytest.raises(BadInput, match=said):
        canary.read(tmp_path / "empty", tiny_model(), ())
