"""Why a file did not become a document, worded for the person who uploaded it."""

from pydantic import BaseModel

from .errors import AppError, model_unavailable
from .settings import Settings


class Failure(BaseModel):
    """A code for programs, and the detail that the sentence needs. The worker makes it, `refusal` words it."""

    code: str
    detail: str = ""


class OcrUnavailable(Exception):
    """The OCR service cannot be used; the text says why."""


def refusal(failure: Failure, settings: Settings) -> AppError:
    """What the user is told when a file cannot become a document."""
    known = {
        "encrypted": (
            "The PDF is protected by a password.",
            "Save it without a password and upload it again.",
        ),
        "empty": ("The document is empty: it has no page with content.", "Upload a document that contains text."),
        "scanned": (
            "The PDF has no text, only pictures of pages: it is probably a scan.",
            "A model that reads images reads scans: one of this stack, or the `ocr` stack as pageindex.ocr.stack; "
            "or run ocrmypdf on the file first.",
        ),
        "damaged": ("The file is damaged and cannot be read.", "Export or download it anew and upload it again."),
        "too_many_pages": (
            f"The document has {failure.detail} pages; at most {settings.max_pages} are allowed.",
            "Split it, or let the operator raise MAX_PAGES.",
        ),
        "too_much_text": (
            "The document unpacks to more text than any book has.",
            "Split it, or check where it comes from: files like this are made to fill memory.",
        ),
        "out_of_memory": (
            f"Reading the document took more than {settings.index_memory_mib} MiB of memory and was ended.",
            "Split it, or let the operator raise INDEX_MEMORY_MIB.",
        ),
        "timeout": (
            f"Indexing took longer than {settings.index_timeout_s} s and was ended.",
            "Split the document, or let the operator raise INDEX_TIMEOUT_S.",
        ),
        "crashed": ("The document could not be read: the reader crashed on it.", "Export it anew and upload it again."),
        "ocr_unavailable": (
            f"The OCR service is not available: {failure.detail}.",
            "Re-index the document when it is back.",
        ),
    }
    if failure.code == "model_unavailable":
        return model_unavailable(failure.detail)
    if failure.code == "storage_full":
        return AppError(507, "storage_full", "There is no space left for documents.", "Delete some, or add disk space.")
    message, hint = known[failure.code]
    return AppError(413 if failure.code == "too_many_pages" else 422, failure.code, message, hint)
