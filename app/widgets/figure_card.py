"""A figure with its title, the same five actions everywhere, and one sentence on how to read it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from analysis.drawing import charts
from analysis.drawing.strip_html import HtmlFigure
from app import state
from app.widgets import card_actions
from app.widgets.layout import icons
from app.widgets.plain import plain

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def figure_card(
    title: str,
    caption: str,
    *,
    name: str,
    table: Callable[[], pd.DataFrame],
    figure: Callable[[], bytes],
    figure_ending: str,
    code: str,
    printed: Callable[[], Any] | None = None,
    phrase: str = "",
    spec: str = "",
    more: str = "",
) -> Iterator[None]:
    """Frame for one picture; draw the picture inside the ``with``.

    Parameters
    ----------
    title, caption : str
        What is drawn, and one sentence under it on how to read it.
    name : str
        Unique short name, for keys and file names.
    table : callable
        Makes the numbers behind the picture, only when somebody asks.
    figure : callable
        Makes the figure's file.
    figure_ending : {"svg", "html"}
        Ending of that file.
    code : str
        The notebook lines that give the same picture.
    printed : callable, optional
        Makes the figure itself, for files for print; none for a table.
    phrase : str
        A few words beside the title.
    spec : str
        What was run on what, where it is not the run that the run bar names.
    more : str
        Longer explanation: definition, formula, what to look for, source.
    """
    with st.container(border=True, key=f"card_{name}"):
        with st.container(
            key=f"titleline_{name}", horizontal=True, vertical_alignment="center", gap="xxsmall"
        ):
            st.markdown(f"**{title}**", width="content")
            st.caption(phrase, width="stretch")
            with icons(name):
                card_actions.table_action(name, table)
                card_actions.download_action(name, table, printed)
                card_actions.figure_action(name, figure, figure_ending)
                card_actions.code_action(name, code)
                with st.popover(
                    "How to read this",
                    icon=":material/help:",
                    type="tertiary",
                    key=f"{name}_help",
                    help="How to read this",
                ):
                    st.markdown(more or caption)
                    if spec:
                        st.caption(plain(spec))
        yield
        st.caption(caption)


def show_chart(chart: Any, *, alt: str, key: str, place: Any = st, **selection: Any) -> Any:
    """Draw an Altair chart as it is, without Streamlit's theme.

    Parameters
    ----------
    chart : altair chart, or dict
        What to draw, or its Vega-Lite spec.
    alt, key : str
        What is drawn, for those who do not see it, and the key of the widget.
    place : container, optional
        Where to draw.
    **selection
        ``on_select`` and ``selection_mode`` of :func:`streamlit.altair_chart`.

    Returns
    -------
    object
        The selection, where it is asked for.
    """
    if state.is_projector():
        chart = charts.for_projector(chart, state.theme_name())
    # On the card's own ground, so that a switch of the theme leaves no white box; files have a ground.
    if isinstance(chart, dict):
        spec = chart | {"background": "transparent"}
        return place.vega_lite_chart(spec=spec, theme=None, alt=alt, key=key, **selection)
    chart = chart.properties(background="transparent")
    return place.altair_chart(chart, theme=None, alt=alt, key=key, **selection)


@st.cache_data(max_entries=64, show_spinner=False)
def known_spec(key: tuple[object, ...], _chart: Callable[[], Any]) -> dict[str, Any]:  # noqa: ARG001 - the cache's
    """Vega-Lite spec of a chart that is drawn again and again; made once for a key, which holds all that decides it."""
    spec: dict[str, Any] = {}
    while (
        "datasets" not in spec
    ):  # while Streamlit draws another session's chart, Altair hands data to it alone
        spec = _chart().to_dict()
    return spec


@contextmanager
def altair_card(
    title: str,
    caption: str,
    chart: Callable[[], Any],
    *,
    name: str,
    alt: str = "",
    key: str = "",
    **card: Any,
) -> Iterator[Callable[..., Any]]:
    """Frame for one Altair chart, on screen and in the file, or for its panels on screen.

    Parameters
    ----------
    chart : callable
        Makes the chart.
    alt : str, optional
        What is drawn, for those who do not see it; every panel is drawn with its own.
    key : str, optional
        Key of the chart, ``{name}_chart`` by default.
    title, caption, name, **card
        As for :func:`figure_card`.

    Yields
    ------
    callable
        Draws the chart where it belongs inside the ``with``; takes a chart to show in place of the
        file's, such as one of its panels, and options of :func:`show_chart`.
    """

    def draw(shown: Any = None, **options: Any) -> Any:
        options = {"alt": alt, "key": key or f"{name}_chart"} | options
        return show_chart(chart() if shown is None else shown, **options)

    file: dict[str, Any] = {
        "figure": lambda: charts.chart_svg(chart()),
        "figure_ending": "svg",
        "printed": chart,
    }
    with figure_card(title, caption, name=name, **file, **card):
        yield draw


@contextmanager
def plotly_card(
    title: str, caption: str, figure: Callable[[], Any], *, name: str, alt: str, **card: Any
) -> Iterator[Callable[..., Any]]:
    """Frame for one Plotly figure, on screen and in the file; otherwise as :func:`altair_card`."""

    def draw(shown: Any = None) -> Any:
        drawn = figure() if shown is None else shown
        if state.is_projector():
            drawn = charts.plotly_for_projector(drawn, state.theme_name())
        config = {"displaylogo": False, "showSendToCloud": False}
        return st.plotly_chart(drawn, theme=None, key=f"{name}_chart", config=config, alt=alt)

    file: dict[str, Any] = {
        "figure": lambda: charts.plotly_html(figure()),
        "figure_ending": "html",
        "printed": figure,
    }
    with figure_card(title, caption, name=name, **file, **card):
        yield draw


@contextmanager
def html_card(
    title: str, caption: str, figure: Callable[[], HtmlFigure], *, name: str, **card: Any
) -> Iterator[None]:
    """Frame for a strip whose file is a page: ``figure`` makes it, the rest is as for :func:`figure_card`."""
    file: dict[str, Any] = {
        "figure": lambda: figure().document(title=title).encode(),
        "figure_ending": "html",
        "printed": figure,
    }
    with figure_card(title, caption, name=name, **file, **card):
        yield


@contextmanager
def table_card(
    title: str, caption: str, *, name: str, table: Callable[[], pd.DataFrame], **card: Any
) -> Iterator[None]:
    """Frame for a table, whose file is a page of it; otherwise as :func:`figure_card`."""

    def page() -> bytes:
        return HtmlFigure(table().to_html(index=False, escape=True)).document(title=title).encode()

    with figure_card(title, caption, name=name, table=table, figure=page, figure_ending="html", **card):
        yield


def notebook_code(trace: Any, call: str) -> str:
    """Lines that make a run again and draw one picture of it."""
    source = "" if trace.spec.source == "embedded" else repr(trace.spec.source)
    return f"import analysis as an\n\nmodel = an.load_model({source})\ntrace = {trace_code(trace)}\n{call}\n"


def trace_code(trace: Any, file: str = "text.txt") -> str:
    """The expression that makes a run again with the loaded model; a long text is read from a file."""
    spec = trace.spec
    layers = list(spec.lens_layers)
    lens = "True" if layers == list(range(spec.n_layers + 1)) else str(layers)
    options = f", lens={lens}" if layers else ""
    if spec.spectra and spec.spectra != ("states",):
        options += f", spectra={list(spec.spectra)}"
    if spec.bos != "auto":
        options += f", bos={spec.bos!r}"
    if not spec.parse_special:
        options += ", parse_special=False"
    if spec.stride is not None:
        options += f", window={spec.window}, stride={spec.stride}"
    if spec.ids_sha256:
        return f"an.trace_ids(model, {trace.tokens.token_id.tolist()}{options})"
    text = repr(trace.text) if len(trace.text) <= 400 else f'open("{file}", encoding="utf-8").read()'
    return f"an.trace(model, {text}{options})"
