"""Train the weights that zoo ships: the preset `tuned` of every built-in model that has one, on the bundled names.

    python scripts/weights/make_weights.py [MODEL ...] [--jobs 2] [--into DIR] [--steps N]

Each model gets `NAME.safetensors`, which is the run's own file, `NAME.md`, its card, and `NAME.json`, the figures that
`zoo list` shows. They are put where the model's plugin ships them, or into DIR. To try the script out, `--steps` trains
for fewer, and then only into DIR.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from parallel_runs import SHUFFLED, Finished, RunFailedError, built_in, in_parallel, processor, train

from zoo.files import readable_json, write_bytes, write_text
from zoo.options.declaration import decided, filled
from zoo.plugin.registry import Entry
from zoo.plugin.specs import ModelSpec
from zoo.storage.shipped import bits, weights_path

PRESET = "tuned"
DATASET = "names-ssa-2018"
MOST_BYTES = 5_000_000  # of everything shipped together
SUFFIXES = (".safetensors", ".md", ".json")

_TABLE = re.compile(r"(?:^\|.*\n)+", re.MULTILINE)


def main(argv: Sequence[str] | None = None) -> int:
    """Make what is asked for; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", help="by default all that ship weights")
    parser.add_argument("--jobs", type=int, default=2, help="how many are trained at a time")
    parser.add_argument("--into", type=Path, metavar="DIR", help="another folder than the plugins' own")
    parser.add_argument("--steps", type=int, help="train for fewer steps, to try this script out")
    args = parser.parse_args(argv)
    known = shipping()
    if strangers := [name for name in args.models if name not in known]:
        parser.error(f"no such weights are shipped of {', '.join(strangers)}; of these they are: {', '.join(known)}")
    if args.steps is not None and args.into is None:
        parser.error("weights of fewer steps are not shipped: say --into DIR")
    targets = {name: target(entry, args.into) for name, entry in known.items()}
    wanted = longest_first([known[name] for name in dict.fromkeys(args.models) or known])
    with tempfile.TemporaryDirectory() as scratch:
        failed = make_all(wanted, targets, Path(scratch), args.jobs, args.steps)
    return report(targets, failed)


def shipping() -> dict[str, Entry[ModelSpec]]:
    """The built-in models whose spec names weights and that have the preset which these are trained with."""
    return {
        entry.spec.name: entry
        for entry in built_in().models
        if entry.spec.weights is not None and PRESET in entry.spec.presets
    }


def target(entry: Entry[ModelSpec], into: Path | None) -> Path:
    """The `.safetensors` file to write."""
    return weights_path(entry) if into is None else into / f"{entry.spec.name}.safetensors"


def longest_first(entries: Sequence[Entry[ModelSpec]]) -> list[Entry[ModelSpec]]:
    """By the examples that are trained on, so that no long run is left for the end."""

    def examples(entry: Entry[ModelSpec]) -> int:
        options = filled(entry.spec.presets[PRESET], entry.spec)
        return decided(options.steps) * decided(options.batch_size)

    return sorted(entries, key=examples, reverse=True)


def make_all(
    entries: Sequence[Entry[ModelSpec]], targets: dict[str, Path], scratch: Path, jobs: int, steps: int | None
) -> list[str]:
    """Train, and put each result in its place as it is done; the names of the models that failed."""
    failed = []
    options = ["--preset", PRESET, "--dataset", DATASET, *SHUFFLED]
    options += [] if steps is None else ["--steps", str(steps)]
    do = partial(_train, options=options, scratch=scratch)
    for entry, future in in_parallel(do, entries, jobs):
        name = entry.spec.name
        try:
            finished = future.result()
        except RunFailedError as error:
            print(error, file=sys.stderr)
            failed.append(name)
            continue
        ship(finished, targets[name])
        print(f"{name}: val {finished.metrics['losses']['val']:.4f} in {finished.metrics['seconds']['train']:.1f} s")
    return failed


