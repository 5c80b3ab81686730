"""Pictures that a model made, as one PNG: a grid of them.

The format of W3C, "Portable Network Graphics (PNG) Specification (Third Edition)" (2025), https://www.w3.org/TR/png-3/,
needs the standard library's zlib only: matplotlib takes half a second to import, and resamples what it draws.

Axes: N pictures, H rows and W columns of pixels.
"""

from __future__ import annotations

import math
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

_GAP = 2  # pixels between pictures
_SHADE = 128  # of the gaps and of empty places, so that black and white pictures end visibly
_LEAST = 64  # pixels of the shorter side of a picture: smaller ones are enlarged by a whole factor
_MOST = 1 << 26  # pixels of a grid; with more, nothing is enlarged
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_RGB = 2  # a color type


def png_grid(pictures: NDArray[Any]) -> bytes:
    """The content of a PNG file with all pictures, in rows from the left: about as many rows as columns.

    Args:
        pictures: shape (N, H, W), grey, or (N, 3, H, W), red, green and blue; numbers in 0..1.
    """
    pixels = np.rint(np.asarray(pictures, np.float64) * 255).astype(np.uint8)
    if pixels.ndim == 3:
        pixels = np.repeat(pixels[:, None], 3, axis=1)
    pixels = pixels.transpose(0, 2, 3, 1)  # (N, H, W, 3)
    n, height, width = pixels.shape[:3]
    factor = max(1, -(-_LEAST // min(height, width)))
    if n * height * width * factor**2 <= _MOST:
        pixels = pixels.repeat(factor, axis=1).repeat(factor, axis=2)
    return _encode(_grid(pixels))


def _grid(pixels: NDArray[Any]) -> NDArray[Any]:
    """Pictures (N, H, W, 3) beside and below each other: (rows of pixels, columns, 3)."""
    n, height, width = pixels.shape[:3]
    columns = math.ceil(math.sqrt(n))
    rows = -(-n // columns)
    grid = np.full((rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 3), _SHADE, np.uint8)
    for number, picture in enumerate(pixels):
        top, left = number // columns * (height + _GAP), number % columns * (width + _GAP)
        grid[top : top + height, left : left + width] = picture
    return grid


def _encode(pixels: NDArray[Any]) -> bytes:
    """Pixels (H, W, 3) of 8 bits as a PNG file."""
    height, width = pixels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 8, _RGB, 0, 0, 0)
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)  # 0: no filter
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 6)), (b"IEND", b""))
    return _SIGNATURE + b"".join(map(_chunk, *zip(*chunks, strict=True)))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
