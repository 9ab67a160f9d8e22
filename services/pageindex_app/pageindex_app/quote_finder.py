"""`python -m pageindex_app.quote_finder`: where quoted words stand on a page of a PDF. Job on stdin, boxes on stdout.

Each request gets a process of its own: PDFium may crash on a hostile file, and then only this is lost.
"""

import ctypes
import json
import resource
import sys
from typing import Any

import pypdfium2  # type: ignore[import-untyped]
from pypdfium2 import raw

MEMORY_MIB = 1024
CPU_S = 10
CHARACTERS_MOST = 200_000
_SCALE = 1_000_000
# A long quote may have been cut within a word; its beginning finds the place.
_ENOUGH_CHARACTERS = 80

Box = list[float]  # left, top, width, height; shares of the page as it is shown


def main() -> None:
    limit = MEMORY_MIB * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    job = json.load(sys.stdin)
    pdf = pypdfium2.PdfDocument(job["file"])
    json.dump(boxes(pdf[job["page"] - 1], job["quote"]), sys.stdout)


def significant(letters: str) -> str:
    """What of a text is compared: line breaks, hyphens and the like lie differently on a page and in a quote."""
    return "".join(letter.lower()[:1] for letter in letters if letter.isalnum())


def boxes(page: Any, quote: str) -> list[Box]:
    """One box a line; none when the words are not on the page."""
    text = page.get_textpage()
    places: list[int] = []
    found: list[str] = []
    for index in range(min(text.count_chars(), CHARACTERS_MOST)):
        letter = significant(chr(raw.FPDFText_GetUnicode(text, index)))
        if letter:
            places.append(index)
            found.append(letter)
    wanted = significant(quote)
    start = "".join(found).find(wanted) if wanted else -1
    if start < 0 and len(wanted) > _ENOUGH_CHARACTERS:
        wanted = wanted[:_ENOUGH_CHARACTERS]
        start = "".join(found).find(wanted)
    if start < 0:
        return []
    first, last = places[start], places[start + len(wanted) - 1]
    count = text.count_rects(first, last - first + 1)
    return [_shown(page, *text.get_rect(index)) for index in range(count)]


def _shown(page: Any, left: float, bottom: float, right: float, top: float) -> Box:
    """From the file's coordinates to shares of the shown page; PDFium applies the page's crop and rotation."""
    (x1, y1), (x2, y2) = _at(page, left, top), _at(page, right, bottom)
    return [round(value, 5) for value in (min(x1, x2), min(y1, y2), abs(x2 - x1), abs(y2 - y1))]


def _at(page: Any, x: float, y: float) -> tuple[float, float]:
    across, down = ctypes.c_int(), ctypes.c_int()
    raw.FPDF_PageToDevice(page, 0, 0, _SCALE, _SCALE, 0, x, y, ctypes.byref(across), ctypes.byref(down))
    return across.value / _SCALE, down.value / _SCALE


if __name__ == "__main__":
    main()
