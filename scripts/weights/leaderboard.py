"""Train every model again, from several seeds, on the lecture's split, and write the leaderboard of zoo_makemore.

    python scripts/weights/leaderboard.py --words names.txt [MODEL:PRESET ...] [--seeds 3] [--jobs 2]
                                          [--results leaderboard.jsonl] [--write] [--steps N]

names.txt is the lecture's, used instead of the download. Each run that ends adds a line to the results, and is not
repeated while its preset stays the same: a stopped script resumes where it was. `--write` puts the table into
plugins/zoo_makemore/README.md; it has the models named and all others that have results. Below the table stands which
rows are told apart from the next one, paired by seed. To try the script out, `--steps` trains for fewer.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import re
import shutil
import statistics
import sys
import tempfile
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parallel_runs import SHUFFLED, RunFailedError, built_in, in_parallel, processor, train

from zoo.errors import UsageError
from zoo.files import canonical_json, write_text
from zoo.options.run import RunOptions
from zoo.plugin.registry import Entry, Registry
from zoo.runs.plan import make_plan
from zoo.storage.shipped import bits
from zoo.verdicts.populations import Measure, Population
from zoo.verdicts.verdict import neighbours

README = Path(__file__).resolve().parents[2] / "plugins" / "zoo_makemore" / "README.md"
DATASET = "names"
MORE = (  # beside every `tuned`
    ("mlp-char", "lecture"),
    ("mlp-char", "speedrun"),
    ("ngram", "lecture"),
    ("lstm", "ensemble"),
)
PUBLISHED = {  # validation losses of others: of the lectures, and of makemore's own transformer
    ("mlp-char", "lecture"): "2.168",
    ("mlp-char", "tuned"): "2.103",
    ("mlp-bn", "tuned"): "2.105",
    ("wavenet", "tuned"): "1.9937",
    ("transformer", "tuned"): "about 1.92",
}
COLUMNS = (
    "model",
    "preset",
    "parameters",
    "seconds",
    "validation loss",
    "test loss",
    "validation, unseen words",
    "bits per character",
    "published",
)

_MARKED = re.compile(r"(<!-- leaderboard -->\n).*?(<!-- /leaderboard -->)", re.DOTALL)
_NO_MATTER = {  # to what is trained
    *("fallback", "device", "seed", "init_seed", "out", "plots", "offline"),
    *("named", "loggers", "log", "like", "prefers_engine", "prefers_precision"),
}


@dataclass(frozen=True)
class Contest:
    """A model with a preset, and what training it comes to.

    Attributes:
        plan: a digest of every choice: runs of equal plans differ in their seeds alone.
        examples: how many are trained on, over all steps.
    """

    model: str
    preset: str
    plan: str
    examples: int


@dataclass(frozen=True)
class Task:
    """One run of a contest."""

    contest: Contest
    seed: int


def main(argv: Sequence[str] | None = None) -> int:
    """Train what is missing, and print the table; the exit code."""
    args = _parse(argv)
    try:
        registry = built_in()
        usual = [contest(registry, pair, args.steps) for pair in usual_pairs(registry)]
        wanted = [contest(registry, pair, args.steps) for pair in dict.fromkeys(args.contests)] or usual
    except UsageError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    missing = to_do(wanted, args.seeds, read_results(args.results))
    with tempfile.TemporaryDirectory() as scratch:
        failed = train_all(missing, args, Path(scratch))
    shown = list(dict.fromkeys([*usual, *wanted]))
    text = table(shown, read_results(args.results))
    print(text)
    if args.write and not failed:
        write_text(README, with_table(README.read_text(encoding="utf-8"), text))
    return 1 if failed else 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "contests", nargs="*", type=pair, metavar="MODEL:PRESET", help="by default every 'tuned' and more"
    )
    parser.add_argument("--words", type=Path, required=True, metavar="FILE", help="the lecture's names.txt")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="train each from the seeds 1 to N")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="how many are trained at a time")
    parser.add_argument("--results", type=Path, default=Path("leaderboard.jsonl"), metavar="FILE")
    parser.add_argument("--write", action="store_true", help="put the table into plugins/zoo_makemore/README.md")
    parser.add_argument("--steps", type=int, metavar="N", help="train for fewer steps, to try this script out")
    args = parser.parse_args(argv)
    if not args.words.is_file():
        parser.error(f"there is no file {args.words}")
    if args.write and args.steps is not None:
        parser.error("the README shows no runs of fewer steps")
    return args


def pair(text: str) -> tuple[str, str]:
    """`MODEL:PRESET`, taken apart.

    Raises:
        ArgumentTypeError: it is no such text.
    """
    model, colon, preset = text.partition(":")
    if not colon:
        raise argparse.ArgumentTypeError(f"say a model and its preset, as in mlp-char:lecture, not {text!r}")
    return model, preset


def usual_pairs(registry: Registry) -> list[tuple[str, str]]:
    """Each model with its preset `tuned`, and what is compared with them, as far as there are such presets."""
    presets = {entry.spec.name: entry.spec.presets for entry in registry.models if entry.spec.dataset}
    pairs = [(name, "tuned") for name in presets] + list(MORE)
    return [(model, preset) for model, preset in pairs if preset in presets[model]]


def contest(registry: Registry, model_and_preset: tuple[str, str], steps: int | None = None) -> Contest:
    """What training a model with a preset comes to.

    Raises:
        UsageError: there is no such model or preset.
    """
    model, preset = model_and_preset
    options = RunOptions(model, dataset=DATASET, preset=preset, steps=steps, settings={"data.shuffle_seed": 42})
    plan = make_plan(registry, options)
    parts = {field.name: getattr(plan, field.name) for field in dataclasses.fields(plan)}
    told = {name: _plain(value) for name, value in parts.items() if name not in _NO_MATTER}
    digest = hashlib.sha256(canonical_json(told).encode()).hexdigest()
    return Contest(model, preset, digest[:16], plan.steps * plan.batch_size)


def _plain(value: Any) -> Any:
    """A part of a plan as JSON has it; of what a plugin brings, name and version."""
    if isinstance(value, Entry):
        return f"{value.full_name} {value.plugin.version}"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return value


def read_results(path: Path) -> list[dict[str, Any]]:
    """The runs that were done. A line that was cut, when the script was killed, is passed over."""
    if not path.exists():
        return []
    results = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            results.append(json.loads(line))
        except ValueError:
            continue
    return results


def to_do(contests: Sequence[Contest], seeds: int, results: Sequence[dict[str, Any]]) -> list[Task]:
    """The runs that are missing, the longest first, so that none is left for the end."""
    done = {(result["plan"], result["seed"]) for result in results}
    tasks = [Task(one, seed) for one in contests for seed in range(1, seeds + 1)]
    missing = [task for task in tasks if (task.contest.plan, task.seed) not in done]
    return sorted(missing, key=lambda task: task.contest.examples, reverse=True)


def train_all(tasks: Sequence[Task], args: argparse.Namespace, scratch: Path) -> int:
    """Do the runs, and add each to the results as it ends; how many failed."""
    cache = scratch / "cache"
    cache.mkdir()
    shutil.copy(args.words, cache / "names.txt")

    def do(task: Task) -> dict[str, Any]:
        return _train(task, args.steps, scratch, cache)

    failed = 0
    for task, future in in_parallel(do, tasks, args.jobs):
        what = f"{task.contest.model}:{task.contest.preset}, seed {task.seed}"
        try:
            result = future.result()
        except RunFailedError as error:
            print(f"{what}: {error}", file=sys.stderr)
            failed += 1
            continue
        append(args.results, result)
        print(f"{what}: {result['losses']['val']:.4f} in {result['seconds']:.1f} s", file=sys.stderr)
    return failed


def _train(task: Task, steps: int | None, scratch: Path, cache: Path) -> dict[str, Any]:
    """One run, as a line of the results has it."""
    one, seed = task.contest, str(task.seed)
    options = ["--preset", one.preset, "--dataset", DATASET, *SHUFFLED, "--seed", seed, "--init-seed", seed]
    options += [] if steps is None else ["--steps", str(steps)]
    folder = scratch / f"{one.model}-{one.preset}-{seed}"
    run = train(one.model, options, folder, ZOO_CACHE=str(cache))
    shutil.rmtree(folder)  # there may be hundreds
    return {
        "model": one.model,
        "preset": one.preset,
        "plan": one.plan,
        "seed": task.seed,
        **{key: run.metrics[key] for key in ("parameters", "steps", "losses")},
        "novel": run.novel["losses"],
        "seconds": run.metrics["seconds"]["train"],
        "engine": run.metrics["engine"],
        "versions": run.config["versions"],
        "processor": processor(),
    }


def append(path: Path, result: dict[str, Any]) -> None:
    """Add a line to the results, on a line of its own even where the last one was cut."""
    cut = path.exists() and not path.read_bytes().endswith(b"\n") and path.stat().st_size > 0
    with path.open("a", encoding="utf-8") as file:
        file.write("\n" * cut + canonical_json(result) + "\n")


def table(contests: Sequence[Contest], results: Sequence[dict[str, Any]]) -> str:
    """The results as Markdown, the lowest validation loss first, and a line on what the numbers are."""
    runs = {one: [result for result in results if result["plan"] == one.plan] for one in contests}
    ranked = sorted((one for one in contests if runs[one]), key=lambda one: _mean(runs[one], "losses", "val"))
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    lines += [f"| {' | '.join(_cells(one, runs[one]))} |" for one in ranked]
    if not ranked:
        return "No results yet."
    said = [_about([runs[one] for one in ranked])]
    if (judged := verdict({one: runs[one] for one in ranked})) is not None:
        said += ["", judged]
    return "\n".join([*lines, "", *said])


def verdict(runs: Mapping[Contest, Sequence[dict[str, Any]]]) -> str | None:
    """Which rows are told apart from the next one by more than luck; None where no two have several seeds."""
    settings = [
        Population(f"`{one.model}` ({one.preset})", {run["seed"]: run["losses"]["val"] for run in found})
        for one, found in runs.items()
    ]
    comparisons, count = neighbours(settings, Measure())
    if not comparisons:
        return None
    not_shown = []
    for one in (one for one in comparisons if not one.is_shown):
        count_more = one.more_seeds or 0
        more = f" (about {count_more:,} more seed{'s' * (count_more > 1)} would)" if count_more else ""
        not_shown.append(f"{one.pairs.better} and {one.pairs.worse}{more}")
    text = (
        f"Paired by seed, with p values of paired t tests corrected for all {count:,} pairs of rows, the validation "
        f"losses of {len(comparisons) - len(not_shown)} of {len(comparisons)} rows differ from that of the next row by "
        "more than luck."
    )
    if not_shown:
        text += f" Not told apart are {'; '.join(not_shown)}."
    return textwrap.fill(text, 118)


def _cells(one: Contest, runs: Sequence[dict[str, Any]]) -> list[str]:
    val = _mean(runs, "losses", "val")
    spread = f" ± {statistics.stdev(run['losses']['val'] for run in runs):.4f}" if len(runs) > 1 else ""
    return [
        f"`{one.model}`",
        f"`{one.preset}`",
        f"{round(statistics.mean(run['parameters'] for run in runs)):,}",
        f"{statistics.mean(run['seconds'] for run in runs):,.1f}",
        f"{val:.4f}{spread}",
        f"{_mean(runs, 'losses', 'test'):.4f}",
        f"{_mean(runs, 'novel', 'val'):.4f}",
        f"{bits(val):.4f}",
        PUBLISHED.get((one.model, one.preset), ""),
    ]


def _mean(runs: Sequence[dict[str, Any]], which: str, split: str) -> float:
    return float(statistics.mean(run[which][split] for run in runs))


def _about(runs: Sequence[Sequence[dict[str, Any]]]) -> str:
    """What the numbers of the table are, and where they were taken; `runs` are those of each row."""
    counts = sorted({len(row) for row in runs})
    seeds = f"{counts[0]} to {counts[-1]} seeds" if len(counts) > 1 else f"{counts[0]} seed{'s' * (counts[0] != 1)}"
    processors = " and ".join(sorted({run["processor"] for row in runs for run in row}))
    torches = " and ".join(sorted({run["versions"]["torch"] for row in runs for run in row}))
    text = (
        f"On the lecture's split of the names, shuffled; means over {seeds}. Losses are in nats per character, ± the "
        "sample standard deviation over the seeds; the bits are of the validation loss. Seconds of training are on one "
        f"core of {processors}, with torch {torches}. Published losses are those of the lectures and of makemore, for "
        "their own sizes and settings. Made by `scripts/weights/leaderboard.py`."
    )
    return textwrap.fill(text, 118)


def with_table(text: str, new: str) -> str:
    """A document with the table between its markers replaced.

    Raises:
        UsageError: it has no markers.
    """
    changed, count = _MARKED.subn(lambda found: f"{found[1]}\n{new}\n\n{found[2]}", text)
    if count != 1:
        raise UsageError("the document needs the lines '<!-- leaderboard -->' and '<!-- /leaderboard -->' once")
    return changed


if __name__ == "__main__":
    sys.exit(main())
