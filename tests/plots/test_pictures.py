"""The PNG of sampled pictures, read back by another library."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.image import imread
from numpy.typing import NDArray

from zoo.plots import pictures
from zoo.plots.pictures import png_grid

GREY = np.float64(128 / 255)


def read(content: bytes) -> NDArray[np.float64]:
    """Red, green and blue of each pixel, in 0..1: shape (H, W, 3)."""
    return np.asarray(imread(io.BytesIO(content), format="png"), np.float64)


def noise(*shape: int) -> NDArray[np.float64]:
    return np.random.default_rng(1).integers(0, 256, shape) / 255


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 9, 10])
@pytest.mark.parametrize("colored", [False, True])
@pytest.mark.parametrize(("height", "width"), [(64, 64), (70, 65), (64, 100)])
def test_each_picture_is_in_its_place_to_the_pixel(count: int, colored: bool, height: int, width: int) -> None:
    made = noise(count, *([3] * colored), height, width)
    grid = read(png_grid(made))
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    assert grid.shape == (rows * (height + 2) - 2, columns * (width + 2) - 2, 3)
    outside = np.ones(grid.shape[:2], bool)
    for number, picture in enumerate(made):
        top, left = number // columns * (height + 2), number % columns * (width + 2)
        place = (slice(top, top + height), slice(left, left + width))
        expected = picture.transpose(1, 2, 0) if colored else np.repeat(picture[:, :, None], 3, 2)
        assert np.abs(grid[place] - expected).max() < 1e-6
        outside[place] = False
    assert np.abs(grid[outside] - GREY).max(initial=0) < 1e-6


@pytest.mark.parametrize(("height", "width", "factor"), [(1, 1, 64), (5, 7, 13), (28, 28, 3), (63, 200, 2), (64, 9, 8)])
def test_small_pictures_are_enlarged_by_a_whole_factor(height: int, width: int, factor: int) -> None:
    made = noise(1, height, width)
    found = read(png_grid(made))[..., 0]
    assert np.abs(found - made[0].repeat(factor, 0).repeat(factor, 1)).max() < 1e-6


def test_a_large_grid_is_not_enlarged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "_MOST", 100)
    assert read(png_grid(noise(4, 5, 5))).shape == (12, 12, 3)


def test_the_same_pictures_give_the_same_bytes() -> None:
    assert png_grid(noise(3, 8, 8)) == png_grid(noise(3, 8, 8))
