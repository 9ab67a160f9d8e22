"""The program's packages form layers: a module imports from its own package and from lower ones, never in a circle."""

from __future__ import annotations

import ast
import itertools
from pathlib import Path

import pytest

from tests.imports import Imports, circle, imports_of, modules_below, too_long

REPOSITORY = Path(__file__).resolve().parents[2]
PLANNING = "planning"

# From the bottom up. A package may import from those before it that ALLOWED names.
ALLOWED: dict[str, set[str]] = {
    "machine": set(),
    "planning": set(),
    "host_access": {"planning", "machine"},
    "toolchain": {"machine"},
    "lab": {"machine", "planning"},
    "checks": {"planning", "host_access"},
    "rollout": {"planning", "host_access", "checks"},
    "components": {"planning", "host_access"},
    "stack_file": {"planning"},
    "wiring": {"planning", "components", "stack_file"},
    "__main__": {"planning", "components", "stack_file", "wiring"},
    "provider": {"planning", "components"},
    "quickstart": {"machine", "planning", "toolchain", "lab"},
    "operate": {"machine", "planning", "host_access", "checks", "components", "quickstart"},
    "devtools": {"machine", "toolchain", "lab", "quickstart", "operate"},
    "bench": {"machine", "planning", "host_access", "lab", "rollout", "quickstart", "operate"},
}
# Inside planning, from the bottom up; a package may import from all before it that its docstring names.
PLANNING_ALLOWED: dict[str, set[str]] = {
    "settings": set(),
    "hosts": {"settings"},
    "models": {"settings"},
    "memory": {"settings", "hosts", "models"},
    "gateway": {"settings", "hosts"},
    "rules": {"settings", "hosts", "models", "memory", "gateway"},
    "services": {"settings", "hosts", "models", "memory", "gateway", "rules"},
}
PYTHON_FOLDERS = [name for name in ALLOWED if (REPOSITORY / name).is_dir()]


@pytest.fixture(scope="module")
def imports() -> Imports:
    modules = {}
    for name in ALLOWED:
        folder = REPOSITORY / name
        modules |= modules_below(folder, name) if folder.is_dir() else {name: folder.with_suffix(".py")}
    return imports_of(modules)


def upward(imports: Imports, allowed: dict[str, set[str]], below: str = "") -> list[str]:
    """Imports from a package that the importing one may not use. Names count from ``below`` on."""

    def package(module: str) -> str:
        return module.removeprefix(f"{below}.").split(".")[0] if below else module.split(".")[0]

    return [
        f"{module} imports {imported}"
        for module, found in sorted(imports.items())
        for imported in sorted(found)
        if package(module) in allowed and package(imported) in allowed and package(imported) != package(module)
        and package(imported) not in allowed[package(module)]
    ]  # fmt: skip


def test_no_module_imports_from_a_higher_package(imports: Imports) -> None:
    assert upward(imports, ALLOWED) == []


def test_inside_planning_the_arrows_go_one_way_too(imports: Imports) -> None:
    inside = {
        module: frozenset(name for name in found if name.startswith(f"{PLANNING}."))
        for module, found in imports.items()
        if module.startswith(f"{PLANNING}.")
    }
    assert upward(inside, PLANNING_ALLOWED, PLANNING) == []
    above = {name for name in inside if name.split(".")[1] not in PLANNING_ALLOWED}
    lower_to_upper = [(name, sorted(found & above)) for name, found in inside.items() if name not in above]
    assert [pair for pair in lower_to_upper if pair[1]] == [], "a package imports the plan that stands on it"


def test_no_modules_import_each_other_in_a_circle(imports: Imports) -> None:
    assert circle(imports) == []


def test_packages_too_are_free_of_circles() -> None:
    for layers in (ALLOWED, PLANNING_ALLOWED):
        assert circle({name: frozenset(lower) for name, lower in layers.items()}) == []


def test_every_package_says_what_it_owns_and_what_it_may_import() -> None:
    planning = [f"{PLANNING}/{name}" for name in PLANNING_ALLOWED]
    for folder in [*PYTHON_FOLDERS, *planning]:
        text = ast.get_docstring(ast.parse((REPOSITORY / folder / "__init__.py").read_text(encoding="utf-8"))) or ""
        assert "import" in text.lower(), f"{folder}/__init__.py does not say what it may import"


def test_every_python_folder_is_declared() -> None:
    found = {path.parent.name for path in REPOSITORY.glob("*/__init__.py")}
    assert found - {"tests"} == set(PYTHON_FOLDERS)


def test_planning_knows_nothing_of_pulumi() -> None:
    for path in (REPOSITORY / PLANNING).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0].startswith("pulumi") for name in names), path


def test_no_file_is_too_long_without_a_reason() -> None:
    folders = [REPOSITORY / name for name in (*PYTHON_FOLDERS, "services", "tests")]
    files = itertools.chain(REPOSITORY.glob("*.py"), *(folder.rglob("*.py") for folder in folders))
    assert [str(path.relative_to(REPOSITORY)) for path in files if too_long(path)] == []


def test_the_rules_see_what_breaks_them(tmp_path: Path) -> None:
    made = {
        "machine/__init__.py": "",
        "machine/low.py": "def late():\n    from quickstart.up import up\n",
        "quickstart/__init__.py": "",
        "quickstart/up.py": "from . import down\nfrom machine import low\n",
        "quickstart/down.py": "import quickstart.up\n" + "\n" * 300,
    }
    for name, text in made.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    found = imports_of(
        modules_below(tmp_path / "machine", "machine") | modules_below(tmp_path / "quickstart", "quickstart")
    )
    assert upward(found, ALLOWED) == ["machine.low imports quickstart.up"]
    assert circle(found)
    assert too_long(tmp_path / "quickstart/down.py")
    assert not too_long(tmp_path / "machine/low.py")
