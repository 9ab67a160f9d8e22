"""The app's packages form layers: a module imports from its own package and from lower ones, and never in a circle."""

import ast
from pathlib import Path

import pytest

from tests.imports import LINES_MOST, Imports, circle, imports_of, modules_below, too_long

APP = Path(__file__).resolve().parents[3] / "services/pageindex_app/pageindex_app"

# What each package may import besides itself; the package's docstring says the same in words.
BASE = frozenset({"base"})
DOCUMENTS = BASE | {"search", "workers", "documents"}
ALLOWED = {
    "base": frozenset[str](),
    "search": frozenset[str](),
    "workers": BASE,
    "model": BASE,
    "documents": BASE | {"search", "workers"},
    "indexing": BASE | {"workers", "model", "documents"},
    "answering": BASE | {"search", "model", "documents"},
    "services": DOCUMENTS | {"model", "indexing", "answering"},
    "api": DOCUMENTS | {"model", "indexing", "answering", "services", "the package itself"},
    "__main__": frozenset({"base", "api"}),
    "worker_main": frozenset({"base", "workers", "documents", "indexing"}),
    "quote_finder": frozenset[str](),
    "the package itself": frozenset[str](),
}
APART = ("api.routes", "api.openai_front", "api.mcp_front")  # they do not import each other


def imports_below(root: Path) -> Imports:
    """The package's imports, with names that leave out the package's own."""
    own = f"{APP.name}."
    found = imports_of(modules_below(root, APP.name))
    return {
        module.removeprefix(own): frozenset(name.removeprefix(own) for name in imported)
        for module, imported in found.items()
    }


def package_of(module: str) -> str:
    return "the package itself" if module == APP.name else module.split(".")[0]


def upward(imports: Imports) -> list[str]:
    """Imports from a package that the importing one may not use."""
    return [
        f"{module} imports {imported}"
        for module, found in imports.items()
        for imported in sorted(found)
        if package_of(imported) != package_of(module) and package_of(imported) not in ALLOWED[package_of(module)]
    ]


def sideways(imports: Imports) -> list[str]:
    """Imports between the fronts, and between modules of routes."""
    found = []
    for module, imported in ((module, imported) for module, all_ in imports.items() for imported in sorted(all_)):
        here, there = (".".join(name.split(".")[:2]) for name in (module, imported))
        if here in APART and there in APART and (here != there or here == "api.routes"):
            found.append(f"{module} imports {imported}")
    return found


@pytest.fixture(scope="module")
def imports() -> Imports:
    return imports_below(APP)


def test_every_package_is_declared_and_says_what_it_owns(imports: Imports) -> None:
    assert {package_of(module) for module in imports} == set(ALLOWED)
    for folder in {(APP / module.replace(".", "/")).parent for module in imports}:
        text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
        assert "import" in (text or "").lower(), f"{folder.name} does not say what it may import"


def test_no_module_imports_from_a_higher_package(imports: Imports) -> None:
    assert upward(imports) == []


def test_routes_and_fronts_do_not_import_each_other(imports: Imports) -> None:
    assert sideways(imports) == []


def test_no_modules_import_each_other_in_a_circle(imports: Imports) -> None:
    assert circle(imports) == []


def test_no_module_is_too_long() -> None:
    assert [path.name for path in APP.rglob("*.py") if too_long(path)] == []


def test_the_rules_see_what_breaks_them(tmp_path: Path) -> None:
    made = {
        "__init__": "",
        "base.__init__": "",
        "base.first": "def late():\n    from .second import x\n",
        "base.second": "from pageindex_app.base import first\n",
        "base.third": "import pageindex_app.documents.library\n",
        "documents.__init__": "",
        "documents.library": "def late():\n    from ..api.routes import ask\n",
        "api.__init__": "",
        "api.routes.__init__": "",
        "api.routes.ask": "from .documents import router\n" + "\n" * LINES_MOST,
        "api.routes.documents": "from ..openai_front.routes import router\n",
        "api.openai_front.__init__": "",
        "api.openai_front.routes": "",
    }
    for module, text in made.items():
        path = tmp_path / f"{module.replace('.', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found = imports_below(tmp_path)
    assert sorted(upward(found)) == [
        "base.third imports documents.library",
        "documents.library imports api.routes.ask",
    ]
    assert sorted(sideways(found)) == [
        "api.routes.ask imports api.routes.documents",
        "api.routes.documents imports api.openai_front.routes",
    ]
    assert set(circle(found)) == {"base.first", "base.second"}
    assert too_long(tmp_path / "api/routes/ask.py")
    assert not too_long(tmp_path / "base/first.py")
