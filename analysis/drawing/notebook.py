"""Charts in a notebook: pictures that stay when it is saved, and that need nothing from outside."""

from __future__ import annotations

from typing import Any

import altair as alt

from analysis.drawing.charts import spec_svg

RENDERER = "logitscope"


def show_charts_as_pictures() -> None:
    """Let notebooks show Altair charts as SVG, unless a person has chosen another renderer.

    Altair's own default is HTML that fetches its drawing library from another host, and is blank without it.
    ``alt.renderers.enable("default")`` brings that back, tooltips included.
    """
    alt.renderers.register(RENDERER, _bundle)
    if alt.renderers.active == "default":
        alt.renderers.enable(RENDERER)


def _bundle(spec: dict[str, Any], **_options: Any) -> dict[str, str]:
    """SVG without a label on every mark: a notebook shows it as one image, in which nobody could reach them."""
    return {"image/svg+xml": spec_svg(spec | {"config": spec.get("config", {}) | {"aria": False}})}
