"""Ctrl-C while a library is being imported, which may make another exception of it, or of none."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from conftest import run_python

BECOMES = {
    "KeyboardInterrupt": "raise",
    "AttributeError": "raise AttributeError('partially initialized module')",
    "ImportError": "raise ImportError('numpy._core.multiarray failed to import') from None",
    "SystemError": "raise SystemError('returned NULL without setting an exception')",
    "nothing, and a part is missing": "pass",
    "a warning": "import warnings; warnings.warn('Failed to initialize NumPy')",
    "BaseException": "raise BaseException('a part of it')",
}
COMMANDS = (
    ["run", "mlp-char", "--dataset", "names-ssa-2018", "--steps", "1"],
    ["eval", "mlp-char"],
    ["sample", "mlp-char"],
)


@pytest.mark.parametrize("becomes", BECOMES)
def test_it_ends_the_command_with_one_line(becomes: str, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "torch.py").write_text(
        "import signal\ntry:\n    signal.raise_signal(signal.SIGINT)\nexcept KeyboardInterrupt:\n"
        f"    {BECOMES[becomes]}\n"
    )
    for command in COMMANDS[: 3 if becomes == "AttributeError" else 1]:
        done = run_python("-m", "zoo", *command, env={"PYTHONPATH": str(site)})
        assert done.returncode == 130, done.stderr
        assert done.stderr.splitlines()[-1] == "zoo: error: interrupted"
        assert "Traceback" not in done.stderr


def test_without_ctrl_c_the_same_exception_is_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise AttributeError('partially initialized module')")
    done = run_python("-m", "zoo", *COMMANDS[0], env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 1
    assert "AttributeError" in done.stderr


def test_the_handler_is_that_of_a_process_alone() -> None:
    """A caller's handler stays; one that was ignored from the start, too."""
    code = (
        "import signal, sys\nsys.argv = ['zoo', 'list', 'loggers']\nfrom zoo.cli import main\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\ntry:\n    main()\nexcept SystemExit:\n    pass\n"
        "assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN"
    )
    assert run_python("-c", code).returncode == 0
    before = signal.getsignal(signal.SIGINT)
    from zoo.cli import main

    with pytest.raises(SystemExit):
        main(["list", "loggers"])
    assert signal.getsignal(signal.SIGINT) is before
