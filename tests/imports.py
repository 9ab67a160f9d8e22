"""Who imports whom, read from the source: for the tests that hold the packages to their layers."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

LINES_MOST = 300
REASON = "This file is longer than "  # how the docstring of such a file begins its reason

Imports = Mapping[str, frozenset[str]]
"""Module to the modules that it imports anywhere, inside a function too; all by their dotted names."""


def modules_below(folder: Path, package: str) -> dict[str, Path]:
    """Dotted name to file of each module of a package; a package itself goes by its own name."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = [package, *path.relative_to(folder).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(modules: Mapping[str, Path]) -> Imports:
    """What each module imports of ``modules``; a name that is a module of a package counts as that module."""
    return {name: frozenset(_imported(name, path, modules)) - {name} for name, path in modules.items()}


def _imported(module: str, path: Path, modules: Mapping[str, Path]) -> Iterator[str]:
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from _known((alias.name for alias in node.names), modules)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")
                base = ".".join([*above[: len(above) - node.level + 1], *([base] if base else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield from _known([inner if inner in modules else base], modules)


def _known(names: Iterable[str], modules: Mapping[str, Path]) -> Iterator[str]:
    """Those of ours. AssertionError for one that names a package of ours and is no module of it."""
    ours = {module.split(".")[0] for module in modules}
    for name in names:
        if name in modules:
            yield name
        else:
            assert name.split(".")[0] not in ours, f"unknown: {name}"


def circle(imports: Imports) -> list[str]:
    """The modules of one circle in order; empty where there is none."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def too_long(path: Path) -> bool:
    """Whether a file has more lines than a file should, and no reason in its docstring."""
    text = path.read_text(encoding="utf-8")
    return len(text.splitlines()) > LINES_MOST and REASON not in (ast.get_docstring(ast.parse(text)) or "")
