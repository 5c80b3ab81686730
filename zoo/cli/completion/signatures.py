"""The arguments of a factory, read off its source, because importing it would import torch, for which nobody waits.

What cannot be read so, such as a class that a function makes, has no completions.
"""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import inspect
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from zoo.files import read_text

Definition: TypeAlias = ast.ClassDef | ast.FunctionDef

_DEEPEST = 8  # imports and base classes that are followed


class Argument(NamedTuple):
    """An argument: its annotation, and its default, as they stand in the source; empty for none."""

    annotation: str
    default: str

    @property
    def values(self) -> list[str]:
        """What it may be, where that is listed."""
        if self.annotation == "bool":
            return ["true", "false"]
        literal = self.annotation.removesuffix(" | None").removeprefix("typing.")
        if literal.startswith("Literal["):
            listed = ast.parse(literal.removeprefix("Literal").strip(), mode="eval").body
            return [str(node.value) for node in ast.walk(listed) if isinstance(node, ast.Constant)]
        return []


def arguments_of(factory: str | Callable[..., Any]) -> dict[str, Argument]:
    """The named arguments of a class or function, given itself or as `package.module:attribute`."""
    if not isinstance(factory, str):
        parameters = inspect.signature(factory).parameters.values()
        named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        return {p.name: Argument("" if p.annotation is p.empty else str(p.annotation), "") for p in named}
    module, _, attribute = factory.partition(":")
    found = _find(module, attribute, _DEEPEST)
    return {} if found is None else _arguments(*found, _DEEPEST)


def returns_of(factory: str | Callable[..., Any]) -> str:
    """The annotation of what a function returns, or the name of a class; empty where that is not known."""
    if not isinstance(factory, str):
        return str(getattr(factory, "__annotations__", {}).get("return", ""))
    module, _, attribute = factory.partition(":")
    found = _find(module, attribute, _DEEPEST)
    if found is None:
        return ""
    definition = found[1]
    if isinstance(definition, ast.ClassDef):
        return definition.name
    return "" if definition.returns is None else ast.unparse(definition.returns)


def _arguments(module: str, definition: Definition, depth: int) -> dict[str, Argument]:
    if isinstance(definition, ast.FunctionDef):
        return _of_function(definition)
    constructors = [node for node in definition.body if isinstance(node, ast.FunctionDef) and node.name == "__init__"]
    if constructors:
        return dict(list(_of_function(constructors[0]).items())[1:])
    own: dict[str, Argument] = {}
    if any("dataclass" in ast.unparse(decorator) for decorator in definition.decorator_list):
        fields = [node for node in definition.body if isinstance(node, ast.AnnAssign)]
        own = {ast.unparse(field.target): Argument(ast.unparse(field.annotation), "") for field in fields}
    for base in definition.bases if depth else ():
        found = _find(module, ast.unparse(base), depth - 1)
        if found is not None:
            return _arguments(*found, depth - 1) | own
    return own


def _of_function(definition: ast.FunctionDef) -> dict[str, Argument]:
    given = definition.args
    positional = [*given.posonlyargs, *given.args]
    defaults = [None] * (len(positional) - len(given.defaults)) + list(given.defaults) + list(given.kw_defaults)
    return {
        argument.arg: Argument(*("" if node is None else ast.unparse(node) for node in (argument.annotation, default)))
        for argument, default in zip([*positional, *given.kwonlyargs], defaults, strict=True)
    }


def _find(module: str, name: str, depth: int) -> tuple[str, Definition] | None:
    """The definition of a class or function, and the module that it is in."""
    tree = _tree(module)
    if tree is None or depth <= 0:
        return None
    for node in _statements(tree.body):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return module, node
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return _find(_absolute(module, node), alias.name, depth - 1)
    return None


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try):
            yield from _statements(node.body)
            yield from _statements(node.orelse)


def _absolute(module: str, node: ast.ImportFrom) -> str:
    """The module that a statement in another one imports from."""
    if not node.level:
        return node.module or ""
    path = _path(module)
    package = module if path is not None and path.name == "__init__.py" else module.rpartition(".")[0]
    for _ in range(node.level - 1):
        package = package.rpartition(".")[0]
    return ".".join(filter(None, [package, node.module]))


@cache
def _tree(module: str) -> ast.Module | None:
    path = _path(module)
    return None if path is None else ast.parse(read_text(path))


def _path(module: str) -> Path | None:
    """The source of a module, found without importing what it is in."""
    top, *rest = module.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None:
        return None
    folders = list(spec.submodule_search_locations or ())
    for i in range(len(rest)):
        spec = importlib.machinery.PathFinder.find_spec(".".join([top, *rest[: i + 1]]), folders)
        if spec is None:
            return None
        folders = list(spec.submodule_search_locations or ())
    return Path(spec.origin) if spec.origin is not None and spec.origin.endswith(".py") else None
