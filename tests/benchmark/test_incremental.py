"""Class-incremental sessions in the benchmark: forwards counted, what is timed, what stands beside it."""

import json
import subprocess
import sys

import jax
import pytest

from dhauds_jax.benchmark import incremental, programs
from dhauds_jax.benchmark.incremental import Shape, own_forwards, published_forwards
from dhauds_jax.errors import BadInput
from dhauds_jax.nets.spectrogram_transformer import SpectrogramTransformer
from dhauds_jax.runs.benchmark import benchmark, checked
from tests.benchmark.test_benchmark import a_run, rows_of

PUBLISHED = Shape(25, 100, 1)
SIZES = {"what": ["incremental"], "net": ["ssast_test"], "learner": ["ede", "ridge"], "classes": 10, "tests": 3}


def test_the_published_loop_runs_the_network_183_800_times():
    """Session by session as counted from its code (issue's F24): 140,500 of them are the log's."""
    counts = [published_forwards(Shape(5 * seen, 100, 1), 100) for seen in range(1, 6)]
    assert [b - a for a, b in zip([0, *counts], counts)] == [4_130, 27_630, 39_155, 50_680, 62_205]
    assert published_forwards(PUBLISHED, 100) == 183_800


def test_here_every_clip_is_run_once_or_twice():
    assert own_forwards(PUBLISHED) == 2_625 and own_forwards(PUBLISHED, 1) == 5_275 <= 5_400


def test_what_cannot_be_learnt_or_compared_is_refused(monkeypatch):
    def refused(message, **changes):
        with pytest.raises(BadInput, match=message):
            checked(a_run(**{**SIZES, **changes}))

    refused(r"--classes=12: come 5 a session, expected a multiple of 5", classes=12)
    refused(r"--what=incremental: .* expected it alone", what=["incremental", "forward"])
    refused(r"unknown learner 'edo'", learner=["edo"])
    refused(r"--seeds=0: expected", seeds=0)
    refused(r"learner ridge has no option 'epochs'", options=["ridge.epochs=3"])
    monkeypatch.setattr(incremental, "find_spec", lambda name: name)
    refused(r"PyTorch has the learner ede alone, expected it among", learner=["ridge"], vs_torch=True)
    refused(r"amaut_tiny is of family amaut, expected an AST or SSAST", net=["amaut_tiny"], vs_torch=True)
    monkeypatch.setattr(incremental, "find_spec", lambda name: None)
    refused(r"torch is not installed here", vs_torch=True)


FAKE = """
import json
for way, seconds in (("published", 30.0), ("cached", 3.0)):
    print(json.dumps(dict(way=way, seconds=seconds, forwards=1, device="cpu")))
"""


@pytest.mark.slow
def test_each_learner_is_timed_and_compared(tmp_path, monkeypatch, capsys):
    script = tmp_path / "torch_incremental.py"
    script.write_text(FAKE)
    monkeypatch.setattr(incremental, "SCRIPT", script)
    monkeypatch.setattr(incremental, "find_spec", lambda name: name)
    ede, ridge = rows_of(capsys, **SIZES, options=["ede.epochs=2"], rounds=1, batch=8, seeds=2, vs_torch=True)
    assert [row["learner"] for row in (ede, ridge)] == ["ede", "ridge"] and "torch_ways" not in ridge
    assert ede["vs_torch_published"] == pytest.approx(30 / ede["seconds"], rel=1e-4)
    for row in (ede, ridge):
        assert (row["batch"], row["forwards"], row["sessions"], row["seeds"]) == (80, 80, 2, 2)
        assert row["compilations"] == {"learn": 1, "predict": 1}
        assert row["seconds"] == pytest.approx(row["read_seconds"] + row["learn_seconds"], rel=1e-3)
        assert row["seeds_ratio"] == pytest.approx(row["alone_s"] / row["together_s"], rel=1e-3)


@pytest.fixture
def run(monkeypatch):
    """Clips of each call of an encoder, counted while it runs, one of `init` among them."""
    counts, embed = [], SpectrogramTransformer.embed

    def counting(self, features):
        jax.debug.callback(lambda: counts.append(len(features)))
        return embed(self, features)

    monkeypatch.setattr(SpectrogramTransformer, "embed", counting)

    def counted():
        jax.effects_barrier()
        return sum(counts) - 1

    return counted


@pytest.mark.slow
def test_every_clip_runs_through_the_network_once(capsys, run):
    (row,) = rows_of(capsys, **{**SIZES, "learner": ["ede"], "options": ["epochs=2"], "rounds": 2, "batch": 8})
    assert run() == 2 * row["forwards"] == 160  # to compile and to time; no round, session or epoch runs it again


@pytest.mark.slow
def test_a_learner_that_moves_the_network_reads_it_twice(capsys, run):
    asked = {**SIZES, "learner": ["ede"], "options": ["base_epochs=1", "epochs=2"], "rounds": 1, "batch": 8}
    (row,) = rows_of(capsys, **asked)
    trained = 25  # the first session's shots, for one epoch
    assert row["forwards"] == 2 * 80 + trained and run() == trained + 2 * (row["forwards"] - trained)
    assert row["published_forwards"] == published_forwards(Shape(10, 3, 1), 2)
    with pytest.raises(BadInput, match=r"--seeds=2: learner ede trains the network in its first session"):
        benchmark(a_run(**asked, seeds=2))


@pytest.mark.slow
def test_the_yardstick_runs_as_often_as_counted():
    pytest.importorskip("torch", reason="the PyTorch side")
    shape = Shape(10, 2, 1)
    net = programs.build("ssast_test", programs.Sizes(10, 8, 0.0, "float32", ()))
    done = subprocess.run(incremental.command(net, shape, 2), capture_output=True, text=True, check=True)
    published, cached = map(json.loads, done.stdout.splitlines())
    assert (published["way"], published["forwards"]) == ("published", published_forwards(shape, 2))
    assert (cached["way"], cached["forwards"]) == ("cached", own_forwards(shape))
    assert sys.executable in incremental.command(net, shape, 2)
