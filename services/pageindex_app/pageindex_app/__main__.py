"""`python -m pageindex_app`: serve until told to stop."""

import sys

import uvicorn
from pydantic import ValidationError

from .factory import create_app
from .logs import configure_logging
from .settings import Settings


def main() -> None:
    configure_logging()
    try:
        settings = Settings()
    except ValidationError as error:
        for fault in error.errors():
            name = str(fault["loc"][0]).upper()
            print(f"{name}: {fault['msg']} (it is {fault['input']!r})", file=sys.stderr)
        sys.exit(2)
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,  # the middleware logs requests, with their ids
        server_header=False,
        timeout_graceful_shutdown=20,
    )


# The index workers import this module again.
if __name__ == "__main__":
    main()
