"""Fonts, sizes and colours have one source, ``analysis/drawing/theme.py``: what repeats them says the same."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import altair as alt
import numpy as np
import plotly.graph_objects as go
import pytest

from analysis.drawing import charts
from analysis.drawing import theme as t

ROOT = Path(__file__).resolve().parents[2]
CONFIG = tomllib.loads((ROOT / "app/.streamlit/config.toml").read_text(encoding="utf-8"))["theme"]
SHEETS = ("app/style.css", "app/projector.css")
each_theme = pytest.mark.parametrize("name", ["light", "dark"])


def colours(theme: t.Theme) -> list[str]:
    return [
        theme.ink,
        theme.muted,
        theme.line,
        theme.panel,
        theme.ground,
        theme.quiet,
        theme.negative,
        theme.positive,
        *theme.sides.values(),
        *theme.pictures.values(),
    ]


@each_theme
def test_the_app_has_the_colours_of_the_figures(name):
    said, theme = CONFIG[name], t.theme(name)
    assert said["textColor"] == said["codeTextColor"] == theme.ink
    assert said["borderColor"] == said["dataframeBorderColor"] == theme.line
    assert said["backgroundColor"] == said["sidebar"]["backgroundColor"] == theme.ground
    assert said["secondaryBackgroundColor"] == said["codeBackgroundColor"] == theme.panel
    assert said["linkColor"] == theme.pictures["attention_sinks"]
    at = np.rint(np.linspace(0, t.RAMP_STEPS - 1, 10)).astype(int)
    amounts, signed = t.amount_ramp("token_entropy", name)[at], t.signed_ramp(name)[at]
    assert said["chartSequentialColors"] == [t.rgb_to_hex(c).upper() for c in amounts]
    assert said["chartDivergingColors"] == [t.rgb_to_hex(c).upper() for c in signed]
    assert CONFIG["chartCategoricalColors"] == list(t.OKABE_ITO)


def test_the_app_has_the_fonts_of_the_figures():
    assert CONFIG["font"] == t.FONT and CONFIG["codeFont"] == t.MONO_FONT
    assert CONFIG["baseFontSize"] == t.TOKEN_SIZE
    larger = re.search(r"html:root \{ font-size: (\d+)px", (ROOT / SHEETS[1]).read_text(encoding="utf-8"))
    assert larger and int(larger[1]) == t.TOKEN_SIZE * t.PROJECTOR_SCALE


@pytest.mark.parametrize("sheet", SHEETS)
def test_a_style_sheet_knows_no_colour_of_its_own(sheet):
    text = (ROOT / sheet).read_text(encoding="utf-8")
    pairs = re.findall(r"light-dark\((#\w+), (#\w+)\)", text)
    assert pairs and set(pairs) <= set(zip(colours(t.LIGHT), colours(t.DARK), strict=True))
    assert not re.findall(r"#[0-9A-Fa-f]{3,8}\b", re.sub(r"light-dark\([^)]*\)", "", text))


def test_sizes_of_type_are_set_in_one_place():
    """A chart with a size of its own would stay small in the projector mode."""
    own = [
        path.relative_to(ROOT).as_posix()
        for path in sorted((ROOT / "analysis").rglob("*.py"))
        if path.name != "charts.py" and re.search(r"[fF]ontSize=", path.read_text(encoding="utf-8"))
    ]
    assert own == []


@each_theme
def test_the_projector_mode_enlarges_all_type(name):
    chart = charts.styled(alt.Chart(alt.Data(values=[])).mark_text().properties(height=140), name)
    small = chart.to_dict()["config"]
    large = charts.for_projector(chart, name).to_dict()["config"]
    assert charts.for_projector(chart, name).height == 200
    assert chart.to_dict()["config"] == small and chart.height == 140, "the chart itself stays, for the file"
    sizes = [(part, key) for part in small for key in small[part] if "ontSize" in key and part != "view"]
    assert len(sizes) == 7
    for part, key in sizes:
        assert large[part][key] == round(small[part][key] * 20 / 14)
    assert (
        large["axis"]["labelColor"] == t.theme(name).ink and small["axis"]["labelColor"] != t.theme(name).ink
    )
    figure = go.Figure(layout=charts.plotly_layout(name))
    assert charts.plotly_for_projector(figure, name).layout.font.size == 17
    assert figure.layout.font.size == 12
