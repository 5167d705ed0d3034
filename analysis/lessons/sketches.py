"""The small drawing of a prediction, as SVG in the colours of the page around it."""

from __future__ import annotations

from collections.abc import Sequence

WIDTH, HEIGHT, EDGE = 132, 66, 5


def sketch_svg(lines: Sequence[Sequence[float]]) -> str:
    """Draw curves from 0 to 1 at even distances: what is known pale, what is predicted, the last one, dashed."""
    drawn = [
        f'<polyline class="{"predicted" if number == len(lines) - 1 else "known"}" points="{_points(one)}"/>'
        for number, one in enumerate(lines)
    ]
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" aria-hidden="true">{"".join(drawn)}</svg>'


def _points(values: Sequence[float]) -> str:
    step = (WIDTH - 2 * EDGE) / (len(values) - 1)
    return " ".join(
        f"{EDGE + i * step:.1f},{HEIGHT - EDGE - value * (HEIGHT - 2 * EDGE):.1f}"
        for i, value in enumerate(values)
    )
