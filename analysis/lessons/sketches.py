"""The small drawing of a prediction, as SVG."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence

from analysis.drawing.theme import theme

WIDTH, HEIGHT, EDGE = 132, 66, 5


def sketch_svg(lines: Sequence[Sequence[float]], theme_name: str = "light") -> str:
    """Draw curves from 0 to 1 at even distances: what is known pale, what is predicted, the last one, dashed."""
    colours = theme(theme_name)
    known = f'stroke="{colours.muted}" opacity="0.5"'
    predicted = f'stroke="{colours.ink}" stroke-dasharray="5 4"'
    drawn = [
        f'<polyline points="{_points(one)}" {predicted if number == len(lines) - 1 else known}/>'
        for number, one in enumerate(lines)
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">'
        f'<g fill="none" stroke-width="2.6" stroke-linejoin="round" stroke-linecap="round">{"".join(drawn)}</g></svg>'
    )


def sketch_address(lines: Sequence[Sequence[float]], theme_name: str = "light") -> str:
    """The same as the address of a picture that holds itself."""
    return "data:image/svg+xml;base64," + b64encode(sketch_svg(lines, theme_name).encode()).decode()


def _points(values: Sequence[float]) -> str:
    step = (WIDTH - 2 * EDGE) / (len(values) - 1)
    return " ".join(
        f"{EDGE + i * step:.1f},{HEIGHT - EDGE - value * (HEIGHT - 2 * EDGE):.1f}"
        for i, value in enumerate(values)
    )
