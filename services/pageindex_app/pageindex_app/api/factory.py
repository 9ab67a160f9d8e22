"""Puts the app together; `create_app` is what tests and the server start from."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.routing import Route

from .. import __version__
from ..base.offline import go_offline
from ..base.settings import Settings
from ..services import Services
from .errors import install_error_handlers
from .mcp_front.server import McpFront
from .middleware import BodyLimit, RequestContext
from .openai_front import routes as openai
from .routes import api_docs, ask, conversations, documents, service, web_page


def create_app(settings: Settings | None = None) -> FastAPI:
    """The app, with its own library and workers; they start and stop with its lifespan."""
    go_offline()
    settings = settings or Settings()
    services = Services.build(settings)
    mcp = McpFront(services)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        services.library.open()
        services.page_images.open()
        # Uploads are spooled while they arrive, and /tmp may be a small piece of memory.
        previous, tempfile.tempdir = tempfile.tempdir, str(services.library.incoming)
        services.indexer.start()
        try:
            async with mcp.running():
                yield
        finally:
            tempfile.tempdir = previous
            await services.indexer.stop()
            await services.page_images.close()
            await services.model.close()

    # FastAPI's own docs page would load its scripts from another host.
    app = FastAPI(
        title="PageIndex",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    app.state.services = services
    install_error_handlers(app)
    for routes in (web_page, service, documents, ask, conversations, openai, api_docs):
        app.include_router(routes.router)
    app.router.routes.append(Route("/mcp", mcp))
    app.add_middleware(BodyLimit, settings=settings)
    app.add_middleware(RequestContext, metrics=services.metrics)  # added last, so it is the outermost
    return app
