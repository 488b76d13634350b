"""experiments.elect end to end on a tiny set."""

import io
import sys

import numpy as np
import pytest

from dhauds_jax.cells import targets
from dhauds_jax.cells.source import SourceModel
from dhauds_jax.data import sets
from dhauds_jax.data.loading import Clips
from dhauds_jax.errors import BadInput
from dhauds_jax.estimates import Estimate
from dhauds_jax.nets import zoo
from dhauds_jax.runs import elect
from dhauds_jax.runs.elect import ElectRun, run_election
from dhauds_jax.tta import election
from dhauds_jax.workdir import records
from tests.runs import tiny


def a_run(folder, **changes):
    run = ElectRun(
        dataset="arabic_speech_commands",
        data_dir=str(folder / "data"),
        noise_dir=None,
        checkpoint=[str(folder / "checkpoint"), str(folder / "checkpoint")],
        corruption=["clean", "WHN"],
        level=["L2"],
        profile="reference",
        seed=0,
        shift=0.17,
        average="logits",
        batch_size=8,
        split="test",
        workdir=str(folder / "work"),
    )
    return run.replace(**changes)


@pytest.mark.parametrize(
    ("changes", "corruption", "wanted"),
    [
        ({"dataset": "vocal_sound"}, "clean", "unpadded"),
        ({"dataset": "audio_mnist/fold2"}, "clean", "unpadded"),
        ({"dataset": "vocal_sound", "profile": "corrected"}, "clean", "padded"),
        ({"dataset": "vocal_sound", "views": "padded"}, "clean", "padded"),
        ({"dataset": "speech_commands_v1"}, "clean", "padded"),
        ({"dataset": "vocal_sound"}, "WHN", "padded"),
    ],
)
def test_views_are_unpadded_where_the_published_ones_are(tmp_path, changes, corruption, wanted):
    config = zoo.preset("amaut_tiny", ["a", "b"])
    assert elect.views_of(a_run(tmp_path, **changes), [config], corruption) == wanted


def test_unpadded_views_need_log_mel_of_all_models_and_clips_longer_than_the_longest_window(tmp_path):
    """Before, the first model stood for all."""
    mel, wave = (zoo.preset(name, ["a", "b"]) for name in ("amaut_tiny", "hubert_tiny"))
    with pytest.raises(BadInput) as caught:
        elect.views_of(a_run(tmp_path, views="unpadded"), [mel, wave], "clean")
    assert str(caught.value) == (
        "--views=unpadded: clean on amaut_tiny, hubert_tiny, expected clean clips (corruptions cover the padding too) "
        "and networks over log-mel spectrograms alone"
    )
    assert elect.views_of(a_run(tmp_path, dataset="vocal_sound"), [mel, wave], "clean") == "padded"
    repeating = mel.replace(front_end={**mel.front_end, "layout": "repeat_pad"})
    with pytest.raises(BadInput, match="front ends that repeat short clips"):
        elect.views_of(a_run(tmp_path, views="unpadded"), [mel, repeating], "clean")
    assert elect.views_of(a_run(tmp_path, dataset="vocal_sound"), [repeating], "clean") == "padded"
    wider = mel.replace(front_end={**mel.front_end, "n_fft": 4 * mel.front_end["n_fft"]})
    samples = mel.front_end["n_fft"]
    clips = Clips(
        ("x",), np.zeros((1, 4_000), np.float32), np.zeros(1, np.int32), np.array([samples]), ("a", "b"), 16_000
    )
    loaded = targets.Loaded(sets.get("synthetic"), clips, 4_000)
    assert elect._lengths(loaded, [mel]).tolist() == [samples]
    with pytest.raises(BadInput, match=f"^x: has {samples} samples, expected more than {2 * samples}: choose --views"):
        elect._lengths(loaded, [mel, wider])


