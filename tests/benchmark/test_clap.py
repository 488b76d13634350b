"""CLAP's parts in the benchmark: what is timed, what stands beside it, what is refused."""

import pytest

from dhauds_jax.benchmark import clap, pytorch
from dhauds_jax.runs.benchmark import benchmark
from tests.benchmark.test_benchmark import a_run, rows_of

FAKE = """
import json, sys
batch = int(sys.argv[sys.argv.index("--batch") + 1])
for part in ("audio", "mel"):
    print(json.dumps(dict(part=part, device="cpu", seconds=0.5, clips_per_s=batch / 0.5, words=sys.argv[1:])))
"""


@pytest.mark.slow
def test_each_part_is_timed_and_compared(tmp_path, monkeypatch, capsys):
    script = tmp_path / "torch_clap.py"
    script.write_text(FAKE)
    monkeypatch.setattr(clap, "SCRIPT", script)
    monkeypatch.setattr(clap, "find_spec", lambda name: name)
    audio, mel, text = rows_of(capsys, what=["clap"], net=["clap_test"], batch=2, rounds=1, vs_torch=True)
    assert [row["part"] for row in (audio, mel, text)] == ["audio", "mel", "text"]
    assert (audio["batch"], audio["clip_seconds"], text["batch"]) == (2, 1.0, 64)
    assert audio["vs_torch"] == pytest.approx(audio["clips_per_s"] / 4.0, rel=1e-4) and "torch" not in text
    # The patches' embedding, four blocks and the projection of 64 x 64 pixels: a few million operations a clip.
    assert 0.001 < audio["gflops_per_clip"] < 0.05
    words = mel["torch"]["words"]
    asked = dict(zip(words[:8:2], words[1:8:2]))
    assert asked == {"--net": "clap_test", "--batch": "2", "--dtype": "float32", "--rounds": "1"}
    assert text["tokens"] == sum(clap.LENGTHS) == 57 * 10 + 34


def test_what_is_no_pair_of_towers_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="unknown audio-text net 'amaut_tiny'"):
        benchmark(a_run(what=["clap"], net=["amaut_tiny"]))
    with pytest.raises(ValueError, match="expected it alone"):
        benchmark(a_run(what=["clap", "forward"], net=["clap_test"]))
    monkeypatch.setattr(clap, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="torch is not installed here"):
        benchmark(a_run(what=["clap"], net=["clap_test"], vs_torch=True))
    assert pytorch.COMPARED == ("forward", "adapt")
