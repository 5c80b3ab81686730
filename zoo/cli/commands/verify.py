"""`zoo verify`."""

from __future__ import annotations

from pathlib import Path

import click

from zoo.cli.options import PathFromPerson
from zoo.cli.state import State, debug_option, json_option, print_json
from zoo.cli.table import print_table
from zoo.errors import CheckpointError


@click.command("verify")
@click.argument("path", type=PathFromPerson())
@json_option
@debug_option
@click.pass_obj
def command(state: State, path: Path, as_json: bool) -> None:
    """Check that a file or run folder is intact, and show what is in it.

    The exit code is 1 if a file is damaged.
    """
    from zoo.storage.verify import verify

    findings = verify(path, state.registry)
    damaged = [finding.file for finding in findings if not finding.intact]
    if as_json:
        rows = [{"file": f.file, "whole": f.intact, "text": f.text} for f in findings]
        print_json({"path": str(path), "whole": not damaged, "files": rows})
    else:
        print_table(["file", "", ""], [(f.file, "intact" if f.intact else "DAMAGED", f.text) for f in findings])
    if damaged:
        raise CheckpointError(f"{path} is damaged: {', '.join(damaged)}")
