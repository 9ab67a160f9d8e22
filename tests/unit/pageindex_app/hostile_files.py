"""Fifty files that mean harm or are merely broken, and what the app must say of each."""

import io
import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import PyPDF2
from locked_pdf import encrypted
from pdfs import PICTURE, pdf, text_page

GOOD = pdf(text_page("A short letter.", "It was written on a Tuesday."))
MIB = 1024 * 1024
UPLOAD_MIB, PAGES_MOST = 2, 40  # the limits that these files break

# What may come of a file: refused at the upload by this code, failed with one of these codes, or simply read.
READ = "ready"
UNREADABLE = ("damaged", "crashed", "empty", "scanned")
BOMB = ("out_of_memory", "crashed", "damaged", "too_much_text", "empty", "timeout", "scanned")


@dataclass(frozen=True)
class Hostile:
    """A file and the codes that its refusal may have; ``READ`` where it may as well be read."""

    title: str
    name: str
    content: Callable[[], bytes]
    codes: tuple[str, ...]


def raw_pdf(*objects: bytes, trailer: bytes = b"/Root 1 0 R") -> bytes:
    """A PDF of exactly these objects, with a correct table of where they are."""
    out, offsets = bytearray(b"%PDF-1.7\n"), []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return bytes(out + b"trailer\n<< /Size %d %s >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, trailer, table))


def stream(content: bytes, more: bytes = b"") -> bytes:
    return b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(content), more, content)


def one_page(contents: bytes, page: bytes = b"/MediaBox [0 0 595 842]", root: bytes = b"") -> bytes:
    """One page with this stream object as its content."""
    return raw_pdf(
        b"<< /Type /Catalog /Pages 2 0 R %s >>" % root,
        b"<< /Type /Pages /Count 1 /Kids [4 0 R] >>",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Type /Page /Parent 2 0 R %s /Contents 5 0 R /Resources << /Font << /F1 3 0 R >> >> >>" % page,
        contents,
    )


def deflated(block: bytes, times: int, layers: int = 1) -> bytes:
    """A stream of some KiB that inflates to ``times`` blocks, through several filters if so wished."""
    packer = zlib.compressobj(9)
    content = b"".join(packer.compress(block) for _ in range(times)) + packer.flush()
    for _ in range(layers - 1):
        content = zlib.compress(content, 9)
    return stream(content, b"/Filter [%s]" % (b"/FlateDecode " * layers))


def blank_bomb() -> bytes:
    return one_page(deflated(b" " * MIB, 1500))


def text_bomb() -> bytes:
    shown = b"BT /F1 1 Tf 0 0 Td " + b"(bomb bomb bomb bomb bomb bomb bomb bomb) Tj " * 20000 + b"ET\n"
    return one_page(deflated(shown, 28))


def nested_bomb() -> bytes:
    return one_page(deflated(b"\0" * MIB, 2000, layers=3))


def object_stream_bomb() -> bytes:
    packer = zlib.compressobj(9)
    body = b"".join(packer.compress(b" " * MIB) for _ in range(1200)) + packer.flush()
    return raw_pdf(
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] >>",
        stream(body, b"/Type /ObjStm /N 100000 /First 1000000 /Filter /FlateDecode"),
    )


def picture_bomb() -> bytes:
    """A picture that claims four thousand million pixels."""
    return raw_pdf(
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        b" /Resources << /XObject << /I 5 0 R >> >> >>",
        stream(b"q 500 0 0 500 0 0 cm /I Do Q"),
        stream(
            zlib.compress(b"\0" * MIB),
            b"/Type /XObject /Subtype /Image /Width 65000 /Height 65000 /ColorSpace /DeviceRGB"
            b" /BitsPerComponent 8 /Filter /FlateDecode",
        ),
    )


def form_loop() -> bytes:
    """Two forms that draw each other."""
    form = b"/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /A 5 0 R /B 6 0 R >> >>"
    return raw_pdf(
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R /Resources << /XObject << /A 5 0 R >> >> >>",
        stream(b"/A Do"),
        stream(b"/B Do /B Do", form),
        stream(b"/A Do /A Do", form),
    )


def deep_tree() -> bytes:
    """Five thousand levels of page nodes above one page."""
    levels = 5000
    nodes = [b"<< /Type /Pages /Count 1 /Kids [%d 0 R] >>" % (number + 3) for number in range(levels)]
    return raw_pdf(b"<< /Type /Catalog /Pages 2 0 R >>", *nodes, b"<< /Type /Page /MediaBox [0 0 9 9] >>")


