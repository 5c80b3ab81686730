"""Execute cells in a Jupyter kernel of this Python: a JSON list of sources on stdin, their outputs on stdout.

The kernel is started by its command, so that none has to be installed for the user. All this runs in a process of its
own, because the tests that open pages keep an event loop in theirs.
"""

import json
import sys
from typing import Any

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbformat import NotebookNode

node: Any = NotebookNode  # it has no types

LAUNCH = [sys.executable, "-P", "-m", "ipykernel_launcher", "-f", "{connection_file}"]


class OnlyThisPython(KernelSpecManager):
    """Knows one kernel, whatever is installed."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        return KernelSpec(argv=LAUNCH, display_name=kernel_name, language="python")


def main() -> None:
    cells = [
        node(cell_type="code", id=f"cell-{number}", source=source, metadata={}, outputs=[], execution_count=None)
        for number, source in enumerate(json.load(sys.stdin))
    ]
    notebook = node(nbformat=4, nbformat_minor=5, metadata={}, cells=cells)
    kernels = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=OnlyThisPython(), ip="127.0.0.1")
    NotebookClient(notebook, km=kernels, timeout=60, allow_errors=True, shutdown_kernel="immediate").execute()
    json.dump([cell.outputs for cell in notebook.cells], sys.stdout)


if __name__ == "__main__":
    main()
