"""How a module of this package is started as a process of its own."""

import os
import sys
from pathlib import Path

_PACKAGE_ROOT = str(Path(__file__).resolve().parents[2])


def module_command(module: str, *arguments: str) -> tuple[str, ...]:
    """The command line of one of the package's modules, such as `worker_main`."""
    return (sys.executable, "-m", f"pageindex_app.{module}", *arguments)


def module_environment() -> dict[str, str]:
    """The package need not be installed: the new process finds it where this one did."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([_PACKAGE_ROOT, os.environ.get("PYTHONPATH", "")])}