def deep_array() -> bytes:
    return one_page(stream(b"BT (x) Tj ET"), b"/MediaBox [0 0 9 9] /X " + b"[" * 50_000 + b"]" * 50_000)


def outline_loop() -> bytes:
    """Bookmarks whose next is themselves."""
    return raw_pdf(
        b"<< /Type /Catalog /Pages 2 0 R /Outlines 4 0 R >>",
        b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 6 0 R"
        b" /Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>",
        b"<< /Type /Outlines /First 5 0 R /Last 5 0 R /Count 1 >>",
        b"<< /Title (Round and round) /Parent 4 0 R /Next 5 0 R /First 5 0 R /Dest [3 0 R /Fit] >>",
        stream(text_page("Text below a loop of bookmarks, which must not matter.")),
    )


def noise(size: int) -> bytes:
    return random.Random(7).randbytes(size)  # noqa: S311


def flipped(seed: int) -> bytes:
    """A good PDF with a hundredth of its bytes changed."""
    dice = random.Random(seed)  # noqa: S311
    content = bytearray(pdf(*[text_page(f"Page {number} says something.") for number in range(5)]))
    for _ in range(len(content) // 100):
        content[dice.randrange(8, len(content))] = dice.randrange(256)
    return bytes(content)


def many_attachments() -> bytes:
    writer = PyPDF2.PdfWriter()
    writer.append_pages_from_reader(PyPDF2.PdfReader(io.BytesIO(GOOD)))
    for number in range(50):
        writer.add_attachment(f"../../evil-{number}.sh", b"#!/bin/sh\nexit 1\n")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def with_script(action: bytes) -> bytes:
    return one_page(stream(text_page("A letter that wants to do something.")), root=b"/OpenAction << %s >>" % action)


def hostile() -> Iterator[Hostile]:
    """All of them."""
    at_once: list[tuple[str, str, Callable[[], bytes], str]] = [
        ("no bytes", "nothing.pdf", lambda: b"", "empty"),
        ("too large", "large.pdf", lambda: GOOD + b"\n" * (UPLOAD_MIB * MIB), "too_large"),
        ("far too large", "huge.pdf", lambda: GOOD + b"\n" * (4 * UPLOAD_MIB * MIB), "too_large"),
        ("PDF by name only", "letter.pdf", lambda: b"Dear Sir, this is no PDF.", "not_a_pdf"),
        ("PDF after 2 KiB of junk", "junk.pdf", lambda: b"\0" * 2048 + GOOD, "not_a_pdf"),
        ("a page of HTML named PDF", "page.pdf", lambda: b"<html><script>alert(1)</script></html>", "not_a_pdf"),
        ("a program", "tool.exe", lambda: b"MZ\x90\x00" * 100, "unsupported_type"),
        ("a shared library", "evil.so", lambda: b"\x7fELF" + b"\0" * 100, "unsupported_type"),
        ("an archive", "docs.zip", lambda: b"PK\x03\x04" + b"\0" * 100, "unsupported_type"),
        ("a Word file", "letter.docx", lambda: b"PK\x03\x04[Content_Types].xml", "unsupported_type"),
        ("a web page", "page.html", lambda: b"<script>alert(1)</script>", "unsupported_type"),
        ("a picture that could hold a script", "logo.svg", lambda: b"<svg onload='x()'/>", "unsupported_type"),
        ("no name to speak of", "...", lambda: b"what is this", "unsupported_type"),
        ("binary Markdown", "notes.md", lambda: b"\xff\xfe\x00\x01" * 50, "not_text"),
        ("Markdown with NUL", "notes.md", lambda: b"# A\n\0\0\n", "not_text"),
        ("half of a UTF-8 character", "notes.txt", lambda: "Zürich".encode()[:2], "not_text"),
        ("Latin-1 text", "notes.txt", lambda: "Zürich, Genève".encode("latin-1"), "not_text"),
        ("blank Markdown", "notes.md", lambda: b" \n\n\t\n", "empty"),
    ]
    for title, name, content, code in at_once:
        yield Hostile(title, name, content, (code,))
    page = b"/MediaBox [0 0 595 842]"
    for title, content, *codes in [
        ("encrypted", lambda: encrypted(GOOD, "secret"), "encrypted"),
        ("no content", lambda: pdf(b""), "empty"),
        ("scanned", lambda: pdf(PICTURE, PICTURE), "scanned"),
        ("too many pages", lambda: pdf(*[text_page("x")] * (PAGES_MOST + 1)), "too_many_pages"),
        ("cut off", lambda: GOOD[:200], "damaged"),
        ("header only", lambda: b"%PDF-1.7\n", "damaged"),
        ("header and noise", lambda: b"%PDF-1.7\n" + noise(50_000), *UNREADABLE),
        ("no pages", lambda: raw_pdf(b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Count 0 /Kids [] >>"),
         *UNREADABLE),
        ("a million pages that are not there",
         lambda: raw_pdf(b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Count 1000000 /Kids [] >>"),
         "too_many_pages", *UNREADABLE),
        ("pages that contain themselves",
         lambda: raw_pdf(b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Count 9 /Kids [2 0 R 2 0 R] >>"),
         *UNREADABLE),
        ("the same page forty thousand times",
         lambda: raw_pdf(b"<< /Type /Catalog /Pages 2 0 R >>",
                         b"<< /Type /Pages /Count 40000 /Kids [%s] >>" % (b"3 0 R " * 40_000),
                         b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] >>"), "too_many_pages"),
        ("no root", lambda: raw_pdf(b"<< /Type /Nothing >>", trailer=b"/Root 9 0 R"), *UNREADABLE),
        ("a table that lies", lambda: GOOD.replace(b"0000000", b"9999999"), READ, *UNREADABLE),
        ("its table points at itself",
         lambda: b"%PDF-1.4\nxref\n0 0\ntrailer\n<< /Prev 9 /Root 1 0 R >>\nstartxref\n9\n", *UNREADABLE),
        ("a length of two gigabytes", lambda: GOOD.replace(b"/Length", b"/Length 2147483647 /L"), READ,
         "out_of_memory", *UNREADABLE),
        ("a negative length", lambda: GOOD.replace(b"/Length", b"/Length -1 /L"), READ, *UNREADABLE),
        ("blanks that inflate to 1.5 GiB", blank_bomb, *BOMB),
        ("text that inflates to 25 MiB", text_bomb, *BOMB, READ),
        ("a bomb in a bomb in a bomb", nested_bomb, *BOMB),
        ("an object stream that inflates", object_stream_bomb, *BOMB),
        ("a picture of 4225 megapixels", picture_bomb, *BOMB),
        ("forms that draw each other", form_loop, *BOMB, READ),
        ("page nodes five thousand deep", deep_tree, "too_many_pages", *UNREADABLE),
        ("arrays fifty thousand deep", deep_array, READ, *BOMB),
        ("bookmarks that go round", outline_loop, READ, *BOMB),
        ("a page as large as a town", lambda: one_page(stream(text_page("far away")), b"/MediaBox [0 0 1e9 1e9]"),
         READ, *UNREADABLE),
        ("a page of no size",
         lambda: one_page(stream(text_page("nowhere")), b"/MediaBox [0 0 0 0]"), READ, *UNREADABLE),
        ("a filter that does not exist", lambda: one_page(stream(b"x", b"/Filter /Nonsense"), page), *UNREADABLE),
        ("fifty attachments with paths for names", many_attachments, READ),
        ("a script that runs when it is opened", lambda: with_script(b"/S /JavaScript /JS (app.alert\\(1\\))"), READ),
        ("a program that starts when it is opened", lambda: with_script(b"/S /Launch /F (/bin/sh)"), READ),
        ("an address that is fetched when it is opened",
         lambda: with_script(b"/S /URI /URI (http://127.0.0.1:9/x)"), READ),
    ]:  # fmt: skip
        yield Hostile(str(title), f"{str(title).replace(' ', '-')}.pdf", content, tuple(map(str, codes)))  # type: ignore[arg-type]
    for seed in range(4):
        yield Hostile(
            f"bytes flipped, {seed}", f"flipped-{seed}.pdf", lambda seed=seed: flipped(seed), (READ, *UNREADABLE)
        )
    yield Hostile("long Markdown", "long.md", lambda: b"# T\n" + b"word " * 120_000, ("too_many_pages",))
    yield Hostile("a line of a mebibyte", "line.txt", lambda: b"x" * MIB, ("too_many_pages", "damaged"))
    yield Hostile(
        "headings a hundred deep", "deep.md", lambda: b"\n".join(b"#" * n + b" H" for n in range(1, 100)), (READ,)
    )
    yield Hostile(
        "a fence that never closes", "fence.md", lambda: b"# A\n\n```\n" + b"# not a heading\n" * 500, (READ,)
    )
