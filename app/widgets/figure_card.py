"""A figure with its title, the same five actions everywhere, and one sentence on how to read it."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from analysis.drawing import charts
from app import state
from app.widgets.layout import icons
from app.widgets.plain import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analysis.drawing.strip_html import HtmlFigure


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
                _table_action(name, table)
                _download_action(name, table)
                _figure_action(name, figure, figure_ending)
                _code_action(name, code)
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

    file: dict[str, Any] = {"figure": lambda: charts.chart_svg(chart()), "figure_ending": "svg"}
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

    file: dict[str, Any] = {"figure": lambda: charts.plotly_html(figure()), "figure_ending": "html"}
    with figure_card(title, caption, name=name, **file, **card):
        yield draw


@contextmanager
def html_card(
    title: str, caption: str, figure: Callable[[], HtmlFigure], *, name: str, **card: Any
) -> Iterator[None]:
    """Frame for a strip or table whose file is a page: ``figure`` makes that, the rest is as for :func:`figure_card`."""
    file: dict[str, Any] = {
        "figure": lambda: figure().document(title=title).encode(),
        "figure_ending": "html",
    }
    with figure_card(title, caption, name=name, **file, **card):
        yield


def _table_action(name: str, table: Callable[[], pd.DataFrame]) -> None:
    with st.popover(
        "Table",
        icon=":material/table:",
        type="tertiary",
        key=f"{name}_table",
        on_change="rerun",
        help="Table",
    ) as popover:
        if popover.open:
            st.dataframe(table(), hide_index=True, height=360, key=f"{name}_frame")


def _download_action(name: str, table: Callable[[], pd.DataFrame]) -> None:
    with st.popover(
        "Download", icon=":material/download:", type="tertiary", key=f"{name}_download", help="Download"
    ):
        st.download_button(
            "CSV",
            lambda: table().to_csv(index=False, lineterminator="\r\n").encode(),
            file_name=f"{name}.csv",
            mime="text/csv",
            key=f"{name}_csv",
            on_click="ignore",
        )
        st.download_button(
            "Parquet",
            lambda: _parquet(table()),
            file_name=f"{name}.parquet",
            mime="application/vnd.apache.parquet",
            key=f"{name}_parquet",
            on_click="ignore",
        )


def _figure_action(name: str, figure: Callable[[], bytes], ending: str) -> None:
    mime = {"svg": "image/svg+xml", "html": "text/html"}[ending]
    st.download_button(
        "Figure",
        figure,
        file_name=f"{name}.{ending}",
        mime=mime,
        key=f"{name}_figure",
        on_click="ignore",
        type="tertiary",
        icon=":material/image:",
        help=f"Figure: this picture as one {ending.upper()} file",
    )


def _code_action(name: str, code: str) -> None:
    with st.popover("Code", icon=":material/code:", type="tertiary", key=f"{name}_code", help="Code"):
        st.caption("The same picture in a notebook:")
        st.code(code, language="python")
        st.caption(f"This card alone, for a frame in another page: add `{state.CARD}={name}` to the address.")


def _parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


def notebook_code(trace: Any, call: str) -> str:
    """Lines that make a run again and draw one picture of it."""
    spec = trace.spec
    source = "" if spec.source == "embedded" else repr(spec.source)
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
        read = f"trace_ids(model, {trace.tokens.token_id.tolist()}{options})"
    else:
        short = len(trace.text) <= 400
        text = repr(trace.text) if short else 'open("text.txt", encoding="utf-8").read()'
        read = f"trace(model, {text}{options})"
    return f"import analysis as an\n\nmodel = an.load_model({source})\ntrace = an.{read}\n{call}\n"
