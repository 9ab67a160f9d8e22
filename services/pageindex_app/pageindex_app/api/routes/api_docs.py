"""Swagger UI at /api/docs, from files of our own: nothing is loaded from another host."""

import json
from functools import cache
from importlib.resources import files

from fastapi import APIRouter, Response

from ...base.errors import AppError

router = APIRouter(include_in_schema=False)
_FILES = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
_FOR_GOOD = "public, max-age=86400"

_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>PageIndex API</title><link rel="stylesheet" href="docs/swagger-ui.css"></head>
<body><div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script><script src="docs/start.js"></script></body>
</html>
"""
_START = "SwaggerUIBundle(%s);"
_OPTIONS = {
    "url": "openapi.json",
    "dom_id": "#swagger-ui",
    "deepLinking": True,
    "persistAuthorization": False,
    "validatorUrl": None,  # would send the schema to another host
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


@cache
def _file(name: str) -> bytes:
    return (files("fastapi_offline") / "static" / name).read_bytes()


@router.get("/api/docs")
async def docs() -> Response:
    return Response(_PAGE, media_type="text/html; charset=utf-8", headers=_HEADERS)


@router.get("/api/docs/{name}")
async def docs_file(name: str) -> Response:
    if name == "start.js":
        return Response(_START % json.dumps(_OPTIONS), media_type="text/javascript", headers=_HEADERS)
    if name not in _FILES:
        raise AppError(404, "not_found", "There is no such file.", "The page is at /api/docs.")
    return Response(_file(name), media_type=_FILES[name], headers={**_HEADERS, "Cache-Control": _FOR_GOOD})
