"""Embeddings that the speech measurement keeps: other weights or waves never find those of others."""

from types import SimpleNamespace

import numpy as np

from benchmarks.zeroshot_speech import embedded


def model_of(weight):
    made = []

    def window_vectors(waves, size):
        made.append(size)
        return weight * waves[:, :2]

    return SimpleNamespace(variables={"params": {"w": np.float32([weight])}}, window_vectors=window_vectors), made


def test_other_weights_and_other_waves_are_embedded_again(tmp_path):
    waves, path = np.arange(6, dtype=np.float32).reshape(2, 3), tmp_path / "embeddings" / "rain-0-10dB.npy"
    one, made = model_of(1.0)
    np.testing.assert_array_equal(embedded(one, waves, path), waves[:, :2])
    np.testing.assert_array_equal(embedded(one, waves, path), waves[:, :2])
    assert made == [64]
    np.testing.assert_array_equal(embedded(model_of(2.0)[0], waves, path), 2 * waves[:, :2])
    np.testing.assert_array_equal(embedded(one, waves + 1, path), waves[:, :2] + 1)
    kept = sorted(file.name for file in path.parent.iterdir())
    assert len(kept) == 3 and all(name.startswith("rain-0-10dB-") and name.endswith(".npy") for name in kept)
