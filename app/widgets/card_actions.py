"""The actions of a figure card: numbers, files, code. Files are made on a click."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from analysis.drawing import paper
from app import state

PRINTED = {"pdf": "application/pdf", "png": "image/png", "svg": "image/svg+xml"}
"""Files for print, and their media types."""


def table_action(name: str, table: Callable[[], pd.DataFrame]) -> None:
    """The numbers behind a picture, made when somebody asks."""
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


def download_action(name: str, table: Callable[[], pd.DataFrame], printed: Callable[[], Any] | None) -> None:
    """The numbers as files, and the picture as files for print."""
    with st.popover(
        "Download",
        icon=":material/download:",
        type="tertiary",
        key=f"{name}_download",
        help="Download",
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
        if printed:
            _print_files(name, printed)


def _print_files(name: str, figure: Callable[[], Any]) -> None:
    """The picture as wide as a column of a paper."""
    width = st.segmented_control(
        "For print, inches wide",
        list(paper.COLUMNS),
        default="single",
        required=True,
        format_func=lambda column: f"{paper.COLUMNS[column]:g}",
        key=f"{name}_width",
    )
    for ending, mime in PRINTED.items():
        st.download_button(
            ending.upper(),
            partial(_print_file, figure, ending, width),
            file_name=f"{name}.{ending}",
            mime=mime,
            key=f"{name}_{ending}",
            on_click="ignore",
        )


def _print_file(figure: Callable[[], Any], ending: str, width: paper.Column) -> bytes:
    return paper.file_of(figure(), ending, width=width)


def figure_action(name: str, figure: Callable[[], bytes], ending: str) -> None:
    """The picture as it is on screen, as one file."""
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


def code_action(name: str, code: str) -> None:
    """The notebook lines that give the same picture."""
    with st.popover("Code", icon=":material/code:", type="tertiary", key=f"{name}_code", help="Code"):
        st.caption("The same picture in a notebook:")
        st.code(code, language="python")
        st.caption(f"This card alone, for a frame in another page: add `{state.CARD}={name}` to the address.")


def _parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()
