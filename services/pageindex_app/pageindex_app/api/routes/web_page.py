"""The web page: its files, and the headers that keep it to its own origin.

The page is public and holds no data: what it shows comes from the API, with the key that a person enters.
"""

import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request, Response

from ...answering.questions import QUESTION_CHARS
from ...base.errors import AppError

WEB = Path(__file__).resolve().parents[2] / "web"
# Scripts, styles and calls are this origin's own; page images are blobs, because an <img> cannot send the key.
CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "manifest-src 'self'",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
)
# Swagger UI styles its elements itself, and comes as a blob because its files lie behind the key.
API_PAGE_POLICY = (
    "default-src 'none'; script-src 'self' blob:; style-src 'self' blob: 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src data:; connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
REVALIDATE = "no-cache"  # a browser keeps it, but asks each time whether it changed; the answer is a short 304
FOR_GOOD = "public, max-age=31536000, immutable"
_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
}

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class WebFile:
    """A file as it is sent."""

    content: bytes
    media_type: str
    etag: str


@dataclass(frozen=True)
class WebFiles:
    """All files of the page. ``version`` changes when any of them does, and stands in their addresses:
    the page never runs with a script of another release, and a browser asks for each file once."""

    version: str
    page: WebFile
    files: dict[str, WebFile]


@cache
def web_files() -> WebFiles:
    """Read once: the page is a few hundred KiB, and nothing that a request names is ever opened."""
    contents = {
        path.relative_to(WEB).as_posix(): path.read_bytes() for path in sorted(WEB.rglob("*")) if path.is_file()
    }
    everything = hashlib.sha256()
    for name, content in contents.items():
        everything.update(f"{name}\0{len(content)}\0".encode() + content)
    version = everything.hexdigest()[:12]
    page = contents.pop("index.html")
    for slot, value in {"static": f"/static/{version}", "question_chars": str(QUESTION_CHARS)}.items():
        page = page.replace(f"{{{{{slot}}}}}".encode(), value.encode())
    return WebFiles(version, _file("index.html", page), {name: _file(name, raw) for name, raw in contents.items()})


def _file(name: str, content: bytes) -> WebFile:
    media_type = _TYPES.get(Path(name).suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    return WebFile(content, media_type, f'"{hashlib.sha256(content).hexdigest()[:32]}"')


@router.api_route("/", methods=["GET", "HEAD"])
async def page(request: Request) -> Response:
    return _send(request, web_files().page, REVALIDATE)


@router.api_route("/favicon.ico", methods=["GET", "HEAD"])
async def favicon(request: Request) -> Response:
    """Browsers ask for it when they show an answer of the API itself."""
    return _send(request, web_files().files["icon.svg"], REVALIDATE)


@router.api_route("/static/{version}/{name:path}", methods=["GET", "HEAD"])
async def static(request: Request, version: str, name: str) -> Response:
    files = web_files()
    if version != files.version or name not in files.files:
        # A page that was open during an update: its next reload gets the new addresses.
        raise AppError(404, "not_found", "There is no such file.", "Reload the page.")
    response = _send(request, files.files[name], FOR_GOOD)
    if name == "api.html":
        response.headers["Content-Security-Policy"] = API_PAGE_POLICY
    return response


def _send(request: Request, file: WebFile, cache_control: str) -> Response:
    headers = {**HEADERS, "Cache-Control": cache_control, "ETag": file.etag}
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if file.etag in known:
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)
