"""Running text of any size, the same each time, for what is measured over the size of a text."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

MEGABYTE = 10**6


def make_text(path: Path, megabytes: float) -> None:
    """Write so many megabytes of lines of words of random length, in ASCII, as if the file were a minute old.

    A file that was changed just now is read again by zoo, in case that it changes again.
    """
    draw = random.Random(megabytes)
    words = ["".join(draw.choices("etaoinshrdlucmfwypvbgkjqxzETAOINS", k=draw.randint(1, 9))) for _ in range(5000)]
    ends = [" "] * 8 + [", ", ".\n"]
    part = "".join(word + draw.choice(ends) for _ in range(40) for word in draw.sample(words, len(words)))
    size = int(megabytes * MEGABYTE)
    with path.open("wb") as file:
        for number in range(size // len(part) + 1):
            file.write(f"{number}\n{part}".encode()[: size - file.tell()])
    settled = time.time() - 60
    os.utime(path, (settled, settled))
