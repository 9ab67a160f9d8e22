"""Write down how the installed `pulumi_docker` names and shapes its properties, for the Go test beside this folder.

Run it after raising the version: `.venv/bin/python toolchain/docker_plugin/testdata/write_properties.py`.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import re
from pathlib import Path
from typing import Any

ENUMS_AND_NATIVE = {"BuilderVersion", "Image"}


def properties_of(class_: ast.ClassDef) -> dict[str, str]:
    """Each property's name on the wire, and its annotation."""
    found = {}
    for function in class_.body:
        if not isinstance(function, ast.FunctionDef) or function.returns is None:
            continue
        decorators = [ast.unparse(decorator) for decorator in function.decorator_list]
        getter = next((text for text in decorators if text.startswith("pulumi.getter")), None)
        if getter is not None:
            renamed = re.search(r"name='(\w+)'", getter)
            found[renamed.group(1) if renamed else function.name] = ast.unparse(function.returns)
    return found


def main() -> None:
    spec = importlib.util.find_spec("pulumi_docker")
    if spec is None or spec.origin is None:
        raise SystemExit("pulumi_docker is not installed here")
    nested: dict[str, dict[str, str]] = {}
    resources: dict[str, dict[str, str]] = {}
    for path in sorted(Path(spec.origin).parent.glob("*.py")):
        for class_ in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(class_, ast.ClassDef):
                continue
            token = next((re.search(r"docker:index/\S+:\w+", ast.unparse(d)) for d in class_.decorator_list), None)
            if path.stem == "outputs":
                nested[class_.name] = properties_of(class_)
            elif token and class_.name not in ENUMS_AND_NATIVE:
                resources[token.group()] = properties_of(class_)
            elif path.stem == "provider" and class_.name == "ProviderArgs":
                resources["provider"] = properties_of(class_)

    def shape(annotation: str) -> dict[str, Any]:
        named = re.search(r"'outputs\.(\w+)'", annotation)
        result: dict[str, Any] = {"list": "Sequence" in annotation}
        if named:
            result["fields"] = {name: shape(text) for name, text in nested[named.group(1)].items()}
        return result

    lines = [
        f"{json.dumps(token)}: " + json.dumps({name: shape(text) for name, text in properties.items()})
        for token, properties in sorted(resources.items())
    ]
    output = Path(__file__).with_name("pulumi_docker_properties.json")
    output.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
