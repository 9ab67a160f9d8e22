"""Routes about the service itself."""

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from ... import __version__
from ..dependencies import AppServices

router = APIRouter(tags=["service"])


@router.get("/health")
async def health() -> dict[str, str]:
    """The process is alive, and its version. GET /ready looks at what it depends on."""
    return {"status": "alive", "version": __version__}


@router.get("/ready")
async def ready(services: AppServices) -> JSONResponse:
    """Whether questions can be answered and documents stored, with the reason for each part that is not ready."""
    reasons = {"vllm": await services.model.unavailable(), "storage": services.library.writable()}
    checks = {part: {"ok": reason is None, "reason": reason or ""} for part, reason in reasons.items()}
    ok = not any(reasons.values())
    body = {"status": "ready" if ok else "not ready", "checks": checks}
    return JSONResponse(body, status_code=200 if ok else 503, headers={} if ok else {"Retry-After": "10"})


@router.get("/api/models")
async def models(services: AppServices) -> dict[str, dict[str, str | int | None] | None]:
    """Which model answers, which summarises while a document is indexed, and which reads scans, with their windows."""
    settings = services.settings
    summarising, window = settings.summarising
    scans = {"model": settings.ocr_model, "context_tokens": settings.ocr_context_tokens}
    return {
        "answer": {"model": settings.vllm_model, "context_tokens": settings.context_tokens},
        "summary": {"model": summarising, "context_tokens": window},
        "scans": scans if settings.ocr_base_url else None,
    }


@router.get("/metrics")
async def metrics(services: AppServices) -> Response:
    """For Prometheus."""
    return Response(services.metrics.text(), media_type="text/plain; version=0.0.4")
