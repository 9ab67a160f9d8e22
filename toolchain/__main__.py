"""`python3 -m toolchain [build|path|env|clean]`: see README.md beside this file."""

from __future__ import annotations

import os
import shlex
import sys

from machine.console import StepFailed, main_guard
from toolchain import Toolchain, ensure
from toolchain.installation import clean, installed

USAGE = """usage: python3 -m toolchain [build | path | env | clean]

  build   build Pulumi and its plugins unless they are there (the default)
  path    print the folder that holds `pulumi`
  env     print the export lines that put it on a shell's environment
  clean   remove what was built"""


def _require_installed() -> Toolchain:
    toolchain = installed()
    if toolchain is None:
        raise StepFailed("Pulumi isn't built yet", mend="python3 -m toolchain")
    return toolchain


def export_lines(toolchain: Toolchain) -> list[str]:
    """For a POSIX shell. PATH is left alone where the folder leads it already, however often this is sourced."""
    lines = [f"export {key}={shlex.quote(value)}" for key, value in toolchain.environment().items()]
    folder = str(toolchain.bin_dir)
    if toolchain.is_ours and os.environ.get("PATH", "").split(os.pathsep)[0] != folder:
        lines.insert(0, f'export PATH={shlex.quote(folder)}:"$PATH"')
    return lines


def main(arguments: list[str]) -> int:
    command = arguments[0] if arguments else "build"
    if len(arguments) > 1 or command not in ("build", "path", "env", "clean"):
        print(USAGE, file=sys.stderr)
        return 0 if command in ("-h", "--help", "help") else 2
    if command == "build":
        ensure()
    elif command == "path":
        print(_require_installed().bin_dir)
    elif command == "env":
        print("\n".join(export_lines(_require_installed())))
    else:
        clean()
    return 0


if __name__ == "__main__":
    sys.exit(main_guard(lambda: main(sys.argv[1:])))
