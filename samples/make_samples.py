"""Render samples/sources/*.md, and the document of the stack's own check, to PDFs, byte for byte the same each time.

Needed only to change a sample, so reportlab is no dependency of the project:
    pip install reportlab==5.1.0 && python samples/make_samples.py
The sources are a small Markdown: two header lines (title, subject), headings, paragraphs, tables
whose first row is the header, and ``<<page>>`` where a page ends.
"""

from pathlib import Path

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import cm
from reportlab.platypus import PageBreak, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

HERE = Path(__file__).parent
CHECKS = HERE.parent / "checks"
# The standard fonts need no embedding, which keeps the files at a few kilobytes.
BODY = ParagraphStyle("body", fontName="Helvetica", fontSize=11, leading=15.5, spaceAfter=9)
HEADINGS = {
    1: ParagraphStyle("h1", fontName="Helvetica-Bold", fontSize=20, leading=25, spaceBefore=10, spaceAfter=10),
    2: ParagraphStyle("h2", fontName="Helvetica-Bold", fontSize=14, leading=18, spaceBefore=10, spaceAfter=6),
}
CELL = ParagraphStyle("cell", fontName="Helvetica", fontSize=10.5, leading=13)
HEAD = ParagraphStyle("head", parent=CELL, fontName="Helvetica-Bold")
RULES = [("LINEBELOW", (0, 0), (-1, -1), 0.4, colors.grey), ("VALIGN", (0, 0), (-1, -1), "TOP")]
# Two columns are label and figure.
GRID = TableStyle(
    [
        *RULES,
        ("FONT", (0, 0), (-1, 0), "Helvetica-Bold", 10.5),
        ("FONT", (0, 1), (-1, -1), "Helvetica", 10.5),
        ("ALIGN", (1, 0), (-1, -1), "RIGHT"),
    ]
)
TEXT_WIDTH_CM = 16


def table(rows: list[list[str]]) -> Table:
    """Cells of wide tables are paragraphs, which break into lines."""
    columns = len(rows[0])
    if columns == 2:
        return Table(rows, colWidths=[8 * cm, 4 * cm], style=GRID, hAlign="LEFT")
    longest = [min(30, max(8, *(len(row[column]) for row in rows[1:]))) for column in range(columns)]
    widths = [TEXT_WIDTH_CM * cm * share / sum(longest) for share in longest]
    cells = [[Paragraph(cell, HEAD if at == 0 else CELL) for cell in row] for at, row in enumerate(rows)]
    return Table(cells, colWidths=widths, style=TableStyle(RULES), hAlign="LEFT")


def flowables(lines: list[str]) -> list[object]:
    """One flowable per paragraph, heading, table or page break."""
    out: list[object] = []
    rows: list[list[str]] = []
    for line in [*lines, ""]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
            continue
        if rows:
            out += [table(rows), Spacer(1, 10)]
            rows = []
        if line == "<<page>>":
            out.append(PageBreak())
        elif line.startswith("#"):
            marks, _, text = line.partition(" ")
            out.append(Paragraph(text, HEADINGS[len(marks)]))
        elif line.strip():
            out.append(Paragraph(line, BODY))
    return out


def render(source: Path, target: Path) -> None:
    """Write ``target`` from ``source``; the page's number is its only footer."""
    title, subject, *lines = source.read_text(encoding="utf-8").splitlines()

    def footer(canvas, document) -> None:  # type: ignore[no-untyped-def]
        canvas.setFont("Helvetica", 9)
        canvas.drawRightString(A4[0] - 2.5 * cm, 1.5 * cm, str(document.page))

    document = SimpleDocTemplate(
        str(target),
        pagesize=A4,
        margins=2.5 * cm,
        title=title.removeprefix("title: "),
        subject=subject.removeprefix("subject: "),
        author="pageindex-stack",
        invariant=1,  # no time stamps, so the same source gives the same bytes
    )
    document.build(flowables(lines), onFirstPage=footer, onLaterPages=footer)


if __name__ == "__main__":
    for source in sorted((HERE / "sources").glob("*.md")):
        render(source, HERE / f"{source.stem}.pdf")
        print(HERE / f"{source.stem}.pdf")
    render(CHECKS / "sample.md", CHECKS / "sample.pdf")