def test_settings_that_are_not_the_presets_name_another_election(tmp_path):
    config = zoo.preset("amaut_tiny", ["a", "b"])
    other = config.replace(front_end={**config.front_end, "hop": 2 * config.front_end["hop"]})
    clips = Clips(("x", "y"), np.zeros((2, 8), np.float32), np.arange(2), np.full(2, 8), ("a", "b"), 16_000)
    loaded = targets.Loaded(sets.get("synthetic"), clips, 8)
    drawn, logits = targets.Corrupted(lambda: clips.waves, ()), np.eye(2)
    found = []
    for one in (config, config.replace(source={"file": "elsewhere"}), other):
        sources = [SourceModel(zoo.build(one), {}, "weights")]
        given = (loaded, ("clean", "-"), drawn, "single", logits, logits, "clips")
        found.append(elect._record(a_run(tmp_path), sources, *given))
    assert [r["content"].get("config") for r in found[:2]] == [None, None]
    assert len(found[2]["content"]["config"]) == 16
    assert found[0]["cell"] == found[1]["cell"] != found[2]["cell"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"profile": "faithful"}, "unknown profile 'faithful': expected reference or corrected"),
        ({"checkpoint": []}, "--checkpoint is empty: expected the folder of at least one model"),
        ({"batch_size": 0}, "--batch_size=0: expected at least 1"),
        ({"shift": 2.0}, "--shift=2.0: expected a finite number of at least -1 and at most 1 (a share of the clip)"),
        ({"split": "tset"}, "unknown split 'tset' of arabic_speech_commands: expected train, val or test"),
    ],
)
def test_bad_input_is_said_before_anything_is_read(tmp_path, changes, message):
    with pytest.raises(BadInput) as caught:
        run_election(a_run(tmp_path, **changes), "c")
    assert str(caught.value) == message


def test_one_corruption_has_an_estimate_too(monkeypatch):
    """Before, corruptions were the parts: of one there was nothing left to estimate when it had ended."""
    now = [0.0]
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    estimate = Estimate(6, "view", few=True, clock=lambda: now[0])

    def predict(view):
        now[0] += 10.0
        return np.zeros((2, 3))

    model = elect._counted(predict, estimate)
    election.elect([model, model], np.zeros((2, 8), np.float32))
    said = "estimate: about 60 s for all 6 views, from the first, reading and compiling included\n"
    assert (stream.getvalue(), now[0]) == (said, 60.0)


@pytest.mark.slow
def test_a_record_a_mode_and_corruption(tmp_path):
    tiny.make_arabic(tmp_path / "data")
    tiny.make_checkpoint(tmp_path / "checkpoint")
    assert run_election(a_run(tmp_path), "the command").startswith("8 records written: ")
    found = records.read(tmp_path / "work")
    assert [(r["corruption"], r["method"]) for r in found[:4]] == [
        ("clean", mode) for mode in ("single", "aug_elect", "multi_train", "hybrid")
    ]
    assert [r["passes"]["forward"] for r in found[:4]] == [1, 3, 2, 6]
    for one, views, models, both in (found[:4], found[4:]):
        assert one["adapted_last"] == one["non_adapted"] == models["adapted_last"]  # the same model twice
        assert np.isclose(views["nll"], both["nll"])
        assert views["metrics"]["accuracy"] == views["adapted_last"]
    assert len({r["cell"] for r in found}) == 8
    assert run_election(a_run(tmp_path), "again").startswith("0 records written, 8 were there already: ")
    assert len(records.read(tmp_path / "work")) == 8
    lines = (tmp_path / "work" / records.FILE).read_text().splitlines(keepends=True)
    (tmp_path / "work" / records.FILE).write_text("".join(lines[:6]))  # broken off between the modes of WHN
    assert run_election(a_run(tmp_path), "again").startswith("2 records written, 6 were there already: ")
    assert [r["cell"] for r in records.read(tmp_path / "work")] == [r["cell"] for r in found]
    # These clips fill their rows: without padding there is nothing to leave out.
    run_election(a_run(tmp_path, corruption=["clean"], views="unpadded", workdir=str(tmp_path / "alone")), "c")
    alone = records.read(tmp_path / "alone")
    assert [r["options"]["views"] for r in (found[0], alone[0])] == ["padded", "unpadded"]
    np.testing.assert_allclose([r["nll"] for r in alone], [r["nll"] for r in found[:4]], rtol=1e-5)
    with pytest.raises(ValueError, match="--views=unpadded: WHN on amaut_tiny, expected clean clips"):
        run_election(a_run(tmp_path, views="unpadded"), "c")
    with pytest.raises(ValueError, match="--average=median: expected logits or softmax"):
        run_election(a_run(tmp_path, average="median"), "c")
