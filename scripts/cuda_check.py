"""Check all that zoo does on CUDA, in ten minutes, on any machine that has it.

    python scripts/cuda_check.py [--device cuda:N] [--out cuda.json] [--words FILE] [PART ...]

engines  the batches are the CPU's; each engine of mlp-char does the CPU's steps, in a block as in single ones
models   every model step by step and in a free run, in float32 and bfloat16, against float32 on the CPU
resume   a run that was killed and resumed has the bytes of an uninterrupted one
memory   a batch far too large is one sentence, and the next run of the process works
second   a second device, where there is one, does the same
repeats  the same run twice has the same bytes; else the first step that differs, and the operators to suspect
speed    a step by each engine against the notebook's loop on the same device

Each part has a process of its own. A part or a check that fails is a row, and the others go on; the exit code is 1
then. `--device cpu` tries this script itself.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent / "benchmarking"))
sys.path.insert(0, str(Path(__file__).resolve().parent / "checking_cuda"))

import against_cpu
import repeats
import speed
import whole_runs
from results import FAILED, Part, Result, Setting, isolated
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import zoo

BUNDLED = Path(__file__).resolve().parent.parent / "plugins" / "zoo_lecture" / "data" / "names-ssa-2018.txt"
PARTS: dict[str, Part] = {
    "engines": against_cpu.engines,
    "models": against_cpu.models,
    "resume": whole_runs.resume,
    "memory": whole_runs.memory,
    "second": whole_runs.second,
    "repeats": repeats.repeats,
    "speed": speed.speed,
}
_NO_DEVICE = "DeviceError: "
LIMIT_S = 300  # of a part; all but one that hangs need far less


def main(argv: Sequence[str] | None = None) -> int:
    """Check, print the table, write the JSON; 1 if anything failed, 2 for wrong usage, 130 for Ctrl-C."""
    args = parsed(argv)
    with tempfile.TemporaryDirectory() as folder:
        setting = Setting(args.device, Path(folder), args.words, args.words, args.quick)
        if args.quick:
            setting = replace(setting, dataset=few_words(args.words, Path(folder)))
        about = isolated("about", _about, setting, LIMIT_S)
        if about[0].result == FAILED:
            print(f"cuda_check.py: error: {about[0].remark.removeprefix(_NO_DEVICE)}", file=sys.stderr)
            return 2 if about[0].remark.startswith(_NO_DEVICE) else 1
        facts = json.loads(about[0].remark)
        rows: dict[str, list[Result]] = {}
        try:
            for part in args.parts:
                rows[part] = checked(part, setting)
        except KeyboardInterrupt:
            print("cuda_check.py: stopped; what was done follows", file=sys.stderr)
    show(facts, rows)
    content = {"about": facts, "results": [{"part": part, **asdict(row)} for part in rows for row in rows[part]]}
    try:
        args.out.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        print(f"cuda_check.py: error: cannot write {args.out}: {error.strerror}", file=sys.stderr)
        return 1
    if len(rows) < len(args.parts):
        return 130
    return int(any(row.result == FAILED for part in rows.values() for row in part))


def parsed(argv: Sequence[str] | None) -> Any:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"by default all: {', '.join(PARTS)}")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu; default cuda")
    parser.add_argument("--out", type=Path, default=Path("cuda.json"), help="for the results; default cuda.json")
    parser.add_argument("--words", type=Path, default=BUNDLED, help="one word a line; default bundled names")
    parser.add_argument("--quick", action="store_true", help="a few steps of everything: to try this script")
    args = parser.parse_args(argv)
    unknown = [part for part in args.parts if part not in PARTS]
    if unknown:
        parser.error(f"no part {', '.join(unknown)}: there are {', '.join(PARTS)}")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", args.device):
        parser.error(f"no device {args.device!r}: there are cuda, cuda:N and cpu")
    try:
        zoo.TextDataset.from_file(args.words)
    except zoo.ZooError as error:
        parser.error(str(error))
    writable(parser, args.out)
    args.parts, args.words = list(dict.fromkeys(args.parts)) or list(PARTS), args.words.resolve()
    return args


def writable(parser: argparse.ArgumentParser, out: Path) -> None:
    """Ends with a message where `out` cannot be written: before the ten minutes, and not after them."""
    new = not out.exists()
    try:
        out.open("a").close()
    except OSError as error:
        parser.error(f"cannot write {out}: {error.strerror}")
    if new:
        out.unlink()


def checked(part: str, setting: Setting) -> list[Result]:
    """The rows of a part, whose runs are in a folder of its own."""
    print(f"{part} ...", file=sys.stderr, flush=True)
    folder = setting.folder / part
    folder.mkdir()
    return isolated(part, PARTS[part], replace(setting, folder=folder), LIMIT_S)


def few_words(words: Path, folder: Path) -> Path:
    """A file of some words, of which everything is computed at once."""
    known = words.read_text(encoding="utf-8").split()
    few = folder / "words.txt"
    few.write_text("\n".join(random.Random(1).sample(known, min(400, len(known)))), encoding="utf-8")
    return few


def show(facts: dict[str, str], rows: dict[str, list[Result]]) -> None:
    console = Console(width=160)
    console.print(escape("; ".join(f"{name} {fact}" for name, fact in facts.items())))
    table = Table("part", "what", "result", "figure", "remark", box=None)
    for part, results in rows.items():
        for row in results:
            figure = "" if row.figure is None else f"{row.figure:,.4g} {row.unit}"
            table.add_row(*map(escape, (part, row.what, row.result, figure, row.remark)))
    console.print(table)


def _about(setting: Setting) -> list[Result]:
    return [Result("about", "", remark=json.dumps(speed.about(setting.device)))]


if __name__ == "__main__":
    sys.exit(main())
