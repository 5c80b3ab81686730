"""How the sections of a report write numbers, characters and pictures."""

from __future__ import annotations

import base64
import math
from typing import Any

from torch import Tensor
from torch.nn import functional

from zoo.plots.pictures import png_grid
from zoo.reports.characters import labels_of
from zoo.text import visible

(SPACE,) = labels_of(" ")
_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_LARGE = 1e7  # numbers from here on are written as 1.23e+07
_LONGEST = 40  # characters of a name
_LEAST, _MOST = 4, 512  # pixels on each side of what is taken for a picture
_LARGEST = 64  # pixels on each side of a picture in a table


def sign(character: str) -> str:
    """A character, or a token of a tokenizer, that stands alone: spaces and line ends can be seen.

    Token 0 of running text, which stands before a text only, is written as nothing: `start` here.
    """
    return "".join(labels_of(_shortened(character) or [""]))


def label(name: str) -> str:
    """The name of a class or a column, as it can be shown."""
    return visible(_shortened(name)) if name.strip() else sign(name)


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def percent(share: float) -> str:
    """A share in 0..1: `23 %`, `0.4 %`; `0 %` and `100 %` are exact."""
    if 0 < share < 0.001:
        return "< 0.1 %"
    if 0.999 < share < 1:
        return "> 99.9 %"
    return f"{100 * share:.1f} %" if 0 < share < 0.1 or 0.99 < share < 1 else f"{100 * share:.0f} %"


def one_in(log_probability: float) -> str:
    """A probability, given as its natural logarithm: `1 in 5,210`, `1 in 3.2 × 10⁹`."""
    exponent = -log_probability / math.log(10)
    if exponent < 6:
        times = 10**exponent
        return f"1 in {times:,.1f}" if times < 10 else f"1 in {times:,.0f}"
    whole = math.floor(exponent)
    return f"1 in {10 ** (exponent - whole):.1f} × 10{str(whole).translate(_SUPERSCRIPTS)}"


def number(value: float, digits: int = 3) -> str:
    """A number with so many digits: `0.123`, `1,234`, `-4.5e-05`."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "infinite"
    return f"{value:,.0f}" if 10 ** (digits - 1) <= abs(value) < _LARGE else f"{value:.{digits}g}"


def is_pictures(x: Tensor) -> bool:
    """Whether inputs (N, ...) can be pictures: (N, H, W) or (N, C, H, W) with 1 or 3 channels, of such sizes."""
    sizes = x.shape[-2:]
    channels = x.ndim == 3 or (x.ndim == 4 and x.shape[1] in (1, 3))
    return channels and all(_LEAST <= size <= _MOST for size in sizes) and not x.is_complex()


def picture_urls(x: Tensor) -> list[str]:
    """Each picture as a `data:` URL of a PNG. The least number of all is black, the largest white.

    Args:
        x: shape (N, H, W), (N, 1, H, W) or (N, 3, H, W).
    """
    x = x.float().view(len(x), -1, *x.shape[-2:])  # (N, C, H, W)
    if max(x.shape[-2:]) > _LARGEST:
        height, width = (max(1, round(size * _LARGEST / max(x.shape[-2:]))) for size in x.shape[-2:])
        x = functional.adaptive_avg_pool2d(x, (height, width))
    low, high = x.min(), x.max()
    x = (x - low) / (high - low).clamp(min=1e-12)
    return [png_url(png_grid((one if len(one) == 3 else one[0])[None].numpy())) for one in x]


def png_url(png: bytes) -> str:
    """The content of a PNG file as a `data:` URL."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def plural(count: int, one: str, many: str | None = None) -> str:
    """`1 word`, `2,000 words`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def numbers_text(values: Any, most: int = 4) -> str:
    """The first of some numbers, as a list: `0.1, 2, … (784 numbers)`."""
    flat = values.flatten().tolist()
    listed = ", ".join(number(float(value), 4) for value in flat[:most])
    return listed if len(flat) <= most else f"{listed}, … ({len(flat):,} numbers)"
