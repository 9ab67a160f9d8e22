"""Bad documents through the gateway: a sentence a user understands, and the service goes on."""

from __future__ import annotations

import io

import pytest
from pypdf import PdfReader, PdfWriter
from pypdf.generic import DecodedStreamObject, NameObject

from tests.integration.conftest import Stack
from tests.integration.documents import settled
from tests.integration.pulumi_project import REPOSITORY

pytestmark = pytest.mark.integration
MIB = 1024**2


def encrypted() -> bytes:
    writer = PdfWriter()
    writer.append(PdfReader(REPOSITORY / "samples" / "warehouse-lease.pdf"))
    writer.encrypt("secret")
    return saved(writer)


def scanned() -> bytes:
    """Pages with a picture and no text, as a scanner makes them."""
    writer = PdfWriter()
    for _ in range(3):
        picture = DecodedStreamObject()
        picture.set_data(b"q 400 0 0 600 90 100 cm BI /W 1 /H 1 /CS /G /BPC 8 ID \x80 EI Q")
        page = writer.add_blank_page(width=595, height=842)
        page[NameObject("/Contents")] = writer._add_object(picture)  # a stream must be an object of its own
    return saved(writer)


def saved(writer: PdfWriter) -> bytes:
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


CASES = {  # how it is made, its name, a word of the sentence
    "encrypted": (encrypted, "locked.pdf", "password"),
    "empty": (lambda: b"", "empty.pdf", "empty"),
    "scanned": (scanned, "scan.pdf", "scan"),
    "larger than the limit": (lambda: b"%PDF-1.7\n" + b"0" * (60 * MIB), "large.pdf", "50 MiB"),
    "not a PDF": (lambda: b"MZ\x90\x00 this is a program", "report.pdf", "PDF"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_bad_document_gets_a_sentence_and_nothing_is_lost(stack: Stack, case: str) -> None:
    make, name, word = CASES[case]
    client = stack.client()
    before = client.get("/api/documents").json()
    answer = client.post("/api/documents", files={"file": (name, make(), "application/pdf")})
    told = answer.json()
    if answer.status_code == 202:  # what only indexing can see
        told = settled(client, told["id"])
        assert told["status"] == "failed"
        client.delete(f"/api/documents/{told['id']}").raise_for_status()
    else:
        assert 400 <= answer.status_code < 500, answer.text
    assert word.lower() in told["error"]["message"].lower()
    assert client.get("/api/documents").json() == before
    assert client.get("/ready").status_code == 200
