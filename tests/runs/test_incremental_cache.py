"""The cache of what is read: in memory up to its budget, then files, of which none is trusted that is not whole."""

import json

import numpy as np
import pytest

from dhauds_jax.runs.incremental_cache import Cache

KNOWN = {"weights": "abc", "clips": "def"}
SHAPE = (16, 8)
NUMBERS = np.arange(128, dtype=np.float32).reshape(SHAPE)


def fill(out):
    out[:] = NUMBERS


def of(folder, known=KNOWN, budget_mb=1.0, always=True):
    cache = Cache(budget_mb, folder, always)
    return cache, cache.of(known, SHAPE, fill)


def test_in_memory_it_is_filled_once(tmp_path):
    cache, found = of(tmp_path, always=False)
    assert np.array_equal(found, NUMBERS)
    assert cache.of(KNOWN, SHAPE, fill) is found
    assert cache.made == 1 and not list(tmp_path.iterdir())


def test_what_does_not_fit_lies_in_a_file(tmp_path):
    cache, found = of(tmp_path, budget_mb=1e-5, always=False)
    assert isinstance(found, np.memmap) and np.array_equal(found, NUMBERS)
    assert cache.made == 1
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".npy"]


def test_the_budget_is_of_all_arrays_together(tmp_path):
    cache = Cache(600 / 2**20, tmp_path, False)  # one of 512 bytes fits
    first, second = (cache.of({**KNOWN, "k": k}, SHAPE, fill) for k in range(2))
    assert not isinstance(first, np.memmap) and isinstance(second, np.memmap)
    cache.drop({**KNOWN, "k": 0})
    assert not isinstance(cache.of({**KNOWN, "k": 2}, SHAPE, fill), np.memmap)


def test_what_another_run_fills_meanwhile_harms_nothing(tmp_path):
    """Two runs share a folder: the second finds no manifest yet and fills the same array, the first reads on."""
    _, first = of(tmp_path, budget_mb=1e-5)
    next(tmp_path.glob("*.json")).unlink()
    seen = []

    def filling(out):
        seen.append(np.array_equal(first, NUMBERS))
        fill(out)

    second = Cache(1e-5, tmp_path, True).of(KNOWN, SHAPE, filling)
    assert seen == [True] and np.array_equal(first, NUMBERS) and np.array_equal(second, NUMBERS)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".npy"]
    assert of(tmp_path)[0].made == 0


def test_a_fill_that_fails_leaves_nothing(tmp_path):
    def failing(out):
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        Cache(1.0, tmp_path, True).of(KNOWN, SHAPE, failing)
    assert not list(tmp_path.iterdir())


def test_what_is_let_go_leaves_no_file(tmp_path):
    cache, _ = of(tmp_path, budget_mb=1e-5)
    cache.drop(KNOWN)
    assert not list(tmp_path.iterdir())
    cache.of(KNOWN, SHAPE, fill)
    assert cache.made == 2


def test_the_next_command_finds_it(tmp_path):
    of(tmp_path)
    cache, found = of(tmp_path)
    assert cache.made == 0 and np.array_equal(found, NUMBERS)


def flipped(path):
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def foreign(path):
    about = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps({**about, "known": {**KNOWN, "weights": "other"}}))


def torn(path):
    path.with_suffix(".json").write_text("{")


@pytest.mark.parametrize(
    ("harm", "word"), [(flipped, "is damaged"), (cut, "is damaged"), (torn, "is damaged"), (foreign, "other weights")]
)
def test_a_damaged_or_foreign_file_is_made_anew(harm, word, tmp_path, capsys):
    of(tmp_path)
    harm(next(tmp_path.glob("*.npy")))
    cache, found = of(tmp_path)
    assert cache.made == 1 and np.array_equal(found, NUMBERS)
    assert word in capsys.readouterr().out
    assert of(tmp_path)[0].made == 0


def test_other_weights_have_a_file_of_their_own(tmp_path):
    of(tmp_path)
    assert of(tmp_path, {**KNOWN, "weights": "other"})[0].made == 1
    assert len(list(tmp_path.glob("*.npy"))) == 2
