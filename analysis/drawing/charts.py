"""One look for every Altair and Plotly chart, in both themes.

Colours are always explicit: importing Streamlit changes the defaults of plotting
libraries, and app, notebook and download must agree.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from analysis.drawing.theme import (
    FONT,
    LABEL_SIZE,
    PROJECTOR_SCALE,
    SMALL_SIZE,
    TITLE_SIZE,
    Theme,
    theme,
)

if TYPE_CHECKING:
    import altair as alt
    import plotly.graph_objects as go
else:

    class _Later:
        """A module that is imported when something of it is first used, in whichever thread that is."""

        def __init__(self, name: str) -> None:
            self._name = name

        def __getattr__(self, attribute: str) -> Any:
            return getattr(import_module(self._name), attribute)

    alt = _Later("altair")

MAX_POINTS = 4000
"""Marks a browser draws at ease; longer texts are pooled or thinned, and the figure says so."""


_FILE_WIDTH = 760
"""Pixels of a figure in a file, where there is no container to fill."""


def styled(chart: Any, theme_name: str) -> Any:
    """Give a finished Altair chart the look of a theme."""
    colours = theme(theme_name)
    return (
        chart.configure(background=colours.ground, font=FONT)
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=colours.muted,
            titleColor=colours.muted,
            gridColor=colours.line,
            domainColor=colours.line,
            tickColor=colours.line,
            labelFontSize=LABEL_SIZE,
            titleFontSize=LABEL_SIZE,
            titleFontWeight="normal",
        )
        .configure_legend(
            labelColor=colours.ink,
            titleColor=colours.muted,
            labelFontSize=LABEL_SIZE,
            titleFontSize=LABEL_SIZE,
            titleFontWeight="normal",
            orient="top",
        )
        .configure_title(
            color=colours.ink,
            subtitleColor=colours.muted,
            anchor="start",
            fontSize=TITLE_SIZE,
            subtitleFontSize=SMALL_SIZE,
        )
        .configure_text(fontSize=SMALL_SIZE)
    )


def for_projector(chart: Any, theme_name: str) -> Any:
    """The same Altair chart, or its Vega-Lite spec, taller and with larger type, all of it in ink.

    Type is larger where :func:`styled` sets it: a mark with a size of its own keeps that.
    """
    if isinstance(chart, dict):
        higher = {"height": round(chart["height"] * PROJECTOR_SCALE)} if "height" in chart else {}
        return chart | higher | {"config": _larger(chart["config"], theme(theme_name))}
    height = getattr(chart, "height", None)
    taller = {"height": round(height * PROJECTOR_SCALE)} if isinstance(height, (int, float)) else {}
    return chart.properties(config=_larger(chart.config.to_dict(), theme(theme_name)), **taller)


def _larger(config: dict[str, Any], colours: Theme) -> dict[str, Any]:
    """A chart's settings with every font size enlarged, and ink in place of the muted colour."""
    out: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, dict):
            out[name] = _larger(value, colours)
        elif name.lower().endswith("fontsize"):
            out[name] = round(value * PROJECTOR_SCALE)
        else:
            out[name] = colours.ink if value == colours.muted else value
    return out


def plotly_for_projector(figure: go.Figure, theme_name: str) -> go.Figure:
    """The same Plotly figure with larger type, all of it in ink."""
    size = round(LABEL_SIZE * PROJECTOR_SCALE)
    out = type(figure)(figure)
    return out.update_layout(font={"size": size, "color": theme(theme_name).ink})


def plotly_layout(theme_name: str, **more: Any) -> dict[str, Any]:
    """Plotly layout of a theme."""
    colours: Theme = theme(theme_name)
    axis = {"gridcolor": colours.line, "zeroline": False, "linecolor": colours.line, "ticks": ""}
    layout: dict[str, Any] = {
        "template": "none",
        "paper_bgcolor": colours.ground,
        "plot_bgcolor": colours.ground,
        "font": {"family": FONT, "size": LABEL_SIZE, "color": colours.muted},
        "margin": {"l": 56, "r": 16, "t": 16, "b": 48},
        "xaxis": dict(axis),
        "yaxis": dict(axis),
        "hoverlabel": {"font": {"family": "monospace"}},
    }
    for key, value in more.items():
        layout[key] = layout[key] | value if isinstance(layout.get(key), dict) else value
    return layout


def chart_svg(chart: Any) -> bytes:
    """Altair chart as an SVG file, made without a browser."""
    return spec_svg(chart.to_dict()).encode()


def spec_svg(spec: dict[str, Any]) -> str:
    """SVG of a chart's Vega-Lite spec, made without a browser."""
    import vl_convert

    return vl_convert.vegalite_to_svg(with_width(spec))


def with_width(spec: Any) -> Any:
    """A chart's spec with a width in pixels wherever it, or a chart inside it, fills a container."""
    if not isinstance(spec, dict):
        return spec
    out = dict(spec)
    if out.get("width") == "container":
        out["width"] = _FILE_WIDTH
    for key in ("vconcat", "hconcat", "concat", "layer"):
        if key in out:
            out[key] = [with_width(inner) for inner in out[key]]
    if "spec" in out:
        out["spec"] = with_width(out["spec"])
    return out


def plotly_html(figure: go.Figure) -> bytes:
    """Plotly figure as one HTML file that needs nothing from outside."""
    config = {"showSendToCloud": False, "displaylogo": False}
    return figure.to_html(include_plotlyjs=True, full_html=True, config=config).encode()
