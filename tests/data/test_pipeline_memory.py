"""A streamed set takes no more memory with every pass, looked at in a process of its own."""

import json
import os
import subprocess
import sys

import pytest

_STREAM_SCRIPT = """
import ctypes, gc, json, pathlib, sys
import jax
from dhauds_jax.data import pipeline
from dhauds_jax.benchmark.pipeline import make_set, resident_mb

folder, clips = pathlib.Path(sys.argv[1]), int(sys.argv[2])
(folder / "few").mkdir(), (folder / "many").mkdir()

def opened(name, count):
    made = make_set(folder / name, count, 160_000)
    options = {"sample_rate": 16_000, "width": 160_000, "progress": False}
    return pipeline.open_split(made, None, "train", budget_mb=1, cache_dir=folder / "cache", **options)

def held_mb():
    # What the process holds, once Python and the allocator have given back what nothing uses.
    gc.collect()
    if hasattr(ctypes.CDLL(None), "malloc_trim"):  # glibc keeps freed pages, how many depends on the machine's load
        ctypes.CDLL(None).malloc_trim(0)
    return resident_mb()

def passes(source, count):
    for number in range(count):
        order = pipeline.epoch_order(jax.random.key(0), len(source.ids), number)
        for step, batch in enumerate(pipeline.to_device(pipeline.batches(source, order, 2))):
            jax.block_until_ready(pipeline.to_float(batch.wave))
            if step % 32 == 0:
                points.append(held_mb())

points = []
passes(opened("few", 24), 2)  # everything imported, compiled and allocated that a stream needs
points = [held_mb()]
many = opened("many", clips)
points.append(held_mb())
passes(many, 2)
print(json.dumps(points))
"""


@pytest.mark.slow
def test_memory_stays_flat_while_a_set_beyond_the_budget_is_prepared_and_streamed(tmp_path):
    clips = 400
    whole_set = clips * 160_000 * 2 / 2**20  # 122 MiB as int16, 122 times the budget
    command = [sys.executable, "-c", _STREAM_SCRIPT, str(tmp_path), str(clips)]
    # One arena: else the allocator keeps some freed batches for each thread, how many depends on the machine's load.
    environment = {**os.environ, "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    points = json.loads(done.stdout)  # MiB
    assert len(points) == 2 + 2 * 7
    # What keeps the clips it has streamed grows by the whole set in each of the two passes, as float32 by twice that.
    # Batches of two keep small what is under way while a point is taken: 16 MiB at the most, with a loaded machine too.
    assert max(points) - points[0] < whole_set / 2
    assert max(points[-7:]) - min(points[-7:]) < whole_set / 4