def ship(run: Finished, weights: Path) -> None:
    """Write the weights of a run, their card and their figures."""
    weights.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(weights, (run.folder / "model.safetensors").read_bytes())
    write_text(weights.with_suffix(".md"), card(run))
    json_file = weights.with_suffix(".json")
    write_text(json_file, readable_json(figures(run) | _measured_before(json_file)))


def figures(run: Finished) -> dict[str, Any]:
    """What `zoo.storage.shipped` reads: the run's metrics without its folder, and what else is known."""
    metrics = {key: value for key, value in run.metrics.items() if key != "run_dir"}
    return {**metrics, "preset": run.config["training"]["preset"], "novel": run.novel}


def _measured_before(figures: Path) -> dict[str, Any]:
    """How much the loss varies with the seed, which new weights do not change."""
    known = json.loads(figures.read_text(encoding="utf-8")) if figures.is_file() else {}
    return {"over_seeds": known["over_seeds"]} if "over_seeds" in known else {}


def card(run: Finished) -> str:
    """The card of the run, with losses over unseen words, bits per character, and the weights' name when shipped."""
    name = run.metrics["model"]
    text = (run.folder / "README.md").read_text(encoding="utf-8")
    text = _TABLE.sub(lambda _: _losses(run), text, count=1)
    text = text.replace('zoo.load("model.safetensors")', f'zoo.load("{name}")  # or the path of the file')
    text = text.replace("model.safetensors", f"{name}.safetensors")
    command = f"`python scripts/weights/make_weights.py {name}`"
    again = f"{command}, in zoo's repository, makes the weights, this card and the figures. The weights alone:"
    text = text.replace("## Reproduce\n", f"## Reproduce\n\n{again}\n")
    return text + f"- training took {run.metrics['seconds']['train']:,.1f} s on one core: {processor()}\n"


def _train(entry: Entry[ModelSpec], options: Sequence[str], scratch: Path) -> Finished:
    return train(entry.spec.name, options, scratch / entry.spec.name)


def _losses(run: Finished) -> str:
    """The table of losses, as `zoo eval` has it."""
    counts, losses = run.metrics["dataset"]["examples"], run.metrics["losses"]
    rows = [_row(split, counts[split], losses[split]) for split in ("train", "val", "test")]
    counts, losses = run.novel["examples"], run.novel["losses"]
    rows += [_row(f"{split}, unseen words", counts[split], losses[split]) for split in ("val", "test")]
    return "\n".join(["| split | examples | loss (nats) | bits per character |", "|---|---|---|---|", *rows]) + "\n"


def _row(split: str, examples: int, loss: float) -> str:
    return f"| {split} | {examples:,} | {loss:.4f} | {bits(loss):.4f} |"


def report(targets: dict[str, Path], failed: Sequence[str]) -> int:
    """What there is now, its size, and what is amiss; the exit code."""
    sizes = {name: _size(path) for name, path in targets.items()}
    total = sum(sizes.values())
    print(f"\n{'model':<16}{'bytes':>12}")
    for name, size in sizes.items():
        print(f"{name:<16}{size:>12,}" if size else f"{name:<16}{'missing':>12}")
    print(f"{'together':<16}{total:>12,}  of {MOST_BYTES:,}")
    if failed:
        print(f"not made: {', '.join(failed)}", file=sys.stderr)
    if total > MOST_BYTES:
        print(f"the shipped weights are too large: {total:,} bytes, of {MOST_BYTES:,}", file=sys.stderr)
    return 1 if failed or total > MOST_BYTES else 0


def _size(weights: Path) -> int:
    """Bytes of a model's weights, card and figures."""
    files = [weights.with_suffix(suffix) for suffix in SUFFIXES]
    return sum(path.stat().st_size for path in files if path.is_file())


if __name__ == "__main__":
    sys.exit(main())
