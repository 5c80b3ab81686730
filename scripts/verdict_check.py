"""Whether verdicts err as often as they say, over comparisons drawn from a population of runs that is trained here.

    python scripts/verdict_check.py [--seeds 400] [--steps 1000] [--lr 0.1] [--comparisons 1000] [--sweep DIR]

mlp-char is trained on the bundled names with each seed, and the validation losses of its runs are compared with each
other: as two settings, which are equal, with 16 seeds and with seeds added until it is decided; as four settings; and
with one standard deviation of the paired differences added to one of two. `--sweep` takes the losses of a sweep that is
there. The exit code is 1 if a share is not where it must be.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import zoo
from zoo.options.sweep import FIRST_TEST, MOST_SEEDS
from zoo.sweeps.sheet import SHEET_FILE, read_sheet
from zoo.verdicts.interim import plan
from zoo.verdicts.populations import Measure, Population
from zoo.verdicts.verdict import decide

Losses = NDArray[np.float64]  # (settings, seeds)

SEEDS = 16
LOSS = Measure()


def main(argv: list[str] | None = None) -> int:
    """Train, compare, and print a row for each kind of comparison; the exit code."""
    args = _parse(argv)
    with tempfile.TemporaryDirectory() as folder:
        path = args.sweep or _trained(args, Path(folder) / "sweep")
        losses = np.array([row.losses["val"] for row in read_sheet(path / SHEET_FILE) if row.losses])
    if len(losses) < 2 * MOST_SEEDS:
        print(f"{len(losses)} runs are finished, and at least {2 * MOST_SEEDS} are needed", file=sys.stderr)
        return 1
    print(_described(losses))
    wrong = False
    for what, least, most, find in _kinds(losses):
        generator, start = np.random.Generator(np.random.PCG64(17)), time.perf_counter()
        share = sum(find(generator) for _ in range(args.comparisons)) / args.comparisons
        fits = least <= share <= most
        wrong |= not fits
        bounds = f"{100 * least:g} to {100 * most:g} %"
        seconds = time.perf_counter() - start
        print(
            f"{100 * share:5.1f} %   {bounds:>12}   {'' if fits else 'NOT '}as it must be   {what}   ({seconds:.0f} s)"
        )
    return int(wrong)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=400, metavar="N", help="runs in the population")
    parser.add_argument("--steps", type=int, default=1000, metavar="N", help="of each run")
    parser.add_argument("--lr", type=float, default=0.1, metavar="X", help="of each run")
    parser.add_argument("--comparisons", type=int, default=1000, metavar="N", help="of each kind")
    parser.add_argument("--sweep", type=Path, metavar="DIR", help="a sweep of one setting, in place of training one")
    return parser.parse_args(argv)


def _trained(args: argparse.Namespace, path: Path) -> Path:
    zoo.sweep("mlp-char", dataset="names-ssa-2018", seeds=args.seeds, steps=args.steps, lr=args.lr, out=path)
    return path


def _described(losses: Losses) -> str:
    standard = (losses - losses.mean()) / losses.std(ddof=1)
    return (
        f"{len(losses)} runs: mean {losses.mean():.4f}, standard deviation {losses.std(ddof=1):.4f}, "
        f"skewness {np.mean(standard**3):.2f}, kurtosis {np.mean(standard**4):.2f}\n"
    )


def _kinds(losses: Losses) -> list[tuple[str, float, float, Callable[[np.random.Generator], bool]]]:
    """What is compared, the least and the most share of differences that may be found, and one comparison."""

    def drawn(generator: np.random.Generator, settings: int, seeds: int) -> Losses:
        return generator.choice(losses, (settings, seeds), replace=False)

    def with_difference(generator: np.random.Generator) -> Losses:
        found = drawn(generator, 2, SEEDS)
        found[1] += np.sqrt(2) * losses.std(ddof=1)  # the standard deviation of the difference of two runs
        return found

    return [
        (f"a setting and itself, {SEEDS} seeds", 0.03, 0.07, lambda one: finds(drawn(one, 2, SEEDS))),
        ("four equal settings, 8 seeds: any difference", 0.01, 0.07, lambda one: finds(drawn(one, 4, 8))),
        (
            f"a setting and itself, seeds added up to {MOST_SEEDS} until it is decided",
            *(0.03, 0.07, lambda one: finds_while_seeds_are_added(drawn(one, 2, MOST_SEEDS))),
        ),
        (f"a difference of one standard deviation, {SEEDS} seeds", 0.9, 1.0, lambda one: finds(with_difference(one))),
    ]


def finds(losses: Losses, interim: tuple[int, ...] = ()) -> bool:
    """Whether any difference between settings is called more than luck."""
    settings = [Population(f"{i}", dict(enumerate(map(float, one), 1))) for i, one in enumerate(losses)]
    return any(one.is_shown for one in decide(settings, LOSS, interim=interim).comparisons)


def finds_while_seeds_are_added(losses: Losses) -> bool:
    """Whether it is at any of the tests that `--until-decided` plans."""
    tests = plan(losses.shape[1], FIRST_TEST)
    return any(finds(losses[:, :size], tests) for size in tests)


if __name__ == "__main__":
    sys.exit(main())
