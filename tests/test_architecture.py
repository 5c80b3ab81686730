"""The house keeps its shape: who may import what, what may never be called, how long things may get."""

from __future__ import annotations

import ast
import graphlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import run_python

ROOT = Path(__file__).resolve().parent.parent
CORE = sorted((ROOT / "zoo").rglob("*.py"))
PLUGINS = sorted((ROOT / "plugins").rglob("*.py"))
SCRIPTS = sorted((ROOT / "scripts").rglob("*.py"))

ONLY_IN = {  # a library that has one room
    "click": {"zoo/cli"},
    "rich": {"zoo/cli"},
    "requests": {"zoo/data/download.py", "zoo/data/failures.py"},
    "matplotlib": {"zoo/plots"},
    "safetensors": {"zoo/storage/checkpoint.py"},
    "platformdirs": {"zoo/data/download.py"},
    "bokeh": {"zoo/reports"},
    "IPython": {"zoo/notebooks/jupyter.py"},
    "marimo": {"zoo/notebooks/marimo.py"},
    "jinja2": {"zoo/reports"},
    "scipy": {"zoo/verdicts", "zoo/sweeps/scaling/power_law.py"},
    "optuna": {"zoo/sweeps/search"},
    "pluggy": {"zoo/plugin/hookspecs.py", "zoo/plugin/manager.py"},
}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "joblib", "marshal", "shelve", "cloudpickle"}


# From the ground up: a room imports those before it, and none after it. `zoo` at its top has what everything rests on
# (errors, files, what an engine is), and the face.
LAYERS = (
    ("zoo.text", "zoo.stages"),
    ("zoo.phrasing",),
    ("zoo.numbers",),
    ("zoo.html", "zoo.verdicts"),
    ("zoo.errors", "zoo.engines"),
    ("zoo.memory", "zoo.cuda"),
    ("zoo.files",),
    ("zoo.options", "zoo.ambient"),
    ("zoo.plugin",),
    ("zoo.data",),
    ("zoo.training",),
    ("zoo.plots",),
    ("zoo.storage",),
    ("zoo.runs",),
    ("zoo.sweeps",),
    ("zoo.reports", "zoo.notebooks"),
    ("zoo.api",),
    ("zoo.testing",),
    ("zoo",),
    ("zoo.cli",),
    ("zoo.__main__",),
)


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("path", CORE, ids=name)
def test_core_names_no_plugin(path: Path) -> None:
    assert "zoo_lecture" not in path.read_text()
    assert "mlp-char" not in path.read_text() or "cli" in path.parts or path.name in ("api.py",)


@pytest.mark.parametrize("path", CORE, ids=name)
def test_each_library_stays_in_its_room(path: Path) -> None:
    for module in imports(ast.parse(path.read_text())):
        rooms = ONLY_IN.get(module.partition(".")[0])
        assert rooms is None or any(name(path).startswith(room) for room in rooms), module


# The rest of zoo reads through `zoo.files`, which never waits for a pipe and has bounds.
READERS = {
    "zoo/files.py",
    "zoo/memory.py",  # the system's own files
    "zoo/plugin/entry_points.py",  # of installed packages
    "zoo/storage/shipped.py",
    "zoo/storage/open_folder.py",  # writes
    "zoo/cli/output.py",  # writes
    "zoo/sweeps/workers/child.py",  # the null device
}


@pytest.mark.parametrize("path", CORE, ids=name)
def test_files_are_read_in_one_place(path: Path) -> None:
    calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    called = {ast.unparse(call.func) for call in calls}
    opened = {function for function in called if function.rpartition(".")[2] in ("open", "fdopen")}
    methods = {function for function in called if function.endswith((".read_bytes", ".read_text"))}
    of_folders = {"RunFolder.open", "folders.open", "SweepFolder.open", "ShareFolder.open"}
    assert name(path) in READERS or opened | methods <= of_folders


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def layer(module: str) -> int:
    """The layer of the room that a module is in."""
    rooms = {room: number for number, layer in enumerate(LAYERS) for room in layer}
    return rooms["zoo" if module == "zoo" else ".".join(module.split(".")[:2])]


def modules_imported(path: Path) -> set[str]:
    """The modules of zoo that a file imports, wherever in it, for type checkers too."""
    known = {module_of(other) for other in CORE}
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    found &= known
    return {module for module in found if not any(other.startswith(f"{module}.") for other in found)}


@pytest.mark.parametrize("path", CORE, ids=name)
def test_rooms_are_layers(path: Path) -> None:
    module = module_of(path)
    for used in modules_imported(path) - {module}:
        below = layer(used) < layer(module)
        assert below or module.split(".")[:2] == used.split(".")[:2], f"{module} imports {used}, from a layer above"


def test_there_are_no_circles() -> None:
    graph = {module_of(path): modules_imported(path) - {module_of(path)} for path in CORE}
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError


@pytest.mark.parametrize("room", sorted({path.parent for path in CORE}), ids=name)
def test_no_room_is_crowded(room: Path) -> None:
    files = [path for path in room.glob("*.py") if path.name not in ("__init__.py", "__main__.py")]
    assert len(files) <= 12


