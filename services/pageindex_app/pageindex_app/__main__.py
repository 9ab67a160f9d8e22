"""`python -m pageindex_app`: serve until told to stop."""

import sys
from collections.abc import Callable
from types import FrameType

import uvicorn
from pydantic import ValidationError

from .api.factory import create_app
from .base.logs import configure_logging
from .base.settings import Settings


class Server(uvicorn.Server):
    """Ends the streams of document events when it is told to stop: nothing else would ever close them."""

    def __init__(self, config: uvicorn.Config, end_streams: Callable[[], None]) -> None:
        super().__init__(config)
        self._end_streams = end_streams

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._end_streams()
        super().handle_exit(sig, frame)


def main() -> None:
    configure_logging()
    try:
        settings = Settings()
    except ValidationError as error:
        for fault in error.errors():
            name = str(fault["loc"][0]).upper()
            found = "it is not set" if fault["type"] == "missing" else f"it is {fault['input']!r}"
            print(f"{name}: {fault['msg']} ({found})", file=sys.stderr)
        sys.exit(2)
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,  # the middleware logs requests, with their ids
        server_header=False,
        timeout_graceful_shutdown=20,
    )
    Server(config, app.state.services.library.events.end).run()


if __name__ == "__main__":
    main()
