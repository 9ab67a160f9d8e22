"""PDFs that a password locks."""

import io

import PyPDF2


def encrypted(content: bytes, user_password: str) -> bytes:
    """With a password to open it, or with none and only its permissions locked."""
    writer = PyPDF2.PdfWriter()
    writer.append_pages_from_reader(PyPDF2.PdfReader(io.BytesIO(content)))
    writer.encrypt(user_password, owner_password="the owner's")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()