@pytest.mark.parametrize("path", CORE + PLUGINS + SCRIPTS, ids=name)
def test_nothing_unpickles_or_runs_text_as_code(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert not FORBIDDEN_MODULES & {module.partition(".")[0] for module in imports(tree)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            assert not (isinstance(function, ast.Name) and function.id in FORBIDDEN_CALLS), ast.unparse(node)
            if isinstance(function, ast.Attribute) and function.attr in ("load", "save"):
                assert ast.unparse(function.value) != "torch", ast.unparse(node)


GO_ROUND_CUDA = {  # these ask torch itself
    "plugins/zoo_lecture/nvrtc.py",  # the version of the library that it loads
}


@pytest.mark.parametrize("path", CORE + PLUGINS, ids=name)
def test_cuda_is_asked_in_one_module(path: Path) -> None:
    """So that a test on a machine without a GPU sees all of it, in order, through one fake."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("torch.cuda", "torch.version.cuda"):
            found.add(ast.unparse(node))
        elif isinstance(node, ast.Attribute) and node.attr == "is_cuda":
            found.add("is_cuda")
        elif isinstance(node, ast.Compare) and isinstance(node.left, ast.Attribute) and node.left.attr == "type":
            found |= {ast.unparse(node) for part in node.comparators if getattr(part, "value", None) == "cuda"}
        elif isinstance(node, ast.Import | ast.ImportFrom):
            named = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            found |= {module for module in named if module.startswith("torch.cuda")}
    assert not found or name(path) in {"zoo/cuda.py", *GO_ROUND_CUDA}, found


WRITES = {"print", "echo", "secho", "echo_via_pager", "print_exc", "print_exception", "print_stack", "progressbar"}
STREAMS = {"stdout", "stderr", "__stdout__", "__stderr__"}
OWN_STREAMS = {
    "zoo/cli/output.py": "the one place",
    "zoo/plots/worker.py": "another process, whose stdout is a pipe to the run",
    "zoo/sweeps/workers/messages.py": "writes to a pipe between a sweep and its worker",
    "zoo/plugin/manager.py": "hands stderr to plugins that print while they are loaded",
}


@pytest.mark.parametrize("path", [path for path in CORE if name(path) not in OWN_STREAMS], ids=name)
def test_only_one_module_writes_to_the_streams(path: Path) -> None:
    """So that no untrusted text reaches a terminal as it is, and no stream that fails costs a run."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "sys":
            assert node.attr not in STREAMS, ast.unparse(node)
        if isinstance(node, ast.ImportFrom) and node.module in ("sys", "click", "traceback", "warnings"):
            assert not {alias.name for alias in node.names} & (STREAMS | WRITES | {"warn"}), ast.unparse(node)
        if isinstance(node, ast.Call):
            check_call(node, name(path))


def check_call(call: ast.Call, path: str) -> None:
    function = call.func
    if isinstance(function, ast.Name):
        assert function.id != "print", ast.unparse(call)
        assert function.id != "Console", ast.unparse(call)  # of rich
    elif isinstance(function, ast.Attribute):
        of = ast.unparse(function.value)
        assert function.attr not in WRITES or of.endswith("console"), ast.unparse(call)
        assert (of, function.attr) not in (("os", "write"), ("faulthandler", "enable")), ast.unparse(call)
        if (of, function.attr) == ("warnings", "warn"):
            is_own = isinstance(call.args[0], ast.Constant)
            assert is_own or ast.unparse(call.args[0]).startswith("message("), ast.unparse(call)


def test_modules_are_imported_by_name_in_few_places_only() -> None:
    """Entry points and specs name what plugins bring, zoo its own parts; a checkpoint names nothing."""
    users = {name(path) for path in CORE + PLUGINS if "import_module" in path.read_text()}
    assert users == {"zoo/cli/__init__.py", "zoo/plugin/entry_points.py"}


@pytest.mark.parametrize("path", CORE + PLUGINS + SCRIPTS, ids=name)
def test_files_and_functions_stay_short(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < 60, node.name


def test_top_level_has_the_agreed_entries_and_no_other() -> None:
    tracked = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines()
    top = {path.partition("/")[0] for path in tracked}
    agreed = {"zoo", "plugins", "tests", "scripts", "pyproject.toml", "README.md", "LICENSE"}
    assert {entry for entry in top if not entry.startswith(".")} <= agreed


_HEAVY = {"torch", "numpy", "matplotlib", "requests", "safetensors", "scipy", "optuna"}
_SLOW = {"importlib.resources", "importlib.metadata"}


@pytest.mark.parametrize(
    ("command", "left_out"),
    [
        ("--help", _HEAVY | _SLOW),
        ("list", _HEAVY | _SLOW),
        ("list --json", _HEAVY | _SLOW),
        ("list models --sort loss", _HEAVY | _SLOW),
        ("plugins", _HEAVY | _SLOW),
        ("--version", _HEAVY),
    ],
)
def test_light_commands_import_nothing_heavy(command: str, left_out: set[str]) -> None:
    code = (
        "import sys\nfrom zoo.cli import main\n"
        f"try:\n    main({command.split()!r})\nexcept SystemExit as done:\n    assert done.code == 0, done.code\n"
        f"heavy = {left_out} & sys.modules.keys()\n"
        "assert not heavy, heavy"
    )
    done = run_python("-c", code)
    assert done.returncode == 0, done.stderr
