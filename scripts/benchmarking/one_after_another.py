"""The same runs as a sweep's members, one after another in one process.

    python one_after_another.py WORDS OUT MEMBERS STEPS

The data is read once, and each run has the seed of its member. This is the fastest loop that a person can write.
"""

from __future__ import annotations

import sys
from pathlib import Path

import zoo


def main() -> None:
    words, out, members, steps = sys.argv[1:]
    data = zoo.load_dataset(words)
    for seed in range(1, int(members) + 1):
        zoo.run(
            "mlp-char",
            dataset=data,
            steps=int(steps),
            engine="fused",
            device="cpu",
            threads=1,
            seed=seed,
            init_seed=seed,
            plots=False,
            out=Path(out) / str(seed),
        )


if __name__ == "__main__":
    main()
