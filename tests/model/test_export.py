"""An exported program says what the model says, in a process that never imports this package."""

import json
import subprocess
import sys

import numpy as np
import pytest

from dhauds_jax import BadInput
from dhauds_jax.runs.export import export
from dhauds_jax.runs.requests.export import ExportRun
from tests.runs import tiny

ALONE = """
import sys
sys.modules["dhauds_jax"] = None  # importing it would raise
import jax, jax.export, numpy as np
program = jax.export.deserialize(open(sys.argv[1] + "/model.jax_export", "rb").read())
waves = np.load(sys.argv[2])
np.savez(sys.argv[3], all=program.call(waves), one=program.call(waves[:1]))
"""


@pytest.mark.slow
def test_a_program_runs_without_the_package_for_any_batch(tmp_path):
    import dhauds_jax

    tiny.make_checkpoint(tmp_path / "checkpoint")
    model = dhauds_jax.load(tmp_path / "checkpoint")
    sounds = np.stack([tiny.tone(k, 0) for k in range(3)]).astype(np.float32)
    adapted = model.adapt(sounds, method="norm", rate=tiny.RATE)
    adapted.save(tmp_path / "adapted")
    for name in ("checkpoint", "adapted"):
        run = ExportRun(checkpoint=str(tmp_path / name), output=str(tmp_path / "out"))
        if name == "adapted":  # the folder has the program of the other one; the same one may be written again
            before = (tmp_path / "out" / "model.jax_export").read_bytes()
            with pytest.raises(BadInput, match=r"the program of another model .*, or --overwrite to replace"):
                export(run)
            assert (tmp_path / "out" / "model.jax_export").read_bytes() == before
            export(run.replace(checkpoint=str(tmp_path / "checkpoint")))
            run = run.replace(overwrite=True)
        said = export(run)
        assert said.startswith("15 classes, windows of 4000 samples at 16000 Hz, ")
        np.save(tmp_path / "waves.npy", sounds)
        words = [sys.executable, "-c", ALONE, str(tmp_path / "out"), str(tmp_path / "waves.npy")]
        done = subprocess.run([*words, str(tmp_path / "said.npz")], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        wanted = dhauds_jax.load(tmp_path / name).predict(sounds, rate=tiny.RATE).probabilities
        with np.load(tmp_path / "said.npz") as found:
            assert np.allclose(found["all"], wanted, atol=1e-6) and np.allclose(found["one"], wanted[:1], atol=1e-6)
    about = json.loads((tmp_path / "out" / "model.json").read_text())
    assert (about["classes"], about["sample_rate"], about["length"]) == (list(tiny.CLASSES), 16_000, 4000)
    assert (tmp_path / "out" / "model.stablehlo").read_bytes()[:4] == b"ML\xefR"  # MLIR bytecode


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "^--checkpoint and --model: neither is given, expected a folder, or one of words15$"),
        ({"checkpoint": "a", "model": "words15"}, "^--checkpoint and --model: both are given"),
        ({"model": "words"}, "^--model: unknown model 'words': expected words15"),
        ({"checkpoint": "nowhere"}, "nowhere: no such folder"),
    ],
)
def test_which_model_must_be_said_once(tmp_path, given, message):
    with pytest.raises(BadInput, match=message):
        export(ExportRun(**given, output=str(tmp_path)))
