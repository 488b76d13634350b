"""Digests of some rows, without a copy of them; of our own code."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from dhauds_jax import digests


def test_rows_have_the_digest_of_their_copy():
    array = np.arange(60, dtype=np.float32).reshape(5, 4, 3)
    for rows in ([0, 1, 2, 3, 4], [3, 1], [2, 2], []):
        rows = np.array(rows, int)
        assert digests.of_rows(array, rows) == digests.of_arrays(array[rows])
        assert digests.of_rows(array[:, :, ::2], rows) == digests.of_arrays(array[rows][:, :, ::2])


def test_code_is_named_by_what_its_files_hold_and_where_they_lie(tmp_path, monkeypatch):
    here = Path(digests.__file__).parent
    of = lambda *places: digests.of_code.__wrapped__(*places)  # noqa: E731
    as_it_is = of("dsp", "model/taps.py")
    assert as_it_is == of("model/taps.py", "dsp") != of("dsp") and len(as_it_is) == digests.DIGITS
    for place in ("dsp", "model"):
        shutil.copytree(here / place, tmp_path / place, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(digests, "__file__", str(tmp_path / "digests.py"))
    assert of("dsp", "model/taps.py") == as_it_is
    (tmp_path / "model" / "passes.py").write_text("")
    assert of("dsp", "model/taps.py") == as_it_is
    (tmp_path / "dsp" / "mel.py").rename(tmp_path / "dsp" / "mels.py")
    moved = of("dsp", "model/taps.py")
    with (tmp_path / "dsp" / "mels.py").open("a") as file:
        file.write("MORE = 1\n")
    assert len({as_it_is, moved, of("dsp", "model/taps.py")}) == 3
    with pytest.raises(FileNotFoundError, match="the package has no dps"):
        of("dps")
