"""What a card offers to save: the numbers, and files for print where there is a figure."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

from tests.patience import PATIENCE


def card():
    import altair as alt
    import pandas as pd
    import streamlit as st

    from app.widgets.card_actions import download_action

    frame = pd.DataFrame({"x": [1.0, 2.0]})
    chart = None if st.query_params.get("figure") == "no" else lambda: alt.Chart(frame).mark_point()
    download_action("card", lambda: frame, chart)


def labels(page):
    return [button.proto.label for button in page.get("download_button")]


def test_a_figure_is_offered_in_three_widths_for_print():
    page = AppTest.from_function(card, default_timeout=PATIENCE).run()
    assert not page.exception and labels(page) == ["CSV", "Parquet", "PDF", "PNG", "SVG"]
    (widths,) = page.get("button_group")
    assert [option.content for option in widths.proto.options] == ["3.3", "5", "6.9"]


def test_a_table_is_offered_as_numbers():
    page = AppTest.from_function(card, default_timeout=PATIENCE)
    page.query_params["figure"] = "no"
    page.run()
    assert not page.exception and labels(page) == ["CSV", "Parquet"]
