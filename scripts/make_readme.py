"""Write into the documents what the program says itself: help texts, real output, the table of models, plots.

    python scripts/make_readme.py              the help of every command, into zoo/cli/README.md
    python scripts/make_readme.py NAMES_TXT    the same, and the outputs and plots of all other documents

NAMES_TXT is the lecture's names.txt, used instead of the download. Tests use the functions to check the documents.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
HELP = ROOT / "zoo" / "cli" / "README.md"
LEADERBOARD = ROOT / "plugins" / "zoo_makemore" / "README.md"
WITH_OUTPUT = (  # documents whose console blocks show the output of their commands
    README,
    ROOT / "zoo" / "README.md",
    *(ROOT / "plugins" / name / "README.md" for name in ("zoo_lecture", "zoo_makemore", "zoo_tabular", "zoo_torch")),
)
PLOTS = ROOT / "scripts" / "plots"

_BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
_BEST = re.compile(r"^\| `([\w-]+)` \| `([\w-]+)` \|[^|]*\|[^|]*\| ([\d.]+)", re.MULTILINE)  # of the leaderboard
_SHOWN = {"tuned": "", "ensemble": ", preset `ensemble`"}  # presets in the table of models


@dataclass(frozen=True)
class Command:
    """A `$ ` line of a console block, and the lines after it."""

    line: str
    output: str


def blocks(text: str) -> Iterator[list[Command]]:
    """The commands of each console block, with the output that the document shows."""
    for block in _BLOCK.findall(text):
        parts = re.split(r"^\$ (.*)\n", block, flags=re.MULTILINE)[1:]
        yield [Command(line, output) for line, output in zip(parts[::2], parts[1::2], strict=True)]


def execute(line: str, folder: Path, env: dict[str, str]) -> str:
    """The standard output of a shell command, run with this Python's `zoo`."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        line,
        shell=True,
        cwd=folder,
        env={**os.environ, "PATH": path, "ZOO_PLUGINS": "", "COLUMNS": "100", **env},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{line!r} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def with_output(text: str, folder: Path, env: dict[str, str]) -> str:
    """A document whose console blocks show the output that their commands have in `folder`."""
    for block in blocks(text):
        old = "".join(f"$ {command.line}\n{command.output}" for command in block)
        new = "".join(f"$ {command.line}\n{execute(command.line, folder, env)}" for command in block)
        text = text.replace(old, new)
    return text


def help_texts(folder: Path) -> str:
    """The `--help` of `zoo` and of each of its commands, as Markdown."""
    from zoo.cli import COMMANDS

    lines = ["zoo", *(f"zoo {name}" for name in COMMANDS)]
    sections = [f"### `{line}`\n\n```text\n{execute(f'{line} --help', folder, {})}```" for line in lines]
    return "\n\n".join(sections)


def models_table(leaderboard: str, folder: Path) -> str:
    """One line for each built-in model, as Markdown, the lowest loss of the leaderboard first."""
    models = json.loads(execute("zoo list models --json", folder, {}))["models"]
    summaries = {model["name"]: model["summary"] for model in models}
    rows = ["| model | what it is | validation loss (nats) |", "|---|---|---|"]
    for name, preset, loss in _BEST.findall(leaderboard):
        if preset in _SHOWN:
            rows.append(f"| `{name}`{_SHOWN[preset]} | {summaries[name]} | {loss} |")
    return "\n".join(rows)


def with_section(text: str, name: str, content: str) -> str:
    """A document with new content between `<!-- NAME -->` and `<!-- /NAME -->`."""
    start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    if text.count(start) != 1 or text.count(end) != 1:
        raise ValueError(f"the document needs the lines '<!-- {name} -->' and '<!-- /{name} -->' once")
    head, _, rest = text.partition(start)
    return f"{head}{start}\n{content}\n\n{end}{rest.partition(end)[2]}"


def main() -> None:
    if len(sys.argv) > 2:
        sys.exit(f"usage: {sys.argv[0]} [names.txt]")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        _change(HELP, with_section(_read(HELP), "help", help_texts(work)))
        if len(sys.argv) == 2:
            _write_outputs(work, Path(sys.argv[1]))


def _write_outputs(work: Path, names: Path) -> None:
    (work / "cache").mkdir()
    shutil.copy(names, work / "cache" / "names.txt")
    (work / "scripts").symlink_to(ROOT / "scripts")
    for document in WITH_OUTPUT:
        _change(document, with_output(_read(document), work, {"ZOO_CACHE": str(work / "cache")}))
    _change(README, with_section(_read(README), "models", models_table(_read(LEADERBOARD), work)))
    PLOTS.mkdir(exist_ok=True)
    for plot in work.glob("runs/mlp-char-1/*.png"):
        shutil.copy(plot, PLOTS / plot.name)
        print(plot.name, hashlib.sha256(plot.read_bytes()).hexdigest()[:12])


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _change(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
