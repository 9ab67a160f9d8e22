"""Pages as pictures; runs in a worker process."""

import os
from pathlib import Path
from typing import Any

import pypdfium2  # type: ignore[import-untyped]

from ..base.failures import Failure
from ..workers.protocol import RenderJob

# A page may claim to be a kilometre long; the picture's size is bounded all the same.
PIXELS_MOST = 8_000_000
SIDE_MOST = 6000


def scale_for(width_pt: float, height_pt: float, width_px: int) -> float:
    """Points to pixels for this width, or less where the page is too long for it."""
    width_pt, height_pt = max(width_pt, 1.0), max(height_pt, 1.0)
    scale = width_px / width_pt
    scale = min(scale, SIDE_MOST / width_pt, SIDE_MOST / height_pt)
    return float(min(scale, (PIXELS_MOST / (width_pt * height_pt)) ** 0.5))


def picture(pdf: Any, page: int, width_px: int) -> Any:
    """A Pillow image of the page, counted from 1."""
    sheet = pdf[page - 1]
    try:
        bitmap = sheet.render(scale=scale_for(*sheet.get_size(), width_px), draw_annots=True)
        return bitmap.to_pil().convert("RGB")
    finally:
        sheet.close()


def render(job: RenderJob) -> Failure | None:
    """Write the page's PNG, whole or not at all."""
    try:
        pdf = pypdfium2.PdfDocument(job.file)
    except pypdfium2.PdfiumError:
        return Failure(code="damaged")
    draft = job.target.with_name(f".{job.target.name}.{os.getpid()}")
    try:
        picture(pdf, job.page, job.width).save(draft, format="PNG")
        Path(draft).replace(job.target)
    except (pypdfium2.PdfiumError, IndexError):
        return Failure(code="damaged")
    except OSError:
        return Failure(code="storage_full")
    finally:
        draft.unlink(missing_ok=True)
        pdf.close()
    return None
