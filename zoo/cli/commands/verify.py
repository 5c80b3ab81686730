"""`zoo verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from zoo import stages
from zoo.cli import output
from zoo.cli.options import PathFromPerson
from zoo.cli.state import State, debug_option, json_option, shows_progress
from zoo.cli.table import print_table
from zoo.errors import CheckpointError

if TYPE_CHECKING:
    from zoo.storage.verify import Finding


@click.command("verify")
@click.argument("path", type=PathFromPerson())
@json_option
@debug_option
@click.pass_obj
@shows_progress
def command(state: State, path: Path, as_json: bool) -> None:
    """Check that a file, run folder or sweep is intact, and show what is in it.

    The files of a folder must also be of one run. Each is intact, damaged, or not checked, because a plugin is missing
    or a file that it is compared with is damaged. The exit code is 1 if a file is damaged, and only then.
    """
    from zoo.storage.verify import verify
    from zoo.sweeps.folder import verify_sweep
    from zoo.sweeps.sheet import is_sweep

    state.settle()
    with stages.within("Checking the files"):
        findings = (verify_sweep if is_sweep(path) else verify)(path, state.registry)
    damaged = [finding.file for finding in findings if finding.damaged]
    if as_json:
        rows = [{"file": f.file, "result": f.result, "whole": _whole(f), "text": f.text} for f in findings]
        output.json_object({"path": str(path), "whole": not damaged, "files": rows})
    else:
        print_table(["file", "", ""], [(f.file, f.result.replace("damaged", "DAMAGED"), f.text) for f in findings])
    if damaged:
        raise CheckpointError(f"{path} is damaged: {', '.join(damaged)}")


def _whole(finding: Finding) -> bool | None:
    return None if finding.result == "not checked" else finding.intact
