"""Run every command of the README's console blocks and put its real output, and the plots it makes, in place.

    python scripts/make_readme.py NAMES_TXT

NAMES_TXT is the lecture's names.txt, used instead of the download. Tests use `blocks` to run the same commands.
"""

from __future__ import annotations

import hashlib
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
PLOTS = ROOT / "scripts" / "plots"

_BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)


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
    """The standard output of a command of the README, run with this Python's `zoo`."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        line,
        shell=True,
        cwd=folder,
        env={**os.environ, "PATH": path, **env},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{line!r} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} names.txt")
    text = README.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "cache").mkdir()
        shutil.copy(sys.argv[1], work / "cache" / "names.txt")
        (work / "scripts").symlink_to(ROOT / "scripts")
        env = {"ZOO_CACHE": str(work / "cache"), "ZOO_PLUGINS": "", "COLUMNS": "100"}
        for block in blocks(text):
            old = "".join(f"$ {command.line}\n{command.output}" for command in block)
            new = "".join(f"$ {command.line}\n{execute(command.line, work, env)}" for command in block)
            text = text.replace(old, new)
        PLOTS.mkdir(exist_ok=True)
        for plot in work.glob("runs/mlp-char-1/*.png"):
            shutil.copy(plot, PLOTS / plot.name)
            print(plot.name, hashlib.sha256(plot.read_bytes()).hexdigest()[:12])
    README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
