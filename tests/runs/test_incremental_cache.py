"""The cache of what is read, clip by clip: in memory up to its budget, then files, of which none is trusted that is not
whole.
"""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from dhauds_jax.runs.incremental_cache import BLOCK_BYTES, Cache, whole

KNOWN = {"weights": "abc", "net": {"width": 8}}
CLIPS = [f"clip{number}" for number in range(16)]
SHAPE = (8,)
NUMBERS = np.arange(128, dtype=np.float32).reshape(16, 8)
EVERY = np.arange(16)


class Network:
    """Gives row k of `NUMBERS` of clip k, and remembers which it was asked for."""

    def __init__(self):
        self.asked = []

    def of(self, clips):
        def fill(rows, out, tick):
            self.asked.append([clips[row] for row in rows])
            out[:] = NUMBERS[[CLIPS.index(clips[row]) for row in rows]]
            tick()

        return fill


def of(folder, known=KNOWN, budget_mb=1.0, always=True, clips=CLIPS, **more):
    cache, network = Cache(budget_mb, folder, always, **more), Network()
    return cache, network, cache.of(known, clips, SHAPE, network.of(clips))


def files(folder):
    return sorted(path.suffix for path in folder.rglob("*") if path.is_file())


def in_file(found):
    return [isinstance(array, np.memmap) for array in found.arrays]


def test_in_memory_it_is_read_once(tmp_path):
    cache, network, found = of(tmp_path, always=False)
    assert np.array_equal(found.take(EVERY), NUMBERS) and found.take(EVERY[3:5]).dtype == np.float32
    again = cache.of(KNOWN, CLIPS[::-1], SHAPE, network.of(CLIPS[::-1]))
    assert np.array_equal(again.take(EVERY), NUMBERS[::-1])
    assert network.asked == [CLIPS] and cache.made == 16 and not list(tmp_path.iterdir())


def test_another_seed_reads_its_own_clips_alone(tmp_path):
    _, network, _ = of(tmp_path, clips=CLIPS[:10])
    cache, network, found = of(tmp_path, clips=[*CLIPS[12:4:-1], "clip0"])
    assert network.asked == [["clip12", "clip11", "clip10"]] and cache.made == 3
    assert np.array_equal(found.take(np.arange(9)), NUMBERS[[12, 11, 10, 9, 8, 7, 6, 5, 0]])
    assert of(tmp_path, clips=CLIPS[:13])[0].made == 0


def test_clips_that_hold_the_same_are_read_once(tmp_path):
    _, network, found = of(tmp_path, clips=["clip3", "clip4", "clip3"])
    assert [len(some) for some in network.asked] == [2]
    assert np.array_equal(found.take(np.arange(3)), NUMBERS[[3, 4, 3]])


def test_what_does_not_fit_lies_in_a_file(tmp_path):
    cache, _, found = of(tmp_path, budget_mb=1e-5, always=False)
    assert in_file(found) == [True] and np.array_equal(found.take(EVERY), NUMBERS)
    assert cache.made == 16 and files(tmp_path) == [".json", ".npy"]


def test_the_budget_is_of_all_blocks_together(tmp_path):
    cache = Cache(600 / 2**20, tmp_path, False)  # one of 512 bytes fits
    first, second = (cache.of({**KNOWN, "k": k}, CLIPS, SHAPE, Network().of(CLIPS)) for k in range(2))
    assert in_file(first) == [False] and in_file(second) == [True]
    cache.drop({**KNOWN, "k": 0})
    assert in_file(cache.of({**KNOWN, "k": 2}, CLIPS, SHAPE, Network().of(CLIPS))) == [False]


def test_blocks_hold_whole_batches_and_a_killed_run_keeps_those_it_has_read(tmp_path, monkeypatch):
    monkeypatch.setattr("dhauds_jax.runs.incremental_cache.BLOCK_BYTES", 7 * 32)  # seven clips

    def fill(rows, out, tick):
        if rows[0] == 12:
            raise KeyboardInterrupt
        Network().of(CLIPS)(rows, out, tick)

    with pytest.raises(KeyboardInterrupt):
        Cache(1.0, tmp_path, True, batch=3).of(KNOWN, CLIPS, SHAPE, fill)
    cache, network, found = of(tmp_path, batch=3)
    assert network.asked == [CLIPS[12:]] and cache.made == 4
    assert len(found.arrays) == 3 and np.array_equal(found.take(EVERY[::-1]), NUMBERS[::-1])
    assert BLOCK_BYTES == 2**25


def test_a_fill_that_fails_leaves_nothing(tmp_path):
    def failing(rows, out, tick):
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        Cache(1.0, tmp_path, True).of(KNOWN, CLIPS, SHAPE, failing)
    assert not list(tmp_path.iterdir())


