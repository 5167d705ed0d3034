"""A button that makes a report of what is on screen: one HTML file that opens anywhere."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import state


def report_button(label: str, result: Any, *, name: str) -> None:
    """Draw the button; nothing is made before it is pressed.

    Parameters
    ----------
    label : str
        What stands on it.
    result : object
        What has a report, as :func:`analysis.report` says; None while there is nothing yet.
    name : str
        Of the file without its ending, and of the button.
    """
    unit = state.unit()
    st.download_button(
        label,
        lambda: _content(result, unit),
        file_name=f"{name}.html",
        mime="text/html",
        disabled=result is None,
        key=f"save_report_{name}",
        on_click="ignore",
        help="The pictures with the chosen token, numbers, checks and settings in one HTML file. "
        "It opens in a browser, without this app and without a network.",
    )


def _content(result: Any, unit: Any) -> bytes:
    from analysis.reports.report import report

    return report(result, unit=unit).html.encode()
