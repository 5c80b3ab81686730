"""Run the tests as if on other machines: other vector instructions, other numbers of threads, without numba.

    python scripts/breaking/elsewhere.py                                   # every configuration of `USUAL`, one by one
    python scripts/breaking/elsewhere.py aten-default mkl-avx2+threads-2   # these
    python scripts/breaking/elsewhere.py plain -- tests/training -x        # the rest goes to pytest
    python scripts/breaking/elsewhere.py --python ~/oldest/bin/python plain   # another environment's Python

A configuration is one or more of `PARTS`, joined by `+`. One line is printed for each, and the tests that failed.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

PARTS: dict[str, Mapping[str, str]] = {
    "plain": {},
    "aten-default": {"ATEN_CPU_CAPABILITY": "default"},  # torch's own kernels without vector instructions
    "aten-avx2": {"ATEN_CPU_CAPABILITY": "avx2"},
    "mkl-sse4.2": {"MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},  # MKL's matrix products
    "mkl-avx2": {"MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "onednn-sse4.1": {"ONEDNN_MAX_CPU_ISA": "SSE41"},  # oneDNN's, bfloat16 among them
    "numba-generic": {"NUMBA_CPU_NAME": "generic"},  # the `fused` engine on four lanes
    "no-numba": {},  # see `hide_numba`
    "threads-2": {"ZOO_TEST_THREADS": "2"},
}
USUAL = [
    "plain",
    "aten-default",
    "aten-default+threads-2",
    "aten-avx2",
    "mkl-sse4.2",
    "mkl-sse4.2+aten-avx2+numba-generic",
    "mkl-avx2",
    "mkl-avx2+threads-2",
    "onednn-sse4.1",
    "no-numba",
    "threads-2",
]


def environment(parts: list[str], folder: Path) -> dict[str, str]:
    """The variables under which the tests run; `folder` is one to write into."""
    env = dict(os.environ)
    for part in parts:
        env.update(PARTS[part])
    if "no-numba" in parts:
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [hide_numba(folder), env.get("PYTHONPATH")]))
    return env


HIDING = """import sys
from importlib.machinery import PathFinder


class WithoutNumba(PathFinder):
    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        return None if fullname == "numba" else super().find_spec(fullname, path, target)


sys.meta_path[:] = [WithoutNumba if finder is PathFinder else finder for finder in sys.meta_path]
"""


def hide_numba(folder: Path) -> str:
    """Let every Python that has `folder` on its path find no numba."""
    (folder / "sitecustomize.py").write_text(HIDING)
    return str(folder)


def counts(output: str) -> dict[str, int]:
    """What pytest's last line counts: `{"passed": 4073, "failed": 4}`."""
    lines = [line for line in output.splitlines() if re.search(r"\d+ \w+.* in [\d.]+s", line)]
    found = re.findall(r"(\d+) (passed|failed|skipped|error)", lines[-1]) if lines else []
    return {word: int(number) for number, word in found}


def run(name: str, python: str, arguments: list[str], logs: Path | None) -> bool:
    """Run the tests under one configuration, and print its line. Whether all that ran passed."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        env = environment(name.split("+"), Path(temporary))
        command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={temporary}/tests", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env, check=False)
    seen = counts(done.stdout)
    shown = ", ".join(f"{seen.get(word, 0)} {word}" for word in ("passed", "failed", "skipped"))
    print(f"{name}: {shown}, {time.monotonic() - started:.0f} s", flush=True)
    for line in done.stdout.splitlines():
        if line.startswith(("FAILED", "ERROR")):
            print(f"    {line}", flush=True)
    if not seen:
        print(done.stdout[-2000:] + done.stderr[-2000:], file=sys.stderr)
    if logs is not None:
        logs.mkdir(parents=True, exist_ok=True)
        (logs / f"{name}.txt").write_text(done.stdout + done.stderr)
    return done.returncode == 0


def main(arguments: list[str]) -> int:
    end = arguments.index("--") if "--" in arguments else len(arguments)
    ours, rest = arguments[:end], arguments[end + 1 :] or ["-n", "2"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configuration", nargs="*", default=USUAL, help=f"of {', '.join(PARTS)}, joined by +")
    parser.add_argument("--python", default=sys.executable, help="the Python of the environment to test")
    parser.add_argument("--logs", type=Path, metavar="DIR", help="a folder for all that pytest prints")
    options = parser.parse_args(ours)
    unknown = {part for name in options.configuration for part in name.split("+")} - PARTS.keys()
    if unknown:
        parser.error(f"no {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    passed = [run(name, options.python, rest, options.logs) for name in options.configuration]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