def test_what_writers_that_are_no_more_left_behind_is_removed(tmp_path):
    of(tmp_path)
    (manifest,) = tmp_path.rglob("*.json")
    half, new = manifest.with_name("x.npy.tmp-a-1-0"), manifest.with_name("y.npy.tmp-b-2-0")
    alone = manifest.with_name("z.npy")
    for path in (half, new, alone):
        path.write_bytes(b"half")
    for path in (half, alone):
        os.utime(path, (0, 0))
    assert of(tmp_path)[0].made == 0
    assert (half.exists(), alone.exists(), new.exists()) == (False, False, True)


def test_two_runs_that_read_the_same_meanwhile_harm_nothing(tmp_path):
    """The second opened the folder before the first wrote into it."""
    second, network = Cache(1e-5, tmp_path, True), Network()
    second.of(KNOWN, CLIPS[:1], SHAPE, network.of(CLIPS[:1]))
    _, _, first = of(tmp_path, budget_mb=1e-5)
    found = second.of(KNOWN, CLIPS, SHAPE, network.of(CLIPS))
    assert np.array_equal(first.take(EVERY), NUMBERS) and np.array_equal(found.take(EVERY), NUMBERS)
    assert of(tmp_path)[0].made == 0


def test_what_is_let_go_leaves_no_file(tmp_path):
    cache, network, _ = of(tmp_path, budget_mb=1e-5)
    cache.drop(KNOWN)
    assert not files(tmp_path)
    cache.of(KNOWN, CLIPS, SHAPE, network.of(CLIPS))
    assert cache.made == 32


def flipped(manifest):
    path = manifest.with_suffix(".npy")
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def cut(manifest):
    path = manifest.with_suffix(".npy")
    path.write_bytes(path.read_bytes()[:-100])


def foreign(manifest):
    about = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**about, "known": {**KNOWN, "weights": "other"}}))


def exchanged(manifest):
    """Two clips that say they were the other."""
    about = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**about, "clips": [*about["clips"][1::-1], *about["clips"][2:]]}))


def torn(manifest):
    manifest.write_text("{")


@pytest.mark.parametrize(
    ("harm", "word"),
    [
        (flipped, "is damaged"),
        (cut, "is damaged"),
        (torn, "is damaged"),
        (exchanged, "is damaged"),
        (foreign, "other weights"),
    ],
)
def test_the_clips_of_a_damaged_or_foreign_file_are_read_anew(harm, word, tmp_path, capsys):
    for some in (CLIPS[:6], CLIPS[6:]):
        of(tmp_path, clips=some)
    (manifest,) = [path for path in tmp_path.rglob("*.json") if json.loads(path.read_text())["clips"][0] == "clip6"]
    harm(manifest)
    _, network, found = of(tmp_path)
    assert network.asked == [CLIPS[6:]] and np.array_equal(found.take(EVERY), NUMBERS)
    assert word in capsys.readouterr().out
    assert of(tmp_path)[0].made == 0


def test_other_weights_have_files_of_their_own(tmp_path):
    of(tmp_path)
    assert of(tmp_path, {**KNOWN, "weights": "other"})[0].made == 16
    assert len(files(tmp_path)) == 4


@pytest.mark.parametrize("budget_mb", [1.0, 1e-5])
def test_bfloat16_takes_half_the_room_and_moves_a_number_by_little(budget_mb, tmp_path, monkeypatch):
    numbers = np.random.default_rng(0).normal(size=NUMBERS.shape).astype(np.float32)
    monkeypatch.setitem(globals(), "NUMBERS", numbers)
    for always in (False, True, True):  # read now, read now and kept, found again: the same numbers
        found = of(tmp_path, budget_mb=budget_mb, always=always, dtype="bfloat16")[2]
        off = np.abs(found.take(EVERY) / numbers - 1)
        assert 2**-9 < off.max() <= 2**-8
        assert [array.nbytes for array in found.arrays] == [numbers.nbytes // 2]
    assert of(tmp_path)[0].made == 16  # float32 does not take what was rounded


PEAK = """
import resource, sys
import numpy as np
from dhauds_jax.runs import incremental_cache
incremental_cache.BLOCK_BYTES = 1 << 20
clips = [str(number) for number in range(1200)]
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
def fill(rows, out, tick):
    out[:] = 1.0
before = peak()
for always in (True, True):
    read = incremental_cache.Cache(8.0, sys.argv[1], always, "float32", 4).of({}, clips, (64, 256), fill)
    for number in range(0, 1200, 4):
        read.take(np.arange(number, number + 4))
print(peak() - before)
"""


@pytest.mark.slow
def test_what_lies_in_files_takes_no_memory(tmp_path):
    """75 MiB are written, found again, checked and looked at twice; 8 MiB may be held, and blocks are of 1 MiB."""
    done = subprocess.run([sys.executable, "-c", PEAK, str(tmp_path)], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 8 + 8 + 8  # of both caches, and what reading and writing take


def test_clips_of_which_nothing_was_read_are_not_given():
    some = whole(NUMBERS[:2]).placed(np.array([4, 1]), 6)
    assert np.array_equal(some.take(np.array([1, 4])), NUMBERS[[1, 0]])
    for clips in ([0], [1, 5]):
        with pytest.raises(IndexError):
            some.take(np.array(clips))
