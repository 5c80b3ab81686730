"""The global random number generators that a plugin's code may draw from when it is called once.

A constructor or a dataset's function that draws from one of them would give another result in each process: a loaded
model would not be the one that was trained, and a run's data would not be found again.
"""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def seeded_draws(seed: int) -> Iterator[None]:
    """Seed the global generators of Python, NumPy and torch (on the CPU) for a block, and put them back.

    A library that is not imported yet is left alone: the block need not be slower for it.
    """
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    python_state = random.getstate()
    numpy_state = numpy.random.get_state() if numpy is not None else None
    torch_state = torch.get_rng_state() if torch is not None else None
    try:
        random.seed(seed)
        if numpy is not None:
            numpy.random.seed(seed % 2**32)
        if torch is not None:
            torch.default_generator.manual_seed(seed)  # not torch.manual_seed, which seeds every CUDA device too
        yield
    finally:
        random.setstate(python_state)
        if numpy is not None:
            numpy.random.set_state(numpy_state)
        if torch is not None:
            torch.set_rng_state(torch_state)
