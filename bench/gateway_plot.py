"""Two rows of bars as SVG, readable on light and dark pages."""

from __future__ import annotations

from collections.abc import Mapping

WIDTH, BAR, GAP, LEFT = 720, 22, 10, 150
INK, OURS, OTHERS = "#777", "#2f7d4f", "#9aa7b5"


def plot(found: Mapping[str, tuple[float, float]]) -> str:
    """Name to (requests a second, added milliseconds)."""
    height_one = 34 + len(found) * (BAR + GAP)
    rates = {name: rate for name, (rate, _) in found.items()}
    added = {name: max(ms, 0.0) for name, (_, ms) in found.items() if name != "direct"}
    # One that needs a hundred times as long would leave nothing of the others: its bar is cut, its figure isn't.
    cut = 3 * sorted(added.values())[-2]
    parts = [
        *_bars("Requests a second, 64 at once", {name: (rate, f"{rate:,.0f}") for name, rate in rates.items()}, 0),
        *_bars(
            "Added to the median answer, ms, one at a time",
            {name: (min(ms, cut), f"{ms:.3f}{' (cut)' if ms > cut else ''}") for name, ms in added.items()},
            height_one + 10,
        ),
    ]
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {2 * height_one}" '
        'font-family="system-ui, sans-serif" font-size="13">', *parts, "</svg>", "",
    ])  # fmt: skip


def _bars(title: str, values: Mapping[str, tuple[float, str]], top: int) -> list[str]:
    largest = max(value for value, _ in values.values()) or 1.0
    parts = [f'<text x="0" y="{top + 16}" fill="{INK}" font-weight="600">{title}</text>']
    for number, (name, (value, label)) in enumerate(values.items()):
        y = top + 28 + number * (BAR + GAP)
        width = max(value / largest * (WIDTH - LEFT - 110), 1.0)
        colour = OURS if name.startswith("this gateway") else OTHERS
        parts += [
            f'<text x="{LEFT - 10}" y="{y + 16}" text-anchor="end" fill="{INK}">{name}</text>',
            f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2" fill="{colour}"/>',
            f'<text x="{LEFT + width + 8:.1f}" y="{y + 16}" fill="{INK}">{label}</text>',
        ]
    return parts
