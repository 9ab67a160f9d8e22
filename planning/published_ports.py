"""`python -m planning.published_ports STACK`: bind address and ports of a stack's gateway, as JSON."""

from __future__ import annotations

import json
import sys

from planning.settings.gateway import GatewaySettings
from planning.stack_files import area_in, stack_file_of


def main(stack: str) -> None:
    """Reads the ports alone: the preview reports all other errors of the file."""
    given = area_in(stack_file_of(stack), "gateway")
    known = {key: value for key, value in given.items() if key in {"bind", "api_port", "app_port"}}
    settings = GatewaySettings.model_validate(known)
    print(json.dumps([settings.bind, {"api_port": settings.api_port, "app_port": settings.app_port}]))


if __name__ == "__main__":
    main(sys.argv[1])
