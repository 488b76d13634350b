"""Position tables for other grids, the published mistakes of the cut, and heads that stay or start afresh."""

import jax
import numpy as np
import pytest

from dhauds_jax.nets import zoo
from dhauds_jax.nets.spectrogram_transfer import CUTS, fit_grid, fit_positions, for_clips
from dhauds_jax.nets.spectrogram_zoo import config_grid

CLASSES = ("a", "b", "c")
REFERENCE, CORRECTED = CUTS["reference"], CUTS["corrected"]


def table(rows, columns, width=3):
    return np.random.default_rng(0).standard_normal((rows, columns, width)).astype(np.float32)


def resized(grid, rows, columns):
    """PyTorch's bilinear interpolation."""
    torch = pytest.importorskip("torch", reason="the PyTorch side")
    image = torch.from_numpy(grid).permute(2, 0, 1)[None]
    return torch.nn.functional.interpolate(image, size=(rows, columns), mode="bilinear")[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("size", [(12, 101), (12, 64), (8, 200), (13, 65), (24, 64)])
def test_interpolation_is_pytorchs(size):
    grid = table(8, 64)
    np.testing.assert_allclose(fit_grid(grid, *size, CORRECTED), resized(grid, *size), atol=1e-6)
    np.testing.assert_allclose(fit_grid(grid, *size, REFERENCE), resized(grid, *size), atol=1e-6)


def test_bilinear_by_hand():
    """2 to 4: the new centres lie at -1/4 (held at 0), 1/4, 3/4 and 5/4 (held at the last)."""
    grid = np.array([[[0.0], [4.0]]], np.float32)
    np.testing.assert_allclose(fit_grid(grid, 1, 4, CORRECTED)[0, :, 0], [0.0, 1.0, 3.0, 4.0])


def test_the_middle_is_cut_out():
    grid = table(12, 101)
    np.testing.assert_array_equal(fit_grid(grid, 12, 12, CORRECTED), grid[:, 44:56])
    np.testing.assert_array_equal(fit_grid(grid, 12, 19, CORRECTED), grid[:, 41:60])
    np.testing.assert_array_equal(fit_grid(grid, 5, 101, CORRECTED), grid[4:9])


def test_s2_eight_rows_whatever_the_table_had():
    """A table of 64 bins (4 rows) goes through 8 rows in the reference, straight in the corrected profile."""
    grid = table(4, 64)
    through = resized(resized(grid, 8, 101), 5, 101)
    straight = resized(grid, 5, 101)
    np.testing.assert_allclose(fit_grid(grid, 5, 101, REFERENCE), through, atol=1e-6)
    np.testing.assert_allclose(fit_grid(grid, 5, 101, CORRECTED), straight, atol=1e-6)
    assert np.abs(through - straight).max() > 0.1
    frames = table(1, 512)  # one row survives the detour
    np.testing.assert_allclose(fit_grid(frames, 1, 600, REFERENCE), resized(frames, 1, 600), atol=1e-6)


def test_s3_by_hand_on_a_clip_of_64_bins():
    """64 bins and 128 frames at stride 10 are 5 x 12 patches; pretraining had 8 x 64.

    Columns: 64 // 2 - 12 // 2 = 26, so 26 to 37. Rows: 8 // 2 - 5 // 2 = 2, so 2 to 6 are right; the reference ends
    at 2 + 12 columns, beyond the table, so it takes 2 to 7: six rows, 72 positions for 60 patches.
    """
    config = zoo.preset("ssast_tiny_patch_sc2")
    assert config_grid(config.replace(front_end={**config.front_end, "n_mels": 64})) == (5, 12)
    grid = table(8, 64)
    np.testing.assert_array_equal(fit_grid(grid, 5, 12, CORRECTED), grid[2:7, 26:38])
    np.testing.assert_array_equal(fit_grid(grid, 5, 12, REFERENCE), grid[2:8, 26:38])
    whole = np.concatenate([np.zeros((2, 3), np.float32), grid.reshape(-1, 3)])
    assert fit_positions(whole, 2, (8, 64), (5, 12), CORRECTED).shape == (62, 3)
    with pytest.raises(ValueError, match=r"cuts 6 rows of frequency out of 8 where the clip has 5 .*'corrected'"):
        fit_positions(whole, 2, (8, 64), (5, 12), REFERENCE)
    # With as many columns as rows the mistake does nothing.
    np.testing.assert_array_equal(fit_grid(grid, 5, 5, REFERENCE), fit_grid(grid, 5, 5, CORRECTED))


def test_head_stays_for_the_same_classes_alone():
    config = zoo.preset("ssast_test", CLASSES)
    shapes = zoo.shapes(zoo.build(config))
    variables = jax.tree.map(lambda leaf: np.full(leaf.shape, 0.5, np.float32), shapes)
    same = for_clips(variables, config, config.replace(length=8000), jax.random.key(0))
    assert same["params"]["encoder"]["positions"].shape == (2 + 5 * 7, 16)
    np.testing.assert_array_equal(same["params"]["encoder"]["positions"], 0.5)
    np.testing.assert_array_equal(same["params"]["head"]["classifier"]["kernel"], 0.5)
    for classes in (("a", "c", "b"), ("a", "b", "c", "d")):
        other = for_clips(variables, config, config.replace(classes=classes), jax.random.key(0))
        assert other["params"]["head"]["classifier"]["kernel"].shape == (16, len(classes))
        assert np.abs(other["params"]["head"]["classifier"]["kernel"]).max() <= 0.25
        np.testing.assert_array_equal(other["params"]["head"]["layer_norm"]["scale"], 1)


def test_what_does_not_fit_is_named():
    config = zoo.preset("ssast_test", CLASSES)
    variables = {"params": {"encoder": {}}}
    wider = config.replace(geometry={**config.geometry, "width": 32, "mlp": 128})
    with pytest.raises(ValueError, match="width 32 there and 16 here; mlp 128 there and 64 here"):
        for_clips(variables, wider, config, jax.random.key(0))
    with pytest.raises(ValueError, match="'amaut_tiny' is of family 'amaut', expected 'spectrogram_transformer'"):
        for_clips(variables, zoo.preset("amaut_tiny", CLASSES), config, jax.random.key(0))
    with pytest.raises(ValueError, match="profile is 'right', expected one of reference, corrected"):
        for_clips(variables, config, config, jax.random.key(0), "right")
